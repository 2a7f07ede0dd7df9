#!/usr/bin/env bats
# Listing directories that are large, and that somebody inside changes all the while.

load helpers

# Where so many files are made in no time; posix.bats does the same to fewer, on a disk.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm

# On the stack of each test below: reads getdents64(2) by itself, with a buffer that holds few entries.
export GETDENTS='
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def entries(fd, size):
    """(position behind it, name), until the end"""
    buffer = ctypes.create_string_buffer(size)
    while True:
        n = libc.syscall(217 if os.uname().machine == "x86_64" else 61, fd, buffer, size)
        if n < 0: raise OSError(ctypes.get_errno(), "getdents64")
        if n == 0: return
        at = 0
        while at < n:
            _, position, length = struct.unpack_from("QqH", buffer.raw, at)
            yield position, buffer.raw[at + 19:at + length].split(b"\0")[0].decode()
            at += length
'

@test "100,000 entries: listed while half of them goes and others come; positions stay good meanwhile" {
	mkdir "$TREE/d"
	timeout 200 "$PYTHON" - "$TREE/d" "$M/d" <<-'END'
		import os, random, sys, threading
		exec(os.environ["GETDENTS"])
		inside, outside = sys.argv[1:]
		stay = {f"stay{i}" for i in range(50000)}
		here = os.open(inside, os.O_RDONLY)
		def make(name): os.mknod(name, 0o10600, dir_fd=here)
		for name in stay: make(name)
		for i in range(50000): make(f"go{i}")
		assert len(os.listdir(outside)) == 100000
		def change():
		    for i in range(50000):
		        os.unlink(f"go{i}", dir_fd=here)
		        if i % 5 == 0: make(f"come{i}")
		changer = threading.Thread(target=change)
		changer.start()
		rng, rounds = random.Random(1), 0
		while rounds < 2:
		    d = os.open(outside, os.O_RDONLY)
		    seen, at = [], []
		    for position, name in entries(d, 4096 if rounds % 2 else 1 << 16):
		        seen.append(name); at.append(position)
		    kept = [n for n in seen if n in stay]
		    assert len(kept) == len(stay) and set(kept) == stay, (rounds, len(kept), len(set(kept)))
		    # From anywhere in it the rest is the same again, as far as it stays.
		    k = rng.randrange(len(at) - 1)
		    os.lseek(d, at[k], os.SEEK_SET)
		    again = [n for _, n in entries(d, 1 << 16) if n in stay]
		    assert again == [n for n in seen[k + 1:] if n in stay], (rounds, k)
		    os.close(d)
		    rounds += 1
		changer.join()
		assert len([n for n in os.listdir(outside)]) == 60000
	END
}

@test "a directory that changes for ever has an end for who lists it, walks it or removes it" {
	mkdir "$TREE/d"
	seq 500 | sed "s|.*|$TREE/d/stay&|" | xargs touch
	timeout 100 "$PYTHON" - "$TREE/d" <<-'END' 3>&- &
		import os, sys
		os.chdir(sys.argv[1])
		n = 0
		while os.path.exists("../d/stay1"):
		    open(f"new{n}", "w").close()
		    if n >= 3000: os.unlink(f"new{n - 3000}")
		    n += 1
	END
	BACKGROUND=$!
	local i
	for i in {1..4}; do
		same 500 "$(timeout 20 ls -f "$M/d" | grep -c '^stay')"
		same 500 "$(timeout 20 find "$M/d" -ignore_readdir_race -name 'stay*' -size 0 | wc -l)"
	done
	timeout 20 rm -rf "$M/d" || true # it is never empty
	same 0 "$(timeout 20 ls -f "$M/d" | grep -c '^stay' || true)"
	wait "$BACKGROUND" || true
}
