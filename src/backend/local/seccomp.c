#include "backend/local/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Everything is allowed but what reaches parts of the kernel no build, test or
 * debugger needs, and which have a history of holes. ptrace and
 * process_vm_readv stay: they reach only processes of the same sandbox.
 */
static const char *const denied[] = {
    /* file systems */
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "quotactl",
    "quotactl_fd",
    "swapon",
    "swapoff",
    "nfsservctl",
    /* by handle, past every directory above (CVE-2014-9357) */
    "open_by_handle_at",
    "name_to_handle_at",
    /* namespaces: clone is judged by its flags below */
    "unshare",
    "setns",
    /* keyrings are not namespaced */
    "keyctl",
    "add_key",
    "request_key",
    /* programs in the kernel, and asynchronous ways round this filter */
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "lookup_dcookie",
    /* the machine */
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "reboot",
    "acct",
    "syslog",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "stime",
    "vhangup",
    "iopl",
    "ioperm",
    "modify_ldt",
    "vm86",
    "vm86old",
    "_sysctl",
    "sysfs",
    "ustat",
    "uselib",
};

/* Compared with a mask of 32 bits: the kernel ignores the upper half of these arguments, a plain compare
 * would not. */
#define LOW_IS(arg, value)    SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, 0xffffffffu, (uint32_t)(value))
#define HAS_BITS(arg, m, val) SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, (m), (val))

static int deny_names(scmp_filter_ctx ctx)
{
	for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
		int nr = seccomp_syscall_resolve_name(denied[i]);

		/* Negative: unknown to this libseccomp or not a call of this architecture. */
		if (nr >= 0 && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0))
			return -EINVAL;
	}
	return 0;
}

static int deny_namespaces(scmp_filter_ctx ctx)
{
	static const uint64_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
					 CLONE_NEWIPC,	CLONE_NEWUTS, CLONE_NEWCGROUP};

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				     HAS_BITS(0, flags[i], flags[i])))
			return -EINVAL;
	/* Its flags are in memory, out of a filter's sight: libc falls back to clone. */
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* Only UNIX, INET, INET6 and NETLINK sockets. */
static int deny_sockets(scmp_filter_ctx ctx)
{
	for (int family = 0; family < AF_MAX; family++) {
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
			continue;
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
				     LOW_IS(0, family)) ||
		    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socketpair), 1,
				     LOW_IS(0, family)))
			return -EINVAL;
	}
	return 0;
}

/* Pushing characters into a terminal is typing on it (CVE-2017-5226). */
static int deny_ioctls(scmp_filter_ctx ctx)
{
	if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, LOW_IS(1, TIOCSTI)) ||
	    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, LOW_IS(1, TIOCLINUX)))
		return -EINVAL;
	return 0;
}

/*
 * personality() may ask (all ones), turn address randomisation off (gdb), and
 * set the two harmless bits of setarch. A rule can compare one argument once,
 * so: each other bit with the top bit clear, and the top bit with any bit clear.
 */
static int deny_personalities(scmp_filter_ctx ctx)
{
	const uint32_t allowed = ADDR_NO_RANDOMIZE | UNAME26 | PER_LINUX32;
	const uint32_t top = 1u << 31;

	for (int i = 0; i < 31; i++) {
		uint32_t bit = 1u << i;

		if (!(bit & allowed) && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(personality), 1,
							 HAS_BITS(0, top | bit, bit)))
			return -EINVAL;
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(personality), 1,
				     HAS_BITS(0, top | bit, top)))
			return -EINVAL;
	}
	return 0;
}

static int build(scmp_filter_ctx ctx)
{
	/* Foreign call tables (x32, i386) would need the list over again: nothing there runs. */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS))
		return -EINVAL;
	/* A search tree instead of a chain; older libraries keep the chain. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (deny_names(ctx) || deny_namespaces(ctx) || deny_sockets(ctx) || deny_ioctls(ctx) ||
	    deny_personalities(ctx))
		return -EINVAL;
	return 0;
}

int seccomp_compile(struct error *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int fd = memfd_create("aviatofs-seccomp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc = fd < 0 ? -errno : 0;

	if (!ctx)
		rc = -ENOMEM;
	if (!rc)
		rc = build(ctx);
	if (!rc)
		rc = seccomp_export_bpf(ctx, fd);
	if (!rc && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		rc = -errno;
	if (ctx)
		seccomp_release(ctx);
	if (!rc)
		return fd;
	if (fd >= 0)
		close(fd);
	return error_errno(err, -rc, "SECCOMP", "cannot build the system call filter");
}
