#include "backend/aviato/request.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/breaker.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "rpc/call.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SLEEP_MIN_MS   200u
#define SLEEP_MAX_MS   2000u
#define HINT_MAX_MS    10000u /* of a RetryInfo */
#define ATTEMPT_MIN_MS 100u

uint64_t request_clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void attempt(void *arg);

static struct endpoint *endpoint_for(const struct request *r)
{
	return strncmp(r->method, "SandboxTemplateService/", 23) ? r->aviato->endpoint : r->aviato->templates;
}

static void finish(struct request *r, const struct rpc_status *status)
{
	cJSON *answer = r->answer;
	struct rpc_status s = *status;

	r->answer = NULL;
	r->call = NULL;
	free(r->body);
	r->body = NULL;
	if (endpoint_for(r) == r->aviato->endpoint) /* the other service's trouble is its own */
		breaker_report(r->aviato, &s);
	r->done(r->owner, s.code == RPC_OK ? answer : NULL, &s);
	cJSON_Delete(answer);
}

static uint32_t random_between(uint32_t least, uint32_t most)
{
	uint32_t n = 0;

	if (most <= least || getrandom(&n, sizeof n, 0) != sizeof n)
		return least;
	return least + n % (most - least + 1);
}

/* How long to wait before the next attempt; decorrelated jitter, so that many do not come back at once. */
static uint32_t next_sleep(struct request *r, const struct rpc_status *s, uint32_t left)
{
	uint32_t most = r->last_sleep_ms * 3 / 2;

	if (s->retry_ms) {
		most = s->retry_ms < HINT_MAX_MS ? s->retry_ms : HINT_MAX_MS;
		return most < left ? most : left;
	}
	if (most > SLEEP_MAX_MS)
		most = SLEEP_MAX_MS;
	r->last_sleep_ms = random_between(SLEEP_MIN_MS, most);
	return r->last_sleep_ms < left ? r->last_sleep_ms : left;
}

/* True when another attempt is on its way. */
static bool try_again(struct request *r, const struct rpc_status *s)
{
	uint64_t now = request_clock_ms(), over;

	if (!r->budget_ms || !(r->passing ? r->passing(r->owner, s) : failure_is_passing(s)))
		return false;
	if (!r->failing_since)
		r->failing_since = now;
	over = r->failing_since + r->budget_ms;
	if (now + ATTEMPT_MIN_MS >= over)
		return false;
	r->delay = delay_start(next_sleep(r, s, (uint32_t)(over - now)), attempt, r);
	return r->delay != NULL;
}

static void on_message(void *owner, const char *text, size_t len)
{
	struct request *r = owner;

	cJSON_Delete(r->answer);
	r->answer = json_parse_object(text, len);
	r->malformed = !r->answer;
}

static void on_ended(void *owner, const struct rpc_status *status)
{
	struct request *r = owner;
	struct rpc_status s = *status;

	r->call = NULL;
	if (s.code == RPC_OK && r->malformed)
		rpc_status_set(&s, RPC_INTERNAL, EPROTO, "%s was answered in something that is not JSON",
			       r->method);
	if (s.code == RPC_OK || !try_again(r, &s))
		finish(r, &s);
}

static const struct call_events events = {on_message, NULL, on_ended};

static void no_memory(struct request *r)
{
	struct rpc_status s = {0};

	rpc_status_set(&s, RPC_INTERNAL, ENOMEM, "out of memory");
	finish(r, &s);
}

static void attempt(void *arg)
{
	struct request *r = arg;
	uint64_t now = request_clock_ms(), left;
	uint32_t timeout = r->timeout_ms;
	char method[96];

	r->delay = NULL;
	r->malformed = false;
	if (r->failing_since) {
		left = r->failing_since + r->budget_ms > now ? r->failing_since + r->budget_ms - now : 0;
		if (left < ATTEMPT_MIN_MS)
			left = ATTEMPT_MIN_MS;
		timeout = timeout < left ? timeout : (uint32_t)left;
	}
	aviato_method(r->method, method, sizeof method);
	r->call = r->body ? call_start(endpoint_for(r), CALL_UNARY, method, r->body, strlen(r->body), timeout,
				       &events, r)
			  : NULL;
	if (!r->call)
		no_memory(r);
}

/* Never from within request_start(): the caller is not ready to hear of the end. */
static void refused(void *arg)
{
	struct request *r = arg;
	struct rpc_status s;

	r->delay = NULL;
	if (!breaker_is_open(r->aviato, &s))
		attempt(r);
	else if (!r->patient || !try_again(r, &s))
		finish(r, &s);
}

void request_start(struct request *r, struct aviato *a, const char *method, cJSON *body, uint32_t timeout_ms,
		   uint32_t budget_ms, request_done *done, void *owner)
{
	struct rpc_status s;

	*r = (struct request){.aviato = a,
			      .method = method,
			      .timeout_ms = timeout_ms,
			      .budget_ms = budget_ms,
			      .done = done,
			      .owner = owner,
			      .last_sleep_ms = SLEEP_MIN_MS};
	r->body = cJSON_PrintUnformatted(body);
	cJSON_Delete(body);
	if (!r->body || breaker_is_open(a, &s)) {
		r->delay = delay_start(0, refused, r);
		if (!r->delay)
			abort(); /* not even a hundred bytes */
		return;
	}
	attempt(r);
}

void request_cancel(struct request *r)
{
	if (r->call)
		call_cancel(r->call);
	delay_cancel(r->delay);
	cJSON_Delete(r->answer);
	free(r->body);
	r->call = NULL;
	r->delay = NULL;
	r->answer = NULL;
	r->body = NULL;
}

bool request_under_way(const struct request *r)
{
	return r->call || r->delay;
}
