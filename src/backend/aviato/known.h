/* What the service has told of a sandbox, for `info` and `services`. Core lock held. */
#pragma once

#include <cjson/cJSON.h>

struct known {
	char state[40], reason[200], runner[80];
	char path[8], path_reason[120]; /* ours: to the agent, or by the API alone, and why */
	char volume[64];		/* a scratch volume of it */
	unsigned volumes;		/* how many of those it has */
	cJSON *services;
	cJSON *more;   /* of the rest, by the names `info` has for it; or NULL */
	int exit_code; /* -1: not known */
};

void known_init(struct known *k);
void known_free(struct known *k);

/* From a Sandbox; what it does not tell stays as it was. */
void known_take(struct known *k, const cJSON *sandbox);
/* Adds all of it to `info`. */
void known_describe(const struct known *k, cJSON *info);
