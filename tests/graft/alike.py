"""
alike.py PLAIN MOUNTED STEPS [SEED]: does the same at random in two directories, one of them on a disk, and ends at
the first step whose outcomes differ: results, errors, attributes, contents, what open files say.
"""
import ctypes
import fcntl
import mmap
import os
import random
import stat
import struct
import sys

plain, mounted, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 30)
rng = random.Random(seed)
libc = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH, ZERO = 1, 2, 16  # FUSE has no others
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
NAMES = ["a", "b", "c", "d", "e" * 255, "f" * 256, b"\xff\xfe\n".decode(errors="surrogateescape"), ".", ".."]
NAMES_USED = NAMES[:4] * 4 + NAMES


class Side:
    def __init__(self, top):
        self.files = {}
        # Deep enough for all ".." of a path.
        os.makedirs(top + "/1/2/3")
        self.dir = os.open(top + "/1/2/3", os.O_RDONLY)


sides = [Side(plain), Side(mounted)]


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def path():
    return "/".join(rng.choice(NAMES_USED) for _ in range(rng.choice([1, 1, 1, 2, 2, 3])))


def shown(st):
    kind = stat.S_IFMT(st.st_mode)
    size = st.st_size if kind in (stat.S_IFREG, stat.S_IFLNK) else 0
    # Hard links of a symlink are shown as one each, on purpose.
    return oct(st.st_mode), 1 if kind == stat.S_IFLNK else st.st_nlink, st.st_uid, st.st_gid, size


# Each gives a function of a side; what is drawn is drawn once for both.

def do_open():
    p, key = path(), rng.randrange(6)
    flags = rng.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR])
    for flag in os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_NOFOLLOW, os.O_DIRECTORY:
        flags |= flag if rng.random() < 0.25 else 0
    mode = rng.choice([0o600, 0o666, 0o444, 0o755])

    def run(s):
        f = os.open(p, flags | os.O_NONBLOCK, mode, dir_fd=s.dir)
        said = shown(os.fstat(f))
        if stat.S_ISFIFO(os.fstat(f).st_mode):
            os.close(f)  # over the channel, one that has lost its name is nobody's
            return said
        if key in s.files:
            os.close(s.files[key])
        s.files[key] = f
        return said
    return run


def with_file(what):
    def choose():
        key, act = rng.randrange(6), what()

        def run(s):
            return act(s.files[key], s) if key in s.files else None
        return run
    return choose


def at():
    return rng.choice([0, 1, 100, 4095, 4096, 5000, 70000, (5 << 30) + 3])


def is_file(f):
    return stat.S_ISREG(os.fstat(f).st_mode)


def length():
    return rng.choice([0, 1, 100, 4096, 10000, 150000])


@with_file
def do_write():
    data, where = rng.randbytes(length()), rng.choice([None, at()])
    return lambda f, s: os.write(f, data) if where is None else os.pwrite(f, data, where)


@with_file
def do_read():
    size, where = length(), rng.choice([None, at()])
    return lambda f, s: os.read(f, size) if where is None else os.pread(f, size, where)


@with_file
def do_seek():
    where, whence = at(), rng.choice([os.SEEK_SET, os.SEEK_END, os.SEEK_CUR, os.SEEK_SET])
    return lambda f, s: is_file(f) and os.lseek(f, where, whence)  # in a directory it is anything


@with_file
def do_ftruncate():
    size = at()
    return lambda f, s: os.ftruncate(f, size)


@with_file
def do_fallocate():
    mode = rng.choice([0, KEEP_SIZE, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE, PUNCH])
    where, size = rng.choice([0, 4096, 8192, 100]), rng.choice([0, 4096, 8192, 100])

    def run(f, s):
        return checked(libc.fallocate(f, mode, ctypes.c_long(where), ctypes.c_long(size)))
    return run


@with_file
def do_copy():
    to, size = rng.randrange(6), length()
    start, end = rng.choice([0, 1, 4096, 200000]), rng.choice([0, 1, 8192, 400000])
    return lambda f, s: os.copy_file_range(f, s.files[to], size, start, end) if to in s.files else None


@with_file
def do_sync():
    return rng.choice([lambda f, s: os.fsync(f), lambda f, s: os.fdatasync(f)])


@with_file
def do_fchmod():
    mode = rng.choice([0o600, 0o640, 0o777])
    return lambda f, s: os.fchmod(f, mode)


@with_file
def do_map():
    text, shared = rng.randbytes(50), rng.random() < 0.7

    def run(f, s):
        if not is_file(f) or not 100 <= os.fstat(f).st_size < 1 << 20:
            return None
        with mmap.mmap(f, 0, mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE) as m:
            m[10:60] = text
            return m[:100]
    return run


@with_file
def do_lock():
    how = rng.choice([fcntl.LOCK_SH | fcntl.LOCK_NB, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN])
    call, kind = rng.choice(["flock", "lockf", "ofd"]), rng.choice([fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK])

    def run(f, s):
        if call == "ofd":
            fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, 0, 0, 100, 0))
        else:
            getattr(fcntl, call)(f, how)
    return run


@with_file
def do_name():
    p = path()
    # Of a file that has no name any more that is not to be had.
    return lambda f, s: os.fstat(f).st_nlink and os.link(f"/proc/self/fd/{f}", p, src_dir_fd=s.dir, dst_dir_fd=s.dir,
                                                         follow_symlinks=True)


