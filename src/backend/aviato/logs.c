/*
 * A log is followed while it is read: by one StreamLogs, resumed by session and offset
 * where it breaks. Where the service has forgotten the session, it tells everything
 * again, and what is here already is left out.
 */
#include "backend/aviato/logs.h"

#include "backend/aviato/breaker.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "backend/aviato/log_entry.h"
#include "backend/aviato/remote.h"
#include "base/log.h"
#include "base/loop.h"
#include "rpc/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX   3u
#define PAUSE_FIRST_MS 500u
#define PAUSE_MAX_MS   4000u
#define STORED_MS      300000u /* of a call that only tells what there is */

struct remote_log {
	struct list link;      /* of the sandbox's */
	struct remote *remote; /* NULL when that was let go of */
	/* Core lock */
	struct main_log *log; /* NULL once it is forgotten */
	bool on;	      /* somebody reads it */
	unsigned posted;      /* steps that have not come */
	/* The loop thread's, but for the first */
	struct log_options options;
	struct call *call;
	struct delay *delay;
	unsigned failures; /* in a row, without a byte in between */
	bool told;	   /* something came, in this session or another */
	bool broken;	   /* what came last was no end */
	char session[LOG_SESSION_MAX];
	uint64_t offset;    /* bytes of that session that came */
	bool repeating;	    /* a new session: what it says is compared with what came */
	uint64_t compared;  /* so many bytes of that were the same */
	char last_time[40]; /* of the last entry */
};

static void begin(struct remote_log *rl);

/* --- The end --- */

static void drop_call(struct remote_log *rl)
{
	if (rl->call)
		call_cancel(rl->call);
	delay_cancel(rl->delay);
	rl->call = NULL;
	rl->delay = NULL;
}

static void end(struct remote_log *rl, const struct error *why)
{
	drop_call(rl);
	core_lock();
	if (rl->log)
		main_log_end(rl->log, why);
	core_unlock();
}

static void end_with(struct remote_log *rl, int code, const char *reason, const char *text)
{
	struct error why;

	error_set(&why, code, reason, "cannot read the log: %s", text);
	end(rl, &why);
}

/* --- Trying again --- */

static void try_again(void *arg)
{
	struct remote_log *rl = arg;

	rl->delay = NULL;
	begin(rl);
}

/* False when it was tried often enough. */
static bool again_later(struct remote_log *rl)
{
	unsigned pause = PAUSE_FIRST_MS;

	drop_call(rl);
	rl->broken = true;
	if (++rl->failures >= ATTEMPTS_MAX)
		return false;
	for (unsigned i = 1; i < rl->failures && pause < PAUSE_MAX_MS; i++)
		pause *= 2;
	rl->delay = delay_start(pause, try_again, rl);
	return rl->delay != NULL;
}

static void forget_session(struct remote_log *rl)
{
	rl->session[0] = '\0';
	rl->offset = 0;
}

/* --- What comes --- */

static void on_error_entry(struct remote_log *rl, const struct log_entry *e)
{
	enum log_remedy remedy = rl->options.stored ? LOG_FAIL : log_entry_remedy(e->code);
	struct error why;

	if (remedy == LOG_AFRESH)
		forget_session(rl);
	if (remedy != LOG_FAIL && again_later(rl))
		return;
	error_set(&why, EIO, "LOG_BROKEN", "cannot read the log: %s: %s", e->code[0] ? e->code : "UNKNOWN",
		  e->message);
	end(rl, &why);
}

/* How many bytes at the start of an entry came before, in this session or in the one it repeats. */
static size_t known_bytes(struct remote_log *rl, const struct log_entry *e)
{
	uint64_t at = e->next - e->len;
	size_t known = 0, same;

	if (e->counted && at < rl->offset)
		known = rl->offset - at < e->len ? (size_t)(rl->offset - at) : e->len;
	if (!rl->repeating)
		return known;
	same = main_log_compare(rl->log, rl->compared, e->data + known, e->len - known);
	rl->compared += same;
	rl->repeating = same && known + same == e->len;
	return known + same;
}

