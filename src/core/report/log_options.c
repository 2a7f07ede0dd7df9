#include "core/report/log_options.h"

#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_MAX 0x7fffffffu

/* Z, +02:00 or -0530 as seconds east; false for anything else, also for nothing: a time without a zone says
 * little. */
static bool parse_zone(const char *text, long *ret)
{
	unsigned hours, minutes;
	int end = 0;

	*ret = 0;
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if ((text[0] != '+' && text[0] != '-') ||
	    sscanf(text + 1, text[3] == ':' ? "%2u:%2u%n" : "%2u%2u%n", &hours, &minutes, &end) != 2 ||
	    text[1 + end] || hours > 14 || minutes > 59)
		return false;
	*ret = (long)(hours * 60 + minutes) * (text[0] == '-' ? -60 : 60);
	return true;
}

static bool parse_since(const char *text, time_t now, time_t *ret)
{
	uint32_t age = config_parse_seconds(text);
	struct tm tm = {0};
	const char *rest;
	long zone;

	if (age) {
		*ret = age < now ? now - age : 1;
		return true;
	}
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest && *rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (!rest || !parse_zone(rest, &zone))
		return false;
	*ret = timegm(&tm) - zone;
	return *ret > 0;
}

static bool parse_tail(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long n = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;

	if (!n || *end || n > TAIL_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

int log_options_parse(const char *text, time_t now, struct log_options *ret, struct error *err)
{
	char word[64];

	*ret = (struct log_options){0};
	while (*(text += strspn(text, " \t\n"))) {
		size_t len = strcspn(text, " \t\n");
		bool good;

		snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word), text);
		text += len;
		if (strncmp(word, "tail=", 5) == 0)
			good = parse_tail(word + 5, &ret->tail);
		else if (strncmp(word, "since=", 6) == 0)
			good = parse_since(word + 6, now, &ret->since);
		else if ((good = strcmp(word, "timestamps") == 0))
			ret->timestamps = true;
		else if ((good = strcmp(word, "stored") == 0))
			ret->stored = true;
		if (!good)
			return error_set(err, EINVAL, "INVALID_VALUE",
					 "logs: \"%s\" is none of tail=LINES, since=AGE or since=TIME (as "
					 "10m or 2026-01-31T12:00:00Z), timestamps, stored",
					 word);
	}
	return 0;
}

bool log_options_are_lasting(const struct log_options *o)
{
	return !o->tail && !o->since && !o->stored;
}
