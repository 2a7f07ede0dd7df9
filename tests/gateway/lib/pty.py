# pty.py WIDTH HEIGHT ARGV...: runs ARGV on a terminal of its own, in the sandbox, and copies between that and stdin and
# stdout. Descriptor 3 brings new sizes as lines, "WIDTH HEIGHT". Ends as the program does, 128+N for a signal.
import fcntl, os, select, struct, sys, termios

width, height, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]


def resize(fd, width, height):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


terminal, inner = os.openpty()
resize(inner, width, height)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
    for fd in 0, 1, 2:
        os.dup2(inner, fd)
    os.closerange(3, 1024)
    try:
        os.execvp(argv[0], argv)
    except OSError as e:
        os.write(2, f"{argv[0]}: {e.strerror}\r\n".encode())
        os._exit(126 if isinstance(e, PermissionError) else 127)
os.close(inner)

sources, lines = {0, 3, terminal}, b""
while terminal in sources:
    for fd in select.select(sources, [], [])[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:  # of a terminal that nobody has open any more
            data = b""
        if not data:
            sources.discard(fd)
            if fd == 0 and terminal in sources:
                os.write(terminal, b"\x04")
        elif fd == 0:
            while data:
                data = data[os.write(terminal, data):]
        elif fd == 3:
            *whole, lines = (lines + data).split(b"\n")
            for line in whole:
                resize(terminal, *map(int, line.split()))
        else:
            while data:
                data = data[os.write(1, data):]
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(code if code >= 0 else 128 - code)
