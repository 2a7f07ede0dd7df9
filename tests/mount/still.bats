#!/usr/bin/env bats
# While nothing runs in a sandbox the kernel remembers what is in fs/; from the moment something may run it does not.

load helpers

setup() {
	prepare
}

# still HOW ROUNDS [OPTION...]
still() {
	local how=$1 rounds=$2 root
	shift 2
	mount_up "$@"
	mkdir "$S" "$B"
	ls "$B/fs/workspace" >/dev/null
	root=$(echo "$STATE"/*/*/root)
	[ -d "$root/workspace" ] || root=$(dirname "$(find "$STATE" -path '*/root/workspace' -print -quit)")
	timeout 200 "$PYTHON" "$ROOT/tests/mount/still.py" "$B" "$root" "$rounds" "$how"
}

# What is remembered where WHAT is asked for.
remembered() { # WHAT
	printf '%s\n' 6.16 "$(uname -r)" | sort -VC && echo "$1" || echo nothing
}

@test "200 changes by commands: each is seen at its command's end; attributes are not asked for twice meanwhile" {
	local_only
	same "$(remembered attributes)" "$(still end 200)"
}

@test "the same where names are remembered too, and the kernel asks for all data" {
	local_only
	same "$(remembered names)" "$(still end 100 -o remember=names,passthrough=off)"
}

@test "150 changes by commands while others look on all the time" {
	local_only
	still crowd 75
	mount_down
	still crowd 75 -o remember=names
}

@test "500 changes by a process that tells of them past the mount" {
	local_only
	still apart 500 -o remember=names
	put "$B/proc/server/ctl" 'signal KILL'
}

@test "500 changes by a process that its command has left behind" {
	local_only
	still behind 500 -o passthrough=off
	mount_down
	still behind 200 -o remember=names
}

@test "who stands in fs/ always knows where, whatever runs and whoever walks by" {
	local_only
	mount_up
	mkdir "$S" "$B"
	inside 'mkdir -p a/b && touch a/b/f'
	background bash -c 'until [ -e "$1/stop" ]; do stat "$2/fs/workspace/a/b/f"; done >/dev/null' - "$T" "$B"
	"$PYTHON" - "$B" <<-'END'
		import os, sys
		box = sys.argv[1]
		os.chdir(f"{box}/fs/workspace/a/b")
		for n in range(150):
		    open(f"{box}/cmd", "w").write("true")
		    for _ in range(200):
		        assert os.getcwd() == f"{box}/fs/workspace/a/b"
		    open(f"{box}/wait").read()
	END
	touch "$T/stop"
	wait_for_background
}
