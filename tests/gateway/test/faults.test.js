// Faults: each does what README.md says of it, and uses itself up.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import http2 from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { message } from "../lib/schema.js";
import { client, control, eventually, reaches, refused, nodeVersion, running, shell, spec, startGateway, State, streamed, test } from "./harness.js";

const gateway = await startGateway();
const api = client(gateway.url);
const sandboxId = await running(api);
const arm = (...faults) => control(gateway, "POST", "/faults", faults);
const command = ["/bin/sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.02; done"];
const path = (method) => `/coreweave.sandbox.v1.SandboxService/${method}`;

// One call as bare HTTP/2: its status, headers, bytes, and the code its stream was reset with.
async function bare(url, method, body = "{}", headers = {}) {
	const session = http2.connect(url);
	const got = { bytes: Buffer.alloc(0), lost: false, goaway: false };
	session.on("error", () => (got.lost = true)).on("goaway", () => (got.goaway = true));
	const stream = session.request({ ":method": "POST", ":path": path(method), "content-type": "application/json", authorization: "Bearer test-token",
		...headers });
	stream.on("response", (headers) => (got.headers = headers)).on("error", () => {});
	stream.on("data", (data) => (got.bytes = Buffer.concat([got.bytes, data])));
	stream.end(body);
	await new Promise((resolve) => stream.on("close", resolve));
	got.reset = stream.rstCode;
	got.ended = stream.readableEnded;
	session.destroy();
	return got;
}

test("errors: every code and detail, and only as often as armed", async () => {
	await arm({ method: "GetSandbox", skip: 1, times: 2, error: { reason: "RUNNER_UNAVAILABLE", retryDelayMs: 1500, metadata: { a: "b" } } });
	await api.getSandbox({ sandboxId });
	for (let i = 0; i < 2; i++) {
		const e = await api.getSandbox({ sandboxId }).catch(ConnectError.from);
		assert.equal(e.code, Code.Unavailable);
		assert.equal(e.findDetails(message("ErrorInfo"))[0].metadata.a, "b");
		assert.deepEqual([e.findDetails(message("RetryInfo"))[0].retryDelay.seconds, e.findDetails(message("RetryInfo"))[0].retryDelay.nanos], [1n, 5e8]);
	}
	await api.getSandbox({ sandboxId });
	for (const code of ["canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
		"resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated"]) {
		await arm({ method: "*", error: { code } });
		assert.equal(Code[await refused(api.listSandboxes({}))].toLowerCase(), code.replaceAll("_", ""));
	}
});

test("errors at the end: a sandbox is made and nobody is told; the same request finds it", async () => {
	const request = { sandbox: { spec: spec({}, { tags: ["lost"] }) }, requestId: "lost" };
	await arm({ method: "CreateSandbox", error: { code: "unavailable", at: "end" } });
	assert.equal(await refused(api.createSandbox(request)), Code.Unavailable);
	const { sandboxes } = await api.listSandboxes({ tags: ["lost"] });
	assert.equal((await api.createSandbox(request)).sandboxId, sandboxes[0].sandboxId);
});

test("errors in a stream come after its messages", async () => {
	await arm({ method: "StreamExec", error: { code: "unavailable", at: 2 } });
	let frames = 0;
	async function all() {
		for await (const _ of api.streamExec((async function* () {
			yield { message: { case: "init", value: { sandboxId, command } } };
		})()))
			frames++;
	}
	assert.equal(await refused(all()), Code.Unavailable);
	assert.equal(frames, 2);
});

test("delays, and calls that never answer", async () => {
	await arm({ method: "GetSandbox", delayMs: 300 });
	const before = performance.now();
	await api.getSandbox({ sandboxId });
	assert(performance.now() - before > 290);
	await arm({ method: "GetSandbox", hang: true });
	assert.equal(await refused(api.getSandbox({ sandboxId }, { timeoutMs: 100 })), Code.DeadlineExceeded);
});

test("an answer that is none of the API's", async () => {
	await arm({ method: "GetSandbox", http: { status: 502, body: "<html>" } });
	const got = await bare(gateway.url, "GetSandbox");
	assert.deepEqual([got.headers[":status"], got.headers["content-type"], String(got.bytes)], [502, "text/html", "<html>"]);
});

