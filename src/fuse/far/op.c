#include "fuse/far/op.h"

#include "core/after.h"
#include "core/backend.h"
#include "core/sandbox.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#define PAYLOAD_MAX (4u << 20)

/* Lock held; the op is on no list and no call of it is under way. */
static void op_free(struct far_op *op)
{
	struct far *far = op->far;

	if (op->found)
		op->found->asker = NULL;
	if (op->let_go)
		op->let_go(op->opened);
	if (op->node)
		far_node_unref(op->node);
	if (op->other)
		far_node_unref(op->other);
	buf_free(&op->call.payload);
	free(op->data);
	free(op);
	far_unref(far);
}

/* --- Signals --- */

#define LOOK_AGAIN_MS 250

/* Whoever calls this answers op->req. */
static void give_up(struct far_op *op)
{
	op->req = NULL;
	list_remove(&op->by_signal);
	/* An answer on its way, or `again` about to run, finds that out. */
	if (op->waiting && !list_empty(&op->waiter.link)) {
		list_remove(&op->waiter.link);
		far_op_finish(op, -EINTR);
	}
}

struct given_up {
	struct waiter waiter;
	fuse_req_t req;
};

static void answer_given_up(struct waiter *w)
{
	struct given_up *u = container_of(w, struct given_up, waiter);

	fuse_reply_err(u->req, EINTR);
	free(u);
}

static void look_again(struct object *sandbox);

static void look_later(struct far *far)
{
	/* Without memory they wait for their answers, or the end of the time for these. */
	(void)core_after(LOOK_AGAIN_MS, look_again, &far->sandbox->object);
}

/* The kernel tells of a request's first signal only: a later one that ends the program is looked for. */
static void look_again(struct object *sandbox)
{
	struct graft *front = ((struct sandbox *)sandbox)->front;
	struct far *far = front ? front->far : NULL;
	struct list due;

	if (!far)
		return;
	list_init(&due);
	list_each_safe (pos, &far->signalled) {
		struct far_op *op = container_of(pos, struct far_op, by_signal);
		struct given_up *u = interrupt_ends(op->thread) ? malloc(sizeof *u) : NULL;

		if (!u)
			continue;
		*u = (struct given_up){{.run = answer_given_up}, op->req};
		list_append(&due, &u->waiter.link);
		give_up(op);
	}
	core_wake(&due);
	if (!list_empty(&far->signalled))
		look_later(far);
}

static void watch_signals(struct far_op *op)
{
	bool first = list_empty(&op->far->signalled);

	list_append(&op->far->signalled, &op->by_signal);
	if (first)
		look_later(op->far);
}

static bool on_interrupt(struct interruptible *i)
{
	struct far_op *op = container_of(i, struct far_op, interruptible);

	if (!op->req)
		return false;
	if (interrupt_ends(op->thread)) {
		give_up(op);
		return true;
	}
	/* As on a disk: it is waited for. */
	if (!op->signalled && op->far)
		watch_signals(op);
	op->signalled = true;
	return false;
}

static void reply(struct far_op *op)
{
	bool taken = true;

	if (op->error || !op->reply)
		fuse_reply_err(op->req, -op->error);
	else
		taken = op->reply(op);
	if (!taken && op->entry.ino)
		graft_forget(op->entry.ino, 1);
	core_lock();
	if ((!taken || (op->error && op->undo_failed)) && op->undo)
		op->undo(op);
	op_free(op);
	core_unlock();
}

/* Due, without the lock: a result to be told, or a wait that is over. */
static void run(struct waiter *w)
{
	struct far_op *op = container_of(w, struct far_op, waiter);

	if (op->finished) {
		reply(op);
		return;
	}
	core_lock();
	op->waiting = false;
	if (op->req)
		op->again(op);
	else
		far_op_finish(op, -EINTR);
	core_unlock();
}

static int on_answer(struct file_call *call, int error, struct file_reply *reply)
{
	struct far_op *op = container_of(call, struct far_op, call);

	/* Another directory than the kernel meant stands there now: it has to look again. */
	op->error = !error && op->node->stale ? -ESTALE : error;
	/* Of an agent that was started anew: found again by its name. */
	if (error == -ESTALE && reply)
		far_node_lose(op->node);
	return op->answered(op, reply);
}

