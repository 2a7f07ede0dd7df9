// A gateway for the tests of one file, a client of it, and what they ask for over and over.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import dns from "node:dns";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import * as runner from "node:test";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { enumeration, message, service } from "../lib/schema.js";

// Debian 12 has Node 18, which tries one address of localhost only.
dns.setDefaultResultOrder("ipv4first");
export const nodeVersion = Number(process.versions.node.split(".")[0]);

// A test that hangs fails.
export const test = (name, act, options = {}) => runner.test(name, { timeout: 60000, ...options }, act);

export const State = enumeration("State");
const script = new URL("../gateway", import.meta.url).pathname;

// Asks until it is so; fails after half a minute.
export async function eventually(ask) {
	const deadline = Date.now() + 30000;
	for (;;) {
		const got = await ask();
		if (got)
			return got;
		assert(Date.now() < deadline, `never: ${ask}`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

const alive = (pid) => {
	try {
		return process.kill(pid, 0);
	} catch {
		return false;
	}
};

export async function startGateway({ options = [], settings = {} } = {}) {
	const directory = fs.mkdtempSync(path.join(os.tmpdir(), "gateway-test."));
	fs.chmodSync(directory, 0o755);
	const ready = path.join(directory, "ready");
	const child = spawn(script, ["--ready-file", ready, ...options], { stdio: ["ignore", "ignore", "inherit"],
		env: { ...process.env, TMPDIR: directory, GATEWAY_SETTINGS: JSON.stringify(settings) } });
	const exited = once(child, "exit");
	await Promise.race([eventually(() => fs.existsSync(ready)), exited.then(() => assert.fail("the gateway ended"))]);
	const addresses = JSON.parse(fs.readFileSync(ready));
	// Ends it, and sees that nothing is left.
	async function stop(signal = "SIGTERM") {
		if (!fs.existsSync(directory))
			return;
		child.kill(signal);
		await exited;
		await eventually(() => fs.readdirSync(directory).every((name) => name === "ready"));
		await eventually(() => !processesOf(directory).some(alive));
		fs.rmSync(directory, { recursive: true });
	}
	runner.after(() => stop());
	return { ...addresses, stop, child, directory };
}

// Whose arguments name it.
export function processesOf(directory) {
	return fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
		try {
			return fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(directory);
		} catch {
			return false;
		}
	});
}

export function client(url, { name = "SandboxService", headers = { authorization: "Bearer test-token" }, ...more } = {}) {
	const interceptor = (next) => (request) => {
		for (const [name, value] of Object.entries(headers))
			request.header.set(name, value);
		return next(request);
	};
	return createClient(service(name), createConnectTransport({ baseUrl: url, httpVersion: "2", useBinaryFormat: false,
		interceptors: [interceptor], ...more }));
}

export async function control(gateway, method, path, body) {
	const response = await fetch(gateway.control + path, { method, body: body && JSON.stringify(body) });
	const answer = await response.json();
	assert.equal(response.status, 200, answer.error);
	return answer;
}

export const shell = (script) => ({ name: "main", image: "python:3.11", command: "/bin/sh", args: ["-c", script] });

// A specification: `container` over the usual one, `more` beside it.
export const spec = (container = {}, more = {}) => ({ containers: [{ name: "main", image: "python:3.11", ...container }], ...more });

export async function running(api, wanted = spec()) {
	const { sandboxId } = await api.createSandbox({ sandbox: { spec: wanted } });
	await reaches(api, sandboxId, State.RUNNING);
	return sandboxId;
}

export function reaches(api, sandboxId, ...states) {
	return eventually(async () => {
		const sandbox = await api.getSandbox({ sandboxId });
		return states.includes(sandbox.status.state) && sandbox;
	});
}

// All that StreamExec answers; input: messages after init. Output is joined by stream.
export async function streamed(api, init, input = [], options) {
	const got = { frames: 0, 1: "", 2: "", ready: false };
	async function* requests() {
		yield { message: { case: "init", value: init } };
		yield* input;
	}
	for await (const { message } of api.streamExec(requests(), options)) {
		if (message.case === "output") {
			got.frames++;
			got[message.value.stream] += Buffer.from(message.value.data).toString("latin1");
		} else {
			assert(message.case === "ready" || got.ready, "ready comes first");
			got[message.case] = message.value;
		}
	}
	return got;
}

export const stdin = (data) => ({ message: { case: "stdin", value: Buffer.from(data) } });
export const close = { message: { case: "close", value: {} } };
export const resize = (width, height) => ({ message: { case: "resize", value: { width, height } } });

// The reason a call is refused with, without its prefix, or its code's number.
export async function refused(call) {
	try {
		await call;
	} catch (e) {
		const [info] = ConnectError.from(e).findDetails(message("ErrorInfo"));
		return info ? info.reason.replace("CWSANDBOX_", "") : e.code;
	}
	return assert.fail("it was not refused");
}
