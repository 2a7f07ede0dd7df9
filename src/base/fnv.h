/* A text as a number (FNV-1a, 64 bits): for tables, and for numbers that have to stay what they were. */
#pragma once

#include <stdint.h>

#define FNV_BASIS 0xcbf29ce484222325ull

/* `hash`: FNV_BASIS, or what it goes on from. */
static inline uint64_t fnv_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ull;
	return hash;
}
