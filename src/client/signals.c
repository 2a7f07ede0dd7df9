#include "client/signals.h"

#include "client/terminal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 10 /* until a command that is being started may be there */

static sigset_t wanted;
static atomic_uint_fast64_t passed;

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT};

static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* What we were started to ignore (nohup, a script's background) stays ignored. */
void signals_block(bool tty)
{
	sigset_t blocked;

	sigemptyset(&wanted);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (!is_ignored(numbers[i]))
			sigaddset(&wanted, numbers[i]);
	if (tty)
		sigaddset(&wanted, SIGWINCH);
	blocked = wanted;
	sigaddset(&blocked, SIGPIPE); /* a write that fails says so */
	sigaddset(&blocked, SIGTTIN); /* and so does a read in the background */
	sigprocmask(SIG_BLOCK, &blocked, NULL);
}

static bool is_end(int number)
{
	return number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT;
}

/*
 * False: the command is being started, and it is to be tried again. Who wants an end before it has
 * begun has it at once.
 */
static bool pass(const struct started *p, int number)
{
	int rc;

	if (number == SIGWINCH) {
		started_resize(p);
		return true;
	}
	atomic_fetch_or(&passed, UINT64_C(1) << number); /* before it can have had an effect */
	/* The group in the sandbox belongs to no shell, and TSTP stops no such group. */
	rc = started_signal(p, number == SIGTSTP ? SIGSTOP : number);

	if ((rc == -EAGAIN || rc == -ETIMEDOUT) && is_end(number)) {
		started_forget(p);
		signals_die(number);
	}
	if (rc == -EAGAIN && number != SIGTSTP && number != SIGCONT)
		return false;
	return true;
}

/* CONT wakes us, and is passed on. */
static void stop(void)
{
	bool was_raw = terminal_leave();

	raise(SIGSTOP); /* to this thread: sent to the process, others may take it, and we run on */
	if (was_raw)
		terminal_enter();
}

static void *pass_all(void *arg)
{
	static const struct timespec soon = {.tv_nsec = RETRY_MS * 1000000};
	const struct started *p = arg;
	uint64_t left = 0;

	for (;;) {
		int number = left ? sigtimedwait(&wanted, NULL, &soon) : sigwaitinfo(&wanted, NULL);

		if (number > 0)
			left |= UINT64_C(1) << number;
		for (int i = 1; left >> i; i++)
			if (left >> i & 1 && pass(p, i))
				left &= ~(UINT64_C(1) << i);
		if (number == SIGTSTP)
			stop();
	}
	return NULL;
}

bool signals_pass_to(const struct started *p)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, pass_all, (void *)p);

	if (rc)
		fprintf(stderr, "%s: a thread: %s\n", p->box->who, strerror(rc));
	else
		pthread_detach(thread);
	return rc == 0;
}

bool signals_passed(int number)
{
	return number > 0 && number < 64 && (atomic_load(&passed) & UINT64_C(1) << number);
}

void signals_die(int number)
{
	sigset_t only;

	terminal_leave();
	sigemptyset(&only);
	sigaddset(&only, number);
	signal(number, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &only, NULL);
	raise(number); /* to this thread: another waits for those of the process */
	_exit(128 + number);
}
