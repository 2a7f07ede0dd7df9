/*
 * What the helper of script.c prints, taken apart. It is made of strings, each with its NUL; an
 * answer is
 *   "e" reason                a failure, in the words of strerror(3)
 *   "a" fields text           attributes; what a symlink says
 *   "k"                       done
 *   "f" numbers               of the file system
 *   "l" (fields name text)*   a listing; ends with an empty string
 *   "p" name*                 programs; ends with an empty string
 *   "r" size bytes            what was read, in base64; how large the file was
 * and "z" stands behind all answers to one request. Any of it may be missing, or be made up by the sandbox.
 */
#pragma once

#include "channel/file_protocol.h"

#include <stddef.h>
#include <sys/stat.h>

struct helper_output {
	const char *at;
	size_t left;
	bool short_of;	    /* it came to an end before what was to be read did */
	const char *reason; /* of the latest failure, as it was said */
};

/*
 * Each reads one answer: 0, or the failure it was as -errno, or -EPROTO for what makes no sense, or, with
 * `short_of`, has not all come. Texts are into the output.
 */
int helper_attr(struct helper_output *o, struct stat *ret, const uint8_t **ret_text, uint32_t *ret_len);
int helper_nothing(struct helper_output *o);
int helper_statfs(struct helper_output *o, struct statvfs *ret);
/* Appends what was read, at most `most` bytes, from `offset`; -EIO: less than there was. */
int helper_bytes(struct helper_output *o, uint64_t offset, size_t most, struct buf *out);
/* Appends the names, each with its NUL, and nothing on failure. Names that are none are left out. */
int helper_programs(struct helper_output *o, struct buf *out);
/* Begins a listing. */
int helper_list(struct helper_output *o);
/* 1: *ret is the next entry, but for its position; 0: that was the last; -EPROTO. */
int helper_entry(struct helper_output *o, struct file_entry *ret);

/* 0 when the answers to a request end here. */
int helper_end(struct helper_output *o);
/* Whether they may end with these bytes: else there is no use in looking yet. */
bool helper_may_end(const struct helper_output *o);

/* What shells say of a program that the image does not have. */
#define HELPER_NO_PROGRAM "not found"
/* What strerror(3) of glibc, musl or busybox said; EIO for what is not known. */
int helper_errno(const char *reason);