static void on_data(struct remote_log *rl, const struct log_entry *e)
{
	struct error why;
	size_t known;

	rl->failures = 0;
	rl->broken = false;
	if (strcmp(rl->session, e->session) != 0) {
		rl->offset = 0;
		strcpy(rl->session, e->session);
	}
	if (e->counted && rl->offset && e->next - e->len > rl->offset) {
		error_set(&why, EIO, "LOG_BROKEN", "%llu bytes of the log did not come",
			  (unsigned long long)(e->next - e->len - rl->offset));
		main_log_note(rl->log, &why);
	}
	known = known_bytes(rl, e);
	if (e->counted)
		rl->offset = e->next > rl->offset ? e->next : rl->offset;
	else
		rl->session[0] = '\0'; /* without an offset there is no going on in it */
	if (e->time[0])
		strcpy(rl->last_time, e->time);
	rl->told = true;
	if (known < e->len)
		main_log_append(rl->log, e->data + known, e->len - known);
}

static void on_message(void *owner, const char *text, size_t len)
{
	struct remote_log *rl = owner;
	struct log_entry e;
	int rc = log_entry_decode(text, len, &e);
	bool over;

	core_lock();
	if (rl->log && !rc && e.len)
		on_data(rl, &e);
	over = !rl->log || rl->log->stream.ended;
	core_unlock();
	if (over)
		drop_call(rl);
	else if (rc)
		end_with(rl, -rc, rc == -EPROTO ? "BAD_ANSWER" : "NO_MEMORY",
			 rc == -EPROTO ? "what came makes no sense" : "out of memory");
	else if (e.is_error)
		on_error_entry(rl, &e);
	free(e.data);
}

/* Whether a break is one that may be mended by another call. */
static bool is_passing(const struct rpc_status *s)
{
	return (s->code == RPC_UNAVAILABLE || s->code == RPC_INTERNAL || s->code == RPC_UNKNOWN) &&
	       s->transport != EPROTO && s->transport != ENOMEM;
}

/* The service tells nothing of a sandbox that has ended: what came of it is what there is. */
static void on_not_running(struct remote_log *rl, const struct error *why)
{
	if (rl->told && !rl->broken) {
		core_lock();
		if (rl->log)
			main_log_note(rl->log, why);
		core_unlock();
		end(rl, NULL);
	} else {
		end(rl, why);
	}
}

static void on_status(struct remote_log *rl, const struct rpc_status *status)
{
	struct error why;

	if (status->code == RPC_OK) {
		end(rl, NULL);
		return;
	}
	failure_set(&why, status, "read the log");
	if (failure_is_not_running(status)) {
		on_not_running(rl, &why);
	} else if (rl->options.stored || !is_passing(status) || !again_later(rl)) {
		breaker_report(rl->remote->aviato, status);
		end(rl, &why);
	}
}

static void on_ended(void *owner, const struct rpc_status *status)
{
	struct remote_log *rl = owner;

	rl->call = NULL;
	on_status(rl, status);
}

/* --- Asking --- */

static void put_time(cJSON *body, time_t when)
{
	char text[40];
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	cJSON_AddStringToObject(body, "sinceTime", text);
}

/* A first call says what is wanted; one that goes on says where; one that begins anew, from when. */
static cJSON *make_body(struct remote_log *rl)
{
	const struct log_options *o = &rl->options;
	cJSON *body = cJSON_CreateObject();
	char number[24];

	cJSON_AddStringToObject(body, "sandboxId", rl->remote->id);
	if (!o->stored)
		cJSON_AddTrueToObject(body, "follow");
	if (rl->session[0]) {
		snprintf(number, sizeof number, "%llu", (unsigned long long)rl->offset);
		cJSON_AddStringToObject(body, "resumeLogSessionId", rl->session);
		cJSON_AddStringToObject(body, "resumeLogOffset", number);
		return body;
	}
	if (o->timestamps)
		cJSON_AddTrueToObject(body, "timestamps");
	if (rl->told && !log_options_are_lasting(o)) {
		if (rl->last_time[0])
			cJSON_AddStringToObject(body, "sinceTime", rl->last_time);
		else
			put_time(body, time(NULL));
		return body;
	}
	rl->repeating = rl->told;
	rl->compared = 0;
	if (o->tail)
		cJSON_AddNumberToObject(body, "tailLines", o->tail);
	if (o->since)
		put_time(body, o->since);
	return body;
}

