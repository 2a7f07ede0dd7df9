/*
 * Kernel passthrough: reads, writes and mappings of an open file go from the
 * kernel's VFS straight to the file below, without us. It is the disk itself, as
 * fast and never stale.
 *
 * It takes Linux 6.9, CAP_SYS_ADMIN, and a file system below that is not stacked
 * too deep. Where anything is missing a file is served by us as any other.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <stdbool.h>
#include <stdint.h>

/* Before the session runs. `mountpoint` is kept; NULL: open files cannot be revoked. */
void passthrough_begin(struct fuse_session *session, const char *mountpoint, bool wanted);
/* Nobody answers the kernel any more: there is nothing to be asked. */
void passthrough_end(void);
/* From the init operation. */
void passthrough_init(struct fuse_conn_info *conn);

/* Registers the file `fd` (O_PATH will do) as a backing file: its id, or -errno. */
int32_t passthrough_register(int fd);
void passthrough_unregister(int32_t id);

/* fuse_reply_open() and fuse_reply_create() that name a backing file, or with id 0 none. */
int passthrough_reply_open(fuse_req_t req, struct fuse_file_info *fi, int32_t id);
int passthrough_reply_create(fuse_req_t req, const struct fuse_entry_param *e, struct fuse_file_info *fi,
			     int32_t id);

/*
 * Has the kernel ask for the attributes of the inodes with these numbers (owned from here), which are open:
 * an answer that makes no sense then spoils them for good. Done by a thread of its own.
 */
void passthrough_revoke(fuse_ino_t *numbers, size_t count);
