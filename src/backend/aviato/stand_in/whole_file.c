/* What is known of files that are read and written whole: asking for it, and storing it. */
#include "backend/aviato/stand_in/whole.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "base/fnv.h"
#include "rpc/base64.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_MS	       60000u
#define READ_BUDGET_MS 10000u
#define WRITE_MS       300000u
#define BLOCK	       4096

/* --- Files --- */

static struct whole_file *find(struct whole *whole, const char *path)
{
	list_each (pos, &whole->known) {
		struct whole_file *f = container_of(pos, struct whole_file, link);

		if (strcmp(f->path, path) == 0)
			return f;
	}
	return NULL;
}

struct whole_file *whole_file_get(struct whole *whole, const char *path)
{
	struct whole_file *f = find(whole, path);

	if (!f) {
		f = calloc(1, sizeof *f + strlen(path) + 1);
		if (!f)
			return NULL;
		strcpy(f->path, path);
		buf_init(&f->content, WHOLE_FILE_MAX);
		list_append(&whole->known, &f->link);
	}
	f->refs++;
	return f;
}

static void free_if_unused(struct whole *whole, struct whole_file *f)
{
	if (f->refs || f == whole->latest)
		return;
	list_remove(&f->link);
	buf_free(&f->content);
	free(f);
}

void whole_file_put(struct whole *whole, struct whole_file *f)
{
	f->refs--;
	free_if_unused(whole, f);
}

static void set_latest(struct whole *whole, struct whole_file *f)
{
	struct whole_file *before = whole->latest;

	whole->latest = f;
	if (before && before != f)
		free_if_unused(whole, before);
}

static void expired(void *arg)
{
	struct whole *whole = arg;

	whole->expiry = NULL;
	set_latest(whole, NULL);
}

/* Without a timer nothing is kept. */
static void keep(struct whole *whole, struct whole_file *f, uint64_t told)
{
	delay_cancel(whole->expiry);
	whole->expiry = delay_start(WHOLE_KEEP_MS, expired, whole);
	f->told = told;
	set_latest(whole, whole->expiry ? f : NULL);
}

void whole_forget(struct whole *whole, struct whole_file *f)
{
	f->dirty = f->has_content = false;
	if (f == whole->latest)
		set_latest(whole, NULL);
}

/* --- Attributes --- */

/* There are no numbers of files, and a path always has the same one. */
static ino_t number_of(const char *path)
{
	uint64_t hash = fnv_text(FNV_BASIS, path);

	return hash ? hash : 1;
}

static void fill(struct stat *ret, const char *path, mode_t mode, uint64_t size)
{
	*ret = (struct stat){.st_dev = 1,
			     .st_ino = number_of(path),
			     .st_mode = mode,
			     .st_nlink = 1,
			     .st_size = (off_t)size,
			     .st_blksize = BLOCK,
			     .st_blocks = (blkcnt_t)((size + 511) / 512)};
}

void whole_directory_attr(const char *path, struct stat *ret)
{
	fill(ret, path, S_IFDIR | 0755, 0);
}

void whole_attr(const struct whole_file *f, struct stat *ret)
{
	if (f->type == S_IFDIR)
		whole_directory_attr(f->path, ret);
	else
		fill(ret, f->path, S_IFREG | 0644, f->has_content ? f->content.len : f->size);
}

/* --- What the service says --- */

/* An errno that says all by itself needs no sentence. */
static int fail(struct whole_call *c, const struct rpc_status *status, const char *what)
{
	struct stand_in *s = c->whole->files->stand_in;
	int rc = failure_set(&c->why, status, what);

	/* Nothing that passes: the message of it would be too large. */
	if (status->code == RPC_RESOURCE_EXHAUSTED && !status->trusted)
		rc = -EFBIG;
	if (rc == -EFBIG && status->max_size_bytes && status->max_size_bytes < c->whole->most)
		c->whole->most = status->max_size_bytes;
	if (failure_is_not_running(status) && strncmp(status->reason, "CWSANDBOX_FILE_", 15) != 0) {
		rc = status->trusted ? -ESHUTDOWN : rc;
		stand_in_doubt(s);
	}
	c->why.code = rc == -ENOENT || rc == -EACCES || rc == -EISDIR ? 0 : -rc;
	return rc;
}

static size_t bytes_held(const struct whole *whole)
{
	size_t sum = 0;

	list_each (pos, &whole->known)
		sum += container_of(pos, struct whole_file, link)->content.len;
	return sum;
}

static int no_room(struct whole_call *c)
{
	return error_set(&c->why, ENOMEM, "NO_MEMORY",
			 "the files that are open have more than %u MiB together", WHOLE_BYTES_MAX >> 20);
}

static int take_content(struct whole_call *c, const char *text)
{
	struct whole_file *f = c->file;
	size_t len = strlen(text);
	struct buf content;
	ssize_t n;

	buf_init(&content, BASE64_DECODED(len));
	if (buf_reserve(&content, BASE64_DECODED(len)))
		return -ENOMEM;
	n = base64_decode(text, len, content.data);
	f->there = true;
	f->type = S_IFREG;
	f->size = n < 0 ? 0 : (uint64_t)n;
	f->has_content = n >= 0 && n <= (ssize_t)WHOLE_FILE_MAX;
	content.len = f->has_content ? (size_t)n : 0;
	content.max = WHOLE_FILE_MAX;
	if (f->has_content) {
		buf_free(&f->content);
		f->content = content;
	} else {
		buf_free(&content);
	}
	if (n < 0)
		return error_set(&c->why, EPROTO, "BAD_ANSWER", "what ReadFile brought is no content");
	return 0;
}

