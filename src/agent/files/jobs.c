/*
 * Requests about files that may take long, each on a thread of its own: nothing else waits for them, neither
 * other requests nor the processes.
 *
 * A thread has its job and nothing of the agent's: a descriptor, numbers, and the end of a pipe to say so
 * when it is done. What the daemon is told is made up here, on the agent's own thread. Requests that come
 * meanwhile overtake it, as they overtake whoever is in such a call on a local disk; but changes of the very
 * file it changes wait for it, and all with them. The kernel sends none before the job is answered, unless
 * whoever asked for that was killed.
 */
#include "agent/files/files.h"
#include "files/data.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOBS_MAX     16u /* what comes then is done at once, and waited for */
#define STACK_SIZE   (64u << 10)
#define LARGE_BLOCKS (64u << 11) /* 64 MiB, to be given back block by block */
#define COPY_MS	     100u	 /* one request's; who wants it to end is heard before the next */

struct file_job {
	struct list link; /* of files.jobs */
	struct file_request q;
	uint32_t tag;
	bool wanted; /* by this connection */
	int fd;	     /* what it is about: what a copy writes to, and else q.handle */
	int other;   /* what a copy reads, or what a new size is set by; or -1 */
	int done;
	bool changes; /* the file with these numbers */
	dev_t dev;
	ino_t ino;
	struct file_result result;
};

/* --- On the thread --- */

static int run(struct file_job *job)
{
	const struct file_request *q = &job->q;

	switch (q->op) {
	case FILE_FSYNC:
		return (q->bits & 1 ? fdatasync(job->fd) : fsync(job->fd)) ? -errno : 0;
	case FILE_FALLOCATE:
		return fallocate(job->fd, (int)q->bits, (off_t)q->offset, (off_t)q->length) ? -errno : 0;
	case FILE_COPY_RANGE:
		return file_copy(q, job->other, job->fd, COPY_MS, &job->result.value);
	case FILE_SETATTR:
		return file_setattr(q, job->fd, job->other);
	default: /* FILE_OPEN */
		job->result.opened = files_open(job->fd, file_open_flags(q->bits));
		return job->result.opened < 0 ? job->result.opened : 0;
	}
}

static void *do_job(void *arg)
{
	struct file_job *job = arg;

	job->result.rc = run(job);
	/* Never full: it holds more than there are jobs. */
	while (write(job->done, &job, sizeof job) < 0 && errno == EINTR)
		;
	return NULL;
}

static bool begin_thread(void *(*work)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool begun;

	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	begun = !pthread_create(&thread, &attr, work, arg);
	pthread_attr_destroy(&attr);
	return begun;
}

/* --- The last of a large file --- */

static atomic_uint closing;

static void *do_close(void *arg)
{
	close((int)(intptr_t)arg);
	atomic_fetch_sub(&closing, 1);
	return NULL;
}

void file_job_close(int fd)
{
	struct stat st;

	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_nlink && st.st_blocks > LARGE_BLOCKS &&
	    atomic_load(&closing) < JOBS_MAX) {
		atomic_fetch_add(&closing, 1);
		if (begin_thread(do_close, (void *)(intptr_t)fd))
			return;
		atomic_fetch_sub(&closing, 1);
	}
	close(fd);
}

/* --- On ours --- */

static void job_free(struct file_job *job)
{
	if (job->fd >= 0)
		close(job->fd);
	if (job->other >= 0)
		close(job->other);
	if (job->result.opened >= 0)
		close(job->result.opened);
	free(job);
}

static void drop(struct files *files, struct file_job *job)
{
	list_remove(&job->link);
	files->job_count--;
	job_free(job);
}

static bool end_one(struct agent *a)
{
	struct file_job *job;

	if (read(a->files->jobs_done.fd, &job, sizeof job) != sizeof job)
		return false;
	files_job_done(a, &job->q, job->tag, job->wanted, &job->result);
	drop(a->files, job);
	return true;
}

static void on_done(struct agent *a, struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	while (end_one(a))
		;
}

static bool begin_pipe(struct agent *a)
{
	struct files *files = a->files;
	int ends[2];

	if (files->jobs_done.fd >= 0)
		return true;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return false;
	files->jobs_done = (struct watch){.fd = ends[0], .ready = on_done};
	files->jobs_end = ends[1];
	if (!watch_add(a, &files->jobs_done, EPOLLIN))
		return true;
	watch_close(&files->jobs_done);
	close(files->jobs_end);
	return false;
}

/* --- Which they are --- */

static struct known_file *find_data(struct files *files, uint64_t number)
{
	struct known_file *h = file_handle_find(files, number);

	return h && h->data ? h : NULL;
}

/* Whether to cut it down to this takes long. */
static bool is_large(const struct known_file *h, uint64_t size)
{
	struct stat st;

	return !fstat(h->fd, &st) && S_ISREG(st.st_mode) && st.st_blocks > LARGE_BLOCKS &&
	       size < (uint64_t)st.st_size;
}

/* A WRITE may be as large, and is done at once. */
static bool is_much(const struct file_request *q, const struct known_file *from)
{
	struct stat st;

	return q->length > FILE_READ_MAX && !fstat(from->fd, &st) && (uint64_t)st.st_size > q->offset &&
	       (uint64_t)st.st_size - q->offset > FILE_READ_MAX;
}

