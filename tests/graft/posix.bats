#!/usr/bin/env bats
# What programs expect of a disk.

load helpers

@test "git: init, commit, gc, fsck, clone" {
	export HOME=$T GIT_CONFIG_GLOBAL=/dev/null
	git init -q "$M/repo"
	cd "$M/repo"
	cp -r /usr/include/linux/netfilter .
	git add .
	git -c user.name=n -c user.email=e@x commit -qm first
	git status --porcelain >"$T/status"
	same '' "$(cat "$T/status")"
	git gc -q
	git fsck --strict 2>&1
	git clone -q "$M/repo" "$M/clone"
	diff -r netfilter "$M/clone/netfilter"
}

@test "python: compileall, sqlite, mmap shared and private" {
	cp -r /usr/lib/python3*/json "$M/json"
	"$PYTHON" -m compileall -q "$M/json"
	"$PYTHON" - "$M" <<-'END'
		import mmap, os, sqlite3, sys
		os.chdir(sys.argv[1])
		db = sqlite3.connect("db")
		db.execute("create table t (n)")
		db.executemany("insert into t values (?)", [(n,) for n in range(5000)])
		db.commit()
		assert db.execute("select sum(n) from t").fetchone()[0] == 12497500
		assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
		with open("map", "w+b") as f:
		    f.truncate(1 << 20)
		    with mmap.mmap(f.fileno(), 0) as m:
		        m[4096:4101] = b"mmap!"
		        m.flush()
		    assert os.pread(f.fileno(), 5, 4096) == b"mmap!"
		    with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY) as m:
		        m[0:1] = b"x"
		    assert os.pread(f.fileno(), 1, 0) == b"\0"
	END
	same 'mmap!' "$(dd if="$TREE/map" bs=1 skip=4096 count=5 status=none)"
}

@test "programs run from it; a script too" {
	cp /bin/true /bin/sh "$M"
	"$M/true"
	# shellcheck disable=SC2016
	printf '#!%s\necho "$1"\n' "$M/sh" >"$M/script"
	chmod +x "$M/script"
	same hello "$("$M/script" hello)"
}

@test "what is held by O_PATH alone stays what it is when its name is removed or replaced" {
	"$PYTHON" - "$M" <<-'END'
		import os, sys
		os.chdir(sys.argv[1])
		def replace():
		    open("q", "w").close()
		    os.rename("q", "p")
		for take in lambda: os.unlink("p"), replace:
		    with open("p", "w") as f:
		        f.write("held")
		    held = os.open("p", os.O_PATH)
		    take()
		    for _ in range(2):
		        assert os.fstat(held).st_nlink == 0 and os.fstat(held).st_size == 4
		        assert open(f"/proc/self/fd/{held}").read() == "held"
		    os.close(held)
		os.unlink("p")
	END
}

@test "rename over an open file, unlink of an open file" {
	"$PYTHON" - "$M" <<-'END'
		import os, sys
		os.chdir(sys.argv[1])
		f = open("f", "w+"); f.write("old"); f.flush()
		open("g", "w").write("new")
		os.rename("g", "f")
		assert os.pread(f.fileno(), 9, 0) == b"old"
		assert open("f").read() == "new"
		g = open("f", "r+")
		os.unlink("f")
		assert os.pread(g.fileno(), 9, 0) == b"new"
		g.truncate(1); os.pwrite(g.fileno(), b"xyz", 1); os.fsync(g.fileno())
		assert os.fstat(g.fileno()).st_size == 4 and os.fstat(g.fileno()).st_nlink == 0
		assert os.listdir(".") == []
	END
}

