/* Deletes file trees that a sandbox has filled. */
#pragma once

/*
 * Deletes NAME in `dir` and all below it: opens what was made unreadable,
 * follows no link, crosses no mount, and needs neither stack nor descriptors
 * for depth. 0 (also when there is none) or -errno of what could not go; the rest goes nevertheless.
 */
int remove_tree(int dir, const char *name);
