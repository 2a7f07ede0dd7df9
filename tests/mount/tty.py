"""Terminals for tty.bats: what a program types on one, and what it waits to see there."""
import fcntl, os, pty, select, signal, struct, sys, termios, time

PATIENCE = 60  # seconds; only a failure waits so long


class Seen:
    """Everything that came from a descriptor; expect() goes on behind what it found last."""

    def __init__(self, fd):
        self.fd, self.text, self.at = fd, b"", 0

    def expect(self, what):
        end = time.monotonic() + PATIENCE
        what = what.encode()
        while what not in self.text[self.at:]:
            if time.monotonic() > end or not self.more():
                sys.exit("wanted %r, got %r" % (what, self.text[self.at:]))
        self.at = self.text.index(what, self.at) + len(what)

    def more(self):
        if not select.select([self.fd], [], [], 1)[0]:
            return True
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # a terminal whose other end is closed
            data = b""
        self.text += data
        return bool(data)

    def end(self):
        while self.more():
            pass
        return self.text.decode()

    def type(self, text):
        os.write(self.fd, text.encode())


def spawn(*argv, size=(24, 80)):
    """argv on a terminal of its own: (pid, Seen)."""
    pid, fd = pty.fork()
    if pid == 0:
        resize(0, *size)
        os.execvp(argv[0], argv)
    return pid, Seen(fd)


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_raw(fd):
    return not termios.tcgetattr(fd)[3] & termios.ICANON


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit("in vain")
        select.select([], [], [], 0.02)