@test "a name that is removed or replaced: who has the file open goes on, however it was opened" {
	"$PYTHON" - "$M" <<-'END'
		import os, socket, stat, sys
		os.chdir(sys.argv[1])
		def gone(name, how, make):
		    if how == "replaced":
		        make("other")
		        os.rename("other", name)
		    elif os.path.isdir(name):
		        os.rmdir(name)
		    else:
		        os.unlink(name)
		def attributes(f):
		    assert os.fstat(f).st_nlink == 0
		    os.fchmod(f, 0o640)
		    os.utime(f, ns=(5_000_000_007, 6_000_000_008))
		    st = os.fstat(f)
		    assert stat.S_IMODE(st.st_mode) == 0o640 and st.st_mtime_ns == 6_000_000_008, st
		    os.fchown(f, os.getuid(), os.getgid())
		    os.fstatvfs(f)
		def text(name):
		    with open(name, "wb") as f:
		        f.write(b"text" * 2000)
		def fifo(name):
		    os.mkfifo(name)
		def bound(name):
		    with socket.socket(socket.AF_UNIX) as s:
		        s.bind(name)
		for how in "removed", "replaced":
		    for flags in os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND:
		        text("f")
		        f = os.open("f", flags)
		        gone("f", how, text)
		        attributes(f)
		        if flags != os.O_WRONLY:
		            assert os.pread(f, 3, 1) == b"ext"
		        assert os.lseek(f, 0, os.SEEK_DATA) == 0 and os.lseek(f, 0, os.SEEK_HOLE) == 8000
		        if flags != os.O_RDONLY:
		            os.ftruncate(f, 1 << 20)
		            assert os.fstat(f).st_size == 1 << 20
		            os.ftruncate(f, 0)
		            assert os.pwrite(f, b"new", 0) == 3 and os.fstat(f).st_size == 3
		            os.fsync(f)
		        os.close(f)
		    fifo("p")
		    f = os.open("p", os.O_RDWR | os.O_NONBLOCK)
		    gone("p", how, fifo)
		    attributes(f)
		    assert os.write(f, b"abc") == 3 and os.read(f, 3) == b"abc"
		    os.close(f)
		    bound("s")
		    f = os.open("s", os.O_PATH)
		    gone("s", how, bound)
		    assert os.fstat(f).st_nlink == 0 and stat.S_ISSOCK(os.fstat(f).st_mode)
		    os.close(f)
		    os.mkdir("d")
		    f = os.open("d", os.O_RDONLY)
		    gone("d", how, os.mkdir)
		    attributes(f)
		    assert os.listdir(f) == []
		    os.close(f)
		    if how == "replaced":
		        for name in "f", "p", "s":
		            os.unlink(name)
		        os.rmdir("d")
		assert os.listdir(".") == []
	END
}

@test "5,000 entries listed while they come and go: what stays is listed once" {
	(cd "$TREE" && seq -f 'stays%g' 5000 | xargs touch)
	"$PYTHON" - "$TREE" 3>&- <<-'END' &
		import os, sys
		os.chdir(sys.argv[1])
		while True:
		    for n in range(200):
		        open(f"comes{n}", "w").close()
		    for n in range(200):
		        os.unlink(f"comes{n}")
	END
	BACKGROUND=$!
	local n
	for n in 1 2 3 4 5; do
		same 5000 "$(find "$M" -name 'stays*' | sort -u | wc -l)"
		same 5000 "$(find "$M" -name 'stays*' | wc -l)"
	done
	kill $BACKGROUND
	"$PYTHON" - "$M" <<-'END'
		import ctypes, os, sys
		libc = ctypes.CDLL(None)
		libc.opendir.restype = ctypes.c_void_p
		libc.readdir.argtypes = libc.rewinddir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
		d = libc.opendir(sys.argv[1].encode())
		def count():
		    n = 0
		    while libc.readdir(d):
		        n += 1
		    return n
		assert count() > 5000 and count() == 0
		libc.rewinddir(d)
		assert count() > 5000
		libc.closedir(d)
	END
}

@test "files without a name: O_TMPFILE, named later or never" {
	"$PYTHON" - "$M" <<-'END'
		import errno, mmap, os, sys
		os.chdir(sys.argv[1])
		f = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
		os.write(f, b"text")
		assert os.listdir(".") == [] and os.fstat(f).st_nlink == 0 and os.pread(f, 9, 0) == b"text"
		os.fchmod(f, 0o600)
		os.utime(f, ns=(5, 7))
		assert os.fstat(f).st_mode == 0o100600 and os.fstat(f).st_mtime_ns == 7
		os.ftruncate(f, 8192)
		m = mmap.mmap(f, 8192)
		m[4096:4100] = b"page"
		m.flush()
		assert os.pread(f, 4, 4096) == b"page"
		m.close()
		os.ftruncate(f, 4)
		os.fchmod(f, 0o640)
		here = os.open(".", os.O_RDONLY)
		os.link(f"/proc/self/fd/{f}", "named", src_dir_fd=here, dst_dir_fd=here, follow_symlinks=True)
		assert open("named").read() == "text" and os.fstat(f).st_nlink == 1
		assert os.stat("named").st_mode == 0o100640 and os.stat("named").st_ino == os.fstat(f).st_ino
		f = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_EXCL)
		try:
		    os.link(f"/proc/self/fd/{f}", "never", src_dir_fd=here, dst_dir_fd=here, follow_symlinks=True)
		    sys.exit("linked")
		except OSError as e:
		    assert e.errno == errno.ENOENT, e
	END
	same text "$(cat "$TREE/named")"
}

