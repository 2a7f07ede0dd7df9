// Commands, files and logs of one sandbox.

import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { message } from "../lib/schema.js";
import { client, close, control, eventually, refused, resize, running, shell, spec, startGateway, stdin, streamed, test } from "./harness.js";

const gateway = await startGateway();
const api = client(gateway.url);
const sandboxId = await running(api);
const sh = (script, input, more) => streamed(api, { sandboxId, command: ["/bin/sh", "-c", script], ...more }, input);

test("Exec: both streams, the code, and how much there was", async () => {
	const got = await api.exec({ sandboxId, command: ["sh", "-c", 'printf "%s" "$A"; echo no >&2; exit 7'], env: { A: "0123456789" }, maxOutputBytes: 4 });
	assert.deepEqual([String(Buffer.from(got.stdout)), String(Buffer.from(got.stderr)), got.exitCode], ["0123", "no\n", 7]);
	assert.deepEqual([got.stdoutTruncated, got.stderrTruncated, got.stdoutBytesProduced], [true, false, 10n]);
	assert.equal((await api.exec({ sandboxId, command: ["none-such"] })).exitCode, 127);
	assert.equal(await refused(api.exec({ sandboxId, command: [] })), Code.InvalidArgument);
});

test("StreamExec: ready, both streams apart, the code", async () => {
	const got = await sh("echo out; echo no >&2; exit 42");
	assert.deepEqual([got.ready !== false, got[1], got[2], got.exit.exitCode], [true, "out\n", "no\n", 42]);
	assert.equal((await sh("echo hello")).frames, 1);
	assert.equal((await sh("kill -KILL $$")).exit.exitCode, 137);
	assert.equal((await sh("echo x >/dev/stderr; cat /dev/stdin", [stdin("in")]))[1], "in");
});

test("StreamExec: a frame for each write", async () => {
	const got = await sh("for i in 1 2 3 4 5; do echo $i; sleep 0.1; done");
	assert.deepEqual([got.frames, got[1]], [5, "1\n2\n3\n4\n5\n"]);
});

test("StreamExec: much output, in order", async () => {
	const wanted = Array.from({ length: 200000 }, (_, i) => `${i}\n`).join("");
	assert.equal((await sh("seq 0 199999"))[1], wanted);
});

test("StreamExec: input, its end, and a program that does not want it", async () => {
	const chunks = Array.from({ length: 8 }, (_, i) => String(i).repeat(25000));
	assert.equal((await sh("wc -c", [...chunks.map(stdin), close]))[1].trim(), "200000");
	assert.equal((await sh("sort", [stdin("b\n"), stdin("a\n")]))[1], "a\nb\n");
	assert.equal((await sh("exit 3", chunks.map(stdin))).exit.exitCode, 3);
	// Output goes on after the end of input.
	assert.equal((await sh("cat; echo after", [stdin("x\n"), close]))[1], "x\nafter\n");
});

test("StreamExec: a terminal, its size, and its end", async () => {
	const init = { sandboxId, command: ["/bin/sh"], tty: true, ttyWidth: 100, ttyHeight: 20 };
	const got = await streamed(api, init, [stdin("stty size; test -t 0 && echo is''tty; exit 5\n")]);
	assert.match(got[1], /20 100\r\n[^]*istty/);
	assert.equal(got.exit.exitCode, 5);
	const resized = await streamed(api, init, [resize(70, 30), stdin('until stty size | grep "30 70"; do sleep 0.1; done; exit\n')]);
	assert.match(resized[1], /30 70\r\n/);
});

test("a dropped call ends its process and leaves the sandbox well", async () => {
	const call = new AbortController();
	const marker = "sleep 987654";
	const dropped = streamed(api, { sandboxId, command: ["sh", "-c", `${marker}; true`] }, [], { signal: call.signal });
	const seen = () => sh("ps axo args").then((got) => got[1].includes(`\n${marker}`));
	await eventually(seen);
	call.abort();
	assert.equal(await refused(dropped), Code.Canceled);
	await eventually(async () => !(await seen()));
});

test("a deadline ends a call", async () => {
	const slow = api.exec({ sandboxId, command: ["sleep", "1000"] }, { timeoutMs: 200 });
	assert([Code.DeadlineExceeded, "COMMAND_TIMEOUT"].includes(await refused(slow)));
});

test("the first message must be init", async () => {
	async function all() {
		for await (const _ of api.streamExec((async function* () {
			yield stdin("x");
		})()));
	}
	assert.equal(await refused(all()), Code.InvalidArgument);
});

