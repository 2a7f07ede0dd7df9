/*
 * fs/: a sandbox's own files inside the mount.
 *
 * A graft is one sandbox's root directory with the nodes the kernel knows of
 * it. The operations here have the shape of libfuse's low-level ones, with a
 * node where those have an inode number; each replies exactly once, from the
 * calling thread, without the core lock.
 *
 * The mount must be nodev, nosuid and default_permissions, without
 * FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_DONT_MASK, FUSE_CAP_EXPORT_SUPPORT and
 * FUSE_CAP_CACHE_SYMLINKS, and the process's umask 0: modes come with the
 * caller's umask already applied.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <stdbool.h>
#include <stdint.h>

struct graft;
struct graft_node;

/*
 * `root_fd`: an O_PATH descriptor of the root directory, owned from here.
 * `key`: stable per sandbox, mixed into st_ino. `root_ino`: the number of the
 * fs/ node itself, which is not one of ours. One reference. NULL: no memory.
 */
struct graft *graft_new(int root_fd, uint64_t key, fuse_ino_t root_ino);
/* Before anything uses it: whatever would change its files is -EROFS. */
void graft_set_read_only(struct graft *g);
/* The same for files that are far away: `far` belongs to who calls it. */
struct far;
struct graft *graft_new_far(struct far *far, uint64_t key, fuse_ino_t root_ino);
enum graft_memory { GRAFT_REMEMBER_NOTHING, GRAFT_REMEMBER_ATTRIBUTES, GRAFT_REMEMBER_NAMES };
/* What the kernel may remember while nothing runs; of all grafts, before there is any. Names: attributes too.
 */
void graft_remember(enum graft_memory memory);
/*
 * From now on nothing changes its files but what comes through the mount; or, before anything may, no longer
 * so: the kernel then remembers nothing of them when this returns. It waits for nothing. Not to be called
 * twice at once.
 */
void graft_still(struct graft *g, bool still);
/* Has it forget what it remembers now; what it asks for from now on it may remember again. */
void graft_forget_known(struct graft *g);
/*
 * The sandbox ended: every operation answers ESHUTDOWN from now on, descriptors close once those that
 * run are through. Closes many of them: not to be called with the core lock held.
 */
void graft_shutdown(struct graft *g);
struct graft *graft_ref(struct graft *g);
void graft_unref(struct graft *g);
/* Valid as long as the caller holds a reference. */
struct graft_node *graft_root(struct graft *g);
/* After the session's end: the kernel knows no node of any graft any more. */
void graft_forget_all(void);

/* Numbers of graft nodes have the top bit set; no other number has. */
#define GRAFT_BIT (1ull << 63)
static inline bool graft_owns(fuse_ino_t ino)
{
	return ino & GRAFT_BIT;
}
/* Whether its operations are those of far.h. */
bool graft_is_far(const struct graft_node *node);
/* Whether it is one of its nodes. */
bool graft_has(const struct graft *g, const struct graft_node *node);
/* The node behind a number the kernel holds; NULL for a number that is not known. */
struct graft_node *graft_node(fuse_ino_t ino);

void graft_lookup(fuse_req_t req, struct graft_node *dir, const char *name);
void graft_forget(fuse_ino_t ino, uint64_t nlookup); /* no reply */
void graft_getattr(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi);
void graft_setattr(fuse_req_t req, struct graft_node *node, struct stat *attr, int to_set,
		   struct fuse_file_info *fi);
void graft_readlink(fuse_req_t req, struct graft_node *node);
void graft_mknod(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode, dev_t rdev);
void graft_mkdir(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode);
void graft_unlink(fuse_req_t req, struct graft_node *dir, const char *name);
void graft_rmdir(fuse_req_t req, struct graft_node *dir, const char *name);
void graft_symlink(fuse_req_t req, const char *target, struct graft_node *dir, const char *name);
void graft_rename(fuse_req_t req, struct graft_node *dir, const char *name, struct graft_node *newdir,
		  const char *newname, unsigned int flags);
void graft_link(fuse_req_t req, struct graft_node *node, struct graft_node *newdir, const char *newname);
void graft_open(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi);
void graft_create(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode,
		  struct fuse_file_info *fi);
void graft_opendir(fuse_req_t req, struct graft_node *dir, struct fuse_file_info *fi);
void graft_statfs(fuse_req_t req, struct graft_node *node);
void graft_access(fuse_req_t req, struct graft_node *node, int mask);
void graft_setxattr(fuse_req_t req, struct graft_node *node, const char *name, const char *value, size_t size,
		    int flags);
void graft_getxattr(fuse_req_t req, struct graft_node *node, const char *name, size_t size);
void graft_listxattr(fuse_req_t req, struct graft_node *node, size_t size);
void graft_removexattr(fuse_req_t req, struct graft_node *node, const char *name);

/* On open files and directories: fi->fh is a pointer this module gave out in open, create or opendir. */
void graft_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi);
void graft_write_buf(fuse_req_t req, struct fuse_bufvec *in, off_t off, struct fuse_file_info *fi);
void graft_flush(fuse_req_t req, struct fuse_file_info *fi);
void graft_fsync(fuse_req_t req, int datasync, struct fuse_file_info *fi);
void graft_fallocate(fuse_req_t req, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void graft_lseek(fuse_req_t req, off_t off, int whence, struct fuse_file_info *fi);
void graft_copy_file_range(fuse_req_t req, struct fuse_file_info *in, off_t off_in,
			   struct fuse_file_info *out, off_t off_out, size_t len, int flags);
void graft_readdir(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus);
void graft_release(fuse_req_t req, struct fuse_file_info *fi);
void graft_releasedir(fuse_req_t req, struct fuse_file_info *fi);
