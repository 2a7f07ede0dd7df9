#include "backend/aviato/sandbox_spec.h"

#include "backend/aviato/creation.h"
#include "rpc/json.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_MAX	     59
#define CONTAINER    "main"
#define VOLUME	     "workspace" /* the scratch volume of a sandbox that starts from a snapshot */
#define VOLUME_AT    "/workspace"
#define LIFETIME_MAX (30u * 24 * 3600)

/* Ends on TERM at once, which a shell that only sleeps would not. */
#define KEEP_ALIVE "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"

/* --- Judging --- */

static int check_tags(const char *text, struct error *err)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		size_t good =
		    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

		if (len && (good < len || len > TAG_MAX || !isalnum((unsigned char)text[len - 1])))
			return error_set(err, EINVAL, "INVALID_VALUE",
					 "tags: \"%.*s\" is not 1 to %d bytes of A-Z a-z 0-9 . _ - that end "
					 "with a letter or "
					 "digit",
					 (int)(len < 80 ? len : 80), text, TAG_MAX);
		text += len + (text[len] == '\n');
	}
	return 0;
}

static int check_spec(const struct config *c, struct error *err)
{
	const char *text = config_text(c, CONFIG_SPEC);
	int rc;
	cJSON *spec = *text ? json_parse_object(text, strlen(text)) : NULL;

	if (*text && !spec)
		return error_set(err, EINVAL, "INVALID_VALUE", "spec: not a JSON object");
	rc = placement_check(c, spec, err);
	cJSON_Delete(spec);
	return rc;
}

/* "2", or "H100:2" */
static bool parse_gpu(const char *text, char *ret_type, size_t size, long *ret_count)
{
	const char *colon = strrchr(text, ':'), *number = colon ? colon + 1 : text;
	char *end;

	*ret_count = strtol(number, &end, 10);
	if (!isdigit((unsigned char)*number) || *end || *ret_count < 1 || *ret_count > 1024)
		return false;
	if (colon && (colon == text || (size_t)(colon - text) >= size))
		return false;
	snprintf(ret_type, size, "%.*s", colon ? (int)(colon - text) : 0, text);
	return true;
}

static int unsupported(struct error *err, const char *what)
{
	return error_set(err, EOPNOTSUPP, "UNSUPPORTED", "%s", what);
}

/* Containers are overridden whole, and one must have an image. */
static int check_template(const struct config *c, struct error *err)
{
	static const enum config_key keys[] = {CONFIG_COMMAND, CONFIG_ENV, CONFIG_CWD, CONFIG_CPU,
					       CONFIG_MEMORY,  CONFIG_GPU, CONFIG_FROM};

	if (!config_text(c, CONFIG_TEMPLATE)[0])
		return 0;
	if (strlen(config_text(c, CONFIG_TEMPLATE)) >= TEMPLATE_ID_MAX)
		return error_set(err, EINVAL, "INVALID_VALUE", "template: that is no id");
	if (config_text(c, CONFIG_FROM)[0])
		return error_set(err, EINVAL, "INVALID_VALUE", "from cannot go with template");
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (config_text(c, keys[i])[0] && !sandbox_spec_has_image(c))
			return error_set(err, EINVAL, "INVALID_VALUE", "%s with template needs image too",
					 config_fields[keys[i]].name);
	return 0;
}

bool sandbox_spec_has_image(const struct config *c)
{
	return strcmp(config_text(c, CONFIG_IMAGE), IMAGE_DEFAULT) != 0;
}

int sandbox_spec_check(const struct config *c, struct error *err)
{
	const char *network = config_text(c, CONFIG_NETWORK), *image = config_text(c, CONFIG_IMAGE);
	const char *gpu = config_text(c, CONFIG_GPU);
	char type[64];
	long count;
	int rc;

	if (strpbrk(image, " \t") || image[0] == '/')
		return error_set(err, EINVAL, "INVALID_VALUE", "image: \"%.100s\" is no name of an image",
				 image);
	if (*network && strcmp(network, "none") && strcmp(network, "default"))
		return error_set(err, EINVAL, "INVALID_VALUE",
				 "network: \"none\" or \"default\", not \"%.80s\"; spec takes the rest",
				 network);
	if (*gpu && !parse_gpu(gpu, type, sizeof type, &count))
		return error_set(err, EINVAL, "INVALID_VALUE",
				 "gpu: \"%.80s\" is neither COUNT nor TYPE:COUNT", gpu);
	if (config_text(c, CONFIG_PIDS)[0])
		return unsupported(err, "pids: the service has no such limit");
	if (config_seconds(c, CONFIG_LIFETIME) > LIFETIME_MAX)
		return error_set(err, EINVAL, "INVALID_VALUE", "lifetime: at most 30d");
	rc = check_template(c, err);
	rc = rc ? rc : check_tags(config_text(c, CONFIG_TAGS), err);
	return rc ? rc : check_spec(c, err);
}

