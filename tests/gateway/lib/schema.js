// Descriptors of the API, made from api.schema: no generated code, no protoc.

import { create, createFileRegistry } from "@bufbuild/protobuf";
import * as wkt from "@bufbuild/protobuf/wkt";
import { readFileSync } from "node:fs";

const { FieldDescriptorProto_Type: Type, FieldDescriptorProto_Label: Label } = wkt;

const scalars = {
	string: Type.STRING, bytes: Type.BYTES, bool: Type.BOOL,
	int32: Type.INT32, uint32: Type.UINT32, int64: Type.INT64, uint64: Type.UINT64,
};
const wellKnown = {
	Timestamp: wkt.file_google_protobuf_timestamp, Duration: wkt.file_google_protobuf_duration,
	Empty: wkt.file_google_protobuf_empty, FieldMask: wkt.file_google_protobuf_field_mask,
};

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

// Declarations as lists of words.
function declarations(text) {
	const list = [];
	for (const line of text.split("\n")) {
		if (!line.trim() || line.startsWith("#"))
			continue;
		const words = line.trim().split(/\s+/);
		if (/^\s/.test(line) && words[0] !== "rpc")
			list.at(-1).push(...words);
		else
			list.push(words);
	}
	return list;
}

class Package {
	constructor(name) {
		this.name = name;
		this.enums = new Map();
		this.messages = new Map();
		this.file = { name: `${name.replaceAll(".", "/")}.proto`, package: name, syntax: "proto3", messageType: [], enumType: [],
			service: [], dependency: Object.values(wellKnown).map((file) => `${file.name}.proto`) };
	}

	declare([kind, ...words]) {
		this[kind](...words);
	}

	// Where a dotted name goes: into the message before the dot, or to the top of the file.
	#place(name, list, nested) {
		const [outer, inner] = name.includes(".") ? name.split(".") : [null, name];
		return [inner, outer ? this.messages.get(outer)[nested] : this.file[list]];
	}

	enum(name, prefix, ...values) {
		this.enums.set(name, () => {
			const [inner, list] = this.#place(name, "enumType", "enumType");
			list.push({ name: inner, value: values.map((value, number) => ({ name: prefix + value, number })) });
		});
	}

	message(name, ...fields) {
		const [inner, list] = this.#place(name, "messageType", "nestedType");
		const message = { name: inner, field: [], oneofDecl: [], nestedType: [], enumType: [] };
		this.messages.set(name, message);
		list.push(message);
		let number = 0;
		for (const field of fields)
			number = this.#field(name, message, field, number + 1);
	}

	#field(owner, message, text, next) {
		const [, name, type = "string", sign, oneof, given] = text.match(/^(\w+)(?::([\w.]+))?(\*|\?|\{\})?(?:\|(\w+))?(?:=(\d+))?$/);
		const field = { name, jsonName: camel(name), number: given ? Number(given) : next, ...this.#type(type),
			label: sign === "*" || sign === "{}" ? Label.REPEATED : Label.OPTIONAL };
		if (sign === "{}")
			Object.assign(field, this.#map(owner, message, name));
		if (oneof || sign === "?") {
			const decl = oneof ?? `_${name}`;
			if (!message.oneofDecl.some((one) => one.name === decl))
				message.oneofDecl.push({ name: decl });
			field.oneofIndex = message.oneofDecl.findIndex((one) => one.name === decl);
			field.proto3Optional = sign === "?";
		}
		message.field.push(field);
		return field.number;
	}

	#type(name) {
		if (scalars[name])
			return { type: scalars[name] };
		if (wellKnown[name])
			return { type: Type.MESSAGE, typeName: `.google.protobuf.${name}` };
		return { type: this.enums.has(name) ? Type.ENUM : Type.MESSAGE, typeName: `.${this.name}.${name}` };
	}

	#map(owner, message, name) {
		const entry = `${camel(`_${name}`)}Entry`;
		const side = (name, number) => ({ name, jsonName: name, number, type: Type.STRING, label: Label.OPTIONAL });
		message.nestedType.push({ name: entry, field: [side("key", 1), side("value", 2)], options: { mapEntry: true } });
		return { type: Type.MESSAGE, typeName: `.${this.name}.${owner}.${entry}` };
	}

	service(name) {
		this.file.service.push({ name, method: [] });
	}

	rpc(name, input, output) {
		const [request, clientStreaming] = this.#side(input);
		const [response, serverStreaming] = this.#side(output);
		this.file.service.at(-1).method.push({ name, inputType: request, outputType: response, clientStreaming, serverStreaming });
	}

	#side(text) {
		const streaming = text.startsWith("stream:");
		return [this.#type(streaming ? text.slice("stream:".length) : text).typeName, streaming];
	}

	registry() {
		for (const place of this.enums.values())
			place();
		return createFileRegistry(create(wkt.FileDescriptorProtoSchema, this.file), (name) =>
			Object.values(wellKnown).find((file) => `${file.name}.proto` === name));
	}
}

function load() {
	const packages = [];
	for (const words of declarations(readFileSync(new URL("api.schema", import.meta.url), "utf8")))
		if (words[0] === "package")
			packages.push(new Package(words[1]));
		else
			packages.at(-1).declare(words);
	return packages.map((one) => ({ name: one.name, registry: one.registry() }));
}

const packages = load();

function found(kind, name) {
	for (const one of packages) {
		const desc = one.registry[kind](`${one.name}.${name}`);
		if (desc)
			return desc;
	}
	throw new Error(`api.schema has no ${name}`);
}

export const message = (name) => found("getMessage", name);
export const service = (name) => found("getService", name);

// The numbers of an enum, by names without their prefix: enumeration("State").RUNNING
export function enumeration(name) {
	const desc = found("getEnum", name);
	const prefix = desc.values[0].name.slice(0, -"UNSPECIFIED".length);
	return Object.fromEntries(desc.values.map((value) => [value.name.slice(prefix.length), value.number]));
}
