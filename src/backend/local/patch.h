/* One difference as a part of a patch, by diff(1). */
#pragma once

#include "backend/local/differences.h"
#include "backend/local/sheet.h"

/*
 * What git apply takes. What it cannot (other types than files and links, binary content, too much of it)
 * is only mentioned, in lines it passes over. 0 or -errno; -ECANCELED when `unwanted` says so, -ENOENT
 * when there is no diff(1).
 */
int patch_add(struct sheet *s, const struct difference *d, bool (*unwanted)(void *arg), void *arg);
