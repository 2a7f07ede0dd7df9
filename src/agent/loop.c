#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define END_MS	   1000 /* after KILL to all: how long we wait for them to be gone */
#define BYE_MS	   2000 /* how long the daemon may take to hear the rest */

extern char **environ;

uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- Watches --- */

static int control(struct agent *a, struct watch *w, int op, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = w};

	if (epoll_ctl(a->epoll, op, w->fd, &e))
		return -errno;
	w->loop = op == EPOLL_CTL_DEL ? 0 : a->epoll + 1;
	return 0;
}

int watch_add(struct agent *a, struct watch *w, uint32_t events)
{
	return control(a, w, EPOLL_CTL_ADD, events);
}

void watch_change(struct agent *a, struct watch *w, uint32_t events)
{
	control(a, w, EPOLL_CTL_MOD, events);
}

void watch_pause(struct agent *a, struct watch *w)
{
	control(a, w, EPOLL_CTL_DEL, 0);
}

void watch_close(struct watch *w)
{
	/*
	 * Closing alone would not do: a child that is about to execute has copies of our descriptors,
	 * and we run on before they are closed. Until then the file stays in the loop.
	 */
	if (w->loop)
		epoll_ctl(w->loop - 1, EPOLL_CTL_DEL, w->fd, NULL);
	w->loop = 0;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* --- Children --- */

static void reap_all(struct agent *a)
{
	int status;
	pid_t pid;

	while ((pid = spawn_reap(&status)) > 0)
		process_exited(a, pid, status);
	a->alone = pid == -ECHILD;
}

static void on_signals(struct agent *a, struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGCHLD) {
			reap_all(a);
			return; /* further ones make us ready again */
		}
		agent_end(a, "SHUTDOWN", KILL_GRACE_MS);
	}
}

/*
 * Every signal is blocked, for good: children then have one mask to clear and
 * no disposition to reset, as we set no handler and undo what we inherited.
 */
static int signals_init(struct agent *a)
{
	struct sigaction action;
	sigset_t all, wanted;

	for (int sig = 1; sig <= (int)SIGNAL_MAX; sig++)
		if (!sigaction(sig, NULL, &action) && action.sa_handler == SIG_IGN)
			signal(sig, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	if (a->stdio) {
		/* In a sandbox of its own, PID 1 must not be ended by its commands: these count only here. */
		sigaddset(&wanted, SIGTERM);
		sigaddset(&wanted, SIGINT);
		sigaddset(&wanted, SIGHUP);
	}
	a->signals.fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	a->signals.ready = on_signals;
	return a->signals.fd < 0 ? -errno : watch_add(a, &a->signals, EPOLLIN);
}

/* A running command takes five descriptors; the commands themselves keep the limit we were given. */
static void raise_files_limit(struct agent *a)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= limit.rlim_max)
		return;
	a->files_limit = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		a->files_limit = 0;
}

/* --- Birth --- */

/* Whatever else we inherited stays with us: commands get their three descriptors and no more. */
static void keep_descriptors(void)
{
#ifdef SYS_close_range
	syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
#endif
}

static uint64_t after(const struct agent *a, uint64_t ms)
{
	return ms && ms < NEVER - a->now ? a->now + ms : NEVER;
}

int agent_init(struct agent *a, const struct options *o)
{
	int rc;

	unsetenv("PWD"); /* where we are, not where a command is */
	*a = (struct agent){
	    .epoll = epoll_create1(EPOLL_CLOEXEC),
	    .listener = {.fd = o->listener, .ready = connection_accept},
	    .signals = {.fd = -1},
	    .spare = -1,
	    .spool = o->spool,
	    .root = o->root,
	    .stdio = o->stdio,
	    .is_init = getpid() == 1,
	    .environ = environ,
	    .started_ns = wall_ns(),
	    .now = clock_ms(),
	    .orphan_ms = o->orphan_ms,
	    .next_process = NEVER,
	    .retry_at = NEVER,
	    .talk_at = NEVER,
	    .kill_at = NEVER,
	    .end_by = NEVER,
	};
	a->orphan_at = after(a, o->orphan_ms);
	a->lifetime_at = after(a, o->lifetime_ms);
	list_init(&a->processes);
	list_init(&a->dirty);
	list_init(&a->trash);
	for (int i = 0; i < HASH_SIZE; i++) {
		list_init(&a->by_id[i]);
		list_init(&a->by_pid[i]);
	}
	connection_init(a);
	if (a->epoll < 0)
		return -errno;
	if (!a->is_init)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	keep_descriptors();
	raise_files_limit(a);
	a->spare = fcntl(a->epoll, F_DUPFD_CLOEXEC, 0);
	rc = signals_init(a);
	reap_all(a); /* of whoever was here before us */
	return !rc && o->listener >= 0 ? watch_add(a, &a->listener, EPOLLIN) : rc;
}

