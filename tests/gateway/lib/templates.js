// SandboxTemplateService, and sandboxes made from templates.

import { randomUUID } from "node:crypto";
import { clone, create } from "@bufbuild/protobuf";
import { userKey } from "./auth.js";
import { error, invalid } from "./errors.js";
import { page } from "./pages.js";
import { message } from "./schema.js";
import { timestamp } from "./time.js";

const present = (value) => (Array.isArray(value) ? value.length > 0 : typeof value === "object" && value ? Object.keys(value).length > 0 : Boolean(value));

export class Templates {
	#all = new Map();
	#number = 0;

	add(template, user) {
		if (!template?.displayName)
			throw invalid("sandbox_template.display_name", "is required");
		if (this.list().some((one) => one.displayName === template.displayName))
			throw error({ code: "already_exists", message: `a template is called ${template.displayName}` });
		const now = timestamp();
		const one = { number: ++this.#number, sandboxTemplateId: randomUUID(), displayName: template.displayName, spec: template.spec,
			revision: 1n, createTime: now, updateTime: now, createUserId: user, deleted: false };
		this.#all.set(one.sandboxTemplateId, one);
		return one;
	}

	list(deleted = false) {
		return [...this.#all.values()].filter((one) => deleted || !one.deleted);
	}

	// By its id or its name.
	find(id, deleted = false) {
		const one = this.list(deleted).find((one) => one.sandboxTemplateId === id || one.displayName === id);
		if (!one)
			throw error({ code: "not_found", message: `there is no template ${id}` });
		return one;
	}

	// What a sandbox of it is made by: each field of the overrides that is present replaces the template's.
	instantiate(id, overrides) {
		const one = this.find(id);
		const spec = { ...one.spec };
		for (const [field, value] of Object.entries(overrides ?? {}))
			if (!field.startsWith("$") && present(value))
				spec[field] = value;
		const whole = (list) => list.map((container) => create(message("Container"), { ...container, $typeName: undefined }));
		return {
			spec: create(message("SandboxSpec"), { ...spec, $typeName: undefined, containers: whole(spec.containers ?? []),
				initContainers: whole(spec.initContainers ?? []) }),
			template: { id: one.sandboxTemplateId, revision: one.revision },
		};
	}
}

export function templatesService({ templates, settings }) {
	return {
		createSandboxTemplate: ({ sandboxTemplate }, context) => templates.add(sandboxTemplate, context.values.get(userKey)),
		getSandboxTemplate: ({ sandboxTemplateId, showDeleted }) => templates.find(sandboxTemplateId, showDeleted),
		listSandboxTemplates(request) {
			const { items, nextPageToken } = page(message("ListSandboxTemplatesRequest"), request, templates.list(request.showDeleted),
				settings.pageSize);
			return { sandboxTemplates: items, nextPageToken };
		},
		updateSandboxTemplate({ sandboxTemplateId, sandboxTemplate, updateMask }) {
			const one = templates.find(sandboxTemplateId);
			const paths = updateMask?.paths ?? ["display_name", "spec"];
			if (paths.includes("display_name") && sandboxTemplate.displayName)
				one.displayName = sandboxTemplate.displayName;
			if (paths.some((path) => path.startsWith("spec")) && sandboxTemplate.spec)
				one.spec = clone(message("PartialSandboxSpec"), sandboxTemplate.spec);
			return Object.assign(one, { revision: one.revision + 1n, updateTime: timestamp() });
		},
		deleteSandboxTemplate({ sandboxTemplateId }) {
			Object.assign(templates.find(sandboxTemplateId), { deleted: true, deleteTime: timestamp() });
			return {};
		},
	};
}
