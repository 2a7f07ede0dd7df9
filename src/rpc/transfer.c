/* One HTTP request of a call, as libcurl has it. */
#include "rpc/transfer.h"

#include "base/loop.h"
#include "rpc/base_url.h"
#include "rpc/duplex.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define ERROR_BODY_MAX (1u << 20) /* bytes of an answer that is no success */
#define IN_HIGH	       (1u << 20) /* bytes that wait while a call is held */
#define DEAD_MS	       20000u	  /* a connection on which nothing is acknowledged for so long is dead */
#define KEEPALIVE_S    10L
#define REJOIN_MS      5u
#define UNASKED	       65535u /* bytes of a request that HTTP/2 lets through before the server asks for more */
#define UNHEARD_MS     50u
#define OVERTAKEN_MAX  20

static void heard(struct endpoint *e)
{
	e->news++;
	e->heard_ms = uv_now(loop_uv());
}

static size_t on_write(char *data, size_t size, size_t count, void *arg)
{
	struct call *c = arg;
	size_t len = size * count;
	long http = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &http);
	if (http != 200 && c->in.len + len > ERROR_BODY_MAX)
		len = ERROR_BODY_MAX - c->in.len; /* the rest of a page that says no is not wanted */
	if (c->held && http == 200 && c->in.len > IN_HIGH) {
		c->in_waits = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	heard(c->endpoint);
	if (buf_append(&c->in, data, len))
		return 0;
	if (c->kind != CALL_UNARY)
		call_has_news(c);
	return size * count;
}

/*
 * libcurl 7.88, which Debian 12 has, sends the preface of HTTP/2 again when a
 * request "with prior knowledge" joins a connection, and so breaks it. So over
 * http:// one request opens a connection of its own with prior knowledge. All
 * others are requests of plain HTTP/2, which may join it and must not open one:
 * where there is none to join they are turned away here, before a byte was sent,
 * and become the one that opens (transfer_restart()).
 */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct call *c = arg;

	(void)purpose;
	if (c->endpoint->plain && c->endpoint->opener != c) {
		c->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool set_version(struct call *c)
{
	struct endpoint *e = c->endpoint;
	long version = e->plain ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_2TLS;

	if (e->plain && !e->opener && (!e->joinable || c->restarts)) {
		e->opener = c;
		version = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	}
	return !curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, version) &&
	       !curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, e->opener == c ? 1L : 0L);
}

static void opened(struct call *c, bool well)
{
	struct endpoint *e = c->endpoint;

	if (e->opener != c)
		return;
	e->opener = NULL;
	e->joinable = well;
}

/*
 * libcurl 7.88, when a stream is closed before it has sent the body of the request, drops the answer it
 * holds already. What the service said so early (who are you? not now) it will say again; it has not got the
 * message, so nothing is done twice.
 *
 * The same goes for a connection that is given up meanwhile (CURLE_HTTP2). Servers say GOAWAY to who resets
 * too many streams (nghttp2's: 1000 at once), which is what libcurl does to each that was answered early.
 */
static bool was_overtaken(const struct call *c)
{
	if ((c->result != CURLE_HTTP2_STREAM && c->result != CURLE_HTTP2) || c->in.len || c->problem[0])
		return false;
	return c->kind == CALL_DUPLEX ? duplex_may_repeat(c) : !transfer_took_all(c);
}

/* curl counts from each start anew; the deadline is one. */
static bool set_deadline(struct call *c)
{
	uint64_t spent = uv_now(loop_uv()) - c->begun_ms;
	long left = spent < c->timeout_ms ? (long)(c->timeout_ms - spent) : 1;

	return !c->timeout_ms || !curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, left);
}

static bool give_to_curl(struct call *c)
{
	c->away = false;
	return set_version(c) && set_deadline(c) && !curl_multi_add_handle(c->endpoint->multi, c->easy);
}

/*
 * While another call opens a connection, those that were refused wait: curl turns them away at once, as often
 * as they ask, where a connection the service has said GOAWAY to still carries streams. No longer than a
 * connection may take; then it is an error like any other.
 */
static bool join_later(struct call *c)
{
	uint64_t now = uv_now(loop_uv());

	if (!c->refused_ms)
		c->refused_ms = now;
	if (now - c->refused_ms > c->endpoint->connect_ms)
		return false;
	c->restarts++;
	c->away = c->endpoint->opener != NULL;
	if (c->away)
		transfer_nudge_in(c, REJOIN_MS);
	return true;
}

