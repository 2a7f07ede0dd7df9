// Faults on demand. A fault waits for calls of its method and is used up by them; README.md says what one may hold.

import { createContextKey } from "@connectrpc/connect";
import { error } from "./errors.js";
import { aborted, wait } from "./time.js";

export const faultKey = createContextKey(undefined, { description: "the fault this call is to have" });

const fields = ["method", "skip", "times", "delayMs", "hang", "error", "http", "cut", "stall", "split", "rewrite", "padDetails", "goaway"];

export class Faults {
	#armed = [];
	#number = 0;

	add(fault) {
		const wrong = Object.keys(fault).find((field) => !fields.includes(field));
		if (wrong || !fault.method)
			throw new Error(wrong ? `a fault has no ${wrong}` : "a fault needs a method, or *");
		if (fault.error)
			error(fault.error); // throws if there is no such code
		const one = { id: ++this.#number, skip: 0, times: 1, hits: 0, ...fault };
		this.#armed.push(one);
		return one;
	}

	get list() {
		return this.#armed;
	}

	clear() {
		this.#armed = [];
	}

	// The one this call is to have, if any; times 0: every call, for ever.
	take(method) {
		const one = this.#armed.find((fault) => fault.method === "*" || fault.method === method);
		if (!one || one.skip-- > 0)
			return undefined;
		one.hits++;
		if (one.times > 0 && one.hits >= one.times)
			this.#armed.splice(this.#armed.indexOf(one), 1);
		return one;
	}
}

// error.at: "start" (before the call does anything; the default), "end" (it is done, but its answer is lost), or a number of messages.
async function* failing(messages, { at, ...what }) {
	let count = 0;
	for await (const message of messages) {
		if (at === count++)
			throw error(what);
		yield message;
	}
	if (at === "end" || at >= count)
		throw error(what);
}

// The interceptor for what happens at the level of calls.
export const intercept = (next) => async (request) => {
	const fault = request.contextValues.get(faultKey);
	if (!fault)
		return next(request);
	if (fault.delayMs)
		await wait(fault.delayMs, request.signal);
	if (fault.hang)
		await aborted(request.signal);
	if (!fault.error)
		return next(request);
	if ((fault.error.at ?? "start") === "start")
		throw error(fault.error);
	const response = await next(request);
	if (!response.stream)
		throw error(fault.error);
	return { ...response, message: failing(response.message, fault.error) };
};
