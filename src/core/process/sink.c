#include "core/process/sink.h"

#include "channel/protocol.h"
#include "core/waiter.h"

#include <errno.h>

#define PIECE_MAX (64u << 10)

void sink_init(struct sink *s)
{
	*s = (struct sink){0};
	buf_init(&s->held, SINK_STAGED_MAX);
	list_init(&s->waiters);
}

void sink_fini(struct sink *s)
{
	buf_free(&s->held);
}

static size_t room(const struct sink *s)
{
	size_t max = s->live ? SINK_LIVE_MAX : SINK_STAGED_MAX;

	return s->held.len < max ? max - s->held.len : 0;
}

/* Nobody reads on: never did, does no more, or was told that this is the end. */
static bool refuses(const struct sink *s)
{
	return s->closed || s->end_sent || (s->live && !s->wanted);
}

ssize_t sink_write(struct sink *s, const void *data, size_t len)
{
	size_t take = room(s);
	int rc;

	if (refuses(s))
		return -EPIPE;
	if (take == 0)
		return s->stranded ? -ETIMEDOUT
		       : s->live   ? -EAGAIN
				   : -ENOSPC; /* a staged text must fit: nobody drains it yet */
	if (take > len)
		take = len;
	rc = buf_append(&s->held, data, take);
	return rc ? rc : (ssize_t)take;
}

bool sink_writable(const struct sink *s)
{
	return refuses(s) || s->stranded || room(s) > 0;
}

void sink_go_live(struct sink *s, bool asked)
{
	s->live = true;
	s->wanted = asked || s->opened;
}

void sink_open(struct sink *s)
{
	s->writers++;
	s->opened = true;
	/* Another writer after the last one left: it writes on, unless end of file is already on its way. */
	if (!s->end_sent)
		s->end = false;
}

void sink_release(struct sink *s)
{
	if (--s->writers == 0)
		s->end = true;
}

bool sink_next(struct sink *s, struct sink_piece *ret)
{
	uint64_t held_end = s->base + s->held.len;
	uint64_t window_end = s->taken + INPUT_WINDOW;
	size_t len;

	if (!s->live || !s->wanted || s->closed)
		return false;
	if (s->sent < held_end && s->sent < window_end) {
		len = (size_t)((held_end < window_end ? held_end : window_end) - s->sent);
		len = len < PIECE_MAX ? len : PIECE_MAX;
		*ret = (struct sink_piece){s->sent, s->held.data + (s->sent - s->base), len, false};
		s->sent += len;
		return true;
	}
	if (s->end && !s->end_sent && s->sent == held_end) {
		*ret = (struct sink_piece){.offset = s->sent, .end = true};
		s->end_sent = true;
		return true;
	}
	return false;
}

void sink_taken(struct sink *s, uint64_t offset, bool closed)
{
	if (s->closed) /* the bytes are gone already; news of them were under way */
		return;
	if (offset > s->taken && offset <= s->sent) {
		s->taken = offset;
		if (offset > s->base) {
			buf_consume(&s->held, (size_t)(offset - s->base));
			s->base = offset;
		}
		core_wake(&s->waiters);
	}
	if (closed)
		sink_close(s);
}

bool sink_resume(struct sink *s, uint64_t received, uint64_t taken, bool ended)
{
	if (s->base == 0 && s->held.len == 0) { /* what another daemon wrote is the agent's to pass on */
		s->base = received;
		s->taken = taken;
	}
	if (received < s->base || received > s->base + s->held.len)
		return false;
	s->sent = received;
	s->end = s->end || ended;
	s->end_sent = ended;
	sink_taken(s, taken, false); /* news of it may have been lost on the way */
	return true;
}

void sink_close(struct sink *s)
{
	s->closed = true;
	buf_free(&s->held);
	core_wake(&s->waiters);
}

void sink_strand(struct sink *s, bool stranded)
{
	s->stranded = stranded;
	core_wake(&s->waiters);
}
