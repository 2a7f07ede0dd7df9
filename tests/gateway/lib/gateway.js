// All the parts of one gateway, put together.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { Auth } from "./auth.js";
import { controlServer } from "./control.js";
import { Faults } from "./faults.js";
import { Idempotency } from "./idempotency.js";
import { Pipes } from "./pipe.js";
import { Runners } from "./runners.js";
import { State } from "./sandbox.js";
import { Sandboxes } from "./sandboxes.js";
import { Server } from "./server.js";
import { Settings } from "./settings.js";
import { Snapshots } from "./snapshots.js";
import { Templates } from "./templates.js";
import { makeDirectory } from "./user.js";
import { Volumes } from "./volumes.js";
import { Weather } from "./weather.js";

// An authority of this run alone, and a certificate of it.
function makeIdentity(directory) {
	const at = (name) => path.join(directory, name);
	const openssl = (...words) => execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
		"-days", "2", ...words], { stdio: "pipe" });
	fs.mkdirSync(directory, { mode: 0o755 });
	openssl("-keyout", at("ca.key"), "-out", at("ca.pem"), "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign");
	openssl("-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-keyout", at("server.key"), "-out", at("server.pem"), "-subj", "/CN=localhost",
		"-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1");
	return { key: fs.readFileSync(at("server.key")), cert: fs.readFileSync(at("server.pem")), ca: at("ca.pem") };
}

export class Gateway {
	// work: an empty directory of ours. {tokens, wandbKeys, settings, faults}
	constructor(work, options) {
		this.work = work;
		for (const name of ["sandboxes", "snapshots"])
			makeDirectory(path.join(work, name));
		this.pipes = new Pipes();
		this.identity = makeIdentity(path.join(work, "tls"));
		this.settings = new Settings(options.settings);
		this.auth = new Auth(options.tokens, options.wandbKeys);
		this.faults = new Faults();
		options.faults.forEach((fault) => this.faults.add(fault));
		this.idempotency = new Idempotency();
		this.runners = new Runners();
		this.templates = new Templates();
		this.volumes = new Volumes();
		this.snapshots = new Snapshots(this);
		this.sandboxes = new Sandboxes(this);
		this.server = new Server(this);
		this.weather = [];
	}

	// Ports to listen on, 0 for any. -> the addresses
	async listen({ port, tlsPort, controlPort }) {
		const plain = await this.server.listen(port);
		const secure = await this.server.listen(tlsPort, this.identity);
		this.weather = [new Weather(plain), new Weather(secure)];
		const [badPlain, badSecure] = await Promise.all(this.weather.map((one) => one.listen(0)));
		this.control = controlServer(this, State);
		await new Promise((resolve, reject) => this.control.on("error", reject).listen(controlPort, "127.0.0.1", resolve));
		return {
			url: `http://127.0.0.1:${plain}`, tls: `https://localhost:${secure}`, weather: `http://127.0.0.1:${badPlain}`,
			tlsWeather: `https://localhost:${badSecure}`, control: `http://127.0.0.1:${this.control.address().port}`, ca: this.identity.ca,
		};
	}

	async close() {
		this.control?.close();
		this.control?.closeAllConnections();
		this.weather.forEach((one) => one.close());
		this.server.close();
		await this.sandboxes.close();
		this.pipes.close();
	}
}
