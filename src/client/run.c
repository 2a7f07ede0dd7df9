#include "client/run.h"

#include "client/attend.h"

#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MAX 2592000.0 /* seconds: what a command may have */

static int usage(void)
{
	fputs("usage: aviatofs run BOX [--env NAME[=VALUE]] [--cwd DIR] [--timeout SECONDS] [--] ARGV...\n",
	      stderr);
	return CLIENT_BROKEN;
}

/* A name alone has the value it has here, as with other runners of containers. */
static int add_env(struct order *o, int *count, const char *word)
{
	const char *value;
	char *entry;

	if (*word == '=' || !*word)
		return usage();
	if (strchr(word, '=')) {
		o->env[(*count)++] = word;
		return 0;
	}
	value = getenv(word);
	if (!value)
		return 0;
	if (asprintf(&entry, "%s=%s", word, value) < 0)
		return usage();
	o->env[(*count)++] = entry;
	return 0;
}

static int parse_timeout(struct order *o, const char *word)
{
	char *end;

	o->timeout = strtod(word, &end);
	return *word && !*end && isfinite(o->timeout) && o->timeout > 0 && o->timeout <= TIMEOUT_MAX
		   ? 0
		   : usage();
}

/* The words behind BOX. */
static int parse(int argc, char **argv, struct order *o)
{
	static const struct option options[] = {
	    {"env", required_argument, NULL, 'e'},
	    {"cwd", required_argument, NULL, 'd'},
	    {"timeout", required_argument, NULL, 't'},
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
			rc = *optarg == '/' ? 0 : usage();
			break;
		case 't':
			rc = parse_timeout(o, optarg);
			break;
		default:
			rc = usage();
		}
	}
	o->argv = argv + optind;
	return rc || optind < argc ? rc : usage();
}

int client_run(int argc, char **argv)
{
	char directory[PATH_MAX];
	struct order o = {0};
	struct box b;
	int rc;

	if (argc < 2)
		return usage();
	o.env = calloc((size_t)argc + 1, sizeof *o.env);
	if (!o.env)
		return CLIENT_BROKEN;
	rc = parse(argc - 1, argv + 1, &o);
	rc = rc ? rc : box_open(&b, "aviatofs run", argv[1]);
	if (rc == 0 && !o.cwd) {
		box_directory(&b, directory, sizeof directory);
		o.cwd = directory;
	}
	rc = rc ? rc : attend(&b, &o);
	free(o.env);
	return rc;
}
