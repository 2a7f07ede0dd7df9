// The life of sandboxes.

import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { enumeration, message } from "../lib/schema.js";
import { client, control, eventually, reaches, refused, running, shell, spec, startGateway, State, test } from "./harness.js";

const gateway = await startGateway();
const api = client(gateway.url);
const create = (spec, more) => api.createSandbox({ sandbox: { spec }, ...more });

test("a sandbox is made, runs, and ends when it is deleted", async () => {
	const made = await create(spec());
	assert.equal(made.status.state, State.CREATING);
	assert.equal(made.status.exitCode, undefined);
	const sandbox = await reaches(api, made.sandboxId, State.RUNNING);
	assert(sandbox.status.startTime.seconds > 0n && sandbox.status.runnerId);
	const { sandbox: ending } = await api.deleteSandbox({ sandboxId: made.sandboxId });
	assert.equal(ending.status.state, State.TERMINATING);
	const ended = await reaches(api, made.sandboxId, State.TERMINATED);
	assert.equal(ended.status.exitCode, undefined);
	assert((await api.deleteSandbox({ sandboxId: made.sandboxId, allowMissing: true })).sandbox);
});

test("a main process that ends by itself gives its exit code", async () => {
	for (const code of [0, 7]) {
		const { sandboxId } = await create(spec(shell(`exit ${code}`)));
		assert.equal((await reaches(api, sandboxId, State.COMPLETED)).status.exitCode, code);
	}
});

test("with failOnExit, one that fails makes its sandbox fail", async () => {
	await control(gateway, "POST", "/settings", { failOnExit: true });
	const { sandboxId } = await create(spec(shell("exit 3")));
	const { status } = await reaches(api, sandboxId, State.FAILED);
	assert.equal(status.stateReason, "exit status 3");
	await control(gateway, "POST", "/settings", { failOnExit: false });
});

test("exit codes come late, or never", async () => {
	await control(gateway, "POST", "/settings", { exitCodeLagMs: -1 });
	const { sandboxId } = await create(spec(shell("exit 5")));
	assert.equal((await reaches(api, sandboxId, State.COMPLETED)).status.exitCode, undefined);
	await control(gateway, "POST", "/settings", { exitCodeLagMs: 300 });
	const first = await api.getSandbox({ sandboxId });
	assert([undefined, 5].includes(first.status.exitCode));
	await eventually(async () => (await api.getSandbox({ sandboxId })).status.exitCode === 5);
	await control(gateway, "POST", "/settings", { exitCodeLagMs: 0 });
});

test("TERM comes first, KILL after the grace; another delete hastens it", async () => {
	const polite = await running(api, spec(shell('trap "exit 0" TERM; sleep 1000 & wait')));
	await api.deleteSandbox({ sandboxId: polite, gracePeriodSeconds: 300 });
	await reaches(api, polite, State.TERMINATED);
	const deaf = await running(api, spec(shell('trap "" TERM; while :; do sleep 1; done')));
	await api.deleteSandbox({ sandboxId: deaf, gracePeriodSeconds: 300 });
	assert.equal((await api.getSandbox({ sandboxId: deaf })).status.state, State.TERMINATING);
	await api.deleteSandbox({ sandboxId: deaf });
	await reaches(api, deaf, State.TERMINATED);
});

test("the same request makes one sandbox, also when both come at once; another with its id is refused", async () => {
	const request = { sandbox: { spec: spec() }, requestId: "once" };
	const [a, b] = await Promise.all([api.createSandbox(request), api.createSandbox(request)]);
	assert.equal(a.sandboxId, b.sandboxId);
	assert.equal((await api.createSandbox(request)).sandboxId, a.sandboxId);
	assert.equal(await refused(create(spec({ image: "other" }), { requestId: "once" })), Code.InvalidArgument);
	await api.deleteSandbox({ sandboxId: a.sandboxId });
});

