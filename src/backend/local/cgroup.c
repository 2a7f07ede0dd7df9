#include "backend/local/cgroup.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMOVE_TRIES_MAX 64
#define REMOVE_WAIT_MS	 2000 /* for one process that is on its way out */
#define CPU_PERIOD_US	 100000u

const char *const cgroup_names[CGROUP_KINDS] = {"memory", "cpu", "pids"};

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX + 64];
	int fd, rc = 0;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static bool read_file(const char *dir, const char *name, char *out, size_t size)
{
	char path[PATH_MAX + 64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, out, size - 1);
	close(fd);
	out[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

/* Whether `word` is one of the words of `text`, which `separators` part. */
static bool has_word(const char *text, const char *separators, const char *word)
{
	size_t len = strlen(word);

	while (*text) {
		size_t next = strcspn(text, separators);

		if (next == len && !memcmp(text, word, len))
			return true;
		text += next;
		text += strspn(text, separators);
	}
	return false;
}

/* Our own group for `controller` ("" for version 2), as /proc/self/cgroup names it. */
static bool own_group(const char *controller, char *out, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX + 256];
	bool found = false;

	while (file && !found && fgets(line, sizeof line, file)) {
		char *names = strchr(line, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		names++;
		found = controller[0] ? has_word(names, ",", controller) : !names[0];
		if (found)
			snprintf(out, size, "%s", path);
	}
	if (file)
		fclose(file);
	return found;
}

/* The mount of the hierarchy with `controller` ("": version 2), and which part of the hierarchy it shows. */
static bool find_mount(const char *controller, char *root, char *point)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[3 * PATH_MAX];
	bool found = false;

	while (file && !found && fgets(line, sizeof line, file)) {
		const char *rest = strstr(line, " - ");
		char type[32], options[1024];

		if (!rest || sscanf(rest + 3, "%31s %*s %1023s", type, options) != 2)
			continue;
		if (controller[0] ? strcmp(type, "cgroup") || !has_word(options, ",", controller)
				  : strcmp(type, "cgroup2") != 0)
			continue;
		found = sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) == 2;
	}
	if (file)
		fclose(file);
	return found;
}

/* The directory of our own group, and in `ret_top` the length of the mount point in it. */
static bool own_directory(const char *controller, char out[PATH_MAX], size_t *ret_top)
{
	char group[PATH_MAX], root[PATH_MAX], point[PATH_MAX];
	const char *below;
	size_t len;

	if (!own_group(controller, group, sizeof group) || !find_mount(controller, root, point))
		return false;
	len = strcmp(root, "/") ? strlen(root) : 0;
	/* In a container the mount may show only the part from our own group down. */
	below = !strncmp(group, root, len) && (group[len] == '/' || !group[len]) ? group + len : "/";
	if (strstr(below, "/..") ||
	    snprintf(out, PATH_MAX - 128, "%s%s", point, strcmp(below, "/") ? below : "") >= PATH_MAX - 128)
		return false;
	*ret_top = strlen(point);
	return true;
}

/* Makes DIR/aviatofs, the parent of all our groups there. */
static bool make_parent(const char *dir, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%.*s/aviatofs", PATH_MAX - 64, dir);
	return mkdir(out, 0755) == 0 || (errno == EEXIST && access(out, W_OK | X_OK) == 0);
}

static void probe_v1(enum cgroup_kind kind, struct cgroup_place *ret)
{
	char dir[PATH_MAX], parent[PATH_MAX];
	size_t top;

	if (!own_directory(cgroup_names[kind], dir, &top) || !make_parent(dir, parent))
		return;
	rmdir(parent);
	ret->version = 1;
	memcpy(ret->dir, parent, sizeof parent);
}

static bool enable(const char *dir, const char *controller)
{
	char text[1024], request[32];

	if (read_file(dir, "cgroup.subtree_control", text, sizeof text) && has_word(text, " \n", controller))
		return true;
	snprintf(request, sizeof request, "+%s", controller);
	return write_file(dir, "cgroup.subtree_control", request) == 0;
}

