#include "tree/tree.h"

#include "tree/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BITS     8
#define NONCE_BITS   16
#define ROWS_MAX     (1u << ROW_BITS)
#define SERIAL_SHIFT (ROW_BITS + NONCE_BITS)
#define NO_NUMBER    0xffffffffu /* what FUSE lists for an inode that is not known */

/* The rows of one kind of object, nested directories flattened; index 1 is its own directory. */
struct flat {
	const struct node *node[ROWS_MAX];
	uint8_t parent[ROWS_MAX];
	unsigned count;
};

static struct flat flats[OBJECT_KINDS];

static const struct node roots[OBJECT_KINDS] = {
    [OBJECT_MOUNT] = {"", 0755, "", .rows = mount_rows, .children = &sessions},
    [OBJECT_SESSION] = {"", 0755, "", .rows = session_rows, .children = &sandboxes},
    [OBJECT_SANDBOX] = {"", 0755, "", .rows = sandbox_rows},
    [OBJECT_PROCESS] = {"", 0755, "", .rows = process_rows},
    [OBJECT_SNAPSHOT] = {"", 0755, "", .graft = true},
    [OBJECT_RECORD] = {"", 0755, "", .rows = record_rows},
    [OBJECT_FUNCTION] = {"", 0755, "", .rows = function_rows},
};

/* --- The rows --- */

/* A row that could not work is a mistake of ours: say which, at start. */
static void check_row(const struct node *n)
{
	int behaviours = (n->show && !n->submit && !n->store) + (n->store != NULL) + (n->submit != NULL) +
			 (n->stream != NULL) + (n->feed != NULL) + (n->sink != NULL) + (n->converse != NULL) +
			 (n->terminal != NULL) + (n->rows || n->children) + n->graft +
			 (n->compare != COMPARE_NOTHING);
	bool readable = n->mode & 0444, writable = n->mode & 0222;
	bool directory = n->rows || n->children || n->graft;

	if (behaviours != 1 || !n->help ||
	    (!directory &&
	     readable != (n->show || n->stream || n->feed || n->compare || n->converse || n->terminal)) ||
	    (!directory && writable != (n->store || n->submit || n->sink || n->converse || n->terminal))) {
		fprintf(stderr, "aviatofs: the row %s makes no sense\n", n->name);
		abort();
	}
}

bool node_is_offered(const struct node *n)
{
	return !n->offered || (the_mount.backend && n->offered(the_mount.backend->ops));
}

static void flatten(struct flat *f, const struct node *n, unsigned parent)
{
	unsigned index = ++f->count;

	if (index >= ROWS_MAX)
		abort();
	f->node[index] = n;
	f->parent[index] = (uint8_t)parent;
	for (const struct node *row = n->rows; row && row->name; row++) {
		check_row(row);
		if (node_is_offered(row))
			flatten(f, row, index);
	}
}

void tree_init(void)
{
	config_rows_init();
	run_init();
	for (int kind = 0; kind < OBJECT_KINDS; kind++) {
		flats[kind].count = 0;
		flatten(&flats[kind], &roots[kind], 1);
	}
}

#define BY_ID (1ull << (ROW_BITS + NONCE_BITS - 1))

static struct spot spot_at(struct object *o, unsigned row, bool by_id)
{
	return (struct spot){o, flats[o->kind].node[row], row, by_id};
}

/* --- Numbers --- */

int tree_resolve(uint64_t number, struct spot *ret)
{
	unsigned row = number & (ROWS_MAX - 1);
	struct object *o = object_find(number >> SERIAL_SHIFT);

	if (!o || row == 0 || row > flats[o->kind].count)
		return -ESTALE;
	*ret = spot_at(o, row, number & BY_ID);
	return 0;
}

uint64_t tree_number(const struct spot *s)
{
	if (!s->object)
		return NO_NUMBER;
	return s->object->serial << SERIAL_SHIFT | (s->by_id && !s->node->graft ? BY_ID : 0) | s->row;
}

uint64_t tree_fresh_number(const struct spot *s)
{
	static uint64_t nonce;

	return tree_number(s) | (++nonce & ((1u << (NONCE_BITS - 1)) - 1)) << ROW_BITS;
}

void tree_place(const struct spot *s, struct place *ret)
{
	struct object *o = s->object;

	*ret = (struct place){.kind = o->kind, .arg = s->node->arg};
	if (o->kind == OBJECT_PROCESS) {
		ret->process = (struct process *)o;
		o = o->parent;
	}
	if (o->kind == OBJECT_SNAPSHOT || o->kind == OBJECT_RECORD) {
		ret->snapshot = (struct snapshot *)o;
		o = o->parent;
	}
	if (o->kind == OBJECT_SANDBOX) {
		ret->sandbox = (struct sandbox *)o;
		if (!ret->process)
			ret->process = ret->sandbox->latest;
		o = o->parent;
	}
	if (o->kind == OBJECT_FUNCTION) {
		ret->function = (struct function *)o;
		o = &function_session(ret->function)->object;
	}
	if (o->kind == OBJECT_SESSION)
		ret->session = (struct session *)o;
}