static void begin(struct remote_log *rl)
{
	static const struct call_events events = {on_message, NULL, on_ended};
	struct aviato *a = rl->remote->aviato;
	struct rpc_status status;
	char method[96], *text;
	cJSON *body;

	if (breaker_is_open(a, &status)) {
		on_status(rl, &status);
		return;
	}
	body = make_body(rl);
	text = cJSON_PrintUnformatted(body);
	cJSON_Delete(body);
	aviato_method("StreamLogs", method, sizeof method);
	rl->call = text ? call_start(a->endpoint, CALL_SERVER_STREAM, method, text, strlen(text),
				     rl->options.stored ? STORED_MS : 0, &events, rl)
			: NULL;
	free(text);
	if (!rl->call)
		end_with(rl, ENOMEM, "NO_MEMORY", "out of memory");
}

/* --- Core's wishes, and the sandbox's states --- */

static bool may_begin(const struct remote *i)
{
	return i->phase != PHASE_NEW && i->phase != PHASE_CREATING && i->phase != PHASE_STARTING;
}

static void step(struct remote_log *rl)
{
	bool on, over;

	core_lock();
	on = rl->on;
	over = !rl->log || rl->log->stream.ended;
	core_unlock();
	if (!on || over || !rl->remote) {
		drop_call(rl);
	} else if (!rl->call && !rl->delay && may_begin(rl->remote)) {
		rl->failures = 0;
		if (rl->remote->id[0])
			begin(rl);
		else
			end_with(rl, ESHUTDOWN, "SANDBOX_ENDED", "the sandbox never ran");
	}
}

static void step_posted(void *arg)
{
	struct remote_log *rl = arg;
	bool known, gone;

	core_lock();
	known = rl->log; /* and so the sandbox is there */
	gone = --rl->posted == 0 && !known;
	core_unlock();
	if (known && rl->remote && list_empty(&rl->link))
		list_append(&rl->remote->logs, &rl->link);
	step(rl);
	if (!gone)
		return;
	list_remove(&rl->link);
	free(rl);
}

static void post(struct remote_log *rl)
{
	rl->posted++;
	if (loop_post(step_posted, rl)) {
		rl->posted--;
		log_warn("out of memory: a log is left alone");
	}
}

void logs_follow(struct backend *b, struct main_log *l, bool on)
{
	struct remote_log *rl = l->instance;

	(void)b;
	if (!rl) {
		rl = calloc(1, sizeof *rl);
		if (!rl) {
			main_log_end(l, &(struct error){.code = ENOMEM, .reason = "NO_MEMORY"});
			return;
		}
		list_init(&rl->link);
		rl->remote = sandbox_instance(l->sandbox);
		rl->log = l;
		rl->options = l->options;
		l->instance = rl;
	}
	rl->on = on;
	post(rl);
}

void logs_forget(struct backend *b, struct main_log *l)
{
	struct remote_log *rl = l->instance;

	(void)b;
	rl->log = NULL;
	rl->on = false;
	post(rl);
}

void logs_step(struct remote *i)
{
	list_each_safe (pos, &i->logs)
		step(container_of(pos, struct remote_log, link));
}

void logs_part(struct remote *i)
{
	list_each_safe (pos, &i->logs) {
		struct remote_log *rl = container_of(pos, struct remote_log, link);

		list_remove(pos);
		drop_call(rl);
		rl->remote = NULL;
	}
}
