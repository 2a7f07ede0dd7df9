#!/usr/bin/env bats
# Several mounts of one account, one after another and at the same time; and a mount that sleeps.

load helpers

setup() {
	prepare
	GATEWAY_BY=weather gateway_up
	M2=$T/mnt2
	mkdir "$M2"
}

teardown() {
	local bad=0
	other_down || bad=1
	tidy_up || bad=1
	return $bad
}

begin() {
	mount_up "$@"
	mkdir -p "$B"
}

other_pid() {
	pgrep -o -f -- "^$AVIATOFS [^ ]* $M2( |\$)"
}

other_down() {
	local pid
	pid=$(other_pid) || return 0
	timeout 20 fusermount3 -u "$M2"
	eventually 30 gone "$pid"
}

# A sandbox of another mount, with one ended command and one that runs; that mount is killed then. Its id is in $ID.
other_leaves() { # NAME
	local pid
	mount_at "$M2"
	mkdir -p "$M2/theirs/$1"
	put "$M2/theirs/$1/cmd" "echo from $1; exit 4"
	finish "$M2/theirs/$1"
	put "$M2/theirs/$1/cmd" 'until [ -e /tmp/go ]; do sleep 0.05; done; echo went'
	eventually 20 status_is "$M2/theirs/$1" running
	ID=$(cat "$M2/theirs/$1/id")
	pid=$(other_pid)
	kill -KILL "$pid"
	eventually 20 gone "$pid"
	fusermount3 -uz "$M2" || true
}

nothing_lives() {
	[ "$(control sandboxes | jq '[.[] | select(.state | IN("COMPLETED", "FAILED", "TERMINATED") | not)] | length')" = 0 ]
}

# What a sandbox that was only listed has is known once its agent has been reached, for which a command does.
first_use() { # DIR
	put "$1/cmd" 'touch /tmp/go; echo again'
	reads "$1/stdout" 'again\n'
}

@test "what a killed mount left can be used in .ctl/sandboxes, with its commands, and ended there" {
	begin
	other_leaves one
	ls "$M/.ctl/sandboxes" | grep -qx "$ID"
	local by=$M/.ctl/sandboxes/$ID
	same running "$(cat "$by/state")"
	same 's' "$(ls "$M")"
	first_use "$by"
	reads "$by/proc/1/stdout" 'from one\n'
	reads "$by/proc/1/wait" '4\n'
	reads "$by/proc/2/stdout" 'went\n'
	reads "$by/proc/2/wait" '0\n'
	[ -d "$by/fs/tmp" ]
	rmdir "$by"
	[ ! -e "$by" ]
	eventually 20 nothing_lives
}

@test "adopt takes it into a session, once, with its commands" {
	begin
	other_leaves one
	put "$S/.ctl/ctl" "adopt $ID"
	same 'box one' "$(echo $(ls "$S"))"
	same "$ID" "$(cat "$S/one/id")"
	first_use "$S/one"
	reads "$S/one/proc/1/stdout" 'from one\n'
	reads "$S/one/proc/2/stdout" 'went\n'
	reads "$M/.ctl/sandboxes/$ID/proc/1/wait" '4\n'
	put "$S/.ctl/ctl" "adopt $ID" # again is no failure
	mkdir "$M/t"
	fails busy put "$M/t/.ctl/ctl" "adopt $ID"
	fails 'No such file' put "$S/.ctl/ctl" 'adopt 01234567-89ab-cdef-0123-456789abcdef'
	grep -q '^NO_SUCH_SANDBOX: ' "$S/.ctl/error"
	put "$S/.ctl/ctl" close
	nothing_lives
}

@test "an unmount leaves alone what was only attached to; the next mount takes it over by itself" {
	begin
	other_leaves one
	first_use "$M/.ctl/sandboxes/$ID"
	mount_down
	same 1 "$(control sandboxes | jq '[.[] | select(.state == "RUNNING")] | length')"
	mount_up
	same one "$(ls "$M/theirs")"
	reads "$M/theirs/one/proc/2/stdout" 'went\n'
	rmdir "$M/theirs/one"
	eventually 20 nothing_lives
}

