/* The files the daemon knows, by numbers of its own. */
#include "agent/files/files.h"
#include "files/data.h"
#include "files/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct list *bucket(struct files *files, uint64_t number)
{
	return &files->handles[number % HANDLE_BUCKETS];
}

struct known_file *file_handle_find(struct files *files, uint64_t number)
{
	if (number == FILE_ROOT)
		return &files->top;
	list_each (at, bucket(files, number)) {
		struct known_file *h = container_of(at, struct known_file, by_number);

		if (h->number == number)
			return h;
	}
	return NULL;
}

int file_handle_add(struct files *files, uint64_t number, int fd, struct known_file **ret)
{
	struct known_file *h = NULL;
	struct stat st;
	int rc = 0;

	if (file_handle_find(files, number))
		rc = -EEXIST;
	else if (files->count >= files->most)
		rc = -ENFILE;
	else if (fstat(fd, &st))
		rc = -errno;
	else if (!(h = calloc(1, sizeof *h)))
		rc = -ENOMEM;
	if (rc) {
		close(fd);
		return rc;
	}
	h->number = number;
	h->fd = fd;
	h->type = st.st_mode & S_IFMT;
	h->list_fd = -1;
	list_init(&h->open_list);
	list_append(bucket(files, number), &h->by_number);
	files->count++;
	*ret = h;
	return 0;
}

void file_handle_place(struct known_file *h, uint64_t dir, const char *name)
{
	h->dir = dir;
	free(h->name);
	h->name = name ? strdup(name) : NULL;
}

void file_handle_drop(struct files *files, struct known_file *h)
{
	if (h == &files->top)
		return;
	file_handle_unlist(files, h);
	list_remove(&h->by_number);
	files->count--;
	file_job_close(h->fd);
	free(h->name);
	free(h);
}

void file_handles_drop(struct files *files)
{
	for (unsigned i = 0; i < HANDLE_BUCKETS; i++)
		while (!list_empty(&files->handles[i]))
			file_handle_drop(files,
					 container_of(files->handles[i].next, struct known_file, by_number));
	file_handle_unlist(files, &files->top);
}

/* --- Listings --- */

void file_handle_unlist(struct files *files, struct known_file *h)
{
	if (!h->list)
		return;
	files_list_free(h->list);
	close(h->list_fd);
	h->list = NULL;
	h->list_fd = -1;
	list_remove(&h->open_list);
	files->listing_count--;
}

int file_handle_list(struct files *files, struct known_file *h, struct files_list **ret)
{
	if (!h->list) {
		/* Positions are the file system's own: one that was closed goes on all the same. */
		if (files->listing_count >= LISTINGS_MAX)
			file_handle_unlist(files,
					   container_of(files->listings.next, struct known_file, open_list));
		h->list_fd = files_open_dir(h->fd);
		if (h->list_fd < 0)
			return h->list_fd;
		h->list = files_list_new(h->list_fd);
		if (!h->list) {
			close(h->list_fd);
			return -ENOMEM;
		}
		files->listing_count++;
	}
	list_remove(&h->open_list);
	list_append(&files->listings, &h->open_list);
	*ret = h->list;
	return 0;
}