/* What is there, or -errno where that is not known; -ENOENT is an answer too. */
static int take_look(struct whole_call *c, const cJSON *answer, const struct rpc_status *status)
{
	struct whole_file *f = c->file;
	int rc;

	f->has_content = false;
	if (answer && bytes_held(c->whole) > WHOLE_BYTES_MAX)
		return no_room(c);
	if (answer)
		return take_content(c, json_text(answer, "content"));
	rc = fail(c, status, "read a file");
	f->there = rc != -ENOENT;
	if (rc == -EISDIR || (rc == -EFBIG && status->size_bytes)) {
		f->type = rc == -EISDIR ? S_IFDIR : S_IFREG;
		f->size = status->size_bytes;
		c->why.code = 0;
		return 0;
	}
	return rc;
}

static void looked(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct whole_call *c = owner;

	c->looked = true;
	c->error = take_look(c, answer, status);
	if (!c->error || c->error == -ENOENT)
		keep(c->whole, c->file, c->told);
	whole_go_on(c);
}

/* It only looks; but that there is too much of it does not pass. */
static bool is_passing(void *owner, const struct rpc_status *status)
{
	(void)owner;
	return status->code == RPC_UNAVAILABLE && failure_is_passing(status);
}

static cJSON *body_of(struct whole_call *c)
{
	struct stand_in *s = c->whole->files->stand_in;
	cJSON *body = cJSON_CreateObject();

	cJSON_AddStringToObject(body, "sandboxId", s->sandbox_id);
	cJSON_AddStringToObject(body, "path", c->file->path);
	c->told = s->told;
	return body;
}

/* --- Looking --- */

/* What is gathered here is true whatever is there; the rest as long as nothing else was heard. */
static bool is_known(const struct whole_call *c)
{
	const struct whole_file *f = c->file;

	return f->dirty || (f == c->whole->latest && f->told == c->whole->files->stand_in->told);
}

int whole_look(struct whole_call *c)
{
	struct whole_file *f = c->file;

	if (c->looked)
		return c->error;
	if (strcmp(f->path, "/") == 0) {
		f->there = true;
		f->type = S_IFDIR;
		return 0;
	}
	if (is_known(c))
		return f->there ? 0 : -ENOENT;
	request_start(&c->request, c->whole->files->stand_in->aviato, "ReadFile", body_of(c), READ_MS,
		      READ_BUDGET_MS, looked, c);
	c->request.passing = is_passing;
	return WHOLE_UNDER_WAY;
}

static int too_large(struct whole_call *c)
{
	return error_set(
	    &c->why, EFBIG, "FILE_TOO_LARGE",
	    "a file is read and written whole, where the image has no shell, and may have %zu bytes",
	    c->whole->most);
}

int whole_load(struct whole_call *c)
{
	int rc = whole_look(c);

	if (rc)
		return rc;
	if (c->file->type == S_IFDIR)
		return -EISDIR;
	return c->file->has_content ? 0 : too_large(c);
}

/* --- Storing --- */

static void stored(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct whole_call *c = owner;
	struct whole_file *f = c->file;

	c->stored = true;
	c->error = answer ? 0 : fail(c, status, "write a file");
	if (answer) {
		if (c->empty)
			buf_free(&f->content);
		f->there = f->has_content = f->proven = true;
		f->type = S_IFREG;
		f->dirty = false;
		keep(c->whole, f, c->told);
	}
	whole_go_on(c);
}

int whole_store(struct whole_call *c, bool empty)
{
	const struct buf *content = &c->file->content;
	size_t len = empty ? 0 : content->len;
	cJSON *body;
	char *text;

	if (c->stored)
		return c->error;
	if (len > c->whole->most)
		return too_large(c);
	text = malloc(BASE64_ENCODED(len) + 1);
	if (!text)
		return -ENOMEM;
	base64_encode(content->data, len, text);
	text[BASE64_ENCODED(len)] = '\0';
	body = body_of(c);
	cJSON_AddItemToObject(body, "content", cJSON_CreateStringReference(text));
	c->empty = empty;
	request_start(&c->request, c->whole->files->stand_in->aviato, "WriteFile", body, WRITE_MS, 0, stored,
		      c);
	free(text);
	return WHOLE_UNDER_WAY;
}

int whole_resize(struct whole_call *c, uint64_t size)
{
	struct buf *content = &c->file->content;
	size_t before = content->len;
	int rc;

	if (size > c->whole->most)
		return too_large(c);
	if (size > before && bytes_held(c->whole) - before + size > WHOLE_BYTES_MAX)
		return no_room(c);
	rc = size > before ? buf_reserve(content, (size_t)size - before) : 0;
	if (rc)
		return rc;
	if (size > before)
		memset(content->data + before, 0, (size_t)size - before);
	content->len = (size_t)size;
	c->file->there = c->file->has_content = c->file->dirty = true;
	c->file->type = S_IFREG;
	return 0;
}
