#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

static struct list *id_bucket(struct agent *a, uint32_t id)
{
	return &a->by_id[id % HASH_SIZE];
}

static struct list *pid_bucket(struct agent *a, pid_t pid)
{
	return &a->by_pid[(unsigned)pid % HASH_SIZE];
}

struct process *process_find(struct agent *a, uint32_t id)
{
	list_each (at, id_bucket(a, id)) {
		struct process *p = container_of(at, struct process, by_id);

		if (p->id == id)
			return p;
	}
	return NULL;
}

static struct process *find_running(struct agent *a, pid_t pid)
{
	list_each (at, pid_bucket(a, pid)) {
		struct process *p = container_of(at, struct process, by_pid);

		if (p->group == pid && p->running)
			return p;
	}
	return NULL;
}

static void tell_soon(struct agent *a, struct process *p)
{
	if (p->forgotten)
		return;
	list_remove(&p->dirty);
	list_append(&a->dirty, &p->dirty);
}

void process_dirty(struct agent *a, struct process *p)
{
	tell_soon(a, p);
	a->talk = true;
}

void process_dirty_later(struct agent *a, struct process *p, uint64_t ms)
{
	tell_soon(a, p);
	if (a->talk_at > a->now + ms)
		a->talk_at = a->now + ms;
}

static void set_deadline(struct agent *a, struct process *p, uint64_t at)
{
	p->deadline = at;
	if (at < a->next_process)
		a->next_process = at;
}

static uint64_t from_now(const struct agent *a, uint64_t ms)
{
	return ms < NEVER - a->now ? a->now + ms : NEVER;
}

/* --- The START payload, kept as it came to be given back in reports --- */

static int spool_start(struct agent *a, struct process *p, const struct frame *f)
{
	int fd = spool_open(a, p->id, "start", O_WRONLY | O_CREAT | O_EXCL);
	size_t done = 0;
	ssize_t n = 1;

	if (fd < 0)
		return fd;
	while (n > 0 && done < f->length) {
		n = write(fd, f->payload + done, f->length - done);
		if (n > 0)
			done += (size_t)n;
	}
	close(fd);
	p->start_len = f->length;
	p->start_spooled = done == f->length;
	if (!p->start_spooled)
		spool_remove(a, p->id, "start");
	return p->start_spooled ? 0 : -ENOSPC;
}

/* A start that cannot be kept is reported by its name alone. */
static void keep_name(struct process *p, const struct start *s)
{
	struct start bare = {.kind = START_SHELL, .name = s->name, .spool_limit = s->spool_limit};

	buf_free(&p->start);
	buf_init(&p->start, START_IN_MEMORY);
	start_encode(&p->start, &bare);
}

static int keep_start(struct agent *a, struct process *p, const struct frame *f)
{
	buf_init(&p->start, START_IN_MEMORY);
	if (f->length <= START_IN_MEMORY)
		return buf_append(&p->start, f->payload, f->length);
	return spool_start(a, p, f);
}

int process_start_payload(struct agent *a, struct process *p, struct buf *out)
{
	ssize_t n;
	int rc;

	if (!p->start_spooled)
		return buf_append(out, p->start.data, p->start.len);
	rc = buf_reserve(out, p->start_len);
	if (rc)
		return rc;
	n = spool_read(a, p->id, "start", 0, out->data + out->len, p->start_len);
	if (n != (ssize_t)p->start_len)
		return -EIO;
	out->len += p->start_len;
	return 0;
}

/* --- Start --- */

/* Of a process that is not even recorded. */
static void refuse_start(struct agent *a, uint32_t id, const char *reason, const char *text)
{
	struct outcome o = {.kind = OUTCOME_FAILED, .started_ns = wall_ns()};
	struct buf *out = frame_begin(a, &(struct frame){.type = MSG_EXITED, .id = id});

	o.ended_ns = o.started_ns;
	snprintf(o.reason, sizeof o.reason, "%s", reason);
	snprintf(o.text, sizeof o.text, "%s", text);
	frame_finish(a, outcome_encode(out, &o));
}

static struct process *process_new(struct agent *a, uint32_t id, const struct start *s)
{
	struct process *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->id = id;
	p->limit = s->spool_limit;
	p->deadline = NEVER;
	p->outcome.started_ns = wall_ns();
	p->input.pipe = (struct watch){.fd = -1, .ready = input_ready};
	buf_init(&p->input.waiting, INPUT_WINDOW);
	for (int i = 0; i < STREAMS; i++)
		stream_init(&p->streams[i], p, (enum stream_number)i);
	list_init(&p->by_pid);
	list_init(&p->dirty);
	list_append(&a->processes, &p->all);
	list_append(id_bucket(a, id), &p->by_id);
	a->count++;
	return p;
}

