/*
 * Output of a main process that the backend runs itself, and tells of when somebody
 * reads `logs`: kept in a file, so that any number may read it, also when the
 * sandbox has ended. All with the core lock held.
 */
#pragma once

#include "base/error.h"
#include "base/list.h"
#include "core/report/log_options.h"
#include "core/process/stream.h"

struct sandbox;

struct main_log {
	struct stream stream; /* what is read */
	struct list link;     /* of its sandbox's; the newest first */
	struct sandbox *sandbox;
	struct log_options options;
	char *words;	/* those of config/logs it was opened with */
	void *instance; /* the backend's; NULL before it was asked, and after forget() */
};

/*
 * What `logs` of `s` shows now, without asking for anything; with `opening`, what is to be
 * read with the present options, made if need be. NULL: there is nothing (or no memory).
 */
struct stream *main_log_stream(struct sandbox *s, bool opening);
/* The backend forgets them; what they hold can still be read. */
void main_logs_part(struct sandbox *s);
/* When nobody reads them any more. */
void main_logs_free(struct sandbox *s);

/* --- Of the backend that was asked to follow() one --- */

/* 0, or -errno when it cannot be kept: it has ended then. */
int main_log_append(struct main_log *l, const void *data, size_t len);
/* How many bytes of `data` are the same as what is kept at `offset`. */
size_t main_log_compare(struct main_log *l, uint64_t offset, const void *data, size_t len);
/* Something about it that readers cannot see: for `error`. */
void main_log_note(struct main_log *l, const struct error *what);
/* No more comes; `why` if that is a failure. Follow() is not called for it again. */
void main_log_end(struct main_log *l, const struct error *why);