/* --- Making --- */

static void add_words(cJSON *o, const char *name, const char *const *words, int count)
{
	cJSON_AddItemToObject(o, name, cJSON_CreateStringArray(words, count));
}

/* The next line of `*text`, malloc'ed; NULL at the end. */
static char *next_line(const char **text)
{
	size_t len;
	char *line;

	while (**text == '\n')
		(*text)++;
	if (!**text)
		return NULL;
	len = strcspn(*text, "\n");
	line = strndup(*text, len);
	*text += len;
	return line;
}

static void add_environment(cJSON *container, const char *text)
{
	cJSON *env = NULL;
	char *line, *equals;

	while ((line = next_line(&text))) {
		equals = strchr(line, '=');
		if (!env)
			env = cJSON_AddObjectToObject(container, "environmentVariables");
		if (equals) {
			*equals = '\0';
			cJSON_DeleteItemFromObjectCaseSensitive(env,
								line); /* the last one of a name counts */
			cJSON_AddStringToObject(env, line, equals + 1);
		}
		free(line);
	}
}

static cJSON *make_resources(const struct config *c)
{
	const char *cpu = config_text(c, CONFIG_CPU), *memory = config_text(c, CONFIG_MEMORY);
	cJSON *o = cJSON_CreateObject(), *gpu;
	char type[64], text[24];
	long count;

	if (*cpu)
		cJSON_AddStringToObject(o, "cpu", cpu);
	if (*memory)
		cJSON_AddStringToObject(o, "memory", memory);
	if (parse_gpu(config_text(c, CONFIG_GPU), type, sizeof type, &count)) {
		gpu = cJSON_AddObjectToObject(o, "gpu");
		snprintf(text, sizeof text, "%ld", count);
		cJSON_AddStringToObject(gpu, "count", text);
		if (type[0])
			cJSON_AddStringToObject(gpu, "type", type);
	}
	return o;
}

static void add_resources(cJSON *container, const struct config *c)
{
	cJSON *resources = make_resources(c), *both;

	if (resources && resources->child) {
		both = cJSON_AddObjectToObject(container, "resourceRequirements");
		cJSON_AddItemToObject(both, "requests", cJSON_Duplicate(resources, true));
		cJSON_AddItemToObject(both, "limits", resources);
	} else {
		cJSON_Delete(resources);
	}
}

static cJSON *make_container(const struct config *c)
{
	const char *command = config_text(c, CONFIG_COMMAND), *cwd = config_text(c, CONFIG_CWD);
	const char *const args[] = {"-c", *command ? command : KEEP_ALIVE};
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", CONTAINER);
	cJSON_AddStringToObject(o, "image", config_text(c, CONFIG_IMAGE));
	cJSON_AddStringToObject(o, "command", "/bin/sh");
	add_words(o, "args", args, 2);
	if (*cwd)
		cJSON_AddStringToObject(o, "workingDir", cwd);
	add_environment(o, config_text(c, CONFIG_ENV));
	add_resources(o, c);
	return o;
}

static void add_tags(cJSON *spec, const char *text, const char *session, const char *name, bool kept)
{
	cJSON *tags = cJSON_AddArrayToObject(spec, "tags");
	char tag[TAG_MAX + 1], *line;

	while ((line = next_line(&text))) {
		cJSON_AddItemToArray(tags, cJSON_CreateString(line));
		free(line);
	}
	cJSON_AddItemToArray(tags, cJSON_CreateString(TAG_OURS));
	snprintf(tag, sizeof tag, TAG_SESSION "%s", session);
	cJSON_AddItemToArray(tags, cJSON_CreateString(tag));
	snprintf(tag, sizeof tag, TAG_NAME "%s", name);
	cJSON_AddItemToArray(tags, cJSON_CreateString(tag));
	if (kept)
		cJSON_AddItemToArray(tags, cJSON_CreateString(TAG_KEPT));
}