test("cuts at every byte: reset, lost, or just over", async () => {
	const whole = (await bare(gateway.url, "GetSandbox", JSON.stringify({ sandboxId }))).bytes.length;
	for (const sent of [0, 1, 100, whole]) {
		for (const how of ["reset", "end", "connection"]) {
			await arm({ method: "GetSandbox", cut: { sent, how } });
			const got = await bare(gateway.url, "GetSandbox", JSON.stringify({ sandboxId }));
			if (how !== "connection")
				assert.equal(got.bytes.length, sent, how);
			assert.equal(got.reset === http2.constants.NGHTTP2_NO_ERROR && got.ended, how === "end", `${how} after ${sent}: ${got.reset} ${got.ended}`);
		}
	}
	await arm({ method: "WriteFile", cut: { received: 10 } });
	assert.notEqual((await bare(gateway.url, "WriteFile", JSON.stringify({ sandboxId, path: "/tmp/x" }))).reset, 0);
	assert.equal(await refused(api.readFile({ sandboxId, path: "/tmp/x" })), "FILE_NOT_FOUND");
});

test("a stream that is just over has no end message", async () => {
	await arm({ method: "StreamExec", cut: { sent: 60, how: "end" } });
	const init = Buffer.from(JSON.stringify({ init: { sandboxId, command } }));
	const head = Buffer.alloc(5);
	head.writeUInt32BE(init.length, 1);
	const got = await bare(gateway.url, "StreamExec", Buffer.concat([head, init]), { "content-type": "application/connect+json" });
	assert.equal(got.bytes.length, 60);
	assert.equal(got.reset, 0);
});

test("stalls, pieces, other words, padding", async () => {
	await arm({ method: "GetSandbox", stall: { sent: 10, ms: 200 } }, { method: "StreamExec", split: 1 });
	const before = performance.now();
	await api.getSandbox({ sandboxId });
	assert(performance.now() - before > 190);
	assert.equal((await streamed(api, { sandboxId, command }))[1], "1\n2\n3\n4\n5\n");
	await arm({ method: "GetSandbox", rewrite: [["STATE_RUNNING", "STATE_DREAMING"], ['{"sandboxId"', '{"new":{"a":[1]},"sandboxId"']] });
	const got = JSON.parse((await bare(gateway.url, "GetSandbox", JSON.stringify({ sandboxId }))).bytes);
	assert.deepEqual([got.status.state, got.new], ["STATE_DREAMING", { a: [1] }]);
	await arm({ method: "StreamExec", rewrite: [["MQo=", "Mgo="]] });
	assert.equal((await streamed(api, { sandboxId, command }))[1], "2\n2\n3\n4\n5\n");
	await arm({ method: "GetSandbox", padDetails: true });
	const { details } = JSON.parse((await bare(gateway.url, "GetSandbox", '{"sandboxId":"x"}')).bytes);
	assert.equal(details[0].value.length % 4, 0);
	await control(gateway, "POST", "/settings", { alwaysEmitImplicit: true });
	assert.match(String((await bare(gateway.url, "ListSandboxes", '{"tags":["none"]}')).bytes), /"nextPageToken":""/);
	await control(gateway, "POST", "/settings", { alwaysEmitImplicit: false });
});

test("GOAWAY lets its call go on", async () => {
	await arm({ method: "StreamExec", goaway: true });
	assert.equal((await streamed(api, { sandboxId, command }))[1], "1\n2\n3\n4\n5\n");
	await control(gateway, "POST", "/goaway");
	await api.getSandbox({ sandboxId });
}, { skip: nodeVersion < 20 && "the client of Node 18 gives calls up at a GOAWAY" });

test("calls are counted, and seen with their connections", async () => {
	await control(gateway, "DELETE", "/counts");
	await Promise.all([1, 2, 3].map(() => api.getSandbox({ sandboxId }, { timeoutMs: 5000 })));
	await api.listSandboxes({});
	assert.deepEqual(await control(gateway, "GET", "/counts"), { GetSandbox: 3, ListSandboxes: 1 });
	const calls = await control(gateway, "GET", "/calls");
	assert.equal(new Set(calls.map((call) => call.connection)).size, 1);
	assert.deepEqual([calls[0].method, calls[0].http, calls[0].status], ["GetSandbox", "2.0", 200]);
	assert(calls[0].timeoutMs > 4000);
});

