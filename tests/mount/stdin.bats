#!/usr/bin/env bats
# stdin: a FIFO to the command. It ends when the last writer closes.

load helpers

@test "a command that did not ask has empty stdin" {
	put "$B/cmd" 'cat; echo end'
	reads "$B/stdout" 'end\n'
}

@test "staged: what is written under proc/NAME before cmd is there at the start" {
	mkdir "$B/proc/p"
	printf 'staged\0bytes' >"$B/proc/p/stdin"
	put "$B/proc/p/cmd" 'cat'
	reads "$B/proc/p/stdout" 'staged\0bytes'
	reads "$B/proc/p/wait" '0\n'
}

@test "staged and still open: more may follow, the end comes at the close" {
	mkdir "$B/proc/p"
	exec 5>"$B/proc/p/stdin"
	echo first >&5
	put "$B/proc/p/cmd" 'cat'
	same first "$(timeout 60 head -n 1 "$B/proc/p/stdout")"
	echo second >&5
	reads "$B/proc/p/status" 'running\n'
	exec 5>&-
	reads "$B/proc/p/stdout" 'first\nsecond\n'
}

@test "live: a conversation, line by line" {
	put "$B/cmd" '{"command": "while read -r x; do echo got $x; done", "stdin": true}'
	exec 5>"$B/stdin" 6<"$B/stdout"
	local i line
	for i in {1..200}; do
		echo "$i" >&5
		read -r line <&6
		same "got $i" "$line"
	done
	reads "$B/status" 'running\n'
	exec 5>&-
	reads "$B/wait" '0\n'
	exec 6<&-
}

@test "a binary pipe through cat: all byte values" {
	put "$B/cmd" '{"command": ["cat"], "stdin": true}'
	perl -e 'print map chr, 0..255' >"$B/stdin"
	cmp "$B/stdout" <(perl -e 'print map chr, 0..255')
}

@test "50 MB through cat, exact" {
	seq -w 1 20000000 | head -c 50000000 >"$T/big"
	put "$B/cmd" '{"command": ["cat"], "stdin": true}'
	background eval 'timeout 100 cat "$B/stdout" | sha256sum >"$T/sum"'
	local reader=$!
	timeout 100 cp "$T/big" "$B/stdin"
	wait $reader
	same "$(sha256sum <"$T/big")" "$(cat "$T/sum")"
	reads "$B/wait" '0\n'
}

@test "the end comes when the last of several writers closes" {
	put "$B/cmd" '{"command": ["cat"], "stdin": true}'
	exec 5>"$B/stdin" 6>"$B/stdin"
	echo five >&5
	exec 5>&-
	echo six >&6
	same 'five six' "$(echo $(timeout 60 head -n 2 "$B/stdout"))"
	reads "$B/status" 'running\n'
	exec 6>&-
	reads "$B/wait" '0\n'
	reads "$B/stdout" 'five\nsix\n'
}

@test "short writes of many writers are never torn" {
	put "$B/cmd" '{"command": ["cat"], "stdin": true}'
	local i
	exec 5>"$B/stdin"
	for i in {1..8}; do
		background eval "exec 5>&-; for n in {1..200}; do echo writer-$i-\$n; done >'$B/stdin'"
	done
	wait_for_background
	exec 5>&-
	cmp <(cat "$B/stdout" | sort) <(for i in {1..8}; do for n in {1..200}; do echo "writer-$i-$n"; done; done | sort)
}

@test "EPIPE once the command ended, or when it takes no input" {
	put "$B/cmd" '{"command": ["true"], "stdin": true}'
	finish
	same EPIPE "$(errno_of "signal = __import__('signal'); signal.signal(signal.SIGPIPE, signal.SIG_IGN); os.write(os.open('$B/stdin', os.O_WRONLY), b'x')")"
	put "$B/cmd" 'sleep 1000'
	same EPIPE "$(errno_of "os.write(os.open('$B/stdin', os.O_WRONLY), b'x')")"
}

@test "a writer whose command ends without reading is freed" {
	put "$B/cmd" '{"command": "head -c 10", "stdin": true}'
	background eval 'yes >"$B/stdin"'
	local writer=$!
	reads "$B/stdout" 'y\ny\ny\ny\ny\n'
	eventually 40 gone $writer
}

@test "a writer that is blocked dies of ^C and SIGKILL at once" {
	put "$B/cmd" '{"command": "sleep 1000", "stdin": true}'
	exec 7>"$B/stdin" # or the last of them to die would be the end of file
	local signal
	for signal in INT TERM KILL; do
		background "$PYTHON" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
fd = os.open(sys.argv[1], os.O_WRONLY)
print("open", flush=True)
while True: os.write(fd, b"x" * 65536)' "$B/stdin" >"$T/said$signal"
		local pid=$!
		eventually 40 eval '[ -s "$T/said$signal" ] && grep -qs "^State:.[SD]" /proc/$pid/status'
		kill -"$signal" $pid
		within 20 eventually 40 gone $pid
	done
	exec 7>&-
	eventually 40 status_is "$B" running
}

@test "O_NONBLOCK: EAGAIN when the command does not read" {
	put "$B/cmd" '{"command": "sleep 1000", "stdin": true}'
	same EAGAIN "$(errno_of "fd = os.open('$B/stdin', os.O_WRONLY | os.O_NONBLOCK)
while True: os.write(fd, bytes(65536))")"
}

@test "ctl eof gives the end while writers are still there" {
	put "$B/cmd" '{"command": ["cat"], "stdin": true}'
	exec 5>"$B/stdin"
	echo line >&5
	put "$B/proc/1/ctl" eof
	reads "$B/stdout" 'line\n'
	reads "$B/wait" '0\n'
	exec 5>&-
}

@test "write, close, read the answer: 300 times" {
	local i
	for i in {1..300}; do
		put "$B/cmd" '{"command": ["cat"], "stdin": true}'
		echo "line $i" >"$B/stdin"
		same "line $i" "$(timeout 20 cat "$B/stdout")"
	done
}
