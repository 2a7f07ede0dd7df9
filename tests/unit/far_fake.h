/*
 * fs/ far away without a kernel and without an agent: requests are put into libfuse as the kernel puts them,
 * replies are caught where they would go to the kernel, and what the daemon asks of its agent is answered,
 * or not, by the test. One sandbox, made once; a graft of it for each test. Everything on one thread.
 */
#pragma once

#include "base/loop.h"
#include "channel/file_calls.h"
#include "core/after.h"
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/session.h"
#include "fuse/far/far.h"
#include "fuse/graft/nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAKE_ASKED 4096
#define FAKE_REPLY (1u << 20)

static struct far_fake {
	struct sandbox *sandbox;
	struct graft *graft;
	struct fuse_session *session;
	/* What the agent was asked, as it came. */
	struct fake_asked {
		uint32_t tag;
		uint8_t *payload;
		size_t len;
	} asked[FAKE_ASKED];
	unsigned count, taken;
	/* The last reply to the kernel. */
	uint64_t next, unique; /* the number of the kernel's next request; of the one it is to */
	int error;	       /* 1: none since the last request */
	size_t len;
	uint64_t replies;
	uint32_t ops[1024];	      /* of the latest requests, by half their number */
	void (*replied)(uint32_t op); /* called with each reply in place; or NULL */
	char reply[FAKE_REPLY + 4096];
} far_fake;

/* --- The kernel --- */

static struct graft_node *far_fake_node(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? graft_root(far_fake.graft) : graft_node(ino);
}

#define FAKE_OP(name, params, ...)                                                                           \
	static void fake_##name params                                                                       \
	{                                                                                                    \
		struct graft_node *n = far_fake_node(ino);                                                   \
		if (n)                                                                                       \
			far_##name(__VA_ARGS__);                                                             \
		else                                                                                         \
			fuse_reply_err(req, ESTALE);                                                         \
	}

FAKE_OP(lookup, (fuse_req_t req, fuse_ino_t ino, const char *name), req, n, name)
FAKE_OP(getattr, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, n, fi)
FAKE_OP(setattr, (fuse_req_t req, fuse_ino_t ino, struct stat *a, int set, struct fuse_file_info *fi), req, n,
	a, set, fi)
FAKE_OP(readlink, (fuse_req_t req, fuse_ino_t ino), req, n)
FAKE_OP(mkdir, (fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode), req, n, name, mode)
FAKE_OP(unlink, (fuse_req_t req, fuse_ino_t ino, const char *name), req, n, name)
FAKE_OP(open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, n, fi)
FAKE_OP(create, (fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode, struct fuse_file_info *fi),
	req, n, name, mode, fi)
FAKE_OP(opendir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, n, fi)
FAKE_OP(getxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size), req, n, name, size)
FAKE_OP(statfs, (fuse_req_t req, fuse_ino_t ino), req, n)

static void fake_rename(fuse_req_t req, fuse_ino_t ino, const char *name, fuse_ino_t to, const char *newname,
			unsigned int flags)
{
	struct graft_node *a = far_fake_node(ino), *b = far_fake_node(to);

	if (a && b)
		far_rename(req, a, name, b, newname, flags);
	else
		fuse_reply_err(req, ESTALE);
}

static void fake_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	graft_forget(ino, count);
	fuse_reply_none(req);
}

static void fake_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	far_read(req, size, off, fi);
}

static void fake_write(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
		       struct fuse_file_info *fi)
{
	(void)ino;
	far_write_buf(req, in, off, fi);
}

static void fake_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	far_flush(req, fi);
}

static void fake_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	far_fsync(req, datasync, fi);
}

static void fake_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	far_release(req, fi);
}

static void fake_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			     struct fuse_file_info *fi)
{
	(void)ino;
	far_readdir(req, size, off, fi, true);
}

static void fake_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	far_releasedir(req, fi);
}

static const struct fuse_lowlevel_ops far_fake_ops = {
    .lookup = fake_lookup,
    .forget = fake_forget,
    .getattr = fake_getattr,
    .setattr = fake_setattr,
    .readlink = fake_readlink,
    .mkdir = fake_mkdir,
    .unlink = fake_unlink,
    .rename = fake_rename,
    .open = fake_open,
    .create = fake_create,
    .read = fake_read,
    .write_buf = fake_write,
    .flush = fake_flush,
    .fsync = fake_fsync,
    .release = fake_release,
    .opendir = fake_opendir,
    .readdirplus = fake_readdirplus,
    .releasedir = fake_releasedir,
    .getxattr = fake_getxattr,
    .statfs = fake_statfs,
};

