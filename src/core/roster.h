/* Every sandbox there is to be had, by its backend id: those of this mount, and those it could attach to. */
#pragma once

#include "base/error.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct sandbox;

/* All with the core lock held. What a backend calls is in core/backend.h. */

/* A sandbox of this mount has got its id. 0 or -ENOMEM: it is then missing here, and nowhere else. */
int roster_enter(struct sandbox *s);
/* It is no more, or gets another id. Harmless when it is not in. */
void roster_leave(struct sandbox *s);

/* The sandbox of this mount that has this id, or NULL. */
struct sandbox *roster_find(const char *id);
/* How many roster_next() will give. */
unsigned roster_count(void);
/* The id behind *cursor (0 at first), in the order in which they became known, and the sandbox if it is of
 * this mount; NULL at the end. */
const char *roster_next(uint64_t *cursor, struct sandbox **ret);

/*
 * Asks the backend what it shows besides ours. 0 when that was done a moment ago;
 * -EAGAIN: wait on *ret_wait and ask again; else why it cannot be known.
 */
int roster_list(struct list **ret_wait, struct error *err);
/* Has sandbox `id` in this mount: 0 when roster_find() knows it; -EAGAIN as above; -ENOENT when there is
 * none. */
int roster_attach(const char *id, struct list **ret_wait, struct error *err);

/* Whether the sandbox of this id that is being found was asked for by roster_attach(). */
bool roster_is_attaching(const char *id);
/* It has said what runs in it, or will not: who waited for it may look. */
void roster_arrived(struct sandbox *s);
