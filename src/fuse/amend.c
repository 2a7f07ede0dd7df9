#include "fuse/amend.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Newer than the kernel headers this is built with. */
#define INIT_DIRECT_IO_ALLOW_MMAP (1u << 4) /* of the upper half of the flags */
#define INIT_PASSTHROUGH	  (1u << 5)
#define OPEN_PASSTHROUGH	  (1u << 7)
/*
 * How deep file systems may be stacked below us: an overlay over disks. It makes us
 * the topmost one there can be, so nobody can mount an overlay over fs/.
 */
#define STACK_DEPTH 2

/* As replies to INIT look to kernels that know passthrough. */
struct init_reply {
	struct fuse_out_header head;
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth;
};

static bool own_writes;
static atomic_uint offered, agreed; /* upper halves of INIT's flags */

/* What the reply to the request this thread has read last is to say. */
static _Thread_local struct {
	bool init;
	uint32_t wanted;
	int32_t backing;
	bool stream;
} reply;

/* --- Requests --- */

static void note_init(const void *body, size_t len)
{
	const struct fuse_init_in *in = body;

	offered = 0;
	if (len >= offsetof(struct fuse_init_in, flags2) + sizeof in->flags2 && in->flags & FUSE_INIT_EXT)
		offered = in->flags2;
	reply.init = true;
	reply.wanted = INIT_DIRECT_IO_ALLOW_MMAP;
}

static ssize_t receive(int fd, void *request, size_t room, void *userdata)
{
	struct fuse_in_header *head = request;
	ssize_t len = read(fd, request, room);

	(void)userdata;
	if (len < (ssize_t)sizeof *head)
		return len;
	if (head->opcode == FUSE_INIT)
		note_init(head + 1, (size_t)len - sizeof *head);
	else if (head->opcode == FUSE_TMPFILE)
		head->opcode = FUSE_CREATE;
	return len;
}

/* --- Replies --- */

static ssize_t send_init(int fd, const struct iovec *iov, int count)
{
	char flat[sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out)];
	struct init_reply *init = (void *)flat;
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len > sizeof flat - len)
			return writev(fd, iov, count);
		memcpy(flat + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	if (len == sizeof flat && init->head.error == 0 && offered) {
		init->flags |= FUSE_INIT_EXT;
		if (own_writes)
			init->flags |= FUSE_HANDLE_KILLPRIV_V2;
		init->flags2 |= reply.wanted & offered;
		if (init->flags2 & INIT_PASSTHROUGH)
			init->max_stack_depth = STACK_DEPTH;
		agreed = init->flags2;
	}
	return write(fd, flat, len);
}

/* libfuse sends a header and one buffer, which ends with what was opened. */
static void change_open(const struct iovec *iov, int count)
{
	const struct fuse_out_header *head = iov[0].iov_base;
	struct fuse_open_out open;
	char *at;

	if (count != 2 || head->error || iov[1].iov_len < sizeof open)
		return;
	at = (char *)iov[1].iov_base + iov[1].iov_len - sizeof open;
	memcpy(&open, at, sizeof open);
	if (reply.backing) {
		open.open_flags |= OPEN_PASSTHROUGH;
		open.padding = (uint32_t)reply.backing; /* its name before it had a use */
	}
	if (reply.stream)
		open.open_flags |= FOPEN_STREAM;
	memcpy(at, &open, sizeof open);
}

static ssize_t answer(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)userdata;
	if (reply.init) {
		reply.init = false;
		return send_init(fd, iov, count);
	}
	if (reply.backing || reply.stream)
		change_open(iov, count);
	reply.stream = false;
	return writev(fd, iov, count);
}

int amend_session(struct fuse_session *session)
{
	static const struct fuse_custom_io io = {.read = receive, .writev = answer};

	return fuse_session_custom_io(session, &io, fuse_session_fd(session));
}

void amend_own_writes(void)
{
	own_writes = true;
}

void amend_want_passthrough(void)
{
	reply.wanted |= INIT_PASSTHROUGH;
}

bool amend_has_passthrough(void)
{
	return agreed & INIT_PASSTHROUGH;
}

void amend_backing(int32_t id)
{
	reply.backing = id;
}

void amend_stream(void)
{
	reply.stream = true;
}
