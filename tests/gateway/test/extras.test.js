// Snapshots, services, secrets, templates, and the services beside SandboxService; TLS and gRPC; the end of the gateway.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { enumeration, service } from "../lib/schema.js";
import { client, control, eventually, processesOf, reaches, refused, running, shell, spec, startGateway, State, streamed, test } from "./harness.js";

const gateway = await startGateway({ settings: { secrets: { wandb: { KEY: "hidden" } } } });
const api = client(gateway.url);
const Visibility = enumeration("Visibility");
const SnapshotState = enumeration("SnapshotState");

const scratch = (restoreFromSnapshotId = "") => spec({ volumeMounts: [{ volume: "work", mountPath: "/workspace" }] },
	{ volumes: [{ name: "work", source: { case: "scratch", value: { size: "1Gi", restoreFromSnapshotId } } }] });
const write = (sandboxId, text) => api.writeFile({ sandboxId, path: "/workspace/f", content: Buffer.from(text) });
const read = async (sandboxId) => String(Buffer.from((await api.readFile({ sandboxId, path: "/workspace/f" })).content));
const ready = (fileSystemSnapshotId) => eventually(async () =>
	(await api.getFileSystemSnapshot({ fileSystemSnapshotId })).state === SnapshotState.READY);

test("snapshots: made, listed, restored, deleted", async () => {
	const source = await running(api, scratch());
	await write(source, "first");
	const request = { sandboxId: source, requestId: "s1" };
	const { fileSystemSnapshotId: id } = await api.createFileSystemSnapshot(request);
	assert.equal((await api.createFileSystemSnapshot(request)).fileSystemSnapshotId, id);
	await ready(id);
	await write(source, "second");
	const { fileSystemSnapshots: list } = await api.listFileSystemSnapshots({ sourceSandboxId: source });
	assert.deepEqual(list.map((one) => [one.fileSystemSnapshotId, one.sizeBytes, one.sourceVolumeName]), [[id, 5n, "work"]]);
	const { fileSystemSnapshotIds: [last] } = await api.deleteSandbox({ sandboxId: source, snapshotVolumes: ["work"], requestId: "d1" });
	await reaches(api, source, State.TERMINATED);
	await ready(last);
	const [a, b] = await Promise.all([running(api, scratch(id)), running(api, scratch(last))]);
	assert.deepEqual([await read(a), await read(b)], ["first", "second"]);
	await api.deleteFileSystemSnapshot({ fileSystemSnapshotId: id });
	assert.equal(await refused(api.getFileSystemSnapshot({ fileSystemSnapshotId: id })), "FSS_NOT_FOUND");
	assert.equal(await refused(api.deleteFileSystemSnapshot({ fileSystemSnapshotId: id })), "FSS_NOT_FOUND");
	await api.deleteFileSystemSnapshot({ fileSystemSnapshotId: id, allowMissing: true });
	assert.equal(await refused(api.createSandbox({ sandbox: { spec: scratch("none") } })), "FSS_NOT_FOUND");
	assert.equal(await read(a), "first");
});

test("snapshots that fail, or are not to be had", async () => {
	const sandboxId = await running(api, scratch());
	await control(gateway, "POST", "/settings", { snapshotFails: "no bucket" });
	const { fileSystemSnapshotId } = await api.createFileSystemSnapshot({ sandboxId });
	const failed = await eventually(async () => {
		const one = await api.getFileSystemSnapshot({ fileSystemSnapshotId });
		return one.state === SnapshotState.FAILED && one;
	});
	assert.equal(failed.stateReason, "no bucket");
	await control(gateway, "POST", "/settings", { snapshotFails: "", snapshotsSupported: false });
	assert.equal(await refused(api.createFileSystemSnapshot({ sandboxId })), "FSS_NOT_SUPPORTED");
	await control(gateway, "POST", "/settings", { snapshotsSupported: true });
	assert.equal(await refused(api.createFileSystemSnapshot({ sandboxId, scratchVolumeName: "none" })), Code.InvalidArgument);
});

test("services answer at their URLs while the sandbox runs", async () => {
	const services = [{ port: 8080, name: "http", visibility: Visibility.PUBLIC }, { port: 9, name: "quiet" },
		{ port: 8080, name: "safe", visibility: Visibility.PUBLIC, endpoint: { kind: 1, auth: 1 } }];
	const sandboxId = await running(api, spec({ command: "python", args: ["-m", "http.server", "8080"], workingDir: "/workspace" }, { services }));
	await write(sandboxId, "served");
	const { status } = await api.getSandbox({ sandboxId });
	const [open, quiet, safe] = status.services;
	assert.deepEqual([open.port, open.name, quiet.url, quiet.endpoint], [8080, "http", "", undefined]);
	await eventually(() => fetch(`${open.url}/f`).then(async (answer) => (await answer.text()) === "served", () => false));
	assert.match(safe.endpoint.url, /^https:/);
	const text = await new Promise((resolve, reject) => https.get(`${safe.endpoint.url}/f`, { ca: fs.readFileSync(gateway.ca) }, (answer) =>
		answer.setEncoding("utf8").on("data", resolve)).on("error", reject));
	assert.equal(text, "served");
	await api.deleteSandbox({ sandboxId });
	await reaches(api, sandboxId, State.TERMINATED);
	assert.deepEqual((await api.getSandbox({ sandboxId })).status.services, []);
	await assert.rejects(fetch(open.url));
});

test("secrets reach the environment and nothing else", async () => {
	const sandboxId = await running(api, spec({ secretStores: [{ storeName: "wandb", secrets: [{ path: "KEY", envVar: "THE_KEY" }] }] }));
	assert.equal((await streamed(api, { sandboxId, command: ["printenv", "THE_KEY"] }))[1], "hidden\n");
	assert(!JSON.stringify(await api.getSandbox({ sandboxId }), (_, value) => (typeof value === "bigint" ? String(value) : value)).includes("hidden"));
});

