/* What a program inside can and cannot do; part of local_sandbox.c. */
#pragma once

static void test_isolation(void **state)
{
	struct sandbox *s = plain();

	(void)state;
	expect(s, "id -u; id -g; id -G", "0\n0\n0\n");
	expect(s, "grep -h ^Cap /proc/self/status | tr -s '\\t' ' ' | cut -d' ' -f2 | sort -u",
	       "0000000000000000\n");
	expect(s, "grep -h '^NoNewPrivs\\|^Seccomp:' /proc/self/status | tr -d '\\t'",
	       "NoNewPrivs:1\nSeccomp:2\n");
	expect(s, "awk '{print $1, $3}' /proc/self/uid_map /proc/self/gid_map", "0 1\n0 1\n");
	expect(s, "ls /proc | grep -c '^[0-9]*$' | awk '{print ($1 < 10)}'", "1\n");
	expect(s, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", "lo\n");
	expect(s,
	       "env | grep -v "
	       "'^\\(PATH\\|HOME\\|USER\\|LOGNAME\\|SHELL\\|LANG\\|TERM\\|PWD\\|_\\|OLDPWD\\)='; true",
	       "");
	expect(s, "ls /proc/self/fd | wc -l", "4\n"); /* 0, 1, 2 and ls's own */
	expect(s, "pwd; umask", "/\n0022\n");
	/* Users of the host, its keys, its temporary files: not there. */
	refuse(s, "ls /etc/shadow || ls /etc/ssl/private || ls /etc/ssh || ls /boot || ls /sys");
	expect(s, "cut -d: -f1 /etc/passwd", "root\nnobody\n");
	expect(s, "ls /tmp /home /root /var/tmp /workspace | grep -v : | grep .; true", "");
	refuse(s, "echo x > /usr/bin/aviatofs-test");
	refuse(s, "echo x >> /etc/ssl/certs/aviatofs-test");
	refuse(s, "cat /proc/1/environ || readlink /proc/1/root || cat /proc/1/fd/* || ls /proc/1/fd/8/");
	box_end(backend, s);
}

static void test_setuid_has_no_effect(void **state)
{
	struct sandbox *s = plain();

	(void)state;
	expect(s, "cp /usr/bin/id /workspace/id && chmod 4755 /workspace/id && /workspace/id -u", "0\n");
	refuse(s, "chown 65534 /workspace/id");
	refuse(s, "mknod /workspace/null c 1 3 && cat /workspace/null");
	box_end(backend, s);
}

/* All of /proc that is not about a process: opened for writing, nothing written. */
static void test_proc_is_not_writable(void **state)
{
	static const char probe[] = "find /proc -mindepth 1 -maxdepth 1 ! -name '[0-9]*' ! -type l -print0 |"
				    " xargs -0 -I{} find {} -type f -print0 2>/dev/null |"
				    " perl -0ne 'chomp; use Fcntl; if (sysopen(my $f, $_, O_WRONLY | "
				    "O_NONBLOCK)) { print \"$_\\n\" }'";
	struct sandbox *s = plain();

	(void)state;
	expect(s, "find /proc/sys -type f | wc -l | awk '{print ($1 > 100)}'", "1\n");
	expect(s, probe, "");
	refuse(s, "cat /proc/keys");
	refuse(s, "dd if=/proc/kcore of=/dev/null bs=1 count=1");
	expect(s, "test ! -d /proc/acpi || ls /proc/acpi", "");
	expect(s, "head -c 3 /proc/meminfo", "Mem");
	box_end(backend, s);
}

static void test_filter(void **state)
{
	static const struct {
		const char *call, *wanted;
	} calls[] = {
	    {"libc.unshare(0x10000000)", "1"}, /* CLONE_NEWUSER: EPERM */
	    {"libc.syscall(165, b'x', b'/mnt', b'tmpfs', 0, 0)", "1"},
	    {"libc.syscall(155, b'/', b'/')", "1"},	       /* pivot_root */
	    {"libc.syscall(428, -100, b'/', 1)", "1"},	       /* open_tree */
	    {"libc.syscall(430, b'tmpfs', 0)", "1"},	       /* fsopen */
	    {"libc.syscall(250, 0, 0)", "1"},		       /* keyctl */
	    {"libc.syscall(321, 0, 0, 0)", "1"},	       /* bpf */
	    {"libc.syscall(298, 0, 0, -1, -1, 0)", "1"},       /* perf_event_open */
	    {"libc.syscall(323, 0)", "1"},		       /* userfaultfd */
	    {"libc.syscall(425, 1, 0)", "1"},		       /* io_uring_setup */
	    {"libc.syscall(435, 0, 0)", "38"},		       /* clone3: ENOSYS */
	    {"libc.syscall(56, 0x10000011, 0, 0, 0, 0)", "1"}, /* clone with CLONE_NEWUSER */
	    {"libc.syscall(41, 40, 1, 0)", "97"},	       /* AF_VSOCK */
	    {"libc.syscall(41, ctypes.c_long((1 << 32) + 40), 1, 0)", "97"},
	    {"libc.syscall(41, 38, 5, 0)", "97"},	/* AF_ALG */
	    {"libc.syscall(16, 0, 0x5412, b'x')", "1"}, /* TIOCSTI */
	    {"libc.syscall(16, 0, ctypes.c_long((1 << 32) + 0x5412), b'x')", "1"},
	    {"libc.syscall(135, 0x0400000)", "1"}, /* READ_IMPLIES_EXEC */
	    {"libc.syscall(135, ctypes.c_long(0x80400000))", "1"},
	    {"libc.syscall(304, -1, 0, 0)", "1"}, /* open_by_handle_at */
	    {"libc.syscall(103, 3, 0, 0)", "1"},  /* syslog */
	};
	struct sandbox *s = plain();
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		snprintf(text, sizeof text,
			 "/usr/bin/python3 -c \"import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
			 "r = %s; print(ctypes.get_errno() if r == -1 else 'allowed')\"",
			 calls[i].call);
		if (box_run(s, text, out) || strncmp(out, calls[i].wanted, strlen(calls[i].wanted)) ||
		    out[strlen(calls[i].wanted)] != '\n')
			fail_msg("%s: %s", calls[i].call, out);
	}
	/* What a build and a debugger need. */
	expect(s,
	       "/usr/bin/python3 -c 'import ctypes; l = ctypes.CDLL(None); "
	       "print(l.personality(ctypes.c_ulong(0xffffffff)), "
	       "l.personality(0x40000))'",
	       "0 0\n");
	expect(s, "/usr/bin/python3 -c 'import socket; socket.socketpair(); socket.socket(); print(1)'",
	       "1\n");
	box_end(backend, s);
}

static void test_network(void **state)
{
	struct sandbox *s = box_start(backend, CONFIG_NETWORK, "host", -1);

	(void)state;
	char host[64], inside[OUTPUT_MAX];

	assert_false(s->ended);
	host[readlink("/proc/self/ns/net", host, sizeof host - 1)] = '\0';
	box_run(s, "readlink /proc/self/ns/net | tr -d '\\n'", inside);
	assert_string_equal(host, inside);
	expect(s, "test -e /etc/resolv.conf", "");
	box_end(backend, s);
	s = plain();
	expect(s, "test -e /etc/resolv.conf || echo none", "none\n");
	refuse(s,
	       "/usr/bin/python3 -c 'import socket; socket.create_connection((\"169.254.169.254\", 80), 2)'");
	box_end(backend, s);
}
