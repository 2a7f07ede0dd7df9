// The ports a sandbox offers: each public one is a listener of ours, whose connections are carried into the sandbox's network.

import net from "node:net";
import tls from "node:tls";
import { enumeration } from "./schema.js";

const Visibility = enumeration("Visibility");
const Protocol = enumeration("ServiceProtocol");
const State = enumeration("State");

// bash, as it opens sockets by itself.
const CARRY = 'exec 3<>"/dev/tcp/127.0.0.1/$1" || exit; cat <&3 & cat >&3; kill $! 2>/dev/null';

export class Services {
	#sandbox;
	#gateway;
	#listeners = new Map(); // by service
	#connections = new Set();
	#closed = false;

	constructor(sandbox, gateway) {
		this.#sandbox = sandbox;
		this.#gateway = gateway;
		for (const service of sandbox.spec.services)
			if (service.visibility !== Visibility.UNSPECIFIED && service.protocol <= Protocol.TCP)
				this.#listen(service);
	}

	#listen(service) {
		const carry = (socket) => this.#carry(socket, service.port);
		const listener = service.endpoint ? tls.createServer(this.#gateway.identity, carry) : net.createServer(carry);
		listener.on("tlsClientError", () => {});
		listener.listen(0, "127.0.0.1").unref();
		this.#listeners.set(service, listener);
	}

	async #carry(socket, port) {
		let child;
		try {
			const container = await this.#sandbox.container("");
			child = await container.run(["/bin/bash", "-c", CARRY, "bash", String(port)], { stdin: true });
		} catch {
			socket.destroy(); // it is not running
			return;
		}
		this.#connections.add(socket);
		child.stderr.resume();
		socket.pipe(child.stdin);
		child.stdout.pipe(socket);
		const end = () => {
			this.#connections.delete(socket);
			child.kill();
			socket.destroy();
		};
		socket.on("error", end).on("close", end);
	}

	#url(service) {
		const { port } = this.#listeners.get(service)?.address() ?? {};
		return port && (service.endpoint ? `https://localhost:${port}` : `http://127.0.0.1:${port}`);
	}

	status() {
		if (this.#closed)
			return [];
		const { state, startTime } = this.#sandbox;
		const late = Date.now() < startTime + this.#gateway.settings.serviceUrlMs;
		const running = state === State.RUNNING && !late;
		return this.#sandbox.spec.services.map((service) => ({
			...service, $typeName: undefined,
			endpoint: service.endpoint && { ...service.endpoint, $typeName: undefined, url: this.#url(service) ?? "" },
			url: (running && !service.endpoint && this.#url(service)) || "",
		}));
	}

	close() {
		this.#closed = true;
		for (const listener of this.#listeners.values())
			listener.close();
		for (const socket of this.#connections)
			socket.destroy();
	}
}