static int watch_stream(struct agent *a, struct stream *st, int fd)
{
	st->pipe.fd = fd;
	if (fd < 0)
		return 0;
	fcntl(fd, F_SETFL, O_NONBLOCK); /* a read that had to wait would stop us all */
	return watch_add(a, &st->pipe, EPOLLIN);
}

/* A group whose number a new process got has no members any more. */
static void group_reused(struct agent *a, pid_t pid)
{
	list_each_safe (at, pid_bucket(a, pid)) {
		struct process *p = container_of(at, struct process, by_pid);

		if (p->group == pid) {
			p->group = 0;
			list_remove(&p->by_pid);
		}
	}
}

static void set_failed(struct process *p, const char *reason, const char *text)
{
	p->outcome.kind = OUTCOME_FAILED;
	snprintf(p->outcome.reason, sizeof p->outcome.reason, "%s", reason);
	snprintf(p->outcome.text, sizeof p->outcome.text, "%s", text);
}

static void process_began(struct agent *a, struct process *p, const struct start *s,
			  const struct spawned *child)
{
	int rc;

	group_reused(a, child->pid);
	a->alone = false;
	p->running = true;
	p->group = child->pid;
	list_append(pid_bucket(a, child->pid), &p->by_pid);
	rc = watch_stream(a, &p->streams[STREAM_OUT], child->out);
	rc |= watch_stream(a, &p->streams[STREAM_ERR], child->err);
	p->input.pipe.fd = child->in;
	p->input.closed = child->in < 0;
	p->streams[STREAM_OUT].terminal = p->input.terminal = s->tty;
	p->input.told_closed = !s->input;
	if (child->in >= 0)
		rc |= watch_add(a, &p->input.pipe, 0);
	if (s->timeout_ms)
		set_deadline(a, p, from_now(a, s->timeout_ms));
	/* It would wait for ever for us to read what it says. */
	if (rc) {
		set_failed(p, "SPAWN", "no memory to watch its pipes");
		process_stop(a, p, OUTCOME_FAILED, 0);
	}
	/* A short command ends before anybody could use the news that it began. */
	process_dirty_later(a, p, STARTED_DELAY_MS);
}

static void process_failed(struct agent *a, struct process *p)
{
	p->outcome.ended_ns = wall_ns();
	p->input.closed = p->input.told_closed = true;
	p->told_started = true;
	for (int i = 0; i < STREAMS; i++)
		p->streams[i].ended = true;
	process_dirty(a, p);
}

void process_start(struct agent *a, uint32_t id, const struct frame *f, struct start *s)
{
	struct spawned child;
	struct process *p;

	if (a->count >= PROCESSES_MAX) {
		refuse_start(a, id, "TOO_MANY_PROCESSES",
			     "the sandbox keeps too many processes: remove some");
		return;
	}
	p = process_new(a, id, s);
	if (!p) {
		refuse_start(a, id, "SPAWN", "the sandbox is out of memory");
		return;
	}
	if (a->ending) {
		set_failed(p, "ENDING", "the sandbox is ending");
		keep_name(p, s);
	} else if (keep_start(a, p, f)) {
		set_failed(p, "SPOOL", "no room for the command's text in the spool");
		keep_name(p, s);
	} else if (!spawn(a, s, &child, &p->outcome)) {
		process_began(a, p, s, &child);
		return;
	}
	process_failed(a, p);
}

/* --- While it runs --- */

/* As when a line drops: the kernel tells whoever the terminal was for, and reads there end. */
static void hang_up(struct process *p)
{
	input_close(&p->input);
	stream_close(&p->streams[STREAM_OUT]);
	/* Nothing more can come, whatever room there is. */
	p->streams[STREAM_OUT].full = p->streams[STREAM_OUT].starved = false;
}

void process_signal(struct process *p, int sig)
{
	if (!p->running)
		return;
	if (sig == SIGHUP && p->streams[STREAM_OUT].terminal)
		hang_up(p);
	else
		spawn_signal(p->group, sig);
}

static void kill_group(struct process *p)
{
	p->stopping = STOP_KILLED;
	p->deadline = NEVER;
	if (p->group)
		spawn_signal(p->group, SIGKILL);
}