static ssize_t far_fake_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct fuse_out_header *head = iov[0].iov_base;
	size_t total = iov[0].iov_len;

	(void)fd;
	(void)userdata;
	far_fake.unique = head->unique;
	far_fake.error = head->error;
	far_fake.len = 0;
	far_fake.replies++;
	for (int i = 1; i < count; i++) {
		total += iov[i].iov_len;
		if (far_fake.len + iov[i].iov_len > sizeof far_fake.reply || head->len < total)
			abort();
		memcpy(far_fake.reply + far_fake.len, iov[i].iov_base, iov[i].iov_len);
		far_fake.len += iov[i].iov_len;
	}
	if (far_fake.replied)
		far_fake.replied(far_fake.ops[head->unique / 2 % 1024]);
	return (ssize_t)total;
}

static ssize_t far_fake_no_read(int fd, void *out, size_t len, void *userdata)
{
	(void)fd;
	(void)out;
	(void)len;
	(void)userdata;
	return -EIO;
}

/* A request of the kernel's: `arg`, then `text` with its NUL and `data`, where there are. Returns its number.
 */
static inline uint64_t kernel_asks(uint32_t op, uint64_t ino, const void *arg, size_t arg_len,
				   const char *text, const void *data, size_t data_len)
{
	uint64_t unique = far_fake.next;
	size_t text_len = text ? strlen(text) + 1 : 0;
	size_t len = sizeof(struct fuse_in_header) + arg_len + text_len + data_len;
	char *all = calloc(1, len);
	struct fuse_in_header *head = (struct fuse_in_header *)all;
	struct fuse_buf buf = {.mem = all, .size = len};

	*head = (struct fuse_in_header){
	    .len = (uint32_t)len, .opcode = op, .unique = unique, .nodeid = ino, .pid = 1};
	if (arg_len)
		memcpy(head + 1, arg, arg_len);
	if (text_len)
		memcpy((char *)(head + 1) + arg_len, text, text_len);
	if (data_len)
		memcpy((char *)(head + 1) + arg_len + text_len, data, data_len);
	far_fake.next += 2;
	far_fake.error = 1;
	far_fake.ops[unique / 2 % 1024] = op;
	fuse_session_process_buf(far_fake.session, &buf);
	free(all);
	return unique;
}

static inline uint64_t kernel_looks_up(uint64_t dir, const char *name)
{
	return kernel_asks(FUSE_LOOKUP, dir, NULL, 0, name, NULL, 0);
}

static inline uint64_t kernel_opens(uint64_t ino, uint32_t flags)
{
	return kernel_asks(FUSE_OPEN, ino, &(struct fuse_open_in){.flags = flags},
			   sizeof(struct fuse_open_in), NULL, NULL, 0);
}

/* Of the last reply, which brought an entry or an open file. */
static inline const struct fuse_entry_out *replied_entry(void)
{
	return (const struct fuse_entry_out *)far_fake.reply;
}

static inline uint64_t replied_handle(void)
{
	return ((const struct fuse_open_out *)far_fake.reply)->fh;
}

/* --- The agent --- */

static int far_fake_send(void *to, uint32_t tag, const void *payload, size_t len)
{
	struct fake_asked *a = &far_fake.asked[far_fake.count % FAKE_ASKED];

	(void)to;
	free(a->payload);
	a->payload = malloc(len);
	memcpy(a->payload, payload, len);
	a->len = len;
	a->tag = tag;
	far_fake.count++;
	return 0;
}

/* The next it was asked and has not looked at; false: nothing. `*ret` points into what is kept. */
static inline bool agent_is_asked(struct file_request *ret, uint32_t *ret_tag)
{
	struct fake_asked *a = &far_fake.asked[far_fake.taken % FAKE_ASKED];

	if (far_fake.taken == far_fake.count)
		return false;
	far_fake.taken++;
	*ret_tag = a->tag;
	if (file_request_decode(a->payload, a->len, ret))
		abort();
	return true;
}

/* Its answer as bytes. */
static inline int agent_answers(uint32_t tag, const void *payload, size_t len)
{
	struct frame f = {.id = tag, .payload = payload, .length = (uint32_t)len};
	int rc;

	core_lock();
	far_fake.sandbox->news++;
	rc = file_calls_reply(far_fake.sandbox->files, &f);
	core_unlock();
	return rc;
}

