/* What is there already: at the start of a mount, and for .ctl/sandboxes. */
#pragma once

#include "backend/aviato/aviato.h"

struct remote;

/* For the table of the backend; core lock held. */
void search_find(struct backend *b);
void search_list(struct backend *b);
void search_attach(struct backend *b, const char *id);

/* The agent of a sandbox that find() looks at was reached, or cannot be: that one is left alone. */
void search_settled(struct remote *i, bool reached);

/* Drops all that is remembered or under way. Loop thread. */
void search_close(struct aviato *a);
/* It is not as it was listed any more. */
void search_forget(struct aviato *a, const char *id);
