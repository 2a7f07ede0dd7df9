// One sandbox: its states, its main process, and what the API tells of it.

import fs from "node:fs/promises";
import path from "node:path";
import { Container } from "./container.js";
import { refusal } from "./errors.js";
import { makeParents, write } from "./files.js";
import { Log } from "./log.js";
import { enumeration } from "./schema.js";
import { Services } from "./services.js";
import { aborted, timestamp, wait } from "./time.js";
import { makeDirectory, run } from "./user.js";

export const State = enumeration("State");
const Mode = enumeration("SandboxMode");
const terminal = new Set([State.COMPLETED, State.FAILED, State.TERMINATED]);

// Where a client gives no command, the image's own: one that ends when told to, and says nothing.
const ENTRYPOINT = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait; done"];

export class Sandbox {
	#gateway;
	#directory;
	#container;
	#resumed; // aborted when the pause is over
	#cut = new AbortController();
	#stop; // what a delete asks for: {grace, snapshots: a promise}
	#timers = new AbortController();
	#exitCode;

	// spec has been judged. template: {id, revision} or nothing
	constructor(gateway, { id, number, user, spec, template, runnerId }) {
		Object.assign(this, { id, number, user, spec, template, runnerId, state: State.CREATING, reason: "" });
		this.#gateway = gateway;
		this.#directory = path.join(gateway.work, "sandboxes", id);
		this.primary = spec.containers.find((one) => one.name === spec.primaryContainer) ?? spec.containers[0];
		this.lifetime = spec.maxLifetimeSeconds || gateway.settings.defaultLifetimeSeconds;
		this.createTime = Date.now();
		this.log = new Log(gateway.settings.logBytesMax);
		this.services = new Services(this, gateway);
		this.done = this.#live().catch((e) => this.#end(State.FAILED, e.message));
	}

	get terminal() {
		return terminal.has(this.state);
	}

	get active() {
		return !this.terminal || Date.now() < this.endTime + this.#gateway.settings.listLagMs;
	}

	get scratchVolumes() {
		return this.spec.volumes.filter((volume) => volume.source.case !== "volumeId");
	}