def on_names(name, *more):
    def choose():
        a, b, rest = path(), path(), [m() for m in more]
        return lambda s: NAMED[name](s, a, b, *rest)
    return choose


def rename(s, a, b, flags):
    return checked(libc.renameat2(s.dir, os.fsencode(a), s.dir, os.fsencode(b), flags))


def with_path(act):
    # By a path of /proc: there are no calls of these with directories' descriptors.
    return lambda s, a, b, *rest: act(f"/proc/self/fd/{s.dir}/{a}", *rest)


def times(s, a, b, at, how):
    os.utime(a, ns=at, dir_fd=s.dir, follow_symlinks=how)
    st = os.stat(a, dir_fd=s.dir, follow_symlinks=how)
    return st.st_mtime_ns


def look(s, a, b, follow):
    return shown(os.stat(a, dir_fd=s.dir, follow_symlinks=follow))


def names_in(s, a, b):
    f = os.open(a, os.O_RDONLY | os.O_DIRECTORY, dir_fd=s.dir)
    try:
        return sorted((os.fsencode(e.name), e.is_dir(follow_symlinks=False), e.is_symlink()) for e in os.scandir(f))
    finally:
        os.close(f)


NAMED = {
    "mkdir": lambda s, a, b, mode: os.mkdir(a, mode, dir_fd=s.dir),
    "fifo": lambda s, a, b: os.mkfifo(a, dir_fd=s.dir),
    "unlink": lambda s, a, b: os.unlink(a, dir_fd=s.dir),
    "rmdir": lambda s, a, b: os.rmdir(a, dir_fd=s.dir),
    "rename": rename,
    "link": lambda s, a, b, follow: os.link(a, b, src_dir_fd=s.dir, dst_dir_fd=s.dir, follow_symlinks=follow),
    "symlink": lambda s, a, b: os.symlink(rng_target(a), b, dir_fd=s.dir),
    "readlink": lambda s, a, b: os.readlink(a, dir_fd=s.dir),
    "stat": look,
    "chmod": lambda s, a, b, mode: os.chmod(a, mode, dir_fd=s.dir),
    "times": times,
    "truncate": with_path(os.truncate),
    "list": names_in,
    "set": with_path(lambda p, name, value, how: os.setxattr(p, name, value, how)),
    "get": with_path(lambda p: sorted((n, os.getxattr(p, n)) for n in os.listxattr(p) if n.startswith("user."))),
    "drop": with_path(os.removexattr),
    "statvfs": lambda s, a, b: None,
}


def rng_target(name):
    return name.split("/")[-1]  # one that means the same in both, wherever it is


def sometimes():
    return rng.random() < 0.5


def key():
    return rng.choice(["user.a", "user.b", "user." + "n" * 250, "bad"])


KINDS = [
    do_open, do_open, do_open, do_write, do_write, do_read, do_read, do_seek, do_ftruncate, do_fallocate, do_copy,
    do_sync, do_fchmod, do_map, do_lock, do_name,
    on_names("mkdir", lambda: rng.choice([0o755, 0o700, 0o1777])), on_names("mkdir", lambda: 0o755), on_names("fifo"),
    on_names("unlink"), on_names("unlink"), on_names("rmdir"),
    on_names("rename", lambda: rng.choice([0, 0, 0, NOREPLACE, EXCHANGE, NOREPLACE | EXCHANGE])),
    on_names("rename", lambda: 0), on_names("link", sometimes), on_names("symlink"), on_names("readlink"),
    on_names("stat", sometimes), on_names("stat", sometimes), on_names("list"),
    on_names("chmod", lambda: rng.choice([0o600, 0o4755, 0o1777, 0o755])),
    on_names("times", lambda: (rng.randrange(1 << 61), rng.randrange(1 << 61)), sometimes),
    on_names("truncate", at), on_names("drop", key), on_names("get"),
    on_names("set", key, lambda: rng.randbytes(rng.choice([0, 10, 3000])), lambda: rng.choice([0, 0, 1, 2])),
]


def outcome(act, s):
    try:
        return act(s)
    except OSError as e:
        return os.strerror(e.errno)


def tree(s):
    found = []
    for at, dirs, files, fd in os.fwalk(".", dir_fd=s.dir, onerror=lambda e: found.append((e.filename, e.errno))):
        for name in dirs + files:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            content = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(st.st_mode) else None
            if stat.S_ISREG(st.st_mode) and st.st_size < 1 << 21:
                f = os.open(name, os.O_RDONLY, dir_fd=fd)
                content = os.read(f, 1 << 21)
                os.close(f)
            found.append((at, name, shown(st), content))
    return sorted(found, key=repr)


def brief(value):
    return repr(value)[:600]


os.umask(0o022)
for n in range(steps):
    kind = rng.choice(KINDS)
    act = kind()
    got = [outcome(act, s) for s in sides]
    if got[0] != got[1]:
        what = [c.cell_contents for c in act.__closure__ or ()]
        sys.exit(f"seed {seed}, step {n}: {kind.__qualname__} {brief(what)}\n  disk: {brief(got[0])}\n  fs/:  {brief(got[1])}")
    if n % 500 == 499 or n == steps - 1:
        trees = [tree(s) for s in sides]
        if trees[0] != trees[1]:
            only = [[e for e in trees[i] if e not in trees[1 - i]] for i in (0, 1)]
            sys.exit(f"seed {seed}, after step {n}\n  disk: {brief(only[0])}\n  fs/:  {brief(only[1])}")
