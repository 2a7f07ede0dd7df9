/* The lines of events: readers of every kind, and what is told where lines were given up. */
#include "core_fake.h"

#include "core/report/events.h"
#include "core/report/journal.h"

/* All a reader gets from `off` on, in pieces of `size`, until it would wait. */
static uint64_t read_all(struct journal_reader *r, uint64_t off, size_t size, struct buf *out)
{
	const char *data;
	size_t len;
	int rc;

	while ((rc = journal_read(r, off, size, &data, &len)) == 0 && len) {
		assert_true(len <= size);
		if (out)
			assert_int_equal(buf_append(out, data, len), 0);
		off += len;
	}
	assert_true(rc == -EAGAIN || (rc == 0 && r->feed->ended));
	return off;
}

static struct session *session(const char *name)
{
	if (!object_child(&the_mount.object, name))
		assert_int_equal(session_make(name, NULL), 0);
	return (struct session *)object_child(&the_mount.object, name);
}

static void add(struct session *s, const char *text)
{
	char line[JOURNAL_LINE_MAX];

	snprintf(line, sizeof line, "%s\n", text);
	journal_add(&s->events, line, strlen(line));
}

static void assert_reads(struct feed *feed, const char *wanted)
{
	static const size_t sizes[] = {1, 3, 7, 128, 4096, 1 << 20};
	struct journal_reader r;
	struct buf out;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		buf_init(&out, 64u << 20);
		journal_reader_init(&r, feed);
		read_all(&r, 0, sizes[i], &out);
		/* What came before, in this process, is not this test's. */
		assert_true(out.len >= strlen(wanted));
		assert_string_equal(buf_text(&out) + out.len - strlen(wanted), wanted);
		assert_false(journal_ready(&r));
		journal_reader_free(&r);
		buf_free(&out);
	}
}

static void test_feeds(void **state)
{
	struct session *a = session("a"), *b = session("b");

	(void)state;
	add(a, "one");
	add(b, "two");
	add(a, "three");
	assert_reads(&a->events, "one\nthree\n");
	assert_reads(&b->events, "two\n");
	assert_reads(&the_mount.events, "one\ntwo\nthree\n");
}

static void test_seeking_back(void **state)
{
	struct session *s = session("seek");
	struct journal_reader r;
	struct buf first, again;
	uint64_t end;

	(void)state;
	for (int i = 0; i < 2000; i++)
		add(s, "a line that is neither very short nor very long, as they are here");
	buf_init(&first, 1u << 20);
	buf_init(&again, 1u << 20);
	journal_reader_init(&r, &s->events);
	end = read_all(&r, 0, 1000, &first);
	assert_int_equal(end, s->events.kept);
	/* As a shell's read does it: a block, and back to the end of the line. */
	for (uint64_t off = end - 60000; off < end;) {
		const char *data, *newline;
		size_t len;

		assert_int_equal(journal_read(&r, off, 128, &data, &len), 0);
		assert_memory_equal(data, first.data + off, len);
		newline = memchr(data, '\n', len);
		off += newline ? (size_t)(newline - data) + 1 : len;
	}
	assert_int_equal(read_all(&r, 0, 1 << 20, &again), end); /* from the start */
	assert_memory_equal(again.data, first.data, first.len);
	again.len = 0;
	assert_int_equal(read_all(&r, 5, 1 << 20, &again), end);
	assert_memory_equal(again.data, first.data + 5, first.len - 5);
	journal_reader_free(&r);
	journal_reader_init(&r, &s->events); /* forward, over what was never read */
	again.len = 0;
	assert_int_equal(read_all(&r, end - 30, 10, &again), end);
	assert_memory_equal(again.data, first.data + end - 30, 30);
	assert_int_equal(read_all(&r, end + 1000, 10, NULL), end + 1000);
	journal_reader_free(&r);
	buf_free(&first);
	buf_free(&again);
}

/* What a reader is told, counted: lines of its own and lines it is told of as lost. */
static uint64_t count_lines(const char *text, uint64_t *ret_lost)
{
	uint64_t lines = 0;

	*ret_lost = 0;
	while (*text) {
		const char *end = strchr(text, '\n'), *count;

		assert_non_null(end);
		count = memmem(text, (size_t)(end - text), "\"event\":\"lost\",\"count\":", 23);
		if (count)
			*ret_lost += strtoull(count + 23, NULL, 10);
		else
			lines++;
		text = end + 1;
	}
	return lines;
}

