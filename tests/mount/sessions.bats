#!/usr/bin/env bats
# Sandboxes by their ids, and what a session does with all of its sandboxes at once.

load helpers

# A second mount of the same state directory, at $M2; what it made is for ours to find.
teardown() {
	other_down || true
	kill_background
	mount_down
	fail_if_left_behind
	sweep
}

other_up() {
	M2=$T/mnt2
	mkdir -p "$M2"
	timeout 30 "$AVIATOFS" "$SOURCE" "$M2" -o "state_dir=$STATE" "$@" 3>&- 4>&-
}

other_pid() {
	pgrep -o -f -- "^$AVIATOFS $SOURCE $T/mnt2( |\$)"
}

other_down() {
	local pid
	pid=$(other_pid) || return 0
	timeout 20 fusermount3 -u "$T/mnt2"
	eventually 30 gone "$pid"
}

# other_leaves NAME: a sandbox of another mount, running, with one ended command; its mount is then killed. Its id is in $ID.
other_leaves() {
	local pid
	other_up
	mkdir -p "$M2/theirs/$1"
	put "$M2/theirs/$1/cmd" "echo from $1; exit 4"
	finish "$M2/theirs/$1"
	ID=$(cat "$M2/theirs/$1/id")
	pid=$(other_pid)
	kill -KILL "$pid"
	eventually 10 gone "$pid"
	fusermount3 -uz "$M2" || true
}

# A remote sandbox gets its id when it starts, and tells of its commands, and whose it is, when it is first used.
used() {
	[ "$BACKEND" = local ] || timeout 60 bash -c ': >"$1"' - "$1/cmd"
}

listed() {
	ls "$M/.ctl/sandboxes" | grep -qx -- "$1"
}

@test "every sandbox of the mount stands under its id, as a directory with all its files" {
	local id by
	[ "$BACKEND" = local ] || inside : >/dev/null
	id=$(cat "$B/id")
	by=$M/.ctl/sandboxes/$id
	same "$id" "$(ls "$M/.ctl/sandboxes")"
	[ -d "$by" ] && [ ! -L "$by" ]
	[ "$BACKEND" != local ] || same unstarted "$(cat "$by/state")"
	put "$by/cmd" 'echo by its id; pwd'
	reads "$B/stdout" 'by its id\n%s\n' "$HERE"
	reads "$by/stdout" 'by its id\n%s\n' "$HERE"
	same "$(LC_ALL=C ls -A "$B")" "$(LC_ALL=C ls -A "$by")"
	mkdir "$by/proc/named"
	put "$B/proc/named/cmd" 'exit 3'
	reads "$by/proc/named/wait" '3\n'
	echo text >"$by/fs/tmp/f"
	same text "$(cat "$B/fs/tmp/f")"
	same text "$(cat "$by/fs/tmp/f")"
	# Both ways at once, many times over.
	local i
	for i in {1..50}; do
		same text "$(cat "$B/fs/tmp/f")"
		same text "$(cat "$by/fs/tmp/f")"
		same running "$(cat "$by/state")"
		same running "$(cat "$B/state")"
	done
	[ "$(stat -c %i "$B")" != "$(stat -c %i "$by")" ]
	same "$(realpath "$M/.ctl/sandboxes")" "$(cd "$by" && cd -P .. && pwd -P)"
	# It goes by the name it has in its session.
	fails 'busy' rmdir "$by"
	grep -q "^IN_SESSION: .*s/box" "$M/.ctl/error"
	rmdir "$B"
	[ ! -e "$by" ]
	eventually 20 eval 'same "" "$(ls "$M/.ctl/sandboxes")"' # the service lists it until it has ended
}

@test "names that are no ids, and what cannot be done there" {
	local name
	for name in none 0123456789abcdef -x .hidden 'a b' $'new\nline' "$(printf 'x%.0s' {1..41})" "$(printf 'x%.0s' {1..255})"; do
		fails 'No such file' stat -- "$M/.ctl/sandboxes/$name"
	done
	fails 'File name too long' stat -- "$M/.ctl/sandboxes/$(printf 'x%.0s' {1..256})"
	fails 'not permitted' mkdir "$M/.ctl/sandboxes/new"
	fails 'not permitted' touch "$M/.ctl/sandboxes/file"
	fails 'No such file' rmdir "$M/.ctl/sandboxes/none"
	fails 'not permitted' mv "$M/.ctl/sandboxes" "$M/.ctl/boxes"
}

