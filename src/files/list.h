/* Reading a directory, with positions that stay valid while it changes. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct files_list;

struct files_entry {
	const char *name; /* valid until the next call; "." and ".." are listed too */
	ino_t ino;
	mode_t type;	/* S_IFDIR and the like, 0 when the file system does not say */
	off_t position; /* behind this entry: the underlying file system's own cookie */
};

/* `fd` is from files_open_dir() and stays the caller's. NULL: out of memory. */
struct files_list *files_list_new(int fd);
void files_list_free(struct files_list *list);

/* 0 is the start; anything else a position one of the entries had. */
int files_list_seek(struct files_list *list, off_t position);
/* The entry at the position, which does not move: 1, or 0 at the end, or -errno. */
int files_list_peek(struct files_list *list, struct files_entry *ret);
/* Moves behind the entry last peeked at. */
void files_list_skip(struct files_list *list);
