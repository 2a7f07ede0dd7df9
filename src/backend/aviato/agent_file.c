#include "backend/aviato/agent_file.h"

#include "base/installed.h"
#include "rpc/base64.h"

#include <openssl/evp.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define AGENT	    "aviatofs-agent"
#define AGENT_MAX   (16u << 20)
#define MACHINE_MAX 32

static int read_all(int fd, struct buf *ret)
{
	ssize_t n;

	do {
		if (buf_reserve(ret, 64 << 10))
			return -EFBIG;
		n = read(fd, ret->data + ret->len, 64 << 10);
		if (n > 0)
			ret->len += (size_t)n;
	} while (n > 0);
	return n < 0 ? -errno : 0;
}

static int encode(const struct buf *bytes, struct agent_file *ret)
{
	unsigned char digest[32];
	unsigned len = 0;

	ret->size = bytes->len;
	ret->content = malloc(BASE64_ENCODED(bytes->len) + 1);
	if (!ret->content || !EVP_Digest(bytes->data, bytes->len, digest, &len, EVP_sha256(), NULL))
		return -ENOMEM;
	base64_encode(bytes->data, bytes->len, ret->content);
	ret->content[BASE64_ENCODED(bytes->len)] = '\0';
	for (unsigned i = 0; i < len; i++)
		snprintf(ret->sha256 + 2 * i, 3, "%02x", digest[i]);
	return 0;
}

/* A sandbox may say anything; what it says becomes part of a path. */
static bool is_machine(const char *word)
{
	size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return len && len <= MACHINE_MAX && !word[len];
}

static struct agent_file *load(int fd, const char *machine)
{
	struct agent_file *f = calloc(1, sizeof *f);
	struct buf bytes;
	int rc;

	if (!f)
		return NULL;
	snprintf(f->machine, sizeof f->machine, "%.64s", machine);
	buf_init(&bytes, AGENT_MAX);
	rc = read_all(fd, &bytes);
	rc = rc ? rc : encode(&bytes, f);
	buf_free(&bytes);
	if (!rc)
		return f;
	agent_file_free(f);
	errno = -rc;
	return NULL;
}

struct agent_file *agent_file_load(const char *machine, struct error *err)
{
	char name[sizeof AGENT "-" + MACHINE_MAX] = AGENT, path[PATH_MAX];
	struct utsname here;
	struct agent_file *f;
	int fd;

	uname(&here);
	if (machine && !is_machine(machine)) {
		error_set(err, ENOENT, "AGENT_MISSING", "there is no such type of machine");
		return NULL;
	}
	if (machine && strcmp(machine, here.machine))
		snprintf(name, sizeof name, AGENT "-%s", machine);
	fd = installed_path(name, R_OK, path) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_set(err, ENOENT, "AGENT_MISSING",
			  "%s is neither beside this program nor in %s: make install", name, LIBEXECDIR);
		return NULL;
	}
	f = load(fd, machine ? machine : here.machine);
	if (!f)
		error_errno(err, errno, "AGENT_MISSING", "the agent cannot be loaded");
	close(fd);
	return f;
}

void agent_file_free(struct agent_file *f)
{
	while (f) {
		struct agent_file *next = f->next;

		free(f->content);
		free(f);
		f = next;
	}
}