@test "what another mount left is listed, and a look at it attaches" {
	other_leaves one
	listed "$ID"
	# No session of theirs has come up here, and nothing was started or ended.
	same '.ctl s' "$(echo $(ls -A "$M"))"
	local by=$M/.ctl/sandboxes/$ID
	used "$by"
	same running "$(cat "$by/state")"
	reads "$by/proc/1/stdout" 'from one\n'
	reads "$by/wait" '4\n'
	put "$by/cmd" 'echo again'
	reads "$by/stdout" 'again\n'
	[ -d "$by/fs/tmp" ]
	same '.ctl s' "$(echo $(ls -A "$M"))"
	rmdir "$by"
	[ ! -e "$by" ]
	eventually 10 eval '[ -z "$(agents)" ]'
}

@test "an unmount leaves alone what was only attached to" {
	other_leaves one
	same running "$(cat "$M/.ctl/sandboxes/$ID/state")"
	mount_down
	[ -n "$(agents)" ]
	mount_up
	reads "$M/theirs/one/proc/1/stdout" 'from one\n'
	rmdir "$M/theirs/one"
	eventually 10 eval '[ -z "$(agents)" ]'
}

@test "a sandbox of a living mount is not ours to have" {
	other_up
	mkdir "$M2/theirs" "$M2/theirs/one"
	put "$M2/theirs/one/cmd" :
	finish "$M2/theirs/one"
	ID=$(cat "$M2/theirs/one/id")
	if [ "$BACKEND" = local ]; then
		not listed "$ID"
		fails busy stat "$M/.ctl/sandboxes/$ID"
	else
		used "$M/.ctl/sandboxes/$ID"
		eventually 20 grep -qx failed "$M/.ctl/sandboxes/$ID/state"
	fi
	grep -q '^OTHER_MOUNT: ' "$M/.ctl/error"
	same running "$(cat "$M2/theirs/one/state")"
	put "$M2/theirs/one/cmd" 'echo still theirs'
	reads "$M2/theirs/one/stdout" 'still theirs\n'
	rmdir "$M2/theirs/one"
}

@test "many look-ups at once attach once" {
	other_leaves one
	local i
	for i in {1..20}; do
		{ used "$M/.ctl/sandboxes/$ID" && cat "$M/.ctl/sandboxes/$ID/proc/1/stdout"; } >"$T/out$i" &
		BACKGROUND+=($!)
	done
	wait_for_background
	for i in {1..20}; do
		same 'from one' "$(cat "$T/out$i")"
	done
	rmdir "$M/.ctl/sandboxes/$ID"
}

@test "adopt: a session takes over what another mount left, with its commands, under its old name" {
	other_leaves one
	ls "$S" >/dev/null # the kernel remembers that list
	put "$S/.ctl/ctl" "adopt $ID"
	same 'box one' "$(echo $(ls "$S"))"
	used "$S/one"
	same 4 "$(stat -c %h "$S" | awk '{ print $1 - 1 }')"
	reads "$S/one/proc/1/stdout" 'from one\n'
	reads "$S/one/wait" '4\n'
	same "$ID" "$(cat "$S/one/id")"
	put "$S/one/cmd" 'echo at home'
	reads "$S/one/stdout" 'at home\n'
	reads "$M/.ctl/sandboxes/$ID/stdout" 'at home\n'
	# Again is no failure, and another session does not get it.
	put "$S/.ctl/ctl" "adopt $ID"
	mkdir "$M/t"
	fails busy put "$M/t/.ctl/ctl" "adopt $ID"
	grep -q '^IN_SESSION: ' "$M/t/.ctl/error"
	fails busy rmdir "$M/.ctl/sandboxes/$ID"
	# The next mount finds it where it is now; or, as the service changes no tags, where it was.
	local home=$S other=$M/theirs
	[ "$BACKEND" = local ] || home=$M/theirs other=$S/one
	kill_daemon
	mount_up
	used "$home/one"
	reads "$home/one/proc/1/stdout" 'from one\n'
	[ ! -e "$other" ]
	rmdir "$home/one"
}