test("environment, files, working directory and limits are there", async () => {
	const content = Buffer.from([0, 1, 2, 127, 128, 255]);
	const main = { ...shell('echo "$WHO" >/tmp/who; pwd >/tmp/where; python /workspace/deep/a.py; sleep 1000'), workingDir: "/workspace/deep",
		environmentVariables: { WHO: "me" }, files: [{ path: "/workspace/deep/a.py", content: Buffer.from("open('/tmp/ran', 'w').write('ran')") },
			{ path: "/srv/x/bytes", content }],
		resourceRequirements: { requests: { cpu: "500m", memory: "512Mi" }, limits: { cpu: "1", memory: "1Gi" } } };
	const sandboxId = await running(api, spec(main, { maxLifetimeSeconds: 61, tags: ["a"], annotations: { k: "v" } }));
	const read = async (path) => Buffer.from((await api.readFile({ sandboxId, path })).content);
	await eventually(() => read("/tmp/ran").then(String, () => ""));
	assert.equal(String(await read("/tmp/who")), "me\n");
	assert.equal(String(await read("/tmp/where")), "/workspace/deep\n");
	assert.deepEqual(await read("/srv/x/bytes"), content);
	const { status, spec: echoed } = await api.getSandbox({ sandboxId });
	assert.equal(status.effectiveMaxLifetimeSeconds, 61);
	assert.equal(status.effectiveResourceRequirements.limits.memory, "1Gi");
	assert.deepEqual(echoed.annotations, { k: "v" });
	await api.deleteSandbox({ sandboxId });
});

test("a lifetime ends", async () => {
	const { sandboxId } = await create(spec({}, { maxLifetimeSeconds: 1 }));
	assert.equal((await reaches(api, sandboxId, State.TERMINATED)).status.stateReason, "its lifetime is over");
});

test("sandboxes do not see each other, nor the machine, nor a network", async () => {
	const [a, b] = await Promise.all([running(api), running(api)]);
	const run = async (sandboxId, script) => String(Buffer.from((await api.exec({ sandboxId, command: ["sh", "-c", `(${script}) 2>&1`] })).stdout));
	assert.equal(await run(a, "echo a >/tmp/mine; cat /tmp/mine"), "a\n");
	assert.match(await run(b, "cat /tmp/mine"), /No such file/);
	assert.match(await run(a, "echo x >/proc/sys/kernel/hostname; echo x >/usr/x"), /denied[^]*Read-only/);
	assert.equal((await run(a, "ps ax | wc -l")).trim() < 10, true);
	const connect = `import socket; socket.create_connection(('127.0.0.1', ${new URL(gateway.control).port}))`;
	assert.match(await run(a, `python -c "${connect}"`), /Connection refused/);
	await Promise.all([a, b].map((sandboxId) => api.deleteSandbox({ sandboxId })));
});

test("lists: tags, states, pages", async () => {
	const ids = [];
	for (let i = 0; i < 3; i++)
		ids.push((await create(spec({}, { tags: ["paged", `n${i}`] }))).sandboxId);
	const seen = [];
	let pageToken = "";
	do {
		const page = await api.listSandboxes({ tags: ["paged"], pageSize: 1, pageToken });
		seen.push(...page.sandboxes.map((one) => one.sandboxId));
		pageToken = page.nextPageToken;
		if (pageToken)
			assert.equal(await refused(api.listSandboxes({ tags: ["other"], pageToken })), Code.InvalidArgument);
	} while (pageToken);
	assert.deepEqual(seen, ids);
	assert.equal((await api.listSandboxes({ tags: ["paged", "n1"] })).sandboxes[0].sandboxId, ids[1]);
	const { sandboxId } = await create(spec(shell("exit 0"), { tags: ["short"] }));
	await reaches(api, sandboxId, State.COMPLETED);
	const count = async (request) => (await api.listSandboxes({ tags: ["short"], ...request })).sandboxes.length;
	assert.deepEqual([await count({}), await count({ showTerminated: true }), await count({ state: State.COMPLETED }), await count({ state: State.RUNNING })],
		[0, 1, 1, 0]);
	assert.equal((await api.purgeSandboxes({ tags: ["paged"], dryRun: true })).purgeCount, 3);
	assert.equal((await api.purgeSandboxes({ tags: ["paged"] })).purgeCount, 3);
	await eventually(async () => (await api.listSandboxes({ tags: ["paged"] })).sandboxes.length === 0);
	assert.equal(await refused(api.purgeSandboxes({})), Code.InvalidArgument);
});

