/* The table core calls, and opening and closing it all. */
#include "backend/local/instance.h"

#include "backend/local/compare.h"
#include "backend/local/image.h"
#include "backend/local/long_work.h"
#include "backend/local/seccomp.h"
#include "backend/local/snapshots.h"
#include "base/installed.h"
#include "base/log.h"
#include "base/loop.h"
#include "channel/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGENT_MAX (16u << 20) /* bytes; a debug build is the largest */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

/* --- Judging settings --- */

#define PIDS_MOST 4194304 /* PID_MAX_LIMIT */

static int check_limit(const struct local *l, const struct config *c, enum config_key key,
		       enum cgroup_kind kind, struct error *err)
{
	if (kind == CGROUP_PIDS && config_number(c, key) > PIDS_MOST)
		return error_set(err, EINVAL, "INVALID_VALUE", "pids: the kernel counts to %d", PIDS_MOST);
	if (!config_text(c, key)[0] || l->places.place[kind].dir[0])
		return 0;
	if (kind == CGROUP_PIDS && geteuid() != 0)
		return 0; /* kept by a resource limit */
	return error_set(
	    err, EOPNOTSUPP, "LIMIT_UNAVAILABLE",
	    "%s: this limit cannot be kept here: no control group with the %s controller can be made",
	    config_fields[key].name, cgroup_names[kind]);
}

static int check_network(const char *network, struct error *err)
{
	if (!network[0] || !strcmp(network, "none") || !strcmp(network, "host"))
		return 0;
	return error_set(err, EINVAL, "INVALID_VALUE",
			 "network: a local sandbox has \"none\" or \"host\", not \"%.80s\"", network);
}

static int check_spec(const char *text, struct error *err)
{
	cJSON *spec = text[0] ? cJSON_Parse(text) : NULL;
	int rc = 0;

	if (text[0] && !cJSON_IsObject(spec))
		rc = error_set(err, EINVAL, "INVALID_VALUE", "spec: not a JSON object");
	else if (spec && spec->child)
		rc = error_set(err, EOPNOTSUPP, "UNSUPPORTED", "spec: a local sandbox has no \"%.80s\"",
			       spec->child->string);
	cJSON_Delete(spec);
	return rc;
}

static int local_check(struct backend *b, const struct config *c, struct error *err)
{
	struct local *l = (struct local *)b;
	int rc = image_check(config_text(c, CONFIG_IMAGE), err);

	if (!rc)
		rc = snapshot_check(&l->store, c, err);
	if (!rc)
		rc = check_network(config_text(c, CONFIG_NETWORK), err);
	if (!rc)
		rc = check_spec(config_text(c, CONFIG_SPEC), err);
	if (!rc && config_text(c, CONFIG_GPU)[0])
		rc = error_set(err, EOPNOTSUPP, "UNSUPPORTED", "gpu: a local sandbox has no GPU");
	if (!rc)
		rc = check_limit(l, c, CONFIG_MEMORY, CGROUP_MEMORY, err);
	if (!rc)
		rc = check_limit(l, c, CONFIG_CPU, CGROUP_CPU, err);
	return rc ? rc : check_limit(l, c, CONFIG_PIDS, CGROUP_PIDS, err);
}

/* --- Starting --- */

static void launch_work(void *arg)
{
	struct instance *i = arg;

	core_lock();
	sandbox_creating(i->sandbox);
	core_unlock();
	if (instance_launch(i) && !i->error.code)
		error_set(&i->error, EIO, "START_FAILED", "the sandbox could not be started");
}

static void launch_failed(struct instance *i)
{
	i->phase = PHASE_ENDED;
	sandbox_ended(i->sandbox, i->stopping ? END_TERMINATED : END_FAILED, i->stopping ? NULL : &i->error);
}

static void launch_done(void *arg)
{
	struct instance *i = arg;

	core_lock();
	if (!i->error.code && !(i->pipe = socket_pipe(i->socket)))
		error_set(&i->error, ENOMEM, "NO_MEMORY", "out of memory");
	if (i->error.code && i->agent_fd < 0) {
		launch_failed(i);
		core_unlock();
		return;
	}
	i->phase = PHASE_RUNNING;
	if (i->pipe) {
		sandbox_tell_start(i->sandbox, i->meta.started);
		sandbox_connected(i->sandbox, i->pipe, i->spool);
		i->socket = i->spool = -1;
	}
	if (!i->pipe || i->stopping)
		instance_kill(i, i->pipe ? i->grace_ms : 0);
	else if (i->keep_wanted)
		instance_keep(i);
	core_unlock();
	instance_watch(i);
}

