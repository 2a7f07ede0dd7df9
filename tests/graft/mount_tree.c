/*
 * mount_tree [--far] DIRECTORY MOUNTPOINT: shows a directory as fs/ does, and nothing else around it;
 * --far: by an agent, the connection to which SIGUSR2 cuts, and takes LATENCY milliseconds for a round trip.
 * PASSTHROUGH=off in the environment: the kernel asks for all data. STILL=on: it may remember names and
 * attributes, as where nothing runs in a sandbox; then SIGUSR2 is a moment in which anything may have
 * changed. Says "ready" on stdout once mounted, "down" when SIGUSR1 ended the sandbox; ends when unmounted.
 */
#include "far_tree.h"
#include "fuse/amend.h"
#include "fuse/graft/graft.h"
#include "fuse/notify.h"
#include "fuse/passthrough.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct graft *graft;
static bool far;

static struct graft_node *node(fuse_req_t req, fuse_ino_t ino)
{
	struct graft_node *n = ino == FUSE_ROOT_ID ? graft_root(graft) : graft_node(ino);

	if (!n)
		fuse_reply_err(req, ESTALE);
	return n;
}

/* Reached by descriptors, or by an agent. */
#define FS(op, node) (graft_is_far(node) ? far_##op : graft_##op)
#define OPEN(op, fi) ((fi)->fh & FAR_BIT ? far_##op : graft_##op)

/* An operation on one node, its further arguments given as they are. */
#define ON(op, params, ...)                                                                                  \
	static void on_##op params                                                                           \
	{                                                                                                    \
		struct graft_node *n = node(req, ino);                                                       \
		if (n)                                                                                       \
			FS(op, n)(__VA_ARGS__);                                                              \
	}

ON(lookup, (fuse_req_t req, fuse_ino_t ino, const char *name), req, n, name)
ON(setattr, (fuse_req_t req, fuse_ino_t ino, struct stat *a, int set, struct fuse_file_info *fi), req, n, a,
   set, fi)
ON(readlink, (fuse_req_t req, fuse_ino_t ino), req, n)
ON(mknod, (fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode, dev_t dev), req, n, name, mode, dev)
ON(mkdir, (fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode), req, n, name, mode)
ON(unlink, (fuse_req_t req, fuse_ino_t ino, const char *name), req, n, name)
ON(rmdir, (fuse_req_t req, fuse_ino_t ino, const char *name), req, n, name)
ON(symlink, (fuse_req_t req, const char *target, fuse_ino_t ino, const char *name), req, target, n, name)
ON(open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, n, fi)
ON(create, (fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode, struct fuse_file_info *fi), req, n,
   name, mode, fi)
ON(statfs, (fuse_req_t req, fuse_ino_t ino), req, n)
ON(access, (fuse_req_t req, fuse_ino_t ino, int mask), req, n, mask)
ON(setxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags),
   req, n, name, value, size, flags)
ON(getxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size), req, n, name, size)
ON(listxattr, (fuse_req_t req, fuse_ino_t ino, size_t size), req, n, size)
ON(removexattr, (fuse_req_t req, fuse_ino_t ino, const char *name), req, n, name)

static void on_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newdir, const char *newname)
{
	struct graft_node *n = node(req, ino), *dir = n ? node(req, newdir) : NULL;

	if (dir)
		FS(link, n)(req, n, dir, newname);
}

static void on_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t newdir,
		      const char *newname, unsigned int flags)
{
	struct graft_node *from = node(req, dir), *to = from ? node(req, newdir) : NULL;

	if (to)
		FS(rename, from)(req, from, name, to, newname, flags);
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want |= conn->capable & FUSE_CAP_ATOMIC_O_TRUNC;
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	passthrough_init(conn);
	notify_init(conn);
	if (getenv("STILL"))
		graft_still(graft, true);
}

static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	graft_forget(ino, nlookup);
	fuse_reply_none(req);
}

static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		graft_forget(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	OPEN(read, fi)(req, size, off, fi);
}

static void on_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
			 struct fuse_file_info *fi)
{
	(void)ino;
	OPEN(write_buf, fi)(req, in, off, fi);
}

static void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	OPEN(flush, fi)(req, fi);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	OPEN(fsync, fi)(req, datasync, fi);
}

static void on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	(void)ino;
	OPEN(fallocate, fi)(req, mode, off, len, fi);
}

static void on_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	(void)ino;
	OPEN(lseek, fi)(req, off, whence, fi);
}

