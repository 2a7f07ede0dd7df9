/* Requests: one table says which fields each has; one loop writes them, one reads and judges them. */
#include "channel/file_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum field {
	END,
	HANDLE,
	OTHER,
	FRESH,
	FRESH_FILE,
	HANDLES,
	NAME,
	OTHER_NAME,
	TEXT,
	DEPTH,
	MODE,
	RDEV,
	BITS,
	UID,
	GID,
	OFFSET,
	OTHER_OFFSET,
	LENGTH,
	ATIME,
	MTIME,
	DATA,
	REST, /* the last one */
};

#define FIELDS_MAX 10
#define MAKING	   HANDLE, NAME, FRESH, DEPTH /* what all that make a name begin with */

static const uint8_t shapes[FILE_OPS][FIELDS_MAX] = {
    [FILE_LOOKUP] = {MAKING},
    [FILE_GETATTR] = {HANDLES},
    [FILE_READLINK] = {HANDLE, OTHER, DEPTH},
    [FILE_ACCESS] = {HANDLE, BITS},
    [FILE_STATFS] = {HANDLE},
    [FILE_GETXATTR] = {HANDLE, TEXT},
    [FILE_LISTXATTR] = {HANDLE},
    [FILE_MKNOD] = {MAKING, MODE, RDEV},
    [FILE_MKDIR] = {MAKING, MODE},
    [FILE_SYMLINK] = {MAKING, TEXT},
    [FILE_LINK] = {MAKING, OTHER},
    [FILE_UNLINK] = {HANDLE, NAME},
    [FILE_RMDIR] = {HANDLE, NAME},
    [FILE_RENAME] = {HANDLE, NAME, OTHER, OTHER_NAME, BITS},
    [FILE_SETATTR] = {HANDLE, OTHER, BITS, MODE, UID, GID, LENGTH, ATIME, MTIME},
    [FILE_SETXATTR] = {HANDLE, TEXT, BITS, DATA},
    [FILE_REMOVEXATTR] = {HANDLE, TEXT},
    [FILE_OPEN] = {HANDLE, FRESH_FILE, BITS, LENGTH},
    [FILE_CREATE] = {MAKING, FRESH_FILE, BITS, MODE},
    [FILE_OPENDIR] = {HANDLE, FRESH_FILE},
    [FILE_READ] = {HANDLE, OFFSET, LENGTH},
    [FILE_WRITE] = {HANDLE, OFFSET, BITS, REST},
    [FILE_FSYNC] = {HANDLE, BITS},
    [FILE_FALLOCATE] = {HANDLE, OFFSET, LENGTH, BITS},
    [FILE_LSEEK] = {HANDLE, OFFSET, BITS},
    [FILE_COPY_RANGE] = {HANDLE, OFFSET, OTHER, OTHER_OFFSET, LENGTH},
    [FILE_READDIR] = {HANDLE, OFFSET, LENGTH, DEPTH},
    [FILE_RELEASE] = {HANDLES},
    [FILE_TMPFILE] = {HANDLE, FRESH, FRESH_FILE, BITS, MODE},
};

/* --- Judging: the same for the side that writes and the side that reads --- */

bool file_name_valid(const void *name, size_t len)
{
	const char *text = name;

	return len >= 1 && len <= FILE_NAME_BYTES && !memchr(name, '/', len) && !memchr(name, '\0', len) &&
	       !(len == 1 && text[0] == '.') && !(len == 2 && text[0] == '.' && text[1] == '.');
}

static bool name_good(const char *name)
{
	return file_name_valid(name, strnlen(name, FILE_NAME_BYTES + 1));
}

