/* Image "host": the host's /usr read-only, everything else the sandbox's own. */
#include "backend/local/image.h"
#include "backend/local/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_MAX (1u << 20) /* bytes of one file of /etc */

static const struct {
	const char *path;
	mode_t mode;
} own_directories[] = {
    {"dev", 0755},	{"etc", 0755},	     {"home", 0755},	  {"mnt", 0755},     {"opt", 0755},
    {"proc", 0755},	{"root", 0700},	     {"run", 0755},	  {"srv", 0755},     {"tmp", 01777},
    {"usr", 0755},	{"var", 0755},	     {"var/cache", 0755}, {"var/lib", 0755}, {"var/log", 0755},
    {"var/tmp", 01777}, {"workspace", 0755}, {"etc/ssl", 0755},
};

/* Links into /usr on a merged system; directories of their own on an older one. */
static const char *const system_directories[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};

/* Small files of /etc that programs in /usr want; matched as patterns. No passwd, no shadow, no keys. */
static const char *const etc_files[] = {
    "ld.so.cache",
    "ld.so.conf",
    "ld-musl-*",
    "localtime",
    "timezone",
    "mime.types",
    "protocols",
    "services",
    "profile",
    "inputrc",
    "host.conf",
    "bash.bashrc",
    "magic",
    "magic.mime",
    "gai.conf",
    "os-release",
    "networks",
    "locale.alias",
    "ca-certificates.conf",
    "debian_version",
};

/* Directories of the same kind, bound read-only. */
static const char *const etc_directories[] = {"ld.so.conf.d", "alternatives", "ca-certificates", "profile.d",
					      "perl",	      "python3*",     "java*",		 "terminfo"};

static bool matches(const char *name, const char *const *patterns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!fnmatch(patterns[i], name, 0))
			return true;
	return false;
}

static int fail(struct error *err, int code, const char *what)
{
	return error_errno(err, code, code == ENOSPC || code == EDQUOT ? "NO_SPACE" : "IMAGE_FAILED",
			   "cannot make %s of the sandbox's root", what);
}

static int make_directories(int root, struct error *err)
{
	for (size_t i = 0; i < sizeof own_directories / sizeof *own_directories; i++) {
		const char *path = own_directories[i].path;
		mode_t mode = own_directories[i].mode;

		if (mkdirat(root, path, 0755) || (mode != 0755 && fchmodat(root, path, mode, 0)))
			return fail(err, errno, path);
	}
	if (symlinkat("/run", root, "var/run"))
		return fail(err, errno, "var/run");
	return 0;
}

/* Where something is bound, a link that the sandbox has put there would lead bwrap out of its root. */
static int make_places(int root, struct error *err)
{
	static const char *const places[] = {"dev", "etc", "proc", "usr", "etc/ssl"};

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		int rc = image_real_directory(root, places[i], 0755);

		if (rc)
			return fail(err, -rc, places[i]);
	}
	return 0;
}

static int bind_system(int root, struct arguments *args, struct error *err)
{
	arguments_add(args, "--ro-bind", "/usr", "/usr", NULL);
	for (size_t i = 0; i < sizeof system_directories / sizeof *system_directories; i++) {
		const char *name = system_directories[i];
		char path[16], target[PATH_MAX];
		struct stat st;
		ssize_t n;

		snprintf(path, sizeof path, "/%s", name);
		if (lstat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode)) {
			int rc = image_real_directory(root, name, 0755);

			if (rc)
				return fail(err, -rc, name);
			arguments_add(args, "--ro-bind", path, path, NULL);
			continue;
		}
		n = readlink(path, target, sizeof target - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (symlinkat(target, root, name) && errno != EEXIST)
			return fail(err, errno, name);
	}
	return 0;
}

int image_write(int dir, const char *name, const char *text, struct error *err)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	int code = 0;

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		code = errno ? errno : EIO;
	if (fd >= 0)
		close(fd);
	return code ? fail(err, code, name) : 0;
}

