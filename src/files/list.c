#include "files/list.h"
#include "files/walk.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIST_BUFFER (32u << 10)

/* As getdents64(2) writes it. */
struct record {
	uint64_t ino;
	int64_t position;
	uint16_t length;
	uint8_t type;
	char name[];
};

struct files_list {
	int fd;
	off_t position;
	size_t at, end; /* in `buffer` */
	_Alignas(8) char buffer[LIST_BUFFER];
};

struct files_list *files_list_new(int fd)
{
	struct files_list *list = malloc(sizeof(*list));

	if (list) {
		list->fd = fd;
		list->position = 0;
		list->at = list->end = 0;
	}
	return list;
}

void files_list_free(struct files_list *list)
{
	free(list);
}

int files_list_seek(struct files_list *list, off_t position)
{
	if (position == list->position && position != 0)
		return 0;
	list->at = list->end = 0;
	list->position = position;
	return lseek(list->fd, position, SEEK_SET) < 0 ? -errno : 0;
}

static const struct record *current(const struct files_list *list)
{
	return (const void *)(list->buffer + list->at);
}

static int fill(struct files_list *list)
{
	long len = syscall(SYS_getdents64, list->fd, list->buffer, sizeof(list->buffer));

	list->at = 0;
	list->end = len < 0 ? 0 : (size_t)len;
	return len < 0 ? -errno : len > 0;
}

int files_list_peek(struct files_list *list, struct files_entry *ret)
{
	const struct record *record;

	for (;;) {
		if (list->at == list->end) {
			int r = fill(list);

			if (r <= 0)
				return r;
		}
		record = current(list);
		if (strlen(record->name) <= FILES_NAME_MAX && !strchr(record->name, '/'))
			break;
		files_list_skip(list);
	}
	ret->name = record->name;
	ret->ino = record->ino;
	ret->type = (mode_t)record->type << 12;
	ret->position = record->position;
	return 1;
}

void files_list_skip(struct files_list *list)
{
	const struct record *record = current(list);

	list->position = record->position;
	list->at += record->length;
}