	volumeDirectory(name) {
		return path.join(this.#directory, "volumes", name);
	}

	async #live() {
		const { settings } = this.#gateway;
		this.state = settings.pendingMs ? State.PENDING : State.CREATING;
		await wait(settings.pendingMs, this.#timers.signal);
		this.state = this.#stop ? this.state : State.CREATING;
		const [container] = await Promise.all([this.#start(), wait(settings.creatingMs, this.#timers.signal)]);
		if (!this.#stop) {
			this.state = State.RUNNING;
			this.startTime = Date.now();
			container.begin();
			this.#limitLife();
		} else {
			this.#kill();
		}
		const code = await container.exit;
		if (this.#stop)
			return this.#end(State.TERMINATED, this.#stop.reason);
		this.#exitCode = code;
		this.#end(code && settings.failOnExit ? State.FAILED : State.COMPLETED, code ? `exit status ${code}` : "");
	}

	async #limitLife() {
		const over = Date.now() + this.lifetime * 1000;
		// A timer counts to 24 days at most.
		while (Date.now() < over)
			if (!(await wait(Math.min(over - Date.now(), 2 ** 31 - 1), this.#timers.signal)))
				return;
		this.delete({ grace: 0, reason: "its lifetime is over" });
	}

	// Images have names only; some of them mean something.
	#isImage(...names) {
		return names.includes(this.primary.image.split(/[:/]/)[0]);
	}

	// The container, with everything in it, and its main process about to begin.
	async #start() {
		const { settings } = this.#gateway;
		const failure = settings.startFails || (this.#isImage("missing", "fail", "fails") && `cannot pull the image ${this.primary.image}`);
		if (failure)
			throw new Error(failure);
		const [command, ...rest] = this.primary.command ? [this.primary.command, ...this.primary.args] : ENTRYPOINT;
		makeDirectory(this.#directory);
		const volumes = await this.#makeVolumes();
		const container = new Container(path.join(this.#directory, "container"), this.#gateway.pipes, {
			id: this.id, command, args: rest, volumes, workingDirectory: this.primary.workingDir,
			environment: { ...this.primary.environmentVariables, ...this.#secrets() },
			readOnlyRoot: this.primary.securityContext?.readOnlyRootFilesystem ?? false,
			foreign: this.#isImage("foreign"), noexec: this.#isImage("noexec"),
			bare: this.#isImage("distroless"), programs: settings.programs,
		});
		await container.start();
		this.#container = container;
		this.log.attach(container.stdout);
		this.log.attach(container.stderr);
		for (const file of this.primary.files) {
			await makeParents(container, file.path);
			await write(container, file.path, file.content);
		}
		return container;
	}

	async #makeVolumes() {
		if (this.spec.volumes.length)
			makeDirectory(path.join(this.#directory, "volumes"));
		for (const { name, source } of this.spec.volumes) {
			makeDirectory(this.volumeDirectory(name));
			const snapshot = source.case === "scratch" && source.value.restoreFromSnapshotId;
			if (snapshot)
				await run("cp", "-aT", "--reflink=auto", "--", this.#gateway.snapshots.directory(snapshot), this.volumeDirectory(name));
		}
		return this.primary.volumeMounts.map((mount) => ({ directory: this.volumeDirectory(mount.volume), ...mount }));
	}

	#secrets() {
		const { secrets } = this.#gateway.settings;
		return Object.fromEntries(this.primary.secretStores.flatMap(({ storeName, secrets: wanted }) =>
			wanted.map(({ path, envVar }) => [envVar || path, secrets[storeName][path] ?? `value of ${path}`])));
	}

	// The one way to an end.
	#end(state, reason) {
		this.#timers.abort();
		this.#resumed?.abort();
		this.services.close();
		Object.assign(this, { state, reason: reason ?? "", endTime: Date.now() });
		// After snapshots have been taken from it.
		Promise.resolve(this.#stop?.snapshots).finally(() => fs.rm(this.#directory, { recursive: true, force: true }).catch(() => {}));
	}

	// The running container, or a refusal; signal: the caller's patience.
	async container(name, signal) {
		if (name && name !== this.primary.name)
			throw refusal("NOT_IMPLEMENTED", `only the primary container is run here, not ${name}`);
		if (this.state === State.PAUSED)
			await this.#pauseOver(signal);
		if (this.state !== State.RUNNING)
			throw refusal("SANDBOX_NOT_RUNNING", `sandbox ${this.id} is not running`, { sandbox_id: this.id });
		return this.#container;
	}

	async #pauseOver(signal) {
		const { pausedCalls } = this.#gateway.settings;
		if (pausedCalls === "refuse")
			throw refusal("SANDBOX_NOT_RUNNING", `sandbox ${this.id} is paused`, { sandbox_id: this.id });
		if (pausedCalls === "resume")
			return this.#pause(false);
		await Promise.race([aborted(this.#resumed.signal), ...(signal ? [aborted(signal)] : [])]);
		if (signal?.aborted)
			throw signal.reason;
	}

	async #pause(on) {
		if (on === (this.state === State.PAUSED))
			return;
		this.state = on ? State.PAUSED : State.RUNNING;
		if (on)
			this.#resumed = new AbortController();
		await this.#container.freeze(on);
		if (!on)
			return this.#resumed.abort();
		if (this.#gateway.settings.pauseCuts) {
			this.#cut.abort();
			this.#cut = new AbortController();
		}
	}

	// Aborted where the calls under way are cut off.
	get cut() {
		return this.#cut.signal;
	}

	// Ends it: TERM, and KILL after `grace` seconds. Returns at once; a second call can only hasten it.
	delete({ grace, reason, snapshots }) {
		if (this.terminal)
			return;
		const first = !this.#stop;
		this.#pause(false); // it is told
		this.#stop ??= { reason, snapshots: Promise.resolve(snapshots).catch(() => {}) };
		this.state = State.TERMINATING;
		this.services.close();
		if (first)
			this.#timers.abort();
		this.#stop.snapshots.then(() => {
			if (grace > 0 && first)
				this.#container?.signal("SIGTERM");
			this.#killTimer = setTimeout(() => this.#kill(), Math.min(grace, 300) * 1000);
			this.done.finally(() => clearTimeout(this.#killTimer));
		});
	}
	#killTimer;

	#kill() {
		this.#container?.signal("SIGKILL");
	}

	// As from the control requests: "paused", "running", or the main process killed.
	async force(what) {
		if (what === "kill")
			this.#kill();
		else if (this.state === State.RUNNING || this.state === State.PAUSED)
			await this.#pause(what === "paused");
	}

	#told() {
		const lag = this.#gateway.settings.exitCodeLagMs;
		return this.#exitCode !== undefined && lag >= 0 && Date.now() >= this.endTime + lag;
	}

	#status() {
		const { resources, resourceRequirements: asked } = this.primary;
		const exitCode = this.#told() ? this.#exitCode : undefined;
		return {
			state: this.state, stateReason: this.reason,
			createTime: timestamp(this.createTime),
			startTime: this.startTime && timestamp(this.startTime), endTime: this.endTime && timestamp(this.endTime),
			services: this.services.status(),
			exitCode, effectiveResources: resources,
			effectiveResourceRequirements: asked && { requests: asked.requests, limits: asked.limits ?? asked.requests },
			effectiveMaxLifetimeSeconds: this.lifetime,
			containerStatuses: this.spec.containers.map((one) => ({ name: one.name, state: this.state, exitCode: exitCode ?? 0 })),
			runnerId: this.runnerId, runnerGroupId: "group-1",
			effectiveEgress: this.spec.network?.egress ?? [], effectiveIngress: this.spec.network?.ingress ?? [],
			attachedVolumeIds: this.spec.volumes.flatMap(({ source }) => (source.case === "volumeId" ? [source.value] : [])),
			effectiveRuntimeClass: this.spec.runtimeClass || "<node-default>",
		};
	}

	// As a message of the API.
	message() {
		return { sandboxId: this.id, spec: { ...this.spec, mode: this.spec.mode || Mode.SERVERLESS }, status: this.#status(),
			sourceTemplateId: this.template?.id ?? "", sourceTemplateRevision: this.template?.revision ?? 0n };
	}
}
