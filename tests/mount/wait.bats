#!/usr/bin/env bats
# The files `wait` with poll, and `aviatofs wait`: until some or all of many commands have ended.

load helpers

# Runs for as long as $T/go-NAME is not there; ends with CODE.
held() { # NAME CODE
	mkdir -p "$B/proc/$1"
	put "$B/proc/$1/cmd" "until [ -e /workspace/go-$1 ]; do sleep 0.02; done; exit $2"
}

release() { # NAME
	: >"$B/fs/workspace/go-$1"
}

@test "poll, select and epoll tell when a wait would not wait" {
	held a 3
	same '[] [] [] EAGAIN [1] [1] [1] b"3\n"' "$(timeout 60 "$PYTHON" - "$B" <<-'PYTHON' | tr "'" '"'
		import os, select, sys
		fd = os.open(sys.argv[1] + "/proc/a/wait", os.O_RDONLY | os.O_NONBLOCK)
		poll = select.poll(); poll.register(fd, select.POLLIN)
		epoll = select.epoll(); epoll.register(fd, select.EPOLLIN)
		def ready(wait):
		    return ([1] if select.select([fd], [], [], wait)[0] else [], [1] if poll.poll(wait * 1000) else [],
		        [1] if epoll.poll(wait) else [])
		print(*ready(0), end=" ")
		try:
		    os.read(fd, 9)
		except BlockingIOError:
		    print("EAGAIN", end=" ")
		open(sys.argv[1] + "/fs/workspace/go-a", "w").close()
		print(*ready(30), os.read(fd, 9))
		PYTHON
	)"
}

@test "all of them, in the order of their ends" {
	local name
	for name in a b c; do
		held $name 0
	done
	background eval '"$AVIATOFS" wait "$B/proc/a" "$B/proc/b/wait" "$B/proc/c" >"$T/out"; echo $? >"$T/status"'
	for name in b c a; do
		release $name
		eventually 20 eval "grep -q proc/$name '$T/out'"
	done
	eventually 20 eval '[ -s "$T/status" ]'
	same 0 "$(cat "$T/status")"
	printf '%s\n' "$B/proc/b/wait" "$B/proc/c" "$B/proc/a" | cmp - "$T/out"
}

@test "--any and --count end with the first and the n-th" {
	local name
	for name in a b c d; do
		held $name 1
	done
	release b
	same "$B/proc/b" "$(timeout 60 "$AVIATOFS" wait --any "$B"/proc/{a,b,c,d})"
	release d
	same "b d" "$(timeout 60 "$AVIATOFS" wait --count 2 "$B"/proc/{a,b,c,d} | sed 's|.*/||' | sort | xargs)"
	release a
	release c
	same "4" "$(timeout 60 "$AVIATOFS" wait "$B"/proc/{a,b,c,d} | wc -l)"
	# What has ended is there at once, and in the order given.
	same "d a" "$(timeout 60 "$AVIATOFS" wait "$B/proc/d" "$B/proc/a" | sed 's|.*/||' | xargs)"
}

@test "--timeout gives 124 and what has ended until then; 0 only looks" {
	held a 0
	held b 0
	release a
	finish "$B/proc/a"
	run timeout 60 "$AVIATOFS" wait --timeout 0.3 "$B/proc/b" "$B/proc/a"
	same 124 "$status"
	same "$B/proc/a" "$output"
	run timeout 60 "$AVIATOFS" wait --timeout 0 "$B/proc/b"
	same 124 "$status"
	run timeout 60 "$AVIATOFS" wait --timeout 0 "$B/proc/a"
	same 0 "$status"
	release b
	run timeout 60 "$AVIATOFS" wait --timeout 50 "$B/proc/b"
	same 0 "$status"
}

@test "a directory of a sandbox means its latest command" {
	put "$B/cmd" 'exit 3'
	same "$B" "$(timeout 60 "$AVIATOFS" wait "$B")"
	mkdir "$S/idle"
	run timeout 60 "$AVIATOFS" wait "$B" "$S/idle"
	same 1 "$status"
	[[ $output == *"$S/idle: no command was given"* ]]
}

@test "many at once, of several sandboxes" {
	local i
	mkdir "$S/two"
	for i in {1..60}; do
		put "$B/cmd" "exit $((i % 7))"
		put "$S/two/cmd" 'sleep 0.1'
	done
	timeout 120 "$AVIATOFS" wait "$B"/proc/* "$S"/two/proc/* >"$T/out"
	printf '%s\n' "$B"/proc/* "$S"/two/proc/* | sort >"$T/wanted"
	sort "$T/out" | comm -13 - "$T/wanted" | { ! grep .; }
}

@test "a sandbox that is stopped ends its commands, a signal ends the wait" {
	held a 0
	background eval '"$AVIATOFS" wait "$B/proc/a" >"$T/out"; echo $? >"$T/status"'
	eventually 20 status_is "$B/proc/a" running
	put "$B/ctl" 'stop 0'
	eventually 30 eval '[ -s "$T/status" ]'
	same 0 "$(cat "$T/status")"
	mkdir "$S/two"
	put "$S/two/cmd" 'sleep 1000'
	timeout 20 "$PYTHON" - "$AVIATOFS" "$S/two" <<-'PYTHON'
		import signal, subprocess, sys, time
		p = subprocess.Popen([sys.argv[1], "wait", sys.argv[2]])
		time.sleep(0.2)
		p.send_signal(signal.SIGINT)
		assert p.wait(10) == -signal.SIGINT
	PYTHON
}

@test "words that make no sense" {
	local words
	put "$B/cmd" :
	for words in '' '--any' '--count 0 X' '--count 2 X' '--count x X' '--timeout -1 X' '--timeout nan X' '--timeout inf X' \
		'--timeout 1s X' '--timeout X' '--frob X'; do
		# shellcheck disable=SC2086
		run timeout 10 "$AVIATOFS" wait ${words//X/$B}
		same "2 $words" "$status $words"
		[[ $output == *usage* ]]
	done
	run timeout 10 "$AVIATOFS" wait "$T/none"
	same 1 "$status"
	[[ $output == *'No such file'* ]]
	echo 5 >"$T/plain"
	run timeout 10 "$AVIATOFS" wait "$T/plain"
	same 1 "$status"
	run timeout 10 "$AVIATOFS" wait "$B" >/dev/full
	timeout 10 "$AVIATOFS" wait "$B" >/dev/full 2>"$T/said" && return 1
	grep -q 'standard output' "$T/said"
}
