/*
 * The benchmark: limit, peers and us, side by side in one run.
 *
 * Every round measures each contender once, in turn, so that a slow moment of
 * the machine falls on all of them; what is shown are medians, and their
 * ratios to the goals. tests/bench/run prepares the mount and the peers.
 */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS	    201
#define CLIENTS	    16
#define SECONDS	    3.0
#define BULK_ROUNDS 3
#define BULK_BLOCK  64000
#define BULK_COUNT  16384
#define SANDBOXES   10000
#define RUNNING	    1000
#define MOUNTS	    21

static int goals, missed;

static void goal(const char *what, double value, const char *unit, bool at_most, double wanted)
{
	bool pass = at_most ? value <= wanted : value >= wanted;

	goals++;
	missed += !pass;
	printf("    %-52s %9.2f %-4s goal %s %g  %s\n", what, value, unit, at_most ? "<=" : ">=", wanted,
	       pass ? "pass" : "MISS");
}

static void show(const char *name, double value, const char *unit)
{
	printf("  %-54s %9.1f %s\n", name, value, unit);
}

/* --- a command's round trip --- */

static const char *const echo_hi[] = {"/usr/bin/echo", "hi", NULL};

/* One command by a way of running programs: prefix, echo, hi. Its output must be right. */
static void spawn_echo(const struct way *w)
{
	char out[64];
	ssize_t got = run_captured(w, echo_hi, out, sizeof(out));

	if (got != 3 || memcmp(out, "hi\n", 3) != 0)
		fail("%s did not print hi", w->name);
}

static void our_echo(const char *box)
{
	char out[64];

	put(box, "cmd", "[\"/usr/bin/echo\", \"hi\"]\n");
	if (get(box, "stdout", out, sizeof(out)) != 3 || memcmp(out, "hi\n", 3) != 0)
		fail("stdout did not give hi");
	if (get(box, "wait", out, sizeof(out)) != 2 || memcmp(out, "0\n", 2) != 0)
		fail("wait did not give 0");
}

static void round_trips(const struct setting *s)
{
	static double times[WAYS + 1][ROUNDS];
	double ours;

	for (int i = -5; i < ROUNDS; i++) {
		int at = i < 0 ? 0 : i;

		for (int w = 0; w <= WAYS; w++) {
			double since = now();

			if (w == WAYS && s->box)
				our_echo(s->box);
			else if (w < WAYS && s->ways[w].present)
				spawn_echo(&s->ways[w]);
			times[w][at] = now() - since;
		}
	}
	ours = median(times[WAYS], ROUNDS);
	printf("\ncommand round trip: write cmd, read stdout to EOF, read wait (median of %d)\n", ROUNDS);
	for (int w = 0; w < WAYS; w++)
		if (s->ways[w].present)
			show(s->ways[w].name, median(times[w], ROUNDS) * 1e6, "us");
	if (!s->box)
		return;
	show("aviatofs", ours * 1e6, "us");
	goal("x posix_spawn", ours / median(times[WAY_SPAWN], ROUNDS), "", true, 2.0);
	if (s->ways[WAY_BWRAP].present)
		goal("x faster than bwrap per command", median(times[WAY_BWRAP], ROUNDS) / ours, "", false,
		     3);
	if (s->ways[WAY_CRUN].present)
		goal("x faster than crun exec", median(times[WAY_CRUN], ROUNDS) / ours, "", false, 3);
	if (s->ways[WAY_DOCKER].present)
		goal("x faster than docker exec", median(times[WAY_DOCKER], ROUNDS) / ours, "", false, 40);
}

/* --- commands per second --- */

/* One command on a descriptor of its own: any number of clients may share a sandbox. */
static void our_transaction(const char *box)
{
	char out[64];
	size_t got = 0;
	ssize_t n;
	int fd = open_in(box, "cmd", O_RDWR);

	if (write(fd, "[\"/usr/bin/echo\", \"hi\"]\n", 24) != 24)
		fail("write cmd: %s", strerror(errno));
	while ((n = read(fd, out + got, sizeof(out) - got)) > 0)
		got += n;
	if (n < 0 || got != 3 || memcmp(out, "hi\n", 3) != 0)
		fail("a transaction did not give hi");
	close(fd);
}

enum client_kind { CLIENT_WAY, CLIENT_TRANSACTIONS, CLIENT_SANDBOXES };

static void client(const struct setting *s, enum client_kind kind, const struct way *w, int number,
		   unsigned *count)
{
	double end = now() + SECONDS;
	const char *box;

	box = text("%s/client%d", s->session, number);
	while (now() < end) {
		if (kind == CLIENT_WAY)
			spawn_echo(w);
		else if (kind == CLIENT_TRANSACTIONS)
			our_transaction(s->box);
		else
			our_echo(box);
		++*count;
	}
	_exit(0);
}

