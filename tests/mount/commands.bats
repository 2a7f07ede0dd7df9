#!/usr/bin/env bats
# What may be written to cmd, and how its end is told.

load helpers

@test "text runs by the shell: output, diagnostics, status, number" {
	put "$B/cmd" 'echo out; echo err >&2; exit 3'
	reads "$B/stdout" 'out\n'
	reads "$B/stderr" 'err\n'
	reads "$B/wait" '3\n'
	reads "$B/status" 'exited 3\n'
	reads "$B/cmd" 'echo out; echo err >&2; exit 3\n'
	state_is running
}

@test "before any command: status none, no output, no number" {
	reads "$B/status" 'none\n'
	reads "$B/stdout" ''
	reads "$B/stderr" ''
	same ENODATA "$(errno_of "open('$B/wait').read()")"
	state_is unstarted
}

@test "text starting with #! is a script for that interpreter" {
	printf '#!/usr/bin/perl\nprint 6 * 7, "\\n";\nexit 9;\n' >"$B/cmd"
	reads "$B/stdout" '42\n'
	reads "$B/wait" '9\n'
	printf '#!/bin/sh -e\nfalse\necho not reached\n' >"$B/cmd"
	reads "$B/stdout" ''
	reads "$B/status" 'exited 1\n'
}

@test "a JSON array is an argv, run without a shell" {
	put "$B/cmd" '["printf", "%s|", "a b", "*", "$HOME", "", "\u00e9\n"]'
	reads "$B/stdout" 'a b|*|$HOME||\303\251\n|'
	reads "$B/wait" '0\n'
}

@test "a JSON object carries cwd, env, stdin and timeout" {
	put "$B/cmd" '{"command": ["sh", "-c", "pwd; echo $A$B; cat"], "cwd": "/tmp", "env": {"A": "x y", "B": "="}, "stdin": true}'
	printf 'from stdin' >"$B/stdin"
	reads "$B/stdout" '/tmp\nx y=\nfrom stdin'
	put "$B/cmd" '{"command": "echo $0; exit 5", "timeout_seconds": 30}'
	reads "$B/wait" '5\n'
}

# A shell would put it right.
@test "PWD is what a command is given, never where the agent is" {
	agent_only 'the environment is the one the service starts things in'
	put "$B/cmd" '{"command": ["env"], "cwd": "/tmp"}'
	same '' "$(timeout 60 grep '^PWD=' "$B/stdout")"
	reads "$B/wait" '0\n'
	put "$B/cmd" '{"command": ["env"], "cwd": "/tmp", "env": {"PWD": "/given"}}'
	same PWD=/given "$(timeout 60 grep '^PWD=' "$B/stdout")"
}

@test "only [\" and {\" begin JSON: [ and { are still the shell's" {
	put "$B/cmd" '[ -d / ] && echo yes'
	reads "$B/stdout" 'yes\n'
	put "$B/cmd" '{ echo group; }'
	reads "$B/stdout" 'group\n'
}

@test "JSON as pretty printers write it is JSON, and shell text that begins so is not" {
	python3 -c 'import json; print(json.dumps({"command": ["printf", "%s|", "a b"], "cwd": "/tmp"}, indent=2))' >"$B/cmd"
	reads "$B/stdout" 'a b|'
	python3 -c 'import json; print(json.dumps(["printf", "%s|", "a b"], indent=4))' >"$B/cmd"
	reads "$B/stdout" 'a b|'
	put "$B/cmd" '{ "command": "echo $0", "bogus": 1 }' || true
	grep -q 'INVALID_COMMAND: "bogus"' "$B/error"
	put "$B/cmd" '{ "echo" group; }'
	reads "$B/stdout" 'group\n'
	put "$B/cmd" '[ "a" ]' # valid as both: the shell's
	reads "$B/wait" '0\n'
}

