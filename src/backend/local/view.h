/* An overlay to look at, which is mounted nowhere. */
#pragma once

#include "base/error.h"

/*
 * Layer `layer` (a directory in directory `place`, an absolute path, which also has an empty directory
 * "view") over the image directory, read-only: an O_PATH descriptor of the merged root, or -errno. It is in
 * no mount namespace any more and lives as long as the descriptor, and what is opened from it.
 */
int view_overlay(const char *place, const char *layer, const char *image, struct error *err);
