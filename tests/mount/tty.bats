#!/usr/bin/env bats
# Terminals: `tty` and `winsize`, "tty" of a command, `aviatofs shell` and `aviatofs run --tty`.

load helpers

# terminal: runs the Python text on its input, with what tty.py has, and B and AVIATOFS.
terminal() {
	timeout 120 "$PYTHON" -c "
import os
B, AVIATOFS = os.environ['B'], os.environ['AVIATOFS']
exec(open('$ROOT/tests/mount/tty.py').read())
$(cat)"
}

@test "an open of tty is a shell on a terminal, and its close hangs up" {
	terminal <<-'PYTHON'
		one, two = (Seen(os.open(B + "/tty", os.O_RDWR)) for _ in range(2))
		one.type("echo $((6 * 7)) $TERM; tty; stty size\n")
		one.expect("42 xterm")
		one.expect("/dev/pts/")
		one.expect("24 80")
		waits = "sh -c 'trap \"echo caught >%s; exit\" %s; echo on $((1 + 1)); while :; do sleep 0.02; done'\n"
		two.type(waits % ("/workspace/up", "HUP"))
		two.expect("on 2")
		one.type(waits % ("/dev/tty", "INT"))
		one.expect("on 2")
		one.type("\x03")
		one.expect("caught")
		assert sorted(os.listdir(B + "/proc")) == ["tty-1", "tty-2"]
		os.close(two.fd)
		until(lambda: os.path.exists(B + "/fs/workspace/up"))
		one.type("exit 5\n")
		one.end()
		assert open(B + "/proc/tty-1/status").read() == "exited 5\n"
		os.close(one.fd)
		until(lambda: os.listdir(B + "/proc") == [])
	PYTHON
}

@test "winsize is that of all of them, and of those to come" {
	same '80 24' "$(cat "$B/winsize")"
	terminal <<-'PYTHON'
		one = Seen(os.open(B + "/tty", os.O_RDWR))
		one.type("trap 'echo got; stty size' WINCH; PS1='on''ward '; echo set $((1 + 1))\n")
		one.expect("set 2")
		# Before its prompt a readline reads the size and writes it back, and would undo what comes between.
		one.expect("onward ")
		open(B + "/winsize", "w").write("132 50\n")
		one.type("\n")
		one.expect("got")
		one.expect("50 132")
		two = Seen(os.open(B + "/tty", os.O_RDWR))
		two.type("stty size\n")
		two.expect("50 132")
	PYTHON
	same '132 50' "$(cat "$B/winsize")"
	local bad
	for bad in 80 '0 24' '80 65536' '80 24 1' 'a b' '-1 2' ''; do
		[ -z "$bad" ] || fails 'Invalid argument' put "$B/winsize" "$bad"
	done
	grep -q 'COLUMNS ROWS' "$B/error"
}

@test "a tty that is opened one way only is refused, and nothing starts" {
	fails 'Invalid argument' cat "$B/tty"
	fails 'Invalid argument' put "$B/tty" 'echo x'
	same unstarted "$(cat "$B/state")"
	grep -q ONE_WAY "$B/error"
}

@test "poll and O_NONBLOCK tell when there is something" {
	terminal <<-'PYTHON'
		fd = os.open(B + "/tty", os.O_RDWR | os.O_NONBLOCK)
		seen = Seen(fd)
		seen.type("PS1=; echo $((1 + 1))ready; read x; echo got $x\n")
		seen.expect("2ready\r\n")
		assert select.select([fd], [fd], [], 0) == ([], [fd], [])
		try:
		    os.read(fd, 1)
		    sys.exit("a byte from nowhere")
		except BlockingIOError:
		    pass
		seen.type("word\n")
		seen.expect("got word")
	PYTHON
}

