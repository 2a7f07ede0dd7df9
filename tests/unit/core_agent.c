/* What agents report after a reconnect, what mad ones say, and how many commands are kept. */
#include "core_fake.h"

#include "core/process/terminal.h"

static char *text(const char *s)
{
	return (char *)s;
}

static struct start shell(const char *name)
{
	return (struct start){.kind = START_SHELL, .name = text(name), .text = text("cmd"), .text_len = 3};
}

/* A sandbox of an earlier mount, whose agent has said hello. */
static struct sandbox *found(const char *name)
{
	const struct config config = {.text = {[CONFIG_IMAGE] = text("old")}};
	const struct sandbox_leftover leftover = {.id = "0123",
						  .session = "s",
						  .name = name,
						  .config = &config,
						  .created = 1000,
						  .started = 1500,
						  .instance = fake_new()};
	struct sandbox *s;

	core_lock();
	s = sandbox_found(&leftover);
	core_unlock();
	assert_non_null(s);
	fake_connect(s, -1);
	agent_welcome(fake_of(s));
	fake_of(s)->seen = fake_of(s)->sent.len;
	return s;
}

static void test_adoption(void **state)
{
	struct report running = {.running = true, .outcome.started_ns = 7000000000, .start = shell("5")};
	struct report ended = {.outcome = {OUTCOME_EXITED, 4, 1, 2, "", ""}, .start = shell("build")};
	struct report mains = {.running = true, .start = shell("main")};
	unsigned arriving = the_mount.arriving;
	struct sandbox *s = found("old");
	struct fake *f = fake_of(s);
	struct start start;

	(void)state;
	assert_int_equal(the_mount.arriving, arriving + 1);
	assert_int_equal(s->state, SANDBOX_CREATING);
	assert_string_equal(s->id, "0123");
	agent_report(f, 9, &running);
	assert_said_number(f, MSG_WANT, 9, STREAM_OUT, 0);
	assert_said_number(f, MSG_WANT, 9, STREAM_ERR, 0);
	agent_report(f, MAIN_ID, &mains);
	agent_report(f, 3, &ended);
	assert_int_equal(s->state, SANDBOX_CREATING);
	agent_ready(f);
	assert_int_equal(s->state, SANDBOX_RUNNING);
	assert_int_equal(s->started, 1500); /* and not now: its lifetime is counted from there */
	assert_int_equal(the_mount.arriving, arriving);
	assert_status(fake_process(s, "5"), "running");
	assert_int_equal(fake_process(s, "5")->start.text_len, 3);
	assert_status(fake_process(s, "build"), "exited 4");
	assert_ptr_equal(s->latest, fake_process(s, "5"));
	assert_non_null(s->main);
	assert_null(fake_process(s, "main"));
	/* Numbers go on behind what there was. */
	f->seen = f->sent.len;
	assert_int_equal(fake_submit(s, NULL, "next"), 0);
	assert_string_equal(s->latest->object.name, "6");
	assert_said_start(f, 10, &start);
	start_free(&start);
	agent_exited(f, 9, OUTCOME_EXITED, 0);
	assert_status(fake_process(s, "5"), "exited 0");
}

/* By mkdir, when the agent had not told yet that a command has the name. */
static void test_adoption_of_a_name_declared_before(void **state)
{
	struct report running = {.running = true, .outcome.started_ns = 7, .start = shell("build")};
	struct sandbox *s = found("declared");
	struct fake *f = fake_of(s);
	struct process *p;
	struct frame said;
	struct draft d;
	struct error err;

	(void)state;
	core_lock();
	assert_int_equal(process_make(s, "build", &err), 0);
	p = fake_process(s, "build");
	sink_open(&p->input);
	assert_int_equal(sink_write(&p->input, "mine", 4), 4);
	core_unlock();
	running.start.input = true;
	agent_report(f, 3, &running);
	agent_ready(f);
	assert_ptr_equal(fake_process(s, "build"), p);
	assert_status(p, "running");
	assert_int_equal(s->object.child_count, 1);
	core_lock();
	assert_int_equal(sink_write(&p->input, "mine", 4), -EPIPE);
	assert_int_equal(process_make(s, "build", &err), -EEXIST);
	draft_init(&d, &p->inbox);
	assert_int_equal(draft_write(&d, "echo mine", 9), -EBUSY);
	draft_release(&d);
	core_unlock();
	/* Neither forgotten nor fed. */
	while (f->seen < f->sent.len) {
		int type = next_said(f, &said);

		assert_int_not_equal(type, MSG_FORGET);
		assert_int_not_equal(type, MSG_START);
		assert_int_not_equal(type, MSG_INPUT);
	}
	agent_exited(f, 3, OUTCOME_EXITED, 5);
	assert_status(p, "exited 5");
}

