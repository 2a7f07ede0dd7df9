"""still.py BOX ROOT ROUNDS HOW: what is remembered while nothing runs in a sandbox is never what was.

ROOT is the sandbox's root directory, reached past the mount. Each round looks at everything first, so that it may be
remembered, then has it changed inside, learns of that and looks again at once. HOW it learns:
  end      the change is a command, and its end tells
  crowd    the same, while other threads look at the same files all the time
  apart    a process inside changes it when told through a FIFO, and tells through another, past the mount
  behind   the same by a process that its command has left behind, so that no command runs
Says what is remembered: of what is changed by nobody inside, and not through the mount, nothing is told."""
import os
import sys
import threading

CHANGE = r'''
sub text { open(my $f, shift, shift) or die; print $f shift; close $f }
sub change {
    my ($n, $p) = @_;
    rename "old$p", "old$n" and mkdir "dir$n" and rmdir "dir$p" or die;
    text ">>", "grown", $n;
    text ">", "over.new", sprintf "number %06d", $n;
    rename "over.new", "over" or die;
    text "+<", "same", sprintf "number %06d", $n;
    truncate "cut", $n and chmod $n % 2 ? 0640 : 0600, "mode" or die;
    unlink "come/in/go", "link", "new$p";
    text ">", "come/in/go", "" if $n % 2;
    rename "come/in", "come/in$n" and rename "come/in$n", "come/in" and symlink $n, "link" or die;
    text ">", "new$n", "";
}
chdir "/workspace" or die;
if (@ARGV) { change @ARGV; exit }
open my $ask, "+<", ".ask" or die; open my $told, "+<", ".told" or die;
while (defined(my $line = <$ask>)) { my @n = split " ", $line; change @n; syswrite $told, "$n[0]\n" }
'''

box, root, rounds, how = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
top = f"{box}/fs/workspace"
past = f"{root}/workspace"


def run(text):
    with open(f"{box}/cmd", "w") as f:
        f.write(text)
    with open(f"{box}/wait") as f:
        assert f.read() == "0\n", text


def prepare():
    with open(f"{top}/.change", "w") as f:
        f.write(CHANGE)
    run("cd /workspace && mkdir dir0 come come/in && touch old0 new0 grown cut mode over same && mkfifo .ask .told")
    if how == "apart":
        os.mkdir(f"{box}/proc/server")
        with open(f"{box}/proc/server/cmd", "w") as f:
            f.write("exec perl /workspace/.change")
    if how == "behind":
        run("setsid perl /workspace/.change >/dev/null 2>&1 </dev/null &")


if how in ("apart", "behind"):
    prepare()
    ask, told = open(f"{past}/.ask", "r+b", buffering=0), open(f"{past}/.told", "r+b", buffering=0)

    def change(n):
        ask.write(b"%d %d\n" % (n, n - 1))
        said = told.readline()
        assert said == b"%d\n" % n, said
else:
    prepare()

    def change(n):
        run(f"perl /workspace/.change {n} {n - 1}")


def exists(name):
    try:
        os.stat(f"{top}/{name}")
        return True
    except FileNotFoundError:
        return False


def read(name):
    with open(f"{top}/{name}", "rb") as f:
        return f.read().decode()


class Held:
    """Descriptors that stay open: no path leads to these, so nothing is looked up."""

    def __init__(self):
        self.fd = {n: os.open(f"{top}/{n}", os.O_RDONLY) for n in ("grown", "cut", "mode", "same", "come")}
        self.path = {n: os.open(f"{top}/{n}", os.O_PATH) for n in ("grown", "mode", "come/in")}

    def look(self, n):
        size = sum(len(str(i)) for i in range(1, n + 1))
        assert os.fstat(self.fd["grown"]).st_size == size, n
        assert os.fstat(self.path["grown"]).st_size == size, n
        assert len(os.pread(self.fd["grown"], 1 << 20, 0)) == size, n
        assert os.fstat(self.fd["cut"]).st_size == n
        for fd in self.fd["mode"], self.path["mode"]:
            assert n == 0 or os.fstat(fd).st_mode & 0o777 == (0o640 if n % 2 else 0o600), n
        names = os.listdir(self.fd["come"])
        assert names == ["in"], names
        for fd in self.path["come/in"], self.fd["come"]:
            try:
                os.stat("go" if fd == self.path["come/in"] else "in/go", dir_fd=fd)
                there = True
            except FileNotFoundError:
                there = False
            assert there == (n % 2 == 1), (n, fd == self.fd["come"])


def look(n):
    for name in "old", "new", "dir":
        assert exists(f"{name}{n}") and not exists(f"{name}{n + 1}"), (n, name)
        assert n == 0 or not exists(f"{name}{n - 1}"), (n, name)
    names = set(os.listdir(top))
    assert {f"old{n}", f"new{n}", f"dir{n}"} <= names and not {f"old{n + 1}", f"new{n + 1}"} & names, (n, names)
    size = sum(len(str(i)) for i in range(1, n + 1))
    assert os.stat(f"{top}/grown").st_size == size and len(read("grown")) == size, n
    assert os.stat(f"{top}/cut").st_size == n and len(read("cut")) == n, n
    if n:
        assert read("over") == read("same") == f"number {n:06}", (n, read("over"), read("same"))
        assert os.stat(f"{top}/mode").st_mode & 0o777 == (0o640 if n % 2 else 0o600), n
        assert os.readlink(f"{top}/link") == str(n)
    assert exists("come/in/go") == (n % 2 == 1), n


def look_on():
    while not over:
        for name in "grown", "cut", "mode", "over", "same", "come/in/go", f"new{at}", f"new{at + 1}", f"old{at}":
            try:
                os.stat(f"{top}/{name}")
                with open(f"{top}/{name}", "rb") as f:
                    f.read()
            except OSError:
                pass


held = Held()
at, over = 0, False
lookers = [threading.Thread(target=look_on) for _ in range(2 if how == "crowd" else 0)]
for t in lookers:
    t.start()
try:
    for at in range(rounds):
        look(at)
        held.look(at)
        change(at + 1)
        held.look(at + 1)
        look(at + 1)
finally:
    over = True
    for t in lookers:
        t.join()

# Past the mount nobody tells. What is not remembered shows it.
if how == "end":
    size = os.fstat(held.fd["grown"]).st_size
    assert not exists("planted")
    with open(f"{past}/planted", "w") as f, open(f"{past}/grown", "a") as g:
        g.write("more")
    names, attributes = not exists("planted"), os.fstat(held.fd["grown"]).st_size == size
    print("names" if names and attributes else "attributes" if attributes else "names alone" if names else "nothing")
    run("true")
    assert exists("planted") and os.fstat(held.fd["grown"]).st_size == os.stat(f"{top}/grown").st_size == size + 4
