#include "doctor/doctor.h"

#include "doctor/checks.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LOCAL = 1, REMOTE = 2 };

static const struct check {
	const char *name;
	int of; /* which sources it is about */
	void (*run)(void);
} checks[] = {
    {"kernel", LOCAL | REMOTE, check_kernel},
    {"fuse", LOCAL | REMOTE, check_fuse_device},
    {"fusermount", LOCAL | REMOTE, check_fusermount},
    {"allow_other", LOCAL | REMOTE, check_allow_other},
    {"requests", LOCAL | REMOTE, check_request_timeout},
    {"passthrough", LOCAL, check_passthrough},
    {"namespaces", LOCAL, check_user_namespaces},
    {"apparmor", LOCAL, check_apparmor},
    {"bubblewrap", LOCAL, check_bubblewrap},
    {"isolation", LOCAL, check_isolation},
    {"seccomp", LOCAL, check_seccomp},
    {"cgroups", LOCAL, check_cgroups},
    {"agent", LOCAL | REMOTE, check_agent},
    {"state", LOCAL, check_state},
    {"space", LOCAL, check_space},
    {"runtime", LOCAL | REMOTE, check_runtime},
    {"address", REMOTE, check_address},
    {"credentials", REMOTE, check_credentials},
    {"mount", LOCAL, check_mount},
};

static const char *source = "local:", *current = "";
static bool failed;

void say(enum verdict v, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "warn", "fail"};
	va_list args;

	failed |= v == CHECK_FAIL;
	printf("%-4s  %-11s  ", words[v], current);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout); /* the next one may take its time */
}

const char *doctor_source(void)
{
	return source;
}

bool doctor_failed(void)
{
	return failed;
}

static int usage(FILE *to, int status)
{
	fputs("usage: aviatofs doctor [local: | local:NAME | aviato: | https://HOST]\n", to);
	return status;
}

int doctor_run(int argc, char **argv)
{
	int of;

	if (argc > 2)
		return usage(stderr, 2);
	if (argc == 2)
		source = argv[1];
	if (strcmp(source, "--help") == 0)
		return usage(stdout, 0);
	if (strncmp(source, "local:", 6) == 0)
		of = LOCAL;
	else if (strcmp(source, "aviato:") == 0 || strncmp(source, "https://", 8) == 0 ||
		 strncmp(source, "http://", 7) == 0)
		of = REMOTE;
	else
		return usage(stderr, 2);
	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
		current = checks[i].name;
		if (checks[i].of & of)
			checks[i].run();
	}
	return failed;
}