static bool field_good(const struct file_request *q, enum field field)
{
	switch (field) {
	case NAME:
		return name_good(q->name);
	case OTHER_NAME:
		return name_good(q->other_name);
	case TEXT: {
		size_t len = strnlen(q->text, sizeof q->text);

		return len >= 1 && len <= (q->op == FILE_SYMLINK ? FILE_TEXT_BYTES : FILE_NAME_BYTES);
	}
	case HANDLES:
		return q->handle_count >= 1 && q->handle_count <= FILE_HANDLES_LIST;
	case FRESH:
		return q->fresh != FILE_ROOT && (q->op != FILE_TMPFILE || q->fresh != FILE_NO_HANDLE);
	case FRESH_FILE:
		return q->fresh_file != FILE_ROOT && q->fresh_file != FILE_NO_HANDLE;
	case OFFSET:
		/* Positions in a directory are the file system's own and may be any. */
		return q->op == FILE_READDIR || q->offset <= INT64_MAX;
	case OTHER_OFFSET:
		return q->other_offset <= INT64_MAX;
	case LENGTH:
		if (q->op == FILE_READ || q->op == FILE_READDIR)
			return q->length <= FILE_READ_MAX;
		return q->length <= INT64_MAX;
	case DATA:
		return q->data_len <= FILE_XATTR_MAX;
	case REST:
		return q->data_len <= FILE_READ_MAX && q->offset <= INT64_MAX - FILE_READ_MAX;
	default:
		return true;
	}
}

static bool op_known(uint8_t op)
{
	return op > 0 && op < FILE_OPS;
}

static bool good(const struct file_request *q)
{
	if (!op_known(q->op) || q->flags & ~FILE_WATCH || !q->sequence || q->acknowledged >= q->sequence)
		return false;
	for (const uint8_t *field = shapes[q->op]; *field; field++)
		if (!field_good(q, *field))
			return false;
	return true;
}

/* --- Writing --- */

static int put_string(struct buf *out, const char *text)
{
	return put_bytes(out, text, (uint32_t)strlen(text));
}

static int put_field(struct buf *out, const struct file_request *q, enum field field)
{
	switch (field) {
	case HANDLE:
		return put_u64(out, q->handle);
	case OTHER:
		return put_u64(out, q->other);
	case FRESH:
		return put_u64(out, q->fresh);
	case FRESH_FILE:
		return put_u64(out, q->fresh_file);
	case HANDLES: {
		int rc = put_u32(out, q->handle_count);

		return rc ? rc : buf_append(out, q->handles, (size_t)q->handle_count * 8);
	}
	case NAME:
		return put_string(out, q->name);
	case OTHER_NAME:
		return put_string(out, q->other_name);
	case TEXT:
		return put_string(out, q->text);
	case DEPTH:
		return put_u32(out, q->depth);
	case MODE:
		return put_u32(out, q->mode);
	case RDEV:
		return put_u64(out, q->rdev);
	case BITS:
		return put_u32(out, q->bits);
	case UID:
		return put_u32(out, q->uid);
	case GID:
		return put_u32(out, q->gid);
	case OFFSET:
		return put_u64(out, q->offset);
	case OTHER_OFFSET:
		return put_u64(out, q->other_offset);
	case LENGTH:
		return put_u64(out, q->length);
	case ATIME:
		return put_u64(out, (uint64_t)q->atime);
	case MTIME:
		return put_u64(out, (uint64_t)q->mtime);
	case DATA:
		return put_bytes(out, q->data, q->data_len);
	case REST:
		return q->data ? buf_append(out, q->data, q->data_len) : 0;
	case END:
		break;
	}
	return -EPROTO;
}

int file_request_encode(struct buf *out, const struct file_request *q)
{
	size_t before = out->len;
	int rc;

	if (!good(q))
		return -EPROTO;
	if (!(rc = put_u8(out, q->op)) && !(rc = put_u8(out, q->flags)) && !(rc = put_u64(out, q->sequence)))
		rc = put_u64(out, q->acknowledged);
	for (const uint8_t *field = shapes[q->op]; !rc && *field; field++)
		rc = put_field(out, q, *field);
	if (rc)
		out->len = before;
	return rc;
}

/* --- Reading --- */

static void get_string(struct reader *r, char *out, uint32_t most)
{
	uint32_t len;
	const uint8_t *bytes = get_bytes(r, &len);

	if (!bytes)
		return;
	if (len > most || memchr(bytes, '\0', len)) {
		r->bad = true;
		return;
	}
	memcpy(out, bytes, len);
	out[len] = '\0';
}

static void get_handles(struct reader *r, struct file_request *q)
{
	q->handle_count = get_u32(r);
	if (r->bad || q->handle_count > r->left / 8) {
		r->bad = true;
		return;
	}
	q->handles = r->at;
	r->at += (size_t)q->handle_count * 8;
	r->left -= (size_t)q->handle_count * 8;
}

