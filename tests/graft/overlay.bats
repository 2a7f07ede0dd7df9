#!/usr/bin/env bats
# A root that is an overlay, as that of a sandbox made from a directory: the kernel passes its files too, and what is
# stacked too deep for that is asked for, file by file.

LATE_MOUNT=1
load helpers

setup_file() {
	[ "$(id -u)" = 0 ] || skip "mounting takes root"
	[ -z "${GRAFT:-}" ] || skip "about files the kernel passes"
}

# The helpers' own, around one in which the overlays go.
eval "helpers_$(declare -f teardown)"
teardown() {
	local bad=0
	if [ -n "${SERVER:-}" ]; then
		kill -CONT "$SERVER"
		unmount_tree || bad=1
	fi
	umount -l "$T/over/both" "$T/over/one" "$T/over" 2>/dev/null || true
	helpers_teardown || bad=1
	return $bad
}

# overlay NAME LOWER
overlay() {
	mkdir "$T/over/$1" "$T/over/$1.upper" "$T/over/$1.work"
	mount -t overlay -o "lowerdir=$2,upperdir=$T/over/$1.upper,workdir=$T/over/$1.work" overlay "$T/over/$1"
}

prepare() {
	mkdir "$T/over" "$T/lower"
	mount -t tmpfs tmpfs "$T/over" || skip "nothing can be mounted here"
	for f in read write append map copy; do printf '%-8192s' "$f below" >"$T/lower/$f"; done
	overlay one "$T/lower" || skip "no overlays here"
}

# both_ways DIRECTORY: files of a lower layer, read, written to, mapped, while others have them open, as on a disk.
both_ways() {
	"$PYTHON" - "$1" <<-'END'
		import mmap, os, sys
		os.chdir(sys.argv[1])
		def text(data): return data.rstrip(b" \0")
		early = {n: os.open(n, os.O_RDONLY) for n in ("read", "write", "append", "map", "copy")}
		for n, f in early.items():
		    assert text(os.pread(f, 8192, 0)) == b"%s below" % n.encode(), n
		f = os.open("write", os.O_RDWR)  # it is copied up here
		os.pwrite(f, b"above", 0)
		assert os.pread(f, 5, 0) == b"above" == os.pread(os.open("write", os.O_RDONLY), 5, 0)
		assert os.pread(early["write"], 5, 0) == b"above", "who had it open before"
		with open("append", "ab") as f:
		    f.write(b"more")
		assert os.stat("append").st_size == 8196 and open("append", "rb").read()[8192:] == b"more"
		f = os.open("map", os.O_RDWR)
		m = mmap.mmap(f, 8192)
		m[0:5] = b"above"
		m.flush()
		assert os.pread(f, 5, 0) == b"above"
		f = os.open("new", os.O_RDWR | os.O_CREAT | os.O_EXCL)
		os.pwrite(f, b"new", 100)
		os.rename("read", "renamed")
		os.unlink("copy")
		assert text(os.pread(early["read"], 8192, 0)) == b"read below" and text(os.pread(early["copy"], 8192, 0)) == b"copy below"
		assert sorted(os.listdir(".")) == ["append", "map", "new", "renamed", "write"]
	END
}

# Whether a server that stands still does not matter to who reads DIRECTORY/new.
passes() {
	"$PYTHON" - "$1/new" "$SERVER" <<-'END'
		import os, signal, sys, threading
		f = os.open(sys.argv[1], os.O_RDONLY)
		os.kill(int(sys.argv[2]), signal.SIGSTOP)
		read = threading.Thread(target=lambda: os.pread(f, 3, 100))
		read.start()
		read.join(3)
		waits = read.is_alive()
		os.kill(int(sys.argv[2]), signal.SIGCONT)
		read.join()
		sys.exit(waits)
	END
}

@test "an overlay's files pass, also those that are copied up while they are open" {
	prepare
	mount_tree "$T/over/one"
	both_ways "$M"
	printf '%s\n' 6.9 "$(uname -r)" | sort -VC || skip "no passthrough here"
	passes "$M"
	same "$(printf '%-8192s' 'write below')" "$(cat "$T/lower/write")"
}

@test "an overlay over an overlay is too deep to pass: its files are asked for" {
	prepare
	overlay both "$T/over/one"
	mount_tree "$T/over/both"
	both_ways "$M"
	not passes "$M"
}
