#include "backend/aviato/stand_in/output.h"

#include "rpc/base64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096

/* --- Failures --- */

/* musl's words differ from glibc's, and shells have some of their own. */
static const struct {
	const char *reason;
	int code;
} reasons[] = {
    {"No such file or directory", ENOENT},
    {"Directory nonexistent", ENOENT},
    {"nonexistent directory", ENOENT},
    {"No such file", ENOENT},
    {"Permission denied", EACCES},
    {"Operation not permitted", EPERM},
    {"File exists", EEXIST},
    {"cannot overwrite existing file", EEXIST},
    {"Not a directory", ENOTDIR},
    {"Is a directory", EISDIR},
    {"Directory not empty", ENOTEMPTY},
    {"Read-only file system", EROFS},
    {"No space left on device", ENOSPC},
    {"Disk quota exceeded", EDQUOT},
    {"Quota exceeded", EDQUOT},
    {"Too many levels of symbolic links", ELOOP},
    {"Symbolic link loop", ELOOP},
    {"File name too long", ENAMETOOLONG},
    {"Filename too long", ENAMETOOLONG},
    {"Text file busy", ETXTBSY},
    {"Device or resource busy", EBUSY},
    {"Resource busy", EBUSY},
    {"Invalid cross-device link", EXDEV},
    {"Cross-device link", EXDEV},
    {"Too many links", EMLINK},
    {"File too large", EFBIG},
    {"Invalid argument", EINVAL},
    {"Operation not supported", EOPNOTSUPP},
    {"Not supported", EOPNOTSUPP},
    {"Stale file handle", ESTALE},
    {"No such device or address", ENXIO},
    {HELPER_NO_PROGRAM, EOPNOTSUPP},
};

int helper_errno(const char *reason)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (strcmp(reason, reasons[i].reason) == 0)
			return reasons[i].code;
	return EIO;
}

/* --- Strings --- */

/* NULL: there is no whole one. */
static const char *next(struct helper_output *o)
{
	const char *text = o->at, *end = o->left ? memchr(text, '\0', o->left) : NULL;

	if (!end) {
		o->short_of = true;
		return NULL;
	}
	o->left -= (size_t)(end - text) + 1;
	o->at = end + 1;
	return text;
}

int helper_end(struct helper_output *o)
{
	const char *text = next(o);

	return text && strcmp(text, "z") == 0 ? 0 : -EPROTO;
}

bool helper_may_end(const struct helper_output *o)
{
	return o->left >= 2 && memcmp(o->at + o->left - 2, "z", 2) == 0;
}

/* 0 when the answer is of that kind. */
static int begin(struct helper_output *o, char kind)
{
	const char *text = next(o), *reason;

	if (!text || !text[0] || text[1])
		return -EPROTO;
	if (text[0] == kind)
		return 0;
	reason = text[0] == 'e' ? next(o) : NULL;
	if (reason)
		o->reason = reason;
	return reason ? -helper_errno(reason) : -EPROTO;
}

/* --- Numbers --- */

/* Behind it is a space, or the end. */
static bool number(const char **at, int base, uint64_t *ret)
{
	char *end;

	if (!((**at >= '0' && **at <= '9') || (base == 16 && strchr("abcdef", **at) && **at)))
		return false;
	errno = 0;
	*ret = strtoull(*at, &end, base);
	if (errno || (*end && *end != ' '))
		return false;
	*at = *end ? end + 1 : end;
	return true;
}

static bool narrow(const char **at, int base, uint64_t most, uint64_t *ret)
{
	return number(at, base, ret) && *ret <= most;
}

/* Seconds, and maybe a fraction: that of a time before 1970 counts backwards. */
static bool moment(const char **at, struct timespec *ret)
{
	char *end;
	long digit = 100000000;

	if (**at != '-' && !(**at >= '0' && **at <= '9'))
		return false;
	errno = 0;
	*ret = (struct timespec){.tv_sec = strtoll(*at, &end, 10)};
	if (errno)
		return false;
	if (*end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++, digit /= 10)
			ret->tv_nsec += (*end - '0') * digit;
	if (**at == '-' && ret->tv_nsec) {
		ret->tv_sec--;
		ret->tv_nsec = 1000000000 - ret->tv_nsec;
	}
	if (*end && *end != ' ')
		return false;
	*at = *end ? end + 1 : end;
	return true;
}

/* As stat has it, in hexadecimal behind an x, or as find, a letter and the permissions. */
static bool mode(const char **at, mode_t *ret)
{
	static const char letters[] = "fdlpscb";
	static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	const char *letter = **at ? strchr(letters, **at) : NULL;
	bool is_raw = **at == 'x';
	uint64_t value;

	if (!is_raw && !letter)
		return false;
	++*at;
	if (!narrow(at, is_raw ? 16 : 8, is_raw ? 0177777 : 07777, &value))
		return false;
	*ret = (mode_t)value | (letter ? types[letter - letters] : 0);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if ((*ret & S_IFMT) == types[i])
			return true;
	return false;
}

