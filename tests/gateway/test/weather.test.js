// The weather: what comes through is what was sent, as far as it goes.

import assert from "node:assert/strict";
import net from "node:net";
import { Weather } from "../lib/weather.js";
import { test } from "./harness.js";

const ROUNDS = 300;
const nextTurn = () => new Promise(setImmediate);
const listening = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

test("a connection that is lost ends at one place: nothing comes from behind it", async (t) => {
	let sent;
	const server = net.createServer(async (socket) => {
		socket.setNoDelay(true).on("error", () => {});
		for (let i = 0; !socket.destroyed; i++) { // a piece at a time, as small frames come
			const piece = Buffer.from(`piece ${i}\n`);
			sent = Buffer.concat([sent, piece]);
			socket.write(piece);
			await nextTurn();
		}
	});
	const weather = new Weather(await listening(server));
	const port = await weather.listen(0);
	t.after(() => {
		weather.close();
		server.close();
	});
	weather.change({ latencyMs: 1 });
	for (let round = 0; round < ROUNDS; round++) {
		sent = Buffer.alloc(0);
		let got = Buffer.alloc(0);
		const socket = net.connect(port, "127.0.0.1").on("error", () => {});
		const over = new Promise((resolve) => socket.on("close", resolve));
		socket.on("data", (data) => {
			got = Buffer.concat([got, data]);
			if (got.length > 200) // more than that is through, or less
				weather.change({ cutDownAfter: (round * 37) % 400 });
		});
		await over;
		assert.deepEqual(got, sent.subarray(0, got.length), `round ${round}: ${got.length} bytes`);
	}
});
