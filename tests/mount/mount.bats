#!/usr/bin/env bats
# Mounting, and leaving nothing behind.

load helpers
setup() { prepare; }

# Refused: a non-zero status, one line on stderr, nothing mounted.
refuses() {
	local status=0
	timeout 30 "$@" >"$T/stdout" 2>"$T/stderr" 3>&- || status=$?
	[ "$status" != 0 ] && [ "$status" != 124 ] && [ "$(wc -l <"$T/stderr")" = 1 ] && ! mounted || {
		echo "status $status from: $*"
		cat "$T/stderr"
		return 1
	}
}

@test "returns 0 when the mount answers, every time" {
	for i in {1..30}; do
		mount_up
		[ -d "$M/.ctl" ]
		mkdir "$M/s$i"
		rmdir "$M/s$i"
		mount_down
	done
}

@test "shows up as fuse.aviatofs" {
	mount_up
	same "$M fuse.aviatofs" "$(findmnt -n -t fuse.aviatofs -o TARGET,FSTYPE "$M" | tr -s ' ')"
}

@test "takes the options mount(8) hands to helpers" {
	timeout 30 "$AVIATOFS" local: "$M" -s -o "ro,noexec,rw,nosuid,nodev,exec,noatime,state_dir=$STATE" 3>&-
	mounted
	[[ ,$(findmnt -n -o OPTIONS "$M"), != *,@(ro|noexec),* ]]
	mkdir "$S" "$B"
	same ran "$("$B/run" echo ran)"
}

@test "local: is the default source" {
	timeout 30 "$AVIATOFS" "$M" -o "state_dir=$STATE" 3>&-
	mounted
	fusermount3 -u "$M"
	eventually 40 no_processes
}

@test "--help and --version" {
	"$AVIATOFS" --help | grep -q MOUNTPOINT
	[[ $("$AVIATOFS" --version) =~ ^aviatofs\ [0-9]+\.[0-9]+ ]]
	# Each command says its own words, where programs are asked for them.
	for command in run shell wait doctor; do
		[[ $("$AVIATOFS" "$command" --help) == "usage: aviatofs $command "* ]]
	done
}

@test "refuses unknown options with one line" {
	refuses "$AVIATOFS" local: "$M" -o "state_dir=$STATE,frobnicate"
	grep -q frobnicate "$T/stderr"
	refuses "$AVIATOFS" local: "$M" --frobnicate
	grep -q frobnicate "$T/stderr"
	refuses "$AVIATOFS" local: "$M" -o "state_dir=$STATE,on_exit=perhaps"
	refuses "$AVIATOFS" local: "$M" -o "state_dir=$STATE,spool_limit=lots"
	refuses "$AVIATOFS" local: "$M" -o "state_dir=$STATE,timeout=-1"
	refuses "$AVIATOFS" local: "$M" -o "state_dir=$STATE,remember=it"
	refuses "$AVIATOFS" local: "$M" -o "state_dir=$STATE,orphan_timeout=soon"
}

@test "refuses an unknown source, a missing mount point, a file, too many words, none" {
	refuses "$AVIATOFS" ftp: "$M" -o "state_dir=$STATE"
	refuses "$AVIATOFS" local: "$T/missing" -o "state_dir=$STATE"
	touch "$T/file"
	refuses "$AVIATOFS" local: "$T/file" -o "state_dir=$STATE"
	refuses "$AVIATOFS" local: "$M" "$M" -o "state_dir=$STATE"
	run "$AVIATOFS"
	[ "$status" != 0 ]
}

@test "refuses a mount point that is in use" {
	mount_up
	local status=0
	timeout 30 "$AVIATOFS" local: "$M" -o "state_dir=$T/other" 2>"$T/stderr" 3>&- || status=$?
	[ "$status" != 0 ]
	same 1 "$(wc -l <"$T/stderr")"
	[ -d "$M/.ctl" ]
	same 1 "$(findmnt -n "$M" | wc -l)"
}

@test "replaces the stale mount of a dead daemon" {
	mount_up
	kill_daemon
	eventually 10 fails 'not connected' ls "$M"
	mount_up
	[ -d "$M/.ctl" ]
	same 1 "$(findmnt -n "$M" | wc -l)"
}

