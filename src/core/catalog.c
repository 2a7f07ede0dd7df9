#include "core/catalog.h"

#include "core/mount.h"
#include "core/waiter.h"

#include <errno.h>

#define FRESH_MS 1000
#define TEXT_MAX (16u << 20)

/* One answer: of the last time it was asked for. */
struct answer {
	bool asking;
	uint64_t told_ms; /* 0: never */
	struct buf text;
	struct error why;
	struct list waiters;
};

static struct answer answers[CATALOGS];

static struct answer *answer_to(enum catalog which)
{
	struct answer *a = &answers[which];

	if (!a->waiters.next) {
		list_init(&a->waiters);
		buf_init(&a->text, TEXT_MAX);
	}
	return a;
}

int catalog_ask(enum catalog which, struct list **ret_wait, struct error *err)
{
	struct answer *a = answer_to(which);

	if (!a->asking && a->told_ms && stats_now_ms() - a->told_ms < FRESH_MS) {
		if (a->why.code)
			*err = a->why;
		return -a->why.code;
	}
	if (the_mount.ending)
		return error_set(err, ESHUTDOWN, "UNMOUNTING", "the mount is being ended");
	if (!a->asking) {
		a->asking = true;
		the_mount.backend->ops->tell(the_mount.backend, which);
	}
	*ret_wait = &a->waiters;
	return -EAGAIN;
}

void backend_told(enum catalog which, const char *text, size_t len, const struct error *why)
{
	struct answer *a = answer_to(which);

	a->asking = false;
	a->told_ms = stats_now_ms();
	a->why = why ? *why : (struct error){0};
	buf_free(&a->text);
	if (!why && buf_append(&a->text, text, len))
		error_set(&a->why, ENOMEM, "NO_MEMORY", "out of memory");
	core_wake(&a->waiters);
}

int catalog_show(enum catalog which, struct buf *out)
{
	struct answer *a = answer_to(which);

	return a->text.len ? buf_append(out, a->text.data, a->text.len) : 0;
}
