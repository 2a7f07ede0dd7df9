#include "fuse/pending.h"

#include "core/backend.h"
#include "core/waiter.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * The kernel may interrupt a request at any time, also while it is being
 * answered on another thread, and libfuse then calls us with what we gave it at
 * registration. That must not be a pointer that can be stale: it is a slot
 * number with a generation, looked up under the core lock.
 */
struct pending {
	struct waiter waiter;
	struct request request;
	uint32_t slot, generation;
	bool interrupted;
};

static struct {
	struct pending **at; /* NULL where free */
	uint32_t *generation;
	uint32_t count, free_hint;
} slots;

static int slot_take(struct pending *p)
{
	for (uint32_t i = 0; i < slots.count; i++) {
		uint32_t slot = (slots.free_hint + i) % slots.count;

		if (!slots.at[slot]) {
			slots.free_hint = slot + 1;
			slots.at[slot] = p;
			p->slot = slot;
			p->generation = ++slots.generation[slot];
			return 0;
		}
	}
	return -ENOSPC;
}

static int slots_grow(void)
{
	uint32_t count = slots.count ? slots.count * 2 : 64;
	struct pending **at = realloc(slots.at, count * sizeof *at);
	uint32_t *generation;

	if (!at)
		return -ENOMEM;
	slots.at = at;
	generation = realloc(slots.generation, count * sizeof *generation);
	if (!generation)
		return -ENOMEM;
	slots.generation = generation;
	memset(at + slots.count, 0, (count - slots.count) * sizeof *at);
	memset(generation + slots.count, 0, (count - slots.count) * sizeof *generation);
	slots.free_hint = slots.count;
	slots.count = count;
	return 0;
}

static void pending_free(struct pending *p)
{
	slots.at[p->slot] = NULL;
	slots.free_hint = p->slot;
	free(p->request.data);
	free(p);
}

static void *handle_of(const struct pending *p)
{
	return (void *)((uintptr_t)p->generation << 32 | p->slot);
}

static struct pending *pending_find(void *data)
{
	uint32_t slot = (uint32_t)(uintptr_t)data, generation = (uint32_t)((uintptr_t)data >> 32);
	struct pending *p = slot < slots.count ? slots.at[slot] : NULL;

	return p && p->generation == generation ? p : NULL;
}

/* Called by libfuse, on another thread, or from within fuse_req_interrupt_func() when it came before. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct pending *p;
	bool parked = false;

	core_lock();
	p = pending_find(data);
	if (p) {
		p->interrupted = true;
		parked = !list_empty(&p->waiter.link);
		if (parked) {
			list_remove(&p->waiter.link);
			pending_free(p);
		}
	}
	core_unlock();
	if (parked) /* else an attempt is under way and sees the mark */
		fuse_reply_err(req, EINTR);
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
	core_lock();
	rc = slot_take(p);
	if (rc)
		rc = slots_grow() ? rc : slot_take(p);
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
		fuse_reply_err(r->req, ENOMEM);
		return;
	}
	/* Registered before it is parked: once parked it may be answered, and gone, at any moment. */
	fuse_req_interrupt_func(r->req, on_interrupt, handle_of(p));
	try_again(&p->waiter);
}
