/*
 * Requests about files: each is done once, however often it is sent.
 *
 * What a daemon has not acknowledged it may send again over its next
 * connection. What changed something is then only answered again; what looked at
 * something looks again.
 */
#include "agent/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

const struct file_operation file_operations[FILE_OPS] = {
    [FILE_LOOKUP] = {NULL, tell_lookup, true},
    [FILE_GETATTR] = {NULL, tell_attrs, true},
    [FILE_READLINK] = {NULL, tell_readlink, true},
    [FILE_ACCESS] = {NULL, tell_access, true},
    [FILE_STATFS] = {NULL, tell_statfs, true},
    [FILE_GETXATTR] = {NULL, tell_xattr, true},
    [FILE_LISTXATTR] = {NULL, tell_xattrs, true},
    [FILE_MKNOD] = {act_mknod, tell_made, false},
    [FILE_MKDIR] = {act_mkdir, tell_made, false},
    [FILE_SYMLINK] = {act_symlink, tell_made, false},
    [FILE_LINK] = {act_link, tell_made, false},
    [FILE_UNLINK] = {act_unlink, tell_parent, false},
    [FILE_RMDIR] = {act_rmdir, tell_parent, false},
    [FILE_RENAME] = {act_rename, tell_renamed, false},
    [FILE_SETATTR] = {act_setattr, tell_attr, false},
    [FILE_SETXATTR] = {act_setxattr, tell_attr, false},
    [FILE_REMOVEXATTR] = {act_removexattr, tell_attr, false},
    [FILE_OPEN] = {act_open, tell_open, false},
    [FILE_CREATE] = {act_create, tell_created, false},
    [FILE_OPENDIR] = {act_opendir, tell_attr, false},
    [FILE_READ] = {NULL, tell_read, true},
    [FILE_WRITE] = {act_write, tell_attr, false},
    [FILE_FSYNC] = {act_fsync, NULL, false},
    [FILE_FALLOCATE] = {act_fallocate, tell_attr, false},
    [FILE_LSEEK] = {NULL, tell_seek, true},
    [FILE_COPY_RANGE] = {act_copy, tell_attr, false},
    [FILE_READDIR] = {NULL, tell_entries, true},
    [FILE_RELEASE] = {act_release, NULL, false},
    [FILE_TMPFILE] = {act_tmpfile, tell_tmpfile, false},
};

/* --- Life --- */

/* Commands need descriptors too. */
static unsigned most_handles(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 2 > FILE_HANDLES_MAX)
		return FILE_HANDLES_MAX;
	return (unsigned)(limit.rlim_cur / 2);
}

static struct files *files_new(int root)
{
	struct files *files = calloc(1, sizeof *files);

	if (!files)
		return NULL;
	files->root =
	    root > 0 ? fcntl(root, F_DUPFD_CLOEXEC, 3) : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (files->root < 0) {
		free(files);
		return NULL;
	}
	files->top = (struct known_file){.fd = files->root, .type = S_IFDIR, .list_fd = -1};
	list_init(&files->top.open_list);
	list_init(&files->listings);
	list_init(&files->used);
	for (unsigned i = 0; i < HANDLE_BUCKETS; i++)
		list_init(&files->handles[i]);
	for (unsigned i = 0; i < WATCH_BUCKETS; i++)
		list_init(&files->watches[i]);
	files->notify.fd = -1;
	list_init(&files->jobs);
	files->jobs_done.fd = -1;
	files->most = most_handles();
	return files;
}

static void forget_done(struct file_done *d)
{
	buf_free(&d->answer);
	*d = (struct file_done){0};
}

static void forget_all(struct files *files)
{
	file_jobs_forget(files);
	file_handles_drop(files);
	for (unsigned i = 0; i < FILE_WINDOW; i++)
		forget_done(&files->done[i]);
	files->sequence = files->acknowledged = 0;
}

void files_hello(struct agent *a, uint64_t life)
{
	struct files *files = a->files;

	if (!files && life)
		files = a->files = files_new(a->root);
	if (!files)
		return;
	if (!life || files->life != life)
		forget_all(files);
	files->life = life;
}

void files_lost(struct agent *a)
{
	/* What happens from here on nobody is told of. */
	if (!a->files)
		return;
	files_unwatch(a->files);
	file_jobs_lost(a->files);
}

