# files.py ROOT read PATH MAX | write PATH | "make parents" PATH: below another root, with the exit codes of files.js.
import errno
import os
import sys

NOT_FOUND, IS_DIRECTORY, DENIED, TOO_LARGE = 2, 3, 4, 5
CODES = {errno.ENOENT: NOT_FOUND, errno.ENOTDIR: NOT_FOUND, errno.EISDIR: IS_DIRECTORY,
         errno.EACCES: DENIED, errno.EPERM: DENIED, errno.EROFS: DENIED}


def read(path, most):
    with open(path, "rb") as file:
        data = file.read(most + 1)
        if len(data) > most:
            sys.stderr.write(str(max(os.fstat(file.fileno()).st_size, len(data))))
            sys.exit(TOO_LARGE)
    sys.stdout.buffer.write(data)


def write(path):
    data = sys.stdin.buffer.read()
    with open(path, "wb") as file:
        file.write(data)


def main(root, operation, path, *most):
    os.chroot(root)
    os.chdir("/")
    try:
        if operation == "read":
            read(path, int(most[0]))
        elif operation == "write":
            write(path)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as e:
        sys.stderr.write(os.strerror(e.errno))
        sys.exit(CODES.get(e.errno, 1))


main(*sys.argv[1:])
