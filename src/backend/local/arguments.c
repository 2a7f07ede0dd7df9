#include "backend/local/arguments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGUMENTS_MAX (1u << 20)

void arguments_init(struct arguments *a)
{
	buf_init(&a->words, ARGUMENTS_MAX);
	a->failed = false;
}

void arguments_free(struct arguments *a)
{
	buf_free(&a->words);
}

void arguments_add(struct arguments *a, ...)
{
	const char *word;
	va_list words;

	va_start(words, a);
	while ((word = va_arg(words, const char *)))
		if (buf_append(&a->words, word, strlen(word) + 1))
			a->failed = true;
	va_end(words);
}

void arguments_isolation(struct arguments *a, const struct isolation *i)
{
	char seccomp[12], info[12];

	snprintf(seccomp, sizeof seccomp, "%d", i->seccomp_fd);
	snprintf(info, sizeof info, "%d", i->info_fd);
	arguments_add(a, "--unshare-all", "--unshare-user", "--disable-userns", "--uid", "0", "--gid", "0",
		      NULL);
	if (i->network)
		arguments_add(a, "--share-net", NULL);
	arguments_add(a, "--hostname", i->hostname, "--as-pid-1", "--new-session", "--cap-drop", "ALL", NULL);
	arguments_add(a, "--seccomp", seccomp, "--info-fd", info, NULL);
	arguments_add(a, "--clearenv", "--setenv", "HOME", "/root", "--setenv", "USER", "root", "--setenv",
		      "LOGNAME", "root", "--setenv", "SHELL", "/bin/sh", "--setenv", "LANG", "C.UTF-8",
		      "--setenv", "TERM", "xterm-256color", NULL);
	arguments_add(a, "--setenv", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		      NULL);
	arguments_add(a, "--bind", i->root, "/", NULL);
}

/* Not to be read either: an open is refused, as the device behind it is bound without the right to be used.
 */
static const char *const hidden_files[] = {"kcore",	  "keys",	 "kmsg",       "timer_list",
					   "timer_stats", "sched_debug", "slabinfo",   "latency_stats",
					   "kpagecgroup", "kpagecount",	 "kpageflags", "vmallocinfo"};
static const char *const hidden_directories[] = {"acpi", "asound", "scsi"};

static bool is_among(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

static void cover(struct arguments *a, int proc, const char *name)
{
	char path[300];
	struct stat st;

	if (fstatat(proc, name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	snprintf(path, sizeof path, "/proc/%s", name);
	if (is_among(name, hidden_files, sizeof hidden_files / sizeof *hidden_files))
		arguments_add(a, "--ro-bind", "/dev/null", path, NULL);
	else if (is_among(name, hidden_directories, sizeof hidden_directories / sizeof *hidden_directories))
		arguments_add(a, "--tmpfs", path, "--remount-ro", path, NULL);
	else if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && (st.st_mode & 0222)))
		arguments_add(a, "--ro-bind", path, path, NULL);
}

/*
 * In a sandbox of root's, uid 0 is the host's uid 0 and the kernel checks the
 * mode of most files of /proc by uid alone, not by capability; bwrap leaves
 * them writable. So all of /proc that is not about a process is covered: by
 * the host's list, since kernels differ in what they put there.
 */
static void cover_proc(struct arguments *a)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc)))
		if (entry->d_name[0] != '.' && strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
			cover(a, dirfd(proc), entry->d_name);
	if (proc)
		closedir(proc);
	else
		a->failed = true;
}

void arguments_kernel_files(struct arguments *a)
{
	arguments_add(a, "--proc", "/proc", NULL);
	cover_proc(a);
	arguments_add(a, "--dev", "/dev", NULL);
}

int arguments_file(const struct arguments *a, struct error *err)
{
	int fd = a->failed ? -1 : memfd_create("aviatofs-arguments", MFD_CLOEXEC);
	ssize_t n;

	if (a->failed)
		errno = ENOMEM;
	if (fd < 0)
		return error_errno(err, errno, "START_FAILED", "cannot write bwrap's arguments");
	n = write(fd, a->words.data, a->words.len);
	if (n == (ssize_t)a->words.len && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return error_set(err, EIO, "START_FAILED", "cannot write bwrap's arguments");
}
