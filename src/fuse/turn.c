#include "fuse/turn.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TICK_MS	    2  /* a request that takes longer keeps nobody else waiting */
#define QUIET_TICKS 10 /* so long nothing came when nobody watches any more */
#define CROWD	    16 /* so often in a row more is waiting, or nothing: one worker is too few, or enough */

/* Else the ticket of the request that is served by who has the turn. */
enum { FREE, READING, EVERYBODYS, FIRST_TICKET };

static struct {
	bool used;
	_Atomic uint64_t state;
	_Atomic uint64_t ticket; /* the last */
	atomic_int streak;	 /* reads in a row that left something waiting, or, negative, nothing */
	sem_t queue;		 /* 0 while somebody is in watch() */
	atomic_bool asleep;	 /* who is there waits for news only, without ticks */
	int news;		 /* an eventfd */
} turn = {.ticket = FIRST_TICKET};

/* What the state is as far as this thread has the turn: READING, or the ticket of what it serves. FREE: it
 * has not. */
static _Thread_local uint64_t mine;

int turn_begin(void)
{
	turn.news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (turn.news < 0)
		return -errno;
	sem_init(&turn.queue, 0, 1);
	turn.used = true;
	return 0;
}

static bool change(uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong(&turn.state, &from, to);
}

/* --- Waiting for the turn --- */

static void tell(void)
{
	(void)!write(turn.news, &(uint64_t){1}, sizeof(uint64_t));
}

static void wait_for_news(int ms)
{
	struct pollfd p = {.fd = turn.news, .events = POLLIN};
	uint64_t count;

	if (poll(&p, 1, ms) > 0)
		(void)!read(turn.news, &count, sizeof count);
}

/* `asleep` is set before the state is looked at, and looked at after the state is set: one of both sees. */
static void sleep_until_served(void)
{
	turn.asleep = true;
	if (turn.state == READING)
		wait_for_news(-1);
	turn.asleep = false;
}

/* Returns true with the turn, or false when all may read. By one worker at a time. */
static bool watch(void)
{
	uint64_t seen = READING, last = 0, now;
	int quiet = 0;

	while ((now = turn.state) != EVERYBODYS) {
		/* The same request as a tick ago: who serves it finds on its return that it has lost the
		 * turn. */
		if ((now == FREE || (now >= FIRST_TICKET && now == seen)) && change(now, READING))
			return true;
		seen = now;
		quiet = turn.ticket == last ? quiet + 1 : 0;
		last = turn.ticket;
		if (quiet < QUIET_TICKS) {
			wait_for_news(TICK_MS);
		} else {
			sleep_until_served();
			quiet = 0;
		}
	}
	return false;
}

static bool keep(void)
{
	return mine != FREE && change(mine, READING);
}

static bool get(void)
{
	bool got;

	if (turn.state == EVERYBODYS)
		return false;
	while (sem_wait(&turn.queue) < 0)
		; /* a signal */
	got = watch();
	sem_post(&turn.queue);
	return got;
}

void turn_take(void)
{
	if (turn.used)
		mine = keep() || get() ? READING : FREE;
}

/* --- Having it --- */

static int count_read(int device)
{
	struct pollfd p = {.fd = device, .events = POLLIN};
	int streak = turn.streak;

	if (poll(&p, 1, 0) > 0)
		streak = streak < 0 ? 1 : streak < CROWD ? streak + 1 : streak;
	else
		streak = streak > 0 ? -1 : streak > -CROWD ? streak - 1 : streak;
	turn.streak = streak;
	return streak;
}

void turn_serve(int device)
{
	uint64_t ticket;
	int streak;

	if (!turn.used)
		return;
	streak = count_read(device);
	ticket = ++turn.ticket;
	if (mine == READING) { /* nobody else changes it then */
		mine = streak == CROWD ? FREE : ticket;
		turn.state = streak == CROWD ? EVERYBODYS : ticket;
		if (streak == CROWD)
			tell(); /* who watches, and lets in the next */
	} else if (streak == -CROWD && change(EVERYBODYS, ticket)) {
		mine = ticket;
	}
	if (turn.asleep && atomic_exchange(&turn.asleep, false))
		tell();
}

void turn_give(void)
{
	if (mine != FREE && change(mine, FREE))
		tell();
	mine = FREE;
}