/* Commands per second of CLIENTS processes. */
static double rate(const struct setting *s, enum client_kind kind, const struct way *w)
{
	unsigned *counts =
	    mmap(NULL, CLIENTS * 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned sum = 0;
	double since = now();

	for (int i = 0; i < CLIENTS; i++)
		if (fork() == 0)
			client(s, kind, w, i, &counts[i * 16]);
	for (int i = 0; i < CLIENTS; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			fail("a client failed");
	}
	for (int i = 0; i < CLIENTS; i++)
		sum += counts[i * 16];
	munmap(counts, CLIENTS * 64);
	return sum / (now() - since);
}

static void rates(const struct setting *s)
{
	double per_way[WAYS] = {0}, ours = 0, many = 0;

	for (int i = 0; i < CLIENTS && s->box; i++) {
		const char *box;

		box = text("%s/client%d", s->session, i);
		make_directory(box);
		our_echo(box);
	}
	for (int w = 0; w < WAYS; w++)
		if (s->ways[w].present)
			per_way[w] = rate(s, CLIENT_WAY, &s->ways[w]);
	if (s->box) {
		ours = rate(s, CLIENT_TRANSACTIONS, NULL);
		many = rate(s, CLIENT_SANDBOXES, NULL);
	}
	for (int i = 0; i < CLIENTS && s->box; i++) {
		const char *box;

		box = text("%s/client%d", s->session, i);
		rmdir(box);
	}

	printf("\ncommands per second, %d clients at once, %g s each\n", CLIENTS, SECONDS);
	for (int w = 0; w < WAYS; w++)
		if (s->ways[w].present)
			show(s->ways[w].name, per_way[w], "/s");
	if (!s->box)
		return;
	show("aviatofs, one sandbox, a transaction each", ours, "/s");
	show("aviatofs, a sandbox each, cmd + stdout + wait", many, "/s");
	goal("x posix_spawn", ours / per_way[WAY_SPAWN], "", false, 0.4);
	goal("x posix_spawn, a sandbox each", many / per_way[WAY_SPAWN], "", false, 0.4);
	if (per_way[WAY_BWRAP] > 0)
		goal("x bwrap per command", ours / per_way[WAY_BWRAP], "", false, 5);
	if (per_way[WAY_DOCKER] > 0)
		goal("x docker exec", ours / per_way[WAY_DOCKER], "", false, 60);
}

/* --- bulk output --- */

/* Seconds of `script` run by sh; its output must count right. */
static double shell(const char *script)
{
	const struct way sh = {.name = "sh", .present = true, .prefix = {"/bin/sh", "-c"}};
	const char *const args[] = {script, NULL};
	char out[64];
	double since = now();
	ssize_t got = run_captured(&sh, args, out, sizeof(out) - 1);

	if (got < 0)
		fail("failed: %s", script);
	return now() - since;
}

static double bulk_by(const struct way *w)
{
	char script[8192], *at = script;

	for (int i = 0; w->prefix[i]; i++)
		at += sprintf(at, "%s ", w->prefix[i]);
	sprintf(at, "/usr/bin/dd if=/dev/zero bs=%d count=%d status=none | cat >/dev/null", BULK_BLOCK,
		BULK_COUNT);
	return shell(script);
}

static double bulk_by_us(const char *box)
{
	const char *command, *script;
	char number[8];
	double took;

	command = text("[\"/usr/bin/dd\", \"if=/dev/zero\", \"bs=%d\", \"count=%d\", \"status=none\"]\n",
		       BULK_BLOCK, BULK_COUNT);
	script = text("cat '%s/proc/bulk/stdout' >/dev/null", box);
	make_in(box, "proc/bulk");
	took = -now();
	put(box, "proc/bulk/cmd", command);
	shell(script);
	took += now();
	if (get(box, "proc/bulk/wait", number, sizeof(number)) != 2 || number[0] != '0')
		fail("dd did not end well");
	remove_in(box, "proc/bulk");
	return took;
}

static void bulk(const struct setting *s)
{
	static double times[WAYS + 1][BULK_ROUNDS];
	double megabytes = (double)BULK_BLOCK * BULK_COUNT / 1e6, limit, ours;
	long before = s->box ? memory_of(s->daemon, "VmRSS") : 0;

	for (int i = 0; i < BULK_ROUNDS; i++)
		for (int w = 0; w <= WAYS; w++)
			if (w == WAYS && s->box)
				times[w][i] = bulk_by_us(s->box);
			else if (w < WAYS && s->ways[w].present)
				times[w][i] = bulk_by(&s->ways[w]);
	ours = megabytes / median(times[WAYS], BULK_ROUNDS);
	limit = megabytes / median(times[WAY_SPAWN], BULK_ROUNDS);

	printf("\n1 GB of stdout to cat >/dev/null, dd bs=%d (median of %d)\n", BULK_BLOCK, BULK_ROUNDS);
	show("raw pipe", limit, "MB/s");
	for (int w = WAY_SPAWN + 1; w < WAYS; w++)
		if (s->ways[w].present)
			show(s->ways[w].name, megabytes / median(times[w], BULK_ROUNDS), "MB/s");
	if (!s->box)
		return;
	show("aviatofs", ours, "MB/s");
	goal("x raw pipe", ours / limit, "", false, 0.5);
	if (s->ways[WAY_DOCKER].present)
		goal("x docker exec", ours * median(times[WAY_DOCKER], BULK_ROUNDS) / megabytes, "", false,
		     2);
	goal("daemon memory grown at its peak", (memory_of(s->daemon, "VmHWM") - before) / 1024.0, "MiB",
	     true, 8);
}

/* --- many --- */

static double listing(const char *path, int wanted)
{
	double times[9];

	for (int i = 0; i < 9; i++) {
		const char *script;

		script = text("ls '%s' | wc -l | grep -qx %d", path, wanted);
		times[i] = shell(script);
	}
	return median(times, 9);
}

static void many_sandboxes(const struct setting *s)
{
	const char *path, *script;
	long before, after;
	int threads = threads_of(s->daemon);
	double listed, made;

	path = text("%s-many", s->session);
	make_directory(path);
	before = memory_of(s->daemon, "VmRSS");
	script = text("cd '%s' && seq -f 'box%%05g' %d | xargs mkdir", path, SANDBOXES);
	made = shell(script);
	listed = listing(path, SANDBOXES);
	after = memory_of(s->daemon, "VmRSS");

	printf("\n%d sandboxes that are not started\n", SANDBOXES);
	show("to make them", made * 1e3, "ms");
	goal("ls of the session", listed * 1e3, "ms", true, 100);
	goal("daemon memory for each", (double)(after - before) / SANDBOXES, "KiB", true, 8);
	goal("threads more than before", threads_of(s->daemon) - threads, "", true, 0);
	script = text("cd '%s' && seq -f 'box%%05g' %d | xargs rmdir", path, SANDBOXES);
	shell(script);
	rmdir(path);
}

static void many_commands(const struct setting *s)
{
	const char *path;
	long before, after, agent_before, agent_after;
	int threads, agent;
	double started, listed;
	const char *proc;

	path = text("%s/running", s->session);
	make_directory(path);
	our_echo(path);
	agent = find_agent(s->state);
	threads = threads_of(s->daemon);
	before = memory_of(s->daemon, "VmRSS");
	agent_before = memory_of(agent, "VmRSS");
	started = -now();
	for (int i = 0; i < RUNNING; i++)
		put(path, "cmd", "[\"/usr/bin/sleep\", \"1000\"]\n");
	/* The commands start in order: when a later one has answered, they all run. */
	our_echo(path);
	started += now();
	after = memory_of(s->daemon, "VmRSS");
	agent_after = memory_of(agent, "VmRSS");
	proc = text("%s/proc", path);
	listed = listing(proc, RUNNING + 2);

	printf("\n%d running commands in one sandbox\n", RUNNING);
	show("to start them", started * 1e3, "ms");
	goal("ls of proc", listed * 1e3, "ms", true, 100);
	goal("daemon memory for each", (double)(after - before) / RUNNING, "KiB", true, 64);
	show("  agent memory for each", (double)(agent_after - agent_before) / RUNNING, "KiB");
	goal("daemon threads more than before", threads_of(s->daemon) - threads, "", true, 0);
	rmdir(path);
}

/* --- mounting --- */

static void mounts(const struct setting *s)
{
	double times[MOUNTS];
	const char *options, *at, *binary;
	struct stat st;
	long resident = 0;

	binary = text("%s/aviatofs", s->build);
	at = text("%s/mnt2", s->work);
	options = text("state_dir=%s/state2", s->work);
	make_directory(at);
	for (int i = 0; i < MOUNTS; i++) {
		const char *version, *script;
		double since = now();

		script = text("exec '%s' local: '%s' -o '%s'", binary, at, options);
		shell(script);
		version = text("%s/.ctl/version", at);
		if (stat(version, &st) < 0)
			fail("the mount does not answer: %s", strerror(errno));
		times[i] = now() - since;
		resident = memory_of(find_daemon(at), "VmRSS");
		script = text("fusermount3 -u '%s'", at);
		shell(script);
	}
	rmdir(at);

	printf("\nmount (median of %d)\n", MOUNTS);
	goal("until it answers", median(times, MOUNTS) * 1e3, "ms", true, 50);
	goal("daemon resident when idle", resident / 1024.0, "MiB", true, 15);
	binary = text("%s/aviatofs-agent", s->build);
	if (stat(binary, &st) < 0)
		fail("%s: %s", binary, strerror(errno));
	goal("agent", st.st_size / 1024.0, "KiB", true, 256);
}

int main(int argc, char **argv)
{
	struct setting s;

	setbuf(stdout, NULL);
	read_setting(&s, argc, argv);
	if (s.box)
		our_echo(s.box);
	round_trips(&s);
	rates(&s);
	bulk(&s);
	if (s.box) {
		/* The smaller first: memory once used and freed would hide what it takes. */
		many_commands(&s);
		many_sandboxes(&s);
		mounts(&s);
	}
	printf("\n%d goals, %d missed\n", goals, missed);
	return 0;
}