static void lay_over(cJSON *base, const cJSON *over);

/* Containers of the same name are one; the others are added. */
static void lay_over_containers(cJSON *base, const cJSON *over)
{
	const cJSON *one;
	cJSON *same, *candidate;

	cJSON_ArrayForEach(one, over)
	{
		const char *name = json_text(one, "name");

		same = NULL;
		cJSON_ArrayForEach(candidate,
				   base) if (!*name || strcmp(json_text(candidate, "name"), name) == 0)
		{
			same = candidate;
			break;
		}
		if (same && cJSON_IsObject(one))
			lay_over(same, one);
		else
			cJSON_AddItemToArray(base, cJSON_Duplicate(one, true));
	}
}

/* Objects are merged, member by member; everything else is replaced. */
static void lay_over(cJSON *base, const cJSON *over)
{
	const cJSON *member;

	cJSON_ArrayForEach(member, over)
	{
		cJSON *old = cJSON_GetObjectItemCaseSensitive(base, member->string);

		if (cJSON_IsObject(old) && cJSON_IsObject(member)) {
			lay_over(old, member);
		} else if (cJSON_IsArray(old) && cJSON_IsArray(member) &&
			   strcmp(member->string, "containers") == 0) {
			lay_over_containers(old, member);
		} else if (cJSON_IsArray(old) && cJSON_IsArray(member) &&
			   strcmp(member->string, "tags") == 0) {
			const cJSON *tag;

			cJSON_ArrayForEach(tag, member)
			    cJSON_AddItemToArray(old, cJSON_Duplicate(tag, true)); /* ours have to stay */
		} else if (old) {
			cJSON_ReplaceItemInObjectCaseSensitive(base, member->string,
							       cJSON_Duplicate(member, true));
		} else {
			cJSON_AddItemToObject(base, member->string, cJSON_Duplicate(member, true));
		}
	}
}

/* config/from: the one scratch volume there is begins as the snapshot; else one is made where commands start.
 */
static void add_snapshot(cJSON *spec, const struct config *c)
{
	const char *id = config_text(c, CONFIG_FROM), *cwd = config_text(c, CONFIG_CWD);
	cJSON *volumes = cJSON_GetObjectItemCaseSensitive(spec, "volumes"), *volume, *chosen = NULL, *mount;
	cJSON *container = cJSON_GetArrayItem(json_array(spec, "containers"), 0);

	if (!*id)
		return;
	cJSON_ArrayForEach(volume, volumes) if (!chosen && !json_get(volume, "volumeId")) chosen = volume;
	if (!chosen) {
		if (!cJSON_IsArray(volumes))
			volumes = cJSON_AddArrayToObject(spec, "volumes");
		chosen = cJSON_CreateObject();
		cJSON_AddStringToObject(chosen, "name", VOLUME);
		cJSON_AddItemToArray(volumes, chosen);
		mount = cJSON_CreateObject();
		cJSON_AddStringToObject(mount, "volume", VOLUME);
		cJSON_AddStringToObject(mount, "mountPath", *cwd && strcmp(cwd, "/") ? cwd : VOLUME_AT);
		volumes = cJSON_GetObjectItemCaseSensitive(container, "volumeMounts");
		if (!cJSON_IsArray(volumes))
			volumes = cJSON_AddArrayToObject(container, "volumeMounts");
		cJSON_AddItemToArray(volumes, mount);
	}
	volume = cJSON_GetObjectItemCaseSensitive(chosen, "scratch");
	if (!cJSON_IsObject(volume))
		volume = cJSON_AddObjectToObject(chosen, "scratch");
	cJSON_DeleteItemFromObjectCaseSensitive(volume, "restoreFromSnapshotId");
	cJSON_AddStringToObject(volume, "restoreFromSnapshotId", id);
}