test("the weather: latency, lost connections, stalls, and nothing there", async () => {
	const far = client(gateway.weather);
	await far.getSandbox({ sandboxId });
	await control(gateway, "POST", "/weather", { latencyMs: 200 });
	const before = performance.now();
	await Promise.all(Array.from({ length: 20 }, () => far.getSandbox({ sandboxId })));
	const took = performance.now() - before;
	assert(took > 195 && took < 20 * 195, `${took} ms`); // one after another would be more
	await control(gateway, "POST", "/weather", { latencyMs: 0, cutDownAfter: 20000 });
	const big = streamed(far, { sandboxId, command: ["sh", "-c", "head -c 100000 /dev/urandom; sleep 1000"] });
	assert.equal(typeof await refused(big), "number");
	assert.equal((await streamed(far, { sandboxId, command }))[1], "1\n2\n3\n4\n5\n");
	await control(gateway, "POST", "/weather", { cutUpAfter: 1000 });
	await refused(far.writeFile({ sandboxId, path: "/tmp/cut", content: randomBytes(5000) }));
	await control(gateway, "POST", "/weather", { stall: true });
	const stalled = far.getSandbox({ sandboxId });
	assert.equal(await refused(far.getSandbox({ sandboxId }, { timeoutMs: 200 })), Code.DeadlineExceeded);
	await control(gateway, "POST", "/weather", { stall: false });
	await stalled;
	await control(gateway, "POST", "/down");
	assert.equal(await refused(far.getSandbox({ sandboxId })), Code.Unavailable);
	await api.getSandbox({ sandboxId });
	await control(gateway, "POST", "/up");
	await eventually(() => far.getSandbox({ sandboxId }).then(() => true, () => false));
	await control(gateway, "POST", "/cut");
	await eventually(() => far.getSandbox({ sandboxId }).then(() => true, () => false));
});

test("a sandbox can be made to pause: nothing goes on in it, calls wait, are refused or let it go on, and are cut", async () => {
	const sandboxId = await running(api);
	const to = (state) => control(gateway, "POST", `/sandboxes/${sandboxId}`, { to: state });
	const settings = (some) => control(gateway, "POST", "/settings", some);
	const state = async () => (await api.getSandbox({ sandboxId })).status.state;
	const exec = (text, options) => api.exec({ sandboxId, command: ["sh", "-c", text] }, options);
	const said = ({ stdout }) => Buffer.from(stdout).toString();
	const ticking = exec("while [ ! -e /tmp/stop ]; do echo >>/tmp/ticks; sleep 0.01; done");
	await eventually(async () => Number(said(await exec("wc -l </tmp/ticks"))) > 3);
	await to("paused");
	assert.equal(await state(), State.PAUSED);
	assert.equal(await refused(exec("true", { timeoutMs: 300 })), Code.DeadlineExceeded);
	await settings({ pausedCalls: "refuse" });
	assert.equal(await refused(exec("true")), "SANDBOX_NOT_RUNNING");
	await settings({ pausedCalls: "wait" });
	const waiting = exec("touch /tmp/stop; echo on");
	await to("running");
	assert.equal(said(await waiting), "on\n");
	assert.equal((await ticking).exitCode, 0);
	assert.equal(await state(), State.RUNNING);
	await settings({ pauseCuts: true, pausedCalls: "resume" });
	const cut = refused(streamed(api, { sandboxId, command: ["sleep", "1000"] }));
	await eventually(async () => (await exec("pgrep sleep || grep -l sleep /proc/[0-9]*/cmdline")).exitCode === 0);
	await to("paused");
	assert.equal(await cut, Code.Unavailable);
	assert.equal(said(await exec("echo awake")), "awake\n");
	assert.equal(await state(), State.RUNNING);
	await settings({ pauseCuts: false, pausedCalls: "wait" });
	await to("paused");
	await api.deleteSandbox({ sandboxId, gracePeriodSeconds: 5 });
	await reaches(api, sandboxId, State.TERMINATED);
});

test("the addresses of services may come late", async () => {
	await control(gateway, "POST", "/settings", { serviceUrlMs: 600000 });
	const sandboxId = await running(api, spec({}, { services: [{ port: 80, visibility: 1 }] }));
	const url = async () => (await api.getSandbox({ sandboxId })).status.services[0].url;
	assert.equal(await url(), "");
	await control(gateway, "POST", "/settings", { serviceUrlMs: 0 });
	assert.match(await url(), /^http:/);
});

test("the main process can be killed", async () => {
	const { sandboxId } = await api.createSandbox({ sandbox: { spec: spec(shell("sleep 1000")) } });
	await reaches(api, sandboxId, State.RUNNING);
	await control(gateway, "POST", `/sandboxes/${sandboxId}`, { to: "kill" });
	assert.equal((await reaches(api, sandboxId, State.COMPLETED)).status.exitCode, 137);
});

test("what cannot be set or armed is refused", async () => {
	for (const [path, body] of [["/faults", { method: "*", oops: 1 }], ["/faults", {}], ["/faults", { method: "*", error: { code: "no" } }],
		["/settings", { oops: 1 }], ["/settings", { pendingMs: "1" }], ["/weather", { oops: 1 }], ["/none", {}]])
		await assert.rejects(control(gateway, "POST", path, body), path);
});
