#!/usr/bin/env bats
# Sandboxes the service has paused, and lets go on: nothing is lost, nothing waits without bound, and `state` says why.

load helpers

to() { # paused | running
	control "sandboxes/$(cat "$B/id")" '{"to": "'"$1"'"}' >/dev/null
}

# What runs is in the middle of its output, and asks for one line to end.
begin() { # [OPTION...]
	[ $# = 0 ] || { mount_down && mount_up "$@" && mkdir -p "$B"; }
	put "$B/cmd" '{"command": "echo begun; read -r line; seq 5000; exit 7", "stdin": true}'
	same begun "$(timeout 30 head -n 1 "$B/stdout")"
}

ends_whole() {
	echo on >"$B/proc/1/stdin"
	cmp <(timeout 60 cat "$B/proc/1/stdout") <(echo begun; seq 5000)
	reads "$B/proc/1/wait" '7\n'
}

@test "a stream that breaks as the sandbox is paused: state and events say so, commands wait, and all goes on" {
	control settings '{"pauseCuts": true}' >/dev/null
	begin
	to paused
	eventually 30 state_is paused
	put "$B/cmd" 'echo later'
	reads "$B/status" 'starting\n'
	reads "$B/proc/1/status" 'running\n'
	same EBUSY "$(commit "$B/ctl" 'snapshot x')"
	to running
	reads "$B/stdout" 'later\n'
	eventually 30 state_is running
	background cat "$M/.ctl/events" >"$T/events" # it never ends by itself
	eventually 30 eval 'same "running paused running" "$(jq -r "select(.event == \"sandbox\") | .state" "$T/events" | grep -A9 running | xargs)"'
	ends_whole
}

@test "a stream that only falls silent: it is noticed, what needs the sandbox fails in time, and comes back with it" {
	begin -o timeout=3
	echo text >"$B/fs/tmp/file"
	to paused
	put "$B/cmd" 'echo on its way'
	eventually 60 state_is paused
	eventually 60 eval 'same ETIMEDOUT "$(errno_of "os.stat(\"$B/fs/tmp/other\")")"'
	same ETIMEDOUT "$(commit "$B/cmd" 'echo never')"
	grep -q '^PAUSED: the sandbox is paused' "$B/error"
	to running
	eventually 60 state_is running
	reads "$B/fs/tmp/file" 'text\n'
	reads "$B/stdout" 'on its way\n'
	same on "$(inside 'echo on')"
	ends_whole
}

@test "a service that refuses calls to a paused sandbox, and one that lets it go on when it is used" {
	control settings '{"pauseCuts": true, "pausedCalls": "refuse"}' >/dev/null
	begin
	to paused
	eventually 30 state_is paused
	put "$B/cmd" 'echo later'
	eventually 30 eval '[ "$(count StreamExec)" -ge 2 ]' # it was tried
	to running
	reads "$B/stdout" 'later\n'
	control settings '{"pausedCalls": "resume"}' >/dev/null
	to paused
	put "$B/cmd" 'echo awake'
	reads "$B/stdout" 'awake\n'
	eventually 30 state_is running
	ends_whole
}

@test "a paused sandbox can be stopped, and removed" {
	control settings '{"pauseCuts": true}' >/dev/null
	begin
	to paused
	eventually 30 state_is paused
	put "$B/ctl" 'stop 1'
	eventually 30 state_is terminated
	reads "$B/status" 'canceled\n'
	mkdir "$S/other"
	B=$S/other begin
	B=$S/other to paused
	B=$S/other eventually 30 state_is paused
	within 10 rmdir "$S/other"
	eventually 30 eval 'same 0 "$(control sandboxes | jq "[.[] | select(.state | IN(\"TERMINATED\", \"COMPLETED\") | not)] | length")"'
}

@test "the next mount shows a paused one, does not wait for it, and has all of it when it goes on" {
	mount_down
	mount_up -o on_exit=keep
	mkdir -p "$B"
	begin
	to paused
	mount_down
	mount_up
	state_is paused
	background cat "$B/fs/etc/hostname"
	local reader=$!
	eventually 30 state_is creating
	to running
	wait "$reader"
	state_is running
	ends_whole
	rmdir "$B"
}

@test "one that is paused while it is made is used as soon as it runs" {
	control settings '{"pausedCalls": "refuse"}' >/dev/null
	fault '{"method": "GetSandbox", "times": 3, "rewrite": [["STATE_RUNNING", "STATE_PAUSED"]]}'
	fault '{"method": "WriteFile", "error": {"reason": "SANDBOX_NOT_RUNNING"}}'
	same hi "$(inside 'echo hi')"
	same agent "$(jq -r .path "$B/info")"
}

@test "without an agent: what has waited for longer than -o timeout fails, and says that it is the pause" {
	begin -o agent=no,timeout=15
	to paused
	eventually 40 state_is paused
	put "$B/cmd" 'echo never'
	within 40 finish
	same 'failed PAUSED: the sandbox is paused' "$(cat "$B/status")"
	to running
	reads "$B/proc/1/status" 'running\n'
}

@test "without an agent: state says so, and what runs goes on" {
	begin -o agent=no
	to paused
	eventually 40 state_is paused
	put "$B/cmd" 'echo later'
	to running
	reads "$B/stdout" 'later\n'
	eventually 40 state_is running
	ends_whole
}
