// A Connect server made of nothing but frames, for tests/unit/rpc_trial.h: one path for each thing a server can do.
// Prints its port, and ends when its standard input does.
import http2 from "node:http2";

const envelope = (flags, payload) => {
	const head = Buffer.alloc(5);
	head[0] = flags;
	head.writeUInt32BE(payload.length, 1);
	return Buffer.concat([head, Buffer.from(payload)]);
};
const message = (object) => envelope(0, JSON.stringify(object));
const end = (object) => envelope(2, JSON.stringify(object ?? {}));
const body = (stream, then) => {
	const parts = [];
	stream.on("data", (part) => parts.push(part));
	stream.on("end", () => then(Buffer.concat(parts)));
};
const unary = (stream, status, text, type = "application/json", more = {}) => {
	stream.respond({ ":status": status, "content-type": type, ...more });
	stream.end(text);
};
const streaming = (stream) => stream.respond({ ":status": 200, "content-type": "application/connect+json" });

// Cuts what a duplex client sends into messages.
const envelopes = (stream, each) => {
	let rest = Buffer.alloc(0);
	stream.on("data", (part) => {
		rest = Buffer.concat([rest, part]);
		while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
			const size = rest.readUInt32BE(1);
			each(JSON.parse(rest.subarray(5, 5 + size)));
			rest = rest.subarray(5 + size);
		}
	});
};

