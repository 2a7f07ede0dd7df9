#!/usr/bin/env bats
# Reading results: live, again, by many, without waiting, and with ^C.

load helpers

# A command that says "one", waits for /tmp/go in its sandbox, says "two".
slow_command() {
	put "$B/cmd" 'echo one; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo two; exit 5'
}

# Beside the slow command. It becomes the latest: what is opened from now on is its own.
let_go() {
	mkdir "$B/proc/go"
	put "$B/proc/go/cmd" 'touch /tmp/go'
	finish "$B/proc/go"
}

@test "output streams live: the first line is there while the command runs" {
	slow_command
	same one "$(timeout 60 head -n 1 "$B/stdout")"
	reads "$B/status" 'running\n'
	exec 5<"$B/stdout"
	read -r line <&5
	same one "$line"
	let_go
	read -r line <&5
	same two "$line"
	run read -r line <&5
	exec 5<&-
	reads "$B/proc/1/wait" '5\n'
}

@test "many readers, early and late, all see everything" {
	local i
	slow_command
	for i in {1..8}; do
		background cat "$B/proc/1/stdout" >"$T/reader$i"
	done
	let_go
	finish "$B/proc/1"
	for i in {1..8}; do
		eventually 30 eval 'cmp -s "$T/reader'$i'" <(printf "one\ntwo\n")'
	done
	reads "$B/proc/1/stdout" 'one\ntwo\n'
	reads "$B/proc/1/stdout" 'one\ntwo\n'
}

@test "an open stdout stays with the command that was the latest then" {
	slow_command
	exec 5<"$B/stdout" 6<"$B/wait"
	same later "$(inside 'echo later')"
	let_go
	same $'one\ntwo' "$(timeout 60 cat <&5)"
	same 5 "$(timeout 60 cat <&6)"
	exec 5<&- 6<&-
}

@test "seek, tail -c, grep -m1, dd skip, reading by offset" {
	same 100000 "$(inside 'seq 1 100000' | wc -l)"
	seq 1 100000 >"$T/seq"
	cmp <(tail -c +300001 "$B/stdout") <(tail -c +300001 "$T/seq")
	cmp <(tail -n 3 "$B/stdout") <(tail -n 3 "$T/seq")
	cmp <(dd if="$B/stdout" bs=1000 skip=123 count=7 2>/dev/null) <(dd if="$T/seq" bs=1000 skip=123 count=7 2>/dev/null)
	same 77777 "$(grep -m1 77777 "$B/stdout")"
	same "$(stat -c %s "$T/seq")" "$(stat -c %s "$B/stdout")"
	"$PYTHON" - "$B/stdout" "$T/seq" <<-'PYTHON'
		import os, sys
		a, b = (os.open(f, os.O_RDONLY) for f in sys.argv[1:])
		size = os.fstat(b).st_size
		assert os.lseek(a, 0, os.SEEK_END) == size
		for off in range(0, size + 5000, 4999):
		    assert os.pread(a, 5003, off) == os.pread(b, 5003, off), off
	PYTHON
}

@test "grep -m1 on a running command ends at the first match" {
	put "$B/cmd" 'seq 1 1000; sleep 1000'
	same 500 "$(timeout 60 grep -m1 500 "$B/stdout")"
	reads "$B/status" 'running\n'
}

@test "status, size, cmd and the .log views never block" {
	slow_command
	timeout 60 head -n 1 "$B/stdout" >/dev/null
	within 20 reads "$B/status" 'running\n'
	within 20 reads "$B/stdout.log" 'one\n'
	within 20 reads "$B/stderr.log" ''
	within 20 same 4 "$(stat -c %s "$B/stdout")"
	within 20 same 4 "$(stat -c %s "$B/stdout.log")"
	within 20 cp "$B/stdout.log" "$T/copy"
	cmp "$T/copy" <(echo one)
	let_go
	finish "$B/proc/1"
	reads "$B/proc/1/stdout.log" 'one\ntwo\n'
}