passes() { # whether open files are read without the server
	[ -z "$GRAFT" ] && [ "$(id -u)" = 0 ] && [ "${PASSTHROUGH:-}" != off ] && [ "$(printf '%s\n' 6.9 "$(uname -r)" | sort -V | head -n 1)" = 6.9 ]
}

@test "root's files pass: a server that stands still does not matter to who reads and maps" {
	passes || skip "no passthrough here"
	echo before >"$M/f"
	# Whatever happens the server goes on: who waits for one that stands still cannot be killed.
	(sleep 20 && kill -CONT "$SERVER") 3>&- &
	BACKGROUND=$!
	"$PYTHON" - "$M/f" "$SERVER" <<-'END'
		import mmap, os, signal, sys, time
		f = os.open(sys.argv[1], os.O_RDWR)
		os.pwrite(f, b"after", 0)
		m = mmap.mmap(f, 6)
		since = time.monotonic()
		os.kill(int(sys.argv[2]), signal.SIGSTOP)
		read, mapped = os.pread(f, 6, 0), m[:]
		os.kill(int(sys.argv[2]), signal.SIGCONT)
		assert time.monotonic() - since < 19, "it took the server"
		assert read == mapped == b"aftere", (read, mapped)
	END
	same aftere "$(cat "$TREE/f")"
}

@test "one file opened in every way at once, from many threads" {
	"$PYTHON" - "$M" <<-'END'
		import mmap, os, sys, threading
		os.chdir(sys.argv[1])
		open("f", "w").write("x" * 8192)
		flags = [os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_DIRECT, os.O_RDONLY | os.O_SYNC]
		def work(n):
		    try:
		        for i in range(60):
		            f = os.open("f", flags[(n + i) % len(flags)])
		            page = mmap.mmap(-1, 4096)
		            assert os.preadv(f, [page], 4096) == 4096 and page[:] == b"x" * 4096
		            m = mmap.mmap(f, 8192, mmap.MAP_SHARED, mmap.PROT_READ)
		            os.close(f)
		            assert m[:] == b"x" * 8192
		            m.close()
		    except BaseException as e:
		        failed.append(e)
		failed = []
		threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		assert not failed, failed
	END
}

@test "sizes: truncate, holes, fallocate, SEEK_DATA, copy_file_range" {
	"$PYTHON" - "$M" <<-'END'
		import os, sys
		os.chdir(sys.argv[1])
		f = os.open("sparse", os.O_RDWR | os.O_CREAT)
		os.pwrite(f, b"end", 10 << 20)
		os.pwrite(f, b"start", 0)
		assert os.fstat(f).st_size == (10 << 20) + 3
		assert os.fstat(f).st_blocks < 1000
		hole = os.lseek(f, 0, os.SEEK_HOLE)
		assert 0 < hole < 1 << 20 and os.lseek(f, hole, os.SEEK_DATA) > 9 << 20
		g = os.open("copy", os.O_RDWR | os.O_CREAT)
		done, size = 0, (10 << 20) + 3
		while done < size:
		    n = os.copy_file_range(f, g, size - done, done, done)
		    assert n > 0
		    done += n
		assert os.pread(g, 9, 10 << 20) == b"end"
		os.posix_fallocate(g, 0, 11 << 20)
		assert os.stat("copy").st_size == 11 << 20
		os.truncate("copy", 3)
		assert open("copy", "rb").read() == b"sta"
	END
}

