/*
 * Telling the kernel, without being asked, that what it remembers may not be true any more.
 *
 * Only what the kernel does without waiting for anything is offered: what takes locks of directories, or
 * waits for pages, may wait for an answer of ours, and a daemon that is killed meanwhile could never be
 * ended. So both of these may be called from any thread, with any lock held, in the middle of a request.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <stdbool.h>

/* Once the session is mounted, and before it is destroyed. */
void notify_begin(struct fuse_session *session);
void notify_end(void);

/* From the init operation. */
void notify_init(const struct fuse_conn_info *conn);

/* Whether the kernel heeds both for answers too that are on their way to it: Linux 6.16. */
bool notify_is_heeded(void);
/*
 * Every name of the mount is looked up at its next use. The kernel drops each name for that, and until the
 * answer is there a directory is one without a name: getcwd(2) of who stands in it fails, mounts on it are
 * gone, an overlay over it is stale.
 */
void notify_names(void);
/* The attributes of this inode are asked for at their next use; nothing happens if the kernel has none such.
 */
void notify_attributes(fuse_ino_t ino);
