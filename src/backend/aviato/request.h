/* One unary call with its deadline, its retries, and its end in one callback. Loop thread only. */
#pragma once

#include "rpc/status.h"

#include <cjson/cJSON.h>

#include <stdbool.h>
#include <stdint.h>

struct aviato;
struct call;
struct delay;

/*
 * `answer` is NULL when it failed, and freed afterwards. The request may be
 * started again from here.
 */
typedef void request_done(void *owner, const cJSON *answer, const struct rpc_status *status);

struct request {
	struct aviato *aviato;
	const char *method; /* "CreateSandbox" */
	char *body;
	uint32_t timeout_ms; /* of one attempt */
	uint32_t budget_ms;  /* how long after the first failure another attempt may begin; 0: no other */
	request_done *done;
	void *owner;
	/* Hears of each failure that is not the last by itself: whether the call is repeated. To be set after
	 * request_start(); failure_is_passing() otherwise. */
	bool (*passing)(void *owner, const struct rpc_status *status);
	bool patient; /* to be set likewise: tried for all of the budget, also where nothing can be reached */
	/* While under way */
	struct call *call;
	struct delay *delay;
	cJSON *answer;
	uint64_t failing_since; /* ms; 0: not failing */
	uint32_t last_sleep_ms;
	bool malformed;
};

/* Takes over `body`. No other may be under way in `r`. */
void request_start(struct request *r, struct aviato *a, const char *method, cJSON *body, uint32_t timeout_ms,
		   uint32_t budget_ms, request_done *done, void *owner);
/* Without a word. Harmless when none is under way. */
void request_cancel(struct request *r);
bool request_under_way(const struct request *r);

/* Monotonic milliseconds. */
uint64_t request_clock_ms(void);
