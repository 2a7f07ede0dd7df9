#include "backend/aviato/purge.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/failure.h"
#include "backend/aviato/request.h"
#include "base/loop.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PURGE_MS  300000u
#define BUDGET_MS 30000u /* what was done already is done: the same may be asked for again */

struct purge {
	struct aviato *aviato;
	struct request request;
	cJSON *body;
};

static void done(struct purge *p, const struct error *why)
{
	core_lock();
	backend_purged(why);
	core_unlock();
	p->aviato->purge = NULL;
	free(p);
}

static void purged(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	const cJSON *failed = json_array(answer, "failedSandboxIds"),
		    *retryable = json_array(answer, "retryableFailedSandboxIds");
	int count = cJSON_GetArraySize(failed) + cJSON_GetArraySize(retryable);
	const cJSON *first = cJSON_GetArrayItem(cJSON_GetArraySize(failed) ? failed : retryable, 0);
	struct error why;

	if (!answer) {
		failure_set(&why, status, "purge");
		done(owner, &why);
	} else if (count) {
		error_set(&why, EIO, "PURGE_FAILED", "%d sandboxes could not be ended, as %.60s", count,
			  cJSON_IsString(first) ? first->valuestring : "?");
		done(owner, &why);
	} else {
		done(owner, NULL);
	}
}

static void begin_posted(void *arg)
{
	struct purge *p = arg;
	cJSON *body = p->body;

	p->body = NULL;
	p->aviato->purge = p;
	request_start(&p->request, p->aviato, "PurgeSandboxes", body, PURGE_MS, BUDGET_MS, purged, p);
}

static cJSON *make_body(const char *tags)
{
	cJSON *body = cJSON_CreateObject(), *list;

	if (!*tags) {
		cJSON_AddTrueToObject(body, "purgeAll");
		return body;
	}
	list = cJSON_AddArrayToObject(body, "tags");
	while (*tags) {
		size_t len = strcspn(tags, "\n");
		char *tag = strndup(tags, len);

		if (tag)
			cJSON_AddItemToArray(list, cJSON_CreateString(tag));
		free(tag);
		tags += len + (tags[len] == '\n');
	}
	return body;
}

void purge_begin(struct backend *b, const char *tags)
{
	struct purge *p = calloc(1, sizeof *p);
	struct error err;

	if (p) {
		p->aviato = (struct aviato *)b;
		p->body = make_body(tags);
		if (loop_post(begin_posted, p) == 0)
			return;
		cJSON_Delete(p->body);
		free(p);
	}
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	backend_purged(&err);
}

void purge_close(struct aviato *a)
{
	if (!a->purge)
		return;
	request_cancel(&a->purge->request);
	free(a->purge);
	a->purge = NULL;
}
