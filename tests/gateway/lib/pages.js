// Lists in pages. The token names the last object of a page and the filter it is of; objects carry ever growing numbers.

import { createHash } from "node:crypto";
import { toJsonString } from "@bufbuild/protobuf";
import { invalid } from "./errors.js";

const PAGE_MAX = 1000;

const digest = (desc, request) =>
	createHash("sha256").update(toJsonString(desc, { ...request, pageToken: "", pageSize: 0 })).digest("base64url").slice(0, 16);

// items: in the order of their .number; -> {items, nextPageToken}
export function page(desc, request, items, standard) {
	if (request.pageSize < 0)
		throw invalid("page_size", "must not be negative");
	const filter = digest(desc, request);
	let after = 0;
	if (request.pageToken) {
		const [number, of] = Buffer.from(request.pageToken, "base64url").toString().split(" ");
		if (of !== filter)
			throw invalid("page_token", "not a token of this list");
		after = Number(number);
	}
	const rest = items.filter((item) => item.number > after);
	const shown = rest.slice(0, Math.min(request.pageSize || standard, PAGE_MAX));
	const nextPageToken = shown.length < rest.length ? Buffer.from(`${shown.at(-1).number} ${filter}`).toString("base64url") : "";
	return { items: shown, nextPageToken };
}