test("what is wrong with a specification is said", async () => {
	const Visibility = enumeration("Visibility");
	const service = (visibility, port) => ({ port, visibility });
	const refusals = [
		[undefined, Code.InvalidArgument], [spec({ image: "" }), Code.InvalidArgument], [spec({}, { tags: ["-"] }), Code.InvalidArgument],
		[spec({}, { maxLifetimeSeconds: 31 * 86400 }), Code.InvalidArgument], [spec({}, { runnerIds: ["runner-1"] }), Code.InvalidArgument],
		[spec({}, { runnerIds: ["gone"], mode: 2 }), "RUNNER_UNAVAILABLE"], [spec({ secretStores: [{ storeName: "none" }] }), "SECRET_STORE_NOT_PROVISIONED"],
		[spec({ resources: { cpu: "9999" } }), "RESOURCE_CEILING_EXCEEDED"], [spec({ resources: { cpu: "-1" } }), Code.InvalidArgument],
		[spec({}, { services: [service(Visibility.PUBLIC, 80), service(Visibility.PRIVATE, 81)] }), "NOT_IMPLEMENTED"],
		[spec({ files: [{ path: "../x" }] }), Code.InvalidArgument], [spec({ volumeMounts: [{ volume: "v", mountPath: "/data" }] }), Code.InvalidArgument],
	];
	for (const [wrong, wanted] of refusals)
		assert.equal(await refused(create(wrong)), wanted, JSON.stringify(wrong));
	const violation = await create(spec({ image: "" })).catch((e) => ConnectError.from(e).findDetails(message("BadRequest"))[0].fieldViolations[0]);
	assert.equal(violation.field, "spec.containers[0].image");
});

test("what is not there is not found; what has ended does not run", async () => {
	assert.equal(await refused(api.getSandbox({ sandboxId: "none" })), "SANDBOX_NOT_FOUND");
	assert.equal(await refused(api.deleteSandbox({ sandboxId: "none" })), "SANDBOX_NOT_FOUND");
	assert.equal((await api.deleteSandbox({ sandboxId: "none", allowMissing: true })).sandbox, undefined);
	const { sandboxId } = await create(spec({ image: "missing:1" }));
	const { status } = await reaches(api, sandboxId, State.FAILED);
	assert.match(status.stateReason, /cannot pull/);
	assert.equal(await refused(api.exec({ sandboxId, command: ["true"] })), "SANDBOX_NOT_RUNNING");
	assert.equal(await refused(api.readFile({ sandboxId, path: "/x" })), "SANDBOX_NOT_RUNNING");
});

test("tokens and keys are checked, and whose a sandbox is", async () => {
	const mine = await create(spec());
	for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: "test-token" }, { "x-api-key": "wrong" }])
		assert.equal(await refused(client(gateway.url, { headers }).listSandboxes({})), Code.Unauthenticated);
	for (const name of ["x-api-key", "x-wandb-api-key"]) {
		const other = client(gateway.url, { headers: { [name]: "test-wandb-key" } });
		assert.equal(await refused(other.getSandbox({ sandboxId: mine.sandboxId })), "SANDBOX_NOT_FOUND");
	}
	await api.deleteSandbox({ sandboxId: mine.sandboxId });
});