static void get_rest(struct reader *r, struct file_request *q)
{
	q->data = r->at;
	q->data_len = (uint32_t)r->left;
	r->at += r->left;
	r->left = 0;
}

static void get_field(struct reader *r, struct file_request *q, enum field field)
{
	switch (field) {
	case HANDLE:
		q->handle = get_u64(r);
		break;
	case OTHER:
		q->other = get_u64(r);
		break;
	case FRESH:
		q->fresh = get_u64(r);
		break;
	case FRESH_FILE:
		q->fresh_file = get_u64(r);
		break;
	case HANDLES:
		get_handles(r, q);
		break;
	case NAME:
		get_string(r, q->name, FILE_NAME_BYTES);
		break;
	case OTHER_NAME:
		get_string(r, q->other_name, FILE_NAME_BYTES);
		break;
	case TEXT:
		get_string(r, q->text, FILE_TEXT_BYTES);
		break;
	case DEPTH:
		q->depth = get_u32(r);
		break;
	case MODE:
		q->mode = get_u32(r);
		break;
	case RDEV:
		q->rdev = get_u64(r);
		break;
	case BITS:
		q->bits = get_u32(r);
		break;
	case UID:
		q->uid = get_u32(r);
		break;
	case GID:
		q->gid = get_u32(r);
		break;
	case OFFSET:
		q->offset = get_u64(r);
		break;
	case OTHER_OFFSET:
		q->other_offset = get_u64(r);
		break;
	case LENGTH:
		q->length = get_u64(r);
		break;
	case ATIME:
		q->atime = (int64_t)get_u64(r);
		break;
	case MTIME:
		q->mtime = (int64_t)get_u64(r);
		break;
	case DATA:
		q->data = get_bytes(r, &q->data_len);
		break;
	case REST:
		get_rest(r, q);
		break;
	case END:
		break;
	}
}

int file_request_decode(const void *payload, size_t len, struct file_request *ret)
{
	struct reader r = {.at = payload, .left = len};

	/* Not all of it: the long strings are most of the struct, and only read where they were filled. */
	memset(ret, 0, offsetof(struct file_request, name));
	ret->name[0] = ret->other_name[0] = ret->text[0] = '\0';
	ret->data = ret->handles = NULL;
	ret->data_len = ret->handle_count = 0;
	ret->op = get_u8(&r);
	ret->flags = get_u8(&r);
	ret->sequence = get_u64(&r);
	ret->acknowledged = get_u64(&r);
	if (r.bad || !op_known(ret->op))
		return -EPROTO;
	for (const uint8_t *field = shapes[ret->op]; *field; field++)
		get_field(&r, ret, *field);
	return r.bad || r.left || !good(ret) ? -EPROTO : 0;
}

uint64_t file_handle(const struct file_request *q, uint32_t index)
{
	struct reader r = {.at = q->handles + (size_t)index * 8, .left = 8};

	return get_u64(&r);
}

/* --- Flags of open(2) --- */

static const struct {
	int flag;
	uint32_t bit;
} open_flags[] = {
    {O_APPEND, FILE_OPEN_APPEND}, {O_TRUNC, FILE_OPEN_TRUNC}, {O_EXCL, FILE_OPEN_EXCL},
    {O_DSYNC, FILE_OPEN_DSYNC},	  {O_SYNC, FILE_OPEN_SYNC},   {O_NOATIME, FILE_OPEN_NOATIME},
};

uint32_t file_open_bits(int flags)
{
	int mode = flags & O_ACCMODE;
	uint32_t bits = 0;

	if (mode == O_RDONLY || mode == O_RDWR)
		bits |= FILE_OPEN_READ;
	if (mode == O_WRONLY || mode == O_RDWR)
		bits |= FILE_OPEN_WRITE;
	for (size_t i = 0; i < sizeof open_flags / sizeof *open_flags; i++)
		if ((flags & open_flags[i].flag) == open_flags[i].flag)
			bits |= open_flags[i].bit;
	return bits;
}

int file_open_flags(uint32_t bits)
{
	int flags = !(bits & FILE_OPEN_WRITE) ? O_RDONLY : bits & FILE_OPEN_READ ? O_RDWR : O_WRONLY;

	for (size_t i = 0; i < sizeof open_flags / sizeof *open_flags; i++)
		if (bits & open_flags[i].bit)
			flags |= open_flags[i].flag;
	return flags;
}
