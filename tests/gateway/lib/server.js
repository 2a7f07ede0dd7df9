// The HTTP server: routes calls to the services, counts them, gives them their faults.

import { createConnectRouter, createContextValues } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse, compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { randomUUID } from "node:crypto";
import http2 from "node:http2";
import { userKey } from "./auth.js";
import { execService } from "./exec.js";
import { faultKey, intercept } from "./faults.js";
import { filesService } from "./files.js";
import { settingsService } from "./organisation.js";
import { discoveryService } from "./runners.js";
import { sandboxesService } from "./sandboxes.js";
import { service } from "./schema.js";
import { snapshotsService } from "./snapshots.js";
import { counting } from "./messages.js";
import { spoil, spoilRequest } from "./spoil.js";
import { templatesService } from "./templates.js";
import { volumesService } from "./volumes.js";

const CALLS_KEPT = 1000;

function routes(gateway, jsonOptions) {
	const authenticate = (next) => (request) => {
		request.contextValues.set(userKey, gateway.auth.user(request.header));
		return next(request);
	};
	const router = createConnectRouter({ interceptors: [authenticate, intercept], jsonOptions, acceptCompression: [compressionGzip, compressionBrotli] });
	router.service(service("SandboxService"), {
		...sandboxesService(gateway), ...execService(gateway), ...filesService(gateway), ...snapshotsService(gateway),
	});
	router.service(service("DiscoveryService"), discoveryService(gateway));
	router.service(service("SandboxTemplateService"), templatesService(gateway));
	router.service(service("SettingsService"), settingsService(gateway));
	router.service(service("VolumeService"), volumesService(gateway));
	return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
}

export class Server {
	#gateway;
	#paths;
	#emittingPaths;
	#servers = [];
	#sessions = new Set();
	#connections = 0;

	constructor(gateway) {
		this.#gateway = gateway;
		this.#paths = routes(gateway, {});
		this.#emittingPaths = routes(gateway, { alwaysEmitImplicit: true });
		this.counts = {};
		this.calls = [];
	}

	// identity: {key, cert} for TLS, where HTTP/1.1 is spoken too; without it, HTTP/2 in clear text. -> the port
	async listen(port, identity) {
		const answer = (request, response) => this.#answer(request, response);
		const server = identity ? http2.createSecureServer({ ...identity, allowHTTP1: true }, answer) : http2.createServer(answer);
		server.on("session", (session) => {
			session.number = ++this.#connections;
			this.#sessions.add(session);
			session.on("close", () => this.#sessions.delete(session)).on("error", () => {});
		});
		server.on("sessionError", () => {}).on("tlsClientError", () => {});
		this.#servers.push(server);
		await new Promise((resolve, reject) => server.on("error", reject).listen(port, "127.0.0.1", resolve));
		return server.address().port;
	}

	#note(method, request) {
		this.counts[method] = (this.counts[method] ?? 0) + 1;
		const { headers } = request;
		const call = { method, time: Date.now(), http: request.httpVersion, connection: request.stream?.session?.number,
			contentType: headers["content-type"], timeoutMs: Number(headers["connect-timeout-ms"]) || undefined, open: true,
			received: 0, sent: 0 };
		this.calls.push(call);
		if (this.calls.length > CALLS_KEPT)
			this.calls.shift();
		return call;
	}

	async #answer(request, response) {
		const [path] = request.url.split("?", 1);
		const method = path.slice(path.lastIndexOf("/") + 1);
		const handler = (this.#gateway.settings.alwaysEmitImplicit ? this.#emittingPaths : this.#paths).get(path);
		const call = this.#note(method, request);
		const fault = this.#gateway.faults.take(method);
		response.on("error", () => {}).on("close", () => (call.open = false));
		if (fault?.goaway)
			request.stream?.session?.goaway();
		if (!handler || fault?.http) {
			const { status = 404, contentType = "text/html", body = "" } = fault?.http ?? {};
			response.writeHead(status, { "content-type": contentType }).end(body);
			return;
		}
		const values = createContextValues().set(faultKey, fault);
		const id = randomUUID();
		try {
			const universal = universalRequestFromNodeRequest(request, response, undefined, values);
			const streaming = call.contentType?.startsWith("application/connect+");
			const received = streaming ? counting(universal.body, () => call.received++) : universal.body;
			const answer = await handler({ ...universal, body: spoilRequest(received, fault, response) });
			if (streaming && answer.body)
				answer.body = counting(answer.body, () => call.sent++);
			const named = { ...answer, header: new Headers([...(answer.header ?? []), ["x-request-id", id]]) };
			call.status = answer.status;
			await universalResponseToNodeResponse(fault ? spoil(named, fault, response, universal.signal) : named, response);
		} catch (e) {
			call.failure = e.message; // the client is gone, most often
		}
	}

	// Tells every client to come by a new connection, or ends them all.
	goaway() {
		for (const session of this.#sessions)
			if (!session.destroyed)
				session.goaway();
	}

	cut() {
		for (const session of this.#sessions)
			session.destroy();
	}

	close() {
		for (const server of this.#servers)
			server.close();
		this.cut();
	}
}
