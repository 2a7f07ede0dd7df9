/*
 * aviatofs-agent --listen FD --spool FD [--orphan-timeout S] [--lifetime S]
 * aviatofs-agent --stdio --spool-dir PATH [--lifetime S]
 * aviatofs-agent --connect DIRECTORY --owner NAME [--steal] [--orphan-timeout S] [--end-sandbox]
 */
#include "agent/agent.h"
#include "agent/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_USAGE 2

struct command_line {
	struct options o;
	int in, out; /* --stdio: the connection */
	const char *spool_dir;
	bool made_spool_dir;
	struct resident_options resident; /* --connect */
	bool end_sandbox;		  /* its main process, when nobody comes back */
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "aviatofs-agent: %s: %s\n", what, why);
	return EXIT_USAGE;
}

static bool number(const char *text, uint64_t most, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= most;
}

/* An inherited descriptor. Commands must not inherit it in turn. */
static bool descriptor(const char *text, int *ret)
{
	uint64_t n;

	if (!number(text, 1 << 20, &n) || n <= STDERR_FILENO || fcntl((int)n, F_SETFD, FD_CLOEXEC))
		return false;
	*ret = (int)n;
	return true;
}

static bool seconds(const char *text, uint64_t *ret_ms)
{
	uint64_t n;

	if (!number(text, UINT32_MAX, &n))
		return false;
	*ret_ms = n * 1000;
	return true;
}

/* Whether it is one of the three forms. */
static bool consistent(const struct command_line *c)
{
	bool descriptors = c->o.listener >= 0 || c->o.spool >= 0;

	if (c->resident.directory)
		return c->resident.owner && !c->o.stdio && !c->spool_dir && !descriptors;
	if (c->o.stdio)
		return c->spool_dir && !descriptors;
	return !c->spool_dir && c->o.listener >= 0 && c->o.spool >= 0;
}

