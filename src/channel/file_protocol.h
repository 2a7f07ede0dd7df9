/*
 * File operations over the agent channel: what MSG_FILE, MSG_FILE_REPLY and MSG_FILE_CHANGED carry.
 * docs/agent-protocol.md, "Files", is the prose; fields and numbers stand here and in the two tables of
 * file_request.c and file_reply.c.
 *
 * The daemon names files by *handles*: numbers of its own choice, never used twice in its life; 0 is the
 * root. A request may use a handle that an earlier one, still unanswered, is to make; if that one failed,
 * it fails with the same errno. The agent works requests in the order of their sequence.
 */
#pragma once

#include "base/buf.h"
#include "channel/frame.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/*
 * In brackets: the fields of the request, in their order on the wire, by the names they have in struct
 * file_request; behind the arrow those of the reply, as in struct file_reply. A `fresh` of
 * FILE_NO_HANDLE makes no handle.
 */
enum file_op {
	/* What is there. `text` is what a symlink says, as files_link_text() makes it for `depth`. */
	FILE_LOOKUP = 1, /* [handle name fresh depth] -> attr text */
	FILE_GETATTR,	 /* [handles] -> list of errno and attr, in the order asked */
	FILE_READLINK,	 /* [handle other depth]; `other` is the directory the link is in -> text */
	FILE_ACCESS,	 /* [handle bits]; `bits` as for access(2) -> nothing */
	FILE_STATFS,	 /* [handle] -> statfs */
	FILE_GETXATTR,	 /* [handle text] -> data */
	FILE_LISTXATTR,	 /* [handle] -> data: names, each with its NUL */
	/* Making and moving names. `parent`: attributes of the directory, afterwards. */
	FILE_MKNOD,   /* [handle name fresh depth mode rdev] -> attr text parent */
	FILE_MKDIR,   /* [handle name fresh depth mode] -> attr text parent */
	FILE_SYMLINK, /* [handle name fresh depth text] -> attr text parent */
	FILE_LINK,    /* [handle name fresh depth other]; `other` is the file -> attr text parent */
	FILE_UNLINK,  /* [handle name] -> parent */
	FILE_RMDIR,   /* [handle name] -> parent */
	FILE_RENAME,  /* [handle name other other_name bits]; `bits` as for renameat2(2) -> parent other */
	/* Changing what is there. */
	FILE_SETATTR,	  /* [handle other bits mode uid gid length atime mtime]; `other` is an open file
			     for the size, or FILE_NO_HANDLE; `bits` of FILE_SET_* -> attr */
	FILE_SETXATTR,	  /* [handle text bits data]; `bits` as for setxattr(2) -> attr */
	FILE_REMOVEXATTR, /* [handle text] -> attr */
	/* Open files: `fresh_file` is the open one. Of `data` in the reply see FILE_CONTENT_MAX. */
	FILE_OPEN,	 /* [handle fresh_file bits length]; `bits` of FILE_OPEN_* -> attr flag data */
	FILE_CREATE,	 /* [handle name fresh depth fresh_file bits mode] -> attr text parent */
	FILE_OPENDIR,	 /* [handle fresh_file] -> attr */
	FILE_READ,	 /* [handle offset length] -> rest: the bytes; fewer than asked: the end for now */
	FILE_WRITE,	 /* [handle offset bits rest]; FILE_OPEN_APPEND -> attr value: offset behind it */
	FILE_FSYNC,	 /* [handle bits]; 1: data only; or FILE_FSYNC_CLOSE -> nothing */
	FILE_FALLOCATE,	 /* [handle offset length bits]; `bits` as for fallocate(2) -> attr */
	FILE_LSEEK,	 /* [handle offset bits]; FILE_SEEK_* -> value: the offset */
	FILE_COPY_RANGE, /* [handle offset other other_offset length]; from, to -> attr (to's) value: bytes */
	FILE_READDIR,	 /* [handle offset length depth]; `offset` is a position, `length` the most bytes
			    wanted -> attr (the directory's) flag (no more follow) list of entries */
	FILE_RELEASE,	 /* [handles] -> nothing. Only of handles on which no request is unanswered */
	FILE_TMPFILE,	 /* [handle fresh fresh_file bits mode]; `handle` is the directory -> attr */
	FILE_OPS
};

