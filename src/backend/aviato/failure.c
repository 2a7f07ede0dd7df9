#include "backend/aviato/failure.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const struct {
	const char *reason;
	int code;
} reasons[] = {
    {"CWSANDBOX_FILE_NOT_FOUND", ENOENT},
    {"CWSANDBOX_FILE_IS_DIRECTORY", EISDIR},
    {"CWSANDBOX_FILE_PERMISSION_DENIED", EACCES},
    {"CWSANDBOX_FILE_IO_FAILED", EIO},
    {"CWSANDBOX_FILE_TOO_LARGE", EFBIG},
    {"CWSANDBOX_FILE_TRUNCATED", EIO},
    {"CWSANDBOX_SANDBOX_NOT_FOUND", ENOENT},
    {"CWSANDBOX_SANDBOX_NOT_RUNNING", ESHUTDOWN},
    {"CWSANDBOX_COMMAND_TIMEOUT", ETIMEDOUT},
    {"CWSANDBOX_RUNNER_UNAVAILABLE", EHOSTDOWN},
    {"CWSANDBOX_BACKEND_UNAVAILABLE", EHOSTDOWN},
    {"CWSANDBOX_RUNNER_OVERLOADED", EAGAIN},
    {"CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED", ENOSPC},
    {"CWSANDBOX_PLACEMENT_REJECTED", EBUSY},
    {"CWSANDBOX_PLACEMENT_CONSTRAINT_UNSATISFIED", ENODEV},
    {"CWSANDBOX_NO_SUITABLE_RUNNER", ENODEV},
    {"CWSANDBOX_SERVERLESS_NOT_ALLOWED", EPERM},
    {"CWSANDBOX_SERVERLESS_DISABLED", EPERM},
    {"CWSANDBOX_SERVERLESS_MISCONFIGURED", ENODEV},
    {"CWSANDBOX_RUNNER_NOT_FOUND", ENOENT},
    {"CWSANDBOX_PROFILE_NOT_FOUND", ENOENT},
    {"CWSANDBOX_RESOURCE_CEILING_EXCEEDED", ENOMEM},
    {"CWSANDBOX_SECRET_STORE_NOT_PROVISIONED", ENOKEY},
    {"CWSANDBOX_RESOURCE_NOT_FOUND", ENOENT},
    {"CWSANDBOX_INVALID_REQUEST", EINVAL},
    {"CWSANDBOX_NOT_IMPLEMENTED", EOPNOTSUPP},
    {"CWSANDBOX_VOLUME_IN_USE", EBUSY},
    {"CWSANDBOX_VOLUME_NOT_SNAPSHOTTABLE", EOPNOTSUPP},
    {"CWSANDBOX_FSS_NOT_FOUND", ENOENT},
    {"CWSANDBOX_FSS_NOT_READY", EBUSY},
    {"CWSANDBOX_FSS_NOT_SUPPORTED", EOPNOTSUPP},
    {"CWSANDBOX_FSS_SIZE_EXCEEDED", EFBIG},
    {"CWSANDBOX_FSS_QUOTA_EXCEEDED", EDQUOT},
    {"CWSANDBOX_FSS_BUCKET_MISMATCH", EXDEV},
    {"CWSANDBOX_FSS_BUCKET_UNAVAILABLE", EIO},
    {"CWSANDBOX_FSS_RESTORE_FAILED", EIO},
    {"CWSANDBOX_FSS_CREATE_FAILED", EIO},
    {"CWSANDBOX_FSS_CREATE_TIMED_OUT", ETIMEDOUT},
    {"CWSANDBOX_FSS_AUTH_FAILED", EACCES},
    {"CWSANDBOX_FSS_TRANSPORT_FAILED", EIO},
    {"CWSANDBOX_FSS_CANCELED", ECANCELED},
    {"CWSANDBOX_FSS_WAIT_TIMEOUT", ETIMEDOUT},
    {"CWSANDBOX_FSS_BACKEND_THROTTLED", EAGAIN},
    {"CWSANDBOX_FSS_INFLIGHT_LIMIT", EAGAIN},
    {"CWSANDBOX_FSS_BUCKET_PROVISIONING", EAGAIN},
    {"CWSANDBOX_AUTH_EXPIRED", EKEYEXPIRED},
};