@test "malformed JSON is refused at the commit, with a sentence, and takes no number" {
	local text
	for text in '["unterminated"' '["a", 1]' '["a"] trailing' '{"command": 3}' '{"cwd": "/"}' '{"command": []}' \
		'{"command": ["x"], "cwd": "relative"}' '{"command": ["x"], "env": {"A": 1}}' '{"command": ["x"], "env": {"A=B": "1"}}' \
		'{"command": ["x"], "stdin": "yes"}' '{"command": ["x"], "timeout_seconds": -1}' '{"command": ["a\u0000b"]}' \
		'{"command": ["x"], "bogus": 1}' '[""]'; do
		same "$text EINVAL" "$text $(commit "$B/cmd" "$text")"
		[ -s "$B/error" ]
	done
	same '' "$(ls "$B/proc")"
	same 'fine' "$(inside 'echo fine')"
	same 1 "$(ls "$B/proc")"
}

@test "wait gives each of the 256 exit codes" {
	local code
	for code in {0..255}; do
		put "$B/cmd" "exit $code"
		same "$code exited $code" "$(cat "$B/wait") $(cat "$B/status")"
	done
}

@test "a signal is 128 + its number, and has its name in status" {
	agent_only 'the service tells no signals'
	local pair
	for pair in 1:HUP 2:INT 6:ABRT 9:KILL 10:USR1 11:SEGV 13:PIPE 14:ALRM 15:TERM; do
		put "$B/cmd" "ulimit -c 0; kill -${pair%:*} \$\$"
		same "$((128 + ${pair%:*}))" "$(cat "$B/wait")"
		same "signaled ${pair/:/ }" "$(cat "$B/status")"
	done
}

@test "a timeout is 124 and the word timeout" {
	local seconds
	# More time where the machine did not get as far as its first word.
	for seconds in 0.3 3 30; do
		put "$B/cmd" '{"command": "echo begun; sleep 1000", "timeout_seconds": '$seconds'}'
		reads "$B/wait" '124\n'
		reads "$B/status" 'timeout\n'
		[ ! -s "$B/stdout" ] || break
	done
	reads "$B/stdout" 'begun\n'
}

@test "a program that is not there: 127, and a word on stderr" {
	put "$B/cmd" '["no-such-program-here"]'
	reads "$B/wait" '127\n'
	reads "$B/status" 'exited 127\n'
	grep -q no-such-program-here "$B/stderr"
	put "$B/cmd" 'no-such-program-here'
	reads "$B/wait" '127\n'
	grep -q no-such-program-here "$B/stderr"
}

@test "what the system could not run: failed, 125, EIO, and a sentence" {
	put "$B/cmd" '{"command": ["true"], "cwd": "/no/such/place"}'
	reads "$B/wait" '125\n'
	[[ $(cat "$B/status") == "failed CWD: "* ]]
	same EIO "$(errno_of "open('$B/stdout').read()")"
	grep -q CWD "$B/error"
	grep -q CWD "$S/.ctl/error"
}

@test "commands are numbered from 1, each with its own files" {
	local n
	for n in 1 2 3; do
		same "$n" "$(inside "echo $n")"
	done
	same '1 2 3' "$(echo $(ls -v "$B/proc"))"
	reads "$B/proc/2/stdout" '2\n'
	reads "$B/proc/2/wait" '0\n'
	reads "$B/proc/2/status" 'exited 0\n'
}

@test "commands run beside each other" {
	put "$B/cmd" 'while [ ! -e /tmp/go ]; do sleep 0.01; done; echo first'
	same 'second' "$(inside 'echo second; touch /tmp/go')"
	reads "$B/proc/1/stdout" 'first\n'
	reads "$B/stdout" 'second\n'
}

@test "a named process: made by mkdir, run by its cmd, forgotten by rmdir" {
	mkdir "$B/proc/build"
	reads "$B/proc/build/status" 'none\n'
	put "$B/proc/build/cmd" 'echo named; exit 4'
	reads "$B/proc/build/stdout" 'named\n'
	reads "$B/proc/build/wait" '4\n'
	fails 'File exists' mkdir "$B/proc/build"
	rmdir "$B/proc/build"
	[ ! -e "$B/proc/build" ]
	mkdir "$B/proc/build"
	reads "$B/proc/build/status" 'none\n'
}

@test "of many who make one name, one wins" {
	local i
	for i in {1..20}; do
		(for _ in {1..8}; do mkdir "$B/proc/race$i" 2>/dev/null && echo won & done; wait) >"$T/won"
		same won "$(cat "$T/won")"
	done
}

