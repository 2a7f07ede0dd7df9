/* A remote function of a session: a source, settings, and sandboxes in which it is called. */
#pragma once

#include "base/error.h"
#include "core/config.h"
#include "core/object.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sandbox;
struct session;
struct start;

#define SOURCE_MAX	 (8u << 20) /* bytes */
#define PARALLEL_DEFAULT 4
#define PARALLEL_MAX	 64
#define POOL_MAX	 64

/* Shared by the calls that run it; a new text is a new one. */
struct source {
	unsigned refs;
	bool script; /* it starts with #!; else it is Python */
	size_t len;
	char text[]; /* with a NUL behind it */
};

/* Its children are the sandboxes of its calls and of its pool. Core lock. */
struct function {
	struct object object; /* in its session, but none of its children: those are sandboxes */
	struct list link;     /* of the session's functions */
	struct config config;
	struct source *source; /* NULL: none yet */
	unsigned parallel;     /* sandboxes of one `map` at once */
	unsigned pool;	       /* sandboxes started ahead of the calls */
	uint64_t last_number;
};

/* mkdir, rmdir. rmdir cancels the calls. */
int function_make(struct session *s, const char *name, struct error *err);
void function_drop(struct function *f);
/* All of a session's, which is removed. */
void functions_end(struct session *s);
struct function *function_find(const struct session *s, const char *name);
/* The first with a serial over `after`. */
struct function *function_next(const struct session *s, uint64_t after);
struct session *function_session(const struct function *f);

/* "" unsets. -EFBIG, -ENOMEM. */
int function_set_source(struct function *f, const char *text, struct error *err);
int function_config_set(struct function *f, enum config_key key, const char *text, struct error *err);
/* What a sandbox for it would get. 0 or -ENOMEM. */
int function_config_effective(const struct function *f, struct config *ret);
/* "" sets the default. -EINVAL. */
int function_set_parallel(struct function *f, const char *text, struct error *err);
int function_set_pool(struct function *f, const char *text, struct error *err);

/* Whether it can be called: it is there, has a source, and its session is open. */
int function_refuses(const struct function *f, struct error *err);
/* A sandbox of its own for one call, of the pool or new: a reference, to be given to function_done(). */
struct sandbox *function_sandbox(struct function *f, struct error *err);
void function_done(struct sandbox *s);

struct source *source_ref(struct source *s);
void source_unref(struct source *s);
/* How function `name` of that source is started; `ret` is freed with start_free(). 0 or -ENOMEM. */
int source_start(const struct source *s, const char *name, struct start *ret);
