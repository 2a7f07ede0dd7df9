#include "core/report/main_log.h"

#include "core/mount.h"
#include "core/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- Life --- */

static void part(struct main_log *l)
{
	if (l->instance)
		the_mount.backend->ops->forget(the_mount.backend, l);
	l->instance = NULL;
}

static void drop(struct main_log *l)
{
	part(l);
	list_remove(&l->link);
	stream_fini(&l->stream);
	free(l->words);
	free(l);
}

void main_logs_part(struct sandbox *s)
{
	list_each (pos, &s->logs) {
		struct main_log *l = container_of(pos, struct main_log, link);

		part(l);
		if (!l->stream.ended)
			stream_end(&l->stream, ESHUTDOWN);
	}
}

void main_logs_free(struct sandbox *s)
{
	list_each_safe (pos, &s->logs)
		drop(container_of(pos, struct main_log, link));
}

static void watched(struct stream *stream, bool on)
{
	struct main_log *l = container_of(stream, struct main_log, stream);

	if (!l->stream.ended && l->sandbox->instance && (on || l->instance))
		the_mount.backend->ops->follow(the_mount.backend, l, on);
}

static struct main_log *make(struct sandbox *s, const char *words, const struct log_options *options)
{
	struct main_log *l = calloc(1, sizeof *l);

	if (!l || !(l->words = strdup(words))) {
		free(l);
		return NULL;
	}
	stream_init(&l->stream, NULL);
	l->stream.watched = watched;
	l->sandbox = s;
	l->options = *options;
	list_append(s->logs.next, &l->link); /* in front */
	return l;
}

/* --- Opening --- */

/* What was read with tail or since is another text at each opening, and kept for its readers only. */
static void drop_unread(struct sandbox *s)
{
	list_each_safe (pos, &s->logs) {
		struct main_log *l = container_of(pos, struct main_log, link);

		if (!l->stream.readers && (l->stream.ended || !log_options_are_lasting(&l->options)))
			drop(l);
	}
}

static struct main_log *find(struct sandbox *s, const char *words, bool ended)
{
	list_each (pos, &s->logs) {
		struct main_log *l = container_of(pos, struct main_log, link);

		if (strcmp(l->words, words) == 0 &&
		    (ended || (!l->stream.ended && log_options_are_lasting(&l->options))))
			return l;
	}
	return NULL;
}

static struct main_log *open_log(struct sandbox *s)
{
	bool ended = s->state >= SANDBOX_TERMINATING;
	struct log_options options;
	struct main_log *l = NULL;
	struct config config;
	const char *words;

	if (sandbox_config_effective(s, &config))
		return NULL;
	words = config_text(&config, CONFIG_LOGS);
	if (log_options_parse(words, time(NULL), &options, NULL) == 0)
		l = find(s, words, ended);
	if (!l && s->instance) {
		if (!ended)
			drop_unread(s);
		l = make(s, words, &options);
	}
	config_free(&config);
	return l;
}

struct stream *main_log_stream(struct sandbox *s, bool opening)
{
	struct main_log *l = NULL;

	if (opening && s->began)
		l = open_log(s);
	else if (!list_empty(&s->logs))
		l = container_of(s->logs.next, struct main_log, link);
	return l ? &l->stream : NULL;
}

/* --- What the backend tells --- */

void main_log_note(struct main_log *l, const struct error *what)
{
	sandbox_set_error(l->sandbox, what);
}

void main_log_end(struct main_log *l, const struct error *why)
{
	if (l->stream.ended)
		return;
	if (why)
		sandbox_set_error(l->sandbox, why);
	stream_end(&l->stream, why ? why->code : 0);
}

int main_log_append(struct main_log *l, const void *data, size_t len)
{
	struct error why;
	int rc;

	if (l->stream.ended)
		return -EPIPE;
	if (len > mount_spool_limit() || l->stream.size > mount_spool_limit() - len) {
		rc = -EFBIG;
		error_set(&why, EFBIG, "LOG_LIMIT",
			  "logs: more than -o spool_limit has come; config/logs can ask for less of it");
	} else {
		rc = stream_append(&l->stream, the_mount.settings.scratch, data, len);
		if (rc)
			error_errno(&why, -rc, "OUTPUT_LOST", "logs cannot be kept");
	}
	if (rc)
		main_log_end(l, &why);
	return rc;
}

size_t main_log_compare(struct main_log *l, uint64_t offset, const void *data, size_t len)
{
	const char *bytes = data;
	char kept[4096];
	size_t same = 0;

	if (l->stream.head) {
		while (same < len && offset + same < l->stream.size &&
		       l->stream.head[offset + same] == bytes[same])
			same++;
		return same;
	}
	while (same < len && l->stream.fd >= 0) {
		size_t want = len - same < sizeof kept ? len - same : sizeof kept;
		ssize_t n = pread(l->stream.fd, kept, want, (off_t)(offset + same));

		for (ssize_t i = 0; i < n; i++, same++)
			if (kept[i] != bytes[same])
				return same;
		if (n <= 0)
			break;
	}
	return same;
}
