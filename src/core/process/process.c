#include "core/process/process.h"

#include "base/utf8.h"
#include "core/process/command.h"
#include "core/report/events.h"
#include "core/mount.h"
#include "core/sandbox.h"
#include "core/waiter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct sandbox *process_sandbox(const struct process *p)
{
	return (struct sandbox *)p->object.parent;
}

/* --- Making and freeing --- */

static void destroy(struct object *o)
{
	struct process *p = (struct process *)o;

	for (int i = 0; i < STREAMS; i++)
		stream_fini(&p->streams[i]);
	sink_fini(&p->input);
	start_free(&p->start);
	free(p->failure);
	free(p);
}

static int open_spool(struct process *p, enum stream_number stream)
{
	struct sandbox *s = process_sandbox(p);
	char name[24];
	int fd;

	spool_name(p->id, stream, name);
	fd = openat(s->spool_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_out(struct stream *st)
{
	return open_spool(container_of(st, struct process, streams[STREAM_OUT]), STREAM_OUT);
}

static int open_err(struct stream *st)
{
	return open_spool(container_of(st, struct process, streams[STREAM_ERR]), STREAM_ERR);
}

/* As src/client names its own, "run-", a pid, "-", a number, and core/terminal "tty-" and a number. */
static bool is_passing(const char *name)
{
	static const char digits[] = "0123456789";
	size_t first, second;

	if (strncmp(name, "run-", 4) != 0 && strncmp(name, "tty-", 4) != 0)
		return false;
	if (*name == 't')
		return name[4] && !name[4 + strspn(name + 4, digits)];
	name += 4;
	first = strspn(name, digits);
	second = name[first] == '-' ? strspn(name + first + 1, digits) : 0;
	return first && second && !name[first + 1 + second];
}

static struct process *new_process(struct sandbox *s, const char *name)
{
	struct process *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	stream_init(&p->streams[STREAM_OUT], open_out);
	stream_init(&p->streams[STREAM_ERR], open_err);
	sink_init(&p->input);
	list_init(&p->enders);
	p->passing = is_passing(name);
	p->columns = TERMINAL_COLUMNS;
	p->rows = TERMINAL_ROWS;
	inbox_init(&p->inbox, &p->object);
	if (object_add(&p->object, OBJECT_PROCESS, &s->object, name, destroy)) {
		free(p);
		return NULL;
	}
	object_unref(&p->object); /* the listing's reference keeps it */
	return p;
}

static int too_many(struct sandbox *s, struct error *err)
{
	if (s->object.child_count < PROCESSES_MAX)
		return 0;
	return error_set(err, EAGAIN, "TOO_MANY_PROCESSES", "a sandbox has at most %d processes",
			 PROCESSES_MAX);
}

int process_make(struct sandbox *s, const char *name, struct error *err)
{
	int rc = object_name_check(name);

	if (rc)
		return error_set(err, -rc, "INVALID_NAME",
				 "a name has 1 to %d bytes of A-Z a-z 0-9 . _ - and starts and ends with a "
				 "letter or digit",
				 NAME_MAX_BYTES);
	if (object_child(&s->object, name))
		return error_set(err, EEXIST, "EXISTS", "there is a process %s already", name);
	if (name[strspn(name, "0123456789")] == '\0')
		return error_set(err, EINVAL, "INVALID_NAME",
				 "names of digits only are given to commands by number");
	rc = too_many(s, err);
	if (rc)
		return rc;
	rc = sandbox_refuses_commands(s, err);
	if (rc)
		return rc;
	return new_process(s, name) ? 0 : error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
}

/* --- Starting --- */

#define TERMINAL_ENV "TERM=xterm" /* what every system knows; over it comes what was asked for */

static int complete_start(struct sandbox *s, struct process *p, struct start *start)
{
	if (!start->cwd)
		start->cwd = strdup(config_text(&s->effective, CONFIG_CWD));
	start->name = strdup(p->object.name);
	start->spool_limit = p->limit_most = mount_spool_limit();
	if (!start->cwd || !start->name)
		return -ENOMEM;
	if (start->tty) {
		start->columns = p->columns;
		start->rows = p->rows;
		start->input = true; /* somebody may type */
	}
	return command_add_env(start, config_text(&s->effective, CONFIG_ENV)) ||
		       (start->tty && command_add_env(start, TERMINAL_ENV))
		   ? -ENOMEM
		   : 0;
}

int process_submit(struct sandbox *s, struct process *named, struct start *start, struct process **ret,
		   struct error *err)
{
	char failure[sizeof err->reason + sizeof err->text + 4], number[24];
	struct process *p = named;
	int rc;

	rc = p ? 0 : too_many(s, err);
	if (rc)
		return rc;
	/* A sandbox that turns out not to start makes its first command a failed one. */
	rc = sandbox_need(s, err);
	if (rc && s->state != SANDBOX_FAILED)
		return rc;
	if (!p) {
		snprintf(number, sizeof number, "%" PRIu64, s->last_number + 1);
		p = new_process(s, number);
		if (!p)
			return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
		p->numbered = true;
		s->last_number++;
	}
	if (rc)
		snprintf(failure, sizeof failure, "%s: %s", err->reason, err->text);
	if (complete_start(s, p, start)) {
		if (!named)
			object_remove(&p->object);
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	}
	sink_go_live(&p->input, start->input);
	start->input = p->input.wanted;
	p->start = *start;
	p->state = PROCESS_STARTING;
	p->committed_ns = now_ns();
	sandbox_register_process(s, p, ++s->last_id);
	sandbox_count_command(s);
	if (!p->passing)
		sandbox_set_latest(s, p);
	if (rc) {
		process_finish(p, PROCESS_FAILED, 0, failure);
	} else {
		process_send(p);
		event_process(p);
	}
	*ret = p;
	return 0;
}

struct process *process_make_main(struct sandbox *s, const char *text)
{
	struct process *p = new_process(s, "main");

	if (!p)
		return NULL;
	object_ref(&p->object);
	object_remove(&p->object);
	p->start = (struct start){.kind = START_SHELL, .merge = true, .text = strdup(text)};
	if (!p->start.text || complete_start(s, p, &p->start)) {
		object_unref(&p->object);
		return NULL;
	}
	p->start.text_len = (uint32_t)strlen(text);
	sink_go_live(&p->input, false);
	p->state = PROCESS_STARTING;
	p->committed_ns = now_ns();
	sandbox_register_process(s, p, MAIN_ID);
	return p;
}

void process_send(struct process *p)
{
	static const struct outcome too_large = {
	    .kind = OUTCOME_FAILED,
	    .reason = "TOO_LARGE",
	    .text = "the command and its environment are more than the agent takes",
	};
	static const struct outcome busy = {
	    .kind = OUTCOME_FAILED,
	    .reason = "BUSY",
	    .text = "the way to the sandbox is congested",
	};
	struct sandbox *s = process_sandbox(p);
	int rc;

	if (!sandbox_runs(s) || !s->reach.ready || p->sent || p->state == PROCESS_NONE || process_ended(p))
		return;
	still_ends(s);
	rc = channel_start(s->channel, p->id, &p->start);
	still_given(s, rc);
	if (rc == -EPIPE) /* it waits for the next channel */
		return;
	if (rc) { /* its end may prune it */
		process_apply_outcome(p, rc == -EFBIG || rc == -EPROTO ? &too_large : &busy);
		return;
	}
	p->sent = true;
	p->sent_to = s->agent_born;
	process_pump_input(p);
}

void process_pump_input(struct process *p)
{
	struct sandbox *s = process_sandbox(p);
	struct sink_piece piece;
	int rc;

	if (!p->sent || !s->reach.ready)
		return;
	while (sink_next(&p->input, &piece)) {
		if (piece.end)
			rc = channel_input_end(s->channel, p->id, piece.offset);
		else
			rc = channel_input(s->channel, p->id, piece.offset, piece.data, piece.len);
		if (rc) { /* after a gap the agent would take no more: a new channel starts where it is */
			reconnect_if_unsent(s, rc);
			return;
		}
	}
}

/* --- The end --- */

bool process_ended(const struct process *p)
{
	return p->state > PROCESS_RUNNING;
}

void process_end_output(struct process *p)
{
	int after = p->state == PROCESS_NONE || p->state == PROCESS_CANCELED ? 0 : EIO;

	for (int i = 0; i < STREAMS; i++)
		if (!p->streams[i].ended || p->state == PROCESS_FAILED || p->state == PROCESS_LOST)
			stream_end(&p->streams[i], after);
}

void process_finish(struct process *p, enum process_state state, uint32_t value, const char *failure)
{
	struct sandbox *s = process_sandbox(p);

	if (process_ended(p))
		return;
	p->state = state;
	p->value = value;
	p->failure = failure ? strdup(failure) : NULL;
	if (p->failure) /* a line of `status`, in part in the agent's words or those of the command's text */
		utf8_make_printable(p->failure);
	if (!p->ended_ns)
		p->ended_ns = now_ns();
	/* What the agent tells of its streams comes before the exit; without an agent they end here. */
	if (state == PROCESS_FAILED || state == PROCESS_LOST || (state == PROCESS_CANCELED && !s->channel))
		process_end_output(p);
	sink_close(&p->input);
	core_wake(&p->enders);
	event_process(p);
	sandbox_process_ended(s, p);
}

void process_drop(struct process *p)
{
	struct sandbox *s = process_sandbox(p);

	if ((p->numbered || p->passing) && process_ended(p))
		s->kept_ended--;
	object_ref(&p->object);
	object_remove(&p->object);
	for (int i = 0; i < STREAMS; i++)
		stream_pin(&p->streams[i]);
	if (p->sent && s->channel)
		channel_forget(s->channel, p->id);
	if (p->state != PROCESS_NONE) {
		process_finish(p, PROCESS_CANCELED, 0, NULL);
		sandbox_unregister_process(s, p);
	}
	process_end_output(p);
	core_wake(&p->inbox.waiters);
	object_unref(&p->object);
}

void process_apply_outcome(struct process *p, const struct outcome *o)
{
	static const enum process_state states[OUTCOMES] = {
	    [OUTCOME_EXITED] = PROCESS_EXITED,	 [OUTCOME_SIGNALED] = PROCESS_SIGNALED,
	    [OUTCOME_TIMEOUT] = PROCESS_TIMEOUT, [OUTCOME_CANCELED] = PROCESS_CANCELED,
	    [OUTCOME_FAILED] = PROCESS_FAILED,
	};
	char failure[sizeof o->reason + sizeof o->text + 4];
	struct error err;

	p->started_ns = o->started_ns;
	p->ended_ns = o->ended_ns;
	snprintf(failure, sizeof failure, "%s: %s", o->reason, o->text);
	if (o->kind == OUTCOME_FAILED) {
		error_set(&err, EIO, o->reason, "process %s: %s", p->object.name, o->text);
		sandbox_set_error(process_sandbox(p), &err);
	}
	process_finish(p, states[o->kind], o->value, o->kind == OUTCOME_FAILED ? failure : NULL);
}

/* --- Of an earlier mount --- */

/*
 * The name was declared before it was known that a command has it: it is that command, and a text for it is
 * refused. Who staged input for another, or is about to, writes to nobody.
 */
static void yield_name(struct process *p)
{
	if (p->input.opened)
		sink_close(&p->input);
}

struct process *process_adopt(struct sandbox *s, uint32_t id, struct report *r)
{
	const char *name = r->start.name ? r->start.name : "";
	bool numbered = *name && name[strspn(name, "0123456789")] == '\0';
	struct process *p = id == MAIN_ID ? NULL : (struct process *)object_child(&s->object, name);

	if (object_name_check(name) || (p ? p->state != PROCESS_NONE : too_many(s, NULL) != 0))
		return NULL;
	if (p)
		yield_name(p);
	else
		p = new_process(s, name);
	if (!p)
		return NULL;
	if (id == MAIN_ID) {
		s->main = (struct process *)object_ref(&p->object);
		object_remove(&p->object);
	}
	p->numbered = numbered;
	p->start = r->start;
	process_adopt_limit(p, r);
	r->start = (struct start){0};
	p->state = PROCESS_STARTING;
	p->committed_ns = r->outcome.started_ns;
	sink_go_live(&p->input, p->start.input);
	sandbox_register_process(s, p, id);
	if (id != MAIN_ID)
		sandbox_count_command(s);
	if (numbered && strtoull(name, NULL, 10) > s->last_number)
		s->last_number = strtoull(name, NULL, 10);
	if (id > s->last_id)
		s->last_id = id;
	if (id != MAIN_ID && !p->passing &&
	    (!s->latest || id > s->latest->id)) /* ids follow the order of the commands */
		sandbox_set_latest(s, p);
	process_resume(p, r);
	return p;
}

/* --- Verbs --- */

/* No sentence for what has ended: who signals cannot know that it is about to, and would leave a failure in
 * `error` that is none. ESRCH says it all, as kill(2) does. */
static int need_running(struct process *p, struct error *err)
{
	if (p->state == PROCESS_NONE)
		return error_set(err, ESRCH, "NOT_STARTED", "process %s has no command yet", p->object.name);
	if (process_ended(p))
		return -ESRCH;
	if (!p->sent)
		return error_set(err, EAGAIN, "STARTING", "process %s is being started", p->object.name);
	return 0;
}

int process_signal(struct process *p, int signal, struct error *err)
{
	struct sandbox *s = process_sandbox(p);
	int rc = need_running(p, err);

	rc = rc ? rc : reconnect_refuses(s, err);
	if (rc)
		return rc;
	rc = s->reach.ready ? channel_signal(s->channel, p->id, (uint32_t)signal) : -EPIPE;
	if (rc != -EPIPE)
		return rc;
	p->signals |= 1ull << (signal - 1);
	return 0;
}

int process_input_eof(struct process *p)
{
	if (process_ended(p))
		return -ESRCH;
	p->input.end = true;
	process_pump_input(p);
	return 0;
}
