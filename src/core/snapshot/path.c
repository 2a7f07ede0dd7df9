/* What config/from may say, and what is told of snapshots as JSON. */
#include "core/mount.h"
#include "core/roster.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Paths --- */

#define PARTS_MAX 8

/* The names of a path in the mount; "." and ".." are gone. -1: it leads out, or is too long to be one. */
static int split(char *text, const char **parts, int count)
{
	char *save = NULL;

	for (char *name = strtok_r(text, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			if (count == 0)
				return -1;
			count--;
			continue;
		}
		if (count == PARTS_MAX)
			return -1;
		parts[count++] = name;
	}
	return count;
}

static struct sandbox *sandbox_at(const char *const *parts, int count)
{
	struct object *session;

	if (count == 3 && strcmp(parts[0], ".ctl") == 0 && strcmp(parts[1], "sandboxes") == 0)
		return roster_find(parts[2]);
	if (count != 2)
		return NULL;
	session = object_child(&the_mount.object, parts[0]);
	return session ? (struct sandbox *)object_child(session, parts[1]) : NULL;
}

/* `text` below the directory of `near`, or below the mount. */
static struct snapshot *find_from(const struct session *near, const char *text)
{
	const char *parts[PARTS_MAX];
	struct snapshot *n = NULL;
	char *copy = strdup(text);
	struct sandbox *s;
	int count;

	if (near)
		parts[0] = near->object.name;
	count = copy ? split(copy, parts, near ? 1 : 0) : -1;
	if (count > 2 && strcmp(parts[count - 2], "snapshots") == 0) {
		s = sandbox_at(parts, count - 2);
		n = s ? snapshot_find(s, parts[count - 1]) : NULL;
	}
	free(copy);
	return n;
}

static struct snapshot *find(const struct session *near, const char *text)
{
	const char *mountpoint = the_mount.settings.mountpoint;
	size_t len = strlen(mountpoint);
	struct snapshot *n;

	if (text[0] == '/') {
		if (!len || strncmp(text, mountpoint, len) != 0 || text[len] != '/')
			return NULL;
		return find_from(NULL, text + len);
	}
	n = near ? find_from(near, text) : NULL;
	return n ? n : find_from(NULL, text);
}

int snapshot_resolve(const struct session *near, const char *text, char **ret, struct error *err)
{
	size_t len = strcspn(text, "\n");
	char *line = strndup(text, len);
	struct snapshot *n = line ? find(near, line) : NULL;

	if (n && n->state != SNAPSHOT_READY) {
		free(line);
		return error_set(err, EBUSY, "SNAPSHOT_NOT_READY", "from: the snapshot %s is %s",
				 n->object.name, snapshot_state_name(n->state));
	}
	/* More lines are refused with the rest of what is no id. */
	*ret = strdup(n && !text[len + (text[len] == '\n')] ? n->id : text);
	free(line);
	return *ret ? 0 : error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
}

/* --- JSON --- */

static cJSON *to_json(const struct snapshot *n)
{
	cJSON *o = cJSON_CreateObject();
	char text[32];
	struct tm tm;

	gmtime_r(&n->created, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	cJSON_AddStringToObject(o, "name", n->object.name);
	cJSON_AddStringToObject(o, "id", n->id);
	cJSON_AddStringToObject(o, "state", snapshot_state_name(n->state));
	cJSON_AddStringToObject(o, "created", text);
	if (n->bytes >= 0)
		cJSON_AddNumberToObject(o, "bytes", (double)n->bytes);
	return o;
}

int snapshot_info(const struct snapshot *n, struct buf *out)
{
	cJSON *o = to_json(n);
	char *text = cJSON_Print(o);
	int rc = text ? buf_printf(out, "%s\n", text) : -ENOMEM;

	cJSON_Delete(o);
	cJSON_free(text);
	return rc;
}

void snapshots_describe(const struct sandbox *s, cJSON *info)
{
	cJSON *list = s->snapshots.count ? cJSON_AddArrayToObject(info, "snapshots") : NULL;

	list_each (pos, &s->snapshots.list)
		cJSON_AddItemToArray(list, to_json(container_of(pos, struct snapshot, link)));
}