@test "O_APPEND from two writers outside and one inside loses nothing" {
	local n writers=()
	for n in 1 2; do
		for _ in $(seq 500); do echo "outside $n"; done >>"$M/log" &
		writers+=($!)
	done
	for _ in $(seq 500); do echo "inside 3"; done >>"$TREE/log"
	wait "${writers[@]}"
	same 1500 "$(wc -l <"$TREE/log")"
	same 3 "$(sort -u "$TREE/log" | wc -l)"
	same "$(cat "$TREE/log")" "$(cat "$M/log")"
}

# at_once COMMAND...: behind an agent, as soon as the notice has come; for who learned of the change over the
# same connection that is at once too.
at_once() {
	local until=$((SECONDS + 20))
	until "$@"; do
		[ -n "$GRAFT" ] && ((SECONDS < until)) || return 1
	done
}

@test "what is written inside is seen at once" {
	[ -z "${STILL:-}" ] || skip "nothing is written inside while what was is remembered"
	local n
	reads() { [ "$n" = "$(cat "$M/f")" ]; }
	for n in $(seq 100); do
		echo "$n" >"$TREE/f"
		at_once reads
		touch "$TREE/new$n"
		at_once [ -e "$M/new$n" ]
		rm "$TREE/new$n"
		at_once [ ! -e "$M/new$n" ]
	done
	exec 7<"$M/f"
	read -r _ <&7
	echo appended >>"$TREE/f"
	reads() { [ appended = "$(cat <&7)" ]; }
	at_once reads
	exec 7<&-
}

@test "pages kept from an earlier open are never stale, whatever the sandbox does to times" {
	[ -z "${STILL:-}" ] || skip "nothing is written inside while what was is remembered"
	"$PYTHON" - "$TREE" "$M" <<-'END'
		import os, sys, time
		inside, outside = (d + "/f" for d in sys.argv[1:])
		def look():
		    with open(outside, "rb") as f:
		        return f.read()
		def change(n, keep_times):
		    text = b"%08d" % n * 1000
		    st = os.stat(inside)
		    f = os.open(inside, os.O_WRONLY)
		    os.pwrite(f, text, 0)
		    if keep_times:
		        os.utime(f, ns=(st.st_atime_ns, st.st_mtime_ns))
		    os.close(f)
		    return text
		with open(inside, "wb") as f:
		    f.write(b"-" * 8000)
		for n in range(600):
		    if n % 60 == 0:
		        time.sleep(0.06) # old enough for pages to be kept
		        look()
		    look()
		    text = change(n, n % 2)
		    assert look() == text, n
		time.sleep(0.06)
		look(); look()
		os.rename(inside, inside + ".old")
		with open(inside, "wb") as f:
		    f.write(b"other")
	END
	reads() { [ other = "$(cat "$M/f")" ]; }
	at_once reads
}

@test "links, modes, owners, times, xattrs" {
	umask 027
	echo x >"$M/f"
	mkdir "$M/d"
	same '640 750' "$(stat -c %a "$TREE/f" "$TREE/d" | xargs)"
	ln "$M/f" "$M/d/hard"
	[ "$M/f" -ef "$M/d/hard" ]
	same 2 "$(stat -c %h "$M/f")"
	ln -s ../f "$M/d/soft"
	ln -P "$M/d/soft" "$M/d/soft2"
	same ../f "$(readlink "$TREE/d/soft2")"
	chmod 4711 "$M/f"
	same 4711 "$(stat -c %a "$TREE/f")"
	chmod 600 "$M/d/soft"
	same 600 "$(stat -c %a "$TREE/f")"
	touch -d @1000000000.123456789 "$M/f"
	touch -h -d @1000000001 "$M/d/soft"
	same 1000000000.123456789 "$(stat -c %.9Y "$M/f")"
	same 1000000001 "$(stat -c %Y "$M/d/soft")"
	mkfifo "$M/fifo"
	[ -p "$TREE/fifo" ]
	"$PYTHON" - "$M/f" <<-'END'
		import os, sys
		f = sys.argv[1]
		try:
		    os.setxattr(f, "user.k", b"v" * 1000)
		except OSError as e:
		    sys.exit(e.errno != 95)
		assert os.getxattr(f, "user.k") == b"v" * 1000
		assert "user.k" in os.listxattr(f)
		os.removexattr(f, "user.k")
		assert "user.k" not in os.listxattr(f)
	END
	[ "$(id -u)" != 0 ] || {
		"$PYTHON" - "$M/d/soft" "$TREE/d/soft" <<-'END'
			import os, sys
			outside, inside = sys.argv[1:]
			try:
			    os.setxattr(inside, "trusted.probe", b"", follow_symlinks=False)
			except OSError:
			    sys.exit(0) # not root enough, or no such disk
			os.setxattr(outside, "trusted.k", b"v", follow_symlinks=False)
			assert os.getxattr(inside, "trusted.k", follow_symlinks=False) == b"v"
			assert "trusted.k" not in os.listxattr(outside)
			os.removexattr(outside, "trusted.k", follow_symlinks=False)
			assert os.listxattr(inside, follow_symlinks=False) == ["trusted.probe"]
		END
		chown 12:34 "$M/f"
		same 12:34 "$(stat -c %u:%g "$TREE/f")"
	}
}

