#include "subcommands.h"

#include "client/run.h"
#include "client/wait.h"
#include "doctor/doctor.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

static int help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	options_print_help();
	return 0;
}

/* A new one is a line here and one in the manual's COMMANDS. */
static const struct subcommand subcommands[] = {
    {"run", "BOX [OPTION...] [--] ARGV...", "a command in a sandbox, as if it ran here", client_run},
    {"shell", "BOX [OPTION...]", "a shell in a sandbox, on this terminal", client_shell},
    {"wait", "[--any|--count N] [--timeout S] PATH...", "until commands have ended; prints which",
     client_wait},
    {"doctor", "[SOURCE]", "what this machine has and lacks for a mount, and what to do", doctor_run},
    {"help", "", "this text", help},
    {0},
};

const struct subcommand *subcommand_find(const char *word)
{
	for (const struct subcommand *s = subcommands; s->name; s++)
		if (strcmp(s->name, word) == 0)
			return s;
	return NULL;
}

void subcommands_print(void)
{
	for (const struct subcommand *s = subcommands; s->name; s++)
		printf("  %-5s %-28s %s\n", s->name, s->usage, s->help);
}
