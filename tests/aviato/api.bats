#!/usr/bin/env bats
# Sandboxes that no agent can be put into: commands by calls of the service. What both ways have in common is in
# tests/mount, which scripts/test runs over both.

load helpers

# An image whose root cannot be written to.
read_only() {
	put "$B/config/spec" '{"containers": [{"name": "main", "securityContext": {"readOnlyRootFilesystem": true}}]}'
}

info_is() { # KEY WANTED
	same "$2" "$(jq -r ".$1" "$B/info")"
}

@test "a read-only image: info says which way and why, and commands run" {
	read_only
	put "$B/cmd" 'echo out; echo err >&2; exit 3'
	reads "$B/stdout" 'out\n'
	reads "$B/stderr" 'err\n'
	reads "$B/wait" '3\n'
	info_is path api
	jq -e '.path_reason | test("agent|FILE_")' "$B/info"
	put "$B/cmd" '{"command": ["sh", "-c", "pwd; echo $A; cat"], "cwd": "/usr", "env": {"A": "x y"}, "stdin": true}'
	printf 'from stdin' >"$B/stdin"
	reads "$B/stdout" '/usr\nx y\nfrom stdin'
	same 1 "$(control sandboxes | jq length)"
}

@test "with an agent, info says so" {
	inside : >/dev/null
	info_is path agent
}

@test "what is not to be had without an agent fails, and says so" {
	read_only
	put "$B/cmd" '["true"]'
	reads "$B/wait" '0\n'
	same ENOTSUP "$(errno_of "os.listdir('$B/fs')")"
	printf '#!/bin/sh\necho a script has to be a file\n' >"$B/cmd"
	reads "$B/wait" '125\n'
	[[ $(cat "$B/status") == "failed CWSANDBOX_FILE_"* ]]
	printf '{"command": ["echo", "caf\351"]}' >"$B/cmd" || true
	printf '["echo", "\\u00e9"]' >"$B/cmd"
	reads "$B/stdout" '\303\251\n'
}

@test "a command on a terminal, and its size" {
	read_only
	put "$B/cmd" '{"command": "test -t 0 && test -t 1 && echo a terminal; stty size", "tty": true}'
	reads "$B/wait" '0\n'
	tr -d '\r' <"$B/stdout" >"$T/said"
	grep -qx 'a terminal' "$T/said"
	grep -qx '[0-9]* [0-9]*' "$T/said"
}

@test "the end of the sandbox is noticed, and told by its commands" {
	read_only
	put "$B/cmd" 'echo begun; sleep 1000'
	same begun "$(timeout 30 head -n 1 "$B/stdout")"
	control "sandboxes/$(cat "$B/id")" '{"to": "kill"}' >/dev/null
	finish
	eventually 40 state_is failed
	same ESHUTDOWN "$(errno_of "os.write(os.open('$B/cmd', os.O_WRONLY), b'echo x')")"
}

@test "a command that is cut off fails with the reason; others go on" {
	read_only
	inside : >/dev/null
	control faults '{"method": "StreamExec", "cut": {"sent": 200}}' >/dev/null
	put "$B/cmd" 'seq 1000; sleep 1000'
	reads "$B/wait" '125\n'
	[[ $(cat "$B/status") == failed\ * ]]
	same EIO "$(errno_of "
fd = os.open('$B/stdout', os.O_RDONLY)
while os.read(fd, 65536): pass")"
	same on "$(inside 'echo on')"
	control faults '{"method": "StreamExec", "error": {"code": "resource_exhausted", "message": "too many"}}' >/dev/null
	put "$B/cmd" 'echo not run'
	reads "$B/wait" '125\n'
	grep -q RESOURCE_EXHAUSTED "$B/status"
	grep -q 'too many' "$B/error"
}

@test "the output limit holds the command, as ever" {
	mount_down
	mount_up -o spool_limit=64Ki,agent=no
	mkdir -p "$B"
	put "$B/cmd" 'head -c 3000000 /dev/zero; echo done >&2'
	eventually 40 grep -q full "$B/status"
	same 65536 "$(stat -c %s "$B/stdout")"
	put "$B/proc/1/ctl" 'limit 4Mi'
	reads "$B/wait" '0\n'
	same 3000000 "$(stat -c %s "$B/stdout")"
}