@test "tail -f follows the .log view" {
	slow_command
	background timeout 20 tail -n +1 -f "$B/stdout.log" >"$T/followed"
	eventually 30 eval 'cmp -s "$T/followed" <(echo one)'
	let_go
	eventually 30 eval 'cmp -s "$T/followed" <(printf "one\ntwo\n")'
}

@test "what was opened stays with its command: fstat too, when another becomes the latest" {
	inside 'echo the first' >/dev/null
	exec 5<"$B/stdout.log"
	same 10 "$(stat -Lc %s /proc/$$/fd/5)"
	inside 'echo no' >/dev/null
	same 10 "$(stat -Lc %s /proc/$$/fd/5)"
	same 3 "$(stat -c %s "$B/stdout.log")"
	same 'the first' "$(cat <&5)"
	exec 5<&-
}

@test "wait blocks until the end, for many" {
	local i
	slow_command
	for i in {1..8}; do
		background cat "$B/wait" >"$T/wait$i"
	done
	eventually 40 eval '[ "$(find /proc/[0-9]*/fd -lname "$B/wait" 2>/dev/null | wc -l)" = 8 ]'
	same '' "$(cat "$T"/wait*)"
	let_go
	for i in {1..8}; do
		eventually 40 eval "same 5 \"\$(cat '$T/wait$i')\" >/dev/null"
	done
}

@test "O_NONBLOCK: EAGAIN while there is nothing yet, then the bytes, then the end" {
	put "$B/cmd" 'while [ ! -e /tmp/go ]; do sleep 0.01; done; echo late'
	same EAGAIN "$(errno_of "os.read(os.open('$B/stdout', os.O_RDONLY | os.O_NONBLOCK), 100)")"
	same EAGAIN "$(errno_of "os.read(os.open('$B/wait', os.O_RDONLY | os.O_NONBLOCK), 100)")"
	let_go
	finish "$B/proc/1"
	"$PYTHON" -c "
import os
fd = os.open('$B/proc/1/stdout', os.O_RDONLY | os.O_NONBLOCK)
assert os.read(fd, 100) == b'late\n'
assert os.read(fd, 100) == b''
assert os.read(os.open('$B/proc/1/wait', os.O_RDONLY | os.O_NONBLOCK), 100) == b'0\n'
"
}

@test "poll, select and epoll: quiet, then ready for bytes, then ready at the end" {
	timeout 60 "$PYTHON" - "$B" <<-'PYTHON'
		import os, select, sys, time
		box = sys.argv[1]

		def by_poll(fd, seconds):
		    p = select.poll()
		    p.register(fd, select.POLLIN)
		    return bool(p.poll(seconds * 1000))

		def by_select(fd, seconds):
		    return bool(select.select([fd], [], [], seconds)[0])

		def by_epoll(fd, seconds):
		    e = select.epoll()
		    e.register(fd, select.EPOLLIN)
		    ready = bool(e.poll(seconds))
		    e.close()
		    return ready

		for n, ready in enumerate((by_poll, by_select, by_epoll)):
		    with open(box + "/cmd", "w") as f:
		        f.write(f"for i in 1 2; do while [ ! -e /tmp/go{n}$i ]; do sleep 0.01; done; echo news $i; done; "
		                f"while [ ! -e /tmp/go{n}3 ]; do sleep 0.01; done")
		    out = os.open(box + "/stdout", os.O_RDONLY)
		    end = os.open(box + "/wait", os.O_RDONLY)
		    for step in 1, 2:
		        assert not ready(out, 0.1), (n, step, "ready too early")
		        if not os.fork():
		            time.sleep(0.1)
		            os.makedirs(f"{box}/proc/go{n}{step}")
		            with open(f"{box}/proc/go{n}{step}/cmd", "w") as f:
		                f.write(f"touch /tmp/go{n}{step}")
		            os._exit(0)
		        assert ready(out, 10), (n, step, "never ready")
		        assert os.read(out, 100) == f"news {step}\n".encode()
		        os.wait()
		    assert not ready(out, 0.1) and not ready(end, 0.1)
		    os.makedirs(f"{box}/proc/go{n}3")
		    with open(f"{box}/proc/go{n}3/cmd", "w") as f:
		        f.write(f"touch /tmp/go{n}3")
		    assert ready(end, 10) and ready(out, 10), (n, "never ready at the end")
		    assert os.read(out, 100) == b"" and os.read(end, 100) == b"0\n"
		    os.close(out)
		    os.close(end)
	PYTHON
}

