/* Of rpc_call.c, rpc_early.c and rpc_ends.c: one call, as the test's thread sees it, and the server. */
#pragma once

#include "base/loop.h"
#include "rpc/call.h"
#include "rpc/json.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_S 60

static struct {
	pid_t pid;
	int in;
	struct endpoint *endpoint, *nowhere;
} server;

/* One call, as the test's thread sees it. */
struct trial {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const char *method, *request;
	enum call_kind kind;
	bool repeatable, persistent;
	uint32_t timeout_ms;
	struct endpoint *endpoint;
	struct call *call;
	unsigned messages;
	uint64_t bytes;
	char last[512];
	bool in_order;
	bool ended, started;
	struct rpc_status status;
	void (*on_message)(struct trial *t);
	unsigned writable;
	size_t pushed, to_push;
};

static void message(void *owner, const char *text, size_t len)
{
	struct trial *t = owner;
	cJSON *o = json_parse_object(text, len);
	int64_t n = -1;

	pthread_mutex_lock(&t->lock);
	if (json_int64(o, "n", &n) && n != t->messages)
		t->in_order = false;
	t->messages++;
	t->bytes += len;
	snprintf(t->last, sizeof t->last, "%.*s", (int)(len < 511 ? len : 511), text);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	cJSON_Delete(o);
	if (t->on_message)
		t->on_message(t);
}

static void writable(void *owner)
{
	struct trial *t = owner;

	t->writable++;
	if (t->on_message)
		t->on_message(t);
}

static void ended(void *owner, const struct rpc_status *status)
{
	struct trial *t = owner;

	pthread_mutex_lock(&t->lock);
	t->ended = true;
	t->status = *status;
	if (getenv("RPC_SHOW"))
		fprintf(stderr, "# %s: %s %s\n", t->method, rpc_code_name(status->code), status->message);
	t->call = NULL;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static const struct call_events events = {message, writable, ended};

static void begin(void *arg)
{
	struct trial *t = arg;

	pthread_mutex_lock(&t->lock);
	t->call = call_start(t->endpoint ? t->endpoint : server.endpoint, t->kind, t->method,
			     t->request ? t->request : "{}", strlen(t->request ? t->request : "{}"),
			     t->timeout_ms, &events, t);
	if (t->repeatable)
		call_may_repeat(t->call);
	if (t->persistent)
		call_persist(t->call);
	t->started = true;
	t->in_order = true;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static void start_by(struct trial *t, void (*how)(void *trial))
{
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	loop_post(how, t);
}

static void start(struct trial *t)
{
	start_by(t, begin);
}

static bool is_ended(struct trial *t)
{
	return t->ended;
}

static void await(struct trial *t, bool (*condition)(struct trial *t))
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&t->lock);
	while (!condition(t))
		if (pthread_cond_timedwait(&t->changed, &t->lock, &until))
			fail_msg("%s: nothing after %d s", t->method, WAIT_S);
	pthread_mutex_unlock(&t->lock);
}

static void run(struct trial *t)
{
	start(t);
	await(t, is_ended);
}

/* --- The server --- */

static void open_endpoints(int port)
{
	char url[64];
	struct endpoint_options options = {
	    .base_url = url, .headers = {"Authorization: Bearer k"}, .connect_ms = 5000};
	struct error err;

	snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
	assert_int_equal(endpoint_open(&options, &server.endpoint, &err), 0);
	snprintf(url, sizeof url, "http://127.0.0.1:1");
	assert_int_equal(endpoint_open(&options, &server.nowhere, &err), 0);
}

static int begin_all(void **state)
{
	const char *script = getenv("RPC_SERVER");
	int in[2], out[2], port = 0;
	FILE *said;

	(void)state;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return -1;
	server.pid = fork();
	if (server.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("node", "node", script ? script : RPC_SERVER, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server.in = in[1];
	said = fdopen(out[0], "r");
	if (!said || fscanf(said, "%d", &port) != 1)
		return -1;
	fclose(said);
	if (loop_start())
		return -1;
	open_endpoints(port);
	return 0;
}

static void close_all(void *arg)
{
	(void)arg;
	endpoint_close(server.endpoint);
	endpoint_close(server.nowhere);
}

static int end_all(void **state)
{
	(void)state;
	loop_post(close_all, NULL);
	loop_stop();
	close(server.in);
	waitpid(server.pid, NULL, 0);
	return 0;
}

/* --- Connections of a test's own --- */

static struct endpoint *another;

static void open_another(void)
{
	struct endpoint_options options = {.base_url = endpoint_url(server.endpoint), .connect_ms = 5000};
	struct error err;

	assert_int_equal(endpoint_open(&options, &another, &err), 0);
}

static void close_one(void *endpoint)
{
	endpoint_close(endpoint);
}

/* --- Requests and answers --- */

/* Larger than what HTTP/2 lets through before the server asks for more. */
static inline const char *large_request(void)
{
	static char request[400000] = "{\"a\":\"";

	memset(request + 6, 'x', sizeof request - 9);
	strcpy(request + sizeof request - 3, "\"}");
	return request;
}

/* libcurl loses what is said so early, in so many attempts as are made of it: then that is what is told. */
static inline bool is_lost_answer(const struct rpc_status *s)
{
	return s->code == RPC_UNAVAILABLE && strstr(s->message, "its answer is lost");
}
