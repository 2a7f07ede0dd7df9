/*
 * A core made of nothing but what the local backend reports, and a small client
 * of the agent: enough to start real sandboxes and run commands in them.
 */
#pragma once

#include "backend/local/local.h"
#include "base/loop.h"
#include "channel/pipe.h"
#include "channel/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "local_unused.h"

#define WAIT_SECONDS 60
#define OUTPUT_MAX   65536

struct sandbox {
	char id[41], session[49], name[49];
	struct config config;
	time_t created;
	void *instance;
	struct pipe *pipe;
	int spool;
	bool connected, ended, removed, lost;
	enum sandbox_end how;
	struct error why;
	struct buf received;
	struct buf output; /* of the command that runs, while it is short */
	uint32_t next_id;
	bool exited;
	struct outcome outcome;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static struct sandbox *found[16];
static int found_count;
static struct sandbox *living[64]; /* so that a test that fails leaves nothing behind */

void core_lock(void)
{
	pthread_mutex_lock(&lock);
}

void core_unlock(void)
{
	pthread_cond_broadcast(&news);
	pthread_mutex_unlock(&lock);
}

const char *sandbox_id(const struct sandbox *s)
{
	return s->id;
}

const char *sandbox_session_name(const struct sandbox *s)
{
	return s->session;
}

const char *sandbox_name(const struct sandbox *s)
{
	return s->name;
}

const struct config *sandbox_config(const struct sandbox *s)
{
	return &s->config;
}

time_t sandbox_created(const struct sandbox *s)
{
	return s->created;
}

void *sandbox_instance(const struct sandbox *s)
{
	return s->instance;
}

void sandbox_set_instance(struct sandbox *s, void *instance)
{
	s->instance = instance;
}

void sandbox_creating(struct sandbox *s)
{
	(void)s;
}

/* --- The agent --- */

static void agent_say(struct sandbox *s, uint8_t type, uint32_t id, const struct buf *payload)
{
	struct frame f = {.type = type, .id = id, .length = payload ? (uint32_t)payload->len : 0};
	uint8_t header[FRAME_HEADER];
	struct iovec parts[2] = {{header, sizeof header}, {payload ? payload->data : NULL, f.length}};

	frame_header(&f, header);
	assert_int_equal(s->pipe->ops->send(s->pipe, parts, payload ? 2 : 1), 0);
}

static void agent_hears(struct sandbox *s, const struct frame *f)
{
	if (f->id != s->next_id)
		return;
	/* Short output comes here, longer output goes into a file. */
	if (f->type == MSG_OUTPUT && f->stream == STREAM_OUT)
		buf_append(&s->output, f->payload + 8, f->length - 8);
	if (f->type != MSG_EXITED)
		return;
	if (outcome_decode(f->payload, f->length, &s->outcome) == 0)
		s->exited = true;
}

static void on_received(void *owner, const void *data, size_t len)
{
	struct sandbox *s = owner;
	struct frame f;
	ssize_t n;

	core_lock();
	buf_append(&s->received, data, len);
	while ((n = frame_parse(s->received.data, s->received.len, &f)) > 0) {
		agent_hears(s, &f);
		buf_consume(&s->received, (size_t)n);
	}
	core_unlock();
}

static void on_closed(void *owner, const struct error *why)
{
	struct sandbox *s = owner;

	(void)why;
	core_lock();
	s->lost = true;
	core_unlock();
}

static const struct pipe_events agent_events = {on_received, on_closed};

void sandbox_tell_start(struct sandbox *s, time_t when)
{
	(void)s;
	(void)when;
}

void sandbox_connected(struct sandbox *s, struct pipe *pipe, int spool_dir)
{
	struct buf hello;

	s->pipe = pipe;
	s->spool = spool_dir;
	s->connected = true;
	pipe->events = &agent_events;
	pipe->owner = s;
	buf_init(&hello, 64);
	put_u32(&hello, PROTOCOL_MAGIC);
	put_u32(&hello, PROTOCOL_VERSION);
	put_u8(&hello, SPOOL_SHARED);
	agent_say(s, MSG_HELLO, 0, &hello);
	buf_free(&hello);
}

void sandbox_unreachable(struct sandbox *s, const struct error *why)
{
	(void)s;
	(void)why;
}

static void drop_pipe(struct sandbox *s)
{
	if (s->pipe)
		s->pipe->ops->close(s->pipe);
	s->pipe = NULL;
	if (s->spool >= 0)
		close(s->spool);
	s->spool = -1;
}

void sandbox_ended(struct sandbox *s, enum sandbox_end how, const struct error *why)
{
	assert_false(s->ended);
	s->ended = true;
	s->how = how;
	if (why)
		s->why = *why;
}

void sandbox_removed(struct sandbox *s)
{
	assert_false(s->removed);
	s->removed = true;
}

static struct sandbox *sandbox_make(const char *id, const char *session, const char *name)
{
	struct sandbox *s = calloc(1, sizeof *s);

	assert_non_null(s);
	snprintf(s->id, sizeof s->id, "%s", id);
	snprintf(s->session, sizeof s->session, "%s", session);
	snprintf(s->name, sizeof s->name, "%s", name);
	s->created = time(NULL);
	s->spool = -1;
	s->next_id = 1000;
	buf_init(&s->received, 16u << 20);
	buf_init(&s->output, SPOOL_HEAD_MAX);
	for (size_t i = 0; i < sizeof living / sizeof *living; i++)
		if (!living[i]) {
			living[i] = s;
			break;
		}
	return s;
}

/* --- What else is in the store --- */

static char shown[16][41];
static unsigned shown_count, listings_ended, attaching_ended;
static struct error attach_why;

void backend_shows(const char *id)
{
	assert_true(shown_count < sizeof shown / sizeof *shown);
	snprintf(shown[shown_count++], 41, "%s", id);
}

void backend_showed(const struct error *why)
{
	assert_null(why);
	listings_ended++;
}

void backend_attached(const char *id, const struct error *why)
{
	assert_true(*id);
	attach_why = why ? *why : (struct error){0};
	attaching_ended++;
}

struct sandbox *sandbox_found(const struct sandbox_leftover *l)
{
	const struct config *levels[] = {l->config};
	struct sandbox *s = sandbox_make(l->id, l->session, l->name);

