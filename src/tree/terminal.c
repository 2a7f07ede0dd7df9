#include "tree/terminal.h"

#include "core/process/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool parse_number(const char *word, uint32_t *ret)
{
	char *end;
	unsigned long n = strtoul(word, &end, 10);

	if (*word < '0' || *word > '9' || *end || n < 1 || n > TERMINAL_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

int parse_size(char **words, int count, uint32_t *ret_columns, uint32_t *ret_rows, struct error *err)
{
	if (count != 2 || !parse_number(words[0], ret_columns) || !parse_number(words[1], ret_rows))
		return error_set(err, EINVAL, "INVALID_VALUE",
				 "the size of a terminal is COLUMNS ROWS, each from 1 to %u", TERMINAL_MAX);
	return 0;
}

struct process *terminal_open(const struct place *at, struct error *err)
{
	return terminal_begin(at->sandbox, err);
}

int winsize_show(const struct place *at, struct buf *out)
{
	return buf_printf(out, "%u %u\n", at->sandbox->columns, at->sandbox->rows);
}

static int do_size(const struct place *at, char **words, int count, struct error *err)
{
	uint32_t columns, rows;
	int rc = parse_size(words, count, &columns, &rows, err);

	if (rc == 0)
		terminal_resize_all(at->sandbox, columns, rows);
	return rc;
}

int winsize_store(const struct place *at, const char *text, struct error *err)
{
	char copy[32], *words[3], *save = NULL;
	int count = 0;

	if (strlen(text) >= sizeof copy)
		return parse_size(NULL, 0, NULL, NULL, err);
	strcpy(copy, text);
	for (char *word = strtok_r(copy, " \t\n", &save); word && count < 3;
	     word = strtok_r(NULL, " \t\n", &save))
		words[count++] = word;
	return do_size(at, words, count, err);
}