/*
 * A group of version 2 holds either processes or controlled children, so the
 * place is a group above our own; and whoever moves a process must be allowed
 * to write cgroup.procs of the group that is above both ends.
 */
static void probe_v2(enum cgroup_kind kind, struct cgroup_place *ret)
{
	char dir[PATH_MAX], parent[PATH_MAX], procs[PATH_MAX + 16];
	size_t top;

	if (!own_directory("", dir, &top))
		return;
	for (;;) {
		char *slash;

		snprintf(procs, sizeof procs, "%s/cgroup.procs", dir);
		if (access(dir, W_OK) == 0 && access(procs, W_OK) == 0 && enable(dir, cgroup_names[kind]) &&
		    make_parent(dir, parent)) {
			if (enable(parent, cgroup_names[kind])) {
				rmdir(parent);
				ret->version = 2;
				memcpy(ret->dir, parent, sizeof parent);
				return;
			}
			rmdir(parent);
		}
		slash = strrchr(dir, '/');
		if (strlen(dir) <= top || !slash)
			return;
		*slash = '\0';
	}
}

void cgroup_probe(struct cgroup_places *ret)
{
	memset(ret, 0, sizeof *ret);
	for (int kind = 0; kind < CGROUP_KINDS; kind++) {
		probe_v2((enum cgroup_kind)kind, &ret->place[kind]);
		if (!ret->place[kind].dir[0])
			probe_v1((enum cgroup_kind)kind, &ret->place[kind]);
	}
}

static int set_memory(const char *dir, int version, uint64_t bytes)
{
	char text[24];
	int rc;

	snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
	rc = write_file(dir, version == 2 ? "memory.max" : "memory.limit_in_bytes", text);
	if (rc)
		return rc;
	/* Swap is not a way round the limit; kernels without swap accounting have no such file. */
	rc = version == 2 ? write_file(dir, "memory.swap.max", "0")
			  : write_file(dir, "memory.memsw.limit_in_bytes", text);
	return rc == -ENOENT ? 0 : rc;
}

static int set_cpu(const char *dir, int version, uint64_t millicpus)
{
	char text[64];
	uint64_t quota = millicpus * (CPU_PERIOD_US / 1000);

	if (quota < 1000)
		quota = 1000; /* the least the kernel takes */
	if (version == 2) {
		snprintf(text, sizeof text, "%llu %u", (unsigned long long)quota, CPU_PERIOD_US);
		return write_file(dir, "cpu.max", text);
	}
	snprintf(text, sizeof text, "%u", CPU_PERIOD_US);
	if (write_file(dir, "cpu.cfs_period_us", text))
		return -EIO;
	snprintf(text, sizeof text, "%llu", (unsigned long long)quota);
	return write_file(dir, "cpu.cfs_quota_us", text);
}

static int set_pids(const char *dir, int version, uint64_t count)
{
	char text[24];

	(void)version; /* the file is the same in both */
	snprintf(text, sizeof text, "%llu", (unsigned long long)count);
	return write_file(dir, "pids.max", text);
}

static int (*const setters[CGROUP_KINDS])(const char *dir, int version, uint64_t value) = {set_memory,
											   set_cpu, set_pids};

static int make_one(const struct cgroup_place *place, enum cgroup_kind kind, const char *id, char *dir)
{
	/* The parent goes when its last group goes, perhaps just now by another mount. */
	for (int try = 0; try < REMOVE_TRIES_MAX; try++) {
		if (mkdir(place->dir, 0755) && errno != EEXIST)
			return -errno;
		if (place->version == 2 && !enable(place->dir, cgroup_names[kind]))
			return -EOPNOTSUPP;
		snprintf(dir, PATH_MAX, "%.*s/%s", PATH_MAX - 64, place->dir, id);
		if (mkdir(dir, 0755) == 0 || errno == EEXIST)
			return 0;
		if (errno != ENOENT)
			return -errno;
	}
	return -EAGAIN;
}

