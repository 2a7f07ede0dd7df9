/* Of rpc_call.c: one call, as the test's thread sees it. */
#pragma once

#include "rpc/call.h"
#include "rpc/json.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

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
	t->started = true;
	t->in_order = true;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static void start(struct trial *t)
{
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	loop_post(begin, t);
}

static bool is_ended(struct trial *t)
{
	return t->ended;
}

static bool has_message(struct trial *t)
{
	return t->messages > 0;
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
