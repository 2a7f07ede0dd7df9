/* A hash table whose links live inside the listed objects. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hashed {
	struct hashed *next;
	uint64_t hash;
};

/* Starts as zeroes. */
struct index {
	struct hashed **slots;
	size_t size, count; /* size: a power of two, or 0 */
};

/* -ENOMEM only for the first entry; later ones always find room. */
int index_add(struct index *index, struct hashed *entry, uint64_t hash);
void index_remove(struct index *index, struct hashed *entry);
/* The first entry with this hash, and the next behind `entry`; NULL when there is none. */
struct hashed *index_first(const struct index *index, uint64_t hash);
struct hashed *index_next(const struct hashed *entry);
/* Frees the table of an index that is empty. */
void index_free(struct index *index);

/*
 * Hashes under a key of this process, so that names cannot be chosen to collide. Start from 0, or from
 * the result for what comes before.
 */
uint64_t hash_word(uint64_t before, uint64_t word);
uint64_t hash_text(uint64_t before, const char *text);

/* The same in every process. */
uint64_t hash_stable(uint64_t x);
