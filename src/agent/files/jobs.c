/*
 * Requests about files that may take long, each on a thread of its own: nothing else waits for them, neither
 * other requests nor the processes.
 *
 * A thread has its job and nothing of the agent's: a descriptor, numbers, and the end of a pipe to say so
 * when it is done. What the daemon is told is made up here, on the agent's own thread. Requests that come
 * meanwhile overtake it, as they overtake whoever is in such a call on a local disk.
 */
#include "agent/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOBS_MAX   16u /* what comes then is done at once, and waited for */
#define STACK_SIZE (64u << 10)

struct file_job {
	struct list link; /* of files.jobs */
	struct file_request q;
	uint32_t tag;
	bool wanted; /* by this connection */
	int fd, done;
	int rc;
};

/* --- On the thread --- */

static int run(const struct file_job *job)
{
	const struct file_request *q = &job->q;

	if (q->op == FILE_FSYNC)
		return (q->bits & 1 ? fdatasync(job->fd) : fsync(job->fd)) ? -errno : 0;
	return fallocate(job->fd, (int)q->bits, (off_t)q->offset, (off_t)q->length) ? -errno : 0;
}

static void *do_job(void *arg)
{
	struct file_job *job = arg;

	job->rc = run(job);
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

#define LARGE_BLOCKS (64u << 11) /* 64 MiB, to be given back block by block */

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

static void drop(struct files *files, struct file_job *job)
{
	list_remove(&job->link);
	files->job_count--;
	close(job->fd);
	free(job);
}

static void on_done(struct agent *a, struct watch *w, uint32_t events)
{
	struct file_job *job;

	(void)events;
	while (read(w->fd, &job, sizeof job) == sizeof job) {
		files_job_done(a, &job->q, job->tag, job->wanted, job->rc);
		drop(a->files, job);
	}
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

bool file_job_begin(struct agent *a, const struct file_request *q, uint32_t tag)
{
	struct known_file *h = file_handle_find(a->files, q->handle);
	struct files *files = a->files;
	struct file_job *job;

	if ((q->op != FILE_FSYNC && q->op != FILE_FALLOCATE) || q->flags || !h || !h->data ||
	    files->job_count >= JOBS_MAX || !begin_pipe(a))
		return false;
	job = calloc(1, sizeof *job);
	if (!job)
		return false;
	job->q = *q; /* it points to nothing */
	job->tag = tag;
	job->wanted = true;
	job->done = files->jobs_end;
	job->fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 3);
	if (job->fd < 0 || !begin_thread(do_job, job)) {
		if (job->fd >= 0)
			close(job->fd);
		free(job);
		return false;
	}
	list_append(&files->jobs, &job->link);
	files->job_count++;
	return true;
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