int cgroup_make(const struct cgroup_places *places, const char *id, const struct cgroup_limits *limits,
		struct cgroup *ret, struct error *err)
{
	struct cgroup g = {{NULL}};

	for (int kind = 0; kind < CGROUP_KINDS; kind++) {
		const struct cgroup_place *place = &places->place[kind];
		char dir[PATH_MAX];
		int rc;

		if (!limits->value[kind])
			continue;
		rc = make_one(place, (enum cgroup_kind)kind, id, dir);
		if (!rc)
			g.dir[kind] = strdup(dir);
		if (!rc)
			rc = g.dir[kind] ? setters[kind](dir, place->version, limits->value[kind]) : -ENOMEM;
		if (!rc)
			continue;
		for (int i = 0; i <= kind; i++)
			if (g.dir[i])
				cgroup_remove(g.dir[i]);
		cgroup_free(&g);
		return error_errno(err, -rc, "LIMIT_UNAVAILABLE", "cannot set the limit on %s in %s",
				   cgroup_names[kind], place->dir);
	}
	*ret = g;
	return 0;
}

int cgroup_open(const struct cgroup *g, int ret[CGROUP_KINDS])
{
	int count = 0;

	for (int kind = 0; kind < CGROUP_KINDS; kind++) {
		char path[PATH_MAX + 16];
		bool seen = false;

		for (int i = 0; i < kind && g->dir[kind]; i++)
			seen = seen || (g->dir[i] && !strcmp(g->dir[i], g->dir[kind]));
		if (!g->dir[kind] || seen)
			continue;
		snprintf(path, sizeof path, "%s/cgroup.procs", g->dir[kind]);
		ret[count] = open(path, O_WRONLY | O_CLOEXEC);
		if (ret[count] < 0) {
			int rc = -errno;

			while (count--)
				close(ret[count]);
			return rc;
		}
		count++;
	}
	return count;
}

bool cgroup_out_of_memory(const struct cgroup *g)
{
	const char *dir = g->dir[CGROUP_MEMORY];
	char text[1024];
	const char *line;

	if (!dir || (!read_file(dir, "memory.events", text, sizeof text) &&
		     !read_file(dir, "memory.oom_control", text, sizeof text)))
		return false;
	line = strstr(text, "oom_kill ");
	return line && strtoull(line + strlen("oom_kill "), NULL, 10) > 0;
}

/* Waits for the end of one process that is still inside; false when there is nobody to wait for. */
static bool wait_for_member(const char *dir)
{
	char text[4096];
	struct pollfd end = {.events = POLLIN};
	long pid;

	if (!read_file(dir, "cgroup.procs", text, sizeof text))
		return false;
	pid = strtol(text, NULL, 10);
	if (pid <= 0)
		return false;
	end.fd = pidfd_open((pid_t)pid, 0);
	if (end.fd < 0)
		return errno == ESRCH;
	poll(&end, 1, REMOVE_WAIT_MS);
	close(end.fd);
	return end.revents != 0;
}

void cgroup_remove(const char *dir)
{
	char parent[PATH_MAX];
	char *slash;

	for (int try = 0; rmdir(dir) && errno == EBUSY; try++)
		if (try == REMOVE_TRIES_MAX || !wait_for_member(dir)) {
			log_warn("%s: processes stay in it: not removed", dir);
			return;
		}
	snprintf(parent, sizeof parent, "%s", dir);
	slash = strrchr(parent, '/');
	if (slash) {
		*slash = '\0';
		rmdir(parent); /* unless others are in it */
	}
}

void cgroup_free(struct cgroup *g)
{
	for (int kind = 0; kind < CGROUP_KINDS; kind++) {
		free(g->dir[kind]);
		g->dir[kind] = NULL;
	}
}
