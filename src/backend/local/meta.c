#include "backend/local/meta.h"

#include "backend/local/store.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A config may hold CONFIG_TEXT_MAX bytes per key, JSON up to six for one. */
#define META_MAX	(((size_t)CONFIG_TEXT_MAX * CONFIG_KEYS * 6) + 65536)
#define VERSION_OF_FILE 1

void meta_boot(char out[40])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, 36);

	if (fd >= 0)
		close(fd);
	out[n < 0 ? 0 : n] = '\0';
}

uint64_t process_started(pid_t pid)
{
	char path[32], text[1024];
	unsigned long long started = 0;
	const char *rest;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* The second field is the program's name and may hold anything, ')' too. */
	rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1,
		   " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
		   &started) != 1)
		return 0;
	return started;
}

void meta_free(struct meta *m)
{
	config_free(&m->config);
	cgroup_free(&m->cgroup);
}

static cJSON *to_json(const struct meta *m)
{
	cJSON *json = cJSON_CreateObject();
	cJSON *config = cJSON_AddObjectToObject(json, "config");
	cJSON *cgroups = cJSON_AddObjectToObject(json, "cgroups");
	char started[24];
	bool good = config && cgroups;

	snprintf(started, sizeof started, "%llu", (unsigned long long)m->agent_started);
	good = good && cJSON_AddNumberToObject(json, "version", VERSION_OF_FILE) &&
	       cJSON_AddStringToObject(json, "id", m->id) &&
	       cJSON_AddStringToObject(json, "session", m->session) &&
	       cJSON_AddStringToObject(json, "name", m->name) &&
	       cJSON_AddNumberToObject(json, "created", (double)m->created) &&
	       cJSON_AddNumberToObject(json, "started", (double)m->started) &&
	       cJSON_AddNumberToObject(json, "agent", m->agent) &&
	       cJSON_AddStringToObject(json, "agent_started", started) &&
	       cJSON_AddStringToObject(json, "boot", m->boot) &&
	       cJSON_AddBoolToObject(json, "pids_by_rlimit", m->pids_by_rlimit) &&
	       cJSON_AddBoolToObject(json, "kept", m->kept);
	for (int i = 0; good && i < CONFIG_KEYS; i++)
		if (m->config.text[i])
			good = cJSON_AddStringToObject(config, config_fields[i].name, m->config.text[i]);
	for (int i = 0; good && i < CGROUP_KINDS; i++)
		if (m->cgroup.dir[i])
			good = cJSON_AddStringToObject(cgroups, cgroup_names[i], m->cgroup.dir[i]);
	if (good)
		return json;
	cJSON_Delete(json);
	return NULL;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int meta_write(int dir, const struct meta *m, struct error *err)
{
	cJSON *json = to_json(m);
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;
	int fd, rc;

	cJSON_Delete(json);
	if (!text)
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	fd = openat(dir, "meta.json.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : write_all(fd, text, strlen(text));
	free(text);
	if (fd >= 0)
		close(fd);
	if (!rc && renameat(dir, "meta.json.new", dir, "meta.json"))
		rc = -errno;
	if (rc)
		return error_errno(err, -rc, rc == -ENOSPC || rc == -EDQUOT ? "NO_SPACE" : "STATE_DIR",
				   "cannot write the sandbox's meta.json");
	return 0;
}

static char *read_text(int dir, int *ret_code)
{
	int fd = openat(dir, "meta.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *text = NULL;
	size_t have = 0;

	*ret_code = fd < 0 ? errno : 0;
	if (fd < 0)
		return NULL;
	*ret_code = EINVAL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (size_t)st.st_size > META_MAX)
		goto out;
	text = malloc((size_t)st.st_size + 1);
	while (text && have < (size_t)st.st_size) {
		ssize_t n = read(fd, text + have, (size_t)st.st_size - have);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (text)
		text[have] = '\0';
	else
		*ret_code = ENOMEM;
out:
	close(fd);
	return text;
}

static bool take_text(const cJSON *json, const char *key, char *out, size_t size)
{
	const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));

	if (!value || strlen(value) >= size)
		return false;
	memcpy(out, value, strlen(value) + 1);
	return true;
}

static bool take_number(const cJSON *json, const char *key, double max, double *ret)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);

	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= max))
		return false;
	*ret = item->valuedouble;
	return true;
}

static bool take_config(const cJSON *json, struct config *ret)
{
	const cJSON *config = cJSON_GetObjectItemCaseSensitive(json, "config");

	if (!cJSON_IsObject(config))
		return false;
	for (int i = 0; i < CONFIG_KEYS; i++) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, config_fields[i].name);
		const char *text = cJSON_GetStringValue(item);

		if (item && (!text || config_set(ret, (enum config_key)i, text, NULL)))
			return false;
	}
	return true;
}

static bool take_cgroups(const cJSON *json, struct cgroup *ret)
{
	const cJSON *cgroups = cJSON_GetObjectItemCaseSensitive(json, "cgroups");

	for (int i = 0; i < CGROUP_KINDS; i++) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(cgroups, cgroup_names[i]);
		const char *path = cJSON_GetStringValue(item);

		if (item && (!path || !(ret->dir[i] = strdup(path))))
			return false;
	}
	return true;
}

static bool from_json(const cJSON *json, struct meta *ret)
{
	char started[24];
	double version, created, begun, agent;

	if (!take_number(json, "version", VERSION_OF_FILE, &version) || version != VERSION_OF_FILE ||
	    !take_text(json, "id", ret->id, sizeof ret->id) || !store_valid_id(ret->id) ||
	    !take_text(json, "session", ret->session, sizeof ret->session) ||
	    !take_text(json, "name", ret->name, sizeof ret->name) ||
	    !take_text(json, "boot", ret->boot, sizeof ret->boot) ||
	    !take_text(json, "agent_started", started, sizeof started) ||
	    !take_number(json, "created", 1e15, &created) || !take_number(json, "agent", INT_MAX, &agent) ||
	    !take_config(json, &ret->config) || !take_cgroups(json, &ret->cgroup))
		return false;
	ret->created = (time_t)created;
	ret->started = take_number(json, "started", 1e15, &begun) ? (time_t)begun : 0;
	ret->agent = (pid_t)agent;
	ret->agent_started = strtoull(started, NULL, 10);
	ret->pids_by_rlimit = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "pids_by_rlimit"));
	ret->kept = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "kept"));
	return true;
}

int meta_read(int dir, struct meta *ret, struct error *err)
{
	struct meta m = {0};
	int code;
	char *text = read_text(dir, &code);
	cJSON *json = text ? cJSON_Parse(text) : NULL;
	bool good = json && from_json(json, &m);

	free(text);
	cJSON_Delete(json);
	if (good) {
		*ret = m;
		return 0;
	}
	meta_free(&m);
	return error_errno(err, code, "BAD_META", "meta.json");
}
