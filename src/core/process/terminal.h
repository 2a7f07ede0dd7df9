/* Interactive shells: one for each open of a sandbox's `tty`. */
#pragma once

#include "core/process/process.h"

/* Starts one, as a command named tty-N; NULL with a sentence. The caller has a reference to its object. */
struct process *terminal_begin(struct sandbox *s, struct error *err);
/* Who had it open has gone: it is hung up, and forgotten when it has ended or in a while. */
void terminal_end(struct process *p);
/* Of any command, the size of its terminal; before its text, that which it will have. -ESRCH
 * without a sentence: it has ended. */
int terminal_resize(struct process *p, uint32_t columns, uint32_t rows, struct error *err);
/* The size of those there are, and of those to come. */
void terminal_resize_all(struct sandbox *s, uint32_t columns, uint32_t rows);
