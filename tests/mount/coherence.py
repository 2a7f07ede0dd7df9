"""coherence.py BOX ROUNDS: one process in the sandbox and this one outside change the same files by turns,
and each looks at once at what the other did. Nothing waits: what write(2), or a line of output, has told must
be there to be seen."""
import hashlib
import mmap
import os
import random
import sys

PEER = r'''
import hashlib, os, sys
os.chdir("/workspace")
def write(name, data, how):
    if how == "over":
        with open(name + ".new", "wb") as f: f.write(data)
        os.rename(name + ".new", name)
    elif how == "in place":
        fd = os.open(name, os.O_WRONLY | os.O_CREAT); os.pwrite(fd, data, 0); os.ftruncate(fd, len(data)); os.close(fd)
    else:
        with open(name, "wb") as f: f.write(data)
for line in sys.stdin:
    verb, *args = line.rstrip("\n").split("\t")
    if verb == "write": write(args[0], os.urandom(8).hex().encode() * int(args[1]), args[2])
    if verb == "append":
        with open(args[0], "ab") as f: f.write(args[1].encode())
    if verb == "remove": os.unlink(args[0])
    if verb == "move": os.rename(args[0], args[1])
    if verb == "mkdir": os.mkdir(args[0])
    if verb == "rmdir": os.rmdir(args[0])
    if verb == "mode": os.chmod(args[0], int(args[1], 8))
    try:
        with open(args[0], "rb") as f: data = f.read()
        print(len(data), hashlib.sha1(data).hexdigest(), os.stat(args[0]).st_mtime_ns, flush=True)
    except OSError as e:
        print("none", e.errno, "-", flush=True)
'''


class Peer:
    def __init__(self, box):
        os.mkdir(f"{box}/proc/peer")
        with open(f"{box}/fs/workspace/.peer.py", "w") as f:
            f.write(PEER)
        with open(f"{box}/proc/peer/cmd", "w") as f:
            f.write('{"command": ["python3", "-u", "/workspace/.peer.py"], "stdin": true}')
        self.input = open(f"{box}/proc/peer/stdin", "w", buffering=1)
        self.output = open(f"{box}/proc/peer/stdout")

    def does(self, *words):
        self.input.write("\t".join(str(w) for w in words) + "\n")
        return self.output.readline().split()


def look(path):
    with open(path, "rb") as f:
        data = f.read()
    return [str(len(data)), hashlib.sha1(data).hexdigest(), str(os.stat(path).st_mtime_ns)]


def inside_changes(peer, top, n, rng):
    name = f"{top}/a"
    size = rng.choice([0, 1, 7, 300, 20000])
    if os.path.exists(name):
        look(name)
    said = peer.does("write", "a", size, rng.choice(["over", "in place", "truncated"]))
    assert look(name) == said, (n, look(name), said)
    assert str(os.stat(name).st_size) == said[0]
    said = peer.does("append", "a", "x" * rng.choice([1, 5000]))
    assert str(os.stat(name).st_size) == said[0], (n, "size after an append")
    assert look(name) == said, (n, "append")
    peer.does("mode", "a", "600" if n % 2 else "644")
    assert os.stat(name).st_mode & 0o777 == (0o600 if n % 2 else 0o644), (n, "mode")


def inside_names(peer, top, n):
    assert not os.path.exists(f"{top}/b{n}")  # now known to be absent
    peer.does("write", f"b{n}", 1, "truncated")
    assert os.path.exists(f"{top}/b{n}"), (n, "negative entry")
    assert f"b{n}" in os.listdir(top)
    peer.does("move", f"b{n}", f"c{n}")
    names = os.listdir(top)
    assert f"b{n}" not in names and f"c{n}" in names, (n, names)
    assert not os.path.exists(f"{top}/b{n}")
    peer.does("remove", f"c{n}")
    assert not os.path.exists(f"{top}/c{n}"), (n, "removed")
    peer.does("mkdir", f"d{n}")
    links = os.stat(top).st_nlink
    with open(f"{top}/d{n}/f", "w") as f:
        f.write(str(n))
    os.unlink(f"{top}/d{n}/f")
    peer.does("rmdir", f"d{n}")
    assert not os.path.isdir(f"{top}/d{n}") and os.stat(top).st_nlink in (links - 1, 1, 2), (n, "rmdir")


def outside_changes(peer, top, n, rng):
    name = f"{top}/o"
    data = os.urandom(16) * rng.choice([0, 1, 500, 9000])
    want = [str(len(data)), hashlib.sha1(data).hexdigest()]
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    while data:
        data = data[os.write(fd, data):]
    got = peer.does("look", "o")  # not closed, not synced
    assert got[:2] == want, (n, got, want)
    peer.does("append", "o", "tail")
    size = int(want[0])
    # Where the kernel asks for the size at the moment it is told of the change, one read may miss it.
    assert any(os.pread(fd, 10, size) == b"tail" for _ in range(50)), (n, "an open file grew inside")
    assert os.fstat(fd).st_size == size + 4
    os.close(fd)
    os.rename(name, f"{top}/p")
    assert peer.does("look", "o")[0] == "none"
    assert peer.does("look", "p")[0] == str(size + 4)
    os.unlink(f"{top}/p")
    assert peer.does("look", "p")[0] == "none"


def open_reader(peer, top, n):
    """Who has a file open, or mapped, sees later bytes too, at the latest when it is opened once more."""
    name = f"{top}/r"
    peer.does("write", "r", 600, "truncated")
    with open(name, "rb", buffering=0) as f, mmap.mmap(f.fileno(), 4096, prot=mmap.PROT_READ) as m:
        before = f.read()
        assert m[:4096] == before[:4096]
        peer.does("write", "r", 600, "in place")
        with open(name, "rb") as again:
            now = again.read()
        assert now != before
        f.seek(0)
        assert f.read() == now, (n, "an open file")
        assert m[:4096] == now[:4096], (n, "a mapping")


box, rounds = sys.argv[1], int(sys.argv[2])
rng = random.Random(1)
peer = Peer(box)
top = f"{box}/fs/workspace"
for n in range(rounds):
    inside_changes(peer, top, n, rng)
    inside_names(peer, top, n)
    outside_changes(peer, top, n, rng)
    if n % 10 == 0:
        open_reader(peer, top, n)
peer.input.close()
