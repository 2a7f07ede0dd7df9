#include "backend/aviato/exec_message.h"

#include "base/utf8.h"
#include "rpc/base64.h"
#include "rpc/json.h"

#include <errno.h>
#include <string.h>

#define STDERR_NUMBER 2

static int take_output(const cJSON *output, struct buf *out, struct buf *err, struct exec_message *ret)
{
	const cJSON *stream = json_get(output, "stream");
	const char *data = json_text(output, "data");
	size_t len = strlen(data);
	struct buf *to;
	ssize_t n;
	int rc;

	ret->is_stderr = (cJSON_IsString(stream) && strcmp(stream->valuestring, "STREAM_STDERR") == 0) ||
			 (cJSON_IsNumber(stream) && stream->valueint == STDERR_NUMBER);
	to = ret->is_stderr ? err : out;
	rc = buf_reserve(to, BASE64_DECODED(len));
	if (rc)
		return rc;
	n = base64_decode(data, len, to->data + to->len);
	if (n < 0)
		return (int)n;
	to->len += (size_t)n;
	ret->len = (size_t)n;
	return 0;
}

int exec_message_decode(const char *text, size_t len, struct buf *out, struct buf *err,
			struct exec_message *ret)
{
	cJSON *o = json_parse_object(text, len);
	const cJSON *output = json_object(o, "output"), *exit = json_object(o, "exit"),
		    *error = json_object(o, "error");
	const char *code, *message;
	int rc = 0;

	*ret = (struct exec_message){0};
	if (!o)
		return -EPROTO;
	if (output) {
		ret->kind = EXEC_OUTPUT;
		rc = take_output(output, out, err, ret);
	} else if (exit) {
		ret->kind = EXEC_EXIT;
		json_int64(exit, "exitCode", &ret->exit_code); /* 0 is not sent */
	} else if (error) {
		ret->kind = EXEC_ERROR;
		code = json_text(error, "code");
		message = json_text(error, "message");
		ascii_printable(code, strlen(code), ret->code, sizeof ret->code);
		ascii_printable(message, strlen(message), ret->message, sizeof ret->message);
	}
	cJSON_Delete(o);
	return rc;
}

bool exec_message_lacks(const struct exec_message *m, const char *program)
{
	static const char *const words[] = {"no such file", "not found", "does not exist"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (m->kind == EXEC_ERROR && strstr(m->message, program) && strcasestr(m->message, words[i]))
			return true;
	return false;
}
