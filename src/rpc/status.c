#include "rpc/status.h"

#include "rpc/base64.h"
#include "rpc/json.h"
#include "rpc/protobuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRUSTED_DOMAIN "cwsandbox.com"
#define DETAILS_MAX    64	   /* of one error; more are not looked at */
#define DETAIL_MAX     (64u << 10) /* bytes of one */
#define RETRY_MAX_S    86400u

static const char *const code_names[RPC_CODES] = {
    "ok",	 "canceled",	    "unknown",		 "invalid_argument",   "deadline_exceeded",
    "not_found", "already_exists",  "permission_denied", "resource_exhausted", "failed_precondition",
    "aborted",	 "out_of_range",    "unimplemented",	 "internal",	       "unavailable",
    "data_loss", "unauthenticated",
};

const char *rpc_code_name(enum rpc_code code)
{
	return code_names[code];
}

enum rpc_code rpc_code_of_http(long http)
{
	switch (http) {
	case 400:
		return RPC_INTERNAL;
	case 401:
		return RPC_UNAUTHENTICATED;
	case 403:
		return RPC_PERMISSION_DENIED;
	case 404:
		return RPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return RPC_UNAVAILABLE;
	default:
		return RPC_UNKNOWN;
	}
}

static void put_text(const char *text, char *ret, size_t size)
{
	struct protobuf bytes = {(const uint8_t *)text, strlen(text), false};

	protobuf_text(&bytes, ret, size);
}

/* --- Details, each a binary message --- */

static bool is(const struct protobuf *string, const char *text)
{
	return string->left == strlen(text) && memcmp(string->at, text, string->left) == 0;
}

static void read_metadata(struct protobuf entry, struct rpc_status *ret)
{
	struct protobuf key = {0}, value = {0};
	struct protobuf_field f;
	char number[24];

	while (protobuf_next(&entry, &f))
		*(f.number == 1 ? &key : &value) = f.sub;
	protobuf_text(&value, number, sizeof number);
	if (is(&key, "size_bytes"))
		ret->size_bytes = strtoull(number, NULL, 10);
	else if (is(&key, "max_size_bytes"))
		ret->max_size_bytes = strtoull(number, NULL, 10);
}

/* The first one with a reason counts. */
static void read_error_info(struct protobuf m, struct rpc_status *ret)
{
	struct protobuf_field f;
	struct protobuf all = m;
	struct protobuf domain = {0};

	if (ret->reason[0])
		return;
	while (protobuf_next(&m, &f)) {
		if (f.number == 1 && f.is_bytes)
			protobuf_text(&f.sub, ret->reason, sizeof ret->reason);
		else if (f.number == 2 && f.is_bytes)
			domain = f.sub;
	}
	if (!ret->reason[0])
		return;
	ret->trusted = is(&domain, TRUSTED_DOMAIN);
	while (protobuf_next(&all, &f))
		if (f.number == 3 && f.is_bytes)
			read_metadata(f.sub, ret);
}

static void read_retry_info(struct protobuf m, struct rpc_status *ret)
{
	uint64_t seconds = 0, nanos = 0;
	struct protobuf_field f, part;

	while (protobuf_next(&m, &f)) {
		if (f.number != 1 || !f.is_bytes || ret->retry_ms)
			continue;
		while (protobuf_next(&f.sub, &part))
			*(part.number == 1 ? &seconds : &nanos) = part.value;
		if ((int64_t)seconds < 0 || (int64_t)nanos < 0 || nanos >= 1000000000)
			continue;
		if (seconds > RETRY_MAX_S)
			seconds = RETRY_MAX_S;
		ret->retry_ms = (uint32_t)(seconds * 1000 + (nanos + 999999) / 1000000);
	}
}

static void read_violation(struct protobuf m, struct rpc_status *ret)
{
	char field[64] = "", what[120] = "", other[120] = "";
	size_t used = strlen(ret->violations);
	struct protobuf_field f, inner;

	while (protobuf_next(&m, &f)) {
		if (!f.is_bytes)
			continue;
		if (f.number == 1)
			protobuf_text(&f.sub, field, sizeof field);
		else if (f.number == 2)
			protobuf_text(&f.sub, what, sizeof what);
		else if (f.number == 3 && !other[0])
			protobuf_text(&f.sub, other, sizeof other);
		while (f.number == 4 && protobuf_next(&f.sub, &inner))
			if (inner.number == 2)
				protobuf_text(&inner.sub, other, sizeof other);
	}
	if (field[0] || what[0])
		snprintf(ret->violations + used, sizeof ret->violations - used, "%s%s%s%s", used ? "; " : "",
			 field, field[0] ? ": " : "", what[0] ? what : other);
}

static void read_bad_request(struct protobuf m, struct rpc_status *ret)
{
	struct protobuf_field f;

	while (protobuf_next(&m, &f))
		if (f.number == 1 && f.is_bytes)
			read_violation(f.sub, ret);
}

static void read_detail(const char *type, const char *value, struct rpc_status *ret)
{
	static const struct {
		const char *type;
		void (*read)(struct protobuf m, struct rpc_status *ret);
	} readers[] = {
	    {"google.rpc.ErrorInfo", read_error_info},
	    {"google.rpc.RetryInfo", read_retry_info},
	    {"google.rpc.BadRequest", read_bad_request},
	};
	const char *slash = strrchr(type, '/');
	size_t len = strlen(value);
	uint8_t *bytes;
	ssize_t n;

	if (slash)
		type = slash + 1;
	bytes = len <= DETAIL_MAX ? malloc(BASE64_DECODED(len)) : NULL;
	n = bytes ? base64_decode(value, len, bytes) : -1;
	for (size_t i = 0; n >= 0 && i < sizeof readers / sizeof *readers; i++)
		if (strcmp(type, readers[i].type) == 0)
			readers[i].read((struct protobuf){bytes, (size_t)n, false}, ret);
	free(bytes);
}

/* --- The error --- */

void rpc_status_decode(const cJSON *error, enum rpc_code fallback, struct rpc_status *ret)
{
	const char *name = json_text(error, "code");
	char request_id[sizeof ret->request_id];
	const cJSON *detail;
	int count = 0;

	memcpy(request_id, ret->request_id, sizeof request_id);
	*ret = (struct rpc_status){.code = fallback};
	memcpy(ret->request_id, request_id, sizeof request_id);
	for (int code = 1; code < RPC_CODES; code++)
		if (strcmp(name, code_names[code]) == 0)
			ret->code = (enum rpc_code)code;
	put_text(json_text(error, "message"), ret->message, sizeof ret->message);
	cJSON_ArrayForEach(detail, json_array(error, "details"))
	{
		if (count++ == DETAILS_MAX)
			break;
		read_detail(json_text(detail, "type"), json_text(detail, "value"), ret);
	}
}

void rpc_status_set(struct rpc_status *ret, enum rpc_code code, int transport, const char *fmt, ...)
{
	char request_id[sizeof ret->request_id], text[sizeof ret->message];
	va_list args;

	memcpy(request_id, ret->request_id, sizeof request_id);
	*ret = (struct rpc_status){.code = code, .transport = transport};
	memcpy(ret->request_id, request_id, sizeof request_id);
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	put_text(text, ret->message, sizeof ret->message);
}
