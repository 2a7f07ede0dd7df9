#!/usr/bin/env bats
# Killed daemons, agents and sandboxes. The agent owns the processes and their output, so a dead
# daemon loses nothing; what cannot be known any more is called lost.

load helpers

# 300 numbered lines in about three seconds, then exit status 7.
COUNTING='i=1; while [ $i -le 300 ]; do echo line $i; echo err $i >&2; i=$((i+1)); sleep 0.01; done; exit 7'

# Takes a while, and must not be wrong for that: a new mount finds its sandboxes when they answer.
connected() {
	state_is running
}

@test "the daemon is killed while a command streams: a new mount has it all" {
	put "$B/cmd" "$COUNTING"
	timeout 60 head -n 20 "$B/stdout" >/dev/null
	local id
	id=$(cat "$B/id")
	kill_daemon
	mount_up
	[ -d "$B" ]
	same "$id" "$(cat "$B/id")"
	eventually 40 connected
	cmp <(timeout 30 cat "$B/proc/1/stdout") <(seq -f 'line %g' 300)
	cmp <(timeout 30 cat "$B/proc/1/stderr") <(seq -f 'err %g' 300)
	reads "$B/proc/1/wait" '7\n'
	reads "$B/proc/1/status" 'exited 7\n'
	reads "$B/proc/1/cmd" '%s\n' "$COUNTING"
	reads "$B/wait" '7\n'
	same alive "$(inside 'echo alive')"
	same '1 2' "$(echo $(ls -v "$B/proc"))"
}

@test "killed five times under one command" {
	put "$B/cmd" "$COUNTING"
	local i
	for i in 1 2 3 4 5; do
		timeout 60 head -n $((i * 30)) "$B/stdout" >/dev/null
		kill_daemon
		mount_up
		eventually 40 connected
	done
	cmp <(timeout 30 cat "$B/stdout") <(seq -f 'line %g' 300)
	reads "$B/wait" '7\n'
}

@test "a command that ends while no daemon is there: its output and status are kept" {
	put "$B/cmd" 'echo before; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo after; exit 9'
	same before "$(timeout 60 head -n 1 "$B/stdout")"
	mkdir "$B/proc/named"
	put "$B/proc/named/cmd" 'sleep 0.5; touch /tmp/go; echo named done'
	eventually 40 status_is "$B/proc/named" running
	local pid
	pid=$(agents)
	kill_daemon
	# The agent's children end by themselves: wait for the last one to be gone.
	eventually 40 eval "[ -z \"\$(cat /proc/$pid/task/$pid/children)\" ]"
	mount_up
	eventually 40 connected
	reads "$B/proc/1/stdout" 'before\nafter\n'
	reads "$B/proc/1/wait" '9\n'
	reads "$B/proc/named/stdout" 'named done\n'
	reads "$B/proc/named/wait" '0\n'
}

@test "ended commands of several sandboxes and sessions are all found" {
	local s b
	for s in s t; do
		for b in a b; do
			mkdir -p "$M/$s/$b"
			put "$M/$s/$b/cmd" "echo $s$b; exit 3"
			finish "$M/$s/$b"
		done
	done
	kill_daemon
	mount_up
	for s in s t; do
		for b in a b; do
			reads "$M/$s/$b/proc/1/stdout" '%s\n' "$s$b"
			reads "$M/$s/$b/proc/1/wait" '3\n'
		done
	done
}

@test "live stdin goes on after the restart" {
	put "$B/cmd" '{"command": "while read -r x; do echo got $x; done", "stdin": true}'
	exec 5>"$B/stdin"
	echo one >&5
	same 'got one' "$(timeout 60 head -n 1 "$B/stdout")"
	kill_daemon
	exec 5>&- || true
	mount_up
	eventually 40 connected
	echo two >"$B/proc/1/stdin"
	reads "$B/proc/1/stdout" 'got one\ngot two\n'
	reads "$B/proc/1/wait" '0\n'
}