test("a root that is read-only", async () => {
	const sandboxId = await running(api, spec({ securityContext: { readOnlyRootFilesystem: true } }));
	assert.equal(await refused(api.writeFile({ sandboxId, path: "/tmp/x" })), "FILE_PERMISSION_DENIED");
});

test("templates", async () => {
	const templates = client(gateway.url, { name: "SandboxTemplateService" });
	const made = await templates.createSandboxTemplate({ sandboxTemplate: { displayName: "t", spec: { containers: [shell("exit 4")], tags: ["a"] } } });
	assert.equal(made.revision, 1n);
	const { sandboxId, sourceTemplateId, spec: whole } = await api.createSandboxFromTemplate({ templateId: "t", overrides: { tags: ["b"] } });
	assert.deepEqual([sourceTemplateId, whole.tags], [made.sandboxTemplateId, ["b"]]);
	assert.equal((await reaches(api, sandboxId, State.COMPLETED)).status.exitCode, 4);
	await templates.deleteSandboxTemplate({ sandboxTemplateId: made.sandboxTemplateId });
	assert.equal(await refused(api.createSandboxFromTemplate({ templateId: "t" })), Code.NotFound);
	assert.equal((await templates.listSandboxTemplates({ showDeleted: true })).sandboxTemplates.length, 1);
});

test("runners, volumes and settings", async () => {
	const discovery = client(gateway.url, { name: "DiscoveryService" });
	const { runners } = await discovery.listAvailableRunners({ healthyOnly: true });
	assert(runners.length >= 1 && runners.every((one) => one.healthy && !one.resources));
	const { runnerId, organizationId } = runners[0];
	assert((await discovery.getAvailableRunner({ runnerId, organizationId })).resources.availableCpuMillicores > 1n);
	assert.equal(await refused(discovery.getAvailableRunner({ runnerId: "none", organizationId })), "RUNNER_NOT_FOUND");
	const placed = await api.createSandbox({ sandbox: { spec: spec({}, { mode: 2, runnerIds: [runnerId] }) } });
	assert.equal(placed.status.runnerId, runnerId);
	const volumes = client(gateway.url, { name: "VolumeService" });
	const { volumeId } = await volumes.createVolume({ volume: { spec: { source: { case: "pvc", value: { runnerId, namespace: "n", claimName: "c" } } } } });
	const user = await running(api, spec({ volumeMounts: [{ volume: "v", mountPath: "/data" }] },
		{ volumes: [{ name: "v", source: { case: "volumeId", value: volumeId } }] }));
	assert.equal(await refused(volumes.deleteVolume({ volumeId })), "VOLUME_IN_USE");
	assert.equal(await refused(api.createFileSystemSnapshot({ sandboxId: user, scratchVolumeName: "v" })), "VOLUME_NOT_SNAPSHOTTABLE");
	const settings = client(gateway.url, { name: "SettingsService" });
	assert.deepEqual((await settings.listSecretStores({})).secretStores.map((one) => one.name), ["wandb"]);
	assert.equal((await settings.getFileSystemSnapshotBucketConfig({})).effectiveBucketName, "snapshots");
});

test("TLS with its own authority, and gRPC with the same errors", async () => {
	const nodeOptions = { ca: fs.readFileSync(gateway.ca) };
	await client(gateway.tls, { nodeOptions }).listSandboxes({});
	await client(gateway.tlsWeather, { nodeOptions }).listSandboxes({});
	await client(gateway.tls, { nodeOptions, httpVersion: "1.1" }).listSandboxes({});
	await assert.rejects(client(gateway.tls).listSandboxes({}));
	const grpc = createClient(service("SandboxService"), createGrpcTransport({ baseUrl: gateway.url, interceptors: [(next) => (request) => {
		request.header.set("authorization", "Bearer test-token");
		return next(request);
	}] }));
	assert.equal(await refused(grpc.getSandbox({ sandboxId: "none" })), "SANDBOX_NOT_FOUND");
	const sandboxId = await running(grpc);
	assert.equal((await streamed(grpc, { sandboxId, command: ["echo", "hello"] }))[1], "hello\n");
});

test("nothing is left when it is told to end, with sandboxes running, nor when it is killed", async () => {
	for (const end of ["SIGTERM", "SIGKILL of its node"]) {
		const other = await startGateway();
		await running(client(other.url), spec(shell("trap '' TERM; chmod 0 /home; while :; do sleep 1; done")));
		if (end !== "SIGTERM")
			process.kill(processesOf(other.directory).find((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("node\0")), "SIGKILL");
		await other.stop();
	}
});

test("it ends with the process that started it", async () => {
	const directory = fs.mkdtempSync("/tmp/gateway-test.");
	const script = new URL("../gateway", import.meta.url).pathname;
	const parent = spawn("/bin/sh", ["-c", `${script} --ready-file ${directory}/ready >/dev/null & sleep 1000`], { env: { ...process.env, TMPDIR: directory },
		stdio: "ignore", detached: true });
	await eventually(() => fs.existsSync(`${directory}/ready`));
	assert(processesOf(directory).length > 0);
	parent.kill("SIGKILL");
	await eventually(() => fs.readdirSync(directory).length === 1 && processesOf(directory).filter((pid) => pid !== parent.pid).length === 0);
	try {
		process.kill(-parent.pid, "SIGKILL"); // its sleep
	} catch {
		// was gone
	}
	fs.rmSync(directory, { recursive: true });
});
