#include "backend/aviato/agent_pipe.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/exec_message.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "rpc/base64.h"
#include "rpc/call.h"
#include "rpc/json.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STDIN_PIECE (64u << 10) /* bytes in one message, as the service's own clients do */
#define REACH_MS    30000u
#define SAID_MAX    400

/* What --connect of the agent says and how it ends (agent/resident.h), and what the script below ends with.
 */
#define CONNECTED_LINE "connected\n"
#define EXIT_IN_USE    69
#define EXIT_NO_SHELL  127
#define EXIT_MACHINE   64
#define EXIT_MISSING   65

/* $1 program $2 its SHA-256 $3 its size $4 the machine it is for $5 directory $6 owner $7 seconds $8 more */
static const char script[] =
    "m=$(uname -m); [ \"$m\" = \"$4\" ] || { echo \"$m\" >&2; exit 64; }\n"
    "if [ ! -x \"$1\" ]; then\n"
    "[ -f \"$1.new\" ] || exit 65\n"
    "if command -v sha256sum >/dev/null 2>&1; then s=$(sha256sum <\"$1.new\"); [ \"${s%% *}\" = \"$2\" ]\n"
    "else [ \"$(wc -c <\"$1.new\")\" -eq \"$3\" ]; fi || { rm -f \"$1.new\"; exit 65; }\n"
    "chmod 700 \"$1.new\" && mv -f \"$1.new\" \"$1\" || exit 66\n"
    "fi\n"
    "exec \"$1\" --connect \"$5\" --owner \"$6\" --orphan-timeout \"$7\" --end-sandbox $8";

/*
 * Sends come from any thread and are gathered in `backlog`; curl is the loop
 * thread's alone, so each batch takes one hop there.
 */
struct agent_pipe {
	struct pipe pipe;
	struct aviato *aviato;
	pthread_mutex_t lock; /* backlog, posted, broken, closed, references */
	struct buf backlog;
	bool posted, broken, closed;
	unsigned references; /* core's (or ours while it is being reached), one for each posted call */
	/* The loop thread's */
	const struct agent_pipe_events *events;
	void *owner; /* NULL when it wants to hear no more */
	struct call *call;
	struct delay *deadline;
	bool reached;
	int exit_code; /* -1: none came */
	struct error why;
	char said[SAID_MAX]; /* on standard error */
	struct buf decoded;
};

