/* A failure as errno, a reason code and one sentence. */
#pragma once

/*
 * Chosen where the failure happens and carried up unchanged; the caller owns
 * the struct, nothing is allocated. `reason` is an upper-case word programs can
 * match on (IMAGE_MISSING); `text` is for people. Functions that take one
 * return 0 or -errno and leave it untouched on success.
 */
struct error {
	int code; /* a positive errno, 0 when nothing failed */
	char reason[48];
	char text[400];
};

/* Fills `err` (which may be NULL) and returns -code. */
int error_set(struct error *err, int code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The same with ": " and the words for errno `code` put behind the text. */
int error_errno(struct error *err, int code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