@test "settings, files and state survive too" {
	local started
	put "$B/config/env" X=kept
	inside 'echo file >/workspace/f' >/dev/null
	started=$(grep -E '"(started|expires)"' "$B/info")
	kill_daemon
	# So that a start that is taken for now is another one.
	eventually 5 eval '[[ $started != *"$(date -u +%FT%TZ)"* ]]'
	mount_up
	eventually 40 connected
	[ "$BACKEND" != local ] || same "$started" "$(grep -E '"(started|expires)"' "$B/info")"
	same kept "$(inside 'echo $X')"
	same file "$(cat "$B/fs/workspace/f")"
	same X=kept "$(cat "$B/config/env")"
	same EBUSY "$(errno_of "os.write(os.open('$B/config/cwd', os.O_WRONLY), b'/tmp')")"
}

@test "the agent is killed: lost, 125, EIO after the bytes that came" {
	put "$B/cmd" 'echo before; sleep 1000'
	same before "$(timeout 60 head -n 1 "$B/stdout")"
	background eval 'timeout 20 cat "$B/stdout" >"$T/got" 2>"$T/said"'
	local reader=$!
	eventually 40 eval '[ -s "$T/got" ]'
	kill -KILL "$(agents)"
	reads "$B/wait" '125\n'
	reads "$B/status" 'lost\n'
	wait $reader || true
	same before "$(cat "$T/got")"
	grep -q 'Input/output error' "$T/said"
	[ "$BACKEND" = local ] || return 0 # a remote sandbox outlives its agent, and gets another
	[[ $(cat "$B/state") == @(failed|terminated) ]]
	[ -s "$B/error" ]
	same ESHUTDOWN "$(errno_of "os.write(os.open('$B/cmd', os.O_WRONLY), b'echo x')")"
}

@test "the sandbox is killed from outside: ended commands keep their results" {
	same kept "$(inside 'echo kept')"
	put "$B/cmd" 'sleep 1000'
	eventually 40 status_is "$B" running
	kill_sandbox
	reads "$B/wait" '125\n'
	reads "$B/proc/1/stdout" 'kept\n'
	reads "$B/proc/1/wait" '0\n'
	eventually 40 eval '[[ $(cat "$B/state") == @(failed|terminated) ]]'
	rmdir "$B"
	mkdir "$B"
	same fresh "$(inside 'echo fresh')"
}

# When a sandbox ends a thread of the daemon asks the kernel for the files it reads without us, which asks the
# daemon. Killed while that waits, the daemon must not be held by its own question.
@test "the daemon is killed while it takes open files from a sandbox that died: it is gone" {
	local_only 'files are passed through there'
	as_root
	local round pid
	for round in $(seq 15); do
		mkdir -p "$B"
		inside 'echo up' >/dev/null
		pid=$(daemon_pid)
		python3 - "$B/fs/tmp" "$(agents)" "$pid" <<-'END'
			import os, random, sys, time
			files = [os.open("%s/%d" % (sys.argv[1], i), os.O_RDWR | os.O_CREAT) for i in range(500)]
			os.kill(int(sys.argv[2]), 9)
			time.sleep(random.random() * 0.2)
			os.kill(int(sys.argv[3]), 9)
		END
		eventually 20 gone "$pid"
		mount_up
		rmdir "$B" 2>/dev/null || true # what the next mount makes of it is another test's
	done
}

@test "agent and daemon are both killed: the next mount says so, and lets it be removed" {
	local_only 'a remote sandbox outlives its agent, and gets another'
	put "$B/cmd" 'echo before; sleep 1000'
	same before "$(timeout 60 head -n 1 "$B/stdout")"
	local agent
	agent=$(agents)
	kill_daemon
	kill -KILL "$agent"
	eventually 40 gone "$agent"
	mount_up
	# A record that nobody stands behind is either shown as ended or cleared away; never as running.
	if [ -d "$B" ]; then
		eventually 40 eval '! state_is running'
		rmdir "$B"
	fi
	mkdir -p "$B"
	same fresh "$(inside 'echo fresh')"
}

