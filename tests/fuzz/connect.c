/* What a service may send: a stream of envelopes, and the JSON, errors and details in them. */
#include "rpc/base64.h"
#include "rpc/envelope.h"
#include "rpc/json.h"
#include "rpc/netrc.h"
#include "rpc/status.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
