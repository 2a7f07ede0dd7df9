// Pipes. Node gives children Unix sockets for stdin and stdout, which /dev/stdin and /dev/stdout cannot be opened as, and
// cannot make what programs in a container see: pipes. A small process makes them for it.

import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import { createInterface } from "node:readline";
import { spawnAsOwner } from "./user.js";

const BATCH = 32;
const LOW = 8;

export class Pipes {
	#maker;
	#lines;
	#ready = [];
	#filling;

	constructor() {
		// As the owner of the sandboxes, who can then open them again, by /dev/stdout.
		this.#maker = spawnAsOwner("python3", [new URL("pipes.py", import.meta.url).pathname], { stdio: ["pipe", "pipe", "inherit"] });
		this.#lines = createInterface({ input: this.#maker.stdout });
	}

	// Both ends as descriptors.
	async make() {
		while (!this.#ready.length)
			await this.#fill();
		if (this.#ready.length < LOW)
			this.#fill();
		return this.#ready.pop();
	}

	#fill() {
		this.#filling ??= this.#more().finally(() => (this.#filling = undefined));
		return this.#filling;
	}

	async #more() {
		const line = once(this.#lines, "line");
		this.#maker.stdin.write(`${BATCH}\n`);
		const numbers = (await line)[0].split(" ");
		const open = (number, flags) => fs.openSync(`/proc/${this.#maker.pid}/fd/${number}`, flags);
		while (numbers.length) {
			const [read, write] = numbers.splice(-2);
			this.#ready.push({ read: open(read, "r"), write: open(write, "w") });
		}
		// Its own ends would keep ours from seeing an end.
		const closed = once(this.#lines, "line");
		this.#maker.stdin.write("0\n");
		await closed;
	}

	close() {
		this.#maker.kill("SIGKILL");
	}
}

// Our own end as a stream. The descriptor is closed with it.
export function reader(fd) {
	return new net.Socket({ fd, readable: true, writable: false });
}

export function writer(fd) {
	return new net.Socket({ fd, readable: false, writable: true });
}
