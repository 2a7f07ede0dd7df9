"""commit-stress.py BOX COUNT: the part for Python."""
import os
import sys

box, count = sys.argv[1], int(sys.argv[2])


def by_open(text):
    with open(box + "/cmd", "w") as f:
        f.write(text)


def by_lines(text):
    with open(box + "/cmd", "w", buffering=1) as f:
        for line in text.splitlines(keepends=True):
            f.write(line)


def by_bytes(text):
    fd = os.open(box + "/cmd", os.O_WRONLY)
    for byte in text.encode():
        os.write(fd, bytes([byte]))
    os.close(fd)


def by_dup(text):
    fd = os.open(box + "/cmd", os.O_WRONLY)
    other = os.dup(fd)
    os.close(fd)
    os.write(other, text.encode())
    os.close(other)


ways = (by_open, by_lines, by_bytes, by_dup)
for n in range(count):
    ways[n % len(ways)](f"echo answer\necho {n}\n")
    with open(box + "/stdout") as f:
        got = f.read()
    print("right" if got == f"answer\n{n}\n" else f"python {ways[n % len(ways)].__name__} {n}: {got!r}")
