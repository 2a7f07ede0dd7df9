#!/usr/bin/env bats
# More names than the server may have descriptors: what holds none is reached by its place.

load helpers
LATE_MOUNT=yes

setup_file() {
	export DESCRIPTORS=160
}

# Files and directories, which the kernel knows all of when this is done.
many() {
	"$PYTHON" - "$TREE" <<-'END'
		import os, sys
		os.chdir(sys.argv[1])
		for a in range(30):
		    for b in range(4):
		        os.makedirs(f"a{a}/b{b}")
		        for c in range(10):
		            open(f"a{a}/b{b}/c{c}", "w").write(f"{a} {b} {c}\n")
		        os.symlink("../../a0/b0/c1", f"a{a}/b{b}/link")
		        os.symlink("/a0/b0/c2", f"a{a}/b{b}/far")
	END
	mount_tree
	ls -lR "$M" >"$T/listed"
	[ "$(wc -l <"$T/listed")" -gt 1700 ]
}

descriptors() {
	ls "/proc/$SERVER/fd" | wc -l
}

@test "a tree of many names is walked, read, copied and removed" {
	many
	same "$(cd "$TREE" && find . -type f -exec sha1sum {} + | sort)" "$(cd "$M" && find . -type f -exec sha1sum {} + | sort)"
	same "$(find "$M" -printf '%P %i %s %T@\n' | sort)" "$(find "$M" -printf '%P %i %s %T@\n' | sort)"
	mkdir "$T/copy"
	tar -C "$M" --exclude=far -cf - . | tar -C "$T/copy" -xf -
	same '' "$(rsync -ain --exclude=far --delete "$T/copy/" "$M/")"
	same '29 3 9' "$(cat "$M/a29/b3/c9")"
	same '0 0 1' "$(cat "$M/a29/b3/link")"
	same '0 0 2' "$(cat "$M/a29/b3/far")"
	[ "$(descriptors)" -lt 160 ]
	rm -r --one-file-system "$M"/a*
	same '' "$(ls "$TREE")"
}

@test "git: many files, a branch, status, gc, fsck" {
	many
	git -C "$M" init -q .
	git -C "$M" -c user.name=n -c user.email=e add .
	git -C "$M" -c user.name=n -c user.email=e commit -qm one
	same '' "$(git -C "$M" status --porcelain)"
	git -C "$M" checkout -qb two
	git -C "$M" mv a3 moved
	echo more >>"$M/a29/b3/c9"
	same $' M a29/b3/c9' "$(git -C "$M" status --porcelain | grep -v '^R')"
	git -C "$M" gc -q
	git -C "$M" fsck --strict
	same "$(git -C "$TREE" ls-files -s | sha1sum)" "$(git -C "$M" ls-files -s | sha1sum)"
}