static struct instance *prepare(struct local *l, struct sandbox *s)
{
	const struct config *levels[] = {sandbox_config(s)};
	struct instance *i = instance_new(l, s);

	if (!i)
		return NULL;
	snprintf(i->meta.id, sizeof i->meta.id, "%s", sandbox_id(s));
	snprintf(i->meta.session, sizeof i->meta.session, "%s", sandbox_session_name(s));
	snprintf(i->meta.name, sizeof i->meta.name, "%s", sandbox_name(s));
	i->meta.created = sandbox_created(s);
	i->meta.started = time(NULL);
	/* A copy: the launch reads it without the lock. */
	if (!config_merge(levels, 1, &i->meta.config))
		return i;
	instance_release(i);
	return NULL;
}

static void local_start(struct backend *b, struct sandbox *s)
{
	struct instance *i = prepare((struct local *)b, s);
	struct error err;

	bool copies = config_text(sandbox_config(s), CONFIG_FROM)[0];

	if (i && (copies ? long_work : loop_work)(launch_work, launch_done, i) == 0) {
		sandbox_set_instance(s, i);
		return;
	}
	if (i)
		instance_release(i);
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	sandbox_ended(s, END_FAILED, &err);
}

/* --- Ending --- */

/* The polite part, SHUTDOWN, went over the channel with the same grace; this is for an agent that does not
 * listen. */
#define KILL_MARGIN_MS 500u

static void local_stop(struct backend *b, struct sandbox *s, uint32_t grace_ms)
{
	struct instance *i = sandbox_instance(s);
	uint32_t ms =
	    grace_ms && grace_ms < UINT32_MAX - KILL_MARGIN_MS ? grace_ms + KILL_MARGIN_MS : grace_ms;

	(void)b;
	if (!i) {
		sandbox_ended(s, END_TERMINATED, NULL);
		return;
	}
	i->stopping = true;
	i->grace_ms = ms;
	if (i->phase == PHASE_LAUNCHING)
		atomic_store(&i->going, true);
	if (i->phase == PHASE_RUNNING)
		instance_kill(i, ms);
}

static void local_reconnect(struct backend *b, struct sandbox *s)
{
	(void)b;
	instance_reconnect(sandbox_instance(s));
}

static void removed_posted(void *arg)
{
	core_lock();
	sandbox_removed(arg);
	core_unlock();
}

/* Nothing was ever made. */
static void report_removed(struct sandbox *s)
{
	if (loop_post(removed_posted, s))
		sandbox_removed(s);
}

static void local_remove(struct backend *b, struct sandbox *s)
{
	(void)b;
	if (sandbox_instance(s))
		instance_remove(sandbox_instance(s));
	else
		report_removed(s);
}

static void local_keep(struct backend *b, struct sandbox *s)
{
	(void)b;
	if (sandbox_instance(s))
		instance_keep(sandbox_instance(s));
	else
		report_removed(s);
}

/* --- Looking inside --- */

static int local_root(struct backend *b, struct sandbox *s)
{
	struct instance *i = sandbox_instance(s);
	struct pollfd end = {.events = POLLIN};
	char path[32];
	int fd;

	(void)b;
	if (!i || i->phase != PHASE_RUNNING)
		return -ESHUTDOWN;
	snprintf(path, sizeof path, "/proc/%d/root", (int)i->meta.agent);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ESRCH ? -ESHUTDOWN : -errno;
	/* Alive after the open: so the number was still the agent's when it was opened. */
	end.fd = i->agent_fd;
	if (poll(&end, 1, 0) == 0)
		return fd;
	close(fd);
	return -ESHUTDOWN;
}

