# Makes pipes: for each line, N, prints N pairs of descriptors, which whoever can see /proc/PID/fd opens; the next line
# closes them and asks for more.
import os, sys

pipes = []
for line in sys.stdin:
    for fd in pipes:
        os.close(fd)
    pipes = [fd for _ in range(int(line)) for fd in os.pipe()]
    print(*pipes, flush=True)
