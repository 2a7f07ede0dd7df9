#!/usr/bin/env bats
# .ctl/events: every change of state as a JSON line, for any number of readers, within a bound.

load helpers

# The events of FILE until COUNT lines match PATTERN, at most 60 s.
events_until() { # FILE COUNT PATTERN
	timeout 60 grep -m "$2" -- "$3" "$1"
}

ended() { # NAME: the event of a command's end
	echo "\"process\":\"$1\",\"status\":\"exited"
}

@test "the life of a session, a sandbox and a command, in order, with names and numbers" {
	put "$B/cmd" 'exit 7'
	finish
	put "$S/.ctl/ctl" close
	timeout 60 sed '/"state":"terminated"/q' "$M/.ctl/events" >"$T/log"
	jq -es 'map(.event + " " + (.state // .status)) == ["session open", "sandbox unstarted", "sandbox pending",
		"process starting", "sandbox creating", "sandbox running", "process running", "process exited 7", "session closed",
		"sandbox terminating", "sandbox terminated"]' "$T/log"
	jq -es 'map(.seq) | . == sort and (unique | length) == length' "$T/log"
	jq -es 'map(select(.event == "process") | .process) | unique == ["1"]' "$T/log"
	jq -es 'map(select(.exit_code)) | length == 1 and .[0].exit_code == 7' "$T/log"
	jq -es 'map(select(.event != "session")) | all(.session == "s" and .sandbox == "box")' "$T/log"
	# A remote sandbox gets its id from the service.
	jq -es --arg id "$(cat "$B/id")" --arg backend "$BACKEND" 'map(select(.event != "session")) | if $backend == "local" then . else .[-3:] end |
		all(.id == $id)' "$T/log"
	jq -es 'map(.time) | . == sort and all(test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z$"))' "$T/log"
}

@test "signals and failures are told" {
	put "$B/cmd" 'kill -9 $$'
	finish
	put "$B/cmd" '["/no/such/program"]'
	finish
	events_until "$S/.ctl/events" 1 '"status":"signaled' | jq -e '.signal == 9 and .status == "signaled 9 KILL"'
	events_until "$S/.ctl/events" 1 '"process":"2","status":"exited' | jq -e '.exit_code == 127'
}

@test "what went wrong on the way is no reason of an end that was asked for" {
	fails 'Invalid argument' put "$B/ctl" nonsense
	put "$B/ctl" start
	eventually 40 state_is running
	put "$B/ctl" stop
	eventually 40 state_is terminated
	events_until "$S/.ctl/events" 1 '"state":"terminated"' | jq -e 'has("reason") | not'
}

@test "a reader waits for news, and replay gives the same bytes" {
	background eval 'timeout 60 sed "/\"process\":\"2\",\"status\":\"exited/q" "$M/.ctl/events" >"$T/live"'
	local reader=$!
	inside : >/dev/null
	inside : >/dev/null
	wait "$reader"
	timeout 60 sed '/"process":"2","status":"exited/q' "$M/.ctl/events" >"$T/replay"
	cmp "$T/live" "$T/replay"
	[ "$(wc -l <"$T/live")" -ge 8 ]
}

@test "several readers, each with its own pace; shells read line by line" {
	local i
	for i in {1..5}; do
		background eval "timeout 60 sed '/\"process\":\"20\",\"status\":\"exited/q' '$S/.ctl/events' >'$T/reader$i'"
	done
	background timeout 60 bash -c 'while read -r line; do printf "%s\n" "$line"; [[ $line != *"\"process\":\"20\",\"status\":\"exited"* ]] || break; done <"$1" >"$2"' - "$S/.ctl/events" "$T/reader6"
	for i in {1..20}; do
		inside : >/dev/null
	done
	wait_for_background
	for i in {2..6}; do
		cmp "$T/reader1" "$T/reader$i"
	done
	same 20 "$(jq -s 'map(select(.exit_code == 0)) | length' "$T/reader1")"
}

