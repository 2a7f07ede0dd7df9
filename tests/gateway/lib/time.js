// Timestamps of the API, and waiting.

import { setTimeout as delay } from "node:timers/promises";

export function timestamp(ms = Date.now()) {
	return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1e6 };
}

export const milliseconds = ({ seconds, nanos }) => Number(seconds) * 1000 + nanos / 1e6;

// Waits; less, if the signal comes first, and says so by false. Keeps no process alive.
export function wait(ms, signal) {
	return delay(ms, true, { signal, ref: false }).catch(() => false);
}

export function aborted(signal) {
	return new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", resolve, { once: true })));
}
