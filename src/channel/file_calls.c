#include "channel/file_calls.h"

#include <errno.h>
#include <stdlib.h>

/* Set in the tags of requests whose answers nobody wants; in no other. */
#define FORSAKEN (1u << 31)

struct file_calls {
	struct list under_way; /* given a tag, and sent if there is a connection; by sequence */
	struct list waiting;   /* for room */
	struct list failed;    /* to be told so */
	struct file_call *by_tag[CALLS_MAX];
	uint32_t generation, next_slot, count;
	uint64_t bytes, last_sequence;
	file_calls_sender *send; /* NULL while there is no connection */
	void *to;
	/* From the first of these sequences to the other requests failed without an answer, and the agent is
	 * not known to have got what fills their place; 0: none. */
	uint64_t forsaken, forsaken_to;
	int code; /* not 0: why everything fails */
	bool ended;
};

struct file_calls *file_calls_new(void)
{
	struct file_calls *calls = calloc(1, sizeof *calls);

	if (!calls)
		return NULL;
	list_init(&calls->under_way);
	list_init(&calls->waiting);
	list_init(&calls->failed);
	return calls;
}

void file_calls_free(struct file_calls *calls)
{
	free(calls);
}

bool file_calls_idle(const struct file_calls *calls)
{
	return list_empty(&calls->under_way) && list_empty(&calls->waiting);
}

uint64_t file_calls_count(const struct file_calls *calls)
{
	return calls->last_sequence;
}

static struct file_call *first(struct list *list)
{
	return container_of(list->next, struct file_call, link);
}

/* --- Out --- */

static uint64_t weight(const struct file_call *call)
{
	return call->payload.len + call->expected;
}

/* Where they stand in every request, see FILE_REQUEST_HEAD. */
static void set_sequences(uint8_t *payload, uint64_t sequence, uint64_t acknowledged)
{
	for (unsigned i = 0; i < 8; i++) {
		payload[2 + i] = (uint8_t)(sequence >> 8 * i);
		payload[10 + i] = (uint8_t)(acknowledged >> 8 * i);
	}
}

int file_call_encode(struct file_call *call, struct file_request *q)
{
	q->sequence = 1;
	q->acknowledged = 0;
	return file_request_encode(&call->payload, q);
}

static void transmit(struct file_calls *calls, uint32_t tag, struct buf *payload, uint64_t sequence,
		     uint64_t acknowledged)
{
	set_sequences((uint8_t *)payload->data, sequence, acknowledged);
	/* A connection that breaks here is reported by its pipe; the request goes out again on the next. */
	if (calls->send && calls->send(calls->to, tag, payload->data, payload->len))
		calls->send = NULL;
}

/* What the agent may not have seen, or may be asked for again, begins here. */
static uint64_t oldest(const struct file_calls *calls)
{
	return calls->forsaken ? calls->forsaken : first((struct list *)&calls->under_way)->sequence;
}

static void transmit_call(struct file_calls *calls, struct file_call *call)
{
	transmit(calls, call->tag, &call->payload, call->sequence, oldest(calls) - 1);
}

static uint32_t free_tag(struct file_calls *calls)
{
	uint32_t slot;

	while (calls->by_tag[calls->next_slot % CALLS_MAX])
		calls->next_slot++;
	slot = calls->next_slot++ % CALLS_MAX;
	calls->generation++;
	return (calls->generation * CALLS_MAX + slot) & ~FORSAKEN;
}

static bool has_room(const struct file_calls *calls, const struct file_call *call)
{
	bool any = calls->count || calls->forsaken;

	if (any && calls->last_sequence - oldest(calls) + 2 >= CALLS_MAX)
		return false;
	/* One alone always fits: it is bounded by the size of a frame. */
	return calls->count == 0 || calls->bytes + weight(call) <= CALL_BYTES_MAX;
}

static void send_waiting(struct file_calls *calls)
{
	while (!list_empty(&calls->waiting)) {
		struct file_call *call = first(&calls->waiting);

		if (!has_room(calls, call))
			return;
		list_remove(&call->link);
		call->tag = free_tag(calls);
		call->sequence = ++calls->last_sequence;
		calls->by_tag[call->tag % CALLS_MAX] = call;
		calls->count++;
		calls->bytes += weight(call);
		list_append(&calls->under_way, &call->link);
		transmit_call(calls, call);
	}
}

static int finish(struct file_call *call, int error, struct file_reply *reply)
{
	buf_free(&call->payload);
	return call->answered(call, error, reply);
}

