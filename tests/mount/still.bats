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

remembers() {
	printf '%s\n' 6.16 "$(uname -r)" | sort -VC
}

@test "200 changes by commands: each is seen at its command's end; nothing is asked twice meanwhile" {
	local_only
	same "$(remembers && echo remembered || echo asked)" "$(still end 200)"
}

@test "the same where the kernel asks for all data" {
	local_only
	same "$(remembers && echo remembered || echo asked)" "$(still end 100 -o passthrough=off)"
}

@test "150 changes by commands while others look on all the time" {
	local_only
	still crowd 150
}

@test "500 changes by a process that tells of them past the mount" {
	local_only
	still apart 500
	put "$B/proc/server/ctl" 'signal KILL'
}

@test "500 changes by a process that its command has left behind" {
	local_only
	still behind 500 -o passthrough=off
}
