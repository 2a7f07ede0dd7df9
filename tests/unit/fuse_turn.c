/* Workers that read requests from a pipe, as those of the mount do from the device. */
#include "fuse/turn.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#define WORKERS 4

static int requests[2];
static pthread_t workers[WORKERS];
static void (*serve)(int worker);
static pthread_barrier_t all_serve;
static sem_t served;
static atomic_int changes, last = -1, count;

static void *work(void *arg)
{
	int worker = (int)(intptr_t)arg;
	ssize_t n;
	char byte;

	for (;;) {
		turn_take();
		n = read(requests[0], &byte, 1);
		if (n <= 0)
			break;
		turn_serve(requests[0]);
		serve(worker);
	}
	turn_give();
	return NULL;
}

static void start(void (*how)(int))
{
	serve = how;
	assert_int_equal(pipe(requests), 0);
	for (intptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&workers[i], NULL, work, (void *)i), 0);
}

static void stop(void)
{
	close(requests[1]);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	close(requests[0]);
}

static void ask(int n)
{
	while (n--)
		assert_int_equal(write(requests[1], "r", 1), 1);
}

static void wait_for_served(int n)
{
	while (n)
		if (sem_wait(&served) == 0)
			n--;
}

static void answer_at_once(int worker)
{
	changes += atomic_exchange(&last, worker) != worker;
	sem_post(&served);
}

/* Without turns each would be served by another thread than the one before. */
static void one_after_the_other_is_served_by_one(void **state)
{
	(void)state;
	changes = 0;
	start(answer_at_once);
	for (int i = 0; i < 2000; i++) {
		ask(1);
		wait_for_served(1);
	}
	stop();
	assert_in_range(changes, 1, 1000);
}

static void answer_together(int worker)
{
	(void)worker;
	pthread_barrier_wait(&all_serve);
	sem_post(&served);
}

/* Requests that wait for each other: each that is stuck has to leave the turn to the next. */
static void who_is_stuck_keeps_nobody_waiting(void **state)
{
	(void)state;
	pthread_barrier_init(&all_serve, NULL, WORKERS);
	start(answer_together);
	for (int i = 0; i < 20; i++) {
		ask(WORKERS);
		wait_for_served(WORKERS);
	}
	stop();
	pthread_barrier_destroy(&all_serve);
}

static void give_and_answer_together(int worker)
{
	turn_give();
	answer_together(worker);
}

static void what_takes_its_time_says_so(void **state)
{
	(void)state;
	pthread_barrier_init(&all_serve, NULL, WORKERS);
	start(give_and_answer_together);
	for (int i = 0; i < 200; i++) {
		ask(WORKERS);
		wait_for_served(WORKERS);
	}
	stop();
	pthread_barrier_destroy(&all_serve);
}

static void count_it(int worker)
{
	(void)worker;
	count++;
	sem_post(&served);
}

/* Many at once open the turn to all, single ones close it again, and none is lost on the way. */
static void crowds_come_and_go(void **state)
{
	(void)state;
	count = 0;
	start(count_it);
	for (int round = 0; round < 20; round++) {
		ask(1000);
		wait_for_served(1000);
		for (int i = 0; i < 50; i++) {
			ask(1);
			wait_for_served(1);
		}
	}
	stop();
	assert_int_equal(count, 20 * 1050);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_after_the_other_is_served_by_one),
	    cmocka_unit_test(who_is_stuck_keeps_nobody_waiting),
	    cmocka_unit_test(what_takes_its_time_says_so),
	    cmocka_unit_test(crowds_come_and_go),
	};

	sem_init(&served, 0, 0);
	if (turn_begin() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