static int parse(int argc, char **argv, struct command_line *c)
{
	static const struct option names[] = {
	    {"listen", required_argument, NULL, 'l'},
	    {"spool", required_argument, NULL, 's'},
	    {"stdio", no_argument, NULL, 'i'},
	    {"spool-dir", required_argument, NULL, 'd'},
	    {"orphan-timeout", required_argument, NULL, 'o'},
	    {"lifetime", required_argument, NULL, 't'},
	    {"connect", required_argument, NULL, 'c'},
	    {"owner", required_argument, NULL, 'w'},
	    {"steal", no_argument, NULL, 'x'},
	    {"end-sandbox", no_argument, NULL, 'e'},
	    {0},
	};
	bool good = true;
	int name;

	while (good && (name = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (name) {
		case 'l':
			good = descriptor(optarg, &c->o.listener);
			break;
		case 's':
			good = descriptor(optarg, &c->o.spool);
			break;
		case 'i':
			c->o.stdio = true;
			break;
		case 'd':
			c->spool_dir = optarg;
			break;
		case 'o':
			good = seconds(optarg, &c->o.orphan_ms);
			break;
		case 't':
			good = seconds(optarg, &c->o.lifetime_ms);
			break;
		case 'c':
			c->resident.directory = optarg;
			break;
		case 'w':
			c->resident.owner = optarg;
			break;
		case 'x':
			c->resident.steal = true;
			break;
		case 'e':
			c->end_sandbox = true;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (!good)
		return complain(optarg, "not a usable number or descriptor");
	if (optind < argc)
		return complain(argv[optind], "unknown argument");
	if (!consistent(c))
		return complain("usage", "--listen FD --spool FD | --stdio --spool-dir PATH | "
					 "--connect DIRECTORY --owner NAME");
	return 0;
}

/* Above the standard descriptors, which are kept taken. */
static int move_up(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/* What commands without input inherit as theirs. In an image without devices: a pipe nobody writes to. */
static int empty_input(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), ends[2];

	if (fd >= 0)
		return fd;
	if (pipe2(ends, O_CLOEXEC))
		return -1;
	close(ends[1]);
	return ends[0];
}

/* Afterwards descriptors 0 to 2 are all taken, so that no other can land there, and 0 is empty. */
static int standard_files(struct command_line *c)
{
	int null;

	if (c->o.stdio) {
		c->in = move_up(STDIN_FILENO);
		c->out = move_up(STDOUT_FILENO);
		if (c->in < 0 || c->out < 0)
			return complain("standard input and output", strerror(errno));
		fcntl(c->in, F_SETFL, O_NONBLOCK);
		fcntl(c->out, F_SETFL, O_NONBLOCK);
	}
	null = empty_input();
	if (null < 0)
		return complain("/dev/null", strerror(errno));
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fd == STDIN_FILENO || (fd == STDOUT_FILENO && c->o.stdio) || fcntl(fd, F_GETFD) < 0)
			dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	else
		fcntl(null, F_SETFD, 0);
	return 0;
}

static void close_between(int first, int last)
{
	if (first <= last)
		syscall(SYS_close_range, (unsigned)first, (unsigned)last, 0);
}

/*
 * What else was inherited is not for commands; and whoever started the sandbox
 * takes the end of a pipe among it as the sign that the agent stands.
 */
static void close_others(const struct options *o)
{
	int low = o->listener < o->spool ? o->listener : o->spool;
	int high = o->listener < o->spool ? o->spool : o->listener;

	close_between(STDERR_FILENO + 1, low - 1);
	close_between(low + 1, high - 1);
	close_between(high + 1, INT_MAX);
}

static int open_spool(struct command_line *c)
{
	if (!c->o.stdio)
		return 0;
	c->made_spool_dir = !mkdir(c->spool_dir, 0700);
	c->o.spool = open(c->spool_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return c->o.spool < 0 ? complain(c->spool_dir, strerror(errno)) : 0;
}

/*
 * Sockets with abstract names are the network's, not a file system's: with the host's network those of its
 * programs could be reached. From Linux 6.12 on Landlock keeps them apart; those inside reach each other.
 */
static void leave_abstract_sockets(void)
{
	/* As of version 6; Debian 12's header ends before. */
	struct {
		uint64_t handled_access_fs, handled_access_net, scoped;
	} rules = {.scoped = 1 /* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET */};
	int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);

	if (fd < 0)
		return;
	syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
}

int main(int argc, char **argv)
{
	struct command_line c = {.o = {.listener = -1, .spool = -1}, .in = -1, .out = -1};
	struct agent a;
	int rc;

	/* Commands run as the same user: they must not trace us, nor reach our descriptors through /proc. */
	prctl(PR_SET_DUMPABLE, 0);
	rc = parse(argc, argv, &c);
	if (!rc && c.resident.directory) {
		rc = resident_connect(&c.resident, &c.o.listener, &c.o.spool);
		if (rc >= 0)
			return rc;
		rc = 0; /* in the process that is to be the agent */
	}
	if (rc || (rc = standard_files(&c)) || (rc = open_spool(&c)))
		return rc;
	if (c.o.listener >= 0) {
		if (!c.resident.directory)
			leave_abstract_sockets();
		close_others(&c.o);
		fcntl(c.o.listener, F_SETFL, O_NONBLOCK);
	}
	rc = agent_init(&a, &c.o);
	a.own_spool = c.o.stdio || c.resident.directory;
	if (!rc && c.o.stdio)
		rc = connection_open(&a, c.in, c.out);
	if (rc)
		rc = complain("cannot start", strerror(-rc));
	else
		agent_run(&a);
	if (!rc && c.end_sandbox && strcmp(a.ending, "ORPHANED") == 0)
		kill(1, SIGTERM);
	agent_free(&a);
	if (c.made_spool_dir)
		rmdir(c.spool_dir);
	return rc;
}