# As it dies between the agent's first step and the note of its pid.
@test "the daemon is killed before it has written the agent down: the next mount ends it" {
	local_only 'meta.json is its alone'
	same up "$(inside 'echo up')"
	kill_daemon
	local meta
	meta=$(echo "$STATE"/default/*/meta.json)
	jq -c '.agent = 0 | .agent_started = "0"' "$meta" >"$T/meta"
	cat "$T/meta" >"$meta"
	[ -n "$(agents)" ]
	mount_up
	[ ! -d "$S" ]
	same '' "$(agents)"
	eventually 20 eval '[ -z "$(ls "$STATE/default")" ]'
}

# Its commands take all it may have, also what the connection of the dead daemon gave back.
@test "an agent without a descriptor left is found by the next mount all the same" {
	local_only 'a remote agent has the limits of its image'
	as_root
	mount_down
	(ulimit -n 64 && mount_up)
	mkdir "$S" "$B"
	local n agent
	for n in {1..40}; do
		put "$B/cmd" 'until [ -e /workspace/go ]; do sleep 0.1; done; head -c 100000 /dev/zero; sleep 1000'
	done
	eventually 40 status_is "$B" 'failed SPAWN: pipe: No file descriptors available'
	agent=$(agents)
	kill_daemon
	touch "$(echo "$STATE"/default/*/root/workspace)/go"
	eventually 40 eval '[ "$(ls "/proc/$agent/fd" | wc -l)" = 64 ]'
	mount_up
	eventually 20 connected
	put "$B/proc/1/ctl" 'signal KILL'
	reads "$B/proc/1/wait" '137\n'
}

@test "on_exit=keep: an unmount lets it live, the next mount has it" {
	mount_down
	mount_up -o on_exit=keep
	mkdir -p "$B"
	put "$B/cmd" 'echo kept; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo on; exit 6'
	same kept "$(timeout 60 head -n 1 "$B/stdout")"
	mount_down
	[ -n "$(agents)" ]
	mount_up
	eventually 40 connected
	mkdir "$B/proc/go"
	put "$B/proc/go/cmd" 'touch /tmp/go'
	reads "$B/proc/1/stdout" 'kept\non\n'
	reads "$B/proc/1/wait" '6\n'
	# Let live on purpose, it is kept by this mount as well, until it is removed.
	mount_down
	[ -n "$(agents)" ]
	mount_up
	rmdir "$B"
	eventually 40 eval '[ -z "$(agents)" ]'
}

@test "without a mount, a sandbox ends by itself after orphan_timeout" {
	mount_down
	mount_up -o orphan_timeout=6
	mkdir -p "$B"
	put "$B/cmd" 'sleep 1000'
	eventually 40 status_is "$B" running
	local agent
	agent=$(agents) # asked for now, as that may take seconds
	kill_daemon
	kill -0 "$agent"
	eventually 40 eval '[ -z "$(agents)" ]'
	eventually 40 eval '[ -z "$(our_processes)" ]'
	mount_up
}

@test "rmdir right after a restart, before anything answered" {
	put "$B/cmd" 'sleep 1000'
	eventually 40 status_is "$B" running
	kill_daemon
	mount_up
	rmdir "$B"
	[ ! -e "$B" ]
	eventually 40 eval '[ -z "$(agents)" ]'
}

# Its bytes wait in the pipe of a command that does not read yet, and behind them perhaps the end of file:
# the close may or may not have reached the agent when the daemon dies.
@test "stdin that was written and closed goes on under the next mount" {
	put "$B/cmd" '{"command": "until [ -e /workspace/go ]; do sleep 0.05; done; wc -c", "stdin": true}'
	timeout 60 head -c 200000 /dev/zero >"$B/stdin"
	eventually 40 status_is "$B" running # what the agent was never given dies with the daemon
	kill_daemon
	mount_up
	local late=0
	put "$B/stdin" late && late=5
	: >"$B/fs/workspace/go"
	reads "$B/stdout" "$((200000 + late))\n"
	reads "$B/wait" '0\n'
	reads "$B/state" 'running\n'
}