@test "adopt under another name, and beside one of the same name" {
	other_leaves box
	put "$S/.ctl/ctl" "adopt $ID"
	same "$(printf '%s\n' "$ID" box | sort | xargs)" "$(echo $(ls "$S"))"
	rmdir "$S/$ID"
	other_leaves two
	fails 'File exists' put "$S/.ctl/ctl" "adopt $ID box"
	fails 'Invalid argument' put "$S/.ctl/ctl" "adopt $ID .no"
	put "$S/.ctl/ctl" "adopt $ID new"
	used "$S/new"
	reads "$S/new/wait" '4\n'
	rmdir "$S/new"
}

@test "adopt: what is not there, or not to be had" {
	local id
	for id in none ../../etc 0123456789abcdef "$(printf 'x%.0s' {1..100})" .; do
		fails 'No such file' put "$S/.ctl/ctl" "adopt $id"
		grep -q '^NO_SUCH_SANDBOX: ' "$S/.ctl/error"
	done
	fails 'Invalid argument' put "$S/.ctl/ctl" adopt
	fails 'Invalid argument' put "$S/.ctl/ctl" 'adopt a b c'
	if [ "$BACKEND" = local ]; then # otherwise only its first use tells whose it is
		other_up
		mkdir "$M2/theirs" "$M2/theirs/one"
		put "$M2/theirs/one/cmd" :
		finish "$M2/theirs/one"
		fails busy put "$S/.ctl/ctl" "adopt $(cat "$M2/theirs/one/id")"
		grep -q '^OTHER_MOUNT: ' "$S/.ctl/error"
		same box "$(ls "$S")"
		other_down
	fi
	local own
	used "$B"
	own=$(cat "$B/id")
	put "$S/.ctl/ctl" "adopt $own" # its own
	mkdir "$M/t"
	fails busy put "$M/t/.ctl/ctl" "adopt $own"
}