#define FILE_ROOT      0ull
#define FILE_NO_HANDLE UINT64_MAX

#define FILE_READ_MAX (1u << 20) /* bytes in one READ, WRITE or listing */
#define FILE_CONTENT_MAX                                                                                     \
	(128u << 10) /* an OPEN for reading brings a regular file up to `length` and this whole */
#define FILE_COPY_MAX	  (16u << 20) /* bytes one COPY_RANGE moves at most; it may move fewer */
#define FILE_XATTR_MAX	  (64u << 10)
#define FILE_HANDLES_MAX  16384u /* that the agent keeps; beyond it, ENFILE */
#define FILE_HANDLES_LIST 4096u	 /* in one request */
#define FILE_WINDOW	  1024u	 /* requests that are unanswered, or whose replies are unacknowledged */
#define FILE_NAME_BYTES	  255u
#define FILE_TEXT_BYTES	  4095u	     /* of a symlink */
#define FILE_LINK_RAW	  UINT32_MAX /* as `depth`: the text as it is stored */

/* struct file_request.bits of OPEN, CREATE and TMPFILE: as O_*, which differ between machines. */
#define FILE_OPEN_READ	  1u
#define FILE_OPEN_WRITE	  2u
#define FILE_OPEN_APPEND  4u
#define FILE_OPEN_TRUNC	  8u
#define FILE_OPEN_EXCL	  16u
#define FILE_OPEN_SYNC	  32u
#define FILE_OPEN_DSYNC	  64u
#define FILE_OPEN_NOATIME 128u
uint32_t file_open_bits(int flags); /* other flags are left out */
int file_open_flags(uint32_t bits);

/* SETATTR */
#define FILE_SET_MODE	   1u
#define FILE_SET_UID	   2u
#define FILE_SET_GID	   4u
#define FILE_SET_SIZE	   8u
#define FILE_SET_ATIME	   16u
#define FILE_SET_MTIME	   32u
#define FILE_SET_ATIME_NOW 64u
#define FILE_SET_MTIME_NOW 128u

/* FSYNC: a descriptor is closed; only who stands in for an agent may have held something back. */
#define FILE_FSYNC_CLOSE 2u

/* LSEEK */
#define FILE_SEEK_DATA 0u
#define FILE_SEEK_HOLE 1u

/*
 * In the payload of MSG_FILE, before the fields:
 *   u8 op | u8 flags | u64 sequence | u64 acknowledged
 * The frame's id is a tag of the daemon's, given back in the reply. Sequences count from 1 without gaps.
 * `acknowledged`: all replies up to that sequence were received. After a reconnect (HELLO with the same
 * life) what is unanswered is sent again, as it was, in order; the agent does nothing twice.
 */
#define FILE_REQUEST_HEAD 18u

/*
 * Flag: watch the directory the name is looked up in (LOOKUP and all that make or move a name: the
 * first one), the file or directory that is opened, or each of GETATTR's, before reading anything. The
 * reply says in `watch` under which number, or 0: then nothing of it may be kept. GETATTR gives the number
 * only when asked for one handle.
 */
#define FILE_WATCH 1u

/* Pointers are into the payload (decoded) or the caller's (to be encoded). */
struct file_request {
	uint8_t op, flags;
	uint64_t sequence, acknowledged;
	uint64_t handle, other, fresh, fresh_file;
	uint64_t offset, other_offset, length;
	uint32_t depth, mode, bits, uid, gid;
	uint64_t rdev;
	int64_t atime, mtime;		/* ns since 1970 */
	char name[FILE_NAME_BYTES + 1]; /* one component */
	char other_name[FILE_NAME_BYTES + 1];
	char text[FILE_TEXT_BYTES + 1];
	const uint8_t *data; /* field `data` or `rest` */
	uint32_t data_len;
	const uint8_t *handles; /* file_handle() reads them */
	uint32_t handle_count;
};

