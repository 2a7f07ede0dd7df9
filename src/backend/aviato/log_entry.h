/* One message of StreamLogs, as it was sent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_SESSION_MAX 200

struct log_entry {
	char *data; /* malloc'ed; NULL when there is none */
	size_t len;
	char session[LOG_SESSION_MAX]; /* "" when it says none, or none that could be sent back */
	bool counted;		       /* `next` was said, and makes sense with `len` */
	uint64_t next;		       /* bytes of the session, with these */
	char time[40];		       /* "" when it says none */
	bool is_error;		       /* the last one: `code` and `message` say why */
	char code[48], message[200];
};

/* -EPROTO when it makes no sense, -ENOMEM. Its data are the caller's to free. */
int log_entry_decode(const char *text, size_t len, struct log_entry *ret);

enum log_remedy {
	LOG_FAIL,   /* it is the end */
	LOG_RESUME, /* the session can go on at its offset */
	LOG_AFRESH, /* it has to begin again, in a new session */
};
/* What an error entry means for who follows. */
enum log_remedy log_entry_remedy(const char *code);
