/* How `logs` is read: the words of config/logs. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* tail=N since=TIME timestamps stored; none of them: everything, and what comes. */
struct log_options {
	uint32_t tail; /* so many lines of what there is; 0: all */
	time_t since;  /* 0: from its start. An age such as 10m is one before `now` */
	bool timestamps;
	bool stored; /* only what there is, then end of file */
};

/* -EINVAL with a sentence. */
int log_options_parse(const char *text, time_t now, struct log_options *ret, struct error *err);

/* Whether two readers of it can read the same bytes, whenever they come. */
bool log_options_are_lasting(const struct log_options *o);
