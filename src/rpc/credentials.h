/* Who we are to the service: found once, at mount time. */
#pragma once

#include "base/error.h"
#include "rpc/endpoint.h"

struct credentials {
	char *headers[ENDPOINT_HEADERS]; /* "name: value", malloc'ed; NULL ends them */
	char source[64];		 /* where they came from: a variable's or a file's name */
};

/*
 * In this order: `file` (if not NULL: one line with the key, readable by its
 * owner alone), CWSANDBOX_API_KEY, AVIATO_API_KEY, WANDB_API_KEY or the password of
 * api.wandb.ai in ~/.netrc, with WANDB_ENTITY_NAME (or WANDB_ENTITY) and
 * WANDB_PROJECT_NAME (or WANDB_PROJECT). The variables with keys are wiped from
 * the environment. -ENOKEY with a sentence when there is none or a part is
 * missing, -EACCES when others may read the file.
 */
int credentials_find(const char *file, struct credentials *ret, struct error *err);

/* Wipes and frees it. */
void credentials_free(struct credentials *c);
