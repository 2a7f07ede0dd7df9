// The control requests: plain HTTP on a port of its own, JSON both ways.

import http from "node:http";

async function body(request) {
	let text = "";
	for await (const chunk of request.setEncoding("utf8"))
		text += chunk;
	return text ? JSON.parse(text) : {};
}

function told(sandbox, names) {
	const state = Object.keys(names).find((name) => names[name] === sandbox.state);
	return { id: sandbox.id, state, tags: sandbox.spec.tags, reason: sandbox.reason };
}

// "METHOD /path" -> what to do with the body and the rest of the path
function actions(gateway, State) {
	const { server, faults, settings, weather, sandboxes } = gateway;
	const one = (id) => sandboxes.all.find((sandbox) => sandbox.id === id) ?? Promise.reject(new Error(`there is no sandbox ${id}`));
	return {
		"GET /counts": () => server.counts,
		"DELETE /counts": () => {
			server.counts = {};
			server.calls = [];
		},
		"GET /calls": () => server.calls,
		"GET /faults": () => faults.list,
		"POST /faults": (given) => [given].flat().map((fault) => faults.add(fault)),
		"DELETE /faults": () => faults.clear(),
		"GET /settings": () => settings,
		"POST /settings": (given) => settings.change(given),
		"GET /weather": () => weather.map((one) => one.now),
		"POST /weather": (given) => weather.forEach((one) => one.change(given)),
		"POST /down": () => Promise.all(weather.map((one) => one.down())),
		"POST /up": () => Promise.all(weather.map((one) => one.up())),
		"POST /cut": () => {
			server.cut();
			weather.forEach((one) => one.cut());
		},
		"POST /goaway": () => server.goaway(),
		"GET /sandboxes": () => sandboxes.all.map((sandbox) => told(sandbox, State)),
		// {"to": "paused" | "running" | "kill"}
		"POST /sandboxes": async ({ to }, id) => (await one(id)).force(to),
	};
}

export function controlServer(gateway, State) {
	const table = actions(gateway, State);
	return http.createServer(async (request, response) => {
		const [, first, rest] = request.url.split("/");
		const answer = (status, value) => response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(value)}\n`);
		const act = table[`${request.method} /${first}`];
		if (!act)
			return answer(404, { error: `no control request is ${request.method} ${request.url}` });
		try {
			answer(200, (await act(await body(request), rest)) ?? {});
		} catch (e) {
			answer(400, { error: e.message });
		}
	});
}