cJSON *sandbox_spec_make(const struct config *c, const char *session, const char *name, bool kept)
{
	const char *text = config_text(c, CONFIG_SPEC);
	bool whole = !config_text(c, CONFIG_TEMPLATE)[0]; /* else only what differs from the template's */
	cJSON *spec = cJSON_CreateObject(), *over, *network;

	if (whole || sandbox_spec_has_image(c)) {
		cJSON_AddItemToArray(cJSON_AddArrayToObject(spec, "containers"), make_container(c));
		cJSON_AddStringToObject(spec, "primaryContainer", CONTAINER);
	}
	if (whole || strcmp(config_text(c, CONFIG_LIFETIME), LIFETIME_DEFAULT))
		cJSON_AddNumberToObject(spec, "maxLifetimeSeconds",
					(double)config_seconds(c, CONFIG_LIFETIME));
	add_tags(spec, config_text(c, CONFIG_TAGS), session, name, kept);
	if (strcmp(config_text(c, CONFIG_NETWORK), "none") == 0) {
		network = cJSON_AddObjectToObject(spec, "network");
		cJSON_AddTrueToObject(network, "denyEgress");
	}
	over = *text ? json_parse_object(text, strlen(text)) : NULL;
	lay_over(spec, over);
	add_snapshot(spec, c);
	placement_begin(spec, placement_of(c));
	cJSON_Delete(over);
	return spec;
}

/* --- Reading --- */

static int put(struct config *c, enum config_key key, const char *text)
{
	if (!*text)
		return 0;
	free(c->text[key]);
	c->text[key] = strdup(text);
	return c->text[key] ? 0 : -ENOMEM;
}

static int put_lines(struct config *c, enum config_key key, const cJSON *items, bool ours)
{
	struct buf text;
	const cJSON *item;
	int rc = 0;

	buf_init(&text, CONFIG_TEXT_MAX);
	cJSON_ArrayForEach(item, items)
	{
		if (rc || !cJSON_IsString(item) || strchr(item->valuestring, '\n') ||
		    (ours && strncmp(item->valuestring, TAG_OURS, strlen(TAG_OURS)) == 0))
			continue;
		rc = buf_printf(&text, "%s%s%s%s", text.len ? "\n" : "", item->string ? item->string : "",
				item->string ? "=" : "", item->valuestring);
	}
	if (!rc && text.len)
		rc = put(c, key, buf_text(&text));
	buf_free(&text);
	return rc;
}

const char *sandbox_spec_tag(const cJSON *spec, const char *prefix)
{
	const cJSON *tag;

	cJSON_ArrayForEach(tag, json_array(spec, "tags"))
	{
		if (cJSON_IsString(tag) && strncmp(tag->valuestring, prefix, strlen(prefix)) == 0)
			return tag->valuestring + strlen(prefix);
	}
	return "";
}

int sandbox_spec_read(const cJSON *spec, const cJSON *status, struct config *ret)
{
	const cJSON *container = cJSON_GetArrayItem(json_array(spec, "containers"), 0);
	const cJSON *requests = json_object(json_object(container, "resourceRequirements"), "requests");
	const cJSON *volume;
	int64_t seconds = 0, applied = 0;
	char text[24];
	int rc;

	*ret = (struct config){0};
	json_int64(spec, "maxLifetimeSeconds", &seconds);
	if (json_int64(status, "effectiveMaxLifetimeSeconds", &applied) && applied > 0)
		seconds = applied; /* where the service chose it */
	snprintf(text, sizeof text, "%lld", (long long)seconds);
	rc = put(ret, CONFIG_IMAGE, json_text(container, "image"));
	rc = rc ? rc : put(ret, CONFIG_CWD, json_text(container, "workingDir"));
	rc = rc ? rc : put(ret, CONFIG_LIFETIME, seconds > 0 ? text : "");
	rc = rc ? rc : put(ret, CONFIG_CPU, json_text(requests, "cpu"));
	rc = rc ? rc : put(ret, CONFIG_MEMORY, json_text(requests, "memory"));
	cJSON_ArrayForEach(volume, json_array(spec, "volumes")) rc =
	    rc ? rc
	       : put(ret, CONFIG_FROM, json_text(json_object(volume, "scratch"), "restoreFromSnapshotId"));
	rc = rc ? rc : put_lines(ret, CONFIG_ENV, json_object(container, "environmentVariables"), false);
	rc = rc ? rc : put_lines(ret, CONFIG_TAGS, json_array(spec, "tags"), true);
	if (rc)
		config_free(ret);
	return rc;
}
