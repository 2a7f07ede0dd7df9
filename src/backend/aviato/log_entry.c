#include "backend/aviato/log_entry.h"

#include "rpc/base64.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Copies what is printable and fits; all or nothing. */
static void put(char *ret, size_t size, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return;
	if (len < size)
		memcpy(ret, text, len + 1);
}

static void put_error(const cJSON *error, struct log_entry *ret)
{
	size_t n = 0;

	ret->is_error = true;
	put(ret->code, sizeof ret->code, json_text(error, "code"));
	for (const char *p = json_text(error, "message"); *p && n + 1 < sizeof ret->message; p++)
		ret->message[n++] = *p >= ' ' && *p <= '~' ? *p : '?';
}

static int put_data(const char *text, struct log_entry *ret)
{
	size_t len = strlen(text);
	ssize_t n;

	if (!len)
		return 0;
	ret->data = malloc(BASE64_DECODED(len));
	if (!ret->data)
		return -ENOMEM;
	n = base64_decode(text, len, ret->data);
	if (n >= 0) {
		ret->len = (size_t)n;
		return 0;
	}
	free(ret->data);
	ret->data = NULL;
	return (int)n;
}

int log_entry_decode(const char *text, size_t len, struct log_entry *ret)
{
	cJSON *o = json_parse_object(text, len);
	int rc;

	*ret = (struct log_entry){0};
	if (!o)
		return -EPROTO;
	rc = put_data(json_text(o, "data"), ret);
	put(ret->session, sizeof ret->session, json_text(o, "logSessionId"));
	put(ret->time, sizeof ret->time, json_text(o, "timestamp"));
	ret->counted = json_uint64(o, "nextLogOffset", &ret->next) && ret->next >= ret->len;
	if (json_object(o, "error"))
		put_error(json_object(o, "error"), ret);
	cJSON_Delete(o);
	return rc;
}

enum log_remedy log_entry_remedy(const char *code)
{
	static const struct {
		const char *code;
		enum log_remedy remedy;
	} known[] = {
	    {"STREAM_INTERRUPTED", LOG_RESUME}, {"SESSION_NOT_FOUND", LOG_AFRESH}, {"REPLAY_GAP", LOG_AFRESH},
	    {"RUNNER_UNAVAILABLE", LOG_AFRESH}, {"RUNNER_DRAINING", LOG_AFRESH},
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(code, known[i].code) == 0)
			return known[i].remedy;
	return LOG_FAIL;
}