static void describe_limit(cJSON *limits, const struct instance *i, enum cgroup_kind kind, const char *value)
{
	cJSON *limit;
	char how[32];

	if (!i->meta.cgroup.dir[kind] && !(kind == CGROUP_PIDS && i->meta.pids_by_rlimit))
		return;
	snprintf(how, sizeof how, "cgroup v%d", i->local->places.place[kind].version);
	limit = cJSON_AddObjectToObject(limits, cgroup_names[kind]);
	cJSON_AddStringToObject(limit, "value", value);
	cJSON_AddStringToObject(limit, "kept_by", i->meta.cgroup.dir[kind] ? how : "rlimit");
}

static void describe_limits(cJSON *info, const struct instance *i)
{
	const struct config *c = &i->meta.config;
	cJSON *limits = cJSON_AddObjectToObject(info, "limits");
	char pids[24];

	snprintf(pids, sizeof pids, "%u", PIDS_DEFAULT);
	describe_limit(limits, i, CGROUP_MEMORY, config_text(c, CONFIG_MEMORY));
	describe_limit(limits, i, CGROUP_CPU, config_text(c, CONFIG_CPU));
	describe_limit(limits, i, CGROUP_PIDS,
		       config_number(c, CONFIG_PIDS) ? config_text(c, CONFIG_PIDS) : pids);
}

static void local_describe(struct backend *b, struct sandbox *s, cJSON *info)
{
	static const char *const isolation[] = {
	    "user namespace",  "pid namespace",	     "mount namespace",	   "network namespace",
	    "ipc namespace",   "uts namespace",	     "cgroup namespace",   "no new privileges",
	    "no capabilities", "system call filter", "own /proc and /dev",
	};
	const struct instance *i = sandbox_instance(s);
	const char *image, *network;
	char path[PATH_MAX];
	cJSON *list;

	(void)b;
	if (!i || i->phase == PHASE_LAUNCHING)
		return;
	image = config_text(&i->meta.config, CONFIG_IMAGE);
	network = config_text(&i->meta.config, CONFIG_NETWORK);
	cJSON_AddStringToObject(info, "image", image[0] ? image : "host");
	cJSON_AddStringToObject(info, "network", network[0] ? network : "none");
	list = cJSON_AddArrayToObject(info, "isolation");
	for (size_t n = 0; n < sizeof isolation / sizeof *isolation; n++)
		if (strcmp(isolation[n], "network namespace") || strcmp(network, "host"))
			cJSON_AddItemToArray(list, cJSON_CreateString(isolation[n]));
	describe_limits(info, i);
	if (i->meta.agent)
		cJSON_AddNumberToObject(info, "agent_pid", i->meta.agent);
	snprintf(path, sizeof path, "%s/%s", i->local->store.path, i->meta.id);
	cJSON_AddStringToObject(info, "directory", path);
}

/* --- Opening and closing --- */

static void local_free(struct local *l)
{
	if (l->store.path)
		store_close(&l->store);
	if (l->agent >= 0)
		close(l->agent);
	if (l->seccomp >= 0)
		close(l->seccomp);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->idle);
	free(l->bwrap);
	free(l);
}

/* The loop must still run: removals under way end there. */
static void local_close(struct backend *b)
{
	struct local *l = (struct local *)b;

	pthread_mutex_lock(&l->lock);
	while (l->jobs)
		pthread_cond_wait(&l->idle, &l->lock);
	pthread_mutex_unlock(&l->lock);
	local_free(l);
}

static int find_bwrap(char **ret, struct error *err)
{
	const char *path = getenv("PATH");
	char *copy = strdup(path ? path : ""), *rest = copy;
	struct stat st;
	char *dir;

	*ret = NULL;
	while (copy && !*ret && (dir = strsep(&rest, ":")))
		if (dir[0] == '/' && asprintf(ret, "%s/bwrap", dir) >= 0 &&
		    (access(*ret, X_OK) || stat(*ret, &st) || !S_ISREG(st.st_mode))) {
			free(*ret);
			*ret = NULL;
		}
	free(copy);
	if (!*ret && access("/usr/bin/bwrap", X_OK) == 0)
		*ret = strdup("/usr/bin/bwrap");
	if (!*ret)
		return error_set(err, ENOENT, "BUBBLEWRAP_MISSING",
				 "bwrap is not installed: apt install bubblewrap");
	/*
	 * A setuid bwrap does its mounts with root's rights on paths that users
	 * choose, and had holes for it (CVE-2020-5291, CVE-2026-41163);
	 * bubblewrap 0.12 gave the mode up. It works, so it is not refused.
	 */
	if (stat(*ret, &st) == 0 && st.st_mode & S_ISUID)
		log_warn("%s is setuid root, which it need not be: chmod u-s %s", *ret, *ret);
	return 0;
}

