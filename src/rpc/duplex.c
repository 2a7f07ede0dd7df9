/* The request of a duplex call, which is open as long as the call has more to say. */
#include "rpc/duplex.h"

#include "base/loop.h"

#include <stdio.h>
#include <string.h>

#define STALL_MS      3u
#define DOUBT_MS      200u  /* without an answer, until it may be lost */
#define DOUBT_MORE_MS 2000u /* and then again */
#define AHEAD_MAX     2	    /* bytes at the start of an envelope that are 0, by CALL_MESSAGE_MAX */

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

static void wait_for_more(struct call *c)
{
	if (!c->out_waits && !c->ahead)
		c->waits_ms = uv_now(loop_uv());
	c->out_waits = true;
	if (!c->answering && c->ahead < AHEAD_MAX)
		transfer_nudge_later(c);
}

static size_t begin_next_message(struct call *c, char *ret)
{
	c->probing = c->doubted = false;
	c->ahead++;
	*ret = 0;
	return 1;
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
	c->out_waits = c->stalled = true;
	endpoint_stalled(c->endpoint, STALL_MS);
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
		c->stalled = room < DUPLEX_BUFFER;
		if (c->stalled)
			endpoint_stalled(c->endpoint, STALL_MS);
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

/*
 * libcurl 7.88 drops what it has read of an answer when a reset of the stream comes right behind the end of
 * it, which servers send who have said all and want no more of the request; and it does not say that the
 * stream is over until it is given more to send. The first bytes of the next message can be given it at any
 * time, as they are always 0; not many, so only where there is reason to ask.
 */
void duplex_nudge(struct call *c)
{
	uint64_t waits = uv_now(loop_uv()) - c->waits_ms;
	bool doubted = c->doubted || (!c->answering && waits >= (c->ahead ? DOUBT_MORE_MS : DOUBT_MS));

	c->probing = doubted && c->out_waits && c->ahead < AHEAD_MAX && call_queued(c) == 0;
	curl_easy_pause(c->easy, c->in_waits ? CURLPAUSE_RECV : CURLPAUSE_CONT);
}

void duplex_doubt(struct call *c)
{
	if (c->kind != CALL_DUPLEX || !c->out_waits)
		return;
	c->doubted = true;
	transfer_nudge_later(c);
}
