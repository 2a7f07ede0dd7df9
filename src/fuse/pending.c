#include "fuse/pending.h"

#include "core/backend.h"
#include "core/waiter.h"
#include "fuse/interrupt.h"
#include "tree/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pending {
	struct waiter waiter;
	struct interruptible interruptible;
	struct request request;
	bool interrupted;
};

/* Core lock held, as of all below but attempts. */
static void pending_free(struct pending *p)
{
	interruptible_remove(&p->interruptible);
	if (p->request.opening)
		handle_release(p->request.opening);
	free(p->request.data);
	free(p);
}

static bool on_interrupt(struct interruptible *i)
{
	struct pending *p = container_of(i, struct pending, interruptible);

	p->interrupted = true;
	if (list_empty(&p->waiter.link)) /* an attempt is under way and sees the mark */
		return false;
	list_remove(&p->waiter.link);
	pending_free(p);
	return true;
}

static void try_again(struct waiter *w)
{
	struct pending *p = container_of(w, struct pending, waiter);

	if (!p->request.attempt(&p->request, p))
		return;
	core_lock();
	pending_free(p);
	core_unlock();
}

bool wait_on(struct pending *p, struct list *list)
{
	if (!p)
		return false;
	if (p->interrupted)
		return true;
	list_append(list, &p->waiter.link);
	return false;
}

static struct pending *pending_new(const struct request *r)
{
	struct pending *p = calloc(1, sizeof *p);
	int rc;

	if (!p)
		return NULL;
	p->request = *r;
	if (r->data) {
		p->request.data = malloc(r->size);
		if (!p->request.data) {
			free(p);
			return NULL;
		}
		memcpy(p->request.data, r->data, r->size);
	}
	list_init(&p->waiter.link);
	p->waiter.run = try_again;
	p->interruptible.interrupted = on_interrupt;
	core_lock();
	rc = interruptible_add(&p->interruptible);
	core_unlock();
	if (rc) {
		free(p->request.data);
		free(p);
		return NULL;
	}
	return p;
}

void request_run(struct request *r)
{
	struct pending *p;

	if (r->attempt(r, NULL))
		return;
	p = pending_new(r);
	if (!p) {
		core_lock();
		if (r->opening)
			handle_release(r->opening);
		core_unlock();
		fuse_reply_err(r->req, ENOMEM);
		return;
	}
	/* Registered before it is parked: once parked it may be answered, and gone, at any moment. */
	interruptible_watch(r->req, interruptible_mark(&p->interruptible));
	try_again(&p->waiter);
}