void process_stop(struct agent *a, struct process *p, enum outcome_kind as, uint64_t grace_ms)
{
	uint64_t kill_at = from_now(a, grace_ms);

	if (p->stopping == STOP_TERM) {
		if (kill_at < p->deadline)
			set_deadline(a, p, kill_at);
		return;
	}
	if (!p->running || p->stopping)
		return;
	p->stopping = STOP_TERM;
	p->stopped_as = (uint8_t)as;
	spawn_signal(p->group, SIGTERM);
	spawn_signal(p->group, SIGCONT); /* a stopped process takes no TERM */
	if (grace_ms)
		set_deadline(a, p, kill_at);
	else
		kill_group(p);
}

void process_resize(struct process *p, uint32_t columns, uint32_t rows)
{
	const struct stream *st = &p->streams[STREAM_OUT];

	if (st->terminal && st->pipe.fd >= 0)
		spawn_resize(st->pipe.fd, columns, rows);
}

void process_limit(struct agent *a, struct process *p, uint64_t limit)
{
	p->limit = limit;
	for (int i = 0; i < STREAMS; i++)
		if (p->streams[i].size < limit)
			stream_resume(a, &p->streams[i]);
}

void process_retry(struct agent *a)
{
	a->retry_at = NEVER;
	list_each (at, &a->processes) {
		struct process *p = container_of(at, struct process, all);

		for (int i = 0; i < STREAMS; i++)
			if (p->streams[i].starved)
				stream_resume(a, &p->streams[i]);
	}
}

void process_deadlines(struct agent *a)
{
	a->next_process = NEVER;
	list_each (at, &a->processes) {
		struct process *p = container_of(at, struct process, all);

		if (p->deadline > a->now) {
			if (p->deadline < a->next_process)
				a->next_process = p->deadline;
		} else if (p->stopping == STOP_TERM) {
			/* Also when the process itself has obeyed: others of its group may not have. */
			kill_group(p);
		} else {
			p->deadline = NEVER;
			process_stop(a, p, OUTCOME_TIMEOUT, KILL_GRACE_MS);
		}
	}
}

/* --- The end --- */

static void set_outcome(const struct agent *a, struct process *p, int status)
{
	struct outcome *o = &p->outcome;

	o->ended_ns = wall_ns();
	if (p->stopped_as) {
		o->kind = p->stopped_as;
	} else if (WIFSIGNALED(status) && a->ending) {
		o->kind = OUTCOME_CANCELED; /* by the end of the sandbox, whatever signal it took */
	} else if (WIFSIGNALED(status)) {
		o->kind = OUTCOME_SIGNALED;
		o->value = (uint32_t)WTERMSIG(status);
	} else {
		o->kind = OUTCOME_EXITED;
		o->value = (uint32_t)WEXITSTATUS(status);
	}
}

void process_exited(struct agent *a, pid_t pid, int status)
{
	struct process *p = find_running(a, pid);

	/* Else it is an orphan of somebody, ours to reap and no more. */
	if (!p)
		return;
	p->running = false;
	if (p->stopping != STOP_TERM)
		p->deadline = NEVER;
	set_outcome(a, p, status);
	input_close(&p->input);
	p->input.told_closed = true; /* EXITED says so */
	if (p->forgotten) {
		process_remove(a, p);
		return;
	}
	for (int i = 0; i < STREAMS; i++)
		stream_drain(a, &p->streams[i]);
	process_dirty(a, p);
}

void process_forget(struct agent *a, struct process *p)
{
	if (p->running || p->stopping == STOP_TERM)
		kill_group(p);
	if (p->running) {
		p->forgotten = true;
		list_remove(&p->dirty);
	} else {
		process_remove(a, p);
	}
}

void process_remove(struct agent *a, struct process *p)
{
	for (int i = 0; i < STREAMS; i++)
		stream_free(&p->streams[i]);
	input_close(&p->input);
	spool_forget(a, p);
	if (a->conn.cursor == &p->all)
		a->conn.cursor = p->all.prev;
	list_remove(&p->all);
	list_remove(&p->by_id);
	list_remove(&p->by_pid);
	list_remove(&p->dirty);
	a->count--;
	/* Events of this round may still point to its watches. */
	list_append(&a->trash, &p->all);
}

void process_free(struct process *p)
{
	buf_free(&p->start);
	buf_free(&p->input.waiting);
	for (int i = 0; i < STREAMS; i++)
		buf_free(&p->streams[i].held);
	free(p);
}