static int open_agent(const char *path, struct error *err)
{
	char found[PATH_MAX];
	int fd;

	if (!path && installed_path("aviatofs-agent", R_OK, found))
		return error_set(err, ENOENT, "AGENT_MISSING",
				 "aviatofs-agent is neither beside this program nor in %s: make install",
				 LIBEXECDIR);
	path = path ? path : found;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : error_errno(err, errno, "AGENT_MISSING", "the agent %.200s", path);
}

static int new_program_file(void)
{
	int fd = memfd_create("aviatofs-agent", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	/* Before Linux 6.3 the flag was unknown and the right to run implied. */
	return fd < 0 && errno == EINVAL ? memfd_create("aviatofs-agent", MFD_CLOEXEC | MFD_ALLOW_SEALING)
					 : fd;
}

/*
 * The program every sandbox runs first, as a sealed copy. Were it the file
 * itself, a sandbox of root's could open it for writing by /proc/1/exe, as in
 * CVE-2019-5736; and an upgrade would change it under running mounts.
 */
static int load_agent(const char *path, struct error *err)
{
	int from = open_agent(path, err);
	char block[65536];
	size_t total = 0;
	ssize_t n;
	int to;

	if (from < 0)
		return from;
	to = new_program_file();
	while (to >= 0 && (n = read(from, block, sizeof block)) > 0 && (total += (size_t)n) <= AGENT_MAX)
		if (write(to, block, (size_t)n) != n)
			break;
	if (to >= 0 && n == 0 && total > 0 && fchmod(to, 0555) == 0 &&
	    fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0) {
		close(from);
		return to;
	}
	error_errno(err, to < 0 || errno ? errno : EIO, "AGENT_MISSING", "the agent cannot be loaded");
	close(from);
	if (to >= 0)
		close(to);
	return -EIO;
}

static const struct backend_ops local_ops = {
    .name = "local",
    .defaults = {[CONFIG_IMAGE] = "host",
		 [CONFIG_NETWORK] = "none",
		 [CONFIG_CWD] = "/workspace",
		 [CONFIG_LIFETIME] = "30d"},
    .check = local_check,
    .find = local_find,
    .start = local_start,
    .reconnect = local_reconnect,
    .stop = local_stop,
    .remove = local_remove,
    .keep = local_keep,
    .list = local_list,
    .attach = local_attach,
    .renamed = local_renamed,
    .compare = local_compare,
    .snapshot = local_snapshot,
    .snapshot_remove = local_snapshot_remove,
    .snapshot_root = local_snapshot_root,
    .root = local_root,
    .describe = local_describe,
    .close = local_close,
};

int local_open(const struct local_options *options, struct backend **ret, struct error *err)
{
	struct local *l = calloc(1, sizeof *l);
	int rc;

	if (!l)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	l->ops = local_ops;
	l->backend.ops = &l->ops;
	l->agent = l->seccomp = -1;
	l->orphan_timeout_s = options->orphan_timeout_s;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->idle, NULL);
	rc = find_bwrap(&l->bwrap, err);
	if (!rc)
		rc = (l->agent = load_agent(options->agent_path, err)) < 0 ? l->agent : 0;
	if (!rc)
		rc = (l->seccomp = seccomp_compile(err)) < 0 ? l->seccomp : 0;
	if (!rc)
		rc = store_open(options->state_dir, options->source_name ? options->source_name : "",
				&l->store, err);
	if (rc) {
		local_free(l);
		return rc;
	}
	/* Agents lose their parent, bwrap, when they stand: they become our children then, and we reap them.
	 */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	cgroup_probe(&l->places);
	if (l->places.place[CGROUP_PIDS].dir[0] || geteuid() != 0)
		l->ops.defaults[CONFIG_PIDS] = "4096";
	*ret = &l->backend;
	return 0;
}
