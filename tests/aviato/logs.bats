#!/usr/bin/env bats
# `logs` of remote sandboxes: what the main process says, by StreamLogs, for as long as somebody reads.

load helpers

# runs TEXT: what the sandbox's main process is; it stays when it has said what it says, until TERM.
runs() {
	put "$B/config/command" "trap 'exit 0' TERM; $1; while :; do sleep 1000 & wait; done"
	put "$B/ctl" start
	eventually 60 state_is running
}

# follow FILE: reads logs into it, in the background; $READER is who does.
follow() {
	background cat "$B/logs" >"$1" 2>"$1.said"
	READER=$!
}

says() { # FILE TEXT
	[ "$(cat "$1")" = "$2" ]
}

# What its main process waits for.
go() { # [N]
	put "$B/cmd" "touch /tmp/go${1:-}" # which may be the end of the sandbox, and so of this
}

@test "logs follows the main process: what there was, and what comes; nobody is asked before it is opened" {
	runs 'echo one; echo two >&2; until [ -e /tmp/go ]; do sleep 0.05; done; echo three'
	ls -l "$B" >"$T/ls"
	stat "$B/logs" >"$T/stat"
	same 0 "$(count StreamLogs)"
	follow "$T/got"
	eventually 30 says "$T/got" $'one\ntwo'
	go
	eventually 30 says "$T/got" $'one\ntwo\nthree'
	same 14 "$(stat -c %s "$B/logs")"
	same 1 "$(count StreamLogs)"
}

@test "many readers of logs share one stream, each from the first byte" {
	runs 'echo here'
	for i in {1..10}; do
		follow "$T/got$i"
	done
	for i in {1..10}; do
		eventually 30 says "$T/got$i" here
	done
	same 1 "$(count StreamLogs)"
}

@test "reading logs starts nothing, and neither the sandbox nor its agent are needed" {
	reads "$B/logs" ''
	state_is unstarted
	put "$B/config/command" 'echo here; sleep 1000'
	# The log is opened while the sandbox is still being made.
	control settings '{"creatingMs": 1000}'
	put "$B/ctl" start
	follow "$T/got"
	eventually 60 says "$T/got" here
}

@test "logs ends with the main process, and is kept after the sandbox has ended" {
	put "$B/config/command" 'seq 1000; until [ -e /tmp/go ]; do sleep 0.05; done; seq 1000'
	put "$B/ctl" start
	eventually 60 state_is running
	follow "$T/got"
	eventually 30 grep -qsx 1000 "$T/got" # or it might open them when they have ended
	go
	wait "$READER"
	cmp "$T/got" <(seq 1000 && seq 1000)
	eventually 60 state_is completed
	cmp "$B/logs" <(seq 1000 && seq 1000)
	same 1 "$(count StreamLogs)"
}

@test "who opens logs only after the sandbox has ended is told so" {
	put "$B/config/command" 'echo gone'
	put "$B/ctl" start
	eventually 60 state_is completed
	fails 'Cannot send after transport endpoint shutdown' cat "$B/logs"
	grep -q 'CWSANDBOX_SANDBOX_NOT_RUNNING' "$B/error"
}

@test "logs goes on where it was when nobody read it for a while" {
	runs 'echo one; until [ -e /tmp/go ]; do sleep 0.05; done; echo two'
	follow "$T/got"
	eventually 30 says "$T/got" one
	kill "$READER"
	wait "$READER" || true
	eventually 30 bash -c "curl -sS '$CONTROL/calls' | jq -e '[.[] | select(.method == \"StreamLogs\" and .open)] == []'"
	go
	follow "$T/again"
	eventually 30 says "$T/again" $'one\ntwo'
	same 2 "$(count StreamLogs)"
}

@test "a stream of logs that is cut, or loses its connection, goes on to the byte" {
	fault '{"method": "StreamLogs", "times": 2, "cut": {"sent": 3000, "how": "reset"}}'
	fault '{"method": "StreamLogs", "times": 1, "cut": {"sent": 3000, "how": "connection"}}'
	runs 'i=0; while [ $i -lt 200 ]; do echo "line $i of the log, and some more text to make it long"; i=$((i + 1))
		[ $((i % 20)) != 0 ] || sleep 0.05; done; echo END'
	follow "$T/got"
	eventually 60 grep -q END "$T/got"
	cmp "$T/got" <(for i in {0..199}; do echo "line $i of the log, and some more text to make it long"; done; echo END)
}