static inline int agent_notices(const void *payload, size_t len)
{
	struct frame f = {.payload = payload, .length = (uint32_t)len};
	int rc;

	core_lock();
	far_fake.sandbox->news++;
	rc = far_changed(far_fake.graft, &f);
	core_unlock();
	return rc;
}

/* --- Life --- */

static int far_fake_check(struct backend *b, const struct config *c, struct error *err)
{
	(void)b;
	(void)c;
	(void)err;
	return 0;
}

static void far_fake_nothing(struct backend *b)
{
	(void)b;
}

static void far_fake_nothing_to(struct backend *b, struct sandbox *s)
{
	(void)b;
	(void)s;
}

static const struct backend_ops far_fake_backend = {
    .name = "none",
    .defaults = {[CONFIG_IMAGE] = "base"},
    .check = far_fake_check,
    .find = far_fake_nothing,
    .start = far_fake_nothing_to,
    .remove = far_fake_nothing_to,
    .keep = far_fake_nothing_to,
};

/* Once in a process. */
static inline void far_fake_begin(void)
{
	static struct backend backend = {&far_fake_backend};
	static const struct fuse_custom_io io = {.writev = far_fake_reply, .read = far_fake_no_read};
	const struct mount_settings settings = {.spool_limit = 1000, .timeout_ms = 1000};
	char *words[] = {(char *)"fake", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, words);
	struct error err;

	if (far_fake.session)
		return;
	if (mount_begin(&backend, &settings, &err) || session_make("s", &err))
		abort();
	core_lock();
	if (sandbox_make((struct session *)object_child(&the_mount.object, "s"), "box", &err))
		abort();
	far_fake.sandbox = (struct sandbox *)object_child(object_child(&the_mount.object, "s"), "box");
	core_unlock();
	far_fake.session = fuse_session_new(&args, &far_fake_ops, sizeof far_fake_ops, NULL);
	if (!far_fake.session ||
	    fuse_session_custom_io(far_fake.session, &io, open("/dev/null", O_RDWR | O_CLOEXEC)))
		abort();
	fuse_opt_free_args(&args);
	kernel_asks(
	    FUSE_INIT, 0,
	    &(struct fuse_init_in){.major = 7, .minor = 31, .flags = FUSE_DO_READDIRPLUS | FUSE_BIG_WRITES},
	    sizeof(struct fuse_init_in), NULL, NULL, 0);
}

/* A new graft, the first question of which, for the root's attributes, is not answered yet. */
static inline void far_fake_graft(void)
{
	core_lock();
	far_fake.graft = far_new(far_fake.sandbox, 1, FUSE_ROOT_ID);
	if (!far_fake.graft)
		abort();
	file_calls_resume(far_fake.sandbox->files, far_fake_send, NULL);
	core_unlock();
}

/* The sandbox has ended, and the mount after it: whatever waited was told, and nothing is left. */
static inline void far_fake_end(void)
{
	core_lock();
	far_end(far_fake.graft);
	file_calls_end(far_fake.sandbox->files, ESHUTDOWN);
	core_unlock();
	graft_shutdown(far_fake.graft);
	graft_forget_all();
	graft_unref(far_fake.graft);
	core_lock();
	if (!file_calls_idle(far_fake.sandbox->files))
		abort();
	file_calls_free(far_fake.sandbox->files);
	far_fake.sandbox->files = NULL;
	core_unlock();
	for (unsigned i = 0; i < FAKE_ASKED; i++) {
		free(far_fake.asked[i].payload);
		far_fake.asked[i].payload = NULL;
	}
	far_fake.count = far_fake.taken = 0;
}

/* --- What an agent that means well says --- */

static inline struct stat a_file(ino_t ino, mode_t mode, off_t size)
{
	return (struct stat){.st_dev = 1,
			     .st_ino = ino,
			     .st_mode = mode,
			     .st_nlink = S_ISDIR(mode) ? 2 : 1,
			     .st_size = size,
			     .st_blksize = 4096,
			     .st_mtim = {.tv_sec = 1000},
			     .st_ctim = {.tv_sec = 1000}};
}

/* `r` is filled in; `list`, or what stands for `rest`, goes behind it. */
static inline int agent_replies(uint32_t tag, uint8_t op, const struct file_reply *r, const struct buf *list)
{
	struct buf out;
	int rc;

	buf_init(&out, 8u << 20);
	if (file_reply_encode(&out, (enum file_op)op, r) || (list && buf_append(&out, list->data, list->len)))
		abort();
	rc = agent_answers(tag, out.data, out.len);
	buf_free(&out);
	return rc;
}