void files_free(struct agent *a)
{
	struct files *files = a->files;

	if (!files)
		return;
	files_unwatch(files);
	file_jobs_end(files);
	forget_all(files);
	close(files->root);
	free(files);
	a->files = NULL;
}

void files_sync(struct agent *a)
{
	if (a->files && connection_room(a))
		files_notices(a, NULL);
}

void files_flush(struct agent *a)
{
	struct files *files = a->files;

	if (!files || !files->notify_paused || !connection_room(a))
		return;
	files->notify_paused = false;
	if (watch_add(a, &files->notify, EPOLLIN))
		a->conn.failed = true;
}

/* --- What was done --- */

static struct file_done *done_at(struct files *files, uint64_t sequence)
{
	return &files->done[sequence % FILE_WINDOW];
}

static void acknowledge(struct files *files, uint64_t upto)
{
	while (files->acknowledged < upto)
		forget_done(done_at(files, ++files->acknowledged));
}

/* Of a handle that is not there: why the request that was to make it did not. */
static int why_missing(struct files *files, uint64_t handle)
{
	for (unsigned i = 0; handle != FILE_NO_HANDLE && i < FILE_WINDOW; i++) {
		const struct file_done *d = &files->done[i];

		if (d->sequence && d->error && (d->fresh == handle || d->fresh_file == handle))
			return -(int)d->error;
	}
	return -ESTALE;
}

/* --- Answers --- */

static bool has_handle(enum file_op op)
{
	return op != FILE_GETATTR && op != FILE_RELEASE;
}

static void put_answer(struct file_work *w, uint32_t tag)
{
	const struct frame f = {.type = MSG_FILE_REPLY, .id = tag};
	struct file_reply *r = &w->reply;
	struct buf *out = frame_begin(w->a, &f);
	int rc = file_reply_encode(out, (enum file_op)w->q->op, r);

	if (!rc && !r->error && !r->data)
		rc = buf_append(out, w->rest.data, w->rest.len);
	frame_finish(w->a, rc);
}

/* What it is told again should the answer be lost. Without its content, which can be read. */
static void keep_answer(struct file_work *w)
{
	struct file_done *d = done_at(w->files, w->q->sequence);

	*d = (struct file_done){.sequence = w->q->sequence, .error = w->reply.error};
	if (w->q->op == FILE_CREATE || w->q->op == FILE_TMPFILE || w->q->op == FILE_OPEN ||
	    w->q->op == FILE_OPENDIR)
		d->fresh_file = w->q->fresh_file;
	d->fresh = w->q->op == FILE_OPEN || w->q->op == FILE_OPENDIR ? 0 : w->q->fresh;
	d->again =
	    file_operations[w->q->op].again && (w->q->op != FILE_LOOKUP || w->q->fresh == FILE_NO_HANDLE);
	if (d->again)
		return;
	w->reply.data_len = 0;
	w->reply.flag = false;
	w->reply.watch = 0; /* of a connection that is gone */
	buf_init(&d->answer, FRAME_PAYLOAD_MAX);
	if (file_reply_encode(&d->answer, (enum file_op)w->q->op, &w->reply))
		w->a->conn.failed = true; /* not answered, and so not done for the daemon */
}

static void answer_again(struct agent *a, const struct file_done *d, uint32_t tag)
{
	struct buf *out = frame_begin(a, &(struct frame){.type = MSG_FILE_REPLY, .id = tag});

	frame_finish(a, buf_append(out, d->answer.data, d->answer.len));
}

/* --- Work --- */

static void watch(struct file_work *w)
{
	const struct file_request *q = w->q;

	if (q->op != FILE_GETATTR) {
		w->reply.watch = w->handle ? files_watch(w->a, w->handle) : 0;
		return;
	}
	for (uint32_t i = 0; i < q->handle_count; i++) {
		struct known_file *h = file_handle_find(w->files, file_handle(q, i));
		uint32_t number = h ? files_watch(w->a, h) : 0;

		w->reply.watch = q->handle_count == 1 ? number : 0;
	}
}

static int look(struct file_work *w)
{
	const struct file_operation *op = &file_operations[w->q->op];

	/* The watch may be among what has gone meanwhile. */
	if (w->reply.watch && w->a->files->notify.fd < 0)
		w->reply.watch = 0;
	return op->tell ? op->tell(w) : 0;
}

