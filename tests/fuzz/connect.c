/* What a service may send: a stream of envelopes, and the JSON, errors, details, logs and output in them. */
#include "backend/aviato/exec_message.h"
#include "backend/aviato/log_entry.h"
#include "rpc/base64.h"
#include "rpc/envelope.h"
#include "rpc/json.h"
#include "rpc/netrc.h"
#include "rpc/status.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_log_entry(const struct envelope *e)
{
	struct log_entry entry;

	if (log_entry_decode(e->payload, e->len, &entry) == 0 &&
	    ((entry.counted && entry.next < entry.len) || strlen(entry.session) >= sizeof entry.session ||
	     strlen(entry.message) >= sizeof entry.message))
		abort();
	log_entry_remedy(entry.code);
	free(entry.data);
}

static void read_output(const struct envelope *e)
{
	struct exec_message m;
	struct buf out, err;

	buf_init(&out, 1u << 20);
	buf_init(&err, 1u << 20);
	if (exec_message_decode(e->payload, e->len, &out, &err, &m) == 0 &&
	    ((m.is_stderr ? err : out).len != m.len || strlen(m.message) >= sizeof m.message))
		abort();
	buf_free(&out);
	buf_free(&err);
}

static void read_message(const struct envelope *e)
{
	cJSON *o = json_parse_object(e->payload, e->len);
	struct rpc_status status = {0};
	uint64_t u;
	int64_t i;

	rpc_status_decode(json_object(o, "error") ? json_object(o, "error") : o, RPC_UNKNOWN, &status);
	if (status.code <= RPC_OK || status.code >= RPC_CODES ||
	    strlen(status.message) >= sizeof status.message)
		abort();
	json_int64(o, "nextLogOffset", &i);
	json_uint64(o, "nextLogOffset", &u);
	cJSON_Delete(o);
	read_log_entry(e);
	read_output(e);
}

static void round_trip(const uint8_t *data, size_t size)
{
	char *text = malloc(BASE64_ENCODED(size) + 1);
	uint8_t *back = malloc(BASE64_DECODED(BASE64_ENCODED(size)));

	base64_encode(data, size, text);
	if (base64_decode(text, BASE64_ENCODED(size), back) != (ssize_t)size ||
	    (size && memcmp(back, data, size)))
		abort();
	free(text);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char password[32], *text = malloc(size + 1);
	void *bytes = malloc(BASE64_DECODED(size));
	struct envelope e;
	size_t used = 0;
	ssize_t n;

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	while ((n = envelope_parse(text + used, size - used, &e)) > 0) {
		read_message(&e);
		used += (size_t)n;
	}
	base64_decode(text, size, bytes);
	round_trip(data, size);
	netrc_password(text, "api.wandb.ai", password, sizeof password);
	free(bytes);
	free(text);
	return 0;
}
