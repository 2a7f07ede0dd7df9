#!/usr/bin/env bats
# The spool has a limit: there a command waits as on a full pipe. Nothing is dropped in silence.

load helpers

setup() {
	prepare
	mount_up -o spool_limit=64Ki
	mkdir "$S" "$B"
}

@test "at the limit the command waits and status says which stream is full" {
	put "$B/cmd" 'seq -w 1 200000'
	eventually 40 status_is "$B" 'running full stdout'
	same 65536 "$(stat -c %s "$B/stdout")"
	cmp <(cat "$B/stdout.log") <(seq -w 1 200000 | head -c 65536)
	jq -e . "$B/info" >/dev/null
	grep -q full "$B/info"
}

@test "raising the limit lets it go on, and every byte arrives" {
	put "$B/cmd" 'seq -w 1 200000; echo done >&2'
	background eval 'cat "$B/stdout" >"$T/got"'
	local reader=$!
	eventually 40 status_is "$B" 'running full stdout'
	put "$B/proc/1/ctl" 'limit 131072'
	eventually 40 eval 'same 131072 "$(stat -c %s "$B/stdout")" >/dev/null'
	eventually 40 status_is "$B" 'running full stdout'
	put "$B/proc/1/ctl" 'limit 100000000'
	reads "$B/wait" '0\n'
	wait $reader
	cmp "$T/got" <(seq -w 1 200000)
	reads "$B/stderr" 'done\n'
	reads "$B/status" 'exited 0\n'
}

@test "each stream has its own limit" {
	put "$B/cmd" 'seq -w 1 200000 >&2 & echo out; wait'
	eventually 40 status_is "$B" 'running full stderr'
	reads "$B/stdout.log" 'out\n'
	put "$B/cmd" 'seq -w 1 200000 >&2 & seq -w 1 200000; wait'
	eventually 40 status_is "$B" 'running full stdout stderr'
}

@test "output of exactly the limit is not full" {
	put "$B/cmd" 'head -c 65536 /dev/zero'
	reads "$B/wait" '0\n'
	reads "$B/status" 'exited 0\n'
	same 65536 "$(cat "$B/stdout" | wc -c)"
}

@test "a full command can be signalled, and removed" {
	put "$B/cmd" 'seq -w 1 200000'
	eventually 40 status_is "$B" 'running full stdout'
	put "$B/proc/1/ctl" 'signal KILL'
	reads "$B/wait" '137\n'
	cmp <(cat "$B/stdout.log") <(seq -w 1 200000 | head -c 65536)
	put "$B/cmd" 'seq -w 1 200000'
	eventually 40 status_is "$B" 'running full stdout'
	rmdir "$B/proc/2"
	same fine "$(inside 'echo fine')"
	eventually 40 eval '! inside "cat /proc/[0-9]*/comm" | grep -qx seq'
}

# What was written under the old one is there, and is read.
@test "a limit that is lowered takes nothing back" {
	mount_down
	mount_up -o spool_limit=64Mi
	mkdir -p "$B"
	put "$B/cmd" 'exec yes'
	eventually 40 eval '[ "$(stat -c %s "$B/stdout")" -gt 1000000 ]'
	put "$B/proc/1/ctl" 'limit 64Ki'
	eventually 40 status_is "$B" 'running full stdout'
	put "$B/proc/1/ctl" 'signal KILL'
	reads "$B/wait" '137\n'
	local size
	size=$(stat -c %s "$B/stdout")
	cmp "$B/stdout.log" <(yes | head -c "$size")
	[ ! -s "$B/error" ]
}

@test "a limit that was raised holds for the next mount" {
	mount_down
	mount_up -o spool_limit=64Ki,on_exit=keep
	mkdir -p "$B"
	put "$B/cmd" 'yes | head -c 3000000; exit 3'
	eventually 40 status_is "$B" 'running full stdout'
	put "$B/proc/1/ctl" 'limit 10Mi'
	reads "$B/wait" '3\n'
	mount_down
	mount_up -o spool_limit=64Ki
	cmp <(timeout 100 cat "$B/proc/1/stdout") <(yes | head -c 3000000)
	rmdir "$B"
}

@test "a terminal that is hung up while its output is full ends" {
	put "$B/cmd" '{"command": "exec yes", "tty": true}'
	eventually 40 status_is "$B" 'running full stdout'
	put "$B/proc/1/ctl" 'signal HUP'
	reads "$B/wait" '129\n'
	same 65536 "$(timeout 100 cat "$B/stdout" | wc -c)"
}

@test "a limit that is no number is refused" {
	put "$B/cmd" 'seq -w 1 200000'
	fails 'Invalid argument' put "$B/proc/1/ctl" 'limit lots'
	fails 'Invalid argument' put "$B/proc/1/ctl" 'limit'
	fails 'Invalid argument' put "$B/proc/1/ctl" 'limit -1'
}
