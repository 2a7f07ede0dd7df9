/*
 * Anything written into the files of verbs and settings, of a session, a sandbox
 * and a process, before and while it is being started. The input is pieces: a
 * byte for the file and how it is opened, a byte for the length, the text, which
 * is written at once or in two halves. Every key stays one that can be set again.
 */
#include "base/loop.h"
#include "core/after.h"
#include "core/sandbox.h"
#include "core/session.h"
#include "tree/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int accept_all(struct backend *b, const struct config *c, struct error *err)
{
	(void)b;
	(void)c;
	(void)err;
	return 0;
}

static void nothing(struct backend *b)
{
	(void)b;
}

static void nothing_to(struct backend *b, struct sandbox *s)
{
	(void)b;
	(void)s;
}

static void stop(struct backend *b, struct sandbox *s, uint32_t grace_ms)
{
	(void)b;
	(void)s;
	if (grace_ms > 600000)
		abort();
}

static const struct backend_ops ops = {
    .name = "none",
    .defaults = {[CONFIG_IMAGE] = "base"},
    .check = accept_all,
    .find = nothing,
    .start = nothing_to,
    .stop = stop,
    .remove = nothing_to,
    .keep = nothing_to,
};

static void begin(void)
{
	static struct backend backend = {&ops};
	static bool begun;
	const struct mount_settings settings = {.spool_limit = 1000};
	struct error err;

	if (begun)
		return;
	begun = true;
	tree_init();
	if (loop_start() || mount_begin(&backend, &settings, &err))
		abort();
}

static const char *const files[][2] = {
    {"box", "ctl"},	      {".ctl", "ctl"},		{"box", "proc/p/ctl"},	{"box", "config/env"},
    {"box", "config/tags"},   {"box", "config/memory"}, {"box", "config/spec"}, {"box", "config/lifetime"},
    {".ctl", "defaults/env"}, {".ctl", "defaults/cwd"},
};
#define FILES (sizeof files / sizeof *files)

static void walk(struct spot *s, const char *path)
{
	char copy[64], *save = NULL;

	strcpy(copy, path);
	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		struct spot dir = *s;

		if (tree_lookup(&dir, name, s))
			abort();
	}
}

static void put(struct handle *h, const char *text, size_t len)
{
	struct list *wait;
	ssize_t n;

	if (len == 0)
		return;
	n = handle_write(h, text, len, &wait);
	if (n != (ssize_t)len && n != -EINVAL && n != -EBUSY && n != -ESHUTDOWN && n != -ESRCH &&
	    n != -EAGAIN)
		abort();
}

static void write_file(unsigned how, const char *text, size_t len)
{
	struct object *session = object_child(&the_mount.object, "s");
	int flags = O_WRONLY | (how & 64 ? O_APPEND : 0) | (how & 128 ? O_TRUNC : 0);
	size_t half = how & 32 ? len / 2 : 0;
	struct list *wait = NULL;
	struct handle *h = NULL;
	struct spot s;

	if (tree_resolve(session->serial << 24 | TREE_ROOT, &s))
		abort();
	walk(&s, files[how % 32 % FILES][0]);
	walk(&s, files[how % 32 % FILES][1]);
	if (handle_open(&s, flags, 1, &h, &wait))
		abort();
	handle_flush(h, true);
	put(h, text, half);
	put(h, text + half, len - half);
	handle_flush(h, true);
	handle_release(h);
}

static void check(struct sandbox *s)
{
	struct config effective;
	struct error err;

	if (sandbox_config_effective(s, &effective))
		abort();
	for (enum config_key key = 0; key < CONFIG_KEYS; key++)
		if (config_set(&effective, key, config_text(&effective, key), &err))
			abort();
	config_free(&effective);
}

static void end(struct sandbox *s)
{
	bool began = s->began;

	sandbox_drop(s);
	if (began) {
		sandbox_ended(s, END_TERMINATED, NULL);
		sandbox_removed(s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session *session;
	struct sandbox *s;
	struct error err;

	begin();
	core_lock(); /* the loop thread has timers of what is made here */
	if (session_make("s", &err))
		abort();
	session = (struct session *)object_child(&the_mount.object, "s");
	if (sandbox_make(session, "box", &err))
		abort();
	s = (struct sandbox *)object_child(&session->object, "box");
	if (process_make(s, "p", &err))
		abort();
	while (size >= 2) {
		size_t len = data[1] < size - 2 ? data[1] : size - 2;
		char *text = malloc(len + 1);

		memcpy(text, data + 2, len);
		write_file(data[0], text, len);
		free(text);
		data += len + 2;
		size -= len + 2;
	}
	check(s);
	end(s);
	core_after_end(); /* a session that was closed would be kept by its timer */
	if (session_drop(session, &err))
		abort();
	core_unlock();
	return 0;
}
