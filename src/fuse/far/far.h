/*
 * fs/ of a sandbox whose files only its agent reaches.
 *
 * The operations of graft/graft.h, by requests to the agent. None blocks its thread:
 * a request that needs an answer is parked, answered on the loop thread when the
 * answer comes. It is answered EINTR before that when a signal ends the program that waits, and only then.
 */
#pragma once

#include "fuse/graft/graft.h"

struct sandbox;
struct frame;

/*
 * The files of a running sandbox; its graft, with one reference. `key` and `root_ino` as for
 * graft_new(). NULL: no memory. Core lock held.
 */
struct graft *far_new(struct sandbox *s, uint64_t key, fuse_ino_t root_ino);
/* The sandbox has ended: nothing is answered from what is remembered any more. Core lock held. */
void far_end(struct graft *g);
/* A MSG_FILE_CHANGED, or NULL: nothing is heard any more. -EPROTO when it makes no sense. Core lock held. */
int far_changed(struct graft *g, const struct frame *f);
/* Another agent than before answers from here on: it knows none of the handles. Core lock held. */
void far_anew(struct graft *g);

void far_lookup(fuse_req_t req, struct graft_node *dir, const char *name);
void far_getattr(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi);
void far_setattr(fuse_req_t req, struct graft_node *node, struct stat *attr, int to_set,
		 struct fuse_file_info *fi);
void far_readlink(fuse_req_t req, struct graft_node *node);
void far_mknod(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode, dev_t rdev);
void far_mkdir(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode);
void far_unlink(fuse_req_t req, struct graft_node *dir, const char *name);
void far_rmdir(fuse_req_t req, struct graft_node *dir, const char *name);
void far_symlink(fuse_req_t req, const char *target, struct graft_node *dir, const char *name);
void far_rename(fuse_req_t req, struct graft_node *dir, const char *name, struct graft_node *newdir,
		const char *newname, unsigned int flags);
void far_link(fuse_req_t req, struct graft_node *node, struct graft_node *newdir, const char *newname);
void far_open(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi);
void far_create(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode,
		struct fuse_file_info *fi);
void far_opendir(fuse_req_t req, struct graft_node *dir, struct fuse_file_info *fi);
void far_statfs(fuse_req_t req, struct graft_node *node);
void far_access(fuse_req_t req, struct graft_node *node, int mask);
void far_setxattr(fuse_req_t req, struct graft_node *node, const char *name, const char *value, size_t size,
		  int flags);
void far_getxattr(fuse_req_t req, struct graft_node *node, const char *name, size_t size);
void far_listxattr(fuse_req_t req, struct graft_node *node, size_t size);
void far_removexattr(fuse_req_t req, struct graft_node *node, const char *name);

/* On open files and directories, whose fi->fh has FAR_BIT set. */
#define FAR_BIT 1ull
void far_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi);
void far_write_buf(fuse_req_t req, struct fuse_bufvec *in, off_t off, struct fuse_file_info *fi);
void far_flush(fuse_req_t req, struct fuse_file_info *fi);
void far_fsync(fuse_req_t req, int datasync, struct fuse_file_info *fi);
void far_fallocate(fuse_req_t req, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void far_lseek(fuse_req_t req, off_t off, int whence, struct fuse_file_info *fi);
void far_copy_file_range(fuse_req_t req, struct fuse_file_info *in, off_t off_in, struct fuse_file_info *out,
			 off_t off_out, size_t len, int flags);
void far_readdir(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus);
void far_release(fuse_req_t req, struct fuse_file_info *fi);
void far_releasedir(fuse_req_t req, struct fuse_file_info *fi);
