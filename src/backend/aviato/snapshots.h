/* Snapshots of remote sandboxes: copies of their scratch volumes, which the service keeps. */
#pragma once

#include "core/backend.h"

/* In front of the name, in the id of the request one is asked for with. */
#define SNAPSHOT_MARK "aviatofs."

struct aviato;
struct remote;

/* What core asks (core/backend.h). */
void snapshots_take(struct backend *b, struct snapshot *n);
void snapshots_remove(struct backend *b, struct snapshot *n);
void snapshots_list(struct backend *b, struct sandbox *s);

/*
 * The one that comes with the end of its sandbox. What it is of: a spec is looked at when one is told; core
 * lock held.
 */
void snapshots_see_volumes(struct remote *i, const cJSON *spec);
int snapshots_take_at_stop(struct backend *b, struct snapshot *n, struct error *err);
/* Adds it to a DeleteSandbox with so much grace; false when there is none. It ends in one of the next two. */
bool snapshots_ask_at_stop(struct remote *i, cJSON *body, uint32_t *seconds);
void snapshots_told_at_stop(struct remote *i, const cJSON *answer);
void snapshots_fail_at_stop(struct remote *i, const struct error *why);
/* Follows one that is being made already. Core lock held, loop thread. */
void snapshots_watch(struct remote *i, struct snapshot *n);

/* The sandbox is let go of, and with it what core knows of its snapshots. Loop thread. */
void snapshots_part(struct remote *i);
void snapshot_list_part(struct remote *i);
/* Loop thread. */
void snapshots_close(struct aviato *a);
void snapshot_list_close(struct aviato *a);