	assert_int_equal(config_merge(levels, 1, &s->config), 0);
	s->instance = l->instance;
	s->next_id = 2000; /* the agent knows the numbers of the mount before */
	s->created = l->created;
	found[found_count++] = s;
	return s;
}

/* --- What tests say --- */

/* Waits, with the lock held, until `*flag` is set. */
static void wait_for(const bool *flag)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	while (!*flag)
		if (pthread_cond_timedwait(&news, &lock, &until)) {
			core_unlock();
			fail_msg("nothing happened for %d s", WAIT_SECONDS);
		}
}

/* Starts one; `settings` are key, text, ..., -1. Waits until it is connected or has ended. */
__attribute__((unused)) static struct sandbox *box_start(struct backend *b, ...)
{
	static unsigned number;
	char id[41];
	struct sandbox *s;
	bool settled = false;
	va_list settings;
	int key;

	snprintf(id, sizeof id, "test-%d-%u", (int)getpid(), ++number);
	s = sandbox_make(id, "session", "box");
	va_start(settings, b);
	while ((key = va_arg(settings, int)) >= 0)
		assert_int_equal(
		    config_set(&s->config, (enum config_key)key, va_arg(settings, const char *), NULL), 0);
	va_end(settings);
	core_lock();
	b->ops->start(b, s);
	while (!settled) {
		settled = s->connected || s->ended;
		if (!settled)
			pthread_cond_wait(&news, &lock);
	}
	core_unlock();
	return s;
}

/* Runs a text with /bin/sh; its output goes into `out`. Returns the exit code, 128+N for a signal, -1
 * otherwise. */
__attribute__((unused)) static int box_run(struct sandbox *s, const char *text, char out[OUTPUT_MAX])
{
	char *env[] = {NULL};
	struct start start = {.kind = START_SHELL,
			      .merge = true,
			      .spool_limit = SPOOL_LIMIT,
			      .name = (char *)"test",
			      .cwd = (char *)"/",
			      .env = env,
			      .text = (char *)text,
			      .text_len = (uint32_t)strlen(text)};
	struct buf payload;
	char name[24];
	ssize_t n = 0;
	int fd, code;

	out[0] = '\0';
	buf_init(&payload, 1u << 20);
	assert_int_equal(start_encode(&payload, &start), 0);
	core_lock();
	s->exited = false;
	s->output.len = 0;
	agent_say(s, MSG_START, ++s->next_id, &payload);
	wait_for(&s->exited);
	code = s->outcome.kind == OUTCOME_EXITED     ? (int)s->outcome.value
	       : s->outcome.kind == OUTCOME_SIGNALED ? 128 + (int)s->outcome.value
						     : -1;
	snprintf(out, OUTPUT_MAX, "%s", buf_text(&s->output));
	if (code == -1)
		snprintf(out, OUTPUT_MAX, "%s: %s", s->outcome.reason, s->outcome.text);
	core_unlock();
	buf_free(&payload);
	spool_name(s->next_id, STREAM_OUT, name);
	fd = openat(s->spool, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, out, OUTPUT_MAX - 1);
		close(fd);
		out[n > 0 ? n : 0] = '\0';
	}
	return code;
}

static void box_free(struct sandbox *s)
{
	for (size_t i = 0; i < sizeof living / sizeof *living; i++)
		if (living[i] == s)
			living[i] = NULL;
	config_free(&s->config);
	buf_free(&s->received);
	buf_free(&s->output);
	free(s);
}

/* Stops and removes it. */
static void box_end(struct backend *b, struct sandbox *s)
{
	core_lock();
	if (!s->ended)
		b->ops->stop(b, s, 0);
	wait_for(&s->ended);
	drop_pipe(s);
	b->ops->remove(b, s);
	wait_for(&s->removed);
	core_unlock();
	box_free(s);
}

__attribute__((unused)) static void end_all(struct backend *b)
{
	for (size_t i = 0; i < sizeof living / sizeof *living; i++)
		if (living[i])
			box_end(b, living[i]);
}

/* Where the agent was built: beside the directory of the tests. */
__attribute__((unused)) static const char *agent_path(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);

	assert_true(n > 0);
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	strcpy(strrchr(path, '/') + 1, "aviatofs-agent");
	return path;
}

static char state_dir[64];

__attribute__((unused)) static struct backend *backend_open(void)
{
	const struct local_options options = {
	    .source_name = "", .state_dir = state_dir, .orphan_timeout_s = 60, .agent_path = agent_path()};
	struct backend *b = NULL;
	struct error err = {0};

	if (local_open(&options, &b, &err))
		fail_msg("%s: %s", err.reason, err.text);
	return b;
}

__attribute__((unused)) static int setup_state(void **state)
{
	char parent[] = "/tmp/local-test-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(parent));
	snprintf(state_dir, sizeof state_dir, "%s/state", parent);
	return loop_start();
}

/* The backend removes its own directory when nothing is left in it; this fails when something is. */
__attribute__((unused)) static int teardown_state(void **state)
{
	(void)state;
	loop_stop();
	*strrchr(state_dir, '/') = '\0';
	return rmdir(state_dir);
}
