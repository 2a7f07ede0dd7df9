/* Asking the agent for a directory's listing. */
#pragma once

#include "fuse/far/op.h"

/* Begins to ask for it, all of it, if nobody does already: d->waiting is woken at its end. 0 or -errno. */
int far_list_fetch(struct far_node *dir);
/* The same, but only the beginning of it, and only if that was never done: nobody waits. */
void far_list_ahead(struct far_node *dir);
/* That was not done yet, or has not come yet. */
bool far_list_is_new(const struct far_node *dir);
/*
 * The beginning of a listing of what another request, sent right before this one, looks up or makes as a
 * handle, a->number: should that be a directory, the next look into it has its answer already. NULL: no
 * memory, or it would be too old when it is used. The other request is `op`'s, and answered first; this one
 * is sent by far_aside_send().
 */
struct far_aside *far_list_prepare(struct far_op *op);
/* What `op` looked up or made is `n`. If it is not called the handle is dropped again. */
void far_list_adopt(struct far_op *op, struct far_node *n);
/*
 * Somebody asks for a name that a listing had which is too old by now, as it is not watched, and so did
 * others: all of it is asked for once more, and d->waiting woken then. False: it is not.
 */
bool far_list_again(struct far_node *dir, const char *name);
/* Somebody asks for one whose attributes were forgotten: with more such ones all of them are asked for. */
void far_list_bare(struct far_node *dir);