static void on_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *in,
			       fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *out, size_t len,
			       int flags)
{
	(void)ino_in;
	(void)ino_out;
	OPEN(copy_file_range, in)(req, in, off_in, out, off_out, len, flags);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	if (fi->fh)
		OPEN(readdir, fi)(req, size, off, fi, false);
	else
		fuse_reply_err(req, ESHUTDOWN);
}

static void on_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	if (fi->fh)
		OPEN(readdir, fi)(req, size, off, fi, true);
	else
		fuse_reply_err(req, ESHUTDOWN);
}

static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	OPEN(release, fi)(req, fi);
}

/* The root of a real mount is no sandbox's and can always be opened: so can this one, with nothing in it. */
static atomic_bool down;

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct graft_node *n = node(req, ino);

	if (n && ino == FUSE_ROOT_ID && down)
		fuse_reply_attr(req, &(struct stat){.st_mode = S_IFDIR | 0755, .st_nlink = 2}, 0);
	else if (n)
		FS(getattr, n)(req, n, fi);
}

static void on_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct graft_node *n = node(req, ino);

	if (n && ino == FUSE_ROOT_ID && down)
		fuse_reply_open(req, fi);
	else if (n)
		FS(opendir, n)(req, n, fi);
}

static void on_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (fi->fh)
		OPEN(releasedir, fi)(req, fi);
	else
		fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = on_forget_multi,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .readlink = on_readlink,
    .mknod = on_mknod,
    .mkdir = on_mkdir,
    .unlink = on_unlink,
    .rmdir = on_rmdir,
    .symlink = on_symlink,
    .rename = on_rename,
    .link = on_link,
    .open = on_open,
    .create = on_create,
    .opendir = on_opendir,
    .statfs = on_statfs,
    .access = on_access,
    .setxattr = on_setxattr,
    .getxattr = on_getxattr,
    .listxattr = on_listxattr,
    .removexattr = on_removexattr,
    .read = on_read,
    .write_buf = on_write_buf,
    .flush = on_flush,
    .fsync = on_fsync,
    .fallocate = on_fallocate,
    .lseek = on_lseek,
    .copy_file_range = on_copy_file_range,
    .readdir = on_readdir,
    .readdirplus = on_readdirplus,
    .release = on_release,
    .releasedir = on_releasedir,
};

static void *shut_down_on_signal(void *signals)
{
	int number;

	while (sigwait(signals, &number) == 0 && number == SIGUSR2) {
		if (far) {
			far_tree_cut();
		} else {
			graft_still(graft, false);
			graft_still(graft, true);
			puts("seen");
			fflush(stdout);
		}
	}
	graft_still(graft, false);
	down = true;
	if (far)
		far_tree_end();
	else
		graft_shutdown(graft);
	puts("down");
	fflush(stdout);
	return NULL;
}

static int serve(struct fuse_session *session, const char *mountpoint)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	const char *passthrough = getenv("PASSTHROUGH");
	int r;

	if (fuse_session_mount(session, mountpoint) != 0 || amend_session(session) != 0)
		return 1;
	notify_begin(session);
	graft_remember(GRAFT_REMEMBER_NAMES);
	passthrough_begin(session, mountpoint, !passthrough || strcmp(passthrough, "off") != 0);
	puts("ready");
	fflush(stdout);
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, 4);
	r = fuse_session_loop_mt(session, config);
	fuse_session_unmount(session);
	fuse_loop_cfg_destroy(config);
	return r != 0;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct rlimit files;
	struct fuse_session *session;
	pthread_t thread;
	sigset_t signals;
	int fd, r;

	far = argc > 1 && strcmp(argv[1], "--far") == 0;
	argc -= far;
	argv += far;
	if (argc != 3 || (fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	umask(0);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	fuse_opt_add_arg(&args, "mount_tree");
	fuse_opt_add_arg(&args, "-onodev,nosuid,default_permissions,fsname=mount_tree");
	if (far)
		close(fd);
	graft = far ? far_tree_open(argv[1], FUSE_ROOT_ID) : graft_new(fd, 1, FUSE_ROOT_ID);
	session = graft ? fuse_session_new(&args, &ops, sizeof(ops), NULL) : NULL;
	if (!session || fuse_set_signal_handlers(session) != 0)
		return 2;
	pthread_create(&thread, NULL, shut_down_on_signal, &signals);
	r = serve(session, argv[2]);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	fuse_remove_signal_handlers(session);
	if (far)
		far_tree_close();
	notify_end();
	fuse_session_destroy(session);
	graft_forget_all();
	graft_unref(graft);
	fuse_opt_free_args(&args);
	return r;
}
