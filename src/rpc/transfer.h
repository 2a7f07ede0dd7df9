/* Between a call and its endpoint: the only header that knows libcurl. */
#pragma once

#include "base/list.h"
#include "rpc/call.h"

#include <curl/curl.h>
#include <uv.h>

struct endpoint {
	CURLM *multi;
	uv_timer_t timer, nudge;
	unsigned timers;  /* of these, the loop's */
	unsigned entered; /* inside curl: calls must not be started or ended */
	struct list calls, ready, watchers;
	unsigned news;	      /* counts what calls have heard */
	unsigned news_before; /* when curl was last entered, */
	bool reads;	      /* and that there was something to read */
	unsigned acts;	      /* how often that was */
	uint64_t heard_ms;    /* when the service said anything last, loop time */
	char *url;
	char *ca_file;
	uint32_t connect_ms;
	struct curl_slist *headers; /* ours, wiped at the end */
	/* Of http://, see on_open_socket() */
	bool plain, joinable;
	struct call *opener;
};

struct call {
	struct list link;  /* of all calls */
	struct list ready; /* of those with news to tell */
	struct endpoint *endpoint;
	enum call_kind kind;
	const struct call_events *events;
	void *owner;
	CURL *easy;
	struct curl_slist *headers;
	/* Out */
	struct buf out;
	size_t sent; /* bytes at the start of `out` that curl has taken */
	bool out_ended, out_waits;
	unsigned acts;	 /* of the endpoint, when it was given to curl first */
	bool repeatable; /* it may be begun twice: `out` begins with all there was, until the answer does */
	bool persistent; /* see call_persist() */
	bool doubted;	 /* the service may have ended it */
	bool probing;	 /* so the next message is to be begun */
	size_t ahead;	 /* so many bytes of it were sent, */
	uint64_t probed_ms; /* when the last was, or when there was nothing to send any more, loop time */
	uint32_t pause_ms;  /* until the next one */
	bool stalled;	    /* curl may be keeping bytes back, either way */
	uint64_t nudge_ms;  /* when it is asked for them, loop time */
	bool was_full;	    /* `writable` is due once there is room */
	/* In */
	struct buf in;
	bool in_waits; /* curl was told to wait */
	bool answering;
	bool held;
	struct rpc_status status;
	bool end_seen; /* EndStream came: `status` is how it ended */
	bool done;     /* curl is through with it */
	CURLcode result;
	uint64_t begun_ms;	 /* loop time */
	uint32_t timeout_ms;	 /* from then on; 0: no deadline */
	bool refused;		 /* of http://: there was no connection to join */
	unsigned restarts;	 /* after that */
	uint64_t refused_ms;	 /* since when, loop time; 0: it is not */
	bool away;		 /* not with curl: waits for a connection to join */
	unsigned overtaken;	 /* other restarts, see transfer_restart() */
	bool telling, cancelled; /* in an event; to be freed after it */
	char problem[CURL_ERROR_SIZE];
};

/* Makes the easy handle of `c` and gives it to curl. 0 or -ENOMEM. */
int transfer_start(struct call *c, const char *method, uint32_t timeout_ms);
/*
 * Whether it ended only for want of a connection to join, or before the service could have had all of it: it
 * is under way again then, or will be soon.
 */
bool transfer_restart(struct call *c);
/* Of a duplex call: no more follows. Curl is told how much it is, if it has not looked at the call yet. */
void transfer_ends(struct call *c);
/* Tells curl that what it waited for may be there now. */
void transfer_resume(struct call *c);
/* Asks curl to look again for what it has to send; or gives it back to curl, if it waited for a connection.
 */
void transfer_nudge(struct call *c);
/* In so many milliseconds, or sooner. */
void transfer_nudge_in(struct call *c, unsigned ms);
/* In a short while. */
void transfer_nudge_later(struct call *c);
/* Whether curl has been rid of the whole request, of a call that is not duplex. */
bool transfer_took_all(const struct call *c);
/* Of one that failed: the service has said all it had to say, of which curl has lost something. */
bool transfer_lost_answer(const struct call *c);
/* Takes it away from curl and frees what it had. */
void transfer_free(struct call *c);

/* After curl was entered: tells all calls their news. */
void endpoint_settle(struct endpoint *e);
/* Calls that have `stalled` are nudged, and news are told, in so many milliseconds, or sooner. */
void endpoint_stalled(struct endpoint *e, unsigned ms);
/* Puts it on the list of those with news. */
void call_has_news(struct call *c);
/* What is new with it. May free it. */
void call_tell(struct call *c);