struct far_op *far_op_new(fuse_req_t req, struct far_node *node)
{
	struct far_op *op = calloc(1, sizeof *op);
	void *mark;
	int rc = -ENOMEM;

	if (op) {
		op->req = req;
		op->thread = fuse_req_ctx(req)->pid;
		list_init(&op->by_signal);
		list_init(&op->waiter.link);
		op->waiter.run = run;
		op->interruptible.interrupted = on_interrupt;
		op->call.answered = on_answer;
		list_init(&op->call.link);
		buf_init(&op->call.payload, PAYLOAD_MAX);
		core_lock();
		rc = interruptible_add(&op->interruptible);
		mark = rc ? NULL : interruptible_mark(&op->interruptible);
		core_unlock();
	}
	if (rc) {
		free(op);
		fuse_reply_err(req, -rc);
		return NULL;
	}
	/* Before it can be answered, as it is gone then. */
	interruptible_watch(req, mark);
	core_lock();
	if (!op->req) {
		interruptible_remove(&op->interruptible);
		core_unlock();
		free(op);
		return NULL;
	}
	op->node = far_node_ref(node);
	op->far = far_ref(node->far);
	if (op->signalled)
		watch_signals(op);
	if (!op->far->root_asked) /* nobody could be asked then */
		far_learn_root(op->far);
	return op;
}

void far_op_call(struct far_op *op, struct file_request *q)
{
	int rc = file_call_encode(&op->call, q);

	if (rc)
		far_op_finish(op, rc == -EPROTO ? -EINVAL : rc);
	else
		file_calls_give(op->far->calls, &op->call);
}

void far_op_wait(struct far_op *op, struct list *list, void (*again)(struct far_op *))
{
	op->again = again;
	op->waiting = true;
	list_append(list, &op->waiter.link);
}

void far_op_finish(struct far_op *op, int error)
{
	struct list due;

	interruptible_remove(&op->interruptible);
	list_remove(&op->by_signal);
	op->error = error;
	op->finished = true;
	if (!op->req) {
		if ((!error || op->undo_failed) && op->undo)
			op->undo(op);
		op_free(op);
		return;
	}
	list_init(&due);
	list_append(&due, &op->waiter.link);
	core_wake(&due);
}

/* --- Nobody waits --- */

static void aside_free(struct far_aside *a)
{
	struct far *far = a->far;

	if (a->node)
		far_node_unref(a->node);
	buf_free(&a->call.payload);
	free(a);
	far_unref(far);
}

static int on_aside(struct file_call *call, int error, struct file_reply *reply)
{
	struct far_aside *a = container_of(call, struct far_aside, call);
	int rc;

	if (a->question && reply)
		far_answered(a->far, a->question);
	rc = a->answered ? a->answered(a, error, reply) : 0;
	aside_free(a);
	return rc;
}

struct far_aside *far_aside_new(struct far *far, struct far_node *node)
{
	struct far_aside *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	a->far = far_ref(far);
	a->node = node ? far_node_ref(node) : NULL;
	a->call.answered = on_aside;
	list_init(&a->call.link);
	buf_init(&a->call.payload, PAYLOAD_MAX);
	return a;
}

int far_aside_encode(struct far_aside *a, struct file_request *q)
{
	int rc = file_call_encode(&a->call, q);

	if (rc)
		aside_free(a);
	return rc;
}

void far_aside_send(struct far_aside *a)
{
	file_calls_give(a->far->calls, &a->call);
}

int far_aside_call(struct far_aside *a, struct file_request *q)
{
	int rc = far_aside_encode(a, q);

	if (rc == 0)
		far_aside_send(a);
	return rc;
}

static int on_released(struct far_aside *a, int error, struct file_reply *reply)
{
	(void)error;
	if (reply)
		far_answered_idly(a->far);
	return 0;
}

void far_release_handle(struct far *far, uint64_t handle)
{
	struct far_aside *a = far->ended ? NULL : far_aside_new(far, NULL);
	uint64_t wire = htole64(handle);
	struct file_request q = {.op = FILE_RELEASE, .handles = (uint8_t *)&wire, .handle_count = 1};

	/* Without memory the agent keeps it until the sandbox ends. */
	if (!a)
		return;
	a->answered = on_released;
	(void)far_aside_call(a, &q);
}
