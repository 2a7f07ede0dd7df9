/*
 * The input is what was written into `cmd`: up to the first NUL the settings'
 * environment, the rest the command. What is taken can be sent to an agent.
 */
#include "core/process/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct start *s, const char *env)
{
	struct start again;
	struct buf out;

	if (!s->text || s->text[s->text_len] || strlen(s->text) != s->text_len)
		abort();
	buf_init(&out, FRAME_PAYLOAD_MAX);
	if (start_encode(&out, s))
		abort();
	if (start_decode(out.data, out.len, &again))
		abort();
	start_free(&again);
	buf_free(&out);
	if (command_add_env(s, env))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, 0, size);
	size_t env_len = nul ? (size_t)(nul - data) : 0;
	char *env = strndup((const char *)data, env_len);
	struct error err = {0};
	struct start s;
	int rc;

	data += nul ? env_len + 1 : 0;
	size -= nul ? env_len + 1 : 0;
	rc = command_parse((const char *)data, size, &s, &err);
	if (rc == 0) {
		check(&s, env);
		start_free(&s);
	} else if ((rc != -EINVAL && rc != -EOPNOTSUPP) || err.code != -rc || !*err.text || !*err.reason) {
		abort();
	}
	free(env);
	return 0;
}
