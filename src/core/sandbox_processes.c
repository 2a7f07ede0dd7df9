/* A sandbox's processes: found by the agent's number, counted, pruned, ended with it. */
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/session.h"
#include "core/waiter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PROCESS_BUCKETS 64

void sandbox_register_process(struct sandbox *s, struct process *p, uint32_t id)
{
	if (!s->by_id)
		s->by_id = calloc(PROCESS_BUCKETS, sizeof *s->by_id);
	if (!s->by_id)
		abort(); /* 512 bytes: a machine without them has ended already */
	p->id = id;
	p->next_by_id = s->by_id[id % PROCESS_BUCKETS];
	s->by_id[id % PROCESS_BUCKETS] = p;
}

void sandbox_count_command(struct sandbox *s)
{
	s->commands++;
	COUNT(s, commands, 1);
}

void sandbox_unregister_process(struct sandbox *s, struct process *p)
{
	struct process **at = &s->by_id[p->id % PROCESS_BUCKETS];

	while (*at != p)
		at = &(*at)->next_by_id;
	*at = p->next_by_id;
	if (s->latest == p) {
		s->latest = NULL;
		object_unref(&p->object);
	}
}

struct process *sandbox_process_by_id(struct sandbox *s, uint32_t id)
{
	struct process *p = s->by_id ? s->by_id[id % PROCESS_BUCKETS] : NULL;

	while (p && p->id != id)
		p = p->next_by_id;
	return p;
}

void sandbox_set_latest(struct sandbox *s, struct process *p)
{
	if (s->latest)
		object_unref(&s->latest->object);
	s->latest = (struct process *)object_ref(&p->object);
}

/* Somebody reads what the agent has not sent to its end, and would take the cut for the end. */
static bool is_awaited(const struct process *p)
{
	for (int i = 0; i < STREAMS; i++)
		if (p->streams[i].readers && !p->streams[i].ended)
			return true;
	return false;
}

static bool may_go(const struct process *p)
{
	return process_ended(p) && !is_awaited(p) && (p->numbered || (p->passing && p->object.refs == 1));
}

static void prune(struct sandbox *s)
{
	while (s->kept_ended > PROCESSES_KEPT) {
		struct process *oldest = NULL;

		list_each (pos, &s->object.children) {
			struct process *p = (struct process *)container_of(pos, struct object, sibling);

			if (may_go(p) && p != s->latest) {
				oldest = p;
				break;
			}
		}
		if (!oldest)
			return;
		process_drop(oldest);
	}
}

/* A sandbox lives as long as its main process. */
static void main_ended(struct sandbox *s)
{
	struct buf status;
	struct error err;

	if (s->stopping || s->settling)
		return;
	if (process_exit_number(s->main) != 0) {
		buf_init(&status, 1024);
		process_status(s->main, &status);
		error_set(&err, EIO, "MAIN_FAILED", "the main process ended: %s", buf_text(&status));
		buf_free(&status);
		sandbox_set_cause(s, &err);
	}
	sandbox_stop(s, STOP_GRACE_MS);
}

void sandbox_process_ended(struct sandbox *s, struct process *p)
{
	if (p == s->main) {
		main_ended(s);
		return;
	}
	if (p->state == PROCESS_EXITED && p->value == 0) {
		s->succeeded++;
		COUNT(s, succeeded, 1);
	} else if (p->state == PROCESS_EXITED) {
		s->nonzero++;
		COUNT(s, nonzero, 1);
	} else {
		s->failures++;
		COUNT(s, failures, 1);
	}
	COUNT(s, output_bytes, p->streams[STREAM_OUT].size + p->streams[STREAM_ERR].size);
	if ((p->numbered || p->passing) && p->object.listed) {
		s->kept_ended++;
		prune(s);
	}
}

/* The agent cannot tell any more how far the output reaches: the files can. */
static void measure_spools(struct sandbox *s, struct process *p)
{
	struct stat st;
	char name[24];

	for (int i = 0; i < STREAMS && s->spool_dir >= 0 && p->id; i++) {
		spool_name(p->id, i, name);
		if (fstatat(s->spool_dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			stream_grow(&p->streams[i], (uint64_t)st.st_size, false);
	}
}

void sandbox_end_process(struct sandbox *s, struct process *p, const struct error *why)
{
	char failure[sizeof why->reason + sizeof why->text + 4];

	if (process_ended(p) || p->state == PROCESS_NONE) {
		process_end_output(p);
		sink_close(&p->input);
		core_wake(&p->enders);
		core_wake(&p->inbox.waiters);
		return;
	}
	measure_spools(s, p);
	if (s->stopping) {
		process_finish(p, PROCESS_CANCELED, 0, NULL);
	} else if (p->sent) {
		process_finish(p, PROCESS_LOST, 0, NULL);
	} else {
		snprintf(failure, sizeof failure, "%s: %s", why ? why->reason : "SANDBOX_ENDED",
			 why ? why->text : "the sandbox ended before the command was started");
		process_finish(p, PROCESS_FAILED, 0, failure);
	}
}
