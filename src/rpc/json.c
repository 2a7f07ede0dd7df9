#include "rpc/json.h"

#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_MAX (1u << 20)

static void to_snake(const char *name, char *ret, size_t size)
{
	size_t n = 0;

	for (; *name && n + 3 < size; name++) {
		if (isupper((unsigned char)*name))
			ret[n++] = '_';
		ret[n++] = (char)tolower((unsigned char)*name);
	}
	ret[n] = '\0';
}

const cJSON *json_get(const cJSON *o, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
	char snake[64];

	if (!item) {
		to_snake(name, snake, sizeof snake);
		item = cJSON_GetObjectItemCaseSensitive(o, snake);
	}
	return cJSON_IsNull(item) ? NULL : item;
}

const cJSON *json_object(const cJSON *o, const char *name)
{
	const cJSON *item = json_get(o, name);

	return cJSON_IsObject(item) ? item : NULL;
}

const cJSON *json_array(const cJSON *o, const char *name)
{
	const cJSON *item = json_get(o, name);

	return cJSON_IsArray(item) ? item : NULL;
}

const char *json_text(const cJSON *o, const char *name)
{
	const cJSON *item = json_get(o, name);

	return cJSON_IsString(item) ? item->valuestring : "";
}

bool json_int64(const cJSON *o, const char *name, int64_t *ret)
{
	const cJSON *item = json_get(o, name);
	long long value;
	char *end;

	if (cJSON_IsNumber(item)) {
		if (item->valuedouble != floor(item->valuedouble) || fabs(item->valuedouble) >= 9.2e18)
			return false;
		*ret = (int64_t)item->valuedouble;
		return true;
	}
	if (!cJSON_IsString(item) || isspace((unsigned char)item->valuestring[0]))
		return false;
	errno = 0;
	value = strtoll(item->valuestring, &end, 10);
	if (errno || end == item->valuestring || *end)
		return false;
	*ret = value;
	return true;
}

bool json_uint64(const cJSON *o, const char *name, uint64_t *ret)
{
	const cJSON *item = json_get(o, name);
	unsigned long long value;
	char *end;

	if (cJSON_IsNumber(item)) {
		if (item->valuedouble != floor(item->valuedouble) || item->valuedouble < 0 ||
		    item->valuedouble >= 1.8e19)
			return false;
		*ret = (uint64_t)item->valuedouble;
		return true;
	}
	if (!cJSON_IsString(item) || !isdigit((unsigned char)item->valuestring[0]))
		return false;
	errno = 0;
	value = strtoull(item->valuestring, &end, 10);
	if (errno || *end)
		return false;
	*ret = value;
	return true;
}

/* Of each value cJSON makes some 80 bytes, so a long text of small ones would take 40 times its size. */
static bool has_too_many_values(const char *text, size_t len)
{
	size_t values = 0;

	if (len <= VALUES_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		values += text[i] == ',' || text[i] == '[' || text[i] == '{';
	return values > VALUES_MAX;
}

cJSON *json_parse_object(const char *text, size_t len)
{
	const char *end = NULL;
	cJSON *o;

	/* cJSON would take what follows a zero for nothing, and pass bytes that are no text on to others. */
	if (memchr(text, '\0', len) || !utf8_is_valid(text, len) || has_too_many_values(text, len))
		return NULL;
	o = cJSON_ParseWithLengthOpts(text, len, &end, false);
	while (o && end < text + len && isspace((unsigned char)*end))
		end++;
	if (o && end == text + len && cJSON_IsObject(o))
		return o;
	cJSON_Delete(o);
	return NULL;
}