@test "^C and SIGKILL free a blocked reader at once and leave the command alone" {
	slow_command
	local file signal
	for file in "$B/stdout" "$B/stderr" "$B/wait" "$M/.ctl/events" "$S/.ctl/events"; do
		for signal in INT TERM KILL; do
			# A shell's background jobs ignore SIGINT; Python puts the default back.
			background "$PYTHON" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp("cat", ["cat", sys.argv[1]])' "$file" >/dev/null
			local pid=$!
			eventually 40 eval 'grep -qsx cat /proc/$pid/comm && [ -e /proc/$pid/fd/3 ] && grep -qs "^State:.S" /proc/$pid/status'
			kill -"$signal" "$pid"
			within 20 eventually 40 gone "$pid"
		done
	done
	reads "$B/status" 'running\n'
	let_go
	reads "$B/proc/1/stdout" 'one\ntwo\n'
	reads "$B/proc/1/wait" '5\n'
}

@test "interrupted reads lose no byte: a reader that is signalled 200 times gets all" {
	put "$B/cmd" 'for i in $(seq 400); do echo $i; sleep 0.005; done'
	timeout 60 "$PYTHON" - "$B/stdout" <<-'PYTHON'
		import os, signal, sys
		signal.signal(signal.SIGALRM, lambda *_: None)
		signal.setitimer(signal.ITIMER_REAL, 0.01, 0.007)
		fd, got = os.open(sys.argv[1], os.O_RDONLY), b""
		while chunk := os.read(fd, 4096):
		    got += chunk
		signal.setitimer(signal.ITIMER_REAL, 0)
		assert got == b"".join(b"%d\n" % i for i in range(1, 401)), got[-50:]
	PYTHON
}

@test "a reader that comes at any moment of the command's life sees it whole, 300 times" {
	local i
	for i in {1..300}; do
		put "$B/cmd" "echo a$i; echo b$i >&2; echo c$i"
		same "a$i c$i" "$(echo $(cat "$B/stdout"))"
		same "b$i" "$(cat "$B/stderr")"
		same 0 "$(cat "$B/wait")"
		same 'exited 0' "$(cat "$B/status")"
	done
}

@test "what is open can still be asked for by fstat when its place has gone" {
	mkdir "$B/proc/a"
	put "$B/proc/a/cmd" 'echo of a; kill -9 $$'
	finish "$B/proc/a"
	exec 5<"$B/proc/a/stdout" 6<"$B/proc/a/status"
	rmdir "$B/proc/a"
	same '5 regular file' "$(stat -L -c '%s %F' /dev/fd/5)"
	same 'of a' "$(cat <&5)"
	same "$(stat -L -c %s /dev/fd/6)" "$(wc -c <&6)"
	exec 5<&- 6<&-
	put "$B/cmd" 'echo later'
	finish
	exec 5<"$B/stdout.log" 6<"$B/id"
	rmdir "$B"
	same '6 regular file' "$(stat -L -c '%s %F' /dev/fd/5)"
	same later "$(cat <&5)"
	same "$(stat -L -c %s /dev/fd/6)" "$(wc -c <&6)"
	exec 5<&- 6<&-
	mkdir "$B"
}

@test "rmdir of a running command ends its readers" {
	mkdir "$B/proc/p"
	put "$B/proc/p/cmd" 'echo begun; sleep 1000'
	background cat "$B/proc/p/stdout"
	local pid=$!
	timeout 60 head -n 1 "$B/proc/p/stdout" >/dev/null
	rmdir "$B/proc/p"
	eventually 40 gone "$pid"
}