@test "errors are a disk's" {
	mkdir -p "$M/d/sub"
	touch "$M/f"
	fails 'File exists' mkdir "$M/d"
	fails 'not empty' rmdir "$M/d"
	fails 'Is a directory' unlink "$M/d"
	fails 'Not a directory' rmdir "$M/f"
	fails 'Not a directory' cat "$M/f/x"
	fails 'No such file' cat "$M/none"
	fails 'File exists' "$PYTHON" -c 'import os, sys; os.open(sys.argv[1], os.O_CREAT | os.O_EXCL)' "$M/f"
	fails 'Invalid argument' "$PYTHON" -c 'import os, sys; os.rename(*sys.argv[1:])' "$M/d" "$M/d/sub/x"
	touch "$M/g"
	mv -n "$M/f" "$M/g"
	[ -e "$M/f" ]
}

@test "statfs is that of the file system below" {
	same "$(stat -f -c '%b %S %l' "$TREE")" "$(stat -f -c '%b %S %l' "$M")"
	df "$M" >/dev/null
}

@test "an entry's number is the same in readdir and stat" {
	mkdir "$M/d"
	touch "$M/f"
	"$PYTHON" - "$M" <<-'END'
		import os, sys
		for e in os.scandir(sys.argv[1]):
		    assert e.inode() == os.lstat(e.path).st_ino, e.name
	END
}

@test "once the sandbox ended everything answers ESHUTDOWN and no descriptor is left" {
	echo x >"$M/f"
	mkdir "$M/d"
	exec 7<"$M/f" 8<"$M/d"
	kill -USR1 "$SERVER"
	read -r -t 20 -u "$SAYS" line
	same down "$line"
	# The kernel reads it without us until it has been told, from a thread of its own.
	local n
	for n in {1..200}; do
		! "$PYTHON" -c 'import os; os.pread(7, 1, 0)' 7<&7 2>"$T/why" || continue
		break
	done
	grep -Eq 'Input/output error|after transport endpoint shutdown' "$T/why"
	fails 'after transport endpoint shutdown' ls "$M/"
	fails 'after transport endpoint shutdown' stat "$M/f"
	fails 'after transport endpoint shutdown' touch "$M/new"
	same '' "$(find "/proc/$SERVER/fd" -lname "$TREE*")"
	exec 7<&- 8<&-
}

@test "what is done at random gives what it gives on a disk: results, errors, attributes, contents" {
	mkdir "$T/plain"
	local seed
	for seed in 1 2 3; do
		timeout 100 "$PYTHON" "$ROOT/tests/graft/alike.py" "$T/plain/$seed" "$M/$seed" 1500 $seed
	done
	timeout 100 "$PYTHON" "$ROOT/tests/graft/alike.py" "$T/plain/any" "$M/any" 1500
}

@test "a mapping of a file that is opened to be appended to: its pages stay where they are" {
	"$PYTHON" - "$M/f" <<-'END'
		import mmap, os, sys
		f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
		os.write(f, b"x" * 5000)
		with mmap.mmap(f, 5000) as m:
		    m[10:14] = b"mine"
		    m.flush()
		os.write(f, b"end")
		assert os.fstat(f).st_size == 5003, os.fstat(f).st_size
	END
	same "$("$PYTHON" -c 'print("x" * 10 + "mine" + "x" * 4986 + "end")')" "$(cat "$TREE/f")"
}
