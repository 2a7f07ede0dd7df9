// Options, the ready message, the end. Started by ./gateway, which gives it a directory and removes that afterwards.

import fs from "node:fs";
import { parseArgs } from "node:util";
import { Gateway } from "./lib/gateway.js";

const { values: options } = parseArgs({ options: {
	port: { type: "string", default: "0" },
	"tls-port": { type: "string", default: "0" },
	"control-port": { type: "string", default: "0" },
	"ready-fd": { type: "string" },
	"ready-file": { type: "string" },
	token: { type: "string", multiple: true, default: ["test-token"] },
	"wandb-key": { type: "string", multiple: true, default: ["test-wandb-key"] },
} });

const gateway = new Gateway(process.env.GATEWAY_WORK, {
	tokens: options.token, wandbKeys: options["wandb-key"],
	settings: JSON.parse(process.env.GATEWAY_SETTINGS || "{}"), faults: JSON.parse(process.env.GATEWAY_FAULTS || "[]"),
});

let ending = false;
async function end() {
	if (ending)
		return;
	ending = true;
	await gateway.close();
	process.exit(0);
}
process.on("SIGTERM", end).on("SIGINT", end);

const addresses = await gateway.listen({ port: Number(options.port), tlsPort: Number(options["tls-port"]), controlPort: Number(options["control-port"]) });
const ready = `${JSON.stringify(addresses)}\n`;
if (options["ready-file"]) {
	fs.writeFileSync(`${options["ready-file"]}.new`, ready);
	fs.renameSync(`${options["ready-file"]}.new`, options["ready-file"]);
}
if (options["ready-fd"]) {
	fs.writeSync(Number(options["ready-fd"]), ready);
	fs.closeSync(Number(options["ready-fd"]));
}
process.stdout.write(ready);