static void test_reports_that_make_no_sense(void **state)
{
	static const char *const names[] = {"", "..", "a/b", "taken", ".ctl"};
	struct report r = {.running = true};
	struct sandbox *s = found("senseless");
	struct fake *f = fake_of(s);

	(void)state;
	r.start = shell("taken");
	agent_report(f, 2, &r);
	f->seen = f->sent.len;
	for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct frame said;

		r.start = shell(names[i]);
		agent_report(f, 10 + i, &r);
		assert_int_equal(next_said(f, &said), MSG_FORGET);
		assert_int_equal(said.id, 10 + i);
	}
	assert_said_nothing(f);
	assert_int_equal(s->object.child_count, 1);
}

/* A process this daemon knows is brought up to date: output is asked for from where it ends here. */
static void test_report_of_a_known_one(void **state)
{
	struct report r = {.running = true, .outcome.started_ns = 5, .start = shell("1")};
	struct sandbox *s = fake_running("known", -1);
	struct fake *f = fake_of(s);

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "{\"command\": \"cat\", \"stdin\": true}"), 0);
	agent_output(f, 2, STREAM_OUT, 0, "hello");
	f->seen = f->sent.len;
	agent_report(f, 2, &r);
	assert_status(s->latest, "running");
	assert_said_number(f, MSG_WANT, 2, STREAM_OUT, 5);
	assert_said_number(f, MSG_WANT, 2, STREAM_ERR, 0);
	r.running = false;
	r.outcome = (struct outcome){OUTCOME_SIGNALED, 15, 5, 6, "", ""};
	agent_report(f, 2, &r);
	assert_status(s->latest, "signaled 15 TERM");
	r.running = true; /* nobody rises again */
	agent_report(f, 2, &r);
	assert_status(s->latest, "signaled 15 TERM");
}

/* --- Streamed output --- */

static void test_output_in_order(void **state)
{
	struct sandbox *s = fake_running("output", -1);
	struct fake *f = fake_of(s);
	struct stream *out;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "x"), 0);
	out = &s->latest->streams[STREAM_OUT];
	agent_output(f, 2, STREAM_OUT, 0, "hello");
	agent_output(f, 2, STREAM_OUT, 3, "lo wor"); /* overlaps */
	agent_output(f, 2, STREAM_OUT, 0, "XXXXX");  /* known */
	agent_output(f, 2, STREAM_OUT, 20, "gap");
	assert_int_equal(out->size, 9);
	assert_memory_equal(out->head, "hello wor", 9);
	agent_number(f, MSG_GREW, 2, STREAM_OUT, 0, 5000); /* says what has not come */
	assert_int_equal(out->size, 9);
	agent_number(f, MSG_END, 2, STREAM_OUT, 0, 9);
	assert_true(out->ended);
}

/* --- Agents gone mad --- */

static void test_unknown_ids(void **state)
{
	struct sandbox *s = fake_running("unknown", -1);
	struct fake *f = fake_of(s);

	(void)state;
	for (int i = 0; i < 3; i++) {
		static const uint32_t ids[] = {0, 77, UINT32_MAX};

		agent_number(f, MSG_STARTED, ids[i], 0, 0, 1);
		agent_number(f, MSG_GREW, ids[i], 1, GREW_FULL, 1);
		agent_output(f, ids[i], 0, 0, "x");
		agent_number(f, MSG_END, ids[i], 0, 0, 1);
		agent_exited(f, ids[i], OUTCOME_EXITED, 0);
		agent_number(f, MSG_TAKEN, ids[i], 0, TAKEN_CLOSED, 1);
	}
	agent_number(f, MSG_PONG, 0, 0, 0, 1);
	assert_said_nothing(f);
	assert_int_equal(s->state, SANDBOX_RUNNING);
	assert_int_equal(f->stops, 0);
	assert_int_equal(s->object.child_count, 0);
}