/* --- Names --- */

static struct spot child_at(const struct spot *dir, struct object *child)
{
	return spot_at(child, 1, dir->by_id || dir->node->children == &known_sandboxes);
}

/* The row that follows the directory's. */
static struct spot alike_at(const struct spot *dir)
{
	return spot_at(dir->object, dir->row + 1, dir->by_id);
}

int tree_lookup(const struct spot *dir, const char *name, struct spot *ret)
{
	const struct flat *f = &flats[dir->object->kind];
	struct object *child;
	struct place at;

	if (!tree_is_directory(dir))
		return -ENOTDIR;
	for (unsigned i = 2; i <= f->count; i++) {
		if (f->parent[i] == dir->row && name[0] && strcmp(f->node[i]->name, name) == 0) {
			*ret = spot_at(dir->object, i, dir->by_id);
			return 0;
		}
	}
	if (!dir->node->children)
		return -ENOENT;
	if (dir->node->children->find) {
		tree_place(dir, &at);
		child = dir->node->children->find(&at, name);
	} else {
		child = object_child(dir->object, name);
	}
	if (!child)
		return -ENOENT;
	*ret = dir->node->children->alike ? alike_at(dir) : child_at(dir, child);
	return 0;
}

int tree_seek(const struct spot *dir, const char *name, struct list **ret_wait)
{
	const struct children *c = dir->node->children;
	struct error err = {0};
	struct place at;
	int rc;

	if (!c || !c->seek)
		return 0;
	tree_place(dir, &at);
	rc = c->seek(&at, name, ret_wait, &err);
	if (rc && !(rc == -EAGAIN && *ret_wait) && rc != -ENOENT)
		tree_keep_error(&at, &err);
	return rc;
}

static bool next_seen(const struct spot *dir, uint64_t *cursor, struct spot *ret, const char **ret_name)
{
	uint64_t last = *cursor < ROWS_MAX ? 0 : *cursor - ROWS_MAX;
	struct object *child = NULL;
	struct place at;

	tree_place(dir, &at);
	*ret_name = dir->node->children->next(&at, &last, &child);
	if (!*ret_name)
		return false;
	*cursor = ROWS_MAX + last;
	if (dir->node->children->alike) {
		*ret = alike_at(dir);
		return true;
	}
	*ret =
	    child ? child_at(dir, child) : (struct spot){.node = &roots[dir->node->children->kind], .row = 1};
	return true;
}

/* Cursors: a row's index, then ROWS_MAX + the serial (or what else `next` counts by) of the last child. */
bool tree_next(const struct spot *dir, uint64_t *cursor, struct spot *ret, const char **ret_name)
{
	const struct flat *f = &flats[dir->object->kind];
	struct object *child;

	for (uint64_t i = *cursor + 1; *cursor < ROWS_MAX && i <= f->count; i++) {
		if (i >= 2 && f->node[i]->name[0] && f->parent[i] == dir->row) {
			*cursor = i;
			*ret = spot_at(dir->object, (unsigned)i, dir->by_id);
			*ret_name = ret->node->name;
			return true;
		}
	}
	if (!dir->node->children)
		return false;
	if (dir->node->children->next)
		return next_seen(dir, cursor, ret, ret_name);
	child = object_next(dir->object, *cursor < ROWS_MAX ? 0 : *cursor - ROWS_MAX);
	if (!child)
		return false;
	*cursor = ROWS_MAX + child->serial;
	*ret = child_at(dir, child);
	*ret_name = child->name;
	return true;
}

void tree_parent(const struct spot *s, struct spot *ret)
{
	enum object_kind kind = s->object->kind == OBJECT_RECORD ? OBJECT_SNAPSHOT : s->object->kind;
	struct object *up = s->object->parent;
	bool by_id = s->by_id;

	if (s->row != 1) {
		*ret = spot_at(s->object, flats[s->object->kind].parent[s->row], by_id);
		return;
	}
	if (by_id && s->object->kind == OBJECT_SANDBOX) {
		up = &the_mount.object;
		by_id = false;
	}
	*ret = up ? spot_at(up, 1, by_id) : *s;
	for (unsigned i = 2; up && i <= flats[up->kind].count; i++)
		if (flats[up->kind].node[i]->children && flats[up->kind].node[i]->children->kind == kind)
			*ret = spot_at(up, i, by_id); /* proc/, snapshots/, or .ctl/sandboxes/ */
}

/* --- Making and removing --- */

void tree_keep_error(const struct place *at, const struct error *err)
{
	if (at->sandbox) {
		sandbox_set_error(at->sandbox, err);
		return;
	}
	if (at->session)
		at->session->error = *err;
	the_mount.error = *err;
}

