#include "backend/aviato/listing.h"

#include "backend/aviato/failure.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX   100u
#define SANDBOX_MAX 100000
#define LIST_MS	    300000u /* for all pages */
#define PAGE_MS	    30000u
#define BUDGET_MS   10000u

static void next_page(struct listing *l);

static void page_came(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct listing *l = owner;
	const char *token = json_text(answer, "nextPageToken");
	const cJSON *one;
	struct error why;

	if (!answer) {
		failure_set(&why, status, "list the sandboxes");
		l->done(l, &why);
		return;
	}
	cJSON_ArrayForEach(one, json_array(answer, "sandboxes"))
	    cJSON_AddItemToArray(l->sandboxes, cJSON_Duplicate(one, true));
	if (!*token) {
		l->done(l, NULL);
	} else if (++l->pages == PAGES_MAX || (l->page && strcmp(l->page, token) == 0) ||
		   cJSON_GetArraySize(l->sandboxes) > SANDBOX_MAX || request_clock_ms() > l->until) {
		error_set(&why, EPROTO, "BAD_ANSWER", "the list of sandboxes does not end");
		l->done(l, &why);
	} else {
		free(l->page);
		l->page = strdup(token);
		next_page(l);
	}
}

static void next_page(struct listing *l)
{
	cJSON *body = cJSON_CreateObject();
	const char *const tags[] = {l->tag};

	if (l->tag)
		cJSON_AddItemToObject(body, "tags", cJSON_CreateStringArray(tags, 1));
	if (l->page)
		cJSON_AddStringToObject(body, "pageToken", l->page);
	request_start(&l->request, l->request.aviato, "ListSandboxes", body, PAGE_MS, BUDGET_MS, page_came,
		      l);
}

void listing_start(struct listing *l, struct aviato *a, const char *tag,
		   void (*done)(struct listing *l, const struct error *why))
{
	*l =
	    (struct listing){.request.aviato = a, .tag = tag, .sandboxes = cJSON_CreateArray(), .done = done};
	l->until = request_clock_ms() + LIST_MS;
	next_page(l);
}

void listing_end(struct listing *l)
{
	request_cancel(&l->request);
	cJSON_Delete(l->sandboxes);
	free(l->page);
	l->sandboxes = NULL;
	l->page = NULL;
}