@test "what is renamed is followed; what is replaced inside is another file" {
	many
	"$PYTHON" - "$M" "$TREE" <<-'END'
		import ctypes, errno, os, sys
		m, tree = sys.argv[1:]
		libc = ctypes.CDLL(None, use_errno=True)
		os.chdir(m)
		def known(path):
		    return os.open(path, os.O_PATH | os.O_NOFOLLOW)
		def is_stale(fd):
		    try:
		        os.fstat(fd)
		        return False
		    except OSError as e:
		        return e.errno == errno.ESTALE
		# A file, by name and into another directory; a directory above a file; two that change places.
		f = known("a20/b1/c1")
		number = os.fstat(f).st_ino
		os.rename("a20/b1/c1", "a21/other")
		assert os.fstat(f).st_ino == number == os.stat("a21/other").st_ino
		f = known("a22/b1/c1")
		number = os.fstat(f).st_ino
		os.rename("a22", "a20/deeper")
		assert os.fstat(f).st_ino == number
		f, g = known("a23/b0/c0"), known("a24/b0/c0")
		numbers = os.fstat(f).st_ino, os.fstat(g).st_ino
		assert libc.renameat2(-100, b"a23/b0/c0", -100, b"a24/b0/c0", 2) == 0
		assert (os.fstat(f).st_ino, os.fstat(g).st_ino) == numbers
		assert open("a23/b0/c0").read() == "24 0 0\n"
		# A second link is enough, once it was looked at.
		os.link("a25/b0/c0", "a25/second")
		f = known("a25/b0/c0")
		os.unlink("a25/b0/c0")
		os.stat("a25/second")
		assert os.fstat(f).st_nlink == 1
		# From inside: moved, removed, replaced, also by a file of the same number.
		f = known("a26/b0/c0")
		os.rename(f"{tree}/a26/b0/c0", f"{tree}/a26/b0/moved")
		assert is_stale(f)
		assert open("a26/b0/moved").read() == "26 0 0\n"
		same = 0
		for n in range(100):
		    f = known("a27/b0/c0")
		    before = os.stat(f"{tree}/a27/b0/c0").st_ino
		    os.unlink(f"{tree}/a27/b0/c0")
		    open(f"{tree}/a27/b0/c0", "w").write(f"version {n}\n")
		    same += os.stat(f"{tree}/a27/b0/c0").st_ino == before
		    assert is_stale(f)
		    assert open("a27/b0/c0").read() == f"version {n}\n"
		    os.close(f)
		f = known("a28/b0")
		os.rename(f"{tree}/a28/b0", f"{tree}/a28/away")
		os.symlink("/", f"{tree}/a28/b0")
		assert is_stale(f) and os.readlink("a28/b0") != "/"
	END
}

@test "what is open goes on without its name; files without one" {
	many
	"$PYTHON" - "$M" <<-'END'
		import os, sys
		os.chdir(sys.argv[1])
		f = os.open("a20/b0/c0", os.O_RDWR)
		os.unlink("a20/b0/c0")
		os.pwrite(f, b"still", 0)
		os.fchmod(f, 0o751)
		os.ftruncate(f, 4)
		os.setxattr(f, "user.a", b"b")
		assert os.fstat(f).st_mode == 0o100751 and os.fstat(f).st_nlink == 0 and os.fstat(f).st_size == 4
		assert os.pread(f, 9, 0) == b"stil" and os.getxattr(f, "user.a") == b"b"
		f = os.open("a20/b1/new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
		os.rename("a20/b1/new", "a20/new")
		assert os.fstat(f).st_size == 0
		f = os.open("a20", os.O_TMPFILE | os.O_RDWR, 0o640)
		os.write(f, b"text")
		here = os.open("a20", os.O_RDONLY)
		os.link(f"/proc/self/fd/{f}", "named", src_dir_fd=here, dst_dir_fd=here, follow_symlinks=True)
		assert os.stat("a20/named").st_ino == os.fstat(f).st_ino
		os.close(f)
		assert open("a20/named").read() == "text"
		d = os.open("a21/b0", os.O_RDONLY)
		assert len(os.listdir(d)) == 12
		# Directories in each other, none with a descriptor.
		path = "a22"
		for n in range(80):
		    path += "/deep"
		    os.mkdir(path)
		open(path + "/end", "w").write("found")
		os.link(path + "/end", "a22/end")
		assert open("a22/end").read() == "found" and os.stat(path + "/end").st_nlink == 2
	END
	cp /bin/true "$M/a23/true"
	"$M/a23/true"
	[ "$(descriptors)" -lt 160 ]
}

@test "directories in one another, more than a thousand: the deep ones say that descriptors run short" {
	mount_tree
	"$PYTHON" - "$TREE" "$M" <<-'END'
		import errno, os, sys
		tree, m = sys.argv[1:]
		os.chdir(tree)
		for i in range(1300):
		    os.mkdir("d")
		    os.chdir("d")
		at = os.open(m, os.O_PATH)
		depth = 0
		try:
		    while depth < 1300:
		        below = os.open("d", os.O_PATH, dir_fd=at)
		        os.close(at)
		        at, depth = below, depth + 1
		    sys.exit("all could be reached")
		except OSError as e:
		    assert e.errno == errno.ENFILE and depth > 1024, (e, depth)
	END
	same d "$(ls "$M")"
}
