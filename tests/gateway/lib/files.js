// ReadFile and WriteFile: done by programs in the sandbox, so that its links, mounts and permissions count.

import fs from "node:fs";
import { collect } from "./container.js";
import { error, invalid, refusal } from "./errors.js";
import { BARE } from "./root.js";

const NOT_FOUND = 2, IS_DIRECTORY = 3, DENIED = 4, TOO_LARGE = 5;
// Prints the size on stderr where it is over the limit.
const READ = `[ -e "$1" ] || exit ${NOT_FOUND}
[ ! -d "$1" ] || exit ${IS_DIRECTORY}
[ -r "$1" ] || exit ${DENIED}
size=$(stat -Lc %s -- "$1") || exit 1
[ "$size" -le "$2" ] || { printf %s "$size" >&2; exit ${TOO_LARGE}; }
exec cat -- "$1"`;
const WRITE = `[ ! -d "$1" ] || exit ${IS_DIRECTORY}
directory=\${1%/*}
[ -d "\${directory:-/}" ] || exit ${NOT_FOUND}
if [ -e "$1" ]; then [ -w "$1" ] || exit ${DENIED}; else [ -w "\${directory:-/}" ] || exit ${DENIED}; fi
exec cat >"$1"`;

const MAKE_PARENTS = 'mkdir -p -- "${1%/*}/"';

const reasons = { [NOT_FOUND]: "FILE_NOT_FOUND", [IS_DIRECTORY]: "FILE_IS_DIRECTORY", [DENIED]: "FILE_PERMISSION_DENIED" };

// The same where the sandbox has no programs for it: ours, which goes in by chroot.
const BARE_FILES = fs.readFileSync(new URL("files.py", import.meta.url), "utf8");
const bareOperations = new Map([[READ, "read"], [WRITE, "write"], [MAKE_PARENTS, "make parents"]]);

async function shell(container, script, args, input) {
	const words = container.bare ? ["/usr/bin/python3", "-ISc", BARE_FILES, BARE, bareOperations.get(script), ...args]
		: ["/bin/sh", "-c", script, "sh", ...args];
	const child = await container.run(words, { stdin: input !== undefined, ours: true });
	child.stdin?.end(Buffer.from(input));
	const [stdout, stderr, code] = await Promise.all([collect(child.stdout), collect(child.stderr), child.exit]);
	return { stdout, stderr: stderr.toString().trim(), code };
}

function judge({ code, stderr }, operation, filepath) {
	if (code !== 0)
		throw refusal(reasons[code] ?? "FILE_IO_FAILED", `${operation} ${filepath}: ${(reasons[code] ?? stderr) || `status ${code}`}`,
			{ filepath, operation });
}

function tooLarge(operation, filepath, size, max) {
	return refusal("FILE_TOO_LARGE", `${operation} ${filepath}: ${size} bytes are more than ${max}`,
		{ filepath, operation, size_bytes: String(size), max_size_bytes: String(max) });
}

export async function write(container, path, content) {
	judge(await shell(container, WRITE, [path], content), "write_file", path);
}

export async function makeParents(container, path) {
	const { code, stderr } = await shell(container, MAKE_PARENTS, [path]);
	if (code)
		throw error({ code: "internal", message: stderr });
}

function check(path) {
	if (!path || path.includes("\0"))
		throw invalid("path", "is required, and holds no NUL");
}

export function filesService(gateway) {
	return {
		async writeFile({ sandboxId, path, content, container }, context) {
			check(path);
			const into = await gateway.sandboxes.find(sandboxId, context).container(container, context.signal);
			if (content.length > gateway.settings.fileBytesMax)
				throw tooLarge("write_file", path, content.length, gateway.settings.fileBytesMax);
			await write(into, path, content);
			return {};
		},
		async readFile({ sandboxId, path, container }, context) {
			check(path);
			const max = gateway.settings.fileBytesMax;
			const from = await gateway.sandboxes.find(sandboxId, context).container(container, context.signal);
			const got = await shell(from, READ, [path, String(max)]);
			if (got.code === TOO_LARGE)
				throw tooLarge("read_file", path, Number(got.stderr), max);
			judge(got, "read_file", path);
			return { content: got.stdout };
		},
	};
}