bool transfer_restart(struct call *c)
{
	opened(c, false);
	if (c->refused) {
		if (!join_later(c))
			return false;
	} else if (was_overtaken(c) && c->overtaken < OVERTAKEN_MAX) {
		c->overtaken++;
		c->refused_ms = 0;
	} else {
		return false;
	}
	c->refused = false;
	c->problem[0] = '\0';
	curl_multi_remove_handle(c->endpoint->multi, c->easy);
	return c->away || give_to_curl(c);
}

bool transfer_took_all(const struct call *c)
{
	curl_off_t taken = 0;

	curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &taken);
	return (size_t)taken >= c->out.len;
}

bool transfer_lost_answer(const struct call *c)
{
	return c->result == CURLE_HTTP2_STREAM &&
	       (c->kind == CALL_DUPLEX ? !c->problem[0] : !transfer_took_all(c));
}

void transfer_nudge_in(struct call *c, unsigned ms)
{
	uint64_t due = uv_now(loop_uv()) + ms;

	if (!c->stalled || due < c->nudge_ms)
		c->nudge_ms = due;
	c->stalled = true;
	endpoint_stalled(c->endpoint, ms);
}

void transfer_nudge_later(struct call *c)
{
	transfer_nudge_in(c, UNHEARD_MS);
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	static const char name[] = "x-request-id:";
	struct call *c = arg;
	size_t len = size * count, n = 0;

	if (!c->answering)
		transfer_nudge_later(c);
	c->answering = true;
	heard(c->endpoint);
	if (len < sizeof name || strncasecmp(data, name, sizeof name - 1))
		return len;
	for (size_t i = sizeof name - 1; i < len && n + 1 < sizeof c->status.request_id; i++)
		if (data[i] > ' ' && data[i] < 127)
			c->status.request_id[n++] = data[i];
	c->status.request_id[n] = '\0';
	return len;
}

/* A machine that slept, or a network that went away: the kernel gives up a connection in time. */
static int on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	unsigned ms = DEAD_MS;

	(void)arg;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
	return CURL_SOCKOPT_OK;
}

static bool add_header(struct call *c, const char *text)
{
	struct curl_slist *longer = curl_slist_append(c->headers, text);

	if (longer)
		c->headers = longer;
	return longer != NULL;
}

static bool add_headers(struct call *c, uint32_t timeout_ms)
{
	bool good = add_header(c, c->kind == CALL_UNARY ? "Content-Type: application/json"
							: "Content-Type: application/connect+json") &&
		    add_header(c, "Connect-Protocol-Version: 1") && add_header(c, "Expect:") &&
		    add_header(c, "Accept:");
	char text[48];

	for (struct curl_slist *h = c->endpoint->headers; good && h; h = h->next)
		good = add_header(c, h->data);
	if (good && timeout_ms) {
		snprintf(text, sizeof text, "Connect-Timeout-Ms: %u", timeout_ms);
		good = add_header(c, text);
	}
	return good;
}

#define SET(option, value)                                                                                   \
	do {                                                                                                 \
		if (curl_easy_setopt(c->easy, option, value))                                                \
			return false;                                                                        \
	} while (0)

static bool set_connection(struct call *c, const char *url)
{
	struct endpoint *e = c->endpoint;

	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, c);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (e->ca_file)
		SET(CURLOPT_CAINFO, e->ca_file);
	if (base_url_is_local(url))
		SET(CURLOPT_PROXY, "");
	SET(CURLOPT_PIPEWAIT, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
	SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
	SET(CURLOPT_SOCKOPTFUNCTION, on_new_socket);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)e->connect_ms);
	return true;
}

/* Of curl, before each attempt to send a request: it has a connection for it. */
static int on_begin(void *arg, char *there, char *here, int there_port, int here_port)
{
	struct call *c = arg;

	(void)there;
	(void)here;
	(void)there_port;
	(void)here_port;
	opened(c, true); /* the answer may take as long as it likes */
	c->refused_ms = 0;
	if (c->kind == CALL_DUPLEX)
		duplex_begin(c);
	return CURL_PREREQFUNC_OK;
}

static bool set_request(struct call *c)
{
	SET(CURLOPT_USERAGENT, "connect-c/aviatofs-" VERSION);
	SET(CURLOPT_HTTPHEADER, c->headers);
	SET(CURLOPT_POST, 1L);
	if (c->kind != CALL_DUPLEX) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->out.len);
		SET(CURLOPT_POSTFIELDS, c->out.data);
	} else {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
		SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)DUPLEX_BUFFER);
		SET(CURLOPT_READFUNCTION, duplex_on_read);
		SET(CURLOPT_READDATA, c);
		SET(CURLOPT_SEEKFUNCTION, duplex_on_seek);
		SET(CURLOPT_SEEKDATA, c);
	}
	SET(CURLOPT_PREREQFUNCTION, on_begin);
	SET(CURLOPT_PREREQDATA, c);
	SET(CURLOPT_WRITEFUNCTION, on_write);
	SET(CURLOPT_WRITEDATA, c);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, c);
	SET(CURLOPT_ERRORBUFFER, c->problem);
	SET(CURLOPT_PRIVATE, c);
	SET(CURLOPT_BUFFERSIZE, 128L << 10);
	return true;
}

