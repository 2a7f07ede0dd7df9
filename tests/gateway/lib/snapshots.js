// Snapshots of scratch volumes: copies of their directories.

import { randomUUID } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { userKey } from "./auth.js";
import { invalid, refusal } from "./errors.js";
import { page } from "./pages.js";
import { State } from "./sandbox.js";
import { enumeration, message } from "./schema.js";
import { timestamp, wait } from "./time.js";
import { run } from "./user.js";

const SnapshotState = enumeration("SnapshotState");
const Trigger = enumeration("SnapshotTrigger");

export class Snapshots {
	#gateway;
	#all = new Map();
	#number = 0;

	constructor(gateway) {
		this.#gateway = gateway;
	}

	directory(id) {
		return path.join(this.#gateway.work, "snapshots", id);
	}

	// Starts the copy; its .copied is done when the source is not needed any more.
	create(sandbox, volume, trigger, requestId) {
		if (!this.#gateway.settings.snapshotsSupported)
			throw refusal("FSS_NOT_SUPPORTED", "there are no snapshots here");
		const one = { id: randomUUID(), number: ++this.#number, user: sandbox.user, sandboxId: sandbox.id, volume, requestId,
			trigger: Trigger[trigger], state: SnapshotState.CREATING, reason: "", size: 0, createTime: Date.now() };
		one.copied = this.#copy(one, sandbox.volumeDirectory(volume));
		this.#all.set(one.id, one);
		return one;
	}

	async #copy(one, from) {
		const { settings } = this.#gateway;
		try {
			if (settings.snapshotFails)
				throw new Error(settings.snapshotFails);
			await run("cp", "-aT", "--reflink=auto", "--", from, this.directory(one.id));
			one.size = await size(this.directory(one.id));
			wait(settings.snapshotMs).then(() => this.#end(one, SnapshotState.READY, ""));
		} catch (e) {
			this.#end(one, SnapshotState.FAILED, e.message);
		}
	}

	#end(one, state, reason) {
		if (one.state === SnapshotState.CREATING)
			Object.assign(one, { state, reason, completeTime: Date.now() });
	}

	find(id, context) {
		const one = this.#all.get(id);
		if (!one || one.user !== context.values.get(userKey))
			throw refusal("FSS_NOT_FOUND", `there is no snapshot ${id}`, { file_system_snapshot_id: id });
		return one;
	}

	// To restore from.
	ready(id) {
		const one = this.#all.get(id);
		if (!one)
			throw refusal("FSS_NOT_FOUND", `there is no snapshot ${id}`, { file_system_snapshot_id: id });
		if (one.state !== SnapshotState.READY)
			throw refusal("FSS_NOT_READY", `the snapshot ${id} is not ready`);
	}

	list(sandboxId, context) {
		return [...this.#all.values()].filter((one) => one.user === context.values.get(userKey) && (!sandboxId || one.sandboxId === sandboxId));
	}

	delete(one) {
		this.#all.delete(one.id);
		one.state = SnapshotState.DELETING;
		one.copied.finally(() => fs.rm(this.directory(one.id), { recursive: true, force: true }).catch(() => {}));
		return one;
	}
}

async function size(directory) {
	let bytes = 0;
	for (const entry of await fs.readdir(directory, { recursive: true, withFileTypes: true }))
		if (entry.isFile())
			bytes += (await fs.lstat(path.join(entry.path, entry.name))).size;
	return bytes;
}

function told(one) {
	return {
		fileSystemSnapshotId: one.id, state: one.state, stateReason: one.reason, sizeBytes: BigInt(one.size),
		sourceSandboxId: one.sandboxId, trigger: one.trigger, createTime: timestamp(one.createTime),
		completeTime: one.completeTime && timestamp(one.completeTime), sourceVolumeName: one.volume, objectBucket: "snapshots",
		updatedAt: timestamp(one.completeTime ?? one.createTime), requestId: one.requestId,
	};
}

function volumeOf(sandbox, name) {
	if (sandbox.state !== State.RUNNING)
		throw refusal("SANDBOX_NOT_RUNNING", `sandbox ${sandbox.id} is not running`);
	const scratch = sandbox.scratchVolumes;
	const chosen = name ? sandbox.spec.volumes.find((one) => one.name === name) : scratch.length === 1 && scratch[0];
	if (!chosen)
		throw invalid("scratch_volume_name", name ? `the sandbox has no volume ${name}` : "is required: there is not exactly one");
	if (!scratch.includes(chosen))
		throw refusal("VOLUME_NOT_SNAPSHOTTABLE", `${name} is a registered volume`);
	return chosen.name;
}

export function snapshotsService(gateway) {
	const { snapshots } = gateway;
	return {
		async createFileSystemSnapshot(request, context) {
			const desc = message("CreateFileSystemSnapshotRequest");
			const one = await gateway.idempotency.once(context.values.get(userKey), desc, request, () => {
				const sandbox = gateway.sandboxes.find(request.sandboxId, context);
				return snapshots.create(sandbox, volumeOf(sandbox, request.scratchVolumeName), "MANUAL", request.requestId);
			});
			return told(one);
		},
		getFileSystemSnapshot: ({ fileSystemSnapshotId }, context) => told(snapshots.find(fileSystemSnapshotId, context)),
		listFileSystemSnapshots(request, context) {
			const { items, nextPageToken } = page(message("ListFileSystemSnapshotsRequest"), request,
				snapshots.list(request.sourceSandboxId, context), gateway.settings.pageSize);
			return { fileSystemSnapshots: items.map(told), nextPageToken };
		},
		deleteFileSystemSnapshot({ fileSystemSnapshotId: id, allowMissing }, context) {
			try {
				return told(snapshots.delete(snapshots.find(id, context)));
			} catch (e) {
				if (allowMissing)
					return {};
				throw e;
			}
		},
	};
}
