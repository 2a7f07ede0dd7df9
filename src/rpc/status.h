/* How a call ended: the Connect error codes, and what the details of an error say. */
#pragma once

#include <cjson/cJSON.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are gRPC's. */
enum rpc_code {
	RPC_OK,
	RPC_CANCELED,
	RPC_UNKNOWN,
	RPC_INVALID_ARGUMENT,
	RPC_DEADLINE_EXCEEDED,
	RPC_NOT_FOUND,
	RPC_ALREADY_EXISTS,
	RPC_PERMISSION_DENIED,
	RPC_RESOURCE_EXHAUSTED,
	RPC_FAILED_PRECONDITION,
	RPC_ABORTED,
	RPC_OUT_OF_RANGE,
	RPC_UNIMPLEMENTED,
	RPC_INTERNAL,
	RPC_UNAVAILABLE,
	RPC_DATA_LOSS,
	RPC_UNAUTHENTICATED,
	RPC_CODES
};

/* Texts come from the other side: cut to fit, and with what is not printable as '?'. */
struct rpc_status {
	enum rpc_code code;
	/* What happened where no answer of the service came: an errno, else 0. */
	int transport;
	bool unreachable; /* the service itself: it has said nothing to anybody meanwhile */
	char message[256];
	char reason[64];      /* of ErrorInfo; "" when there is none */
	bool trusted;	      /* the reason is of the service's own domain: it says more than the code */
	char violations[200]; /* of BadRequest: "field: what is wrong; ..." */
	char request_id[64];
	uint32_t
	    retry_ms; /* of RetryInfo: how long to wait before the next try, at most a day; 0: not said */
	uint64_t size_bytes, max_size_bytes; /* of ErrorInfo's metadata; 0: not said */
};

const char *rpc_code_name(enum rpc_code code); /* "not_found" */
/* What an HTTP status stands for where no error came in the body. */
enum rpc_code rpc_code_of_http(long http);

/* Fills `ret` from the JSON of an error; `fallback` where it names no known code. request_id stays. */
void rpc_status_decode(const cJSON *error, enum rpc_code fallback, struct rpc_status *ret);
/* A failure on this side of the wire. request_id stays. */
void rpc_status_set(struct rpc_status *ret, enum rpc_code code, int transport, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