static int work(struct file_work *w)
{
	const struct file_operation *op = &file_operations[w->q->op];
	int rc = 0;

	if (has_handle((enum file_op)w->q->op)) {
		w->handle = file_handle_find(w->files, w->q->handle);
		if (!w->handle)
			return why_missing(w->files, w->q->handle);
	}
	if (w->q->flags & FILE_WATCH)
		watch(w);
	files_notices(w->a, NULL);
	if (op->act) {
		rc = op->act(w);
		files_notices(w->a, w->q);
	}
	return rc ? rc : look(w);
}

static struct file_work *work_for(struct agent *a, const struct file_request *q)
{
	/* Large, and needed by few: the strings are left as they are. */
	static struct file_work w;

	w.a = a;
	w.files = a->files;
	w.q = q;
	w.reply = (struct file_reply){0};
	w.handle = NULL;
	w.made = -1;
	buf_init(&w.rest, FRAME_PAYLOAD_MAX);
	return &w;
}

/* What is left to do on this thread. */
static int end_job(struct file_work *w, bool wanted, struct file_result *result)
{
	const struct file_request *q = w->q;
	int rc = result->rc, opened = result->opened;

	w->reply.value = result->value;
	w->handle = file_handle_find(w->files, q->op == FILE_COPY_RANGE ? q->other : q->handle);
	if (wanted) {
		if (q->flags & FILE_WATCH)
			watch(w);
		files_notices(w->a, NULL);
	}
	if (rc || !w->handle)
		return rc ? rc : -ESTALE;
	if (q->op == FILE_OPEN) {
		result->opened = -1;
		rc = file_opened(w, opened);
	}
	return rc ? rc : look(w);
}

void files_job_done(struct agent *a, const struct file_request *q, uint32_t tag, bool wanted,
		    struct file_result *result)
{
	const struct file_done *d = done_at(a->files, q->sequence);
	struct file_work *w = work_for(a, q);

	if (!d->running || d->sequence != q->sequence) /* nobody will ask */
		return;
	w->reply.error = (uint32_t)-end_job(w, wanted, result);
	if (wanted)
		put_answer(w, tag);
	keep_answer(w);
	buf_free(&w->rest);
}

static void work_and_answer(struct agent *a, const struct file_request *q, uint32_t tag)
{
	struct file_work *w = work_for(a, q);

	w->reply.error = (uint32_t)-work(w);
	if (w->made >= 0)
		close(w->made);
	put_answer(w, tag);
	keep_answer(w);
	buf_free(&w->rest);
}

/* Done for the first time, or, where it only looks, again. */
static void do_request(struct agent *a, const struct file_request *q, uint32_t tag)
{
	file_jobs_settle(a, q);
	if (file_job_begin(a, q, tag))
		*done_at(a->files, q->sequence) =
		    (struct file_done){.sequence = q->sequence, .running = true};
	else
		work_and_answer(a, q, tag);
}

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EPROTO;
}

int files_request(struct agent *a, const struct frame *f, const char **ret_why)
{
	static struct file_request q;
	struct files *files;
	struct file_done *d;

	if (file_request_decode(f->payload, f->length, &q))
		return refuse(ret_why, "FILE is malformed");
	if (!a->files && !(a->files = files_new(a->root)))
		return refuse(ret_why, "there is no memory, or no root directory");
	files = a->files;
	if (!files->sequence)
		files->sequence = files->acknowledged = q.sequence - 1;
	if (q.sequence > files->sequence + 1 || q.sequence <= files->acknowledged ||
	    q.sequence - q.acknowledged > FILE_WINDOW)
		return refuse(ret_why, "FILE is out of sequence");
	if (q.acknowledged <= files->sequence)
		acknowledge(files, q.acknowledged);
	files->told.watch = 0;
	d = done_at(files, q.sequence);
	if (q.sequence <= files->sequence && d->running) {
		file_job_again(files, q.sequence, f->id);
	} else if (q.sequence <= files->sequence && !d->again) {
		answer_again(a, d, f->id);
	} else {
		if (q.sequence > files->sequence)
			files->sequence = q.sequence;
		do_request(a, &q, f->id);
	}
	a->yield = clock_ms() - a->now >= FILES_BUDGET_MS;
	return 0;
}
