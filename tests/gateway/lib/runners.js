// DiscoveryService: the runners there are said to be. They all are this machine.

import { refusal } from "./errors.js";
import { page } from "./pages.js";
import { enumeration, message } from "./schema.js";
import { timestamp } from "./time.js";

const View = enumeration("RunnerView");
const Visibility = enumeration("Visibility");
const Mode = enumeration("SandboxMode");
const started = Date.now();
const architecture = { x64: "amd64", arm64: "arm64" }[process.arch] ?? process.arch;

function runner(number, runnerId, more = {}) {
	return {
		number, runnerId, runnerGroupId: "group-1", tags: [], healthy: true, organizationId: "organization-1",
		connectedAt: timestamp(started), isShared: false,
		capabilities: { maxCpuMillicores: 64000n, maxMemoryBytes: 512n << 30n, maxGpuCount: 0n, supportedArchitectures: [architecture],
			availableStorageClasses: ["standard"], supportedServiceVisibilities: [Visibility.PUBLIC, Visibility.PRIVATE] },
		resources: { availableCpuMillicores: 32000n, availableMemoryBytes: 256n << 30n, availableGpuCount: 0n, runningSandboxes: 0 },
		...more,
	};
}

export class Runners {
	all = [
		runner(1, "runner-1", { tags: ["cks"] }),
		runner(2, "runner-2", { healthy: false }),
		runner(3, "runner-shared", { runnerGroupId: "group-shared", isShared: true }),
	];

	// The runner a sandbox goes to.
	place({ mode, runnerIds }) {
		if (!runnerIds.length)
			return mode === Mode.CKS ? "runner-1" : "runner-shared";
		const chosen = this.all.find((one) => runnerIds.includes(one.runnerId) && one.healthy);
		if (!chosen)
			throw refusal("RUNNER_UNAVAILABLE", `none of the runners ${runnerIds.join(", ")} is there`);
		return chosen.runnerId;
	}
}

const told = (one, full) => ({ ...one, resources: full ? one.resources : undefined });

function wanted(request, one) {
	const { supportedArchitectures, supportedServiceVisibilities, supportedGpuTypes = [] } = one.capabilities;
	return (!request.runnerGroupId || one.runnerGroupId === request.runnerGroupId) &&
		(!request.gpuType || supportedGpuTypes.includes(request.gpuType)) &&
		(!request.architecture || supportedArchitectures.includes(request.architecture)) &&
		(!request.healthyOnly || one.healthy) &&
		(!request.serviceVisibility || supportedServiceVisibilities.includes(request.serviceVisibility));
}

export function discoveryService({ runners, settings }) {
	return {
		listAvailableRunners(request) {
			const { items, nextPageToken } = page(message("ListAvailableRunnersRequest"), request,
				runners.all.filter((one) => wanted(request, one)), settings.pageSize);
			return { runners: items.map((one) => told(one, request.view === View.FULL)), nextPageToken };
		},
		getAvailableRunner({ runnerId, organizationId, view }) {
			const one = runners.all.find((one) => one.runnerId === runnerId && one.organizationId === organizationId);
			if (!one)
				throw refusal("RUNNER_NOT_FOUND", `there is no runner ${runnerId}`);
			return told(one, view !== View.BASIC);
		},
	};
}
