// The root directory of a sandbox: the machine's /usr, read-only, and directories of its own around it.

import fs from "node:fs";
import path from "node:path";
import { makeDirectory, own } from "./user.js";

const directories = ["usr", "etc", "proc", "dev", "sys", "tmp", "var", "var/tmp", "run", "root", "home", "workspace", "data", "mnt",
	"opt", "opt/image", "opt/image/bin", "srv"];
const links = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const files = {
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"etc/group": "root:x:0:\nnogroup:x:65534:\n",
	"etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	"etc/resolv.conf": "",
	"etc/os-release": "ID=gateway\nPRETTY_NAME=\"gateway sandbox\"\n",
};
// What programs of the machine need of its /etc.
const shared = ["/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl", "/etc/localtime"];

export const PATH = "/opt/image/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function link(root, name, target) {
	const at = path.join(root, name);
	fs.symlinkSync(target, at);
	own(at);
}

// What a sandbox of the image distroless has for its root: a directory in the one that is made for all.
export const BARE = "/image";
const bareDirectories = ["", "bin", "etc", "proc", "dev", "tmp", "workspace"];

// Makes that, with the programs of a directory in it and nothing else.
export function makeBareRoot(root, programs) {
	for (const name of bareDirectories)
		makeDirectory(path.join(root, BARE, name));
	fs.chmodSync(path.join(root, BARE, "tmp"), 0o1777);
	for (const name of programs ? fs.readdirSync(programs) : []) {
		const to = path.join(root, BARE, "bin", name);
		fs.copyFileSync(path.join(programs, name), to);
		fs.chmodSync(to, 0o755);
		own(to);
	}
}

// Makes it, for its hostname.
export function makeRoot(root, hostname) {
	makeDirectory(root);
	for (const name of directories)
		makeDirectory(path.join(root, name), name === "tmp" || name === "var/tmp" ? 0o1777 : 0o755);
	fs.chmodSync(path.join(root, "tmp"), 0o1777);
	for (const name of links)
		if (fs.lstatSync(`/${name}`, { throwIfNoEntry: false })?.isSymbolicLink())
			link(root, name, `usr/${name}`);
	for (const [name, text] of Object.entries({ ...files, "etc/hostname": `${hostname}\n` })) {
		fs.writeFileSync(path.join(root, name), text);
		own(path.join(root, name));
	}
	link(root, "opt/image/bin/python", "/usr/bin/python3");
	if (!process.execPath.startsWith("/usr/"))
		fs.writeFileSync(path.join(root, "opt/image/bin/node"), "");
}

// The words that give bwrap this root.
export function rootArguments(root, bare) {
	const words = ["--bind", root, "/", "--ro-bind", "/usr", "/usr"];
	for (const name of links)
		if (fs.lstatSync(`/${name}`, { throwIfNoEntry: false })?.isDirectory())
			words.push("--ro-bind", `/${name}`, `/${name}`);
	for (const name of shared)
		words.push("--ro-bind-try", name, name);
	if (!process.execPath.startsWith("/usr/"))
		words.push("--ro-bind", process.execPath, "/opt/image/bin/node");
	for (const place of bare ? ["", BARE] : [""])
		words.push("--proc", `${place}/proc`, "--dev", `${place}/dev`);
	return words;
}
