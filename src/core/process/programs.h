/* The programs on a sandbox's PATH, asked of its agent when somebody looks. */
#pragma once

#include "base/error.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sandbox;
struct programs; /* what was asked and answered; one for each sandbox where somebody has looked */

void programs_free(struct programs *p);

/*
 * Has it be known whether there is a program `name`, and starts the sandbox for that; or (NULL) which
 * there are, where it runs. 0: programs_has(), or programs_next(), now tell; -EAGAIN: wait on *ret_wait and
 * ask again; -ENOENT; or why it cannot be known.
 */
int programs_seek(struct sandbox *s, const char *name, struct list **ret_wait, struct error *err);
bool programs_has(struct sandbox *s, const char *name);
/* The name behind `cursor`, 0 at first; NULL at the end. */
const char *programs_next(struct sandbox *s, uint64_t *cursor);

/* The agent's answer to question `tag`: names, each with a NUL behind it. 0, or -EPROTO for nonsense. */
int programs_answer(struct sandbox *s, uint32_t tag, const char *names, size_t len);
/* The channel has come, or gone: who waits asks again. */
void programs_again(struct sandbox *s);
