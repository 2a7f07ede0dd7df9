// All sandboxes: making, finding, listing and deleting them.

import { randomUUID } from "node:crypto";
import { clone } from "@bufbuild/protobuf";
import { userKey } from "./auth.js";
import { invalid, refusal, unimplemented } from "./errors.js";
import { page } from "./pages.js";
import { Sandbox, State } from "./sandbox.js";
import { message } from "./schema.js";
import { validate } from "./validate.js";

export class Sandboxes {
	#gateway;
	#all = new Map();
	#number = 0;

	constructor(gateway) {
		this.#gateway = gateway;
	}

	get all() {
		return [...this.#all.values()];
	}

	create(spec, context, template) {
		validate(spec, this.#gateway.settings.secrets);
		for (const { source } of spec.volumes)
			if (source.case === "scratch" && source.value.restoreFromSnapshotId)
				this.#gateway.snapshots.ready(source.value.restoreFromSnapshotId);
			else if (source.case === "volumeId")
				this.#gateway.volumes.find(source.value);
		const runnerId = this.#gateway.runners.place(spec);
		const number = ++this.#number;
		const sandbox = new Sandbox(this.#gateway, { id: randomUUID(), number, user: context.values.get(userKey),
			spec: clone(message("SandboxSpec"), spec), template, runnerId });
		this.#all.set(sandbox.id, sandbox);
		return sandbox;
	}

	#forgotten(sandbox) {
		const { forgetMs } = this.#gateway.settings;
		return sandbox.terminal && forgetMs >= 0 && Date.now() >= sandbox.endTime + forgetMs;
	}

	// The caller's sandbox of that id, or nothing.
	seek(id, context) {
		const sandbox = this.#all.get(id);
		return sandbox?.user === context.values.get(userKey) && !this.#forgotten(sandbox) ? sandbox : undefined;
	}

	find(id, context) {
		if (!id)
			throw invalid("sandbox_id", "is required");
		const sandbox = this.seek(id, context);
		if (!sandbox)
			throw refusal("SANDBOX_NOT_FOUND", `there is no sandbox ${id}`, { sandbox_id: id });
		return sandbox;
	}

	// The caller's, by what ListSandboxes and PurgeSandboxes may ask for.
	select({ tags, state = State.UNSPECIFIED, showTerminated = false, runnerIds = [], volumeIds = [] }, context) {
		const ended = [State.COMPLETED, State.FAILED, State.TERMINATED].includes(state);
		return this.all.filter((one) => this.seek(one.id, context) &&
			tags.every((tag) => one.spec.tags.includes(tag)) &&
			(state ? one.state === state : true) &&
			(one.active || showTerminated || ended) &&
			(!runnerIds.length || runnerIds.includes(one.runnerId)) &&
			(!volumeIds.length || one.spec.volumes.some(({ source }) => source.case === "volumeId" && volumeIds.includes(source.value))));
	}

	// Kills all that there is, and waits for it.
	async close() {
		for (const sandbox of this.all)
			sandbox.delete({ grace: 0, reason: "the gateway ends" });
		await Promise.all(this.all.map((sandbox) => sandbox.done));
	}
}

function checkSnapshotVolumes(sandbox, names) {
	for (const name of names) {
		const volume = sandbox.spec.volumes.find((one) => one.name === name);
		if (volume?.source.case === "volumeId")
			throw refusal("VOLUME_NOT_SNAPSHOTTABLE", `${name} is a registered volume`);
		if (!volume)
			throw invalid("snapshot_volumes", `the sandbox has no volume ${name}`);
	}
}

function deleteSandbox(gateway, request, context) {
	const sandbox = gateway.sandboxes.seek(request.sandboxId, context);
	if (!sandbox && request.allowMissing && request.snapshotVolumes.length)
		throw refusal("INVALID_REQUEST", "snapshot_volumes of a sandbox that is not there");
	if (!sandbox && request.allowMissing)
		return {};
	gateway.sandboxes.find(request.sandboxId, context);
	if (request.gracePeriodSeconds < 0)
		throw invalid("grace_period_seconds", "must not be negative");
	checkSnapshotVolumes(sandbox, request.snapshotVolumes);
	if (request.snapshotVolumes.length && sandbox.state !== State.RUNNING)
		throw refusal("INVALID_REQUEST", "snapshots of a sandbox that is not running");
	const made = request.snapshotVolumes.map((name) => gateway.snapshots.create(sandbox, name, "ON_DELETE", request.requestId));
	sandbox.delete({ grace: request.gracePeriodSeconds, reason: "deleted", snapshots: Promise.all(made.map((one) => one.copied)) });
	return { sandbox: sandbox.message(), fileSystemSnapshotIds: made.map((one) => one.id) };
}

function purge(gateway, request, context) {
	if (request.requestId)
		throw unimplemented("request_id of PurgeSandboxes");
	if (request.purgeAll === request.tags.length > 0)
		throw invalid("tags", "either tags or purge_all");
	const found = gateway.sandboxes.select({ tags: request.tags }, context).filter((one) => !one.terminal);
	if (!request.dryRun)
		for (const sandbox of found)
			sandbox.delete({ grace: 0, reason: "purged" });
	return { purgeCount: found.length };
}

export function sandboxesService(gateway) {
	const { sandboxes, idempotency } = gateway;
	const user = (context) => context.values.get(userKey);
	return {
		async createSandbox(request, context) {
			const { id } = await idempotency.once(user(context), message("CreateSandboxRequest"), request, () =>
				sandboxes.create(request.sandbox?.spec, context));
			return sandboxes.find(id, context).message();
		},
		async createSandboxFromTemplate(request, context) {
			const { id } = await idempotency.once(user(context), message("CreateSandboxFromTemplateRequest"), request, () => {
				const { spec, template } = gateway.templates.instantiate(request.templateId, request.overrides);
				return sandboxes.create(spec, context, template);
			});
			return sandboxes.find(id, context).message();
		},
		getSandbox: (request, context) => sandboxes.find(request.sandboxId, context).message(),
		listSandboxes(request, context) {
			const { items, nextPageToken } = page(message("ListSandboxesRequest"), request, sandboxes.select(request, context),
				gateway.settings.pageSize);
			return { sandboxes: items.map((one) => one.message()), nextPageToken };
		},
		deleteSandbox(request, context) {
			if (!request.sandboxId)
				throw invalid("sandbox_id", "is required");
			if (!request.snapshotVolumes.length)
				return deleteSandbox(gateway, request, context);
			return idempotency.once(user(context), message("DeleteSandboxRequest"), request, () => deleteSandbox(gateway, request, context));
		},
		purgeSandboxes: (request, context) => purge(gateway, request, context),
	};
}

