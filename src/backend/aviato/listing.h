/* All pages of ListSandboxes. Loop thread only. */
#pragma once

#include "backend/aviato/request.h"
#include "base/error.h"

struct listing {
	struct request request;
	const char *tag;  /* only those that have it; NULL: all */
	cJSON *sandboxes; /* an array of Sandbox messages so far */
	char *page;	  /* the last token */
	unsigned pages;
	uint64_t until; /* ms */
	void (*done)(struct listing *l, const struct error *why);
};

/* Begins; `done` is called once, with NULL when `sandboxes` is complete. */
void listing_start(struct listing *l, struct aviato *a, const char *tag,
		   void (*done)(struct listing *l, const struct error *why));
/* Frees what it holds, and stops it. */
void listing_end(struct listing *l);