int transfer_start(struct call *c, const char *method, uint32_t timeout_ms)
{
	struct endpoint *e = c->endpoint;
	char url[512];

	if (!e->timers) {
		uv_timer_init(loop_uv(), &e->timer);
		uv_timer_init(loop_uv(), &e->nudge);
		e->timers = 2;
	}
	if (snprintf(url, sizeof url, "%s/%s", e->url, method) >= (int)sizeof url)
		return -ENAMETOOLONG;
	c->begun_ms = uv_now(loop_uv());
	c->timeout_ms = timeout_ms;
	c->acts = e->acts;
	c->easy = curl_easy_init();
	if (!c->easy || !add_headers(c, timeout_ms) || !set_connection(c, url) || !set_request(c) ||
	    !give_to_curl(c))
		return -ENOMEM;
	if (c->kind != CALL_DUPLEX && c->out.len > UNASKED)
		transfer_nudge_later(c);
	return 0;
}

/* The end of a request of known length is none of the ends that duplex.c has to be careful with. */
void transfer_ends(struct call *c)
{
	if (c->acts == c->endpoint->acts)
		curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->out.len);
}

void transfer_resume(struct call *c)
{
	bool out_waits = c->out_waits && c->out.len == c->sent && !c->out_ended;

	if (c->done || (!c->out_waits && !c->in_waits))
		return;
	c->out_waits = out_waits;
	if (!c->held)
		c->in_waits = false;
	/* May call on_write() at once, but tells nobody: news are told from the loop. */
	curl_easy_pause(c->easy, (out_waits ? CURLPAUSE_SEND : 0) | (c->in_waits ? CURLPAUSE_RECV : 0));
}

/*
 * A server may answer before it has the whole request, and may want no more of it then.
 * libcurl 7.88 forgets what it has read of such an answer, and goes on waiting for leave
 * to send, until it is made to look. Where the last of the request goes out behind all of
 * the answer it does not see that both have ended, until then.
 */
static void look_for_early_answer(struct call *c)
{
	int held = c->in_waits ? CURLPAUSE_RECV : 0;

	curl_easy_pause(c->easy, CURLPAUSE_SEND | held);
	curl_easy_pause(c->easy, held);
	if (!transfer_took_all(c) || (c->kind == CALL_UNARY && c->answering))
		transfer_nudge_later(c);
}

static void join_now(struct call *c)
{
	if (give_to_curl(c))
		return;
	c->result = CURLE_OUT_OF_MEMORY;
	c->done = true;
	call_has_news(c);
}

void transfer_nudge(struct call *c)
{
	c->stalled = false;
	if (c->away)
		join_now(c);
	else if (c->kind == CALL_DUPLEX)
		duplex_nudge(c);
	else
		look_for_early_answer(c);
}

/* What tells connections apart: the port at our end; 0 where there is none yet. */
static long connection_of(const struct call *c)
{
	long port = 0;

	curl_easy_getinfo(c->easy, CURLINFO_LOCAL_PORT, &port);
	return port;
}

/*
 * libcurl 7.88 keeps the reset of a stream that was taken away in a buffer until it next sends
 * something on that connection, and the other side goes on sending till then. A change of another
 * call's flow control empties that buffer at once.
 */
static void push_out_reset(struct endpoint *e, long connection)
{
	list_each (pos, &e->calls) {
		struct call *c = container_of(pos, struct call, link);
		int send;

		if (!c->easy || c->done || c->away || c->in_waits || connection_of(c) != connection)
			continue;
		send = c->out_waits ? CURLPAUSE_SEND : 0;
		curl_easy_pause(c->easy, send | CURLPAUSE_RECV);
		curl_easy_pause(c->easy, send);
		return;
	}
}

void transfer_free(struct call *c)
{
	opened(c, false);
	list_remove(&c->link);
	list_remove(&c->ready);
	if (c->easy) {
		long connection = c->done ? 0 : connection_of(c);

		curl_multi_remove_handle(c->endpoint->multi, c->easy);
		curl_easy_cleanup(c->easy);
		if (connection)
			push_out_reset(c->endpoint, connection);
	}
	for (struct curl_slist *h = c->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(c->headers);
	buf_free(&c->out);
	buf_free(&c->in);
	free(c);
}
