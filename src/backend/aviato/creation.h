/* Creating a sandbox: once, in one of two placements, or not at all. Loop thread only. */
#pragma once

#include "core/config.h"

#include <cjson/cJSON.h>

#include <stdbool.h>

struct aviato;
struct remote;
struct undo;

/* config/placement */
enum placement {
	PLACE_STRICT,		/* where the spec says, and nowhere else */
	PLACE_CKS_FIRST,	/* cks_then_serverless */
	PLACE_SERVERLESS_FIRST, /* serverless_then_cks */
};
enum placement placement_of(const struct config *c);
/* Whether it goes with the spec: -EINVAL with a sentence. */
int placement_check(const struct config *c, const cJSON *spec, struct error *err);
/* Sets the mode of a spec that names none. */
void placement_begin(cJSON *spec, enum placement placement);

void make_request_id(char ret[37]);
/* Asks for it; ends in remote_created() or remote_end(). */
void creation_begin(struct remote *i);
/* Of one that is made from a template: the service says what that set. Core lock held. */
void creation_see_template(struct remote *i, const cJSON *sandbox);

/* What it made, or may have made, is deleted, in the background. */
void creation_undo(struct remote *i);
/* Calls off what is being undone. */
void creation_close(struct aviato *a);
