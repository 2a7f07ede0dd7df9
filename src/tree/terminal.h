/* The rows of a sandbox about terminals. */
#pragma once

#include "tree/node.h"

/* "COLUMNS ROWS", each 1 to 65535. -EINVAL with a sentence. */
int parse_size(char **words, int count, uint32_t *ret_columns, uint32_t *ret_rows, struct error *err);

struct process *terminal_open(const struct place *at, struct error *err);
int winsize_show(const struct place *at, struct buf *out);
int winsize_store(const struct place *at, const char *text, struct error *err);