static void unref(struct agent_pipe *p)
{
	bool last;

	pthread_mutex_lock(&p->lock);
	last = --p->references == 0;
	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	buf_free(&p->backlog);
	buf_free(&p->decoded);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void agent_pipe_program(const struct agent_file *agent, char *ret, size_t size)
{
	snprintf(ret, size, AGENT_PROGRAM "-%.16s", agent->sha256);
}

/* --- Out --- */

static void send_message(struct agent_pipe *p, const char *data, size_t len)
{
	static const char head[] = "{\"stdin\":\"", tail[] = "\"}";
	struct buf text;

	buf_init(&text, BASE64_ENCODED(len) + 64);
	if (buf_puts(&text, head) || base64_append(&text, data, len) || buf_puts(&text, tail) ||
	    call_send(p->call, text.data, text.len))
		log_warn("out of memory: the stream to a sandbox is spoiled"); /* the agent notices the gap */
	buf_free(&text);
}

/* Gives curl what waits, as far as it takes it. */
static void flush(struct agent_pipe *p)
{
	struct buf batch;
	size_t sent = 0, piece;

	if (!p->call || !p->reached)
		return;
	pthread_mutex_lock(&p->lock);
	batch = p->backlog;
	buf_init(&p->backlog, PIPE_BACKLOG_MAX);
	pthread_mutex_unlock(&p->lock);
	while (sent < batch.len && call_queued(p->call) < CALL_QUEUE_HIGH) {
		piece = batch.len - sent < STDIN_PIECE ? batch.len - sent : STDIN_PIECE;
		send_message(p, batch.data + sent, piece);
		sent += piece;
	}
	if (sent < batch.len) { /* goes back in front of what came meanwhile */
		buf_consume(&batch, sent);
		pthread_mutex_lock(&p->lock);
		if (p->backlog.len && buf_append(&batch, p->backlog.data, p->backlog.len))
			p->broken = true;
		buf_free(&p->backlog);
		p->backlog = batch;
		pthread_mutex_unlock(&p->lock);
	} else {
		buf_free(&batch);
	}
}

static void flush_posted(void *arg)
{
	struct agent_pipe *p = arg;

	pthread_mutex_lock(&p->lock);
	p->posted = false;
	pthread_mutex_unlock(&p->lock);
	flush(p);
	unref(p);
}

static int pipe_send(struct pipe *pipe, const struct iovec *iov, int count)
{
	struct agent_pipe *p = container_of(pipe, struct agent_pipe, pipe);
	size_t total = 0;
	bool post = false;
	int rc = 0;

	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	pthread_mutex_lock(&p->lock);
	if (p->broken || p->closed)
		rc = -EPIPE;
	else if (buf_reserve(&p->backlog, total))
		rc = -ENOBUFS;
	for (int i = 0; i < count && !rc; i++)
		(void)buf_append(&p->backlog, iov[i].iov_base, iov[i].iov_len);
	if (!rc && !p->posted) {
		post = p->posted = true;
		p->references++;
	}
	pthread_mutex_unlock(&p->lock);
	if (post && loop_post(flush_posted, p)) {
		pthread_mutex_lock(&p->lock);
		p->broken = true;
		pthread_mutex_unlock(&p->lock);
		unref(p);
		rc = -EPIPE;
	}
	return rc;
}

/* --- The end --- */

static void drop_call(struct agent_pipe *p)
{
	if (p->call)
		call_cancel(p->call);
	p->call = NULL;
	delay_cancel(p->deadline);
	p->deadline = NULL;
}

static void tell_lost(struct agent_pipe *p)
{
	void *owner = p->owner;

	p->owner = NULL;
	if (owner)
		p->events->lost(owner);
}

static void close_posted(void *arg)
{
	struct agent_pipe *p = arg;

	drop_call(p);
	tell_lost(p);
	unref(p);
}

static void pipe_close(struct pipe *pipe)
{
	struct agent_pipe *p = container_of(pipe, struct agent_pipe, pipe);

	pthread_mutex_lock(&p->lock);
	p->closed = true;
	pthread_mutex_unlock(&p->lock);
	if (loop_post(close_posted, p))
		log_warn("out of memory: a stream to a sandbox stays open");
}

/* Of a pipe that core has: it closes it in turn. */
static void break_pipe(struct agent_pipe *p)
{
	bool closed;

	pthread_mutex_lock(&p->lock);
	p->broken = true;
	closed = p->closed;
	p->references++;
	pthread_mutex_unlock(&p->lock);
	if (!closed)
		p->pipe.events->closed(p->pipe.owner, &p->why);
	tell_lost(p);
	unref(p);
}

static void fail_to_reach(struct agent_pipe *p, const struct rpc_status *status)
{
	enum reach_failure how = REACH_UNUSABLE;
	void *owner = p->owner;

	if (status->code != RPC_OK && p->exit_code < 0)
		how = REACH_CALL;
	else if (p->exit_code == EXIT_MISSING)
		how = REACH_MISSING;
	else if (p->exit_code == EXIT_MACHINE)
		how = REACH_MACHINE;
	else if (p->exit_code == EXIT_IN_USE)
		how = REACH_IN_USE;
	drop_call(p);
	p->owner = NULL;
	if (owner)
		p->events->failed(owner, how, status, p->said);
	unref(p);
}

static void on_ended(void *owner, const struct rpc_status *status)
{
	struct agent_pipe *p = owner;

	p->call = NULL;
	if (!p->reached) {
		fail_to_reach(p, status);
	} else {
		if (status->code != RPC_OK)
			error_set(&p->why, ECONNRESET, "AGENT_LOST", "the connection to the agent broke: %s",
				  status->message);
		break_pipe(p);
	}
}

/* --- In --- */

static void on_stderr(struct agent_pipe *p, const char *data, size_t len)
{
	size_t used = strlen(p->said), room = sizeof p->said - used - 1;

	for (size_t i = 0; i < len && room; i++, room--)
		p->said[used++] = data[i] == '\n' || (data[i] >= ' ' && data[i] < 127) ? data[i] : '?';
	p->said[used] = '\0';
	if (p->reached || !p->owner || strncmp(p->said, CONNECTED_LINE, strlen(CONNECTED_LINE)))
		return;
	delay_cancel(p->deadline);
	p->deadline = NULL;
	p->reached = true;
	p->events->reached(p->owner, p);
}

static void on_output(struct agent_pipe *p, const struct exec_message *m)
{
	bool closed;

	pthread_mutex_lock(&p->lock);
	closed = p->closed;
	pthread_mutex_unlock(&p->lock);
	if (!m->len || closed)
		return;
	if (m->is_stderr)
		on_stderr(p, p->decoded.data, m->len);
	else if (p->reached)
		p->pipe.events->received(p->pipe.owner, p->decoded.data, m->len);
}

/* No more comes on this stream. */
static void end_stream(struct agent_pipe *p, const struct rpc_status *status)
{
	drop_call(p);
	if (p->reached)
		break_pipe(p);
	else
		fail_to_reach(p, status);
}

static void on_exit_message(struct agent_pipe *p, const struct exec_message *m)
{
	struct rpc_status status = {0};

	p->exit_code = m->exit_code >= 0 && m->exit_code <= 255 ? (int)m->exit_code : 255;
	error_set(&p->why, ECONNRESET, "AGENT_LOST", "the agent closed the connection");
	end_stream(p, &status);
}

/* As those do that end the stream by exit 127, with the words on standard error. */
static void on_no_shell(struct agent_pipe *p, const struct exec_message *m)
{
	struct rpc_status status = {0};

	p->exit_code = EXIT_NO_SHELL;
	on_stderr(p, m->message, strlen(m->message));
	end_stream(p, &status);
}

static void on_broken(struct agent_pipe *p, int transport, const char *code, const char *message)
{
	struct rpc_status status = {0};

	rpc_status_set(&status, transport ? RPC_INTERNAL : RPC_UNAVAILABLE, transport, "%s: %s", code,
		       message);
	error_set(&p->why, ECONNRESET, "AGENT_LOST", "the connection to the agent broke: %s", status.message);
	end_stream(p, &status);
}

static void on_message(void *owner, const char *text, size_t len)
{
	struct agent_pipe *p = owner;
	struct exec_message m;
	int rc;

	p->decoded.len = 0;
	rc = exec_message_decode(text, len, &p->decoded, &p->decoded, &m);
	if (rc) /* a byte less would spoil all that follow: the next stream says them again */
		on_broken(p, -rc, "BAD_ANSWER", rc == -EPROTO ? "it makes no sense" : "out of memory");
	else if (m.kind == EXEC_OUTPUT)
		on_output(p, &m);
	else if (m.kind == EXEC_EXIT)
		on_exit_message(p, &m);
	else if (!p->reached && exec_message_lacks(&m, "/bin/sh"))
		on_no_shell(p, &m);
	else if (m.kind == EXEC_ERROR)
		on_broken(p, 0, m.code, m.message);
}

static void on_writable(void *owner)
{
	flush(owner);
}

/* --- The beginning --- */

static void too_late(void *arg)
{
	struct agent_pipe *p = arg;
	struct rpc_status status = {0};

	p->deadline = NULL;
	rpc_status_set(&status, RPC_DEADLINE_EXCEEDED, ETIMEDOUT, "the agent did not answer in %u s",
		       REACH_MS / 1000);
	fail_to_reach(p, &status);
}

static char *first_message(const struct aviato *a, const struct agent_file *agent, const char *sandbox_id,
			   bool steal)
{
	cJSON *message = cJSON_CreateObject(), *init = cJSON_AddObjectToObject(message, "init");
	char program[64], size[24], orphan[24], *text;
	const char *const words[] = {"/bin/sh",	      "-c",	     script, "aviatofs",
				     program,	      agent->sha256, size,   agent->machine,
				     AGENT_DIRECTORY, a->owner,	     orphan, steal ? "--steal" : ""};

	agent_pipe_program(agent, program, sizeof program);
	snprintf(size, sizeof size, "%zu", agent->size);
	snprintf(orphan, sizeof orphan, "%u", a->orphan_timeout_s);
	cJSON_AddStringToObject(init, "sandboxId", sandbox_id);
	cJSON_AddItemToObject(init, "command", cJSON_CreateStringArray(words, sizeof words / sizeof *words));
	text = cJSON_PrintUnformatted(message);
	cJSON_Delete(message);
	return text;
}

struct agent_pipe *agent_pipe_open(struct aviato *a, const struct agent_file *agent, const char *sandbox_id,
				   bool steal, const struct agent_pipe_events *events, void *owner)
{
	static const struct pipe_ops ops = {pipe_send, pipe_close};
	static const struct call_events call_events = {on_message, on_writable, on_ended};
	struct agent_pipe *p = calloc(1, sizeof *p);
	char *text = first_message(a, agent, sandbox_id, steal), method[96];

	if (!p || !text) {
		free(p);
		free(text);
		return NULL;
	}
	p->pipe.ops = &ops;
	p->aviato = a;
	p->events = events;
	p->owner = owner;
	p->references = 1;
	p->exit_code = -1;
	error_set(&p->why, ECONNRESET, "AGENT_LOST", "the connection to the agent ended");
	pthread_mutex_init(&p->lock, NULL);
	buf_init(&p->backlog, PIPE_BACKLOG_MAX);
	buf_init(&p->decoded, 128u << 20);
	aviato_method("StreamExec", method, sizeof method);
	p->call = call_start(a->endpoint, CALL_DUPLEX, method, text, strlen(text), 0, &call_events, p);
	if (p->call)
		call_may_repeat(p->call); /* of two that run one hears nothing more */
	free(text);
	p->deadline = p->call ? delay_start(REACH_MS, too_late, p) : NULL;
	if (p->deadline)
		return p;
	drop_call(p);
	unref(p);
	return NULL;
}

void agent_pipe_abandon(struct agent_pipe *p)
{
	p->owner = NULL;
	if (p->reached)
		return;
	drop_call(p);
	unref(p);
}

struct pipe *agent_pipe_as_pipe(struct agent_pipe *p)
{
	return &p->pipe;
}