static int fields(const char *at, struct stat *ret)
{
	uint64_t links, uid, gid, size, blocks, dev, ino, major, minor;

	*ret = (struct stat){.st_blksize = BLOCK};
	if (!mode(&at, &ret->st_mode) || !number(&at, 10, &links) || !narrow(&at, 10, UINT32_MAX, &uid) ||
	    !narrow(&at, 10, UINT32_MAX, &gid) || !narrow(&at, 10, INT64_MAX, &size) ||
	    !narrow(&at, 10, INT64_MAX, &blocks) || !moment(&at, &ret->st_atim) ||
	    !moment(&at, &ret->st_mtim) || !moment(&at, &ret->st_ctim) || !number(&at, 10, &dev) ||
	    !number(&at, 10, &ino) || !narrow(&at, 16, 0xfff, &major) || !narrow(&at, 16, 0xfffff, &minor) ||
	    *at)
		return -EPROTO;
	ret->st_nlink = links;
	ret->st_uid = (uid_t)uid;
	ret->st_gid = (gid_t)gid;
	ret->st_size = (off_t)size;
	ret->st_blocks = (blkcnt_t)blocks;
	ret->st_dev = dev;
	ret->st_ino = ino;
	ret->st_rdev = major << 8 | (minor & 0xff) | (minor & ~(uint64_t)0xff) << 12;
	return 0;
}

/* --- Answers --- */

static int link_text(struct helper_output *o, const struct stat *st, const uint8_t **ret, uint32_t *ret_len)
{
	const char *text = next(o);
	size_t len = text ? strlen(text) : 0;

	if (!text || len > FILE_TEXT_BYTES)
		return -EPROTO;
	*ret = (const uint8_t *)text;
	*ret_len = S_ISLNK(st->st_mode) ? (uint32_t)len : 0;
	return 0;
}

int helper_attr(struct helper_output *o, struct stat *ret, const uint8_t **ret_text, uint32_t *ret_len)
{
	int rc = begin(o, 'a');
	const char *text = rc ? NULL : next(o);

	if (rc || !text)
		return rc ? rc : -EPROTO;
	rc = fields(text, ret);
	return rc ? rc : link_text(o, ret, ret_text, ret_len);
}

int helper_nothing(struct helper_output *o)
{
	return begin(o, 'k');
}

int helper_statfs(struct helper_output *o, struct statvfs *ret)
{
	int rc = begin(o, 'f');
	const char *at = rc ? NULL : next(o);
	uint64_t v[8];

	if (rc || !at)
		return rc ? rc : -EPROTO;
	for (int i = 0; i < 8; i++)
		if (!number(&at, 10, &v[i]))
			return -EPROTO;
	*ret = (struct statvfs){
	    .f_bsize = v[1],
	    .f_frsize = v[0],
	    .f_blocks = v[2],
	    .f_bfree = v[3],
	    .f_bavail = v[4],
	    .f_files = v[5],
	    .f_ffree = v[6],
	    .f_favail = v[6],
	    .f_namemax = v[7] && v[7] <= FILE_NAME_BYTES ? v[7] : FILE_NAME_BYTES,
	};
	return *at ? -EPROTO : 0;
}

/* Without the ends of the lines. */
static size_t compact(const char *text, size_t len, char *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if (text[i] != '\n')
			ret[n++] = text[i];
	return n;
}

int helper_bytes(struct helper_output *o, uint64_t offset, size_t most, struct buf *out)
{
	int rc = begin(o, 'r');
	const char *at = rc ? NULL : next(o), *text = at ? next(o) : NULL;
	size_t len = text ? strlen(text) : 0;
	uint64_t size;
	char *copy;
	ssize_t n;

	if (rc || !text)
		return rc ? rc : -EPROTO;
	if (!number(&at, 10, &size) || *at || len > most * 2 + 4)
		return -EPROTO;
	copy = malloc(len + 1);
	if (!copy || buf_reserve(out, BASE64_DECODED(len))) {
		free(copy);
		return -ENOMEM;
	}
	len = compact(text, len, copy);
	n = base64_decode(copy, len, out->data + out->len);
	free(copy);
	if (n < 0 || (size_t)n > most)
		return -EPROTO;
	out->len += (size_t)n;
	return (size_t)n < most && offset + (size_t)n < size ? -EIO : 0;
}

int helper_programs(struct helper_output *o, struct buf *out)
{
	size_t before = out->len;
	int rc = begin(o, 'p');
	const char *name;

	while (rc == 0 && (name = next(o)) && *name)
		if (file_name_valid(name, strlen(name)))
			rc = buf_append(out, name, strlen(name) + 1);
	if (rc == 0 && !name)
		rc = -EPROTO;
	if (rc)
		out->len = before;
	return rc;
}

int helper_list(struct helper_output *o)
{
	return begin(o, 'l');
}

/* What a listing does not say of a device, or of what nobody knows, is asked for by its name. */
static bool all_told(const char *text, const struct stat *st)
{
	return *text == 'x' || !(S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode));
}

int helper_entry(struct helper_output *o, struct file_entry *ret)
{
	const char *text = next(o), *name;

	if (!text)
		return -EPROTO;
	if (!*text)
		return 0;
	name = next(o);
	if (!name || !file_name_valid(name, strlen(name)))
		return -EPROTO;
	strcpy(ret->name, name);
	ret->known = fields(text, &ret->attr) == 0 && all_told(text, &ret->attr);
	if (!ret->known)
		ret->attr = (struct stat){.st_ino = 1};
	/* There are none here at all. */
	ret->plain = ret->known;
	return link_text(o, &ret->attr, &ret->text, &ret->text_len) ? -EPROTO : 1;
}
