/* A sandbox's settings: one text per key, merged over three levels. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The order is the order of the files in config/. */
enum config_key {
	CONFIG_IMAGE,
	CONFIG_FROM,
	CONFIG_COMMAND,
	CONFIG_ENV,
	CONFIG_TAGS,
	CONFIG_CWD,
	CONFIG_LIFETIME,
	CONFIG_CPU,
	CONFIG_MEMORY,
	CONFIG_PIDS,
	CONFIG_GPU,
	CONFIG_NETWORK,
	CONFIG_SPEC,
	CONFIG_TEMPLATE,
	CONFIG_PLACEMENT,
	CONFIG_LOGS,
	CONFIG_KEYS
};

#define CONFIG_TEXT_MAX (1u << 20) /* bytes per key */

enum config_merge {
	MERGE_REPLACE, /* the nearest level that sets it wins */
	MERGE_APPEND,  /* lines of all levels, farthest first, no dedupe */
	MERGE_BY_KEY,  /* K=V lines; the nearest level wins per K, in a level the last line */
};

struct config_field {
	const char *name;
	const char *help;
	enum config_merge merge;
	/* Judges one whole text; NULL accepts all. */
	int (*check)(const char *text, struct error *err);
};

extern const struct config_field config_fields[CONFIG_KEYS];

/* One level's own settings, or a merged result. Texts have no trailing newline; NULL is unset. */
struct config {
	char *text[CONFIG_KEYS];
};

/* Judges and stores a copy; "" unsets. -EINVAL with a sentence, -ENOMEM. */
int config_set(struct config *c, enum config_key key, const char *text, struct error *err);

/* Merges `levels` (farthest first, NULLs skipped) into `ret`, which is overwritten. 0 or -ENOMEM. */
int config_merge(const struct config *const *levels, int count, struct config *ret);

void config_free(struct config *c);

/* The longest time there is, which agents count in 32 bits: 136 years. */
#define CONFIG_SECONDS_MAX UINT32_MAX

/* One value as config/ spells it: a size or a time. 0 when it is none. */
uint64_t config_parse_bytes(const char *text);
uint32_t config_parse_seconds(const char *text);

/* Typed readings of an effective config; unset or unparsable gives 0. */
uint64_t config_bytes(const struct config *c, enum config_key key);   /* 4Gi, 512M, 1000 */
uint32_t config_seconds(const struct config *c, enum config_key key); /* 90, 5m, 2h, 1d */
uint64_t config_number(const struct config *c, enum config_key key);
uint64_t config_millicpus(const struct config *c, enum config_key key); /* 2, 0.5, 500m */
const char *config_text(const struct config *c, enum config_key key);	/* "" when unset */
