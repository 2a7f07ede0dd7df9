#!/usr/bin/env bats
# Programs that are hard on a disk, and what they leave on it.

load helpers

@test "tar and rsync, there and back: bytes, modes, times, links, holes" {
	mkdir -p "$T/from/d/e"
	cp /bin/true "$T/from/program"
	seq 20000 >"$T/from/d/text"
	truncate -s 5M "$T/from/d/sparse"
	ln "$T/from/program" "$T/from/d/hard"
	ln -s d/text "$T/from/soft"
	mkfifo "$T/from/d/fifo"
	chmod 641 "$T/from/d/text"
	chmod 1751 "$T/from/d/e"
	touch -d @1000000000.123456789 "$T/from/d/text" "$T/from/d/e"
	tar -C "$T/from" --format=posix -cSf - . | tar -C "$M" -xpf -
	same '' "$(rsync -aHn --delete --itemize-changes --checksum "$T/from/" "$M/")"
	same '' "$(rsync -aHn --delete --itemize-changes --checksum "$M/" "$T/from/")"
	[ "$(stat -c %b "$M/d/sparse")" -lt 100 ]
	mkdir "$T/back"
	rsync -aHS "$M/" "$T/back/"
	same "$(tar -C "$T/from" --sort=name --mtime=@0 -cf - . | sha1sum)" "$(tar -C "$T/back" --sort=name --mtime=@0 -cf - . | sha1sum)"
	same 1000000000.123456789 "$(stat -c %.9Y "$T/back/d/text")"
}

@test "SQLite with a write-ahead log, two writers on the mount" {
	"$PYTHON" - "$M/db" <<-'END'
		import sqlite3, sys, threading
		def open_db():
		    return sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
		db = open_db()
		assert db.execute("pragma journal_mode=wal").fetchone()[0] == "wal"
		db.execute("create table t (who, n)")
		def write(who):
		    mine = open_db()
		    for n in range(100):
		        mine.execute("begin immediate")
		        mine.execute("insert into t values (?, ?)", (who, n))
		        mine.execute("commit")
		threads = [threading.Thread(target=write, args=(w,)) for w in range(2)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		assert db.execute("select count(*) from t").fetchone()[0] == 200
		assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
	END
	"$PYTHON" -c 'import sqlite3, sys; assert sqlite3.connect(sys.argv[1]).execute("pragma integrity_check").fetchone()[0] == "ok"' "$TREE/db"
}

@test "fio: what was written at random is read back, by its checksums" {
	command -v fio || skip "no fio here"
	fio --name=verify --directory="$M" --size=8m --bs=4k --rw=randwrite --ioengine=psync --numjobs=2 --verify=crc32c --do_verify=1 \
		--verify_fatal=1 --verify_state_save=0 --end_fsync=1 --output-format=terse >/dev/null
}

@test "a file of 1 TiB that is all hole but its end; one over 4 GiB written from outside" {
	"$PYTHON" - "$TREE" "$M" <<-'END'
		import os, sys
		inside, outside = sys.argv[1:]
		size = 1 << 40
		with open(inside + "/huge", "wb") as f:
		    f.truncate(size)
		    f.seek(size)
		    f.write(b"end")
		assert os.stat(outside + "/huge").st_size == size + 3
		f = os.open(outside + "/huge", os.O_RDONLY)
		assert os.pread(f, 10, size - 2) == b"\0\0end"
		assert os.lseek(f, 0, os.SEEK_DATA) > size - (1 << 20)
		f = os.open(outside + "/big", os.O_RDWR | os.O_CREAT)
		os.pwrite(f, b"far", 5 << 30)
		assert os.fstat(f).st_size == (5 << 30) + 3
		assert os.pread(os.open(inside + "/big", os.O_RDONLY), 3, 5 << 30) == b"far"
	END
}

@test "20,000 entries: listed whole, in pieces by their cookies, and removed" {
	local entries=20000
	[ -z "${LATENCY:-}" ] || entries=2000 # each is removed on its own
	(cd "$TREE" && seq -f 'n%g' $entries | xargs touch)
	same $entries "$(find "$M" -type f | sort -u | wc -l)"
	"$PYTHON" - "$M" <<-'END'
		import ctypes, sys
		libc = ctypes.CDLL(None)
		libc.opendir.restype = ctypes.c_void_p
		libc.readdir.restype = ctypes.c_void_p
		libc.readdir.argtypes = libc.closedir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
		libc.telldir.restype = ctypes.c_long
		libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
		def name(entry):
		    return ctypes.string_at(entry + 19)
		d = libc.opendir(sys.argv[1].encode())
		places, entry = [], True
		while entry:
		    at = libc.telldir(d)
		    entry = libc.readdir(d)
		    if entry:
		        places.append((at, name(entry)))
		for at, what in places[::997]:
		    libc.seekdir(d, at)
		    assert name(libc.readdir(d)) == what
	END
	rm -r "${M:?}"/n*
	same '' "$(ls -A "$TREE")"
}

@test "flock and POSIX locks hold between programs on the mount" {
	"$PYTHON" - "$M/f" <<-'END'
		import errno, fcntl, os, subprocess, sys
		f = open(sys.argv[1], "w+")
		other = "import fcntl, sys; f = open(sys.argv[1], 'r+'); getattr(fcntl, sys.argv[2])(f, fcntl.LOCK_EX | fcntl.LOCK_NB)"
		for call in "flock", "lockf":
		    getattr(fcntl, call)(f, fcntl.LOCK_EX)
		    run = lambda: subprocess.run([sys.executable, "-c", other, sys.argv[1], call], stderr=subprocess.DEVNULL).returncode
		    assert run() != 0, call
		    getattr(fcntl, call)(f, fcntl.LOCK_UN)
		    assert run() == 0, call
	END
}