@test "the last 64 ended commands are kept, and any that runs" {
	put "$B/cmd" 'sleep 1000'
	local i
	for i in {2..75}; do
		put "$B/cmd" "echo $i"
		finish
	done
	same "$(echo 1; seq 12 75)" "$(ls "$B/proc" | sort -n)"
	reads "$B/proc/12/stdout" '12\n'
	[ ! -e "$B/proc/11" ]
	reads "$B/proc/1/status" 'running\n'
}

@test "a process left in the background does not hold the end back" {
	agent_only 'the service waits for the end of the output'
	put "$B/cmd" 'sleep 1000 & echo main'
	within 20 reads "$B/stdout" 'main\n'
	within 20 reads "$B/wait" '0\n'
}

@test "what a process left in the background writes later comes behind the end" {
	agent_only 'the service waits for the end of the output'
	put "$B/cmd" '{ until [ -e /tmp/go ]; do sleep 0.01; done; echo later; } & echo now'
	reads "$B/stdout" 'now\n'
	reads "$B/wait" '0\n'
	inside 'touch /tmp/go' >/dev/null
	eventually 40 eval 'reads "$B/proc/1/stdout" "now\nlater\n" >/dev/null'
	reads "$B/proc/1/stdout.log" 'now\nlater\n'
}

# It may come between the exit of the command and the word of it.
@test "what a process left in the background writes all the time spoils nothing" {
	agent_only 'the service waits for the end of the output'
	local i
	for i in {1..50}; do
		put "$B/cmd" 'rm -f /tmp/begun; (echo tick; : >/tmp/begun; while :; do echo tick; done) &
			until [ -e /tmp/begun ]; do sleep 0.005; done; sleep 0.02; echo pid $! >&2; exit 7'
		timeout 100 cat "$B/stdout" >"$T/ticks"
		same 7 "$(cat "$B/wait")"
		same tick "$(sort -u "$T/ticks")"
		inside "kill -9 $(sed 's/pid //' "$B/proc/$((2 * i - 1))/stderr")"
	done
}

@test "text of a megabyte runs, and comes back whole" {
	{
		echo 'cat <<END | wc -c'
		head -c 1000000 /dev/zero | tr '\0' x
		printf '\nEND\n'
	} >"$T/long"
	cp "$T/long" "$B/cmd"
	reads "$B/stdout" '1000001\n'
	cmp "$T/long" "$B/cmd"
}

@test "text is bytes: quotes, tabs, newlines and UTF-8 arrive as written" {
	cat >"$B/cmd" <<-'TEXT'
		printf '%s\n' "it's" 'a	tab' "é" '\n' '$HOME'
		cat <<'END'
		  indented
		END
	TEXT
	reads "$B/stdout" 'it'\''s\na\ttab\n\303\251\n\\n\n$HOME\n  indented\n'
}

@test "committing does not wait for the sandbox to boot, and loses nothing while it does" {
	local i
	for i in {1..10}; do
		mkdir "$S/b$i"
		put "$S/b$i/cmd" "echo $i"
	done
	for i in {1..10}; do
		reads "$S/b$i/stdout" '%s\n' "$i"
		reads "$S/b$i/wait" '0\n'
	done
}

@test "an ended sandbox takes no command: ESHUTDOWN at the write" {
	inside 'echo last' >/dev/null
	put "$B/ctl" stop
	eventually 40 eval '! state_is running && ! state_is terminating'
	same ESHUTDOWN "$(errno_of "os.write(os.open('$B/cmd', os.O_WRONLY), b'echo x')")"
	reads "$B/proc/1/stdout" 'last\n'
}

@test "ctl stop cancels what runs; ctl start starts; other verbs are refused" {
	put "$B/ctl" start
	eventually 40 state_is running
	put "$B/cmd" 'echo begun; sleep 1000'
	timeout 60 head -n 1 "$B/stdout" >/dev/null
	put "$B/ctl" 'stop 5'
	reads "$B/wait" '125\n'
	reads "$B/status" 'canceled\n'
	reads "$B/stdout" 'begun\n'
	eventually 40 state_is terminated
	fails 'Invalid argument' put "$B/ctl" frobnicate
	grep -q frobnicate "$B/error"
}
