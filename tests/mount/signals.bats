#!/usr/bin/env bats
# Ending a command: signals, timeouts, removal. Always the whole process group.

load helpers

# The pids of sleeping programs in the sandbox.
sleepers() {
	mkdir -p "$B/proc/look"
	put "$B/proc/look/cmd" 'LC_ALL=C grep -la "^sleep.1000" /proc/[0-9]*/cmdline || true'
	cat "$B/proc/look/stdout"
	finish "$B/proc/look"
	rmdir "$B/proc/look"
}

no_sleepers() {
	[ -z "$(sleepers)" ]
}

@test "signal NAME and signal NUMBER" {
	local word
	for word in TERM 15 SIGTERM; do
		put "$B/cmd" 'exec sleep 1000'
		eventually 40 status_is "$B" running
		put "$B/proc/$(ls "$B/proc" | sort -n | tail -n 1)/ctl" "signal $word"
		reads "$B/wait" '143\n'
		reads "$B/status" 'signaled 15 TERM\n'
	done
	put "$B/cmd" 'exec sleep 1000'
	put "$B/proc/4/ctl" 'signal KILL'
	reads "$B/wait" '137\n'
}

@test "a signal can be caught by the command" {
	put "$B/cmd" "trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.02; done"
	timeout 60 head -n 1 "$B/stdout" >/dev/null
	put "$B/proc/1/ctl" 'signal USR1'
	reads "$B/stdout" 'ready\ncaught\n'
	reads "$B/wait" '3\n'
}

@test "a signal reaches the whole group" {
	put "$B/cmd" 'sleep 1000 & sleep 1000 & echo ready; wait'
	timeout 60 head -n 1 "$B/stdout" >/dev/null
	put "$B/proc/1/ctl" 'signal TERM'
	reads "$B/wait" '143\n'
	eventually 40 no_sleepers
}

@test "words that are no verb or no signal are refused with a sentence" {
	put "$B/cmd" 'sleep 1000'
	eventually 40 status_is "$B" running
	local line
	for line in 'signal' 'signal NOSUCH' 'signal 0' 'signal 99' 'signal TERM KILL' frobnicate; do
		fails 'Invalid argument' put "$B/proc/1/ctl" "$line"
		[ -s "$B/error" ]
	done
	grep -q frobnicate "$B/error"
	reads "$B/status" 'running\n'
}

@test "a timeout ends the whole group, TERM first" {
	local seconds
	# More time where the machine did not get as far as the trap.
	for seconds in 0.5 3 30; do
		rmdir "$B/proc/p" 2>/dev/null || true
		mkdir "$B/proc/p"
		put "$B/proc/p/cmd" '{"command": "trap \"echo polite; exit\" TERM; echo ready; sleep 1000 & sleep 1000 & wait", "timeout_seconds": '$seconds'}'
		reads "$B/proc/p/wait" '124\n'
		reads "$B/proc/p/status" 'timeout\n'
		[[ $(cat "$B/proc/p/stdout") != ready* ]] || break
	done
	reads "$B/proc/p/stdout" 'ready\npolite\n'
	eventually 40 no_sleepers
}

@test "a timeout ends those who ignore TERM, by KILL" {
	put "$B/cmd" '{"command": "trap \"\" TERM; while :; do sleep 0.1; done", "timeout_seconds": 0.3}'
	within 20 reads "$B/wait" '124\n'
	reads "$B/status" 'timeout\n'
}

@test "rmdir cancels: the processes are gone" {
	mkdir "$B/proc/p"
	put "$B/proc/p/cmd" 'sleep 1000 & echo ready; sleep 1000'
	timeout 60 head -n 1 "$B/proc/p/stdout" >/dev/null
	within 1 rmdir "$B/proc/p"
	[ ! -e "$B/proc/p" ]
	eventually 40 no_sleepers
}

@test "a signal to a command that ended does nothing to others" {
	put "$B/cmd" 'true'
	finish
	put "$B/cmd" 'sleep 1000'
	eventually 40 status_is "$B" running
	put "$B/proc/1/ctl" 'signal KILL' || true
	reads "$B/status" 'running\n'
	reads "$B/proc/1/status" 'exited 0\n'
}

@test "a fork bomb of orphans cannot hide from the end of its sandbox" {
	agent_only 'the service waits for the end of the output'
	put "$B/cmd" 'for i in $(seq 50); do (setsid sleep 1000 &) ; done; echo ready'
	reads "$B/stdout" 'ready\n'
	put "$B/ctl" 'stop 1'
	eventually 40 state_is terminated
	eventually 40 eval '[ -z "$(agents)" ]'
}
