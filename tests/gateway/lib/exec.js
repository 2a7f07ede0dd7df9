// Exec, StreamExec and StreamLogs.

import { error, invalid, refusal } from "./errors.js";
import { enumeration } from "./schema.js";
import { State } from "./sandbox.js";
import { timestamp, wait } from "./time.js";

const Stream = enumeration("ExecStreamOutput.Stream");
// Of output on its way to the client; beyond, the process has to wait.
const QUEUE_MAX = 8;

function check(command, env) {
	if (!command.length || !command[0])
		throw invalid("command", "is required");
	if ([...command, ...Object.entries(env).flat()].some((word) => word.includes("\0")))
		throw invalid("command", "holds a NUL");
}

// All of a stream, of which the first `max` bytes are kept.
async function capped(stream, max) {
	const kept = [];
	let bytes = 0;
	for await (const chunk of stream) {
		kept.push(chunk.subarray(0, Math.max(max - bytes, 0)));
		bytes += chunk.length;
	}
	return { data: Buffer.concat(kept), bytes };
}

async function exec(gateway, request, context) {
	check(request.command, request.env);
	const container = await gateway.sandboxes.find(request.sandboxId, context).container(request.container, context.signal);
	const child = await container.run(request.command, { environment: request.env });
	whenAborted(context.signal, () => child.kill());
	const max = request.maxOutputBytes || gateway.settings.execOutputBytesMax;
	const [stdout, stderr, exitCode] = await Promise.all([capped(child.stdout, max), capped(child.stderr, max), child.exit]);
	if (context.signal.aborted && context.signal.reason?.code === 4)
		throw refusal("COMMAND_TIMEOUT", "the command ran out of time");
	return {
		stdout: stdout.data, stderr: stderr.data, exitCode,
		stdoutTruncated: stdout.bytes > max, stderrTruncated: stderr.bytes > max,
		stdoutBytesProduced: BigInt(stdout.bytes), stderrBytesProduced: BigInt(stderr.bytes),
	};
}

function whenAborted(signal, act) {
	if (signal.aborted)
		act();
	signal.addEventListener("abort", act, { once: true });
}

// Both streams of a process, a chunk for each of its writes as far as the pipe kept them apart.
class Output {
	#queue = [];
	#streams;
	#open;
	#wake = () => {};

	constructor(child) {
		this.#streams = [[child.stdout, Stream.STDOUT], [child.stderr, Stream.STDERR]];
		this.#open = this.#streams.length;
		for (const [stream, name] of this.#streams) {
			stream.on("data", (data) => this.#push({ stream: name, data }));
			stream.on("error", () => {}).on("close", () => {
				this.#open--;
				this.#wake();
			});
		}
	}

	#push(chunk) {
		this.#queue.push(chunk);
		if (this.#queue.length >= QUEUE_MAX)
			this.#streams.forEach(([stream]) => stream.pause());
		this.#wake();
	}

	// The next one, or nothing at the end of both.
	async next() {
		while (!this.#queue.length && this.#open)
			await new Promise((resolve) => (this.#wake = resolve));
		const chunk = this.#queue.shift();
		if (this.#queue.length < QUEUE_MAX)
			this.#streams.forEach(([stream]) => stream.resume());
		return chunk;
	}

	destroy() {
		this.#streams.forEach(([stream]) => stream.destroy());
	}
}

// What the client sends after init. The end of its messages is the end of input too.
async function feed(requests, child) {
	for (let { value, done } = await requests.next(); !done; { value, done } = await requests.next()) {
		const { case: kind, value: what } = value.message;
		if (kind === "resize")
			child.resize(what.width, what.height);
		else if (kind === "close")
			child.stdin.end();
		else if (kind === "stdin" && child.stdin.writable && !child.stdin.write(what))
			await new Promise((resolve) => child.stdin.once("drain", resolve).once("close", resolve));
	}
	child.stdin.end();
}

async function* streamExec(gateway, messages, context) {
	const { settings } = gateway;
	const requests = messages[Symbol.asyncIterator]();
	const first = (await requests.next()).value?.message;
	if (first?.case !== "init")
		throw error({ code: "invalid_argument", message: "the first message must be init" });
	const init = first.value;
	check(init.command, init.env);
	const sandbox = gateway.sandboxes.find(init.sandboxId, context);
	const container = await sandbox.container(init.container, context.signal);
	const [program] = init.command;
	if (settings.missingProgram === "error" && container.lacks(program))
		return yield failure("EXEC_FAILED", `exec: "${program}": stat ${program}: no such file or directory`);
	const tty = init.tty ? { width: init.ttyWidth, height: init.ttyHeight } : undefined;
	const child = await container.run(init.command, { environment: init.env, stdin: true, tty });
	const output = new Output(child);
	const drop = () => {
		output.destroy();
		if (settings.killOnCancel)
			child.kill();
	};
	const { cut } = sandbox;
	whenAborted(context.signal, drop);
	whenAborted(cut, drop);
	try {
		feed(requests, child).catch(() => child.stdin.end()); // reset, or cut: the end of input as well
		await wait(settings.readyDelayMs, context.signal);
		yield { message: { case: "ready", value: { readyTime: timestamp() } } };
		for (let chunk = await output.next(); chunk; chunk = await output.next()) {
			const before = Date.now();
			yield { message: { case: "output", value: chunk } };
			if (settings.backpressureMs && Date.now() - before > settings.backpressureMs)
				return yield failure("STREAM_BACKPRESSURE", "the reader was too slow");
		}
		if (context.signal.aborted)
			throw context.signal.reason;
		if (cut.aborted)
			throw error({ code: "unavailable", message: "the sandbox was paused" });
		yield { message: { case: "exit", value: { exitCode: await child.exit, completedTime: timestamp() } } };
	} finally {
		context.signal.removeEventListener("abort", drop);
		cut.removeEventListener("abort", drop);
		drop();
	}
}

const failure = (code, text) => ({ message: { case: "error", value: { code, message: text } } });

async function* streamLogs(gateway, request, context) {
	const sandbox = gateway.sandboxes.find(request.sandboxId, context);
	if (sandbox.terminal || sandbox.state === State.TERMINATING)
		throw refusal("SANDBOX_NOT_RUNNING", `sandbox ${sandbox.id} is not running`);
	yield* sandbox.log.entries(request, context.signal);
}

export function execService(gateway) {
	return {
		exec: (request, context) => exec(gateway, request, context),
		streamExec: (requests, context) => streamExec(gateway, requests, context),
		streamLogs: (request, context) => streamLogs(gateway, request, context),
	};
}
