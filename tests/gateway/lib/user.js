// Who the sandboxes belong to on this machine: us, or, where we are root, nobody. Root in a sandbox is then nobody outside.

import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";

const isRoot = process.getuid() === 0;
const id = (flag) => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }));
const owner = isRoot ? { uid: id("-u"), gid: id("-g") } : {};

// What all of a sandbox is run by.
export function spawnAsOwner(program, args, options) {
	return spawn(program, args, { ...options, ...owner });
}

// A directory of the sandboxes' user.
export function makeDirectory(path, mode = 0o755) {
	fs.mkdirSync(path, { mode });
	own(path);
}

export function own(path) {
	if (isRoot)
		fs.lchownSync(path, owner.uid, owner.gid);
}

// Runs a program to its end; throws what it said if that was not 0.
export function run(program, ...args) {
	return new Promise((resolve, reject) => {
		const child = spawnAsOwner(program, args, { stdio: ["ignore", "ignore", "pipe"], env: { PATH: process.env.PATH } });
		let said = "";
		child.stderr.setEncoding("utf8").on("data", (text) => (said = (said + text).slice(0, 4096)));
		child.on("error", reject);
		child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`${program}: ${said.trim() || code}`))));
	});
}