/* Copies a file that everybody on the host may read; others are skipped. */
static int copy_file(int from, const char *source, int to, const char *name, struct error *err)
{
	int in = openat(from, source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char block[16384];
	struct stat st;
	ssize_t n = 0;
	int out = -1, code = 0;

	if (in < 0)
		return 0;
	if (fstat(in, &st) || !S_ISREG(st.st_mode) || !(st.st_mode & 0004) || st.st_size > COPY_MAX) {
		close(in);
		return 0;
	}
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (out < 0)
		code = errno;
	while (!code && (n = read(in, block, sizeof block)) > 0)
		if (write(out, block, (size_t)n) != n)
			code = errno ? errno : ENOSPC;
	if (out >= 0)
		close(out);
	close(in);
	return code ? fail(err, code, name) : 0;
}

/* A link that leads to what the sandbox has too is kept; any other is replaced by what it points to. */
static bool keep_link(int etc, const char *name, int to)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(etc, name, target, sizeof target - 1);

	if (n <= 0)
		return false;
	target[n] = '\0';
	return (!strncmp(target, "/usr/", 5) || !strncmp(target, "../usr/", 7) ||
		!strncmp(target, "/etc/alternatives/", 18) || !strncmp(target, "alternatives/", 13)) &&
	       symlinkat(target, to, name) == 0;
}

static int take_entry(int etc, const char *name, int to, bool again, struct arguments *args,
		      struct error *err)
{
	char path[300];
	struct stat st;
	int rc;

	if (matches(name, etc_files, sizeof etc_files / sizeof *etc_files))
		return again || keep_link(etc, name, to) ? 0 : copy_file(etc, name, to, name, err);
	if (!matches(name, etc_directories, sizeof etc_directories / sizeof *etc_directories) ||
	    fstatat(etc, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode))
		return 0;
	rc = image_real_directory(to, name, 0755);
	if (rc)
		return fail(err, -rc, name);
	snprintf(path, sizeof path, "/etc/%s", name);
	arguments_add(args, "--ro-bind", path, path, NULL);
	return 0;
}

/* Certificates, and never the private keys beside them. */
static int take_certificates(int etc, int to, bool again, struct arguments *args, struct error *err)
{
	struct stat st;

	if (fstatat(etc, "ssl/certs", &st, 0) == 0 && S_ISDIR(st.st_mode)) {
		int rc = image_real_directory(to, "ssl/certs", 0755);

		if (rc)
			return fail(err, -rc, "etc/ssl/certs");
		arguments_add(args, "--ro-bind", "/etc/ssl/certs", "/etc/ssl/certs", NULL);
	}
	return again ? 0 : copy_file(etc, "ssl/openssl.cnf", to, "ssl/openssl.cnf", err);
}

static int write_fresh(int to, bool network, struct error *err)
{
	int rc = image_write(to, "passwd",
			     "root:x:0:0:root:/root:/bin/sh\n"
			     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
			     err);

	if (!rc)
		rc = image_write(to, "group", "root:x:0:\nnogroup:x:65534:\n", err);
	if (!rc)
		rc = image_write(
		    to, "nsswitch.conf",
		    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
		    "networks: files\nprotocols: files\nservices: files\nethers: files\nrpc: files\n",
		    err);
	return rc ? rc : image_network_files(to, network, err);
}

int image_network_files(int etc, bool network, struct error *err)
{
	int rc =
	    image_write(etc, "hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n", err);

	return rc ? rc : image_resolver(etc, network, err);
}

int image_resolver(int etc, bool network, struct error *err)
{
	int host, rc;

	if (!network)
		return 0;
	host = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (host < 0)
		return 0;
	remove_tree(etc, "resolv.conf");
	rc = copy_file(host, "resolv.conf", etc, "resolv.conf", err);
	close(host);
	return rc;
}

static int fill_etc(int root, bool network, bool again, struct arguments *args, struct error *err)
{
	int to = openat(root, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *etc = opendir("/etc");
	struct dirent *entry;
	int rc = to < 0 ? fail(err, errno, "etc") : 0;

	while (!rc && etc && (entry = readdir(etc)))
		rc = take_entry(dirfd(etc), entry->d_name, to, again, args, err);
	if (!rc && etc)
		rc = take_certificates(dirfd(etc), to, again, args, err);
	if (!rc)
		rc = again ? image_resolver(to, network, err) : write_fresh(to, network, err);
	if (etc)
		closedir(etc);
	if (to >= 0)
		close(to);
	return rc;
}

int image_host(int root, bool network, bool again, struct arguments *args, struct error *err)
{
	int rc = again ? make_places(root, err) : make_directories(root, err);

	if (!rc)
		rc = bind_system(root, args, err);
	return rc ? rc : fill_etc(root, network, again, args, err);
}
