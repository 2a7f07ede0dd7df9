#include "backend/aviato/stand_in/command.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/exec_message.h"
#include "backend/aviato/failure.h"
#include "base/log.h"
#include "rpc/base64.h"
#include "rpc/call.h"
#include "rpc/json.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE	     (64u << 10) /* bytes in one message or frame */
#define PENDING_HIGH (256u << 10)
#define PENDING_MAX  (128u << 20) /* what one message of the service can be */
#define PER_MS	     64u	  /* bytes of a text that are written into a file, at least */
#define GRACE_MS     2000u	  /* of a timeout */
#define LAST_MS	     5000u	  /* from KILL until the call is given up */

uint64_t command_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- Output, and the end --- */

/* What core has room for of one stream. */
static void tell_output(struct command *c, enum stream_number stream)
{
	struct command_output *o = &c->outputs[stream];
	uint64_t until = o->window < o->limit ? o->window : o->limit;
	size_t used = 0, len;
	bool full;

	while (used < o->pending.len && o->told < until) {
		len = o->pending.len - used < PIECE ? o->pending.len - used : PIECE;
		if (len > until - o->told)
			len = (size_t)(until - o->told);
		stand_in_tell_number(c->stand_in, MSG_OUTPUT, c->id, stream, 0, o->told,
				     o->pending.data + used, len);
		used += len;
		o->told += len;
	}
	if (used)
		buf_consume(&o->pending, used);
	if (!o->pending.len)
		buf_free(&o->pending);
	full = o->pending.len && o->told == o->limit;
	if (full != o->full)
		stand_in_tell_number(c->stand_in, MSG_GREW, c->id, stream, full ? GREW_FULL : 0, o->told,
				     NULL, 0);
	o->full = full;
}

static void tell_outcome(struct command *c)
{
	struct frame f = {.type = MSG_EXITED, .id = c->id};
	struct buf payload;

	buf_init(&payload, 4096);
	if (outcome_encode(&payload, &c->outcome) == 0) {
		f.payload = (const uint8_t *)payload.data;
		f.length = (uint32_t)payload.len;
		stand_in_tell(c->stand_in, &f);
	}
	buf_free(&payload);
}

/* Tells what can be told; the last of it frees the command, and false is returned. */
static bool settle(struct command *c)
{
	bool held = false, left = false;

	for (int i = 0; i < STREAMS; i++) {
		tell_output(c, i);
		held |= c->outputs[i].pending.len > PENDING_HIGH;
		left |= c->outputs[i].pending.len > 0;
	}
	if (c->call && held != c->held)
		call_hold(c->call, held);
	c->held = held;
	if (!c->over || left)
		return true;
	/* Of one that failed core ends the streams, as it does of one that was lost. */
	for (uint8_t i = 0; i < STREAMS && c->outcome.kind != OUTCOME_FAILED; i++)
		stand_in_tell_number(c->stand_in, MSG_END, c->id, i, 0, c->outputs[i].told, NULL, 0);
	tell_outcome(c);
	command_free(c);
	return false;
}

static void drop_call(struct command *c)
{
	if (c->call)
		call_cancel(c->call);
	c->call = NULL;
	delay_cancel(c->delay);
	delay_cancel(c->patience);
	c->delay = c->patience = NULL;
}

static void finish(struct command *c, enum outcome_kind kind, uint32_t value, const char *reason,
		   const char *text)
{
	drop_call(c);
	c->over = true;
	if (c->ending != OUTCOME_EXITED) {
		kind = c->ending;
		command_kill(c, SIGKILL); /* what it has left behind */
	}
	c->outcome.kind = (uint8_t)kind;
	c->outcome.value = kind == OUTCOME_EXITED || kind == OUTCOME_SIGNALED ? value : 0;
	c->outcome.ended_ns = command_clock_ns();
	if (kind == OUTCOME_FAILED) {
		snprintf(c->outcome.reason, sizeof c->outcome.reason, "%s", reason);
		snprintf(c->outcome.text, sizeof c->outcome.text, "%s", text);
	}
	settle(c);
}

static void fail(struct command *c, const struct error *why)
{
	struct stand_in *s = c->stand_in;

	finish(c, OUTCOME_FAILED, 0, why->reason, why->text);
	stand_in_flush(s);
	stand_in_doubt(s);
}

static void tell_started(struct command *c)
{
	if (c->started)
		return;
	c->started = true;
	delay_cancel(c->patience);
	c->patience = NULL;
	c->outcome.started_ns = command_clock_ns();
	stand_in_tell_number(c->stand_in, MSG_STARTED, c->id, 0, 0, c->outcome.started_ns, NULL, 0);
}

/* --- What the service says --- */

static bool one_stream(const struct command *c)
{
	return c->start.merge || c->start.tty;
}