int tree_mkdir(const struct spot *dir, const char *name, struct spot *ret)
{
	struct place at;
	struct error err;
	struct spot known;
	int rc;

	if (tree_lookup(dir, name, &known) == 0)
		return -EEXIST;
	if (!dir->node->children || !dir->node->children->make)
		return -EPERM;
	tree_place(dir, &at);
	rc = dir->node->children->make(&at, name, &err);
	if (rc) {
		tree_keep_error(&at, &err);
		return rc;
	}
	return tree_lookup(dir, name, ret);
}

int tree_rmdir(const struct spot *dir, const char *name)
{
	struct place at;
	struct error err;
	struct spot child;
	int rc = tree_lookup(dir, name, &child);

	if (rc)
		return rc;
	if (!tree_is_directory(&child))
		return -ENOTDIR;
	if (child.row != 1) /* a fixed one */
		return -EPERM;
	tree_place(dir, &at);
	rc = dir->node->children->drop(child.object, &err);
	if (rc)
		tree_keep_error(&at, &err);
	return rc;
}

/* --- Attributes --- */

bool tree_is_directory(const struct spot *s)
{
	return s->node->rows || s->node->children || s->node->graft;
}

static unsigned count_directories(const struct spot *dir)
{
	const struct flat *f = &flats[dir->object->kind];
	const struct children *c = dir->node->children;
	unsigned count = c && !c->count ? dir->object->child_count : 0;
	struct place at;

	if (c && c->count) {
		tree_place(dir, &at);
		count = c->count(&at);
	}
	for (unsigned i = 2; i <= f->count; i++)
		if (f->parent[i] == dir->row &&
		    (f->node[i]->rows || f->node[i]->children || f->node[i]->graft))
			count++;
	return count;
}

/* The bytes a reader would get now. */
static int64_t size_of(const struct spot *s)
{
	const struct stream *stream;
	struct process *of;
	struct place at;
	struct buf text;
	int64_t size;

	tree_place(s, &at);
	if (s->node->stream) {
		stream = s->node->stream(&at, &of);
		return stream ? (int64_t)stream->size : 0;
	}
	if (s->node->feed)
		return (int64_t)s->node->feed(&at)->kept;
	if (!s->node->show)
		return 0;
	if (s->node->await && (!at.process || !process_ended(at.process)))
		return at.process ? 4 : 0; /* at most "255\n"; 0 would tell some readers that it is empty */
	buf_init(&text, 64u << 20);
	size = s->node->show(&at, &text) ? 0 : (int64_t)text.len;
	buf_free(&text);
	return size;
}

static time_t time_of(const struct place *at, const struct node *n)
{
	if (n->result && at->process && at->process->committed_ns)
		return (
		    time_t)((process_ended(at->process) ? at->process->ended_ns : at->process->committed_ns) /
			    1000000000u);
	if (at->sandbox)
		return at->sandbox->created;
	return the_mount.since;
}

int tree_attributes(const struct spot *s, struct stat *ret)
{
	struct place at;

	tree_place(s, &at);
	*ret = (struct stat){.st_ino = tree_number(s), .st_nlink = 1, .st_blksize = 4096};
	if (tree_is_directory(s)) {
		ret->st_mode = S_IFDIR | s->node->mode;
		ret->st_nlink = 2 + count_directories(s);
	} else {
		ret->st_mode = S_IFREG | s->node->mode;
		ret->st_size = size_of(s);
		ret->st_blocks = (ret->st_size + 511) / 512;
	}
	ret->st_mtime = ret->st_ctime = ret->st_atime = time_of(&at, s->node);
	return 0;
}

bool tree_name_changes(const struct spot *s)
{
	const struct node *n = s->node;

	if (s->row == 1)
		return (s->object->kind >= OBJECT_PROCESS && s->object->kind <= OBJECT_RECORD) || s->by_id;
	if (n->constant)
		return false;
	/* A look-up also tells the size, and readers that splice go by the size the kernel has. */
	return n->sink || n->stream || n->feed || n->converse || tree_wants_fresh_number(s) ||
	       (n->show && !n->submit);
}

bool tree_attributes_change(const struct spot *s)
{
	if (s->node->constant)
		return false;
	return !tree_is_directory(s) || (s->node->children && s->node->children->come_and_go);
}

bool tree_listing_lasts(const struct spot *s)
{
	return s->object->kind != OBJECT_SESSION || !((const struct session *)s->object)->adopted;
}

bool tree_wants_fresh_number(const struct spot *s)
{
	/*
	 * A verb may have its writer wait: whoever comes next must not. What is compared has a size of its
	 * own for each who opens it.
	 */
	return s->node->compare || s->node->sink || s->node->waits || s->node->converse ||
	       s->node->terminal || (s->node->stream && s->object->kind == OBJECT_SANDBOX);
}
