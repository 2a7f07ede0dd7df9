#include "backend/aviato/state.h"

#include "rpc/json.h"

#include <string.h>

static const struct {
	const char *name;
	int number;
	enum remote_state state;
} states[] = {
    {"STATE_UNSPECIFIED", 0, REMOTE_COMPLETED}, {"STATE_CREATING", 1, REMOTE_CREATING},
    {"STATE_RUNNING", 2, REMOTE_RUNNING},	{"STATE_COMPLETED", 3, REMOTE_COMPLETED},
    {"STATE_FAILED", 4, REMOTE_FAILED},		{"STATE_TERMINATING", 5, REMOTE_TERMINATING},
    {"STATE_TERMINATED", 6, REMOTE_TERMINATED}, {"STATE_PENDING", 7, REMOTE_PENDING},
    {"STATE_PAUSED", 8, REMOTE_PAUSED},
};

enum remote_state remote_state(const cJSON *sandbox)
{
	const cJSON *status = json_object(sandbox, "status"), *state = json_get(status, "state");

	if (!state)
		return REMOTE_COMPLETED;
	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if ((cJSON_IsString(state) && strcmp(state->valuestring, states[i].name) == 0) ||
		    (cJSON_IsNumber(state) && state->valueint == states[i].number))
			return states[i].state;
	return REMOTE_UNKNOWN;
}

bool remote_state_is_end(enum remote_state state)
{
	return state >= REMOTE_COMPLETED;
}

int remote_exit_code(const cJSON *sandbox)
{
	int64_t code;

	if (!json_int64(json_object(sandbox, "status"), "exitCode", &code) || code < 0 || code > 255)
		return -1;
	return (int)code;
}

time_t remote_time(const char *text)
{
	struct tm tm = {0};

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? timegm(&tm) : time(NULL);
}
