/* Where the service is. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define BASE_URL_DEFAULT "https://api.cwsandbox.com"

/*
 * The base URL of a SOURCE: its own if it is http:// or https://, else that of
 * CWSANDBOX_BASE_URL, AVIATO_BASE_URL, or the service's. Without a slash at the
 * end. -EINVAL with a sentence: a host and a port, nothing else; http:// only on
 * this machine.
 */
int base_url_find(const char *source, char *ret, size_t size, struct error *err);

/* Whether its host is this machine, by name or number. */
bool base_url_is_local(const char *url);
