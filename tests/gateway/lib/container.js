// A sandbox's isolation: bubblewrap around its main process, and the way in for other processes.

import path from "node:path";
import fs from "node:fs";
import { once } from "node:events";
import { reader, writer } from "./pipe.js";
import { BARE, makeBareRoot, makeRoot, PATH, rootArguments } from "./root.js";
import { makeDirectory, spawnAsOwner } from "./user.js";

// As containers have them.
const capabilities = ["chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service",
	"sys_chroot", "setfcap"];
// The main process waits, inside, until it may begin: 4 says that all is mounted, 5 that it may go on.
const GATE = 'echo >&4; exec 4>&-; read -r go <&5 || exit 125; exec 5<&-; exec "$@"';

const pty = fs.readFileSync(new URL("pty.py", import.meta.url), "utf8");

// 128+N for a signal, as shells have it.
async function outcome(child) {
	const [code, signal] = await once(child, "exit");
	return signal ? 128 + signalNumber(signal) : code;
}

function signalNumber(name) {
	return ["", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM"]
		.indexOf(name.slice(3));
}

function kill(pid, signal) {
	try {
		process.kill(pid, signal);
	} catch (e) {
		if (e.code !== "ESRCH") // it has ended, and we have not been told yet
			throw e;
	}
}

export class Container {
	#directory;
	#pipes;
	#options;
	#pid;
	#gate;
	#entered = new Set(); // pids of the nsenter of each process

	// {id, command, args, environment, workingDirectory, volumes: [{directory, mountPath, readOnly}], readOnlyRoot,
	// foreign: uname tells of another machine, noexec: no program of /tmp can be run,
	// bare: its root has no programs but copies of those in the directory `programs`}
	constructor(directory, pipes, options) {
		this.#directory = directory;
		this.#pipes = pipes;
		this.#options = options;
		this.environment = { PATH, HOME: "/root", LANG: "C.UTF-8", HOSTNAME: options.id, ...options.environment };
		this.ended = false;
	}

	// Until the root is there and mounted; the main process has not begun. Its output: stdout, stderr.
	async start() {
		makeDirectory(this.#directory);
		makeRoot(path.join(this.#directory, "root"), this.#options.id);
		this.#makeMountPoints();
		if (this.#options.bare)
			makeBareRoot(path.join(this.#directory, "root"), this.#options.programs);
		const [stdout, stderr, info, mounted, gate] = await this.#makePipes(5);
		const child = spawnAsOwner("bwrap", this.#arguments(), {
			stdio: ["ignore", stdout.write, stderr.write, info.write, mounted.write, gate.read], env: {}, detached: true, cwd: "/",
		});
		for (const fd of [stdout.write, stderr.write, info.write, mounted.write, gate.read])
			fs.closeSync(fd);
		[this.stdout, this.stderr, this.#gate] = [reader(stdout.read), reader(stderr.read), writer(gate.write)];
		this.#gate.on("error", () => {}); // it ended first
		this.exit = outcome(child).finally(() => (this.ended = true));
		const [text, ready] = await Promise.all([collect(reader(info.read)), collect(reader(mounted.read))]);
		if (!ready.length)
			throw new Error(`bwrap ended by ${await this.exit}: ${await collect(this.stderr)}`);
		this.#pid = JSON.parse(text)["child-pid"];
		if (this.#options.noexec)
			await this.#forbidPrograms();
	}

	async #forbidPrograms() {
		const child = spawnAsOwner("/usr/bin/nsenter", ["-t", String(this.#pid), "-U", "-m", "--preserve-credentials", "--",
			"/usr/bin/mount", "-o", "remount,bind,nosuid,nodev,noexec", "/tmp"], { stdio: "inherit", env: { PATH: "/usr/bin:/bin" }, cwd: "/" });
		const status = await outcome(child);
		if (status !== 0)
			throw new Error(`/tmp cannot be remounted: mount ended by ${status}`);
	}

	#makePipes(count) {
		return Promise.all(Array.from({ length: count }, () => this.#pipes.make()));
	}

	// Lets the main process begin.
	begin() {
		this.#gate.end("\n");
	}

	// Mount points and the working directory have to be there first.
	#makeMountPoints() {
		const root = path.join(this.#directory, "root");
		for (const place of [this.#options.workingDirectory, ...this.#options.volumes.map((volume) => volume.mountPath)]) {
			let at = root;
			for (const name of path.posix.normalize(`/${place ?? ""}`).split("/").filter(Boolean)) {
				at = path.join(at, name);
				const stat = fs.lstatSync(at, { throwIfNoEntry: false });
				if (stat?.isSymbolicLink())
					break; // /bin and the like
				if (!stat)
					makeDirectory(at);
			}
		}
	}

	#arguments() {
		const { id, command, args, workingDirectory, volumes, readOnlyRoot } = this.#options;
		const words = ["--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid", "--unshare-net", "--unshare-ipc",
			"--unshare-uts", "--unshare-cgroup-try", "--hostname", id, "--as-pid-1", "--new-session", "--die-with-parent",
			"--info-fd", "3", ...rootArguments(path.join(this.#directory, "root"), this.bare)];
		if (this.#options.noexec)
			words.push("--bind", path.join(this.#directory, "root", "tmp"), "/tmp");
		for (const { directory, mountPath, readOnly } of volumes)
			words.push(readOnly ? "--ro-bind" : "--bind", directory, mountPath);
		if (readOnlyRoot)
			words.push("--remount-ro", "/");
		words.push("--cap-drop", "ALL", ...capabilities.flatMap((name) => ["--cap-add", `CAP_${name.toUpperCase()}`]), "--clearenv",
			...Object.entries(this.environment).flatMap(([name, value]) => ["--setenv", name, value]));
		return [...words, "--chdir", workingDirectory || "/", "--", ...this.#machine(), "/bin/sh", "-c", GATE, "sh", ...this.#entrance(), command, ...args];
	}

	#machine() {
		return this.#options.foreign ? ["/usr/bin/linux32"] : [];
	}

	// What we run for the sandbox is outside of a bare root, and what runs in it goes in from there.
	get bare() {
		return this.#options.bare;
	}

	// Whether a bare root is known not to have the program.
	lacks(program) {
		return this.bare && !fs.existsSync(path.join(this.#directory, "root", BARE, program.includes("/") ? "" : "bin", program));
	}

	#entrance() {
		return this.bare ? ["/usr/sbin/chroot", BARE] : [];
	}

	// Signals the main process: as from outside, so that without a handler only KILL ends it.
	signal(name) {
		if (!this.ended && this.#pid)
			kill(this.#pid, name);
	}

	// Stops all that runs in it, or lets it go on.
	async freeze(frozen) {
		const name = frozen ? "STOP" : "CONT";
		const child = await this.run(["/bin/sh", "-c", `kill -s ${name} -- -1`], { ours: true }); // but the main process
		child.stdout.resume();
		child.stderr.resume();
		await child.exit;
		this.signal(`SIG${name}`);
		if (!frozen) // nsenter stops with what it runs, and is not in there to be told
			this.#entered.forEach((pid) => kill(pid, "SIGCONT"));
	}

	// Runs ARGV inside. {environment, stdin: true for a pipe, tty: {width, height}, ours: a program of this machine's}
	// -> {stdin, stdout, stderr, exit, resize(), kill()}
	async run(argv, { environment = {}, stdin = false, tty, ours = false } = {}) {
		const command = ours ? argv : [...this.#entrance(), ...argv];
		const words = tty ? ["python3", "-c", pty, String(tty.width || 80), String(tty.height || 24), ...command] : command;
		const env = Object.entries({ ...this.environment, ...(tty && { TERM: "xterm" }), ...environment });
		const [output, errors, input, sizes] = await this.#makePipes(tty ? 4 : stdin ? 3 : 2);
		const theirs = [input ? input.read : "ignore", output.write, errors.write, ...(sizes ? [sizes.read] : [])];
		const caps = `-all,${capabilities.map((name) => `+${name}`).join(",")}`;
		// With --pdeathsig, killing timeout kills what it runs: it has no time limit, but waits as nsenter cannot, which
		// stops along with what it waits for.
		const child = spawnAsOwner("/usr/bin/nsenter", ["-t", String(this.#pid), "-U", "-m", "-n", "-p", "-i", "-u", "-C", "--no-fork",
			"--preserve-credentials", "--", "/usr/bin/timeout", "--foreground", "0", "/usr/bin/setpriv", `--bounding-set=${caps}`, "--inh-caps=-all", "--pdeathsig", "KILL",
			"--", ...this.#machine(), "/usr/bin/env", "-i", "-C", this.#options.workingDirectory || "/", "--",
			...env.map(([name, value]) => `${name}=${value}`), ...words], { stdio: theirs, env: { PATH: "/usr/bin:/bin" }, cwd: "/", detached: true });
		for (const fd of theirs)
			if (fd !== "ignore")
				fs.closeSync(fd);
		return this.#process(child, input, output, errors, sizes);
	}

	#process(child, input, output, errors, sizes) {
		const [stdin, resizes] = [input, sizes].map((pipe) => (pipe ? writer(pipe.write) : undefined));
		for (const stream of [stdin, resizes])
			stream?.on("error", () => stream.destroy()); // it has closed its end
		let over = false;
		this.#entered.add(child.pid);
		child.on("exit", () => this.#entered.delete(child.pid));
		return {
			stdin, stdout: reader(output.read), stderr: reader(errors.read),
			exit: outcome(child).finally(() => (over = true)),
			resize: (width, height) => resizes?.write(`${width} ${height}\n`),
			// The process and what it started, as far as that stayed in its group.
			kill() {
				stdin?.destroy();
				resizes?.destroy();
				if (!over)
					kill(-child.pid, "SIGKILL");
			},
		};
	}
}

export async function collect(stream) {
	const chunks = [];
	for await (const chunk of stream)
		chunks.push(chunk);
	return Buffer.concat(chunks);
}