static void tell_failed(struct file_calls *calls)
{
	while (!list_empty(&calls->failed)) {
		struct file_call *call = first(&calls->failed);

		list_remove(&call->link);
		finish(call, -calls->code, NULL);
	}
}

void file_calls_give(struct file_calls *calls, struct file_call *call)
{
	list_append(calls->code ? &calls->failed : &calls->waiting, &call->link);
	if (calls->code)
		tell_failed(calls);
	else
		send_waiting(calls);
}

/* --- Connections --- */

/* A request that does nothing: sequences have no gaps. */
static int encode_nothing(struct buf *out)
{
	uint64_t handle = FILE_NO_HANDLE;
	struct file_request q = {
	    .op = FILE_RELEASE, .sequence = 1, .handles = (uint8_t *)&handle, .handle_count = 1};

	buf_init(out, 256);
	return file_request_encode(out, &q);
}

/*
 * Whether the agent ever saw those of requests that failed here is not known. So it is sent something
 * harmless in their place; what it did see it does not do again.
 */
static void fill_gap(struct file_calls *calls)
{
	struct buf payload;

	if (encode_nothing(&payload) == 0)
		for (uint64_t n = calls->forsaken; n && n <= calls->forsaken_to; n++)
			transmit(calls, FORSAKEN | (uint32_t)(n == calls->forsaken_to), &payload, n,
				 calls->forsaken - 1);
	buf_free(&payload);
}

static void replace_by_nothing(struct file_call *call)
{
	struct buf payload;

	if (encode_nothing(&payload)) {
		buf_free(&payload);
		return;
	}
	buf_free(&call->payload);
	call->payload = payload;
	call->expected = 0;
}

/* After many lost connections there would be nothing but those under way. */
static void drop_forsaken(struct file_calls *calls)
{
	list_each (pos, &calls->under_way) {
		struct file_call *call = container_of(pos, struct file_call, link);

		if (!call->forsaken)
			continue;
		calls->bytes -= weight(call);
		replace_by_nothing(call);
		calls->bytes += weight(call);
	}
}

static bool is_under_way(const struct file_calls *calls, const struct file_call *call)
{
	return call->sequence && calls->by_tag[call->tag % CALLS_MAX] == call;
}

void file_calls_forsake(struct file_calls *calls, struct file_call *call)
{
	if (is_under_way(calls, call))
		call->forsaken = true;
	else if (!calls->code) /* it waits for its turn */
		replace_by_nothing(call);
}

void file_calls_resume(struct file_calls *calls, file_calls_sender *send, void *to)
{
	if (calls->ended)
		return;
	calls->code = 0;
	calls->send = send;
	calls->to = to;
	fill_gap(calls);
	drop_forsaken(calls);
	list_each (pos, &calls->under_way)
		transmit_call(calls, container_of(pos, struct file_call, link));
	send_waiting(calls);
}

void file_calls_suspend(struct file_calls *calls)
{
	calls->send = NULL;
}

void file_calls_fail(struct file_calls *calls, int code)
{
	if (calls->code)
		return;
	calls->code = code;
	calls->send = NULL;
	if (!calls->forsaken && calls->count)
		calls->forsaken = first(&calls->under_way)->sequence;
	calls->forsaken_to = calls->last_sequence;
	list_each (pos, &calls->under_way)
		calls->by_tag[container_of(pos, struct file_call, link)->tag % CALLS_MAX] = NULL;
	calls->count = 0;
	calls->bytes = 0;
	list_splice(&calls->failed, &calls->under_way);
	list_splice(&calls->failed, &calls->waiting);
	tell_failed(calls);
}

void file_calls_end(struct file_calls *calls, int code)
{
	calls->ended = true;
	file_calls_fail(calls, code);
	calls->code = code;
	tell_failed(calls);
}

/* --- In --- */

int file_calls_reply(struct file_calls *calls, const struct frame *f)
{
	struct file_call *call = calls->by_tag[f->id % CALLS_MAX];
	struct file_reply reply;
	int rc;

	if (f->id & FORSAKEN) {
		/* Of the last of a gap: the agent works in order, and has got all before it. */
		if (f->id & 1 && calls->forsaken) {
			calls->forsaken = 0;
			send_waiting(calls);
		}
		return 0;
	}
	if (!call || call->tag != f->id || !call->payload.len ||
	    file_reply_decode((enum file_op)call->payload.data[0], f->payload, f->length, &reply))
		return -EPROTO;
	calls->by_tag[f->id % CALLS_MAX] = NULL;
	calls->count--;
	calls->bytes -= weight(call);
	list_remove(&call->link);
	rc = finish(call, -(int)reply.error, &reply);
	send_waiting(calls);
	return rc;
}
