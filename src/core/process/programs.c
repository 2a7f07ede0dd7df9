#include "core/process/programs.h"

#include "base/buf.h"
#include "core/sandbox.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_LENGTH_MAX 255u
#define NAMES_MAX	(1u << 20) /* bytes of a list */
#define KNOWN_MS	1000 /* an answer holds so long, a "no" only if the agent says nothing meanwhile: ... */
#define TAKEN_MS	1 /* ... commands install things. Who waited for it takes it in this time, or asks again */
#define QUESTIONS_KEPT	64

struct question {
	struct list link;
	uint32_t tag;
	bool asked, answered, there;
	uint64_t answered_ms, news; /* of the sandbox, at the answer */
	struct list waiters;
	char name[NAME_LENGTH_MAX + 1]; /* "": all of them */
};

struct programs {
	struct list questions; /* the oldest first */
	unsigned count;
	uint32_t last_tag;
	char *names; /* sorted, each with a NUL behind it */
	size_t len;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void drop(struct programs *p, struct question *q)
{
	list_remove(&q->link);
	core_wake(&q->waiters);
	p->count--;
	free(q);
}

void programs_free(struct programs *p)
{
	if (!p)
		return;
	list_each_safe (at, &p->questions)
		drop(p, container_of(at, struct question, link));
	free(p->names);
	free(p);
}

/* --- Questions --- */

static struct question *find(const struct programs *p, const char *name)
{
	list_each (at, &p->questions) {
		struct question *q = container_of(at, struct question, link);

		if (strcmp(q->name, name) == 0)
			return q;
	}
	return NULL;
}

/* That something is there may be believed for a while: at worst it cannot be run. */
static bool is_known(const struct sandbox *s, const struct question *q)
{
	uint64_t age = now_ms() - q->answered_ms;

	return q->answered && age < KNOWN_MS && (q->there || s->news == q->news || age <= TAKEN_MS);
}

static void tidy(struct programs *p)
{
	list_each_safe (at, &p->questions) {
		struct question *q = container_of(at, struct question, link);

		if (p->count <= QUESTIONS_KEPT)
			return;
		if (q->answered)
			drop(p, q);
	}
}

static struct question *question_about(struct sandbox *s, const char *name)
{
	struct programs *p = s->programs;
	struct question *q;

	if (!p) {
		p = s->programs = calloc(1, sizeof *p);
		if (!p)
			return NULL;
		list_init(&p->questions);
	}
	q = find(p, name);
	if (q)
		return q;
	tidy(p);
	q = calloc(1, sizeof *q);
	if (!q)
		return NULL;
	strcpy(q->name, name);
	list_init(&q->waiters);
	list_append(&p->questions, &q->link);
	p->count++;
	return q;
}

/* The PATH that commands have; "" for the agent's own. The last line of a name counts. */
static void path_of(const struct sandbox *s, char *out, size_t size)
{
	const char *line = config_text(&s->effective, CONFIG_ENV);

	*out = '\0';
	while (line && *line) {
		size_t len = strcspn(line, "\n");

		if (strncmp(line, "PATH=", 5) == 0 && len - 5 < size) {
			memcpy(out, line + 5, len - 5);
			out[len - 5] = '\0';
		}
		line += len + (line[len] == '\n');
	}
}

static int ask(struct sandbox *s, struct question *q)
{
	char path[4096];

	q->answered = false;
	q->tag = ++s->programs->last_tag;
	path_of(s, path, sizeof path);
	return channel_programs(s->channel, q->tag, path, q->name);
}

int programs_seek(struct sandbox *s, const char *name, struct list **ret_wait, struct error *err)
{
	struct question *q;
	int rc;

	if (name && (strlen(name) > NAME_LENGTH_MAX || strchr(name, '/')))
		return -ENOENT;
	if (!name && !sandbox_runs(s)) /* a listing starts nothing */
		return s->state < SANDBOX_RUNNING ? 0 : sandbox_refuses_commands(s, err);
	rc = sandbox_need(s, err);
	rc = rc ? rc : reconnect_refuses(s, err);
	if (rc)
		return rc;
	q = question_about(s, name ? name : "");
	if (!q)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	if (is_known(s, q))
		return q->there ? 0 : -ENOENT;
	*ret_wait = &q->waiters;
	if (q->answered)
		q->asked = q->answered = false;
	if (!q->asked && s->channel && s->reach.ready)
		q->asked = ask(s, q) == 0;
	return -EAGAIN;
}

/* --- Answers --- */

bool programs_has(struct sandbox *s, const char *name)
{
	struct question *q = s->programs ? find(s->programs, name) : NULL;

	return *name && q && q->there && is_known(s, q);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once, and only what can be a name here. */
static int keep_names(struct programs *p, const char *names, size_t len)
{
	const char **list = calloc(len / 2 + 1, sizeof *list);
	struct buf out;
	size_t n = 0;
	int rc = list ? 0 : -ENOMEM;

	buf_init(&out, NAMES_MAX);
	for (size_t at = 0; rc == 0 && at < len; at += strlen(names + at) + 1)
		if (names[at] && !strchr(names + at, '/') && strlen(names + at) <= NAME_LENGTH_MAX &&
		    strcmp(names + at, ".") != 0 && strcmp(names + at, "..") != 0)
			list[n++] = names + at;
	if (n)
		qsort(list, n, sizeof *list, by_name);
	for (size_t i = 0; i < n && rc == 0; i++)
		if (i == 0 || strcmp(list[i - 1], list[i]) != 0)
			rc = buf_append(&out, list[i], strlen(list[i]) + 1);
	free(list);
	if (rc) {
		buf_free(&out);
		return rc;
	}
	free(p->names);
	p->names = out.data;
	p->len = out.len;
	return 0;
}

int programs_answer(struct sandbox *s, uint32_t tag, const char *names, size_t len)
{
	struct programs *p = s->programs;
	struct question *q = NULL;

	if (len > NAMES_MAX || (len && names[len - 1]))
		return -EPROTO;
	list_each (at, &p->questions)
		if (container_of(at, struct question, link)->tag == tag)
			q = container_of(at, struct question, link);
	if (!q || q->answered)
		return 0;
	q->there = *q->name ? len > 0 : keep_names(p, names, len) == 0;
	q->answered = true;
	q->answered_ms = now_ms();
	q->news = s->news;
	core_wake(&q->waiters);
	return 0;
}

const char *programs_next(struct sandbox *s, uint64_t *cursor)
{
	const struct programs *p = s->programs;
	uint64_t at = *cursor;

	/* The list may be another one by now: on with the next whole name. */
	while (p && at && at < p->len && p->names[at - 1])
		at++;
	if (!p || at >= p->len)
		return NULL;
	*cursor = at + strlen(p->names + at) + 1;
	return p->names + at;
}

void programs_again(struct sandbox *s)
{
	if (!s->programs)
		return;
	list_each (pos, &s->programs->questions) {
		struct question *q = container_of(pos, struct question, link);

		q->asked = q->answered = false;
		core_wake(&q->waiters);
	}
}
