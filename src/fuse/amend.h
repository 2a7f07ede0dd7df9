/*
 * What the kernel can do and libfuse 3.14 knows nothing of: requests and replies
 * are amended on their way between the two.
 *
 *   O_TMPFILE            comes as a CREATE whose flags hold it
 *   direct I/O and mmap  files opened for direct I/O can be mapped shared
 *   capabilities         a user's daemon need not be asked for those of a file before each write to it
 *   passthrough          is agreed on in the reply to INIT; see passthrough.h
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <stdbool.h>
#include <stdint.h>

/* After fuse_session_mount(), before the first request is read. 0 or -errno. */
int amend_session(struct fuse_session *session);

/*
 * Before the first request: a write of ours takes from a file what a write of whoever asks for it would,
 * setuid bits and capabilities. Else each write is preceded by a question for the latter.
 */
void amend_own_writes(void);
/*
 * For the reply to INIT: the kernel is asked to pass file data through, if it offers that. To be called
 * from the init operation.
 */
void amend_want_passthrough(void);
/* Whether it was offered, and asked for. */
bool amend_has_passthrough(void);

/*
 * The next reply this thread sends, one to OPEN or CREATE, names this backing file; 0: it names none. An
 * error passes as it is.
 */
void amend_backing(int32_t id);
/* The next reply this thread sends, one to OPEN, is of a file without a position: its readers do not keep its
 * writers waiting. */
void amend_stream(void);
