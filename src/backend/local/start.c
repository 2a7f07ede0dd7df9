/* What a pool thread does to start one sandbox. */
#include "backend/local/instance.h"

#include "backend/local/image.h"
#include "backend/local/launch.h"
#include "backend/local/snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A socket's path holds 107 bytes; a state directory's may be longer. So the home goes by its descriptor. */
static void socket_address(const struct home *home, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->sun_family = AF_UNIX;
	snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/agent.sock", home->dir);
}

static int make_listener(const struct home *home)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	socket_address(home, &address);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 4) == 0)
		return fd;
	close(fd);
	return -errno;
}

int instance_connect(const struct home *home)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int code;

	if (fd < 0)
		return -errno;
	socket_address(home, &address);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	code = errno;
	close(fd);
	return -code;
}

/*
 * The spool directory as the agent gets it. Its descriptor is the one thing of
 * the host's file system inside: as root it is made a mount of its own, from
 * which ".." leads nowhere. The shared lock lives as long as the agent, which
 * is how a later mount sees that one is there.
 */
static int open_spool(int home)
{
	int fd = -1;

	if (mkdirat(home, "spool", 0700))
		return -errno;
	if (geteuid() == 0) {
		int tree = (int)syscall(SYS_open_tree, home, "spool", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

		if (tree >= 0) {
			fd = openat(tree, ".", OPEN_DIR);
			close(tree);
		}
	}
	if (fd < 0)
		fd = openat(home, "spool", OPEN_DIR);
	if (fd >= 0 && flock(fd, LOCK_SH) == 0)
		return fd;
	return -errno;
}

static bool wants_network(const struct config *c)
{
	return !strcmp(config_text(c, CONFIG_NETWORK), "host");
}

static int make_limits(struct instance *i)
{
	const struct cgroup_places *places = &i->local->places;
	const struct config *c = &i->meta.config;
	struct cgroup_limits limits = {
	    {config_bytes(c, CONFIG_MEMORY), config_millicpus(c, CONFIG_CPU), config_number(c, CONFIG_PIDS)}};

	if (!limits.value[CGROUP_PIDS])
		limits.value[CGROUP_PIDS] = PIDS_DEFAULT;
	if (!places->place[CGROUP_PIDS].dir[0]) {
		/* The kernel counts root's processes against no limit of this kind. */
		i->meta.pids_by_rlimit = geteuid() != 0;
		if (!i->meta.pids_by_rlimit && config_number(c, CONFIG_PIDS))
			return error_set(
			    &i->error, EOPNOTSUPP, "LIMIT_UNAVAILABLE",
			    "the limit on processes cannot be kept: no control group can be made");
		limits.value[CGROUP_PIDS] = 0;
	}
	for (int kind = 0; kind < CGROUP_PIDS; kind++)
		if (limits.value[kind] && !places->place[kind].dir[0])
			return error_set(&i->error, EOPNOTSUPP, "LIMIT_UNAVAILABLE",
					 "the limit on %s cannot be kept: no control group can be made",
					 cgroup_names[kind]);
	return cgroup_make(places, i->meta.id, &limits, &i->meta.cgroup, &i->error);
}

/* What the sandbox was inside a user namespace of its own cannot be counted there before it exists. */
static int limit_processes(struct instance *i)
{
	uint64_t count = config_number(&i->meta.config, CONFIG_PIDS);
	struct rlimit ours, limit;

	if (!i->meta.pids_by_rlimit)
		return 0;
	if (!count)
		count = PIDS_DEFAULT;
	/* What this user is held to already holds there too, and is not ours to raise. */
	if (getrlimit(RLIMIT_NPROC, &ours) == 0 && count > ours.rlim_max)
		count = ours.rlim_max;
	limit.rlim_cur = limit.rlim_max = count;
	if (prlimit(i->meta.agent, RLIMIT_NPROC, &limit, NULL))
		return error_errno(&i->error, errno, "LIMIT_UNAVAILABLE",
				   "cannot limit the number of processes");
	return 0;
}

static void add_isolation(struct instance *i, struct arguments *args)
{
	char root[PATH_MAX];
	struct isolation isolation = {
	    .hostname = i->meta.name,
	    .root = root,
	    .network = wants_network(&i->meta.config),
	    .seccomp_fd = LAUNCH_SECCOMP,
	    .info_fd = LAUNCH_INFO,
	};

	if (snprintf(root, sizeof root, "%s/%s/root", i->local->store.path, i->meta.id) >= (int)sizeof root)
		args->failed = true;
	arguments_isolation(args, &isolation);
}

/* Fills root/ from the host, or prepares an overlay, which only bwrap's process will see. */
static int make_root(struct instance *i, struct arguments *args)
{
	const char *image = config_text(&i->meta.config, CONFIG_IMAGE);
	bool network = wants_network(&i->meta.config);
	int root, rc;

	add_isolation(i, args);
	if (image_is_host(image)) {
		if (mkdirat(i->home.dir, "root", 0755) || (root = openat(i->home.dir, "root", OPEN_DIR)) < 0)
			return error_errno(&i->error, errno, errno == ENOSPC ? "NO_SPACE" : "IMAGE_FAILED",
					   "cannot make the sandbox's root");
		rc = image_host(root, network, false, args, &i->error);
		close(root);
	} else {
		rc = image_overlay(i->home.dir, image, network, &i->error);
	}
	arguments_kernel_files(args);
	return rc;
}

static int launch_once(struct instance *i, const struct arguments *args, const char *overlay_image,
		       int listener, int spool)
{
	struct local *l = i->local;
	uint32_t lifetime = config_seconds(&i->meta.config, CONFIG_LIFETIME);
	char path[32], home[PATH_MAX];
	struct launched run;
	struct launch launch_args = {
	    .bwrap = l->bwrap,
	    .arguments = args,
	    .agent = l->agent,
	    .listen = listener,
	    .spool = spool,
	    .overlay_image = overlay_image,
	    .overlay_home = home,
	    .orphan_timeout_s = l->orphan_timeout_s,
	    .lifetime_s = lifetime ? lifetime : LIFETIME_DEFAULT,
	};
	int rc;

	snprintf(home, sizeof home, "%s/%s", l->store.path, i->meta.id);
	launch_args.cgroup_count = cgroup_open(&i->meta.cgroup, launch_args.cgroups);
	if (launch_args.cgroup_count < 0)
		return error_errno(&i->error, -launch_args.cgroup_count, "LIMIT_UNAVAILABLE",
				   "cannot enter the sandbox's control group");
	/* bwrap reads the filter to its end: every start needs a position of its own. */
	snprintf(path, sizeof path, "/proc/self/fd/%d", l->seccomp);
	launch_args.seccomp = open(path, O_RDONLY | O_CLOEXEC);
	if (launch_args.seccomp < 0) {
		rc = error_errno(&i->error, errno, "START_FAILED", "cannot hand over the system call filter");
	} else {
		rc = launch(&launch_args, &run, &i->error);
		close(launch_args.seccomp);
	}
	for (int n = 0; n < launch_args.cgroup_count; n++)
		close(launch_args.cgroups[n]);
	if (rc && cgroup_out_of_memory(&i->meta.cgroup))
		return error_set(&i->error, ENOMEM, "OUT_OF_MEMORY",
				 "the sandbox used more memory than its limit allows");
	if (rc)
		return rc;
	i->agent_fd = run.agent_fd;
	i->meta.agent = run.agent;
	i->meta.agent_started = process_started(run.agent);
	return 0;
}

static int launch_fork(struct instance *i, int listener, int spool)
{
	struct arguments args;
	bool layer;
	int rc;

	arguments_init(&args);
	add_isolation(i, &args);
	rc = fork_root(i, wants_network(&i->meta.config), &args, &layer);
	arguments_kernel_files(&args);
	if (!rc)
		rc = launch_once(i, &args, layer ? config_text(&i->meta.config, CONFIG_IMAGE) : NULL,
				 listener, spool);
	arguments_free(&args);
	return rc;
}

/* With an overlay, or where none can be mounted with a copy. */
static int launch_either(struct instance *i, int listener, int spool)
{
	const char *image = config_text(&i->meta.config, CONFIG_IMAGE);
	struct copying copying = {.unwanted = instance_is_going, .arg = i}; /* the image stays as it is */
	struct arguments args;
	int rc;

	arguments_init(&args);
	rc = make_root(i, &args);
	if (!rc)
		rc = launch_once(i, &args, image_is_host(image) ? NULL : image, listener, spool);
	if (rc && !strcmp(i->error.reason, "OVERLAY")) {
		rc = image_copy(i->home.dir, image, wants_network(&i->meta.config), &copying, &i->error);
		if (!rc)
			rc = launch_once(i, &args, NULL, listener, spool);
	}
	if (!rc)
		memset(&i->error, 0, sizeof i->error); /* of the attempt that failed */
	arguments_free(&args);
	return rc;
}

static void undo_launch(struct instance *i)
{
	siginfo_t info;

	if (i->agent_fd < 0)
		return;
	pidfd_send_signal(i->agent_fd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)i->agent_fd, &info, WEXITED) && errno == EINTR)
		;
	close(i->agent_fd);
	i->agent_fd = -1;
}

