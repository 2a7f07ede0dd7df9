#!/usr/bin/env bats
# One command per open file, whoever wrote the text and in however many pieces.

load helpers

# one_command OUTPUT: exactly one command ran, and it printed OUTPUT.
one_command() {
	reads "$B/stdout" '%s\n' "$1"
	same 1 "$(echo $(ls "$B/proc"))"
}

@test "echo" {
	echo 'echo hi' >"$B/cmd"
	one_command hi
}

@test "a printf of several lines (one write each)" {
	printf '%s\n' 'echo a' 'echo b' 'echo c' >"$B/cmd"
	one_command $'a\nb\nc'
}

@test "a heredoc" {
	cat >"$B/cmd" <<-'END'
		for i in 1 2
		do echo $i
		done
	END
	one_command $'1\n2'
}

@test "a group of a builtin and children" {
	echo 'echo body' >"$T/body"
	{ echo 'echo head'; cat "$T/body"; /bin/echo 'echo foot'; } >"$B/cmd"
	one_command $'head\nbody\nfoot'
}

@test "a script whose children write" {
	printf '%s\n' '#!/bin/sh' '/bin/echo "echo 1"' '/bin/echo "echo 2"' '(/bin/echo "echo 3")' >"$T/gen.sh"
	chmod +x "$T/gen.sh"
	"$T/gen.sh" >"$B/cmd"
	one_command $'1\n2\n3'
}

@test "a pipeline into tee, cp, cat, dd in single bytes, and sed" {
	echo 'echo copied' >"$T/text"
	tee "$B/cmd" <"$T/text" >/dev/null
	one_command copied
	cp "$T/text" "$B/cmd"
	cat "$T/text" >"$B/cmd"
	dd if="$T/text" of="$B/cmd" bs=1 2>/dev/null
	sed 's/copied/edited/' "$T/text" >"$B/cmd"
	reads "$B/stdout" 'edited\n'
	same '1 2 3 4 5' "$(echo $(ls -v "$B/proc"))"
}

@test "nothing written commits nothing" {
	: >"$B/cmd"
	true >"$B/cmd"
	: >>"$B/cmd"
	reads "$B/status" 'none\n'
	same '' "$(ls "$B/proc")"
	state_is unstarted
}

@test ">> is the same as >" {
	echo 'echo appended' >>"$B/cmd"
	one_command appended
}

@test "a keeper of a write-only descriptor gets one command per echo" {
	exec 5>"$B/cmd"
	local i
	for i in 1 2 3; do
		echo "echo $i" >&5
		reads "$B/stdout" '%s\n' "$i"
	done
	exec 5>&-
	same '1 2 3' "$(echo $(ls -v "$B/proc"))"
}

@test "close means started: the next look sees the command, 300 times" {
	local i
	for i in {1..300}; do
		echo ":" >"$B/cmd"
		[ -d "$B/proc/$i" ]
		[ "$(cat "$B/status")" != none ]
	done
}

@test "text left pending by a child is committed by the next look, within 100 ms" {
	exec 5>"$B/cmd"
	/bin/echo 'echo from a child' >&5 5>&-
	within 20 reads "$B/stdout" 'from a child\n'
	exec 5>&-
	one_command 'from a child'
}

@test "fsync commits" {
	"$PYTHON" - "$B" <<-'PYTHON'
		import os, sys
		box = sys.argv[1]
		fd = os.open(box + "/cmd", os.O_WRONLY)
		os.write(fd, b"echo synced; ")
		os.write(fd, b"echo twice\n")
		os.fsync(fd)
		assert open(box + "/stdout").read() == "synced\ntwice\n"
		os.close(fd)
	PYTHON
	one_command $'synced\ntwice'
}

@test "two descriptors of one process are two texts" {
	exec 5>"$B/cmd" 6>"$B/cmd"
	echo 'echo five' >&5
	echo 'echo six' >&6
	exec 5>&- 6>&-
	reads "$B/proc/1/stdout" 'five\n'
	reads "$B/proc/2/stdout" 'six\n'
}

@test "fifty writers at once: fifty commands, none mixed, none lost" {
	local i
	for i in {1..50}; do
		# Opened by the one that writes: the rule goes by the opener.
		background eval "printf '%s\n' \"printf '%s ' $i\" 'echo $i' >'$B/cmd'"
	done
	wait_for_background
	same 50 "$(ls "$B/proc" | wc -l)"
	for i in {1..50}; do
		cat "$B/proc/$i/stdout"
	done | sort -n >"$T/got"
	same "$(for i in {1..50}; do echo "$i $i"; done)" "$(cat "$T/got")"
}

@test "a read-write descriptor is a transaction of its own" {
	exec 5<>"$B/cmd"
	echo 'echo mine' >&5
	echo 'echo theirs' >"$B/cmd"
	finish
	same mine "$(timeout 20 cat <&5)"
	exec 5>&-
	reads "$B/stdout" 'theirs\n'
}

@test "transactions of thirty clients at once give each its own output" {
	cat >"$T/client.py" <<-'PYTHON'
		import os, sys
		for n in range(10):
		    fd = os.open(sys.argv[1], os.O_RDWR)
		    want = f"{sys.argv[2]}.{n}\n".encode() * 100
		    os.write(fd, f"for i in $(seq 100); do echo {sys.argv[2]}.{n}; done".encode())
		    got = b""
		    while chunk := os.read(fd, 65536):
		        got += chunk
		    os.close(fd)
		    assert got == want, (want[:20], got[:20], len(got))
	PYTHON
	local i
	for i in {1..30}; do
		background "$PYTHON" "$T/client.py" "$B/cmd" "$i" 2>"$T/wrong$i"
	done
	wait_for_background
	same '' "$(cat "$T"/wrong*)"
}

@test "a named process's cmd follows the same rule" {
	mkdir "$B/proc/p"
	{ echo 'echo a'; /bin/echo 'echo b'; } >"$B/proc/p/cmd"
	reads "$B/proc/p/stdout" 'a\nb\n'
}

@test "threads of one process count as the process" {
	"$PYTHON" - "$B" <<-'PYTHON'
		import os, sys, threading
		box = sys.argv[1]
		fd = os.open(box + "/cmd", os.O_WRONLY)
		def write():
		    os.write(fd, b"echo threaded\n")
		    os.close(fd)
		t = threading.Thread(target=write); t.start(); t.join()
		assert open(box + "/stdout").read() == "threaded\n"
	PYTHON
	one_command threaded
}

@test "10,000 times: write cmd, read stdout, from every shell and tool" {
	# Three sandboxes at once: every client has its own, as the latest command is per sandbox.
	run "${BATS_TEST_DIRNAME}/commit-stress" "$S" 10000
	echo "$output"
	same 0 "$status"
	[[ $output == *'10000 right, 0 wrong'* ]]
}