static void test_sizes_going_backwards(void **state)
{
	struct sandbox *s = fake_running("backwards", open("/", O_PATH | O_CLOEXEC));
	struct fake *f = fake_of(s);
	struct process *p;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "x"), 0);
	p = s->latest;
	agent_number(f, MSG_GREW, 2, STREAM_OUT, 0, 100);
	agent_number(f, MSG_GREW, 2, STREAM_OUT, 0, 50);
	assert_int_equal(p->streams[STREAM_OUT].size, 100);
	agent_number(f, MSG_END, 2, STREAM_OUT, 0, 10);
	assert_int_equal(p->streams[STREAM_OUT].size, 100);
	agent_number(f, MSG_GREW, 2, STREAM_OUT, 0, INT64_MAX);
	assert_int_equal(p->streams[STREAM_OUT].size, INT64_MAX);
	assert_int_equal(s->state, SANDBOX_RUNNING);
}

/* What no agent says ends the connection, and the sandbox with it. */
static void assert_mad(const char *name, const void *bytes, size_t len, bool welcomed)
{
	struct sandbox *s = fake_sandbox(name);
	struct error err;
	struct fake *f;

	assert_int_equal(sandbox_need(s, &err), 0);
	f = fake_of(s);
	fake_connect(s, -1);
	if (welcomed)
		agent_welcome(f);
	agent_bytes(f, bytes, len);
	assert_int_equal(f->stops, 1);
	assert_string_equal(s->error.reason, "AGENT_PROTOCOL");
	/* It is not listened to any more. */
	agent_welcome(f);
	agent_ready(f);
	assert_int_not_equal(s->state, SANDBOX_RUNNING);
	assert_int_equal(f->stops, 1);
	sandbox_ended(s, END_FAILED, NULL);
	assert_false(f->open);
}

static void assert_mad_frame(const char *name, struct frame frame, bool welcomed)
{
	static const uint8_t payload[64] = {0, 0, 0, 0, 0, 0, 0, 0x80};
	uint8_t bytes[FRAME_HEADER + sizeof payload];

	frame_header(&frame, bytes);
	memcpy(bytes + FRAME_HEADER, payload, sizeof payload);
	assert_mad(name, bytes, FRAME_HEADER + frame.length, welcomed);
}

static void test_mad_agents(void **state)
{
	(void)state;
	assert_mad("zeros", "\0\0\0\0\0\0\0\0\0\0\0\0", 12, true);
	assert_mad("http", "HTTP/1.1 200 OK\r\n\r\n", 19, false);
	assert_mad("endless", "\1\0\300\0", 4, true); /* a payload of one byte more than there can be */
	assert_mad_frame("stream", (struct frame){.type = MSG_GREW, .stream = 2, .length = 8}, true);
	assert_mad_frame("number", (struct frame){.type = MSG_GREW, .length = 8}, true);
	assert_mad_frame("short", (struct frame){.type = MSG_END, .length = 7}, true);
	assert_mad_frame("long", (struct frame){.type = MSG_STARTED, .length = 9}, true);
	assert_mad_frame("mine", (struct frame){.type = MSG_START, .length = 64}, true);
	assert_mad_frame("report", (struct frame){.type = MSG_PROCESS, .length = 64}, true);
	assert_mad_frame("outcome", (struct frame){.type = MSG_EXITED, .length = 5}, true);
	assert_mad_frame("bye", (struct frame){.type = MSG_BYE, .length = 3}, true);
	assert_mad_frame("magic", (struct frame){.type = MSG_WELCOME, .length = 16}, false);
	assert_mad_frame("early", (struct frame){.type = MSG_READY}, false);
}

/* A frame of the largest size that never ends comes in small pieces: no more than that is ever held. */
static void test_endless_frame(void **state)
{
	static char piece[1 << 20];
	struct sandbox *s = fake_running("pieces", -1);
	struct fake *f = fake_of(s);
	uint8_t header[FRAME_HEADER];

	(void)state;
	frame_header(&(struct frame){.type = MSG_PONG, .length = FRAME_PAYLOAD_MAX}, header);
	for (size_t i = 0; i < sizeof header; i++)
		agent_bytes(f, header + i, 1);
	for (size_t sent = 0; sent < FRAME_PAYLOAD_MAX; sent += sizeof piece)
		agent_bytes(f, piece, sizeof piece);
	assert_int_equal(f->stops, 0);
	agent_bytes(f, piece, sizeof piece); /* zeros: no frame */
	assert_int_equal(f->stops, 1);
}

