#include "backend/local/snapshot_meta.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX	65536u /* a path, each byte of it escaped, and a little more */
#define VERSION_OF_FILE 1

static int fail(struct error *err, int code)
{
	return error_errno(err, code, code == ENOSPC || code == EDQUOT ? "NO_SPACE" : "SNAPSHOT_FAILED",
			   "meta.json of the snapshot");
}

int snapshot_meta_write(int dir, const struct snapshot_meta *m, struct error *err)
{
	cJSON *json = cJSON_CreateObject();
	char *text = NULL;
	int fd = -1, code = ENOMEM;

	if (cJSON_AddNumberToObject(json, "version", VERSION_OF_FILE) &&
	    cJSON_AddStringToObject(json, "image", m->image) &&
	    cJSON_AddBoolToObject(json, "layer", m->layer) &&
	    cJSON_AddNumberToObject(json, "created", (double)m->created) &&
	    cJSON_AddNumberToObject(json, "bytes", (double)m->bytes))
		text = cJSON_PrintUnformatted(json);
	cJSON_Delete(json);
	if (text) {
		fd = openat(dir, "meta.json.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		code = fd < 0 ? errno : 0;
	}
	if (!code && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		code = errno ? errno : ENOSPC;
	if (!code && renameat(dir, "meta.json.new", dir, "meta.json"))
		code = errno;
	if (fd >= 0)
		close(fd);
	free(text);
	return code ? fail(err, code) : 0;
}

static bool from_json(const cJSON *json, struct snapshot_meta *ret)
{
	const char *image = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "image"));
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "version");
	const cJSON *created = cJSON_GetObjectItemCaseSensitive(json, "created");
	const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(json, "bytes");

	if (!image || strlen(image) >= sizeof ret->image || !cJSON_IsNumber(version) ||
	    version->valuedouble != VERSION_OF_FILE || !cJSON_IsNumber(created) || !cJSON_IsNumber(bytes) ||
	    !(created->valuedouble >= 0 && created->valuedouble < 1e15) ||
	    !(bytes->valuedouble >= 0 && bytes->valuedouble < 9e18))
		return false;
	strcpy(ret->image, image);
	ret->layer = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "layer"));
	ret->created = (time_t)created->valuedouble;
	ret->bytes = (int64_t)bytes->valuedouble;
	return true;
}

int snapshot_meta_read(int dir, struct snapshot_meta *ret, struct error *err)
{
	int fd = openat(dir, "meta.json", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *text = fd < 0 ? NULL : malloc(TEXT_MAX);
	ssize_t n = text ? read(fd, text, TEXT_MAX - 1) : -1;
	int code = n < 0 ? errno : EINVAL;
	cJSON *json = NULL;

	if (n >= 0) {
		text[n] = '\0';
		json = cJSON_Parse(text);
	}
	if (json && from_json(json, ret))
		code = 0;
	cJSON_Delete(json);
	free(text);
	if (fd >= 0)
		close(fd);
	return code ? fail(err, code) : 0;
}
