#include "fuse/serve.h"

#include "base/log.h"
#include "base/loop.h"
#include "fuse/amend.h"
#include "fuse/notify.h"
#include "fuse/ops.h"
#include "fuse/passthrough.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Waking a thread on another CPU is the dearest thing in a request, so the pool
 * is small: nothing that is served here sleeps, but for disks below fs/. When
 * those keep both busy libfuse adds threads, and lets them go again.
 */
#define THREADS_MAX  4
#define THREADS_IDLE 4

static struct {
	struct fuse_session *session;
	char mountpoint[PATH_MAX];
	bool single_threaded, stopping;
	pthread_t server; /* the thread in serve_run() */
	atomic_bool running;
	uv_timer_t nudge;
	bool mounting;
	char complaint[256]; /* of libfuse, while it mounted; "" if there was none */
} serving;

/* --- Mounting --- */

static bool on_path(const char *program)
{
	const char *dirs[] = {"/usr/bin", "/bin", "/usr/local/bin"};
	char path[64];

	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		snprintf(path, sizeof path, "%s/%s", dirs[i], program);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* What libfuse complains of while it mounts is kept, for the one line of the failure; later it goes to the
 * log. */
static void libfuse_says(enum fuse_log_level level, const char *fmt, va_list args)
{
	char line[256];

	vsnprintf(line, sizeof line, fmt, args);
	line[strcspn(line, "\n")] = '\0';
	if (level > FUSE_LOG_WARNING)
		log_debug("libfuse: %s", line);
	else if (!serving.mounting)
		log_warn("libfuse: %s", line);
	else
		snprintf(serving.complaint, sizeof serving.complaint, "%s",
			 strncmp(line, "fuse: ", 6) == 0 ? line + 6 : line);
}

/* The reasons a user can do something about, before libfuse's own words. */
static int explain(const char *mountpoint, struct error *err)
{
	if (access("/dev/fuse", F_OK) != 0)
		return error_set(
		    err, ENODEV, "NO_FUSE",
		    "/dev/fuse is missing: load the fuse module (modprobe fuse), or give the container "
		    "the device");
	if (geteuid() != 0 && !on_path("fusermount3"))
		return error_set(err, ENOENT, "NO_FUSERMOUNT",
				 "fusermount3 is not installed: apt install fuse3");
	if (access("/dev/fuse", R_OK | W_OK) != 0)
		return error_errno(err, errno, "NO_FUSE", "/dev/fuse cannot be opened");
	return error_set(err, EIO, "MOUNT_FAILED", "%s cannot be mounted (%s)", mountpoint,
			 serving.complaint[0] ? serving.complaint : "fusermount3 says why above");
}

int serve_mount(const struct serve_options *options, struct error *err)
{
	struct fuse_lowlevel_ops ops = {0};
	int rc;

	front = (struct front_settings){
	    .uid = getuid(), .gid = getgid(), .umask = options->umask, .answering = options->answering};
	ops_names(&ops);
	ops_files(&ops);
	ops_directories(&ops);
	serving.single_threaded = options->single_threaded;
	snprintf(serving.mountpoint, sizeof serving.mountpoint, "%s", options->mountpoint);
	fuse_set_log_func(libfuse_says);
	serving.mounting = true;
	serving.session = fuse_session_new(options->fuse_args, &ops, sizeof ops, NULL);
	if (!serving.session)
		return error_set(err, EINVAL, "BAD_OPTION", "libfuse does not take these options (%s)",
				 serving.complaint);
	if (fuse_session_mount(serving.session, options->mountpoint) != 0) {
		fuse_session_destroy(serving.session);
		serving.session = NULL;
		return explain(options->mountpoint, err);
	}
	serving.mounting = false;
	rc = amend_session(serving.session);
	if (rc)
		return error_errno(err, -rc, "MOUNT_FAILED", "libfuse takes no hooks");
	/* Root's leave setuid bits alone, which is wrong where other users may write. */
	if (geteuid() != 0 || !options->shared)
		amend_own_writes();
	notify_begin(serving.session);
	graft_remember(options->memory);
	passthrough_begin(serving.session, options->mountpoint, options->passthrough);
	return 0;
}

/* --- Serving --- */

static void woken(int sig)
{
	(void)sig; /* only to end a sleep */
}

int serve_run(void)
{
	struct sigaction act = {.sa_handler = woken};
	struct fuse_loop_config *config;
	int rc;

	serving.server = pthread_self();
	serving.running = true;
	sigaction(SIGUSR1, &act, NULL);
	if (serving.single_threaded) {
		rc = fuse_session_loop(serving.session);
	} else {
		config = fuse_loop_cfg_create();
		fuse_loop_cfg_set_clone_fd(config, 1);
		fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
		fuse_loop_cfg_set_idle_threads(config, THREADS_IDLE);
		rc = fuse_session_loop_mt(serving.session, config);
		fuse_loop_cfg_destroy(config);
	}
	serving.running = false;
	passthrough_end();
	return rc < 0 ? rc : 0;
}

/* The server may be just about to sleep when a signal comes: it is sent until the server has ended. */
static void nudge(uv_timer_t *timer)
{
	if (serving.running)
		pthread_kill(serving.server, SIGUSR1);
	else
		uv_timer_stop(timer);
}

void serve_stop(void)
{
	if (serving.stopping || !serving.session)
		return;
	serving.stopping = true;
	passthrough_end();
	fuse_session_exit(serving.session);
	/* Detached: programs that still have files open see errors, and nobody new comes in. */
	fuse_session_unmount(serving.session);
	uv_timer_init(loop_uv(), &serving.nudge);
	uv_timer_start(&serving.nudge, nudge, 0, 20);
}

void serve_end(void)
{
	if (!serving.session)
		return;
	if (!serving.stopping)
		fuse_session_unmount(serving.session);
	notify_end();
	fuse_session_destroy(serving.session);
	ops_files_end();
	graft_forget_all();
	serving.session = NULL;
}

/* --- Dead mounts --- */

static bool is_our_mount(const char *path)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *m;
	bool found = false;

	while (mounts && (m = getmntent(mounts)))
		if (strcmp(m->mnt_dir, path) == 0)
			found = strcmp(m->mnt_type, "fuse.aviatofs") == 0; /* the last one is on top */
	if (mounts)
		endmntent(mounts);
	return found;
}

static int detach(const char *path)
{
	int status;
	pid_t pid;

	if (umount2(path, MNT_DETACH) == 0)
		return 0;
	if (geteuid() == 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", path, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		return -EBUSY;
	return 0;
}

int serve_clear_mountpoint(const char *path, struct error *err)
{
	int fd, rc;

	if (!is_our_mount(path))
		return 0;
	/* Attributes may be remembered by the kernel; to open the directory it has to ask. */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	/* Of a daemon that is dying at this moment the request is aborted. */
	if (rc != ENOTCONN && rc != ECONNABORTED)
		return error_set(err, EBUSY, "BUSY", "%s is a mount of aviatofs already", path);
	log_info("%s: replacing the mount of a daemon that died", path);
	rc = detach(path);
	return rc ? error_errno(err, -rc, "BUSY", "%s: the dead mount cannot be unmounted", path) : 0;
}
