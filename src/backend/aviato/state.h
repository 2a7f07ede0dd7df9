/* What the service says of a sandbox's state. */
#pragma once

#include <cjson/cJSON.h>

#include <stdbool.h>
#include <time.h>

enum remote_state {
	REMOTE_UNKNOWN, /* a word of tomorrow: look again */
	REMOTE_PENDING,
	REMOTE_CREATING,
	REMOTE_RUNNING,
	REMOTE_PAUSED,
	REMOTE_TERMINATING,
	REMOTE_COMPLETED,
	REMOTE_FAILED,
	REMOTE_TERMINATED,
};

/* Of a Sandbox message. One without a state has completed, as the service's clients take it. */
enum remote_state remote_state(const cJSON *sandbox);
bool remote_state_is_end(enum remote_state state);
/* A time as the service writes it; now where that makes no sense. */
time_t remote_time(const char *text);
/* Of its main process; -1 when it was not observed. */
int remote_exit_code(const cJSON *sandbox);
