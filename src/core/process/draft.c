#include "core/process/draft.h"

#include "core/after.h"
#include "core/process/command.h"
#include "core/process/process.h"
#include "core/sandbox.h"
#include "core/waiter.h"

#include <errno.h>

void inbox_init(struct inbox *in, struct object *owner)
{
	in->owner = owner;
	list_init(&in->pending);
	list_init(&in->waiters);
	in->alarm_set = false;
}

static struct sandbox *sandbox_of(const struct inbox *in)
{
	return in->owner->kind == OBJECT_SANDBOX ? (struct sandbox *)in->owner
						 : (struct sandbox *)in->owner->parent;
}

static struct process *named_process(const struct inbox *in)
{
	return in->owner->kind == OBJECT_PROCESS ? (struct process *)in->owner : NULL;
}

static struct inbox *inbox_of(struct object *o)
{
	return o->kind == OBJECT_SANDBOX ? &((struct sandbox *)o)->inbox : &((struct process *)o)->inbox;
}

/* The release did not come in time: commit what is there and let the waiters go on. */
static void overdue(struct object *owner)
{
	struct inbox *in = inbox_of(owner);

	in->alarm_set = false;
	list_each_safe (pos, &in->pending)
		draft_commit(container_of(pos, struct draft, link));
	core_wake(&in->waiters);
}

bool inbox_must_wait(struct inbox *in)
{
	if (list_empty(&in->pending))
		return false;
	if (!in->alarm_set)
		in->alarm_set = core_after(DRAFT_RELEASE_WAIT_MS, overdue, in->owner) == 0;
	if (!in->alarm_set) /* no memory for a clock: do not wait at all */
		overdue(in->owner);
	return in->alarm_set;
}

void draft_init(struct draft *d, struct inbox *in)
{
	*d = (struct draft){.inbox = in};
	buf_init(&d->text, COMMAND_TEXT_MAX);
	list_init(&d->link);
	object_ref(in->owner);
}

static void set_pending(struct draft *d, bool pending)
{
	list_remove(&d->link);
	if (pending)
		list_append(&d->inbox->pending, &d->link);
	else if (list_empty(&d->inbox->pending))
		core_wake(&d->inbox->waiters);
}

void draft_release(struct draft *d)
{
	draft_commit(d);
	buf_free(&d->text);
	if (d->process)
		object_unref(d->process);
	object_unref(d->inbox->owner);
}

/* The sandbox has ended, or the named process has gone or has its command already. */
static int refused(struct draft *d, struct error *err)
{
	struct process *p = named_process(d->inbox);

	if (p && !p->object.listed)
		return error_set(err, ESHUTDOWN, "REMOVED", "process %s was removed", p->object.name);
	if (p && p->state != PROCESS_NONE)
		return error_set(err, EBUSY, "ALREADY_STARTED", "process %s has its command already",
				 p->object.name);
	return sandbox_refuses_commands(sandbox_of(d->inbox), err);
}

int draft_write(struct draft *d, const void *data, size_t len)
{
	struct error err;
	int rc = refused(d, &err);

	if (rc == 0 && d->spoiled)
		rc = error_set(&err, EFBIG, "TOO_LARGE", "a command has at most %u bytes", COMMAND_TEXT_MAX);
	if (rc == 0) {
		rc = buf_append(&d->text, data, len);
		if (rc)
			error_set(&err, -rc, rc == -EFBIG ? "TOO_LARGE" : "NO_MEMORY",
				  "a command has at most %u bytes", COMMAND_TEXT_MAX);
	}
	if (rc) {
		sandbox_set_error(sandbox_of(d->inbox), &err);
		buf_free(&d->text);
		d->spoiled = true;
	}
	return rc;
}

int draft_flush(struct draft *d, bool by_opener)
{
	if (by_opener)
		return draft_commit(d);
	if (d->text.len == 0)
		return 0;
	set_pending(d, true);
	return 0;
}

int draft_commit(struct draft *d)
{
	struct process *started = NULL;
	struct start start;
	struct error err;
	int rc;

	if (d->text.len == 0) {
		set_pending(d, false);
		d->spoiled = false;
		return 0;
	}
	rc = refused(d, &err);
	if (rc == 0)
		rc = command_parse(d->text.data, d->text.len, &start, &err);
	if (rc == 0) {
		rc = process_submit(sandbox_of(d->inbox), named_process(d->inbox), &start, &started, &err);
		if (rc)
			start_free(&start);
	}
	buf_free(&d->text);
	if (rc) {
		sandbox_set_error(sandbox_of(d->inbox), &err);
	} else {
		if (d->process)
			object_unref(d->process);
		d->process = object_ref(&started->object);
	}
	set_pending(d, false);
	return rc;
}
