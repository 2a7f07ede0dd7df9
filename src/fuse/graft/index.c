#include "fuse/graft/index.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_SIZE 256

static struct hashed **slot(const struct index *index, uint64_t hash)
{
	return &index->slots[hash & (index->size - 1)];
}

static void grow(struct index *index)
{
	struct index bigger = {.size = index->size ? index->size * 2 : FIRST_SIZE, .count = index->count};

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return; /* longer chains, until there is memory */
	for (size_t i = 0; i < index->size; i++)
		for (struct hashed *e = index->slots[i], *next; e; e = next) {
			next = e->next;
			e->next = *slot(&bigger, e->hash);
			*slot(&bigger, e->hash) = e;
		}
	free(index->slots);
	*index = bigger;
}

int index_add(struct index *index, struct hashed *entry, uint64_t hash)
{
	if (index->count >= index->size)
		grow(index);
	if (!index->slots)
		return -ENOMEM;
	entry->hash = hash;
	entry->next = *slot(index, hash);
	*slot(index, hash) = entry;
	index->count++;
	return 0;
}

void index_remove(struct index *index, struct hashed *entry)
{
	struct hashed **at = slot(index, entry->hash);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	index->count--;
}

static struct hashed *matching(struct hashed *entry, uint64_t hash)
{
	while (entry && entry->hash != hash)
		entry = entry->next;
	return entry;
}

struct hashed *index_first(const struct index *index, uint64_t hash)
{
	return index->slots ? matching(*slot(index, hash), hash) : NULL;
}

struct hashed *index_next(const struct hashed *entry)
{
	return matching(entry->next, entry->hash);
}

void index_free(struct index *index)
{
	free(index->slots);
	*index = (struct index){0};
}

/* A polynomial with a secret argument, modulo the prime 2^61 - 1. */
#define PRIME ((1ull << 61) - 1)

static uint64_t secret = 0x9e3779b97f4a7c15ull & PRIME;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void choose_secret(void)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) == sizeof(random))
		secret = random % PRIME | 1u << 20;
}

static uint64_t step(uint64_t before, uint64_t digit)
{
	return (uint64_t)(((unsigned __int128)before * secret + digit) % PRIME);
}

uint64_t hash_word(uint64_t before, uint64_t word)
{
	pthread_once(&secret_once, choose_secret);
	return step(step(before, 1 + (word >> 32)), 1 + (word & 0xffffffff));
}

uint64_t hash_text(uint64_t before, const char *text)
{
	pthread_once(&secret_once, choose_secret);
	for (; *text; text++)
		before = step(before, 1 + (unsigned char)*text);
	return before;
}

uint64_t hash_stable(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}