test("files: every byte, overwriting, and what is refused", async () => {
	const content = Buffer.from(Array.from({ length: 1 << 18 }, (_, i) => i & 255));
	const write = (path, content) => api.writeFile({ sandboxId, path, content });
	const read = async (path) => Buffer.from((await api.readFile({ sandboxId, path })).content);
	await write("/tmp/a file's", content);
	assert.deepEqual(await read("/tmp/a file's"), content);
	await write("/tmp/a file's", Buffer.alloc(0));
	assert.equal((await read("/tmp/a file's")).length, 0);
	await sh("mkdir -p /tmp/d; ln -sf /tmp/d/f /tmp/link");
	await write("/tmp/link", Buffer.from("through"));
	assert.equal(String(await read("/tmp/d/f")), "through");
	const refusals = [[read, "/tmp/none", "FILE_NOT_FOUND"], [read, "/tmp/d", "FILE_IS_DIRECTORY"], [write, "/tmp/d", "FILE_IS_DIRECTORY"],
		[write, "/none/x", "FILE_NOT_FOUND"], [write, "/usr/x", "FILE_PERMISSION_DENIED"], [read, "", Code.InvalidArgument]];
	for (const [call, path, wanted] of refusals)
		assert.equal(await refused(call(path, Buffer.from("x"))), wanted);
	await Promise.all(Array.from({ length: 12 }, async (_, i) => {
		await write(`/tmp/many${i}`, Buffer.from(`${i}`));
		assert.equal(String(await read(`/tmp/many${i}`)), `${i}`);
	}));
});

test("files over the cap are refused with their size", async () => {
	await control(gateway, "POST", "/settings", { fileBytesMax: 1000 });
	await sh("head -c 1001 /dev/zero >/tmp/big; head -c 1000 /dev/zero >/tmp/fits");
	assert.equal((await api.readFile({ sandboxId, path: "/tmp/fits" })).content.length, 1000);
	const [info] = await api.readFile({ sandboxId, path: "/tmp/big" }).catch((e) => ConnectError.from(e).findDetails(message("ErrorInfo")));
	assert.deepEqual([info.reason, info.metadata.size_bytes, info.metadata.max_size_bytes, info.metadata.filepath],
		["CWSANDBOX_FILE_TOO_LARGE", "1001", "1000", "/tmp/big"]);
	assert.equal(await refused(api.writeFile({ sandboxId, path: "/tmp/x", content: Buffer.alloc(1001) })), "FILE_TOO_LARGE");
	await control(gateway, "POST", "/settings", { fileBytesMax: 32 << 20 });
});

async function entries(api, request, options) {
	const list = [];
	for await (const entry of api.streamLogs(request, options))
		list.push(entry);
	return list;
}
const text = (list) => list.map((entry) => Buffer.from(entry.data).toString()).join("");

test("logs: the main process's output alone, its tail, times", async () => {
	assert.deepEqual(await entries(api, { sandboxId }), []);
	const other = await running(api, spec(shell('echo one; echo two; echo three; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo four >&2; sleep 1000')));
	await eventually(async () => text(await entries(api, { sandboxId: other })) === "one\ntwo\nthree\n");
	assert.equal(text(await entries(api, { sandboxId: other, tailLines: 2 })), "two\nthree\n");
	assert.match(text(await entries(api, { sandboxId: other, timestamps: true, tailLines: 1 })), /^\d{4}-\d\d-\d\dT[\d:.]+Z three\n$/);
	const call = new AbortController();
	let all = "", offset = 0n, session;
	const follow = (async () => {
		for await (const entry of api.streamLogs({ sandboxId: other, follow: true }, { signal: call.signal })) {
			assert.equal(entry.nextLogOffset, offset + BigInt(entry.data.length));
			offset = entry.nextLogOffset;
			session ??= entry.logSessionId;
			assert.equal(entry.logSessionId, session);
			all += Buffer.from(entry.data).toString();
			if (all.endsWith("four\n"))
				return;
			if (all.endsWith("three\n"))
				await api.writeFile({ sandboxId: other, path: "/tmp/go" });
		}
	})();
	await follow;
	assert.equal(all, "one\ntwo\nthree\nfour\n");
	const resumed = api.streamLogs({ sandboxId: other, follow: true, resumeLogSessionId: session, resumeLogOffset: 8n }, { signal: call.signal });
	const { value } = await resumed[Symbol.asyncIterator]().next();
	assert(Buffer.from(value.data).toString().startsWith("three\n"));
	call.abort();
	const [gone] = await entries(api, { sandboxId: other, follow: true, resumeLogSessionId: "none" });
	assert.equal(gone.error.code, "SESSION_NOT_FOUND");
	const [beyond] = await entries(api, { sandboxId: other, follow: true, resumeLogSessionId: session, resumeLogOffset: 1000n });
	assert.equal(beyond.error.code, "INVALID_RESUME_OFFSET");
	await api.deleteSandbox({ sandboxId: other });
	assert.equal(await refused(entries(api, { sandboxId: other })), "SANDBOX_NOT_RUNNING");
});