/* --- How many are kept --- */

static void test_prune(void **state)
{
	struct sandbox *s = fake_running("prune", -1);
	struct error err;

	(void)state;
	assert_int_equal(process_make(s, "named", &err), 0);
	assert_int_equal(fake_submit(s, fake_process(s, "named"), "x"), 0);
	agent_exited(fake_of(s), 2, OUTCOME_EXITED, 0);
	assert_int_equal(fake_submit(s, NULL, "runs on"), 0);
	for (uint32_t id = 4; id < 84; id++) {
		assert_int_equal(fake_submit(s, NULL, "x"), 0);
		agent_exited(fake_of(s), id, OUTCOME_EXITED, 0);
	}
	assert_int_equal(s->object.child_count, PROCESSES_KEPT + 2);
	assert_non_null(fake_process(s, "named"));
	assert_non_null(fake_process(s, "1"));
	assert_null(fake_process(s, "17"));
	assert_non_null(fake_process(s, "18"));
	assert_non_null(fake_process(s, "81"));
	assert_int_equal(s->succeeded, 81);
}

/* From far away an end may be told long before the last of the output is here. */
static void test_prune_spares_output_under_way(void **state)
{
	struct sandbox *s = fake_running("under-way", -1);
	struct process *p;

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "long"), 0);
	p = fake_process(s, "1");
	stream_add_reader(&p->streams[STREAM_OUT]);
	agent_output(fake_of(s), 2, STREAM_OUT, 0, "some");
	agent_exited(fake_of(s), 2, OUTCOME_EXITED, 0);
	for (uint32_t id = 3; id < 83; id++) {
		assert_int_equal(fake_submit(s, NULL, "x"), 0);
		agent_exited(fake_of(s), id, OUTCOME_EXITED, 0);
	}
	assert_ptr_equal(fake_process(s, "1"), p);
	assert_int_equal(s->object.child_count, PROCESSES_KEPT);
	assert_false(p->streams[STREAM_OUT].ended);
	agent_output(fake_of(s), 2, STREAM_OUT, 4, " more");
	agent_number(fake_of(s), MSG_END, 2, STREAM_OUT, 0, 9);
	assert_int_equal(p->streams[STREAM_OUT].size, 9);
	assert_true(p->streams[STREAM_OUT].ended);
	stream_drop_reader(&p->streams[STREAM_OUT]);
	assert_int_equal(fake_submit(s, NULL, "x"), 0);
	agent_exited(fake_of(s), 83, OUTCOME_EXITED, 0);
	assert_null(fake_process(s, "1"));
}

/* The sandbox ends, or the command is removed, before the last of the output is here: no end of file. */
static void test_output_that_never_comes(void **state)
{
	struct sandbox *s = fake_running("cut", -1);
	struct process *p[2];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(fake_submit(s, NULL, "long"), 0);
		p[i] = (struct process *)object_ref(&s->latest->object);
		agent_output(fake_of(s), 2 + i, STREAM_OUT, 0, "some");
		agent_number(fake_of(s), MSG_END, 2 + i, STREAM_ERR, 0, 0);
		agent_exited(fake_of(s), 2 + i, OUTCOME_EXITED, 0);
	}
	process_drop(p[0]);
	sandbox_ended(s, END_FAILED, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(p[i]->state, PROCESS_EXITED);
		assert_int_equal(p[i]->streams[STREAM_OUT].failure, EIO);
		assert_int_equal(p[i]->streams[STREAM_ERR].failure, 0);
		object_unref(&p[i]->object);
	}
}

/* Commands that fail as they are sent are pruned while the others are being sent. */
static void test_prune_while_sending(void **state)
{
	struct sandbox *s = fake_sandbox("congested");

	(void)state;
	for (int i = 0; i < 80; i++)
		assert_int_equal(fake_submit(s, NULL, "x"), 0);
	fake_connect(s, -1);
	agent_welcome(fake_of(s));
	fake_of(s)->refuse = ENOBUFS;
	agent_ready(fake_of(s));
	assert_int_equal(s->object.child_count, PROCESSES_KEPT);
	assert_status(s->latest, "failed BUSY: the way to the sandbox is congested");
	assert_null(fake_process(s, "16"));
	assert_non_null(fake_process(s, "17"));
}

