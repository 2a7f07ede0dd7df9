#!/usr/bin/env bats
# The walls, looked at from inside.

load helpers

setup() {
	prepare
	echo 'host secret' >"$T/secret"
	SECRET_IN_ENVIRONMENT=1 mount_up
	mkdir "$S" "$B"
}

# Python in the sandbox; what it prints.
inside_python() {
	jq -nc --arg text "$1" '{command: ["python3", "-c", $text]}' >"$B/cmd"
	timeout 60 cat "$B/stdout"
	cat "$B/stderr" >&2
}

@test "no network: only a loopback, and nothing of the host behind it" {
	same lo "$(echo $(inside "tail -n +3 /proc/net/dev | cut -d: -f1"))"
	"$PYTHON" -c 'import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True); time.sleep(1000)' >"$T/port" 3>&- &
	BACKGROUND+=($!)
	eventually 40 eval '[ -s "$T/port" ]'
	local address
	for address in "127.0.0.1:$(cat "$T/port")" 169.254.169.254:80 1.1.1.1:53; do
		same refused "$(inside_python "import socket
try:
    socket.create_connection(('${address%:*}', ${address#*:}), 3); print('connected')
except OSError:
    print('refused')")"
	done
}

# Connects to the abstract name, from inside of the sandbox $1.
abstract() { # SANDBOX NAME
	put "$1/cmd" "exec python3 -c 'import socket, sys
try: print(socket.socket(socket.AF_UNIX).connect(chr(0) + sys.argv[1]))
except OSError as e: print(e.errno)' $2"
	timeout 60 cat "$1/stdout"
}

@test "with the host's network: its sockets with abstract names are out of reach, their own are not" {
	local version
	version=$("$PYTHON" -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1))')
	((version >= 6)) || skip "Landlock of this kernel has no scopes"
	mkdir "$S/net"
	put "$S/net/config/network" host
	background "$PYTHON" -c "import socket, time
s = socket.socket(socket.AF_UNIX); s.bind('\\0$T'); s.listen(); print(flush=True); time.sleep(600)"
	eventually 20 grep -q "@$T\$" /proc/net/unix
	same 1 "$(abstract "$S/net" "$T")"
	mkdir "$S/net/proc/server"
	put "$S/net/proc/server/cmd" "exec python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX); s.bind(chr(0) + \"$T-in\"); s.listen(); time.sleep(600)'"
	eventually 20 grep -q "@$T-in\$" /proc/net/unix
	same None "$(abstract "$S/net" "$T-in")"
}

@test "namespaces of its own, every one" {
	local ns
	for ns in cgroup ipc mnt net pid user uts; do
		[ "$(inside "readlink /proc/self/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
	done
	[ "$(inside 'cat /proc/sys/kernel/hostname')" != "$(hostname)" ]
}

@test "no capability, no new privileges, a seccomp filter" {
	same '0000000000000000' "$(inside "sed -n 's/^Cap[A-Za-z]*:.//p' /proc/self/status | sort -u")"
	same 1 "$(inside "sed -n 's/^NoNewPrivs:.//p' /proc/self/status")"
	same 2 "$(inside "sed -n 's/^Seccomp:.//p' /proc/self/status")"
}

@test "sees its own processes alone, and cannot kill the agent" {
	[ "$(inside 'ls -d /proc/[0-9]* | wc -l')" -lt 10 ]
	same '' "$(inside "grep -l '[b]ats' /proc/[0-9]*/cmdline 2>/dev/null")"
	inside 'kill -KILL 1; kill -TERM 1; kill -STOP 1; :' >/dev/null
	same alive "$(inside 'echo alive')"
}

@test "cannot reach into the agent: memory, descriptors, tracing" {
	same '' "$(inside 'cat /proc/1/environ' 2>/dev/null | grep -a SECRET || true)"
	inside 'head -c 1 /proc/1/mem; ls /proc/1/fd' | grep -q 'denied'
}

@test "host files are not there: no homes, no shadow, nothing of this test" {
	same '' "$(inside 'ls -A /home /root 2>&1' | grep -v -e '^/' -e '^$' || true)"
	inside "cat $T/secret" | grep -q 'No such file'
	inside 'cat /etc/shadow' | grep -qE 'No such file|denied'
	same '' "$(inside 'cat /proc/self/mountinfo' | grep -F "$T/mnt" || true)"
	inside 'ls /boot /mnt /srv /media /run/docker.sock' | grep -q 'No such file'
}

@test "a clean environment" {
	inside env >"$T/env"
	not grep -q SECRET "$T/env"
	not grep -q BATS "$T/env"
	grep -q '^PATH=.*/usr/bin' "$T/env"
	grep -q '^HOME=/' "$T/env"
}

@test "no descriptor comes in but 0, 1 and 2" {
	same '0 1 2 3' "$(echo $(inside 'ls /proc/self/fd'))"
}

@test "/workspace is the cwd; /tmp /var /home /root /workspace are its own, /usr is read-only, nothing reaches the host's" {
	same /workspace "$(inside pwd)"
	local d
	for d in /tmp /var /home /root /workspace; do
		same yes "$(inside "echo yes >$d/x && cat $d/x")"
	done
	for d in /usr /usr/bin /bin /lib; do
		inside "touch $d/x" | grep -qE 'Read-only|denied'
		[ ! -e "$d/x" ]
	done
	inside 'touch /etc/x; echo evil >>/etc/passwd; echo evil >>/etc/hosts; rm -f /etc/group' >/dev/null
	[ ! -e /etc/x ] && [ -e /etc/group ]
	not grep evil /etc/passwd /etc/hosts
	[ ! -e /workspace/x ]
	[ ! -e /root/x ]
}

@test "own /proc and /dev: no disks, no kernel settings" {
	same 'yes' "$(inside '[ -c /dev/null ] && [ -c /dev/urandom ] && echo yes')"
	same '' "$(inside 'find /dev -type b')"
	inside 'head -c 1 /dev/kmsg /dev/mem /dev/fuse' | grep -q 'No such file'
	# Opened, never written.
	same '0' "$(inside_python "
import os
count = 0
for top in '/proc/sys', '/sys', '/proc/acpi', '/proc/bus', '/proc/irq', '/proc/fs':
    for where, _, files in os.walk(top):
        for name in files:
            try:
                os.close(os.open(os.path.join(where, name), os.O_WRONLY | os.O_NONBLOCK)); count += 1
                print(os.path.join(where, name))
            except OSError:
                pass
print(count)")"
	inside_python "
import os
for name in 'sysrq-trigger', 'kcore', 'kmsg', 'kallsyms':
    try:
        os.close(os.open('/proc/' + name, os.O_WRONLY)); print('writable', name)
    except OSError:
        pass" | { ! grep writable; }
}

@test "mounting, namespaces, device nodes and the kernel's sharp tools are refused" {
	local line
	for line in 'mount -t tmpfs x /tmp' 'umount /proc' 'unshare -U true' 'unshare -m true' 'nsenter -t 1 -m true' \
		'mknod /tmp/null c 1 3' 'chroot / true' 'mount --bind /usr /tmp' 'hostname evil'; do
		same "$line: refused" "$line: $(inside "$line >/dev/null 2>&1 && echo done || echo refused")"
	done
	[ "$(uname -m)" = x86_64 ] || return 0
	# add_key keyctl bpf perf_event_open userfaultfd io_uring_setup kexec_load init_module open_by_handle_at
	# setns mount clone(NEWUSER) unshare(NEWUSER) ptrace(ATTACH 1)
	same '' "$(inside_python "
import ctypes
c = ctypes.CDLL(None, use_errno=True)
calls = {'add_key': (248, 0, 0, 0, 0, 0), 'keyctl': (250, 0, -3, 1, 0, 0), 'bpf': (321, 5, 0, 0), 'perf': (298, 0, 0, -1, -1, 0),
    'userfaultfd': (323, 0), 'io_uring': (425, 8, 0), 'kexec': (246, 0, 0, 0, 0), 'init_module': (175, 0, 0, 0),
    'handle': (304, -1, 0, 0), 'setns': (308, 0, 0), 'mount': (165, 0, 0, 0, 0, 0), 'unshare': (272, 0x10000000),
    'ptrace': (101, 16, 1, 0, 0), 'new mount': (428, -1, 0, 0), 'fsopen': (430, 0, 0)}
for name, args in calls.items():
    c.syscall.restype = ctypes.c_long
    result = c.syscall(*[ctypes.c_long(a) for a in args])
    if result != -1 or ctypes.get_errno() not in (1, 38):
        print(name, result, ctypes.get_errno())")"
}

@test "a terminal of the host cannot be typed into (TIOCSTI, TIOCLINUX)" {
	same 'EPERM EPERM' "$(inside_python "
import errno, fcntl, os, pty
master, slave = os.openpty()
words = []
for request in 0x5412, 0x541C:
    try:
        fcntl.ioctl(slave, request, b'x'); words.append('done')
    except OSError as e:
        words.append(errno.errorcode[e.errno])
print(*words)")"
}

@test "set-uid bits give nothing" {
	inside 'cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id; /tmp/id -u' >"$T/uid"
	same "$(inside 'id -u')" "$(tail -n 1 "$T/uid")"
	same 1 "$(inside "sed -n 's/^NoNewPrivs:.//p' /proc/self/status")"
}

@test "two sandboxes share nothing" {
	mkdir "$S/two"
	inside 'echo mine >/workspace/x; echo mine >/tmp/x; sleep 1000 >/dev/null 2>&1 &' >/dev/null
	put "$S/two/cmd" 'ls /workspace /tmp; grep -lx sleep /proc/[0-9]*/comm; ls /dev/shm'
	cat "$S/two/stdout" >"$T/seen"
	not grep -E '^x$|comm' "$T/seen"
}

@test "the host's own directories of the state are its owner's alone" {
	inside : >/dev/null
	same '' "$(find "$STATE" -mindepth 1 -maxdepth 1 -perm /077 ! -type l ! -type s)"
}

@test "aviatofs never falls back to running without a sandbox" {
	[ "$(inside 'readlink /proc/self/ns/pid')" != "$(readlink /proc/self/ns/pid)" ]
	[ "$(inside 'readlink /proc/self/ns/mnt')" != "$(readlink /proc/self/ns/mnt)" ]
}

@test "a compiler of the host's /usr works inside" {
	command -v cc || skip "no cc here"
	inside "printf '%s\n' '#include <stdio.h>' 'int main(void) { puts(\"compiled\"); return 42; }' >a.c && cc a.c -o a && ./a; echo \$?" >"$T/out"
	same $'compiled\n42' "$(cat "$T/out")"
}