@test "O_NONBLOCK, poll, select and epoll; ^C ends a waiting reader" {
	same 'EAGAIN [] [] [] news [1] [1] [1] EAGAIN' "$(timeout 60 "$PYTHON" - "$S" <<-'PYTHON'
		import os, select, subprocess, sys
		fd = os.open(sys.argv[1] + "/.ctl/events", os.O_RDONLY | os.O_NONBLOCK)
		def drain():
		    text = b""
		    while True:
		        try:
		            text += os.read(fd, 100)
		        except BlockingIOError:
		            return text
		epoll = select.epoll(); epoll.register(fd, select.EPOLLIN)
		poll = select.poll(); poll.register(fd, select.POLLIN)
		def ready(wait):
		    return ([len(select.select([fd], [], [], wait)[0])] if select.select([fd], [], [], wait)[0] else [],
		        [1] if poll.poll(wait * 1000) else [], [1] if epoll.poll(wait) else [])
		drain(); print("EAGAIN", *ready(0), end=" ")
		child = subprocess.Popen(["sh", "-c", "sleep 0.2; mkdir " + sys.argv[1] + "/another"])
		assert poll.poll(30000)
		print("news", *ready(30), end=" ")
		child.wait()
		assert b'"another"' in drain()
		print("EAGAIN")
		PYTHON
	)"
	timeout 20 "$PYTHON" - "$M" <<-'PYTHON'
		import signal, subprocess, sys
		p = subprocess.Popen(["sh", "-c", "exec cat " + sys.argv[1] + "/.ctl/events"], stdout=subprocess.PIPE)
		p.stdout.readline()
		p.send_signal(signal.SIGINT)
		assert p.wait(10) == -signal.SIGINT
	PYTHON
}

@test "the events of a session are its own, and end with it" {
	mkdir "$M/t" "$M/t/other"
	background eval 'timeout 60 cat "$M/t/.ctl/events" >"$T/log"'
	local reader=$!
	eventually 10 eval '[ -s "$T/log" ]'
	inside : >/dev/null
	rmdir "$M/t/other" "$M/t"
	wait "$reader"
	jq -es 'all(.session == "t") and .[-1].state == "removed"' "$T/log"
	grep -q '"session":"t"' "$M/.ctl/events" &
	wait $!
}

@test "a reader that never reads costs nothing and is told what it missed" {
	inside : >/dev/null
	exec 5<"$S/.ctl/events" 6<"$M/.ctl/events"
	local before after
	before=$(awk '/^VmRSS/ { print $2 }' "/proc/$(daemon_pid)/status")
	# Two lines each; as many as it takes to go over the bound of some 25,000.
	timeout 200 "$PYTHON" - "$M/t" <<-'PYTHON'
		import os, sys
		for i in range(20000):
		    os.mkdir(sys.argv[1]); os.rmdir(sys.argv[1])
	PYTHON
	after=$(awk '/^VmRSS/ { print $2 }' "/proc/$(daemon_pid)/status")
	[[ $(nm "$AVIATOFS") == *__asan_init* || $(nm "$AVIATOFS") == *__tsan_init* ]] || ((after - before < 16384)) || {
		echo "memory grew from $before to $after KiB"
		return 1
	}
	[ "$(stat -c %s "$M/.ctl/events")" -le $((4 << 20)) ]
	mkdir "$M/last"
	timeout 60 sed '/"session":"last"/q' <&6 >"$T/log"
	jq -es 'map(select(.event == "lost") | .count) | length == 1 and .[0] > 1000' "$T/log"
	# Told once, where they are missing; what follows has no gap, and the sum is right.
	jq -es 'map(select(.event != "lost").seq) as $seq | ($seq[-1] - $seq[0] + 1 == ($seq | length))
		and (map(select(.event == "lost").count) | add) == $seq[0]' "$T/log"
	put "$B/cmd" 'exit 9'
	finish
	timeout 60 sed '/"exit_code":9/q' <&5 | jq -es 'map(select(.event == "lost")) | length == 1'
	rmdir "$M/last"
}

@test "after a restart events begin with what was found" {
	put "$B/cmd" 'sleep 1000'
	eventually 20 status_is "$B" running
	kill_daemon
	mount_up
	timeout 60 sed '/"status":"running"/q' "$M/.ctl/events" >"$T/log"
	jq -es '.[0].seq == 0 and (map(.event) | contains(["session", "sandbox", "process"]))' "$T/log"
}
