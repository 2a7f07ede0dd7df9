#!/usr/bin/env bats
# A tree behind an agent, the connection to which is lost again and again.

GRAFT=--far
load helpers

@test "a connection lost in mid-write: every byte arrives, once and in its place" {
	cut_often
	timeout 100 "$PYTHON" - "$M" <<-'END'
		import os, random, sys
		os.chdir(sys.argv[1])
		rng = random.Random(7)
		whole = rng.randbytes(16 << 20)
		fd = os.open("whole", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
		at = 0
		while at < len(whole):
		    at += os.write(fd, whole[at:at + rng.choice([1, 4096, 70000, 131072])])
		for _ in range(200):
		    at = rng.randrange(len(whole) - 5000)
		    os.pwrite(fd, whole[at:at + 5000], at)
		os.fsync(fd)
		assert os.pread(fd, 1 << 20, 5 << 20) == whole[5 << 20:6 << 20]
		os.close(fd)
		assert open("whole", "rb").read() == whole
		with open("log", "ab", buffering=0) as log:
		    for n in range(500):
		        log.write(b"%06d\n" % n)
		open(os.environ["T"] + "/want", "wb").write(whole)
	END
	heal
	cmp "$T/want" "$TREE/whole"
	same "$(seq -f %06g 0 499)" "$(cat "$TREE/log")"
}

@test "a connection lost in mid-request: names are made, moved and removed once" {
	cut_often
	timeout 100 "$PYTHON" - "$M" <<-'END'
		import os, sys
		os.chdir(sys.argv[1])
		for n in range(150):  # done twice, each of these would fail
		    os.mkdir(f"d{n}")
		    os.close(os.open(f"d{n}/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
		    os.link(f"d{n}/f", f"d{n}/g")
		    os.rename(f"d{n}/f", f"d{n}/h")
		    os.symlink("h", f"d{n}/s")
		    assert sorted(os.listdir(f"d{n}")) == ["g", "h", "s"]
		    assert os.stat(f"d{n}/s").st_nlink == 2
		    os.unlink(f"d{n}/g")
		    if n % 2:
		        for name in "h", "s":
		            os.unlink(f"d{n}/{name}")
		        os.rmdir(f"d{n}")
	END
	heal
	same 75 "$(find "$TREE" -maxdepth 1 -name 'd*' | wc -l)"
	same 75 "$(find "$TREE" -name h | wc -l)"
}

@test "a connection lost in mid-read: readers of large files and of listings notice nothing" {
	head -c 24000000 /dev/urandom >"$TREE/large"
	mkdir "$TREE/many"
	seq -f "$TREE/many/%05g" 3000 | xargs touch
	cut_often
	local n
	for n in 1 2 3; do
		cmp "$TREE/large" "$M/large"
		same 3000 "$(find "$M/many" -type f | wc -l)"
	done
	heal
}

@test "what a lost connection did not tell is not believed" {
	echo before >"$TREE/f"
	same before "$(cat "$M/f")"
	local n until
	for n in $(seq 50); do
		stat "$M/f" >/dev/null
		kill -USR2 "$SERVER"
		echo "after $n" >"$TREE/f"
		reads() { [ "after $n" = "$(cat "$M/f")" ]; }
		until=$((SECONDS + 20))
		until reads; do ((SECONDS < until)); done
	done
}

@test "signals that a program handles interrupt nothing it does" {
	timeout 100 "$PYTHON" - "$M" <<-'END'
		import os, signal, sys
		os.chdir(sys.argv[1])
		came = 0
		def tick(*_):
		    global came
		    came += 1
		signal.signal(signal.SIGALRM, tick)
		signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
		n = 0
		while n < 60 or came < 300:
		    n += 1
		    os.mkdir("d")
		    f = os.open("d/f", os.O_CREAT | os.O_EXCL | os.O_RDWR)
		    assert os.pwrite(f, b"text", 0) == 4
		    os.link("d/f", "d/g")
		    os.rename("d/g", "d/h")
		    os.symlink("f", "d/s")
		    os.chmod("d/f", 0o640)
		    os.truncate("d/f", 2)
		    assert os.stat("d/s").st_size == 2 and os.readlink("d/s") == "f"
		    assert sorted(os.listdir("d")) == ["f", "h", "s"] and os.pread(f, 9, 0) == b"te"
		    os.fsync(f)
		    os.close(f)
		    for name in "f", "h", "s":
		        os.unlink("d/" + name)
		    os.rmdir("d")
		signal.setitimer(signal.ITIMER_REAL, 0)
	END
	same '' "$(ls -A "$TREE")"
}

@test "a program that waits for an agent that stands still can be ended, also after it handled a signal" {
	local agent pid signal
	agent=$(pgrep -P "$SERVER")
	for signal in TERM KILL INT; do
		mkfifo "$T/up"
		"$PYTHON" - "$M/$signal" "$T/up" 3>&- <<-'END' &
			import os, signal, sys
			signal.signal(signal.SIGURG, lambda *_: None)
			signal.signal(signal.SIGINT, signal.SIG_DFL)
			open(sys.argv[2], "w").close()
			while True:
			    os.mkdir(sys.argv[1])
			    os.rmdir(sys.argv[1])
		END
		pid=$!
		cat "$T/up"
		kill -STOP "$agent"
		# It waits for an answer now, or will with the next thing it asks for.
		kill -URG "$pid"
		kill -s "$signal" "$pid"
		timeout 20 tail --pid="$pid" -f /dev/null || { kill -CONT "$agent"; return 1; }
		kill -CONT "$agent"
		rm "$T/up"
	done
}

@test "a connection lost again and again: what is done at random gives what it gives on a disk" {
	mkdir "$T/plain"
	cut_often
	local seed
	for seed in 1 2; do
		timeout 100 "$PYTHON" "$ROOT/tests/graft/alike.py" "$T/plain/$seed" "$M/$seed" 1500 $seed
	done
	timeout 100 "$PYTHON" "$ROOT/tests/graft/alike.py" "$T/plain/any" "$M/any" 1500
	heal
}

# More directories than are remembered: those above have lost their handles when the look-up needs all of them.
@test "a tree of 11,000 levels, looked at from its middle" {
	timeout 100 "$PYTHON" - "$TREE" "$M" <<-'END'
		import errno, os, sys
		os.chdir(sys.argv[1])
		for i in range(11000):
		    os.mkdir("d")
		    os.chdir("d")
		os.chdir(sys.argv[2])
		for i in range(11000):
		    os.chdir("d")
		    if i == 2500:
		        keep = os.open(".", os.O_PATH)
		try:
		    os.stat("no-such", dir_fd=keep)
		    raise SystemExit("it is there")
		except OSError as e:  # the agent may have no descriptors left for so many
		    assert e.errno in (errno.ENOENT, errno.ENFILE), e
		os.chdir("/")
		assert os.listdir(sys.argv[2]) == ["d"]
	END
	timeout 100 rm -r "$TREE/d"
}

@test "a file made here and open is read as it is inside, also when its directory's listing was given up" {
	mkdir "$TREE/d"
	timeout 60 "$PYTHON" - "$M/d" "$TREE/d" <<-'END'
		import os, sys, time
		outside, inside = sys.argv[1:]
		fd = os.open(outside + "/f", os.O_CREAT | os.O_RDWR, 0o644)
		def changed_to(text):
		    with open(inside + "/f", "w") as f:
		        f.write(text)
		    until = time.monotonic() + 20
		    while os.pread(fd, 10, 0) != text.encode():
		        assert time.monotonic() < until, (text, os.pread(fd, 10, 0))
		        time.sleep(0.01)
		changed_to("old")
		os.listdir(outside)
		os.stat(outside + "/f")
		changed_to("again")
		for n in range(1200):
		    open(inside + f"/n{n}", "w").close()
		changed_to("new")
	END
}
