/* Doubly linked lists whose links live inside the listed objects. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Walks `head`; the _safe form lets the body unlink `pos`. */
#define list_each(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
#define list_each_safe(pos, head)                                                                            \
	for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);                        \
	     pos = pos##_next, pos##_next = pos->next)

/* An empty head, or an entry that is on no list. */
static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_append(struct list *head, struct list *entry)
{
	entry->prev = head->prev;
	entry->next = head;
	head->prev->next = entry;
	head->prev = entry;
}

/* Harmless on an entry that is on no list. */
static inline void list_remove(struct list *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
	list_init(entry);
}

/* Moves every entry of `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}