@test "close ends all sandboxes, waits for it, and happens once" {
	mkdir "$S/two" "$S/three"
	put "$B/cmd" 'trap "echo bye; exit 5" TERM; echo ready; sleep 1000 & wait'
	put "$S/two/cmd" 'sleep 1000'
	same ready "$(timeout 60 head -n 1 "$B/stdout")"
	eventually 40 status_is "$S/two" running
	put "$S/.ctl/ctl" close
	# No waiting here: when the write is through, all have ended.
	same '' "$(agents)"
	same terminated "$(cat "$B/state")"
	same terminated "$(cat "$S/two/state")"
	same terminated "$(cat "$S/three/state")"
	reads "$B/stdout" 'ready\nbye\n'
	reads "$B/wait" '5\n'
	reads "$S/two/wait" '125\n'
	fails shutdown mkdir "$S/four"
	grep -q '^SESSION_CLOSED: ' "$S/.ctl/error"
	same ESHUTDOWN "$(errno_of "os.write(os.open('$S/.ctl/ctl', os.O_WRONLY), b'close\n')")"
	grep -q '^SESSION_CLOSED: ' "$S/.ctl/error"
	same ESHUTDOWN "$(errno_of "os.write(os.open('$S/.ctl/ctl', os.O_WRONLY), b'adopt x\n')")"
	rmdir "$S"/* "$S"
	mkdir "$S" "$B"
	same fresh "$(inside 'echo fresh')"
}

@test "a close that is waited for can be interrupted, and goes on; O_NONBLOCK does not wait" {
	put "$B/cmd" 'trap "" TERM; echo ready; while :; do sleep 1000; done'
	same ready "$(timeout 20 head -n 1 "$B/stdout")"
	same 'EAGAIN EAGAIN done' "$(timeout 60 "$PYTHON" - "$S/.ctl/ctl" <<-'PYTHON'
		import errno, os, select, sys, time
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
		words = []
		while True:
		    try:
		        os.write(fd, b"close\n")
		        words.append("done")
		        break
		    except OSError as e:
		        if len(words) < 2:
		            words.append(errno.errorcode[e.errno])
		        time.sleep(0.05)
		print(*words)
		PYTHON
	)"
	same '' "$(agents)"
	mkdir "$M/t" "$M/t/box"
	put "$M/t/box/cmd" 'trap "" TERM; echo ready; while :; do sleep 1000; done'
	same ready "$(timeout 20 head -n 1 "$M/t/box/stdout")"
	local writer status=0
	# A background job ignores SIGINT; this one must not.
	background "$PYTHON" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.write(os.open(sys.argv[1], os.O_WRONLY), b"close\n")' "$M/t/.ctl/ctl"
	writer=$!
	eventually 40 eval '[ "$(cat "$M/t/box/state")" != running ]' # it has been asked for
	kill -INT "$writer" 2>/dev/null || true
	wait "$writer" || status=$?
	[ "$status" = 130 ] || same 0 "$status" # it was over first
	eventually 20 eval '[ -z "$(agents)" ]'
	fails shutdown mkdir "$M/t/more"
	# A writer that waits stops no other.
	same 1 "$(ls "$M/t" | wc -l)"
}

@test "many adopt the same, and a close goes on meanwhile" {
	other_leaves one
	local i
	mkdir "$M"/t{1..5}
	for i in 1 2 3 4 5; do
		background eval "echo adopt $ID >'$M/t$i/.ctl/ctl' 2>/dev/null && echo $i >>'$T/winner'"
	done
	wait_for_background
	same 1 "$(wc -l <"$T/winner")"
	same one "$(ls "$M/t$(cat "$T/winner")")"
	put "$M/t$(cat "$T/winner")/.ctl/ctl" close
	same terminated "$(cat "$M/t$(cat "$T/winner")/one/state")"
}

@test "counters of the mount and of a session" {
	inside 'exit 0' >/dev/null
	inside 'printf 12345; exit 3' >/dev/null
	put "$B/cmd" 'kill -9 $$'
	finish
	mkdir "$M/t" "$M/t/a"
	put "$M/t/a/cmd" :
	finish "$M/t/a"
	stat_is() { grep -qx "$2 $3" "$1" || { cat "$1"; return 1; }; }
	local line
	for line in 'sandboxes 1' 'sandboxes_running 1' 'sandboxes_created 1' 'sandboxes_started 1' 'sandboxes_failed 0' 'executions 3' \
		'exec_completed_ok 1' 'exec_completed_nonzero 1' 'exec_failures 1' 'exec_completion_rate 0.6667' 'exec_failure_rate 0.3333' \
		'output_bytes 5' 'startup_count 1' 'avg_execs_per_sandbox 3.00' 'min_execs_per_sandbox 3' 'max_execs_per_sandbox 3' \
		'processes 3' 'processes_running 0'; do
		stat_is "$S/.ctl/stats" $line
	done
	for line in 'sessions 2' 'sandboxes 2' 'sandboxes_created 2' 'executions 4' 'exec_completed_ok 2' 'startup_count 2' \
		'avg_execs_per_sandbox 2.00' 'min_execs_per_sandbox 1' 'max_execs_per_sandbox 3'; do
		stat_is "$M/.ctl/stats" $line
	done
	grep -qE '^avg_startup_seconds [0-9]+\.[0-9]{3}$' "$S/.ctl/stats"
	rmdir "$M/t/a"
	stat_is "$M/.ctl/stats" min_execs_per_sandbox 1
	# A command counts when it is given.
	put "$B/cmd" 'sleep 1000'
	stat_is "$S/.ctl/stats" executions 4
	stat_is "$S/.ctl/stats" processes_running 1
	not grep -vE '^[a-z_]+ [0-9]+(\.[0-9]+)?$' "$M/.ctl/stats"
}

@test "metrics hold against a strict reader of the Prometheus format" {
	inside 'exit 3' >/dev/null
	timeout 60 "$PYTHON" "$ROOT/tests/mount/prometheus.py" "$M/.ctl/metrics" >"$T/values"
	grep -qx 'aviatofs_executions_total 1' "$T/values"
	grep -qx 'aviatofs_exec_completed_total{result="nonzero"} 1' "$T/values"
	grep -qx 'aviatofs_sandboxes{state="running"} 1' "$T/values"
	grep -qx 'aviatofs_startup_seconds_count 1' "$T/values"
	# What stats counts, metrics counts.
	same "$(awk '$1 == "events" { print $2 }' "$M/.ctl/stats")" "$(awk '$1 == "aviatofs_events_total" { print $2 }' "$M/.ctl/metrics")"
}
