// What a fault does to the bytes of an answer.

import { constants } from "node:http2";
import { aborted, wait } from "./time.js";

const nextTurn = () => new Promise(setImmediate);

// Ends the stream or the connection in the middle.
async function cut(how, response) {
	await nextTurn(); // what was written is on its way
	await nextTurn();
	const stream = response.stream;
	if (how === "connection")
		(stream?.session ?? response.socket).destroy();
	else if (stream)
		stream.close(constants.NGHTTP2_INTERNAL_ERROR);
	else
		response.socket.destroy();
}

function changed(chunk, fault) {
	let text = Buffer.from(chunk).toString("latin1");
	for (const [from, to] of fault.rewrite ?? [])
		text = text.replaceAll(from, to);
	if (fault.padDetails)
		text = text.replace(/("value":")([A-Za-z0-9+/]*)(")/g, (_, before, value, after) => before + value + "=".repeat(-value.length & 3) + after);
	return Buffer.from(text, "latin1");
}

// The same for a message with the five bytes in front that say its length.
function changedEnvelope(chunk, fault) {
	const message = changed(chunk.subarray(5), fault);
	const head = Buffer.from(chunk.subarray(0, 5));
	head.writeUInt32BE(message.length, 1);
	return Buffer.concat([head, message]);
}

async function* pieces(body, size) {
	for await (const chunk of body)
		for (let at = 0; at < chunk.length; at += size) {
			yield chunk.subarray(at, at + size);
			await nextTurn();
		}
}

// Runs `then` once so many bytes are out; it says whether to go on.
async function* upTo(body, bytes, then) {
	let sent = 0;
	for await (const chunk of body) {
		const room = bytes - sent;
		if (room >= 0 && room <= chunk.length) {
			yield chunk.subarray(0, room);
			sent += chunk.length;
			if (!(await then()))
				return;
			yield chunk.subarray(room);
		} else {
			sent += chunk.length;
			yield chunk;
		}
	}
}

async function* mapped(body, change) {
	for await (const chunk of body)
		yield change(chunk);
}

// The answer as the fault has it. response: Node's, for cutting; signal: of the call.
export function spoil(answer, fault, response, signal) {
	if (!answer.body)
		return answer;
	const streaming = answer.header.get("content-type")?.startsWith("application/connect+");
	let body = answer.body;
	if (fault.rewrite || fault.padDetails)
		body = mapped(body, (chunk) => (streaming ? changedEnvelope(chunk, fault) : changed(chunk, fault)));
	if (fault.split)
		body = pieces(body, fault.split);
	if (fault.stall)
		body = upTo(body, fault.stall.sent, async () => {
			await (fault.stall.ms ? wait(fault.stall.ms, signal) : aborted(signal));
			return !signal.aborted;
		});
	if (fault.cut?.sent !== undefined)
		body = upTo(body, fault.cut.sent, async () => {
			if (fault.cut.how !== "end")
				await cut(fault.cut.how, response);
			return false;
		});
	const header = new Headers(answer.header);
	if (body !== answer.body)
		header.delete("content-length");
	return { ...answer, header, body };
}

// The bytes of a request, of which only so many come through before the cut.
export function spoilRequest(body, fault, response) {
	if (fault?.cut?.received === undefined)
		return body;
	return upTo(body, fault.cut.received, async () => {
		await cut(fault.cut.how, response);
		return false;
	});
}