/* The steps that need the agent running. */
static int settle(struct instance *i)
{
	int rc = limit_processes(i);

	if (!rc)
		rc = meta_write(i->home.dir, &i->meta, &i->error);
	if (rc)
		return rc;
	i->socket = instance_connect(&i->home);
	if (i->socket < 0)
		return error_errno(&i->error, -i->socket, "START_FAILED", "cannot connect to the agent");
	i->spool = openat(i->home.dir, "spool", OPEN_DIR);
	if (i->spool < 0)
		return error_errno(&i->error, errno, "START_FAILED", "cannot open the spool directory");
	return 0;
}

static int open_agent_ends(struct instance *i, int *ret_listener, int *ret_spool)
{
	int code;

	*ret_spool = open_spool(i->home.dir);
	*ret_listener = *ret_spool < 0 ? -1 : make_listener(&i->home);
	if (*ret_listener >= 0)
		return 0;
	code = *ret_spool < 0 ? -*ret_spool : -*ret_listener;
	return error_errno(&i->error, code, code == ENOSPC || code == EDQUOT ? "NO_SPACE" : "START_FAILED",
			   "cannot make the agent's spool and socket");
}

int instance_launch(struct instance *i)
{
	int listener = -1, spool = -1;
	int rc;

	rc = store_create(&i->local->store, i->meta.id, &i->home, &i->error);
	if (rc)
		return rc;
	meta_boot(i->meta.boot);
	rc = make_limits(i);
	if (!rc)
		rc = meta_write(i->home.dir, &i->meta, &i->error);
	if (!rc)
		rc = open_agent_ends(i, &listener, &spool);
	if (!rc)
		rc = config_text(&i->meta.config, CONFIG_FROM)[0] ? launch_fork(i, listener, spool)
								  : launch_either(i, listener, spool);
	/* The agent alone holds them now: its end closes the socket and drops the lock. */
	if (listener >= 0)
		close(listener);
	if (spool >= 0)
		close(spool);
	if (!rc)
		rc = settle(i);
	if (rc)
		undo_launch(i);
	return rc;
}
