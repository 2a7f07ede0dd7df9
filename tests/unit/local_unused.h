/* What the local backend calls in core and no test of it needs; part of local_core.h. */
#pragma once

#include "core/backend.h"

#include <stdlib.h>

const char *snapshot_name(const struct snapshot *n)
{
	(void)n;
	abort();
}

struct sandbox *snapshot_sandbox(const struct snapshot *n)
{
	(void)n;
	abort();
}

void *snapshot_instance(const struct snapshot *n)
{
	(void)n;
	abort();
}

void snapshot_set_instance(struct snapshot *n, void *instance)
{
	(void)n;
	(void)instance;
	abort();
}

void snapshot_set_id(struct snapshot *n, const char *id)
{
	(void)n;
	(void)id;
	abort();
}

void snapshot_ready(struct snapshot *n, int64_t bytes)
{
	(void)n;
	(void)bytes;
	abort();
}

void snapshot_failed(struct snapshot *n, const struct error *why)
{
	(void)n;
	(void)why;
	abort();
}

void snapshot_removed(struct snapshot *n)
{
	(void)n;
	abort();
}

struct snapshot *snapshot_found(struct sandbox *s, const struct snapshot_leftover *leftover)
{
	(void)s;
	(void)leftover;
	return NULL;
}

enum comparison_kind comparison_kind(const struct comparison *c)
{
	(void)c;
	abort();
}

struct sandbox *comparison_sandbox(const struct comparison *c)
{
	(void)c;
	abort();
}

bool comparison_unwanted(const struct comparison *c)
{
	(void)c;
	abort();
}

void comparison_done(struct comparison *c, int file, const struct error *why)
{
	(void)c;
	(void)file;
	(void)why;
	abort();
}