static void empty_trash(struct agent *a)
{
	list_each_safe (at, &a->trash) {
		list_remove(at);
		process_free(container_of(at, struct process, all));
	}
}

void agent_free(struct agent *a)
{
	a->stdio = false;
	connection_close(a);
	files_free(a);
	if (a->root > 0)
		close(a->root);
	list_each_safe (at, &a->processes) {
		struct process *p = container_of(at, struct process, all);

		for (int i = 0; i < STREAMS; i++)
			stream_free(&p->streams[i]);
		input_close(&p->input);
		if (a->own_spool)
			spool_forget(a, p);
		list_remove(&p->all);
		process_free(p);
	}
	empty_trash(a);
	watch_close(&a->listener);
	watch_close(&a->signals);
	if (a->spare >= 0)
		close(a->spare);
	close(a->epoll);
	close(a->spool);
}

/* --- Death --- */

void agent_end(struct agent *a, const char *reason, uint64_t grace_ms)
{
	uint64_t kill_at = grace_ms ? after(a, grace_ms) : a->now;

	if (!a->ending) {
		a->ending = reason;
		a->orphan_at = a->lifetime_at = NEVER;
		spawn_signal_all(a, SIGTERM);
		spawn_signal_all(a, SIGCONT);
	}
	if (!a->killed && kill_at < a->kill_at)
		a->kill_at = kill_at;
	a->again = true;
}

static void end_round(struct agent *a)
{
	reap_all(a);
	if (a->now >= a->kill_at) {
		spawn_signal_all(a, SIGKILL);
		a->killed = true;
		a->kill_at = NEVER;
		if (a->end_by == NEVER)
			a->end_by = a->now + END_MS;
	}
	if (!a->alone && a->now < a->end_by)
		return;
	/* Nobody runs any more: what they left is told, then the word why. */
	if (!a->bye) {
		a->kill_at = NEVER;
		a->end_by = a->now + BYE_MS;
		a->bye = true;
	}
	if (tell_done(a) && !a->conn.ending)
		connection_bye(a, a->ending);
	connection_flush(a);
	a->done = a->conn.state == CONN_NONE || a->now >= a->end_by;
}

/* --- Life --- */

static uint64_t earliest(const struct agent *a)
{
	const uint64_t deadlines[] = {a->next_process, a->retry_at, a->talk_at, a->orphan_at,
				      a->lifetime_at,  a->kill_at,  a->end_by};
	uint64_t at = NEVER;

	for (unsigned i = 0; i < sizeof deadlines / sizeof *deadlines; i++)
		if (deadlines[i] < at)
			at = deadlines[i];
	return at;
}

static int wait_ms(const struct agent *a, int most)
{
	uint64_t at = earliest(a), ms;

	if (a->again || at <= a->now)
		return 0;
	if (at == NEVER)
		return most;
	ms = at - a->now;
	if (ms > 3600 * 1000)
		ms = 3600 * 1000;
	return most >= 0 && (uint64_t)most < ms ? most : (int)ms;
}

static void run_deadlines(struct agent *a)
{
	if (a->now >= a->next_process)
		process_deadlines(a);
	if (a->now >= a->retry_at)
		process_retry(a);
	if (a->now >= a->talk_at)
		a->talk = true;
	if (a->now >= a->orphan_at)
		agent_end(a, "ORPHANED", KILL_GRACE_MS);
	if (a->now >= a->lifetime_at)
		agent_end(a, "LIFETIME", KILL_GRACE_MS);
}

void agent_round(struct agent *a, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	a->now = clock_ms();
	n = epoll_wait(a->epoll, events, EVENTS_MAX, wait_ms(a, timeout_ms));
	a->again = a->yield = false;
	a->now = clock_ms();
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		w->ready(a, w, events[i].events);
	}
	run_deadlines(a);
	connection_flush(a);
	if (a->ending)
		end_round(a);
	empty_trash(a);
}

void agent_run(struct agent *a)
{
	while (!a->done)
		agent_round(a, -1);
}
