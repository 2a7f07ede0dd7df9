/* One message of StreamExec's answers, as it was sent. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum exec_kind {
	EXEC_READY, /* or what is not known: nothing to be done */
	EXEC_OUTPUT,
	EXEC_EXIT,
	EXEC_ERROR,
};

struct exec_message {
	enum exec_kind kind;
	bool is_stderr;
	size_t len; /* bytes of output that were appended */
	int64_t exit_code;
	char code[48], message[200]; /* of an error; printable */
};

/* Appends output to `out`, or to `err`. -EPROTO when it makes no sense, -ENOMEM, -EFBIG. */
int exec_message_decode(const char *text, size_t len, struct buf *out, struct buf *err,
			struct exec_message *ret);
/* An error that says that there is no such program, which others tell by an exit code. */
bool exec_message_lacks(const struct exec_message *m, const char *program);
