// Errors as the API gives them: a code, a sentence, and details in binary (google.rpc.ErrorInfo, RetryInfo, BadRequest).

import { Code, ConnectError } from "@connectrpc/connect";
import { message } from "./schema.js";

export const DOMAIN = "cwsandbox.com";

// "failed_precondition" -> Code.FailedPrecondition
export function codeOf(name) {
	const key = name.replace(/(^|_)([a-z])/g, (_, dash, letter) => letter.toUpperCase());
	if (Code[key] === undefined)
		throw new Error(`no code is called ${name}`);
	return Code[key];
}

// The code each reason goes with, and what reasons there are.
const reasons = {
	FILE_NOT_FOUND: "not_found", FILE_IS_DIRECTORY: "failed_precondition", FILE_PERMISSION_DENIED: "permission_denied",
	FILE_IO_FAILED: "internal", FILE_TOO_LARGE: "failed_precondition",
	SANDBOX_NOT_FOUND: "not_found", SANDBOX_NOT_RUNNING: "failed_precondition", COMMAND_TIMEOUT: "deadline_exceeded",
	RUNNER_UNAVAILABLE: "unavailable", BACKEND_UNAVAILABLE: "unavailable", RUNNER_OVERLOADED: "resource_exhausted",
	RUNNER_CAPACITY_EXHAUSTED: "resource_exhausted", PLACEMENT_REJECTED: "failed_precondition",
	PLACEMENT_CONSTRAINT_UNSATISFIED: "failed_precondition", NO_SUITABLE_RUNNER: "failed_precondition",
	SERVERLESS_NOT_ALLOWED: "failed_precondition", SERVERLESS_DISABLED: "failed_precondition",
	SERVERLESS_MISCONFIGURED: "failed_precondition", RUNNER_NOT_FOUND: "not_found", PROFILE_NOT_FOUND: "not_found",
	RESOURCE_CEILING_EXCEEDED: "invalid_argument", SECRET_STORE_NOT_PROVISIONED: "failed_precondition",
	RESOURCE_NOT_FOUND: "not_found", INVALID_REQUEST: "invalid_argument", NOT_IMPLEMENTED: "unimplemented",
	VOLUME_IN_USE: "failed_precondition", VOLUME_NOT_SNAPSHOTTABLE: "invalid_argument", FSS_NOT_FOUND: "not_found",
	FSS_NOT_READY: "failed_precondition", FSS_NOT_SUPPORTED: "failed_precondition", FSS_SIZE_EXCEEDED: "invalid_argument",
	FSS_QUOTA_EXCEEDED: "failed_precondition", FSS_BUCKET_MISMATCH: "failed_precondition", FSS_BUCKET_UNAVAILABLE: "internal",
	FSS_RESTORE_FAILED: "internal", FSS_CREATE_FAILED: "internal", FSS_CREATE_TIMED_OUT: "internal", FSS_AUTH_FAILED: "internal",
	FSS_TRANSPORT_FAILED: "internal", FSS_CANCELED: "internal", FSS_WAIT_TIMEOUT: "deadline_exceeded",
	FSS_BACKEND_THROTTLED: "unavailable", FSS_INFLIGHT_LIMIT: "unavailable", FSS_BUCKET_PROVISIONING: "unavailable",
	AUTH_EXPIRED: "unauthenticated",
};

// error({code, message, reason, domain, metadata, retryDelayMs, violations}), all optional: a reason brings its code.
export function error(what) {
	const { reason, domain = DOMAIN, metadata = {}, retryDelayMs, violations } = what;
	const known = reason?.replace(/^CWSANDBOX_/, "");
	const details = [];
	if (reason)
		details.push({ desc: message("ErrorInfo"), value: { reason: reasons[known] ? `CWSANDBOX_${known}` : reason, domain, metadata } });
	if (retryDelayMs !== undefined) {
		const retryDelay = { seconds: BigInt(Math.floor(retryDelayMs / 1000)), nanos: (retryDelayMs % 1000) * 1e6 };
		details.push({ desc: message("RetryInfo"), value: { retryDelay } });
	}
	if (violations)
		details.push({ desc: message("BadRequest"), value: { fieldViolations: violations } });
	const code = codeOf(what.code ?? reasons[known] ?? "unknown");
	return new ConnectError(what.message ?? (known ?? "error").toLowerCase().replaceAll("_", " "), code, undefined, details);
}

export const refusal = (reason, message, metadata) => error({ reason, message, metadata });

export function invalid(field, description) {
	return error({ code: "invalid_argument", message: `${field}: ${description}`, violations: [{ field, description }] });
}

export function unimplemented(message) {
	return refusal("NOT_IMPLEMENTED", message);
}
