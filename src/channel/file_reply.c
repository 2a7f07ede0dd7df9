/* Replies and notices: one table says which fields the reply to each request has. */
#include "channel/file_protocol.h"

#include <errno.h>
#include <string.h>

enum field {
	END,
	ATTR,
	PARENT,
	OTHER,
	LINK_TEXT,
	FLAG,
	DATA,
	VALUE,
	STATFS,
	/* The last of their reply: */
	REST,
	ATTRS,
	ENTRIES,
};

#define FIELDS_MAX 4

static const uint8_t shapes[FILE_OPS][FIELDS_MAX] = {
    [FILE_LOOKUP] = {ATTR, LINK_TEXT},
    [FILE_GETATTR] = {ATTRS},
    [FILE_READLINK] = {LINK_TEXT},
    [FILE_STATFS] = {STATFS},
    [FILE_GETXATTR] = {DATA},
    [FILE_LISTXATTR] = {DATA},
    [FILE_MKNOD] = {ATTR, LINK_TEXT, PARENT},
    [FILE_MKDIR] = {ATTR, LINK_TEXT, PARENT},
    [FILE_SYMLINK] = {ATTR, LINK_TEXT, PARENT},
    [FILE_LINK] = {ATTR, LINK_TEXT, PARENT},
    [FILE_UNLINK] = {PARENT},
    [FILE_RMDIR] = {PARENT},
    [FILE_RENAME] = {PARENT, OTHER},
    [FILE_SETATTR] = {ATTR},
    [FILE_SETXATTR] = {ATTR},
    [FILE_REMOVEXATTR] = {ATTR},
    [FILE_OPEN] = {ATTR, FLAG, DATA},
    [FILE_CREATE] = {ATTR, LINK_TEXT, PARENT},
    [FILE_OPENDIR] = {ATTR},
    [FILE_READ] = {REST},
    [FILE_WRITE] = {ATTR, VALUE},
    [FILE_FALLOCATE] = {ATTR},
    [FILE_LSEEK] = {VALUE},
    [FILE_COPY_RANGE] = {ATTR, VALUE},
    [FILE_READDIR] = {ATTR, FLAG, ENTRIES},
    [FILE_TMPFILE] = {ATTR},
};

/* --- Attributes --- */

static uint64_t to_ns(const struct timespec *t)
{
	/* What lies beyond 292 years from 1970 is said to lie there. */
	if (t->tv_sec > INT64_MAX / 1000000000 - 1)
		return INT64_MAX;
	if (t->tv_sec < INT64_MIN / 1000000000 + 1)
		return (uint64_t)INT64_MIN;
	return (uint64_t)((int64_t)t->tv_sec * 1000000000 + t->tv_nsec);
}

static struct timespec from_ns(uint64_t ns)
{
	int64_t s = (int64_t)ns / 1000000000, rest = (int64_t)ns % 1000000000;

	if (rest < 0) {
		rest += 1000000000;
		s--;
	}
	return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

int put_attr(struct buf *out, const struct stat *st)
{
	const uint64_t wide[] = {st->st_nlink,
				 (uint64_t)st->st_size,
				 (uint64_t)st->st_blocks,
				 to_ns(&st->st_atim),
				 to_ns(&st->st_mtim),
				 to_ns(&st->st_ctim),
				 st->st_dev,
				 st->st_ino,
				 st->st_rdev};
	const uint32_t narrow[] = {st->st_mode, st->st_uid, st->st_gid, (uint32_t)st->st_blksize};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof narrow / sizeof *narrow; i++)
		rc = put_u32(out, narrow[i]);
	for (size_t i = 0; !rc && i < sizeof wide / sizeof *wide; i++)
		rc = put_u64(out, wide[i]);
	return rc;
}

static bool mode_good(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return !(mode & ~(uint32_t)(S_IFMT | 07777));
	default:
		return false;
	}
}

void get_attr(struct reader *r, struct stat *ret)
{
	uint64_t size, blocks;

	*ret = (struct stat){0};
	ret->st_mode = get_u32(r);
	ret->st_uid = get_u32(r);
	ret->st_gid = get_u32(r);
	ret->st_blksize = (blksize_t)get_u32(r);
	ret->st_nlink = get_u64(r);
	size = get_u64(r);
	blocks = get_u64(r);
	ret->st_atim = from_ns(get_u64(r));
	ret->st_mtim = from_ns(get_u64(r));
	ret->st_ctim = from_ns(get_u64(r));
	ret->st_dev = get_u64(r);
	ret->st_ino = get_u64(r);
	ret->st_rdev = get_u64(r);
	ret->st_size = (off_t)size;
	ret->st_blocks = (blkcnt_t)blocks;
	if (!mode_good(ret->st_mode) || size > INT64_MAX || blocks > INT64_MAX)
		r->bad = true;
}