static const struct {
	const char *reason;
	int code;
} codes[RPC_CODES] = {
    [RPC_OK] = {"OK", 0},
    [RPC_CANCELED] = {"CANCELED", ECANCELED},
    [RPC_UNKNOWN] = {"UNKNOWN", EIO},
    [RPC_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", EINVAL},
    [RPC_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", ETIMEDOUT},
    [RPC_NOT_FOUND] = {"NOT_FOUND", ENOENT},
    [RPC_ALREADY_EXISTS] = {"ALREADY_EXISTS", EEXIST},
    [RPC_PERMISSION_DENIED] = {"PERMISSION_DENIED", EPERM},
    [RPC_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", EAGAIN},
    [RPC_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", EBUSY},
    [RPC_ABORTED] = {"ABORTED", EAGAIN},
    [RPC_OUT_OF_RANGE] = {"OUT_OF_RANGE", ERANGE},
    /* not ENOSYS: the kernel would never ask for that operation again, on any file of the mount */
    [RPC_UNIMPLEMENTED] = {"UNIMPLEMENTED", EOPNOTSUPP},
    [RPC_INTERNAL] = {"INTERNAL", EIO},
    [RPC_UNAVAILABLE] = {"UNAVAILABLE", EHOSTUNREACH},
    [RPC_DATA_LOSS] = {"DATA_LOSS", EIO},
    [RPC_UNAUTHENTICATED] = {"UNAUTHENTICATED", EACCES},
};

static int code_of_reason(const char *reason)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (strcmp(reason, reasons[i].reason) == 0)
			return reasons[i].code;
	return 0;
}

/* A reason is one word of capitals, whatever was sent. */
static bool is_word(const char *reason)
{
	size_t len = strspn(reason, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return len && !reason[len] && len < sizeof((struct error *)0)->reason;
}

int failure_set(struct error *err, const struct rpc_status *s, const char *what)
{
	int code = s->trusted ? code_of_reason(s->reason) : 0;
	const char *reason = codes[s->code].reason;

	if (!code && s->transport)
		code = s->transport;
	if (s->transport)
		reason = s->transport == EPROTO ? "BAD_ANSWER" : "UNREACHABLE";
	if (!code)
		code = codes[s->code].code;
	if (is_word(s->reason))
		reason = s->reason;
	return error_set(err, code, reason, "cannot %s: %s%s%s%s%s%s", what,
			 s->message[0] ? s->message : rpc_code_name(s->code), s->violations[0] ? " (" : "",
			 s->violations, s->violations[0] ? ")" : "", s->request_id[0] ? ", request " : "",
			 s->request_id);
}

int failure_set_start(struct error *err, const struct rpc_status *s, const char *what)
{
	bool told = s->trusted && code_of_reason(s->reason);

	failure_set(err, s, what);
	if (!told && s->code == RPC_RESOURCE_EXHAUSTED)
		err->code = ENOSPC;
	return -err->code;
}

bool failure_is_passing(const struct rpc_status *s)
{
	if (s->transport == EPROTO || (s->trusted && strcmp(s->reason, "CWSANDBOX_COMMAND_TIMEOUT") == 0))
		return false;
	return s->code == RPC_UNAVAILABLE || s->code == RPC_DEADLINE_EXCEEDED ||
	       s->code == RPC_RESOURCE_EXHAUSTED;
}

bool failure_is_no_place(const struct rpc_status *s)
{
	static const char *const places[] = {
	    "RUNNER_CAPACITY_EXHAUSTED", "PLACEMENT_REJECTED", "PLACEMENT_CONSTRAINT_UNSATISFIED",
	    "NO_SUITABLE_RUNNER",	 "RUNNER_OVERLOADED",  "RUNNER_UNAVAILABLE"};

	for (size_t i = 0; s->trusted && i < sizeof places / sizeof *places; i++)
		if (strncmp(s->reason, "CWSANDBOX_", 10) == 0 && strcmp(s->reason + 10, places[i]) == 0)
			return true;
	return false;
}

bool failure_is_final(const struct rpc_status *s)
{
	return failure_is_no_place(s) || (!s->transport && s->code != RPC_UNAVAILABLE &&
					  s->code != RPC_DEADLINE_EXCEEDED && s->code != RPC_CANCELED);
}

bool failure_is_unreachable(const struct rpc_status *s)
{
	return s->unreachable;
}

bool failure_is_gone(const struct rpc_status *s)
{
	return s->code == RPC_NOT_FOUND;
}

bool failure_is_not_running(const struct rpc_status *s)
{
	return failure_is_gone(s) || (s->trusted && strcmp(s->reason, "CWSANDBOX_SANDBOX_NOT_RUNNING") == 0);
}
