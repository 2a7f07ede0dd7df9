#include "fuse/interrupt.h"

#include "core/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	struct interruptible **at; /* NULL where free */
	uint32_t *generation;
	uint32_t count, free_hint;
} slots;

static int slot_take(struct interruptible *i)
{
	for (uint32_t n = 0; n < slots.count; n++) {
		uint32_t slot = (slots.free_hint + n) % slots.count;

		if (!slots.at[slot]) {
			slots.free_hint = slot + 1;
			slots.at[slot] = i;
			i->slot = slot;
			i->generation = ++slots.generation[slot];
			return 0;
		}
	}
	return -ENOSPC;
}

static int slots_grow(void)
{
	uint32_t count = slots.count ? slots.count * 2 : 64;
	struct interruptible **at = realloc(slots.at, count * sizeof *at);
	uint32_t *generation;

	if (!at)
		return -ENOMEM;
	slots.at = at;
	generation = realloc(slots.generation, count * sizeof *generation);
	if (!generation)
		return -ENOMEM;
	slots.generation = generation;
	memset(at + slots.count, 0, (count - slots.count) * sizeof *at);
	memset(generation + slots.count, 0, (count - slots.count) * sizeof *generation);
	slots.free_hint = slots.count;
	slots.count = count;
	return 0;
}

int interruptible_add(struct interruptible *i)
{
	int rc = slot_take(i);

	if (rc)
		rc = slots_grow() ? -ENOMEM : slot_take(i);
	return rc;
}

void interruptible_remove(struct interruptible *i)
{
	slots.at[i->slot] = NULL;
	slots.free_hint = i->slot;
}

void *interruptible_mark(const struct interruptible *i)
{
	return (void *)((uintptr_t)i->generation << 32 | i->slot);
}

/* Called by libfuse, on another thread, or from within fuse_req_interrupt_func() when it came before. */
static void on_interrupt(fuse_req_t req, void *mark)
{
	uint32_t slot = (uint32_t)(uintptr_t)mark, generation = (uint32_t)((uintptr_t)mark >> 32);
	struct interruptible *i;
	bool ours;

	core_lock();
	i = slot < slots.count ? slots.at[slot] : NULL;
	ours = i && i->generation == generation && i->interrupted(i);
	core_unlock();
	if (ours)
		fuse_reply_err(req, EINTR);
}

void interruptible_watch(fuse_req_t req, void *mark)
{
	fuse_req_interrupt_func(req, on_interrupt, mark);
}

/* --- Whose end it is --- */

#define SIGNAL(number) (1ull << ((number)-1))
/* What happens to a process that says nothing about these is not its end. */
#define HARMLESS                                                                                             \
	(SIGNAL(SIGCHLD) | SIGNAL(SIGURG) | SIGNAL(SIGWINCH) | SIGNAL(SIGCONT) | SIGNAL(SIGSTOP) |           \
	 SIGNAL(SIGTSTP) | SIGNAL(SIGTTIN) | SIGNAL(SIGTTOU))

static unsigned long long signals(const char *status, const char *field)
{
	const char *at = strstr(status, field);

	return at ? strtoull(at + strlen(field), NULL, 16) : 0;
}

bool interrupt_ends(pid_t thread)
{
	char path[64], status[4096];
	unsigned long long come;
	ssize_t len;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/status", thread);
	fd = thread > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return true;
	len = read(fd, status, sizeof status - 1);
	close(fd);
	if (len <= 0)
		return true;
	status[len] = '\0';
	come = signals(status, "\nSigPnd:") | signals(status, "\nShdPnd:");
	come &= ~(signals(status, "\nSigBlk:") | signals(status, "\nSigIgn:") | signals(status, "\nSigCgt:"));
	return come & ~HARMLESS;
}
