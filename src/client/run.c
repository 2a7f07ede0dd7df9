#include "client/run.h"

#include "base/shell.h"
#include "client/attend.h"

#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MAX 2592000.0 /* seconds: what a command may have */

#define OPTIONS "[--env NAME[=VALUE]] [--cwd DIR] [--timeout SECONDS] [--tty]"

/* `shell` has no words of its own. */
static int usage(FILE *to, bool shell, int status)
{
	fprintf(to, "usage: aviatofs %s BOX " OPTIONS "%s\n", shell ? "shell" : "run",
		shell ? "" : " [--] ARGV...");
	return status;
}

/* Before BOX, or behind it, where it is what `box/run --help` comes to. */
static bool is_help_wanted(int argc, char **words)
{
	return (argc > 1 && strcmp(words[1], "--help") == 0) || (argc > 2 && strcmp(words[2], "--help") == 0);
}

static int wrong(const char *option, const char *word, const char *what)
{
	fprintf(stderr, "aviatofs: %s %s: %s\n", option, word, what);
	return CLIENT_BROKEN;
}

/* NAME=VALUE as it is here, or NULL. */
static const char *find_env(const char *name)
{
	size_t len = strlen(name);

	for (char **e = environ; *e; e++)
		if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
			return *e;
	return NULL;
}

/* A name alone has the value it has here, as with other runners of containers. */
static int add_env(struct order *o, int *count, const char *word)
{
	const char *entry = strchr(word, '=') ? word : find_env(word);

	if (*word == '=' || !*word)
		return wrong("--env", word, "NAME or NAME=VALUE is wanted");
	if (entry)
		o->env[(*count)++] = entry;
	return 0;
}

static int parse_timeout(struct order *o, const char *word)
{
	char *end;

	o->timeout = strtod(word, &end);
	return *word && !*end && isfinite(o->timeout) && o->timeout > 0 && o->timeout <= TIMEOUT_MAX
		   ? 0
		   : wrong("--timeout", word, "seconds are wanted, more than 0 and at most 2592000");
}

/* The words behind BOX. */
static int parse(int argc, char **argv, struct order *o, bool shell)
{
	static const struct option options[] = {
	    {"env", required_argument, NULL, 'e'},
	    {"cwd", required_argument, NULL, 'd'},
	    {"timeout", required_argument, NULL, 't'},
	    {"tty", no_argument, NULL, 'T'},
	    {0},
	};
	int c, count = 0, rc = 0;

	optind = 1;
	while (rc == 0 && (c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (c) {
		case 'e':
			rc = add_env(o, &count, optarg);
			break;
		case 'd':
			o->cwd = optarg;
			rc = *optarg == '/'
				 ? 0
				 : wrong("--cwd", optarg, "an absolute path in the sandbox is wanted");
			break;
		case 't':
			rc = parse_timeout(o, optarg);
			break;
		case 'T':
			o->tty = true;
			break;
		default:
			rc = usage(stderr, shell, CLIENT_BROKEN);
		}
	}
	/* The kind of terminal goes with it: an own word comes later, and counts. */
	if (o->tty && rc == 0) {
		memmove(o->env + 1, o->env, (size_t)count * sizeof *o->env);
		o->env[0] = find_env("TERM") ? find_env("TERM") : "TERM=xterm";
	}
	o->argv = argv + optind;
	return rc;
}

/* `argv` NULL: it is in the words. */
static int run(int argc, char **words, const char *who, char *const *argv)
{
	/* A shell that is fed by a file or a pipe reads it as any shell does: there is nobody at a terminal.
	 */
	struct order o = {.tty = argv && isatty(STDIN_FILENO)};
	char directory[PATH_MAX];
	struct box b;
	int rc;

	if (is_help_wanted(argc, words))
		return usage(stdout, argv != NULL, 0);
	if (argc < 2)
		return usage(stderr, argv != NULL, CLIENT_BROKEN);
	o.env = calloc((size_t)argc + 2, sizeof *o.env);
	if (!o.env)
		return CLIENT_BROKEN;
	rc = parse(argc - 1, words + 1, &o, argv != NULL);
	if (rc == 0 && (argv != NULL) == (*o.argv != NULL)) /* a program too many, or none */
		rc = usage(stderr, argv != NULL, CLIENT_BROKEN);
	if (argv)
		o.argv = argv;
	rc = rc ? rc : box_open(&b, who, words[1]);
	if (rc == 0 && !o.cwd) {
		box_directory(&b, directory, sizeof directory);
		o.cwd = directory;
	}
	rc = rc ? rc : attend(&b, &o);
	free(o.env);
	return rc;
}

int client_run(int argc, char **argv)
{
	return run(argc, argv, "aviatofs run", NULL);
}

int client_program(int argc, char **argv)
{
	char directory[PATH_MAX];
	struct order o = {.cwd = directory};
	const char *name;
	struct box b;
	int rc;

	if (argc < 2)
		return usage(stderr, false, CLIENT_BROKEN);
	rc = box_open_program(&b, "aviatofs run", argv[1], &name);
	if (rc)
		return rc;
	box_directory(&b, directory, sizeof directory);
	argv[1] = (char *)name;
	o.argv = argv + 1;
	return attend(&b, &o);
}

int client_shell(int argc, char **argv)
{
	static char sh[] = "/bin/sh", option[] = "-c", text[] = INTERACTIVE_SHELL;
	static char *const shell[] = {sh, option, text, NULL};

	return run(argc, argv, "aviatofs shell", shell);
}
