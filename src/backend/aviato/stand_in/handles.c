#include "backend/aviato/stand_in/handles.h"

#include "channel/file_protocol.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct held *make(uint64_t number, const char *path)
{
	struct held *one = calloc(1, sizeof *one + strlen(path) + 1);

	if (!one)
		return NULL;
	one->number = number;
	strcpy(one->path, path);
	return one;
}

int handles_init(struct handles *h)
{
	*h = (struct handles){.root = make(FILE_ROOT, "/")};
	for (int i = 0; i < HANDLE_BUCKETS; i++)
		list_init(&h->buckets[i]);
	return h->root ? 0 : -ENOMEM;
}

static void forget(struct handles *h, struct held *one)
{
	list_remove(&one->link);
	h->count--;
	free(one);
}

void handles_free(struct handles *h)
{
	for (int i = 0; i < HANDLE_BUCKETS; i++)
		while (!list_empty(&h->buckets[i]))
			forget(h, container_of(h->buckets[i].next, struct held, link));
	free(h->root);
}

static struct held *find(const struct handles *h, uint64_t number)
{
	list_each (pos, &h->buckets[number % HANDLE_BUCKETS]) {
		struct held *one = container_of(pos, struct held, link);

		if (one->number == number)
			return one;
	}
	return NULL;
}

int handles_find(const struct handles *h, uint64_t number, struct held **ret)
{
	*ret = number == FILE_ROOT ? h->root : find(h, number);
	if (*ret)
		return 0;
	for (int i = 0; i < HANDLES_FAILED; i++)
		if (h->failed[i].error && h->failed[i].number == number)
			return h->failed[i].error;
	return -ESTALE;
}

int handles_add(struct handles *h, uint64_t number, const char *path)
{
	struct held *one;

	handles_drop(h, number);
	if (h->count >= FILE_HANDLES_MAX)
		return -ENFILE;
	one = make(number, path);
	if (!one)
		return -ENOMEM;
	list_append(&h->buckets[number % HANDLE_BUCKETS], &one->link);
	h->count++;
	return 0;
}

void handles_see(struct handles *h, uint64_t number, const struct stat *st)
{
	struct held *one = find(h, number);

	if (!one)
		return;
	one->dev = st->st_dev;
	one->ino = st->st_ino;
}

void handles_drop(struct handles *h, uint64_t number)
{
	struct held *one = find(h, number);

	if (one)
		forget(h, one);
}

void handles_fail(struct handles *h, uint64_t number, int error)
{
	handles_drop(h, number);
	h->failed[h->next_failed].number = number;
	h->failed[h->next_failed].error = error;
	h->next_failed = (h->next_failed + 1) % HANDLES_FAILED;
}

static void move_one(struct handles *h, struct held *one, size_t from_len, const char *to)
{
	char path[PATH_MAX];
	struct held *moved;

	/* One whose path is too long now is found no more. */
	if (snprintf(path, sizeof path, "%s%s", to, one->path + from_len) >= (int)sizeof path ||
	    !(moved = make(one->number, path))) {
		forget(h, one);
		return;
	}
	moved->dev = one->dev;
	moved->ino = one->ino;
	list_append(&h->buckets[one->number % HANDLE_BUCKETS], &moved->link);
	h->count++;
	forget(h, one);
}

void handles_move(struct handles *h, const char *from, const char *to)
{
	size_t len = strlen(from);

	for (int i = 0; i < HANDLE_BUCKETS; i++)
		list_each_safe (pos, &h->buckets[i]) {
			struct held *one = container_of(pos, struct held, link);

			if (strncmp(one->path, from, len) == 0 && (one->path[len] == '/' || !one->path[len]))
				move_one(h, one, len, to);
		}
}
