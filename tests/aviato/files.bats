#!/usr/bin/env bats
# fs/ of a remote sandbox when what it is reached by goes away: for a while, or for good.

load helpers

setup() {
	prepare
	GATEWAY_BY=weather gateway_up
	mount_up -o timeout=3
	mkdir "$S" "$B"
	inside 'mkdir /tmp/w; cd /tmp/w; echo here >f; head -c 3000000 /dev/zero >large' >/dev/null
	W=$B/fs/tmp/w
	exec 7<"$W/large"
	same 10 "$(head -c 10 <&7 | wc -c)"
}

teardown() {
	local bad=0
	exec 7<&-
	mount_down || bad=1
	gateway_down || bad=1
	sweep
	return $bad
}

@test "nobody to ask for longer than -o timeout: what waits is told so, and later all of it goes on" {
	control down '{}' >/dev/null
	local status=0
	timeout 60 cat "$W/f" 2>"$T/said" || status=$?
	same 1 "$status"
	grep -q 'timed out' "$T/said"
	control up '{}' >/dev/null
	eventually 60 grep -qx running "$B/state"
	same here "$(timeout 60 cat "$W/f")"
	# The agent has kept what was open; head had read on to the end of a buffer, or of a pipe.
	(($(timeout 60 cat <&7 | wc -c) > 2000000))
}

refuses_commands() { # SANDBOX
	same ETIMEDOUT "$(commit "$1/cmd" 'echo never')"
}

@test "files first asked for when nobody could be asked for longer than -o timeout" {
	mkdir "$S/second"
	put "$S/second/cmd" :
	finish "$S/second"
	control down '{}' >/dev/null
	eventually 60 refuses_commands "$S/second" >/dev/null
	fails 'timed out' timeout 20 ls "$S/second/fs"
	control up '{}' >/dev/null
	eventually 60 grep -qx running "$S/second/state"
	timeout 20 ls "$S/second/fs" | grep -qx etc
}

@test "an agent that died: open files are stale, names are not, and the mount lives on" {
	ls "$W" >/dev/null
	put "$B/cmd" 'kill -KILL $PPID'
	finish
	eventually 60 grep -qx running "$B/state"
	same 'f large' "$(timeout 60 ls "$W" | xargs)"
	same here "$(timeout 60 cat "$W/f")"
	local status=0
	timeout 60 cat <&7 2>"$T/said" >/dev/null || status=$?
	same 1 "$status"
	grep -q 'Stale' "$T/said"
	same again "$(inside 'echo again')"
	echo more >"$W/f"
	same more "$(inside 'cat /tmp/w/f')"
}
