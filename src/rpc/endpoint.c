/* libcurl's multi interface as a guest of our loop: its sockets are polled there, its timer is a timer there.
 */
#include "base/log.h"
#include "base/loop.h"
#include "rpc/duplex.h"
#include "rpc/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Streams on one connection. What a server allows is less or more; curl opens another connection then. */
#define STREAMS_MAX 1000

struct watcher {
	struct list link;
	uv_poll_t poll;
	struct endpoint *endpoint;
	curl_socket_t fd;
};

/* --- What curl wants of the loop --- */

static void act(struct endpoint *e, curl_socket_t fd, int events)
{
	int running;

	e->news_before = e->news;
	e->reads = events & CURL_CSELECT_IN;
	e->acts++;
	e->entered++;
	curl_multi_socket_action(e->multi, fd, events, &running);
	if (e->reads && e->news == e->news_before)
		list_each (l, &e->calls)
			duplex_doubt(container_of(l, struct call, link));
	e->entered--;
	endpoint_settle(e);
}

static void on_timer(uv_timer_t *timer)
{
	act(container_of(timer, struct endpoint, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watcher *w = container_of(poll, struct watcher, poll);
	int what = 0;

	if (status < 0)
		what = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		what |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		what |= CURL_CSELECT_OUT;
	act(w->endpoint, w->fd, what);
}

static void watcher_closed(uv_handle_t *handle)
{
	free(container_of((uv_poll_t *)handle, struct watcher, poll));
}

static void drop_watcher(struct watcher *w)
{
	list_remove(&w->link);
	uv_close((uv_handle_t *)&w->poll, watcher_closed);
}

static struct watcher *new_watcher(struct endpoint *e, curl_socket_t fd)
{
	struct watcher *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	if (uv_poll_init_socket(loop_uv(), &w->poll, fd)) {
		free(w);
		return NULL;
	}
	w->endpoint = e;
	w->fd = fd;
	list_append(&e->watchers, &w->link);
	curl_multi_assign(e->multi, fd, w);
	return w;
}

/* Of curl: which events of a socket it waits for. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct endpoint *e = arg;
	struct watcher *w = known;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w)
			drop_watcher(w);
		curl_multi_assign(e->multi, fd, NULL);
		return 0;
	}
	if (!w)
		w = new_watcher(e, fd);
	if (!w)
		return -1;
	uv_poll_start(&w->poll,
		      (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
		      on_poll);
	return 0;
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
	struct endpoint *e = arg;

	(void)multi;
	if (!e->timers)
		return 0;
	if (ms < 0)
		uv_timer_stop(&e->timer);
	else
		uv_timer_start(&e->timer, on_timer, (uint64_t)ms, 0);
	return 0;
}

/* --- What comes of it --- */

static void mark_done(struct endpoint *e)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(e->multi, &left))) {
		struct call *c = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		c->result = message->data.result;
		if (transfer_restart(c))
			continue;
		c->done = true;
		call_has_news(c);
	}
}

void endpoint_settle(struct endpoint *e)
{
	if (e->entered)
		return;
	mark_done(e);
	e->entered++; /* what the events start or send is settled here too, not within them */
	while (!list_empty(&e->ready)) {
		struct call *c = container_of(e->ready.next, struct call, ready);

		list_remove(&c->ready);
		call_tell(c);
		mark_done(e);
	}
	e->entered--;
}

/* --- Stalled uploads --- */

static void on_nudge(uv_timer_t *timer)
{
	struct endpoint *e = container_of(timer, struct endpoint, nudge);
	uint64_t now = uv_now(loop_uv());

	e->entered++;
	list_each (l, &e->calls) {
		struct call *c = container_of(l, struct call, link);

		if (!c->stalled || c->done)
			continue;
		if (c->nudge_ms > now)
			endpoint_stalled(e, (unsigned)(c->nudge_ms - now));
		else
			transfer_nudge(c);
	}
	e->entered--;
	endpoint_settle(e);
}

void endpoint_stalled(struct endpoint *e, unsigned ms)
{
	if (!uv_is_active((uv_handle_t *)&e->nudge) || uv_timer_get_due_in(&e->nudge) > ms)
		uv_timer_start(&e->nudge, on_nudge, ms, 0);
}

/* --- Life --- */

static bool set_up(struct endpoint *e)
{
	e->multi = curl_multi_init();
	return e->multi && !curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_timeout) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX) &&
	       !curl_multi_setopt(e->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)STREAMS_MAX);
}

static void free_endpoint(struct endpoint *e)
{
	if (e->multi)
		curl_multi_cleanup(e->multi);
	for (struct curl_slist *h = e->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(e->headers);
	free(e->url);
	free(e->ca_file);
	free(e);
}

int endpoint_open(const struct endpoint_options *o, struct endpoint **ret, struct error *err)
{
	struct endpoint *e;
	bool good;

	if (o->ca_file && access(o->ca_file, R_OK))
		return error_errno(err, errno, "BAD_CERTIFICATES", "-o cacert=%.200s", o->ca_file);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	e = calloc(1, sizeof *e);
	if (!e)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	list_init(&e->calls);
	list_init(&e->ready);
	list_init(&e->watchers);
	e->connect_ms = o->connect_ms;
	e->url = strdup(o->base_url);
	e->plain = strncmp(o->base_url, "http:", 5) == 0;
	good = set_up(e) && e->url && (!o->ca_file || (e->ca_file = strdup(o->ca_file)));
	for (int i = 0; good && i < ENDPOINT_HEADERS && o->headers[i]; i++) {
		struct curl_slist *longer = curl_slist_append(e->headers, o->headers[i]);

		good = longer != NULL;
		e->headers = longer ? longer : e->headers;
	}
	if (!good) {
		free_endpoint(e);
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	}
	*ret = e;
	return 0;
}

static void timer_closed(uv_handle_t *handle)
{
	struct endpoint *e = handle->data;

	if (--e->timers == 0)
		free_endpoint(e);
}

static void close_timer(struct endpoint *e, uv_timer_t *timer)
{
	timer->data = e;
	uv_close((uv_handle_t *)timer, timer_closed);
}

void endpoint_close(struct endpoint *e)
{
	while (!list_empty(&e->calls))
		transfer_free(container_of(e->calls.next, struct call, link));
	curl_multi_cleanup(e->multi); /* closes the sockets, and says so to on_socket() */
	e->multi = NULL;
	while (!list_empty(&e->watchers))
		drop_watcher(container_of(e->watchers.next, struct watcher, link));
	if (e->timers) {
		close_timer(e, &e->timer);
		close_timer(e, &e->nudge);
	} else {
		free_endpoint(e);
	}
}

const char *endpoint_url(const struct endpoint *e)
{
	return e->url;
}
