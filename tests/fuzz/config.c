/*
 * The input is settings of three levels: pieces that end with a NUL, each a byte
 * for level and key and the text. What a level takes, the merged result takes too.
 */
#include "core/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LEVELS 3

static void set(struct config *c, enum config_key key, const char *text)
{
	char *before = c->text[key];
	struct error err = {0};
	int rc = config_set(c, key, text, &err);

	if (rc && (rc != -EINVAL || err.code != EINVAL || !*err.text || c->text[key] != before))
		abort();
}

static void read_numbers(const struct config *c)
{
	for (enum config_key key = 0; key < CONFIG_KEYS; key++) {
		config_bytes(c, key);
		config_seconds(c, key);
		config_number(c, key);
		config_millicpus(c, key);
	}
	/* Where a text was accepted, it is a number. */
	if ((c->text[CONFIG_LIFETIME] && !config_seconds(c, CONFIG_LIFETIME)) ||
	    (c->text[CONFIG_CPU] && !config_millicpus(c, CONFIG_CPU)) ||
	    (c->text[CONFIG_MEMORY] && !config_bytes(c, CONFIG_MEMORY)) ||
	    (c->text[CONFIG_PIDS] && !config_number(c, CONFIG_PIDS)))
		abort();
}

/* Merging what was merged changes nothing, and each text is still a good one. */
static void check_merged(struct config *merged)
{
	const struct config *level = merged;
	struct config again, copy = {0};
	struct error err;

	if (config_merge(&level, 1, &again))
		abort();
	for (enum config_key key = 0; key < CONFIG_KEYS; key++) {
		if (strcmp(config_text(merged, key), config_text(&again, key)) != 0)
			abort();
		if (config_set(&copy, key, config_text(merged, key), &err))
			abort();
	}
	config_free(&again);
	config_free(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config own[LEVELS] = {0}, merged;
	const struct config *levels[LEVELS];

	while (size) {
		const uint8_t *end = memchr(data, 0, size);
		size_t len = end ? (size_t)(end - data) : size;
		char *text = strndup((const char *)data, len);

		if (*text)
			set(&own[*data / CONFIG_KEYS % LEVELS], *data % CONFIG_KEYS, text + 1);
		free(text);
		len += end != NULL;
		data += len;
		size -= len;
	}
	for (int i = 0; i < LEVELS; i++) {
		levels[i] = &own[i];
		read_numbers(&own[i]);
	}
	if (config_merge(levels, LEVELS, &merged))
		abort();
	read_numbers(&merged);
	check_merged(&merged);
	config_free(&merged);
	for (int i = 0; i < LEVELS; i++)
		config_free(&own[i]);
	return 0;
}
