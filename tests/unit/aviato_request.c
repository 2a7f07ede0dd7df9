/* One call with its retries, where the service cannot be reached: who is refused then, who waits, and for
 * whom that says anything. */
#include "backend/aviato/aviato.h"
#include "backend/aviato/breaker.h"
#include "backend/aviato/failure.h"
#include "backend/aviato/request.h"
#include "base/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 60000

/* Two ports of this test alone: nobody answers at the one, connections are refused at the other. */
static int silent, closed;
static struct aviato service;

static int port(bool listens, struct endpoint **ret)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct endpoint_options options = {.connect_ms = 5000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof at;
	struct error err;
	char url[64];

	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listens ? listen(fd, 8) : 0, 0);
	snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(at.sin_port));
	options.base_url = url;
	assert_int_equal(endpoint_open(&options, ret, &err), 0);
	return fd;
}

static int begin(void **state)
{
	(void)state;
	return loop_start();
}

static int end(void **state)
{
	(void)state;
	loop_stop();
	return 0;
}

/* A service that has sandboxes and templates on two hosts, of which one refuses connections. */
static void open_service(struct endpoint **refuses, struct endpoint **takes)
{
	memset(&service, 0, sizeof service);
	closed = port(false, refuses);
	silent = port(true, takes);
}

static void close_now(void *done)
{
	breaker_close(&service);
	endpoint_close(service.endpoint);
	endpoint_close(service.templates);
	sem_post(done);
}

static void on_loop(void (*fn)(void *arg))
{
	struct timespec until;
	sem_t done;

	sem_init(&done, 0, 0);
	assert_int_equal(loop_post(fn, &done), 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_MS / 1000;
	assert_int_equal(sem_timedwait(&done, &until), 0);
	sem_destroy(&done);
}

static void close_service(void)
{
	on_loop(close_now);
	close(silent);
	close(closed);
}

/* --- Two services --- */

static struct request asked;
static struct rpc_status came;
static bool open_then; /* the breaker, when the answer came */

static void answered(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct rpc_status why;

	(void)answer;
	came = *status;
	open_then = breaker_is_open(&service, &why);
	sem_post(owner);
}

static void ask_templates(void *done)
{
	request_start(&asked, &service, "SandboxTemplateService/ListSandboxTemplates", cJSON_CreateObject(),
		      5000, 0, answered, done);
}

static void ask_sandboxes(void *done)
{
	request_start(&asked, &service, "ListSandboxes", cJSON_CreateObject(), 5000, 0, answered, done);
}

static void out_of_reach_are_the_templates_alone(void **state)
{
	(void)state;
	open_service(&service.templates, &service.endpoint);
	on_loop(ask_templates);
	assert_true(failure_is_unreachable(&came));
	assert_false(open_then);
	close_service();
}

static void out_of_reach_are_the_sandboxes(void **state)
{
	(void)state;
	open_service(&service.endpoint, &service.templates);
	on_loop(ask_sandboxes);
	assert_true(failure_is_unreachable(&came));
	assert_true(open_then);
	close_service();
}

/* --- Patience --- */

static struct request patient;
static bool waits, ended;

static void patient_ended(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	(void)owner;
	(void)answer;
	(void)status;
	ended = true;
}

/* The one that was asked first is looked at first: what it came to is known by now. */
static void refused_one(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	waits = request_under_way(&patient);
	answered(owner, answer, status);
}

static void ask_while_open(void *done)
{
	service.breaker.open = true;
	service.breaker.why = (struct rpc_status){.code = RPC_UNAVAILABLE, .transport = ECONNREFUSED};
	request_start(&patient, &service, "GetSandbox", cJSON_CreateObject(), WAIT_MS, WAIT_MS, patient_ended,
		      NULL);
	patient.patient = true;
	request_start(&asked, &service, "GetSandbox", cJSON_CreateObject(), WAIT_MS, WAIT_MS, refused_one,
		      done);
}

static void call_off(void *done)
{
	request_cancel(&patient);
	sem_post(done);
}

static void who_is_patient_outlasts_it(void **state)
{
	struct pollfd arrives;

	(void)state;
	open_service(&service.templates, &service.endpoint);
	on_loop(ask_while_open);
	assert_int_equal(came.transport, ECONNREFUSED);
	assert_true(waits);
	arrives = (struct pollfd){.fd = silent, .events = POLLIN};
	assert_int_equal(poll(&arrives, 1, WAIT_MS), 1);
	on_loop(call_off);
	assert_false(ended);
	close_service();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(out_of_reach_are_the_templates_alone),
	    cmocka_unit_test(out_of_reach_are_the_sandboxes),
	    cmocka_unit_test(who_is_patient_outlasts_it),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