/* A command that fails as it is sent, behind whose back the agent made up 64 ended ones. */
static void test_prune_of_the_one_being_sent(void **state)
{
	struct report ended = {.outcome = {OUTCOME_EXITED, 0, 1, 2, "", ""}};
	struct sandbox *s = fake_sandbox("made-up");
	char name[16];

	(void)state;
	assert_int_equal(fake_submit(s, NULL, "one"), 0);
	assert_int_equal(fake_submit(s, NULL, "two"), 0);
	fake_connect(s, -1);
	agent_welcome(fake_of(s));
	for (uint32_t id = 100; id < 100 + PROCESSES_KEPT; id++) {
		snprintf(name, sizeof name, "%u", id);
		ended.start = shell(name);
		agent_report(fake_of(s), id, &ended);
	}
	fake_of(s)->refuse = ENOBUFS;
	agent_ready(fake_of(s));
	assert_null(fake_process(s, "1"));
	assert_null(fake_process(s, "2"));
	assert_int_equal(s->object.child_count, PROCESSES_KEPT);
}

/* Terminals that fail as they are sent have ended before whoever opens them has them. */
static void test_prune_spares_open_terminals(void **state)
{
	struct sandbox *s = fake_running("terminals", -1);
	struct process *open[PROCESSES_KEPT + 2];
	struct error err;

	(void)state;
	fake_of(s)->refuse = ENOBUFS;
	for (unsigned i = 0; i < sizeof open / sizeof *open; i++) {
		core_lock();
		open[i] = terminal_begin(s, &err);
		core_unlock();
		assert_non_null(open[i]);
	}
	assert_int_equal(s->object.child_count, PROCESSES_KEPT + 2);
	for (unsigned i = 0; i < sizeof open / sizeof *open; i++) {
		assert_status(open[i], "failed BUSY: the way to the sandbox is congested");
		terminal_end(open[i]);
		assert_false(open[i]->object.listed);
		object_unref(&open[i]->object);
	}
	assert_int_equal(s->object.child_count, 0);
	assert_string_equal(s->error.reason, "BUSY");
}

/* An agent that reports the newest first: the end of that one prunes its neighbour. */
static void test_prune_while_ending(void **state)
{
	struct report running = {.running = true, .start = shell("99")};
	struct report ended = {.outcome = {OUTCOME_EXITED, 0, 1, 2, "", ""}};
	struct sandbox *s = found("upside-down");
	char name[16];

	(void)state;
	agent_report(fake_of(s), 99, &running);
	for (uint32_t id = 2; id < 2 + PROCESSES_KEPT; id++) {
		snprintf(name, sizeof name, "%u", id);
		ended.start = shell(name);
		agent_report(fake_of(s), id, &ended);
	}
	agent_ready(fake_of(s));
	sandbox_ended(s, END_TERMINATED, NULL);
	assert_status(s->latest, "lost");
	assert_null(fake_process(s, "2"));
	assert_non_null(fake_process(s, "3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_adoption),
	    cmocka_unit_test(test_adoption_of_a_name_declared_before),
	    cmocka_unit_test(test_reports_that_make_no_sense),
	    cmocka_unit_test(test_report_of_a_known_one),
	    cmocka_unit_test(test_output_in_order),
	    cmocka_unit_test(test_unknown_ids),
	    cmocka_unit_test(test_sizes_going_backwards),
	    cmocka_unit_test(test_mad_agents),
	    cmocka_unit_test(test_endless_frame),
	    cmocka_unit_test(test_prune),
	    cmocka_unit_test(test_prune_spares_output_under_way),
	    cmocka_unit_test(test_output_that_never_comes),
	    cmocka_unit_test(test_prune_while_sending),
	    cmocka_unit_test(test_prune_of_the_one_being_sent),
	    cmocka_unit_test(test_prune_spares_open_terminals),
	    cmocka_unit_test(test_prune_while_ending),
	};

	return cmocka_run_group_tests(tests, fake_begin, fake_finish);
}
