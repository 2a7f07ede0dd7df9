#include "backend/aviato/agent_file.h"

#include "rpc/base64.h"

#include <openssl/evp.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define AGENT_MAX (16u << 20)

static int open_agent(const char *path)
{
	char beside[PATH_MAX];
	ssize_t n;
	int fd;

	if (path)
		return open(path, O_RDONLY | O_CLOEXEC);
	n = readlink("/proc/self/exe", beside, sizeof beside - 32);
	if (n > 0) {
		beside[n] = '\0';
		strcpy(strrchr(beside, '/') + 1, "aviatofs-agent");
		fd = open(beside, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return open(LIBEXECDIR "/aviatofs-agent", O_RDONLY | O_CLOEXEC);
}

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
	struct utsname name;
	unsigned len = 0;

	uname(&name);
	snprintf(ret->machine, sizeof ret->machine, "%.64s", name.machine);
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

int agent_file_load(const char *path, struct agent_file *ret, struct error *err)
{
	int fd = open_agent(path), rc;
	struct buf bytes;

	*ret = (struct agent_file){0};
	if (fd < 0)
		return error_set(err, ENOENT, "AGENT_MISSING",
				 "aviatofs-agent is neither beside this program nor in %s: make install",
				 LIBEXECDIR);
	buf_init(&bytes, AGENT_MAX);
	rc = read_all(fd, &bytes);
	close(fd);
	if (!rc)
		rc = encode(&bytes, ret);
	buf_free(&bytes);
	if (!rc)
		return 0;
	agent_file_free(ret);
	return error_errno(err, -rc, "AGENT_MISSING", "the agent cannot be loaded");
}

void agent_file_free(struct agent_file *f)
{
	free(f->content);
	f->content = NULL;
}
