/* The single checks. Each says at least one line, by say(); none changes anything on the machine for good. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum verdict { CHECK_OK, CHECK_WARN, CHECK_FAIL };

/* One line under the name of the check that runs: how it is, and where it is not well, what to do. */
void say(enum verdict v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The source it is about: "local:", "aviato:" ... */
const char *doctor_source(void);
/* Whether a check has failed so far. */
bool doctor_failed(void);

/* check_fuse.c */
void check_kernel(void);
void check_fuse_device(void);
void check_fusermount(void);
void check_allow_other(void);
void check_request_timeout(void);
void check_passthrough(void);

/* check_isolation.c */
void check_user_namespaces(void);
void check_apparmor(void);
void check_bubblewrap(void);
void check_isolation(void);
void check_seccomp(void);
void check_cgroups(void);

/* check_places.c */
void check_agent(void);
void check_state(void);
void check_runtime(void);
void check_space(void);

/* check_remote.c */
void check_address(void);
void check_credentials(void);

/* check_mount.c: a mount, a sandbox and a command in it, in a temporary directory */
void check_mount(void);

/* --- What several of them use --- */

/* The first line of a small file, without its newline; false when it cannot be read. */
bool read_line(const char *path, char *ret, size_t size);
/* A program on PATH, or in /usr/bin; false when there is none. */
bool find_program(const char *name, char *ret, size_t size);
/*
 * Runs a program, at most `seconds`; what it said goes to `said`, on one line. Returns its exit status, 128
 * and the signal, or -1 when it had to be killed or could not be started.
 */
int run_program(const char *const argv[], unsigned seconds, char *said, size_t size);
