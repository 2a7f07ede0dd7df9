// The output of a main process: kept, cut at the front when it grows too long, and read by sessions that can be resumed.

import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { invalid } from "./errors.js";
import { milliseconds, timestamp } from "./time.js";

const SESSIONS_MAX = 256;

export class Log {
	#chunks = []; // {at: position of its first byte, time, data}
	#bytes = 0; // that are in #chunks
	#end = 0; // position behind the last byte there ever was
	#news = new EventEmitter().setMaxListeners(0);
	#sessions = new Map();
	#sources = 0;
	#max;

	constructor(max) {
		this.#max = max;
	}

	// Everything the stream gives, to its end.
	attach(stream) {
		this.#sources++;
		stream.on("data", (data) => this.#append(data));
		stream.on("close", () => {
			this.#sources--;
			this.#news.emit("news");
		});
	}

	#append(data) {
		this.#chunks.push({ at: this.#end, time: Date.now(), data });
		this.#end += data.length;
		this.#bytes += data.length;
		while (this.#bytes > this.#max && this.#chunks.length > 1)
			this.#bytes -= this.#chunks.shift().data.length;
		this.#news.emit("news");
	}

	get #first() {
		return this.#chunks[0]?.at ?? this.#end;
	}

	#startOf(request) {
		let start = this.#first;
		if (request.sinceTime)
			start = this.#chunks.find((chunk) => chunk.time >= milliseconds(request.sinceTime))?.at ?? this.#end;
		if (!request.tailLines)
			return start;
		const text = Buffer.concat(this.#chunks.map((chunk) => chunk.data)).subarray(start - this.#first);
		let from = text.length;
		for (let lines = request.tailLines; lines > 0 && from > 0; lines--)
			from = from > 1 ? text.lastIndexOf("\n", from - 2) + 1 : 0;
		return start + from;
	}

	// What a reader that starts there gets, with or without times before each line: {data, time}...
	async *#render(start, timestamps, follow, signal) {
		let at = start;
		let lineStart = true;
		for (;;) {
			const chunk = this.#chunks.find((one) => one.at + one.data.length > at);
			if (chunk) {
				let data = chunk.data.subarray(Math.max(at - chunk.at, 0));
				at = chunk.at + chunk.data.length;
				if (timestamps)
					[data, lineStart] = stamp(data, chunk.time, lineStart);
				yield { data, time: chunk.time };
			} else if (!follow || this.#sources === 0 || signal.aborted) {
				return;
			} else {
				await once(this.#news, "news", { signal }).catch(() => {});
			}
		}
	}

	#session(request) {
		if (!request.resumeLogSessionId) {
			const session = { id: randomUUID(), start: this.#startOf(request), timestamps: request.timestamps };
			this.#sessions.set(session.id, session);
			if (this.#sessions.size > SESSIONS_MAX)
				this.#sessions.delete(this.#sessions.keys().next().value);
			return session;
		}
		if (!request.follow || request.tailLines || request.sinceTime || request.timestamps)
			throw invalid("resume_log_session_id", "needs follow, and excludes tail_lines, since_time and timestamps");
		return this.#sessions.get(request.resumeLogSessionId);
	}

	// The entries of StreamLogs.
	async *entries(request, signal) {
		const session = this.#session(request);
		if (!session)
			return yield failure("SESSION_NOT_FOUND", "no such log session");
		let offset = 0;
		let skip = request.resumeLogSessionId ? Number(request.resumeLogOffset) : 0;
		// With times in between, only rendering from the start tells where an offset is.
		const start = session.timestamps ? session.start : session.start + skip;
		if (start < this.#first)
			return yield failure("REPLAY_GAP", "what comes next is not kept any more");
		if (!session.timestamps) {
			if (start > this.#end)
				return yield failure("INVALID_RESUME_OFFSET", "the offset is beyond the end");
			[offset, skip] = [skip, 0];
		}
		for await (const { data, time } of this.#render(start, session.timestamps, request.follow, signal)) {
			const rest = data.subarray(skip);
			offset += data.length;
			skip -= data.length - rest.length;
			if (rest.length)
				yield { data: rest, timestamp: timestamp(time), logSessionId: session.id, nextLogOffset: BigInt(offset) };
		}
	}
}

export const failure = (code, message) => ({ error: { code, message } });

// Puts the time before each line that starts in it. -> [bytes, whether the next byte starts a line]
function stamp(data, time, lineStart) {
	const prefix = `${new Date(time).toISOString()} `;
	const text = data.toString("latin1").replace(/\n(?!$)/g, `\n${prefix}`);
	return [Buffer.from((lineStart ? prefix : "") + text, "latin1"), text.endsWith("\n")];
}
