/* The files of one command: in proc/NAME/, and in the sandbox's directory for the latest one. */
#pragma once

#include "tree/node.h"

struct inbox *cmd_inbox(const struct place *at);
int cmd_show(const struct place *at, struct buf *out);
struct sink *stdin_sink(const struct place *at);
struct stream *output_stream(const struct place *at, struct process **ret_of); /* arg: which */
int status_show(const struct place *at, struct buf *out);
int wait_show(const struct place *at, struct buf *out);

#define PROCESS_ROW_COUNT 8
#define PROCESS_ROWS                                                                                         \
	{"cmd", 0600, "a command: starts when the writer closes; reads back its text", .submit = cmd_inbox,  \
	 .show = cmd_show},                                                                                  \
	    {"stdin", 0200, "bytes for the command; end of file at the last close", .sink = stdin_sink,      \
	     .result = true},                                                                                \
	    {"stdout",                                                                                       \
	     0444,                                                                                           \
	     "output; reading on waits, end of file when the command ends",                                  \
	     .arg = STREAM_OUT,                                                                              \
	     .stream = output_stream,                                                                        \
	     .follow = true,                                                                                 \
	     .result = true},                                                                                \
	    {"stderr",                                                                                       \
	     0444,                                                                                           \
	     "diagnostics, in the same way",                                                                 \
	     .arg = STREAM_ERR,                                                                              \
	     .stream = output_stream,                                                                        \
	     .follow = true,                                                                                 \
	     .result = true},                                                                                \
	    {"stdout.log",                                                                                   \
	     0444,                                                                                           \
	     "output so far, as a plain growing file",                                                       \
	     .arg = STREAM_OUT,                                                                              \
	     .stream = output_stream,                                                                        \
	     .result = true},                                                                                \
	    {"stderr.log",  0444, "diagnostics so far", .arg = STREAM_ERR, .stream = output_stream,          \
	     .result = true},                                                                                \
	    {"status", 0444,                                                                                 \
	     "starting, running, exited N, signaled N NAME, timeout, canceled, lost, failed WHY",            \
	     .show = status_show, .result = true},                                                           \
	{                                                                                                    \
		"wait", 0444, "waits for the end, then gives one number: the exit code",                     \
		    .show = wait_show, .await = true, .result = true                                         \
	}
