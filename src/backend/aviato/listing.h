/* All pages of a list of the service. Loop thread only. */
#pragma once

#include "backend/aviato/request.h"
#include "base/error.h"

struct listing_kind {
	const char *method;
	const char *items; /* the member of an answer that has them */
	const char *what;  /* is tried: "list the sandboxes" */
	unsigned page;	   /* so many in one answer; 0: as the service likes */
};

struct listing {
	struct request request;
	const struct listing_kind *kind;
	cJSON *filter; /* members of each request, or NULL */
	cJSON *items;  /* an array of messages so far */
	char *page;    /* the last token */
	unsigned pages;
	uint64_t until; /* ms */
	void (*done)(struct listing *l, const struct error *why);
};

/* Begins; `done` is called once, with NULL when `items` is complete. Takes over `filter`. */
void listing_start(struct listing *l, struct aviato *a, const struct listing_kind *kind, cJSON *filter,
		   void (*done)(struct listing *l, const struct error *why));
/* Frees what it holds, and stops it. */
void listing_end(struct listing *l);