const sessions = new Set();
const sockets = new Map(); // by the port at the other end
// Without a word.
const lose = (session) => sockets.get(session.port)?.resetAndDestroy();
const silent = new Set();
const calls = {
	echo: (stream, headers) =>
		body(stream, (text) =>
			unary(stream, 200, JSON.stringify({ got: JSON.parse(text), timeout: headers["connect-timeout-ms"] ?? null,
				authorization: headers.authorization ?? null, encoding: headers["accept-encoding"] ?? null,
				sessions: sessions.size }))),
	refuse: (stream) =>
		unary(stream, 404, JSON.stringify({ code: "not_found", message: "no\nsuch thing", details: [
			{ type: "google.rpc.ErrorInfo", value: "CgFSEg1jd3NhbmRib3guY29tGgYKAWESAWI" }] }),
		"application/json", { "x-request-id": "req-7" }),
	html: (stream) => unary(stream, 502, "<html>bad gateway</html>", "text/html"),
	type: (stream) => unary(stream, 200, "{}", "text/plain"),
	// These answer when they have seen the headers. The first two say that they want no more; the third just ends.
	early: (stream, _headers) => {
		unary(stream, 429, JSON.stringify({ code: "resource_exhausted", message: "no room" }));
		stream.on("finish", () => stream.close());
	},
	hasty: (stream, _headers) => {
		unary(stream, 200, "{}");
		stream.on("finish", () => stream.close());
	},
	tardy: (stream, _headers) =>
		setTimeout(() => {
			if (stream.destroyed) return;
			unary(stream, 200, "{}");
			stream.on("finish", () => stream.close());
		}, 300),
	unheard: (stream, _headers) => unary(stream.resume(), 200, "{}"),
	// At once, with little or much behind the headers.
	quick: (stream, _headers) => unary(stream.resume(), 200, JSON.stringify({ pad: "x".repeat(Math.random() * 30000) })),
	quicker: (stream, _headers) => {
		streaming(stream.resume());
		stream.end(Buffer.concat([message({ n: 0, pad: "x".repeat(Math.random() * 30000) }), end()]));
	},
	never: () => {},
	// No answer until `disturb` resets it, one every 10 ms, with much of its own right behind.
	silent: (stream, _) => silent.add(stream.resume()),
	disturb: (stream) => {
		const one = message({ pad: "x".repeat(60000) });
		const next = () => {
			const [victim] = silent;
			if (!victim || stream.destroyed) return stream.end(end());
			silent.delete(victim);
			victim.close(http2.constants.NGHTTP2_CANCEL);
			for (let n = 0; n < 4; n++) stream.write(one);
			setTimeout(next, 10);
		};
		streaming(stream);
		next();
	},
	// Messages on and on, as fast as they go.
	flood: (stream) => {
		const one = message({ pad: "x".repeat(20000) });
		const more = () => {
			while (!stream.destroyed && stream.write(one));
			stream.once("drain", more);
		};
		streaming(stream);
		more();
	},
	// The same, of what is no message.
	garbage: (stream) => {
		const more = () => {
			while (!stream.destroyed && stream.write(Buffer.alloc(65536, 255)));
			stream.once("drain", more);
		};
		streaming(stream);
		more();
	},
	stall: (stream) => {
		streaming(stream);
		stream.write(message({ n: 0 }));
	},
	reset: (stream) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
	goaway: (stream) => {
		streaming(stream);
		stream.write(message({ n: 0 }), () => stream.session.destroy());
	},
	cut: (stream) => {
		streaming(stream);
		stream.write(message({ n: 0 }));
		stream.end(message({ n: 1 }).subarray(0, 7));
	},
	after: (stream) => {
		streaming(stream);
		stream.end(Buffer.concat([end(), message({ n: 0 })]));
	},
	huge: (stream) => {
		streaming(stream);
		stream.end(Buffer.from([0, 255, 255, 255, 255, 1, 2, 3]));
	},
	failing: (stream) => {
		streaming(stream);
		stream.end(end({ error: { code: "resource_exhausted", message: "slow down" } }));
	},
	// The answer, and the end of the stream, before the request has come.
	swift: (stream, _) => {
		streaming(stream);
		stream.end(end({ error: { code: "resource_exhausted", message: "not now" } }));
	},
	// One message, and later another with the end, all at once.
	parting: (stream, _) => {
		streaming(stream);
		stream.write(message({ n: 0 }));
		setTimeout(() => stream.destroyed || stream.end(Buffer.concat([message({ n: 1 }),
			end({ error: { code: "resource_exhausted", message: "no more" } })])), 10);
	},
	swift_unary: (stream, _) => unary(stream, 401, JSON.stringify({ code: "unauthenticated", message: "who are you" })),
	// {"count": N, "size": S}: so many messages of so many bytes, byte by byte through the wire if "slow".
	count: (stream) => {
		streaming(stream);
		body(stream, (text) => {
			const { count, size, slow } = JSON.parse(text.subarray(5));
			let n = 0;
			const more = () => {
				while (n < count) {
					const one = message({ n: n++, pad: "x".repeat(size) });
					if (slow) for (const byte of one) stream.write(Buffer.from([byte]));
					else if (!stream.write(one)) return stream.once("drain", more);
				}
				stream.end(end());
			};
			more();
		});
	},
	// From now on requests on this connection get no room for their messages, and the next one is its end.
	shut: (stream, _) => {
		stream.resume();
		stream.session.settings({ initialWindowSize: 0 }, () => unary(stream, 200, "{}"));
		stream.session.shut = true;
	},
	// The last one on this connection; those that run go on.
	leave: (stream, _) => {
		unary(stream.resume(), 200, "{}");
		stream.session.goaway();
	},
	open: (stream, headers) => {
		const { session } = stream;
		if (session.shut) setTimeout(() => lose(session), 50);
		else calls.duplex(stream, headers);
	},
	// Says at the end how many messages came, and how much the largest held. Meanwhile the connection is not quiet.
	gather: (stream, _) => {
		let n = 0, bytes = 0;
		const pings = setInterval(() => stream.session?.ping(() => {}), 300);
		stream.on("close", () => clearInterval(pings));
		envelopes(stream, (m) => {
			n++;
			bytes = Math.max(bytes, m.data?.length ?? 0);
		});
		stream.on("end", () => {
			streaming(stream);
			stream.end(Buffer.concat([message({ n: 0, count: n, bytes }), end()]));
		});
	},
	// Every message comes back; "bytes" says how many have come in all.
	duplex: (stream) => {
		let bytes = 0;
		streaming(stream);
		envelopes(stream, (m) => {
			bytes += m.data?.length ?? 0;
			stream.write(message({ ...m, data: undefined, bytes }));
		});
		stream.on("end", () => stream.end(end()));
	},
};

const server = http2.createServer();
server.on("connection", (socket) => sockets.set(socket.remotePort, socket));
server.on("session", (session) => {
	session.port = session.socket.remotePort;
	sessions.add(session);
	session.on("close", () => sessions.delete(session) && sockets.delete(session.port));
	session.on("error", () => {});
});
server.on("stream", (stream, headers) => {
	stream.on("error", () => {});
	const call = calls[headers[":path"].split("/").pop()];
	// Most answer when they have read the request.
	if (call.length === 2 || call === calls.count || call === calls.duplex) call(stream, headers);
	else stream.on("end", () => call(stream)).resume();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