/* What a job of it would be about, *ret_other NULL or set; NULL: it is to be done at once. */
static struct known_file *takes_long(struct files *files, const struct file_request *q,
				     struct known_file **ret_other)
{
	struct known_file *h = file_handle_find(files, q->handle), *other = NULL;
	bool is = false;

	if (!h)
		return NULL;
	switch (q->op) {
	case FILE_FSYNC:
		is = h->data && !(q->bits & FILE_FSYNC_CLOSE);
		break;
	case FILE_FALLOCATE:
		is = h->data;
		break;
	case FILE_COPY_RANGE:
		other = h;
		h = find_data(files, q->other);
		is = h && other->data && is_much(q, other);
		break;
	case FILE_SETATTR:
		other = q->other == FILE_NO_HANDLE ? NULL : find_data(files, q->other);
		is = q->bits & FILE_SET_SIZE && is_large(h, q->length) &&
		     (other || q->other == FILE_NO_HANDLE);
		break;
	case FILE_OPEN:
		is = q->bits & FILE_OPEN_TRUNC && is_large(h, 0);
		break;
	default:
		break;
	}
	*ret_other = other;
	return is ? h : NULL;
}

/* --- Beginning and waiting --- */

static int copy_fd(const struct known_file *h)
{
	return h ? fcntl(h->fd, F_DUPFD_CLOEXEC, 3) : -1;
}

static struct file_job *job_new(const struct file_request *q, const struct known_file *h,
				const struct known_file *other)
{
	struct file_job *job = calloc(1, sizeof *job);
	struct stat st;

	if (!job)
		return NULL;
	job->q = *q; /* it points to nothing */
	job->result.opened = -1;
	job->fd = copy_fd(h);
	job->other = copy_fd(other);
	if (job->fd < 0 || (other && job->other < 0) || fstat(job->fd, &st)) {
		job_free(job);
		return NULL;
	}
	job->changes = q->op != FILE_FSYNC;
	job->dev = st.st_dev;
	job->ino = st.st_ino;
	return job;
}

bool file_job_begin(struct agent *a, const struct file_request *q, uint32_t tag)
{
	struct files *files = a->files;
	struct known_file *other, *h = takes_long(files, q, &other);
	struct file_job *job;

	if (!h || files->job_count >= JOBS_MAX || !begin_pipe(a))
		return false;
	job = job_new(q, h, other);
	if (!job)
		return false;
	job->tag = tag;
	job->wanted = true;
	job->done = files->jobs_end;
	if (!begin_thread(do_job, job)) {
		job_free(job);
		return false;
	}
	list_append(&files->jobs, &job->link);
	files->job_count++;
	return true;
}

/* The file whose data or size it changes, if it is known. */
static const struct known_file *changed_by(struct files *files, const struct file_request *q)
{
	switch (q->op) {
	case FILE_WRITE:
	case FILE_SETATTR:
	case FILE_FALLOCATE:
		return file_handle_find(files, q->handle);
	case FILE_COPY_RANGE:
		return file_handle_find(files, q->other);
	case FILE_OPEN:
		return q->bits & FILE_OPEN_TRUNC ? file_handle_find(files, q->handle) : NULL;
	default:
		return NULL;
	}
}

static bool is_changed(struct files *files, const struct stat *st)
{
	list_each (at, &files->jobs) {
		struct file_job *job = container_of(at, struct file_job, link);

		if (job->changes && job->ino == st->st_ino && job->dev == st->st_dev)
			return true;
	}
	return false;
}

void file_jobs_settle(struct agent *a, const struct file_request *q)
{
	struct files *files = a->files;
	const struct known_file *h = files->job_count ? changed_by(files, q) : NULL;
	struct stat st;

	if (!h || fstat(h->fd, &st))
		return;
	while (is_changed(files, &st)) {
		struct pollfd done = {.fd = files->jobs_done.fd, .events = POLLIN};

		poll(&done, 1, -1);
		end_one(a);
	}
}

static struct file_job *find(struct files *files, uint64_t sequence)
{
	list_each (at, &files->jobs) {
		struct file_job *job = container_of(at, struct file_job, link);

		if (job->q.sequence == sequence)
			return job;
	}
	return NULL;
}

bool file_job_again(struct files *files, uint64_t sequence, uint32_t tag)
{
	struct file_job *job = find(files, sequence);

	if (!job)
		return false;
	job->tag = tag;
	job->wanted = true;
	return true;
}

void file_jobs_lost(struct files *files)
{
	list_each (at, &files->jobs)
		container_of(at, struct file_job, link)->wanted = false;
}

void file_jobs_forget(struct files *files)
{
	list_each (at, &files->jobs) {
		struct file_job *job = container_of(at, struct file_job, link);

		job->wanted = false;
		job->q.sequence = 0;
	}
}

void file_jobs_end(struct files *files)
{
	struct file_job *job;

	if (files->jobs_done.fd < 0)
		return;
	fcntl(files->jobs_done.fd, F_SETFL, 0);
	while (!list_empty(&files->jobs) && read(files->jobs_done.fd, &job, sizeof job) == sizeof job)
		drop(files, job);
	watch_close(&files->jobs_done);
	close(files->jobs_end);
}
