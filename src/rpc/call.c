#include "rpc/call.h"

#include "base/log.h"
#include "rpc/duplex.h"
#include "rpc/envelope.h"
#include "rpc/json.h"
#include "rpc/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX	 (PIPE_MAX + ENVELOPE_MAX)
#define PIPE_MAX (64u << 20)

void call_has_news(struct call *c)
{
	if (list_empty(&c->ready))
		list_append(&c->endpoint->ready, &c->ready);
}

/* --- Sending --- */

static int append_message(struct call *c, const char *message, size_t len)
{
	ssize_t at;
	int rc;

	if (len > ENVELOPE_MAX)
		return -EFBIG;
	if (c->sent > CALL_QUEUE_HIGH)
		duplex_drop_sent(c);
	if (c->kind == CALL_UNARY)
		return buf_append(&c->out, message, len);
	at = envelope_begin(&c->out);
	if (at < 0)
		return (int)at;
	rc = duplex_pad(c, len);
	if (!rc)
		rc = buf_append(&c->out, message, len);
	if (rc)
		c->out.len = (size_t)at;
	else
		envelope_finish(&c->out, (size_t)at);
	if (!rc) {
		c->sent += c->ahead;
		c->ahead = 0;
	}
	return rc;
}

struct call *call_start(struct endpoint *e, enum call_kind kind, const char *method, const char *request,
			size_t len, uint32_t timeout_ms, const struct call_events *events, void *owner)
{
	struct call *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->endpoint = e;
	c->kind = kind;
	c->events = events;
	c->owner = owner;
	c->out_ended = kind != CALL_DUPLEX;
	buf_init(&c->out, OUT_MAX);
	buf_init(&c->in, ENVELOPE_MAX + (2u << 20));
	list_init(&c->ready);
	list_append(&e->calls, &c->link);
	if (append_message(c, request, len) || transfer_start(c, method, timeout_ms)) {
		transfer_free(c);
		return NULL;
	}
	return c;
}

int call_send(struct call *c, const char *message, size_t len)
{
	int rc = c->out_ended ? -EPIPE : len > call_room(c) ? -EFBIG : append_message(c, message, len);

	if (rc)
		return rc;
	if (call_queued(c) >= CALL_QUEUE_HIGH)
		c->was_full = true;
	transfer_resume(c);
	return 0;
}

void call_may_repeat(struct call *c)
{
	c->repeatable = true;
}

void call_persist(struct call *c)
{
	c->persistent = true;
}

size_t call_queued(const struct call *c)
{
	return c->out.len - c->sent;
}

void call_finish(struct call *c)
{
	c->out_ended = true;
	transfer_ends(c);
	transfer_resume(c);
}

/* --- Receiving --- */

void call_hold(struct call *c, bool held)
{
	if (c->held == held)
		return;
	c->held = held;
	if (held)
		return;
	transfer_resume(c);
	call_has_news(c);
	endpoint_stalled(c->endpoint, 0); /* told from the loop, unless the endpoint is closed before */
}

void call_cancel(struct call *c)
{
	c->cancelled = true;
	if (!c->telling)
		transfer_free(c);
}

static void tell_end(struct call *c)
{
	c->events->ended(c->owner, &c->status);
	c->cancelled = true;
}

static bool is_content_type(const struct call *c, const char *wanted)
{
	const char *type = NULL;
	size_t len = strlen(wanted);

	curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
	return type && strncasecmp(type, wanted, len) == 0 && (!type[len] || strchr("; ", type[len]));
}

/* Why curl gave up. */
static void set_transport_status(struct call *c)
{
	static const struct {
		CURLcode result;
		enum rpc_code code;
		int number;
		bool unreachable;
	} known[] = {
	    {CURLE_COULDNT_RESOLVE_HOST, RPC_UNAVAILABLE, EHOSTUNREACH, true},
	    {CURLE_COULDNT_RESOLVE_PROXY, RPC_UNAVAILABLE, EHOSTUNREACH, true},
	    {CURLE_COULDNT_CONNECT, RPC_UNAVAILABLE, ECONNREFUSED, true},
	    {CURLE_OPERATION_TIMEDOUT, RPC_DEADLINE_EXCEEDED, ETIMEDOUT, false},
	    {CURLE_PEER_FAILED_VERIFICATION, RPC_UNAVAILABLE, EPROTO, true},
	    {CURLE_SSL_CONNECT_ERROR, RPC_UNAVAILABLE, EPROTO, true},
	    {CURLE_SSL_CACERT_BADFILE, RPC_UNAVAILABLE, EPROTO, true},
	    {CURLE_WRITE_ERROR, RPC_INTERNAL, EPROTO, false},
	    {CURLE_OUT_OF_MEMORY, RPC_INTERNAL, ENOMEM, false},
	};
	enum rpc_code code = RPC_UNAVAILABLE;
	int number = ECONNRESET;
	bool unreachable = false;
	long system = 0;

	if (transfer_lost_answer(c)) { /* whoever does that is there */
		rpc_status_set(&c->status, RPC_UNAVAILABLE, 0,
			       "%s answered before it had the whole request, and its answer is lost",
			       c->endpoint->url);
		return;
	}

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (known[i].result == c->result) {
			code = known[i].code;
			number = known[i].number;
			unreachable = known[i].unreachable;
		}
	}
	curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &system);
	if (c->result == CURLE_COULDNT_CONNECT && system > 0)
		number = (int)system;
	if (c->result == CURLE_WRITE_ERROR) /* nothing but that makes on_write() fail */
		snprintf(c->problem, sizeof c->problem, "the answer is too large");
	/* A call may be slow; one during which nobody was told anything is a dead service. */
	if (c->result == CURLE_OPERATION_TIMEDOUT && c->endpoint->heard_ms < c->begun_ms)
		unreachable = true;
	rpc_status_set(&c->status, code, number, "%s: %s", c->endpoint->url,
		       c->problem[0] ? c->problem : curl_easy_strerror(c->result));
	c->status.unreachable = unreachable;
}