ends_cleanly_on() {
	mount_up
	mkdir "$S" "$B"
	put "$B/cmd" 'sleep 1000 & sleep 1000'
	eventually 40 status_is "$B" running
	local pid
	pid=$(daemon_pid)
	"$@"
	eventually 40 gone "$pid"
	fail_if_left_behind
}

@test "fusermount3 -u ends everything" { ends_cleanly_on fusermount3 -u "$M"; }
@test "SIGTERM ends everything" { ends_cleanly_on eval 'kill -TERM $pid'; }
@test "SIGINT ends everything" { ends_cleanly_on eval 'kill -INT $pid'; }

@test "SIGTERM ends it though a reader is blocked and a shell stands in the mount" {
	mount_up
	mkdir "$S" "$B"
	put "$B/cmd" 'sleep 1000'
	background cat "$B/stdout"
	background env -C "$B" sleep 1000
	eventually 40 status_is "$B" running
	local pid
	pid=$(daemon_pid)
	kill -TERM "$pid"
	eventually 40 gone "$pid"
}

# The service that is waited for takes the connection and says nothing.
@test "a daemon that is killed before the mount answers: one line says so" {
	run timeout 60 "$PYTHON" - "$AVIATOFS" "$M" 3>&- <<-'END'
		import os, socket, subprocess, sys
		listener = socket.create_server(("127.0.0.1", 0))
		env = dict(os.environ, CWSANDBOX_API_KEY="key")
		parent = subprocess.Popen([sys.argv[1], "http://127.0.0.1:%d" % listener.getsockname()[1], sys.argv[2]], env=env)
		held = listener.accept()
		os.kill(int(subprocess.check_output(["pgrep", "-P", str(parent.pid)])), 9)
		print("status", parent.wait())
	END
	same "aviatofs: the daemon was killed by signal 9 (Killed) before the mount answered
status 1" "$output"
	not mounted
}

@test "in the foreground: -f stays, ends 0 on SIGTERM" {
	background "$AVIATOFS" local: "$M" -f -o "state_dir=$STATE"
	local pid=$!
	eventually 40 mounted
	[ -d "$M/.ctl" ]
	kill -TERM "$pid"
	wait "$pid"
	fail_if_left_behind
}

@test "-d says what it does, in the foreground" {
	background "$AVIATOFS" local: "$M" -d -o "state_dir=$STATE" 2>"$T/log"
	local pid=$!
	eventually 40 mounted
	ls "$M/.ctl" >/dev/null
	kill -TERM "$pid"
	wait "$pid"
	[ -s "$T/log" ]
}

@test "a second signal while stopping forces the exit, and the next mount tidies up" {
	mount_up
	mkdir "$S" "$B"
	put "$B/cmd" "trap '' TERM; echo ready; while :; do sleep 1; done"
	same ready "$(timeout 60 head -n 1 "$B/stdout")"
	local pid
	pid=$(daemon_pid)
	kill -TERM "$pid"
	# Two signals sent at once are one: wait until the first was taken.
	eventually 40 eval '! mounted || state_is terminating'
	kill -TERM "$pid"
	within 20 eventually 40 gone "$pid"
	mount_up
	mount_down
	fail_if_left_behind
}

@test "a hundred mounts leave nothing" {
	for _ in {1..100}; do
		mount_up
		fusermount3 -u "$M"
	done
	fail_if_left_behind
}

@test "two mounts side by side know nothing of each other" {
	mount_up
	mkdir "$S"
	mkdir -m 700 "$T/mnt2" "$T/state2"
	timeout 30 "$AVIATOFS" local: "$T/mnt2" -o "state_dir=$T/state2" 3>&-
	same .ctl "$(ls -A "$T/mnt2")"
	fusermount3 -u "$T/mnt2"
	[ -d "$S" ]
}

@test "belongs to its owner alone, unless allow_other" {
	as_root
	mount_up
	chmod 755 "$T"
	fails 'Permission denied' setpriv --reuid=65534 --clear-groups ls "$M"
	mount_down
	mount_up -o allow_other
	setpriv --reuid=65534 --clear-groups ls "$M"
}

@test "the daemon holds no descriptor and no directory of the shell that started it" {
	(cd "$T" && exec 7</dev/null 8>"$T/file" && mount_up)
	local pid
	pid=$(daemon_pid)
	same / "$(readlink "/proc/$pid/cwd")"
	not eval 'ls -l "/proc/$pid/fd" | grep -F "$T/file"'
}