/*
 * Appends the payload of MSG_FILE, or nothing on failure: -ENOMEM, -EFBIG, or -EPROTO for what the agent
 * would refuse. The bytes of `rest` may be left out, to be sent behind it: give NULL as data.
 */
int file_request_encode(struct buf *out, const struct file_request *q);
/* Checks every field: 0 or -EPROTO. */
int file_request_decode(const void *payload, size_t len, struct file_request *ret);
uint64_t file_handle(const struct file_request *q, uint32_t index);

/*
 * In the payload of MSG_FILE_REPLY, before the fields: u32 errno | u32 watch. With an errno no fields
 * follow. Attributes and contents are read after the last MSG_FILE_CHANGED before the reply was made up:
 * who drops what CHANGED names, and then keeps what replies say, keeps nothing stale.
 */
#define FILE_REPLY_HEAD 8u

struct file_reply {
	uint32_t error;
	uint32_t watch;
	struct stat attr, parent, other;
	const uint8_t *text; /* link text; no NUL inside, none behind it */
	uint32_t text_len;
	const uint8_t *data; /* field `data` or `rest` */
	uint32_t data_len;
	bool flag; /* OPEN: data is the whole file. READDIR: no more follow */
	uint64_t value;
	struct statvfs statfs;
	uint32_t count; /* of `list` */
	struct reader list;
};

/* Daemon: takes a reply to `op` apart and checks it: 0 or -EPROTO. Lists are checked whole. */
int file_reply_decode(enum file_op op, const void *payload, size_t len, struct file_reply *ret);

/* GETATTR: the next of `count`; returns its errno, 0 with *ret. */
uint32_t file_reply_next_attr(struct file_reply *r, struct stat *ret);

/* READDIR. */
struct file_entry {
	uint64_t position; /* READDIR with this offset goes on behind the entry */
	char name[FILE_NAME_BYTES + 1];
	bool known; /* all of attr; else only st_ino, and the type in st_mode, which may be 0 */
	bool plain; /* known to have no extended attributes */
	struct stat attr;
	const uint8_t *text; /* of a symlink */
	uint32_t text_len;
};
/* False when there is no more. */
bool file_reply_next_entry(struct file_reply *r, struct file_entry *ret);

/* Agent: appends the payload of a reply. The list, or `rest` where data is NULL, is appended behind. */
int file_reply_encode(struct buf *out, enum file_op op, const struct file_reply *r);
int file_list_put_attr(struct buf *out, uint32_t error, const struct stat *attr);
int file_list_put_entry(struct buf *out, const struct file_entry *e);

/* --- MSG_FILE_CHANGED --- */

#define FILE_CHANGED_ENTRY 1u  /* `name` was made, removed, moved, or is another file now */
#define FILE_CHANGED_ATTR  2u  /* attributes of `name`, or of what is watched where the name is empty */
#define FILE_CHANGED_DATA  4u  /* the same, of its bytes (and so size and times) */
#define FILE_CHANGED_GONE  8u  /* the watch has ended: no more will be heard of it */
#define FILE_CHANGED_OWN   16u /* such as request `after` makes, and noticed while it was worked on */

/* `watch` 0: everything may have changed, and no watch is left. */
struct file_changed {
	uint32_t watch;
	uint32_t what;
	uint64_t after; /* the sequence of the last request begun before it was noticed; 0: none */
	char name[FILE_NAME_BYTES + 1];
};
int file_changed_encode(struct buf *out, const struct file_changed *c);
int file_changed_decode(const void *payload, size_t len, struct file_changed *ret);

/* Whether it is one path component: 1 to 255 bytes, no slash, no NUL, not "." or "..". */
bool file_name_valid(const void *name, size_t len);

/* Attributes as they are everywhere here. get_attr turns the reader bad for what no file can have. */
int put_attr(struct buf *out, const struct stat *st);
void get_attr(struct reader *r, struct stat *ret);
