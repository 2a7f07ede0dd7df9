#include "backend/aviato/listing.h"

#include "backend/aviato/failure.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 100u
#define ITEMS_MAX 100000
#define LIST_MS	  300000u /* for all pages */
#define PAGE_MS	  30000u
#define BUDGET_MS 10000u

static void next_page(struct listing *l);

static void page_came(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct listing *l = owner;
	const char *token = json_text(answer, "nextPageToken");
	const cJSON *one;
	struct error why;

	if (!answer) {
		failure_set(&why, status, l->kind->what);
		l->done(l, &why);
		return;
	}
	cJSON_ArrayForEach(one, json_array(answer, l->kind->items))
	    cJSON_AddItemToArray(l->items, cJSON_Duplicate(one, true));
	if (!*token) {
		l->done(l, NULL);
	} else if (++l->pages == PAGES_MAX || (l->page && strcmp(l->page, token) == 0) ||
		   cJSON_GetArraySize(l->items) > ITEMS_MAX || request_clock_ms() > l->until) {
		error_set(&why, EPROTO, "BAD_ANSWER", "cannot %s: the list does not end", l->kind->what);
		l->done(l, &why);
	} else {
		free(l->page);
		l->page = strdup(token);
		next_page(l);
	}
}

static void next_page(struct listing *l)
{
	cJSON *body = l->filter ? cJSON_Duplicate(l->filter, true) : cJSON_CreateObject();

	if (l->kind->page)
		cJSON_AddNumberToObject(body, "pageSize", l->kind->page);
	if (l->page)
		cJSON_AddStringToObject(body, "pageToken", l->page);
	request_start(&l->request, l->request.aviato, l->kind->method, body, PAGE_MS, BUDGET_MS, page_came,
		      l);
}

void listing_start(struct listing *l, struct aviato *a, const struct listing_kind *kind, cJSON *filter,
		   void (*done)(struct listing *l, const struct error *why))
{
	*l = (struct listing){
	    .request.aviato = a, .kind = kind, .filter = filter, .items = cJSON_CreateArray(), .done = done};
	l->until = request_clock_ms() + LIST_MS;
	next_page(l);
}

void listing_end(struct listing *l)
{
	request_cancel(&l->request);
	cJSON_Delete(l->items);
	cJSON_Delete(l->filter);
	free(l->page);
	l->items = NULL;
	l->filter = NULL;
	l->page = NULL;
}