@test '"tty": true gives a command a terminal; resize and eof in its ctl' {
	mkdir "$B/proc/t"
	put "$B/proc/t/ctl" 'resize 100 30'
	put "$B/proc/t/cmd" '{"command": "stty size; test -t 2 && echo yes >&2; cat; stty size", "tty": true, "env": {"TERM": "dumb"}}'
	timeout 60 grep -m 1 yes "$B/proc/t/stdout" >/dev/null
	put "$B/proc/t/stdin" 'typed'
	finish "$B/proc/t"
	reads "$B/proc/t/stdout" '30 100\r\nyes\r\ntyped\r\ntyped\r\n30 100\r\n'
	reads "$B/proc/t/stderr" ''
	put "$B/cmd" 'sleep 1000'
	eventually 40 status_is "$B" running
	fails 'Inappropriate ioctl' put "$B/proc/1/ctl" 'resize 80 24'
	fails 'Invalid argument' put "$B/proc/1/ctl" 'resize 80'
}

@test "aviatofs shell: raw, of the size of here, and all is as before at the end" {
	terminal <<-'PYTHON'
		pid, seen = spawn(AVIATOFS, "shell", B, size=(40, 100))
		seen.type("stty size\n")
		seen.expect("40 100")
		assert is_raw(seen.fd)
		resize(seen.fd, 30, 90)
		seen.type("until stty size | grep -q '30 90'; do :; done; echo size $((1 + 1))\n")
		seen.expect("size 2")
		seen.type("sh -c 'trap \"echo caught; exit\" INT; echo on $((1 + 1)); while :; do sleep 0.02; done'\n")
		seen.expect("on 2")
		seen.type("\x03")
		seen.expect("caught")
		seen.type("exit 7\n")
		assert status(pid) == 7
	PYTHON
	eventually 40 eval '[ -z "$(ls "$B/proc")" ]'
}

@test "the terminal is restored whatever ends the client, and while it is stopped" {
	terminal <<-'PYTHON'
		keeper, terminal = pty.openpty()
		before = termios.tcgetattr(terminal)
		for number in signal.SIGTERM, signal.SIGHUP, None:
		    pid = os.fork()
		    if pid == 0:
		        os.setsid()
		        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
		        for fd in 0, 1, 2:
		            os.dup2(terminal, fd)
		        os.execv(AVIATOFS, ["aviatofs", "run", B, "--tty", "sh", "-c", "echo ready; exec sleep 1000"])
		    seen = Seen(keeper)
		    seen.expect("ready")
		    assert is_raw(terminal)
		    if number:
		        os.kill(pid, number)
		        got = status(pid)
		        assert got == -number, (got, number)
		    else:
		        os.kill(pid, signal.SIGTSTP)
		        os.waitpid(pid, os.WUNTRACED)
		        got = termios.tcgetattr(terminal)
		        assert got == before, (got, before)
		        os.kill(pid, signal.SIGCONT)
		        until(lambda: is_raw(terminal))
		        open(B + "/ctl", "w").write("stop 0\n")
		        seen.expect("canceled")
		        assert status(pid) == 125
		    assert termios.tcgetattr(terminal) == before
	PYTHON
}

@test "run --tty without a terminal here, and its exit status" {
	same $'24 80\r' "$(timeout 60 "$B/run" --tty stty size </dev/null)"
	status=0
	timeout 60 "$B/run" --tty sh -c 'exit 6' </dev/null || status=$?
	same 6 "$status"
	same 'a word' "$(echo 'a word' | timeout 60 "$B/run" --tty sh -c 'stty -echo -onlcr; echo ready; cat' | tail -n 1)"
}

@test "input of a terminal that ends within a line ends, too" {
	agent_only "the end is typed by the service"
	same $'ended\r' "$(printf 'half a lin' | timeout 60 "$B/run" --tty sh -c 'cat >/dev/null; echo; echo ended' | tail -n 1)"
}

@test "who reads a tty does not keep others from writing to it" {
	exec 6<>"$B/tty"
	background eval 'cat <&6 >"$T/seen"'
	eventually 20 grep -q . "$T/seen"
	within 20 timeout 10 bash -c 'echo "echo he\"\"llo" >&6'
	eventually 20 grep -q hello "$T/seen"
	within 20 timeout 10 bash -c 'echo exit >&6'
	wait_for_background
	exec 6>&-
}