/* An answer that is no success: the service's own words if it has any. */
static void set_http_status(struct call *c, long http)
{
	enum rpc_code code = rpc_code_of_http(http);
	cJSON *error = c->in.len ? json_parse_object(c->in.data, c->in.len) : NULL;

	if (error && json_text(error, "code")[0])
		rpc_status_decode(error, code, &c->status);
	else
		rpc_status_set(&c->status, code, 0, "%s answered with HTTP status %ld", c->endpoint->url,
			       http);
	cJSON_Delete(error);
}

/* A server that has said all may give up the rest of the request in a way that curl takes for a failure. */
static bool is_whole(const struct call *c)
{
	cJSON *answer = c->result != CURLE_OK && c->kind == CALL_UNARY && c->in.len && !transfer_took_all(c)
			    ? json_parse_object(c->in.data, c->in.len)
			    : NULL;

	cJSON_Delete(answer);
	return c->result == CURLE_OK || answer;
}

/* The end of the request as HTTP sees it; true when there is a good answer to look at. */
static bool answered(struct call *c)
{
	const char *type = c->kind == CALL_UNARY ? "application/json" : "application/connect+json";
	long http = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &http);
	if (http && http != 200)
		set_http_status(c, http);
	else if (!is_whole(c))
		set_transport_status(c);
	else if (!is_content_type(c, type))
		rpc_status_set(&c->status, RPC_INTERNAL, EPROTO, "%s answered with no %s", c->endpoint->url,
			       type);
	else
		return true;
	return false;
}

static void tell_unary(struct call *c)
{
	if (!c->done)
		return;
	if (answered(c)) {
		c->events->message(c->owner, c->in.data ? c->in.data : "", c->in.len);
		if (c->cancelled)
			return;
	}
	tell_end(c);
}

static void read_end(struct call *c, const struct envelope *e)
{
	cJSON *end = json_parse_object(e->payload, e->len);

	c->end_seen = true;
	if (!end)
		rpc_status_set(&c->status, RPC_INTERNAL, EPROTO,
			       "a stream ended in something that is not JSON");
	else if (json_object(end, "error"))
		rpc_status_decode(json_object(end, "error"), RPC_UNKNOWN, &c->status);
	cJSON_Delete(end);
}

/* Tells the messages that are whole; how many bytes they were, or -EPROTO. */
static ssize_t tell_messages(struct call *c)
{
	struct envelope e;
	size_t used = 0;
	ssize_t n = 0;

	while (!c->cancelled && !c->held && !c->end_seen &&
	       (n = envelope_parse(c->in.data + used, c->in.len - used, &e)) > 0) {
		used += (size_t)n;
		if (e.flags & ENVELOPE_COMPRESSED)
			return -EPROTO;
		if (e.flags & ENVELOPE_END)
			read_end(c, &e);
		else
			c->events->message(c->owner, e.payload, e.len);
	}
	return n < 0 ? n : (ssize_t)used;
}

static void tell_stream(struct call *c)
{
	ssize_t used = 0;
	long http = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &http);
	if (c->in.len && http == 200) {
		if (!is_content_type(c, "application/connect+json"))
			used = -EPROTO;
		else
			used = tell_messages(c);
		if (c->cancelled)
			return;
		if (used > 0)
			buf_consume(&c->in, (size_t)used);
		if (!c->in.len)
			buf_free(&c->in);
	}
	if (used < 0)
		rpc_status_set(&c->status, RPC_INTERNAL, EPROTO, "%s sent a malformed stream",
			       c->endpoint->url);
	else if (c->end_seen && c->in.len)
		rpc_status_set(&c->status, RPC_INTERNAL, EPROTO, "a stream went on after its end");
	else if (!c->end_seen && !c->done)
		return;
	else if (!c->end_seen && c->held && c->in.len && http == 200)
		return; /* what was received is told first */
	else if (!c->end_seen && answered(c))
		rpc_status_set(&c->status, RPC_UNAVAILABLE, ECONNRESET, "the stream was cut");
	tell_end(c);
}

void call_tell(struct call *c)
{
	c->telling = true;
	if (c->was_full && call_queued(c) < CALL_QUEUE_HIGH && !c->done) {
		c->was_full = false;
		if (c->events->writable)
			c->events->writable(c->owner);
	}
	if (!c->cancelled && c->kind == CALL_UNARY)
		tell_unary(c);
	else if (!c->cancelled)
		tell_stream(c);
	c->telling = false;
	if (c->cancelled)
		transfer_free(c);
}
