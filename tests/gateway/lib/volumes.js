// VolumeService: registered volumes, as records. A sandbox that mounts one gets an empty directory of its own.

import { randomUUID } from "node:crypto";
import { error, invalid, refusal } from "./errors.js";
import { page } from "./pages.js";
import { enumeration, message } from "./schema.js";
import { timestamp } from "./time.js";

const State = enumeration("VolumeState");
const Locality = enumeration("VolumeLocality");

export class Volumes {
	#all = new Map();
	#number = 0;

	add(spec) {
		if (spec?.source.case !== "pvc")
			throw invalid("volume.spec.pvc", "is required");
		const now = timestamp();
		const one = { number: ++this.#number, volumeId: randomUUID(), spec,
			status: { state: State.READY, locality: Locality.GLOBAL, createTime: now, updateTime: now, lastValidatedTime: now,
				accessModes: ["ReadWriteMany"], capacity: "1Gi", attachedSandboxCount: 0 } };
		this.#all.set(one.volumeId, one);
		return one;
	}

	get all() {
		return [...this.#all.values()];
	}

	find(id) {
		if (!this.#all.has(id))
			throw error({ code: "not_found", message: `there is no volume ${id}` });
		return this.#all.get(id);
	}

	remove(id) {
		this.#all.delete(id);
	}
}

export function volumesService(gateway) {
	const { volumes, settings } = gateway;
	const attached = (id) => gateway.sandboxes.all.filter((one) => !one.terminal &&
		one.spec.volumes.some(({ source }) => source.case === "volumeId" && source.value === id)).length;
	const told = (one) => ({ ...one, status: { ...one.status, attachedSandboxCount: attached(one.volumeId) } });
	return {
		createVolume: ({ volume }) => ({ ...told(volumes.add(volume?.spec)), status: { state: State.VALIDATING } }),
		getVolume: ({ volumeId }) => told(volumes.find(volumeId)),
		listVolumes(request) {
			const wanted = volumes.all.filter((one) => (!request.states.length || request.states.includes(one.status.state)) &&
				(!request.runnerIds.length || request.runnerIds.includes(one.spec.source.value.runnerId)));
			const { items, nextPageToken } = page(message("ListVolumesRequest"), request, wanted, settings.pageSize);
			return { volumes: items.map(told), nextPageToken };
		},
		updateVolume({ volumeId, volume, updateMask }) {
			const one = volumes.find(volumeId);
			if (updateMask?.paths.some((path) => path !== "spec.description" && path !== "*"))
				throw invalid("update_mask", "only spec.description can change");
			one.spec = { ...one.spec, description: volume?.spec?.description ?? "" };
			one.status.updateTime = timestamp();
			return told(one);
		},
		deleteVolume({ volumeId, allowMissing, force }) {
			if (allowMissing && !volumes.all.some((one) => one.volumeId === volumeId))
				return {};
			const one = volumes.find(volumeId);
			if (attached(volumeId) && !force)
				throw refusal("VOLUME_IN_USE", `volume ${volumeId} is attached`);
			volumes.remove(volumeId);
			return { ...told(one), status: { state: State.DELETING } };
		},
		validateVolume({ volumeId }) {
			const one = volumes.find(volumeId);
			one.status.lastValidatedTime = timestamp();
			return told(one);
		},
	};
}
