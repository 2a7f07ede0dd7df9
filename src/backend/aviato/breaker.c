#include "backend/aviato/breaker.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "base/log.h"
#include "rpc/call.h"

#include <errno.h>

#define PROBE_FIRST_MS	 500u
#define PROBE_MAX_MS	 15000u
#define PROBE_TIMEOUT_MS 5000u

static void probe(void *arg);

static void wait_for_next_probe(struct aviato *a)
{
	struct breaker *b = &a->breaker;

	b->delay = delay_start(b->pause_ms, probe, a);
	b->pause_ms = delay_doubled(b->pause_ms, PROBE_MAX_MS);
}

static void nothing(void *owner, const char *text, size_t len)
{
	(void)owner;
	(void)text;
	(void)len;
}

static void probed(void *owner, const struct rpc_status *status)
{
	struct aviato *a = owner;

	a->breaker.call = NULL;
	if (status->transport && status->transport != EPROTO) { /* no answer, for whatever reason */
		wait_for_next_probe(a);
		return;
	}
	log_info("%s answers again", endpoint_url(a->endpoint));
	a->breaker.open = false;
}

static void probe(void *arg)
{
	static const struct call_events events = {nothing, NULL, probed};
	static const char body[] = "{\"pageSize\":1}";
	struct aviato *a = arg;
	char method[96];

	a->breaker.delay = NULL;
	aviato_method("ListSandboxes", method, sizeof method);
	a->breaker.call =
	    call_start(a->endpoint, CALL_UNARY, method, body, sizeof body - 1, PROBE_TIMEOUT_MS, &events, a);
	if (!a->breaker.call)
		wait_for_next_probe(a);
}

bool breaker_is_open(const struct aviato *a, struct rpc_status *ret)
{
	if (a->breaker.open)
		*ret = a->breaker.why;
	return a->breaker.open;
}

void breaker_report(struct aviato *a, const struct rpc_status *status)
{
	struct breaker *b = &a->breaker;

	if (b->open || !failure_is_unreachable(status))
		return;
	log_warn("%s", status->message);
	b->open = true;
	b->why = *status;
	b->pause_ms = PROBE_FIRST_MS;
	wait_for_next_probe(a);
}

void breaker_close(struct aviato *a)
{
	delay_cancel(a->breaker.delay);
	if (a->breaker.call)
		call_cancel(a->breaker.call);
	a->breaker.delay = NULL;
	a->breaker.call = NULL;
}