@test "two mounts at once: each has its own, and what the other holds is busy and goes on" {
	begin
	mount_at "$M2"
	mkdir "$M2/s" "$M2/s/box" # the same names, another sandbox
	put "$B/cmd" 'i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); sleep 0.01; done'
	put "$M2/s/box/cmd" 'i=0; while [ $i -lt 300 ]; do echo other $i; i=$((i+1)); sleep 0.01; done'
	timeout 30 head -n 1 "$B/stdout" >/dev/null
	timeout 30 head -n 1 "$M2/s/box/stdout" >/dev/null
	ID=$(cat "$B/id")
	[ "$ID" != "$(cat "$M2/s/box/id")" ]
	same 2 "$(ls "$M2/.ctl/sandboxes" | wc -l)"
	local by=$M2/.ctl/sandboxes/$ID
	same running "$(cat "$by/state")"
	put "$by/cmd" 'echo stolen' || true
	eventually 30 grep -q OTHER_MOUNT "$M2/.ctl/error"
	cmp <(timeout 60 cat "$B/stdout") <(seq -f 'line %g' 0 299)
	cmp <(timeout 60 cat "$M2/s/box/stdout") <(seq -f 'other %g' 0 299)
	same mine "$(inside 'echo mine')"
	same 1 "$(ls "$B/proc" | grep -c '^1$')"
	other_down # ends its own, and no other
	same still "$(inside 'echo still')"
	same 1 "$(control sandboxes | jq '[.[] | select(.state == "RUNNING")] | length')"
}

# asleep COMMAND...: the daemon does not run meanwhile, and finds its connections dead when it does again.
asleep() {
	local pid
	pid=$(daemon_pid)
	kill -STOP "$pid"
	"$@" || true
	control cut '{}' >/dev/null
	kill -CONT "$pid"
}

@test "a machine that sleeps: connections are dead when it wakes, and output and input go on where they were" {
	begin
	put "$B/cmd" '{"command": "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); sleep 0.02; done; cat; exit 7", "stdin": true}'
	timeout 30 head -n 3 "$B/stdout" >/dev/null
	local n
	for n in 1 2 3; do
		asleep sleep 1.5
		eventually 30 grep -q running "$B/status"
	done
	printf 'after the sleep' >"$B/stdin"
	cmp <(timeout 60 cat "$B/stdout") <(seq -f 'line %g' 0 199; printf 'after the sleep')
	reads "$B/wait" '7\n'
	same on "$(inside 'echo on')"
	same 1 "$(control sandboxes | jq length)"
}

@test "a way that lets nothing through for a while, and then drops all: the same" {
	begin
	put "$B/cmd" 'i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); sleep 0.02; done; exit 7'
	timeout 30 head -n 3 "$B/stdout" >/dev/null
	control weather '{"stall": true}' >/dev/null
	put "$B/proc/1/ctl" 'signal CONT' || true
	mkdir "$S/new"
	put "$S/new/cmd" 'echo new'
	asleep sleep 2
	control weather '{"stall": false}' >/dev/null
	cmp <(timeout 60 cat "$B/stdout") <(seq -f 'line %g' 0 199)
	reads "$B/wait" '7\n'
	reads "$S/new/stdout" 'new\n'
	same 2 "$(control sandboxes | jq length)"
}

@test "the times and the lifetime of a sandbox that somebody else made are the service's" {
	local id there
	begin
	control settings '{"creatingMs": 2000}' >/dev/null
	id=$(curl -sS --http2-prior-knowledge -H "Authorization: Bearer $CWSANDBOX_API_KEY" \
		--json '{"sandbox": {"spec": {"containers": [{"name": "main", "image": "python:3.11", "command": "sleep", "args": ["1000"]}]}}}' \
		"$GATEWAY/coreweave.sandbox.v1.SandboxService/CreateSandbox" | jq -r '.sandboxId // .sandbox.sandboxId')
	there=$M/.ctl/sandboxes/$id
	eventually 30 eval 'ls "$there" >/dev/null && grep -qx running "$there/state"'
	jq -e '(.started | fromdate) > (.created | fromdate)' "$there/info"
	same 600 "$(cat "$there/config/lifetime")"
	jq -e '(.expires | fromdate) - (.started | fromdate) == 600' "$there/info"
}