/* Linux's last one; above it are the kernel's own, which nobody may be told. */
#define ERRNO_MAX 511u

static uint32_t get_errno(struct reader *r)
{
	uint32_t error = get_u32(r);

	if (error > ERRNO_MAX)
		r->bad = true;
	/* The kernel would never ask for that operation again, on any file of the mount. */
	return error == ENOSYS ? EOPNOTSUPP : error;
}

static int put_statfs(struct buf *out, const struct statvfs *s)
{
	const uint64_t values[] = {s->f_bsize, s->f_frsize, s->f_blocks, s->f_bfree,  s->f_bavail,
				   s->f_files, s->f_ffree,  s->f_favail, s->f_namemax};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof values / sizeof *values; i++)
		rc = put_u64(out, values[i]);
	return rc;
}

static void get_statfs(struct reader *r, struct statvfs *ret)
{
	*ret = (struct statvfs){0};
	ret->f_bsize = get_u64(r);
	ret->f_frsize = get_u64(r);
	ret->f_blocks = get_u64(r);
	ret->f_bfree = get_u64(r);
	ret->f_bavail = get_u64(r);
	ret->f_files = get_u64(r);
	ret->f_ffree = get_u64(r);
	ret->f_favail = get_u64(r);
	ret->f_namemax = get_u64(r);
}

/* --- Lists --- */

int file_list_put_attr(struct buf *out, uint32_t error, const struct stat *attr)
{
	int rc = put_u32(out, error);

	return rc || error ? rc : put_attr(out, attr);
}

uint32_t file_reply_next_attr(struct file_reply *r, struct stat *ret)
{
	uint32_t error = get_errno(&r->list);

	if (!error)
		get_attr(&r->list, ret);
	return error;
}

int file_list_put_entry(struct buf *out, const struct file_entry *e)
{
	size_t before = out->len;
	int rc;

	if (!(rc = put_u64(out, e->position)) && !(rc = put_bytes(out, e->name, (uint32_t)strlen(e->name))))
		rc = put_u8(out, e->known ? 1 + e->plain : 0);
	if (!rc && e->known) {
		if (!(rc = put_attr(out, &e->attr)))
			rc = put_bytes(out, e->text, e->text_len);
	} else if (!rc && !(rc = put_u64(out, e->attr.st_ino))) {
		rc = put_u32(out, e->attr.st_mode & S_IFMT);
	}
	if (rc)
		out->len = before;
	return rc;
}

static void get_name(struct reader *r, char *out)
{
	uint32_t len;
	const uint8_t *bytes = get_bytes(r, &len);

	if (!bytes || !file_name_valid(bytes, len)) {
		r->bad = true;
		return;
	}
	memcpy(out, bytes, len);
	out[len] = '\0';
}

static const uint8_t *get_link_text(struct reader *r, uint32_t *ret_len)
{
	const uint8_t *text = get_bytes(r, ret_len);

	if (text && (*ret_len > FILE_TEXT_BYTES || memchr(text, '\0', *ret_len)))
		r->bad = true;
	return text;
}

static void get_entry(struct reader *r, struct file_entry *ret)
{
	uint8_t known;

	ret->position = get_u64(r);
	get_name(r, ret->name);
	known = get_u8(r);
	ret->known = known;
	ret->plain = known == 2;
	ret->text = NULL;
	ret->text_len = 0;
	if (known > 2)
		r->bad = true;
	if (known) {
		get_attr(r, &ret->attr);
		ret->text = get_link_text(r, &ret->text_len);
		return;
	}
	ret->attr = (struct stat){0};
	ret->attr.st_ino = get_u64(r);
	ret->attr.st_mode = get_u32(r);
	if (ret->attr.st_mode && !mode_good(ret->attr.st_mode))
		r->bad = true;
}

bool file_reply_next_entry(struct file_reply *r, struct file_entry *ret)
{
	if (!r->list.left)
		return false;
	get_entry(&r->list, ret);
	return !r->list.bad;
}

/* Walks over it once, so that who iterates later meets nothing bad. */
static void get_list(struct reader *r, struct file_reply *reply, enum field field)
{
	struct stat attr;
	struct file_entry entry;

	reply->list = *r;
	reply->count = 0;
	while (r->left && !r->bad) {
		if (field == ENTRIES)
			get_entry(r, &entry);
		else if (!get_errno(r))
			get_attr(r, &attr);
		reply->count++;
	}
}

