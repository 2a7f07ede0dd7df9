/* The request of a duplex call, which is open as long as the call has more to say. */
#include "rpc/duplex.h"

#include "base/loop.h"
#include "rpc/envelope.h"

#include <stdio.h>
#include <string.h>

#define STALL_MS      3u
#define DOUBT_MS      200u   /* without an answer, until it may be lost */
#define DOUBT_MORE_MS 2000u  /* and then again, */
#define DOUBT_MAX_MS  30000u /* after twice as long each time */
#define AHEAD_FREE    2	     /* bytes at the start of an envelope that are 0, by CALL_MESSAGE_MAX */
#define PADDED	      4096u  /* bytes of a message of which more was sent ahead */
#define AHEAD_MAX     (ENVELOPE_HEADER + PADDED - CALL_ROOM_MIN) /* a day of them */
#define NEVER	      UINT64_MAX

bool duplex_may_repeat(const struct call *c)
{
	return c->repeatable && !c->answering;
}

void duplex_drop_sent(struct call *c)
{
	if (!c->answering) /* see duplex_begin() */
		return;
	buf_consume(&c->out, c->sent);
	c->sent = 0;
}

/* --- Asking whether the service has ended it --- */

/*
 * libcurl 7.88 drops what it has read of an answer when a reset of the stream comes right behind the end of
 * it, which servers send who have said all and want no more of the request. It drops a reset, too, that
 * comes while it passes on what another stream has got. And it does not say that a stream is over, nor that
 * the connection is, until it is given more to send.
 *
 * The first bytes of the next message can be given it at any time, as they are always 0. Of a call that
 * nobody else looks after more is sent, if need be: the size of the message, PADDED, and blanks, which its
 * text may begin with.
 */
static size_t ahead_max(const struct call *c)
{
	return c->persistent ? AHEAD_MAX : AHEAD_FREE;
}

static char byte_ahead(size_t at)
{
	if (at >= ENVELOPE_HEADER)
		return ' ';
	return (char)(at ? PADDED >> 8 * (ENVELOPE_HEADER - 1 - at) : 0);
}

size_t call_room(const struct call *c)
{
	if (c->ahead <= AHEAD_FREE)
		return CALL_MESSAGE_MAX;
	return PADDED - (c->ahead > ENVELOPE_HEADER ? c->ahead - ENVELOPE_HEADER : 0);
}

int duplex_pad(struct call *c, size_t len)
{
	static char blanks[PADDED];

	memset(blanks, ' ', sizeof blanks);
	return c->ahead > AHEAD_FREE ? buf_append(&c->out, blanks, PADDED - len) : 0;
}

/* When the next byte is due, loop time. */
static uint64_t next_probe(const struct call *c)
{
	if (c->ahead >= ahead_max(c))
		return NEVER;
	if (c->doubted)
		return c->ahead < AHEAD_FREE ? 0 : c->probed_ms + DOUBT_MORE_MS;
	if (!c->answering)
		return c->probed_ms + c->pause_ms;
	return c->persistent ? c->probed_ms + DOUBT_MAX_MS : NEVER;
}

static void probe_later(struct call *c)
{
	uint64_t now = uv_now(loop_uv()), due = next_probe(c);

	if (due == NEVER)
		return;
	/* At first an answer may be there that curl has not looked at. */
	if (due <= now || (!c->answering && c->ahead < AHEAD_FREE))
		transfer_nudge_later(c);
	else
		transfer_nudge_in(c, (unsigned)(due - now));
}

static size_t begin_next_message(struct call *c, char *ret)
{
	c->probing = c->doubted = false;
	c->probed_ms = uv_now(loop_uv());
	c->pause_ms = c->pause_ms < DOUBT_MORE_MS ? DOUBT_MORE_MS : 2 * c->pause_ms;
	if (c->pause_ms > DOUBT_MAX_MS)
		c->pause_ms = DOUBT_MAX_MS;
	*ret = byte_ahead(c->ahead++);
	return 1;
}

void duplex_nudge(struct call *c)
{
	c->probing = c->out_waits && call_queued(c) == 0 && next_probe(c) <= uv_now(loop_uv());
	curl_easy_pause(c->easy, c->in_waits ? CURLPAUSE_RECV : CURLPAUSE_CONT);
}

void duplex_doubt(struct call *c)
{
	if (c->kind != CALL_DUPLEX || !c->out_waits)
		return;
	c->doubted = true;
	probe_later(c);
}

/* --- Sending --- */

static void wait_for_more(struct call *c)
{
	if (!c->out_waits && !c->ahead) {
		c->probed_ms = uv_now(loop_uv());
		c->pause_ms = DOUBT_MS;
	}
	c->out_waits = true;
	probe_later(c);
}

/*
 * libcurl 7.88, when a request of unknown length ends, goes on with what has come on the connection, also
 * where a stream's buffer was full and the rest of a frame waits to be taken: what follows is then told
 * before that rest. So it ends while nothing is received.
 */
static bool may_end(const struct call *c)
{
	return !c->endpoint->reads && c->endpoint->news == c->endpoint->news_before;
}

static size_t end_later(struct call *c)
{
	c->out_waits = true;
	transfer_nudge_in(c, STALL_MS);
	return CURL_READFUNC_PAUSE;
}

/*
 * libcurl 7.88, when HTTP/2 does not take what it has read here at once, asks for
 * more to fill its buffer; told to wait, it forgets to send what it has. The room
 * it offers gives it away.
 */
size_t duplex_on_read(char *ret, size_t size, size_t count, void *arg)
{
	struct call *c = arg;
	size_t room = size * count, left = c->out.len - c->sent;

	if (!left && !c->out_ended) {
		if (c->probing)
			return begin_next_message(c, ret);
		if (room < DUPLEX_BUFFER)
			transfer_nudge_in(c, STALL_MS);
		wait_for_more(c);
		return CURL_READFUNC_PAUSE;
	}
	if (!left && !may_end(c))
		return end_later(c);
	if (left > room)
		left = room;
	memcpy(ret, c->out.data + c->sent, left);
	c->sent += left;
	if (c->sent == c->out.len)
		duplex_drop_sent(c);
	if (c->was_full && call_queued(c) < CALL_QUEUE_HIGH)
		call_has_news(c);
	return left;
}

/*
 * curl begins again by itself where a connection that it joined was given up before anything came. It asks
 * for leave to only when it has sent something, though it may have taken from here what it has not sent.
 */
void duplex_begin(struct call *c)
{
	c->sent = c->ahead = 0;
	c->out_waits = c->probing = c->doubted = false;
}

/* For curl, which is about to send again what it has sent. */
int duplex_on_seek(void *arg, curl_off_t offset, int origin)
{
	return offset || origin != SEEK_SET || !duplex_may_repeat(arg) ? CURL_SEEKFUNC_FAIL
								       : CURL_SEEKFUNC_OK;
}