static void on_output(struct command *c, const struct exec_message *m)
{
	struct command_output *o = &c->outputs[m->is_stderr && !one_stream(c) ? STREAM_ERR : STREAM_OUT];
	char lost[80];

	command_lost_cwd(c, lost, sizeof lost);
	if ((m->is_stderr || one_stream(c)) && *c->start.cwd && !o->told && o->pending.len == m->len &&
	    m->len == strlen(lost) + (c->start.tty ? 2 : 1) &&
	    memcmp(o->pending.data, lost, strlen(lost)) == 0) {
		c->lost_cwd = true;
		o->pending.len = 0;
	}
}

static void on_exit_told(struct command *c, int64_t code)
{
	struct stand_in *s = c->stand_in;
	char text[200];

	if (c->lost_cwd && code == 125) {
		snprintf(text, sizeof text, "cannot go to %.150s", c->start.cwd);
		finish(c, OUTCOME_FAILED, 0, "CWD", text);
	} else if (c->leaving && (code == 128 + SIGTERM || code == 128 + SIGKILL)) {
		finish(c, OUTCOME_CANCELED, 0, NULL, NULL); /* by the end of the sandbox */
	} else if (c->signal && code == 128 + (int64_t)c->signal) {
		finish(c, OUTCOME_SIGNALED, c->signal, NULL, NULL);
	} else {
		finish(c, OUTCOME_EXITED, (uint32_t)code & 255, NULL, NULL);
	}
	if (code == 128 + SIGKILL || code == 128 + SIGTERM)
		stand_in_doubt(s);
}

static void on_error(struct command *c, const char *code, const char *message)
{
	struct error why;

	error_set(&why, EIO, *code ? code : "STREAM_FAILED", "%s", message);
	fail(c, &why);
}

static void on_message(void *owner, const char *text, size_t len)
{
	struct command *c = owner;
	struct stand_in *s = c->stand_in;
	struct command_output *out = &c->outputs[STREAM_OUT];
	struct command_output *err = one_stream(c) ? out : &c->outputs[STREAM_ERR];
	struct exec_message m;
	int rc = exec_message_decode(text, len, &out->pending, &err->pending, &m);

	tell_started(c);
	if (rc) {
		on_error(c, "STREAM_FAILED", rc == -EPROTO ? "what came makes no sense" : "out of memory");
	} else if (m.kind == EXEC_OUTPUT) {
		on_output(c, &m);
		settle(c);
	} else if (m.kind == EXEC_EXIT) {
		on_exit_told(c, m.exit_code);
	} else if (m.kind == EXEC_ERROR) {
		on_error(c, m.code, m.message);
	} else {
		command_pump_input(c);
	}
	stand_in_flush(s);
}

static void on_writable(void *owner)
{
	struct command *c = owner;

	command_pump_input(c);
	stand_in_flush(c->stand_in);
}

static void on_ended(void *owner, const struct rpc_status *status)
{
	struct command *c = owner;
	struct error why;

	c->call = NULL;
	if (status->code == RPC_OK)
		error_set(&why, EIO, "NO_EXIT", "the service did not say how the command ended");
	else
		failure_set(&why, status, c->started ? "follow the command" : "run the command");
	fail(c, &why);
}

/* --- The beginning --- */

static void overdue(void *arg)
{
	struct command *c = arg;
	struct stand_in *s = c->stand_in;

	c->delay = NULL;
	command_cancel(c, OUTCOME_TIMEOUT, GRACE_MS);
	stand_in_flush(s);
}

static void unanswered(void *arg)
{
	struct command *c = arg;
	struct error why;

	c->patience = NULL;
	command_kill(c, SIGKILL); /* it may run all the same */
	stand_in_unanswered(c->stand_in, &why);
	fail(c, &why);
}

static void run(struct command *c)
{
	static const struct call_events events = {on_message, on_writable, on_ended};
	char *text = command_init(c), method[96];
	uint64_t ms = c->start.timeout_ms < INT_MAX ? c->start.timeout_ms : INT_MAX;
	struct error why;

	aviato_method("StreamExec", method, sizeof method);
	c->call = text ? call_start(c->stand_in->aviato->endpoint, CALL_DUPLEX, method, text, strlen(text), 0,
				    &events, c)
		       : NULL;
	free(text);
	if (ms)
		c->delay = delay_start((unsigned)ms, overdue, c);
	c->patience = delay_start(c->stand_in->aviato->timeout_ms, unanswered, c);
	if (!c->call || !c->patience || (ms && !c->delay)) {
		error_set(&why, ENOMEM, "NO_MEMORY", "out of memory");
		fail(c, &why);
	} else if (!c->start.input && !c->start.tty) {
		call_finish(c->call);
	} else {
		call_persist(c->call);
	}
}

