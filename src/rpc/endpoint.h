/* One service on one host: where it is, who we are there, and the connections to it. */
#pragma once

#include "base/error.h"

#include <stdint.h>

#define ENDPOINT_HEADERS 8

struct endpoint;

/* All is copied. */
struct endpoint_options {
	const char *base_url; /* https://host[:port], or http://; without a slash at its end */
	const char *headers[ENDPOINT_HEADERS]; /* "name: value" for every call: credentials */
	const char *ca_file;		       /* certificates to trust, PEM; NULL: the system's */
	uint32_t connect_ms;		       /* how long a connection may take to come about */
};

/*
 * Nothing is sent before the first call. The rest of this header and of
 * rpc/call.h belongs to the loop thread. -ENOMEM, or -ENOENT for a ca_file that
 * cannot be read.
 */
int endpoint_open(const struct endpoint_options *options, struct endpoint **ret, struct error *err);

/* Ends the calls there are without a word, closes the connections, wipes the headers. Not from an event. */
void endpoint_close(struct endpoint *e);

const char *endpoint_url(const struct endpoint *e);