/* --- Replies --- */

static int put_field(struct buf *out, const struct file_reply *r, enum field field)
{
	switch (field) {
	case ATTR:
		return put_attr(out, &r->attr);
	case PARENT:
		return put_attr(out, &r->parent);
	case OTHER:
		return put_attr(out, &r->other);
	case LINK_TEXT:
		return put_bytes(out, r->text, r->text_len);
	case FLAG:
		return put_u8(out, r->flag);
	case DATA:
		return put_bytes(out, r->data, r->data_len);
	case VALUE:
		return put_u64(out, r->value);
	case STATFS:
		return put_statfs(out, &r->statfs);
	case REST:
		return r->data ? buf_append(out, r->data, r->data_len) : 0;
	case ATTRS:
	case ENTRIES:
		return 0;
	case END:
		break;
	}
	return -EPROTO;
}

int file_reply_encode(struct buf *out, enum file_op op, const struct file_reply *r)
{
	size_t before = out->len;
	int rc;

	if (!(rc = put_u32(out, r->error)))
		rc = put_u32(out, r->watch);
	for (const uint8_t *field = shapes[op]; !rc && !r->error && *field; field++)
		rc = put_field(out, r, *field);
	if (rc)
		out->len = before;
	return rc;
}

static void get_field(struct reader *r, struct file_reply *reply, enum field field)
{
	uint8_t flag;

	switch (field) {
	case ATTR:
		get_attr(r, &reply->attr);
		break;
	case PARENT:
		get_attr(r, &reply->parent);
		break;
	case OTHER:
		get_attr(r, &reply->other);
		break;
	case LINK_TEXT:
		reply->text = get_link_text(r, &reply->text_len);
		break;
	case FLAG:
		flag = get_u8(r);
		reply->flag = flag;
		r->bad |= flag > 1;
		break;
	case DATA:
		reply->data = get_bytes(r, &reply->data_len);
		break;
	case VALUE:
		reply->value = get_u64(r);
		r->bad |= reply->value > INT64_MAX;
		break;
	case STATFS:
		get_statfs(r, &reply->statfs);
		break;
	case REST:
		reply->data = r->at;
		reply->data_len = (uint32_t)r->left;
		r->at += r->left;
		r->left = 0;
		break;
	case ATTRS:
	case ENTRIES:
		get_list(r, reply, field);
		break;
	case END:
		break;
	}
}

static bool sizes_good(enum file_op op, const struct file_reply *r)
{
	if (op == FILE_OPEN)
		return r->data_len <= FILE_CONTENT_MAX && (r->flag || !r->data_len);
	return r->data_len <= (op == FILE_READ ? FILE_READ_MAX : FILE_XATTR_MAX);
}

int file_reply_decode(enum file_op op, const void *payload, size_t len, struct file_reply *ret)
{
	struct reader r = {.at = payload, .left = len};

	*ret = (struct file_reply){.error = get_errno(&r)};
	ret->watch = get_u32(&r);
	if (r.bad || op <= 0 || op >= FILE_OPS || ret->watch > INT32_MAX)
		return -EPROTO;
	for (const uint8_t *field = shapes[op]; !ret->error && *field; field++)
		get_field(&r, ret, *field);
	return r.bad || r.left || !sizes_good(op, ret) ? -EPROTO : 0;
}

/* --- Notices --- */

int file_changed_encode(struct buf *out, const struct file_changed *c)
{
	size_t before = out->len;
	int rc;

	if (!(rc = put_u32(out, c->watch)) && !(rc = put_u32(out, c->what)) && !(rc = put_u64(out, c->after)))
		rc = put_bytes(out, c->name, (uint32_t)strlen(c->name));
	if (rc)
		out->len = before;
	return rc;
}

int file_changed_decode(const void *payload, size_t len, struct file_changed *ret)
{
	struct reader r = {.at = payload, .left = len};
	const uint8_t *name;
	uint32_t name_len;

	ret->watch = get_u32(&r);
	ret->what = get_u32(&r);
	ret->after = get_u64(&r);
	name = get_bytes(&r, &name_len);
	if (r.bad || r.left || ret->watch > INT32_MAX || (name_len && !file_name_valid(name, name_len)))
		return -EPROTO;
	memcpy(ret->name, name, name_len);
	ret->name[name_len] = '\0';
	return 0;
}
