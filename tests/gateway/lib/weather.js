// The way to the gateway, where it is bad: a TCP listener in front of it that adds latency, loses connections, or is not there.

import net from "node:net";
import { Transform } from "node:stream";

const FLIGHT_MAX = 1 << 20;

const fine = {
	latencyMs: 0, // of a round trip
	bytesPerSecond: 0, // 0: without limit
	cutUpAfter: -1, // the connection is lost after so many bytes to the gateway,
	cutDownAfter: -1, // or from it; used up by one connection
	stall: false, // nothing gets through; connections stay
};

export class Weather {
	#target;
	#server;
	#port;
	#sockets = new Set();
	#wake = new Set();

	constructor(target) {
		this.#target = target;
		this.now = { ...fine };
	}

	async listen(port) {
		this.#server = net.createServer({ allowHalfOpen: false }, (socket) => this.#carry(socket));
		await new Promise((resolve, reject) => this.#server.on("error", reject).listen(port, "127.0.0.1", resolve));
		this.#port = this.#server.address().port;
		return this.#port;
	}

	change(given) {
		const wrong = Object.keys(given).find((name) => !(name in fine));
		if (wrong)
			throw new Error(`the weather has no ${wrong}`);
		Object.assign(this.now, given);
		for (const wake of this.#wake)
			wake();
		this.#wake.clear();
	}

	// Connections are refused, and those there are, cut; until up().
	async down() {
		await new Promise((resolve) => {
			this.#server.close(resolve);
			this.cut();
		});
	}

	up() {
		return this.#server.listening ? this.#port : this.listen(this.#port);
	}

	cut() {
		for (const socket of this.#sockets)
			socket.resetAndDestroy();
	}

	#carry(client) {
		const gateway = net.connect(this.#target, "127.0.0.1");
		for (const socket of [client, gateway]) {
			socket.setNoDelay(true);
			this.#sockets.add(socket);
			socket.on("error", () => {}).on("close", () => {
				this.#sockets.delete(socket);
				client.destroy();
				gateway.destroy();
			});
		}
		const lose = () => {
			client.resetAndDestroy();
			gateway.destroy();
		};
		client.pipe(this.#way("cutUpAfter", lose)).pipe(gateway);
		gateway.pipe(this.#way("cutDownAfter", lose)).pipe(client);
	}

	// One direction. Latency delays every byte alike, so bytes in flight do not wait for each other.
	#way(limit, lose) {
		let carried = 0;
		let ended = false;
		let last = Promise.resolve();
		const arrive = async (chunk, way) => {
			const due = performance.now() + this.now.latencyMs / 2;
			const before = last;
			const passed = (async () => {
				await before;
				const pace = this.now.bytesPerSecond ? (chunk.length * 1000) / this.now.bytesPerSecond : 0;
				const left = due - performance.now() + pace;
				if (left > 0)
					await new Promise((resolve) => setTimeout(resolve, left).unref());
				while (this.now.stall)
					await new Promise((resolve) => this.#wake.add(resolve));
				if (ended)
					return; // as with TCP, nothing follows what is lost
				const max = this.now[limit];
				const room = max < 0 ? chunk.length : Math.max(max - carried, 0);
				carried += chunk.length;
				way.push(chunk.subarray(0, room));
				if (room < chunk.length) {
					this.now[limit] = -1;
					ended = true;
					setImmediate(lose);
				}
			})();
			last = passed;
			// What holds the sender back is a limited rate, or a receiver that does not read.
			if (this.now.bytesPerSecond || this.now.stall || way.readableLength > FLIGHT_MAX)
				await passed;
		};
		return new Transform({
			transform(chunk, _, done) {
				arrive(chunk, this).then(() => done(), done);
			},
			flush(done) {
				last.then(() => done(), done);
			},
		});
	}

	close() {
		this.#server.close();
		this.cut();
	}
}
