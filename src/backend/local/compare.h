/* `changed` and `diff` of a local sandbox. */
#pragma once

struct backend;
struct comparison;

/* The backend's compare(). Core lock held. */
void local_compare(struct backend *b, struct comparison *c);