@test "logs: an error in band that is passing is survived, and nothing comes twice" {
	local code n=0
	runs 'n=0; while :; do until [ -e /tmp/go$n ]; do sleep 0.05; done; echo "line $n"; n=$((n + 1)); done'
	follow "$T/got"
	go $n
	for code in STREAM_INTERRUPTED SESSION_NOT_FOUND REPLAY_GAP RUNNER_UNAVAILABLE RUNNER_DRAINING; do
		eventually 30 says "$T/got" "$(seq -f 'line %.0f' 0 $n)"
		# The stream breaks; where the next one would have told more, it says the code.
		forget_counts
		fault '{"method": "StreamLogs", "rewrite": [["{\"data\"", "{\"error\": {\"code\": \"'$code'\"}, \"lost\""]]}'
		control cut '{}' >/dev/null
		eventually 30 counted StreamLogs 1
		n=$((n + 1))
		go $n
	done
	eventually 30 says "$T/got" "$(seq -f 'line %.0f' 0 $n)"
}

@test "logs: other errors in band are its end" {
	runs 'echo one'
	fault '{"method": "StreamLogs", "rewrite": [["{\"data\"", "{\"error\": {\"code\": \"STREAM_TRUNCATED\", \"message\": \"too slow\"}, \"lost\""]]}'
	fails 'Input/output error' cat "$B/logs"
	grep -qx 'LOG_BROKEN: cannot read the log: STREAM_TRUNCATED: too slow' "$B/error"
}

@test "logs: after three attempts without a byte the reader is told" {
	runs 'echo one'
	fault '{"method": "StreamLogs", "times": 0, "error": {"code": "unavailable", "message": "not today"}}'
	fails 'No route to host' cat "$B/logs"
	grep -q '^UNAVAILABLE: cannot read the log: not today' "$B/error"
	# What the service says before it has got the question is asked for once more, and counts as one.
	[ "$(count StreamLogs)" -ge 3 ]
	no_faults
	follow "$T/got"
	eventually 30 says "$T/got" one
}

@test "logs: a failure that is none of passing is said at once" {
	runs 'echo one'
	fault '{"method": "StreamLogs", "times": 0, "error": {"code": "permission_denied", "message": "not yours"}}'
	fails 'Operation not permitted' cat "$B/logs"
	[ "$(count StreamLogs)" -le 2 ] # what libcurl has lost of an answer so early is asked for again
}

@test "config/logs says how logs is read: tail, since, timestamps, stored; also when the sandbox runs" {
	runs 'seq 100'
	put "$B/config/logs" 'tail=2 stored'
	reads "$B/logs" '99\n100\n'
	put "$B/config/logs" 'stored'
	cmp "$B/logs" <(seq 100)
	put "$B/config/logs" 'stored since=1h'
	cmp "$B/logs" <(seq 100)
	put "$B/config/logs" 'stored since=2100-01-01T00:00:00Z'
	reads "$B/logs" ''
	put "$B/config/logs" 'stored tail=1 timestamps'
	timeout 30 grep -qE '^20[0-9-]+T[0-9:.]+Z 100$' "$B/logs"
	: >"$B/config/logs"
	follow "$T/got"
	eventually 30 grep -qx 100 "$T/got"
	for bad in tail=0 tail=x since=yesterday since=2026-01-01T00:00:00 what; do
		same EINVAL "$(commit "$B/config/logs" "$bad")"
	done
	same tail=3 "$(put "$S/.ctl/defaults/logs" tail=3 && cat "$S/.ctl/defaults/logs")"
}

@test "logs that grow past the limit end with EFBIG, and what fitted can be read" {
	mount_down
	MOUNT_OPTIONS=spool_limit=64Ki mount_up
	mkdir "$S" "$B"
	runs 'seq 100000'
	fails 'File too large' cat "$B/logs"
	grep -q '^LOG_LIMIT' "$B/error"
}

@test "a read of logs that waits is ended by a signal, and the sandbox goes on" {
	runs 'echo one'
	follow "$T/got"
	eventually 30 says "$T/got" one
	kill -INT "$READER" 2>/dev/null || kill "$READER"
	kill "$READER"
	wait "$READER" || true
	same hi "$(inside 'echo hi')"
}
