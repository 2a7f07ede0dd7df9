// What can be set: in the environment (GATEWAY_SETTINGS, as JSON) and while it runs (POST /settings).

const defaults = {
	pendingMs: 0, // a new sandbox is PENDING so long,
	creatingMs: 0, // then CREATING at least so long
	startFails: "", // a sandbox does not start and gives this as its reason
	failOnExit: false, // a main process that exits with another code than 0 makes its sandbox FAILED
	exitCodeLagMs: 0, // COMPLETED is told so long before the exit code is; -1: it is never told
	defaultLifetimeSeconds: 600,
	listLagMs: 0, // an ended sandbox is listed as active for so long
	forgetMs: -1, // an ended sandbox is forgotten after so long; -1: never
	pageSize: 50, // of lists, where the request names none
	fileBytesMax: 32 << 20, // more than this ReadFile and WriteFile refuse
	execOutputBytesMax: 1 << 20, // of Exec, for each stream, where the request names none
	readyDelayMs: 0, // StreamExec says "ready" so much later
	missingProgram: "exit", // StreamExec tells of a program that an image called distroless has not by exit 127; "error": so
	killOnCancel: true, // whether the process of a dropped StreamExec is killed
	backpressureMs: 0, // a reader that takes no output for so long is cut off; 0: never
	logBytesMax: 64 << 20, // what is kept of a main process's output
	serviceUrlMs: 0, // the addresses of a running sandbox's services are told so much later
	pausedCalls: "wait", // of a paused sandbox: they wait until it goes on; "refuse": fail; "resume": let it go on
	pauseCuts: false, // calls under way in a sandbox are cut when it is paused
	snapshotMs: 0, // a snapshot is CREATING at least so long
	snapshotFails: "", // it becomes FAILED, with this reason
	snapshotsSupported: true,
	alwaysEmitImplicit: false, // answers hold fields that have their default value too
	programs: "", // a directory of static programs: all that an image called distroless has, in /bin
	secrets: { wandb: {} }, // the secret stores and what is in them: {store: {name: value}}
};

export class Settings {
	constructor(given = {}) {
		Object.assign(this, structuredClone(defaults));
		this.change(given);
	}

	// Throws where a name or a type is wrong; nothing is changed then.
	change(given) {
		for (const [name, value] of Object.entries(given))
			if (!(name in defaults) || typeof value !== typeof defaults[name])
				throw new Error(`${name} is not a setting, or not of the type of ${JSON.stringify(value)}`);
		Object.assign(this, given);
	}
}