static void test_a_bound(void **state)
{
	struct session *busy = session("busy"), *quiet = session("quiet");
	struct journal_reader never, slow, of_quiet;
	uint64_t lost, lines, off;
	struct buf out;
	char text[200];

	(void)state;
	journal_reader_init(&never, &busy->events);
	journal_reader_init(&slow, &busy->events);
	journal_reader_init(&of_quiet, &quiet->events);
	buf_init(&out, 64u << 20);
	off = read_all(&slow, 0, 4096, &out); /* what "open" said of the session */
	read_all(&of_quiet, 0, 4096, NULL);
	add(quiet, "lost");
	add(quiet, "lost too");
	for (int i = 0; i < 100000; i++) {
		snprintf(text, sizeof text, "%d %0*d", i, 100 + i % 60, 0);
		add(busy, text);
		if (i % 1000 == 0) {
			assert_true(the_mount.events.kept <= JOURNAL_KEPT);
			assert_true(busy->events.kept <= the_mount.events.kept);
		}
	}
	assert_int_equal(quiet->events.kept, 0);
	assert_true(busy->events.kept > JOURNAL_KEPT / 2);
	read_all(&slow, off, 1000, &out);
	lines = count_lines(buf_text(&out), &lost);
	assert_int_equal(lines + lost, 100000 + 1);
	assert_true(lost > 0);
	assert_true(lines > 10000);
	out.len = 0;
	read_all(&never, 0, 1 << 20, &out);
	lines = count_lines(buf_text(&out), &lost);
	assert_int_equal(lines + lost, 100000 + 1);
	out.len = 0;
	add(quiet, "news");
	read_all(&of_quiet, of_quiet.position, 1 << 20, &out);
	assert_non_null(strstr(buf_text(&out), "\"event\":\"lost\",\"count\":2}\nnews\n"));
	/* With nothing kept at all, the loss is told nevertheless. */
	add(quiet, "x");
	journal_end();
	out.len = 0;
	read_all(&of_quiet, of_quiet.position, 1 << 20, &out);
	assert_non_null(strstr(buf_text(&out), "\"event\":\"lost\",\"count\":1}\n"));
	journal_reader_free(&never);
	journal_reader_free(&slow);
	journal_reader_free(&of_quiet);
	buf_free(&out);
}

static void test_end(void **state)
{
	struct session *s = session("ends");
	struct journal_reader r;
	const char *data;
	struct buf out;
	size_t len;

	(void)state;
	object_ref(&s->object);
	journal_reader_init(&r, &s->events);
	assert_true(journal_ready(&r));
	buf_init(&out, 1u << 20);
	read_all(&r, 0, 100, &out);
	assert_false(journal_ready(&r));
	assert_int_equal(session_drop(s, NULL), 0);
	assert_true(journal_ready(&r));
	read_all(&r, r.position, 100, &out);
	assert_non_null(strstr(buf_text(&out), "\"state\":\"open\"}\n"));
	assert_non_null(strstr(buf_text(&out), "\"state\":\"removed\"}\n"));
	assert_int_equal(journal_read(&r, r.position, 100, &data, &len), 0);
	assert_int_equal(len, 0);
	journal_reader_free(&r);
	object_unref(&s->object);
	buf_free(&out);
}

/* Texts of others: every line stays one line of JSON. */
static void test_quoting(void **state)
{
	const struct error nasty = {EIO, "A\"B\\C\n\x01\xff", "text"};
	struct sandbox *s = fake_sandbox("quoting");
	struct journal_reader r;
	struct buf out;
	char *line, *save = NULL;
	unsigned events = 0;

	(void)state;
	sandbox_set_id(s, "an\"id\n");
	sandbox_set_error(s, &nasty);
	sandbox_set_state(s, SANDBOX_FAILED);
	buf_init(&out, 1u << 20);
	journal_reader_init(&r, &fake_session()->events);
	read_all(&r, 0, 4096, &out);
	for (line = strtok_r((char *)buf_text(&out), "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		cJSON *event = cJSON_Parse(line);

		assert_true(cJSON_IsObject(event));
		assert_non_null(cJSON_GetObjectItem(event, "time"));
		assert_non_null(cJSON_GetObjectItem(event, "event"));
		events++;
		cJSON_Delete(event);
	}
	assert_true(events >= 2);
	journal_reader_free(&r);
	buf_free(&out);
	sandbox_set_id(s, "plain");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_feeds), cmocka_unit_test(test_seeking_back), cmocka_unit_test(test_quoting),
	    cmocka_unit_test(test_end),	  cmocka_unit_test(test_a_bound),
	};

	return cmocka_run_group_tests_name("journal", tests, fake_begin, fake_finish);
}
