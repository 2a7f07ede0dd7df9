#include "core/process/terminal.h"

#include "base/shell.h"
#include "core/after.h"
#include "core/process/command.h"
#include "core/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define HANGUP_MS 2000 /* for a shell to end by itself, and tell its jobs */

static int make(struct sandbox *s, struct process **ret, struct error *err)
{
	char name[32];
	int rc;

	do {
		snprintf(name, sizeof name, "tty-%" PRIu64, ++s->last_terminal);
		rc = process_make(s, name, err);
	} while (rc == -EEXIST);
	*ret = rc ? NULL : (struct process *)object_child(&s->object, name);
	return rc;
}

struct process *terminal_begin(struct sandbox *s, struct error *err)
{
	struct process *p, *started;
	struct start start;
	int rc = make(s, &p, err);

	if (rc)
		return NULL;
	object_ref(&p->object); /* one that cannot be started has ended at once, and might be pruned */
	p->columns = s->columns;
	p->rows = s->rows;
	rc = command_parse(INTERACTIVE_SHELL, strlen(INTERACTIVE_SHELL), &start, err);
	if (rc == 0) {
		start.tty = true;
		rc = process_submit(s, p, &start, &started, err);
		if (rc)
			start_free(&start);
	}
	if (rc) {
		process_drop(p);
		object_unref(&p->object);
		return NULL;
	}
	return p;
}

static void hung_up(struct object *o)
{
	if (o->listed)
		process_drop((struct process *)o);
}

void terminal_end(struct process *p)
{
	struct error err;

	if (!p->object.listed)
		return;
	if (process_ended(p) || process_signal(p, SIGHUP, &err) || core_after(HANGUP_MS, hung_up, &p->object))
		process_drop(p);
}

int terminal_resize(struct process *p, uint32_t columns, uint32_t rows, struct error *err)
{
	struct sandbox *s = process_sandbox(p);

	if (process_ended(p))
		return -ESRCH;
	p->columns = columns;
	p->rows = rows;
	if (p->state == PROCESS_NONE)
		return 0;
	if (!p->start.tty)
		return error_set(err, ENOTTY, "NO_TERMINAL", "process %s has no terminal", p->object.name);
	p->start.columns = columns;
	p->start.rows = rows;
	if (p->sent && s->reach.ready)
		channel_resize(s->channel, p->id, columns, rows);
	return 0;
}

void terminal_resize_all(struct sandbox *s, uint32_t columns, uint32_t rows)
{
	s->columns = columns;
	s->rows = rows;
	list_each (pos, &s->object.children) {
		struct object *o = container_of(pos, struct object, sibling);
		struct error err;

		if (o->kind == OBJECT_PROCESS && strncmp(o->name, "tty-", 4) == 0)
			terminal_resize((struct process *)o, columns, rows, &err);
	}
}