static void uploaded(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct command *c = owner;
	struct error why;

	if (answer) {
		run(c);
		return;
	}
	failure_set(&why, status, "write the command into a file");
	fail(c, &why);
}

static void upload(struct command *c)
{
	cJSON *body = cJSON_CreateObject();
	char path[80], *content = malloc(BASE64_ENCODED((size_t)c->start.text_len) + 1);
	uint32_t ms = c->stand_in->aviato->timeout_ms + (uint32_t)c->start.text_len / PER_MS;

	command_file(c, path, sizeof path);
	cJSON_AddStringToObject(body, "sandboxId", c->stand_in->sandbox_id);
	cJSON_AddStringToObject(body, "path", path);
	if (content) {
		base64_encode(c->start.text, c->start.text_len, content);
		content[BASE64_ENCODED((size_t)c->start.text_len)] = '\0';
		cJSON_AddStringToObject(body, "content", content);
	}
	free(content);
	request_start(&c->upload, c->stand_in->aviato, "WriteFile", body, ms, 0, uploaded, c);
}

int command_begin(struct stand_in *s, uint32_t id, struct start *start)
{
	struct command *c = calloc(1, sizeof *c);
	struct error why;

	if (!c)
		return -ENOMEM;
	c->stand_in = s;
	c->id = id;
	c->start = *start;
	c->ending = OUTCOME_EXITED;
	for (int i = 0; i < STREAMS; i++) {
		buf_init(&c->outputs[i].pending, PENDING_MAX);
		c->outputs[i].limit = start->spool_limit;
	}
	buf_init(&c->input, 2 * INPUT_WINDOW);
	list_append(&s->commands, &c->link);
	if (command_check(&c->start, &why))
		fail(c, &why);
	else if (command_needs_file(&c->start))
		upload(c);
	else
		run(c);
	return 0;
}

/* --- What core asks for --- */

void command_signal(struct command *c, uint32_t number)
{
	if (c->over || number < 1 || number > SIGNAL_MAX)
		return;
	c->signal = number;
	command_kill(c, number);
}

/* KILL has not helped, or could not be sent. */
static void given_up(void *arg)
{
	struct command *c = arg;
	struct stand_in *s = c->stand_in;

	c->delay = NULL;
	finish(c, c->ending, 0, NULL, NULL);
	stand_in_flush(s);
}

static void kill_at_last(void *arg)
{
	struct command *c = arg;

	command_kill(c, SIGKILL);
	c->delay = delay_start(LAST_MS, given_up, c);
}

void command_cancel(struct command *c, enum outcome_kind kind, uint32_t grace_ms)
{
	if (c->over || c->ending != OUTCOME_EXITED)
		return;
	c->ending = (uint8_t)kind;
	if (!c->call) {
		request_cancel(&c->upload);
		finish(c, kind, 0, NULL, NULL);
		return;
	}
	delay_cancel(c->delay);
	c->delay = NULL;
	if (grace_ms) {
		command_kill(c, SIGTERM);
		c->delay = delay_start(grace_ms, kill_at_last, c);
	} else {
		kill_at_last(c);
	}
}

void command_leave(struct command *c)
{
	if (c->over || c->ending != OUTCOME_EXITED)
		return;
	if (!c->call) {
		command_cancel(c, OUTCOME_CANCELED, 0);
		return;
	}
	delay_cancel(c->delay);
	c->delay = NULL;
	c->leaving = true;
}

void command_resize(struct command *c, uint32_t columns, uint32_t rows)
{
	char text[80];

	if (!c->call || !c->started || !c->start.tty)
		return;
	snprintf(text, sizeof text, "{\"resize\":{\"width\":%u,\"height\":%u}}", columns, rows);
	(void)call_send(c->call, text, strlen(text));
}

void command_limit(struct command *c, uint64_t bytes)
{
	for (int i = 0; i < STREAMS; i++)
		c->outputs[i].limit = bytes > c->outputs[i].told ? bytes : c->outputs[i].told;
	settle(c);
}

void command_window(struct command *c, enum stream_number stream, uint64_t end)
{
	if (end > c->outputs[stream].window)
		c->outputs[stream].window = end;
	settle(c);
}

void command_forget(struct command *c)
{
	if (!c->over)
		command_kill(c, SIGKILL);
	command_free(c);
}

void command_free(struct command *c)
{
	struct stand_in *s = c->stand_in;

	list_remove(&c->link);
	request_cancel(&c->upload);
	drop_call(c);
	for (int i = 0; i < STREAMS; i++)
		buf_free(&c->outputs[i].pending);
	buf_free(&c->input);
	start_free(&c->start);
	free(c);
	stand_in_has_less(s);
}
