/* Writes to files that take settings or verbs: judged at write(2), since shells lose errors of close. */
#pragma once

#include "tree/handle.h"

/* All with the core lock held; 0 or -errno, the sentence is kept where `error` shows it. */
/* -EAGAIN: wait on *ret_wait, and write the same again. */
int store_write(struct handle *h, const char *data, size_t len, struct list **ret_wait);
/* Another process than the opener is one that has written its part. */
int store_flush(struct handle *h, bool by_opener);
/* The last close: a file that was truncated and got no text is unset. */
void store_finish(struct handle *h);
/* truncate(2) to nothing. */
int store_unset(const struct spot *s);
