#include "tree/node.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 8

static int usage(const struct verb *verbs, const char *line, struct error *err)
{
	char known[200] = "";
	size_t used = 0;

	for (const struct verb *v = verbs; v->name && used < sizeof known - 60; v++)
		used +=
		    (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? "; " : "", v->usage);
	return error_set(err, EINVAL, "INVALID_VERB", "'%.80s' is not understood; known: %s", line, known);
}

int verbs_run(const struct verb *verbs, const struct place *at, const char *line, struct error *err)
{
	char copy[256], *words[WORDS_MAX], *save = NULL;
	int count = 0;

	if (strlen(line) >= sizeof copy)
		return usage(verbs, line, err);
	strcpy(copy, line);
	for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		if (count == WORDS_MAX)
			return usage(verbs, line, err);
		words[count++] = w;
	}
	if (count == 0)
		return 0;
	for (const struct verb *v = verbs; v->name; v++)
		if (strcmp(v->name, words[0]) == 0 && count - 1 >= v->min && count - 1 <= v->max)
			return v->run(at, words + 1, count - 1, err);
	return usage(verbs, line, err);
}

int error_show(const struct error *err, struct buf *out)
{
	return err->code ? buf_printf(out, "%s: %s\n", err->reason, err->text) : 0;
}
