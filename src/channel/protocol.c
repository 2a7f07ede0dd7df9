#include "channel/protocol.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int hello_encode(struct buf *out, enum spool_mode mode, uint64_t life)
{
	size_t before = out->len;
	int rc = put_u32(out, PROTOCOL_MAGIC);

	rc = rc ? rc : put_u32(out, PROTOCOL_VERSION);
	rc = rc ? rc : put_u8(out, mode);
	rc = rc ? rc : put_u64(out, life);
	if (rc)
		out->len = before;
	return rc;
}

/* --- struct start --- */

static size_t strings_count(char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* What a START may hold, the same for the side that writes it and the side that reads it. */
static bool start_valid(const struct start *s)
{
	size_t args = strings_count(s->argv), vars = strings_count(s->env), i;

	if (s->kind > START_SCRIPT || args > START_STRINGS_MAX || vars > START_STRINGS_MAX)
		return false;
	if (s->kind == START_ARGV && !args)
		return false;
	if (s->kind == START_SCRIPT && (s->text_len < 2 || memcmp(s->text, "#!", 2) != 0))
		return false;
	if (s->name && strlen(s->name) > START_NAME_MAX)
		return false;
	if (s->columns > TERMINAL_MAX || s->rows > TERMINAL_MAX)
		return false;
	if (s->cwd && s->cwd[0] && (s->cwd[0] != '/' || strlen(s->cwd) >= PATH_MAX))
		return false;
	for (i = 0; i < vars; i++)
		if (s->env[i][0] == '=' || !strchr(s->env[i], '='))
			return false;
	return true;
}

static int put_text(struct buf *out, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return len > START_PAYLOAD_MAX ? -EFBIG : put_bytes(out, text, (uint32_t)len);
}

static int put_strings(struct buf *out, char *const *list)
{
	size_t n = strings_count(list), i;
	int rc = put_u32(out, (uint32_t)n);

	for (i = 0; !rc && i < n; i++)
		rc = put_text(out, list[i]);
	return rc;
}

/* What becomes of the output; of a terminal its size follows. */
enum output_kind { OUTPUT_APART, OUTPUT_MERGED, OUTPUT_TERMINAL, OUTPUT_KINDS };

static int put_output(struct buf *out, const struct start *s)
{
	int rc;

	if (!s->tty)
		return put_u8(out, s->merge ? OUTPUT_MERGED : OUTPUT_APART);
	rc = put_u8(out, OUTPUT_TERMINAL);
	rc = rc ? rc : put_u32(out, s->columns);
	return rc ? rc : put_u32(out, s->rows);
}

static void get_output(struct reader *r, struct start *s)
{
	uint8_t kind = get_u8(r);

	if (kind >= OUTPUT_KINDS)
		r->bad = true;
	s->merge = kind == OUTPUT_MERGED;
	s->tty = kind == OUTPUT_TERMINAL;
	if (s->tty) {
		s->columns = get_u32(r);
		s->rows = get_u32(r);
	}
}

int start_encode(struct buf *out, const struct start *s)
{
	size_t before = out->len;
	int rc;

	if (!start_valid(s))
		return -EPROTO;
	if ((rc = put_u8(out, s->kind)) || (rc = put_u8(out, s->input)) || (rc = put_output(out, s)) ||
	    (rc = put_u64(out, s->timeout_ms)) || (rc = put_u64(out, s->spool_limit)) ||
	    (rc = put_text(out, s->name)) || (rc = put_text(out, s->cwd)) ||
	    (rc = put_strings(out, s->argv)) || (rc = put_strings(out, s->env)) ||
	    (rc = put_bytes(out, s->text, s->text_len)) ||
	    (rc = out->len - before > START_PAYLOAD_MAX ? -EFBIG : 0))
		out->len = before;
	return rc;
}

static bool get_bool(struct reader *r)
{
	uint8_t v = get_u8(r);

	if (v > 1)
		r->bad = true;
	return v == 1;
}

static char **get_strings(struct reader *r)
{
	uint32_t n = get_u32(r), i;
	char **list;

	/* Each string takes 4 bytes at least, so a made-up count never gets memory. */
	if (r->bad || n > START_STRINGS_MAX || n > r->left / 4) {
		r->bad = true;
		return NULL;
	}
	list = calloc((size_t)n + 1, sizeof *list);
	if (!list) {
		r->bad = true;
		return NULL;
	}
	for (i = 0; i < n && (list[i] = get_text(r)); i++)
		;
	return list;
}

static char *get_blob(struct reader *r, uint32_t *ret_len)
{
	const uint8_t *p = get_bytes(r, ret_len);
	char *copy;

	if (!p)
		return NULL;
	copy = malloc((size_t)*ret_len + 1);
	if (!copy) {
		r->bad = true;
		return NULL;
	}
	memcpy(copy, p, *ret_len);
	copy[*ret_len] = '\0';
	return copy;
}

int start_decode(const void *payload, size_t len, struct start *ret)
{
	struct reader r = {.at = payload, .left = len};
	struct start s = {0};

	if (len > START_PAYLOAD_MAX)
		return -EPROTO;
	s.kind = get_u8(&r);
	s.input = get_bool(&r);
	get_output(&r, &s);
	s.timeout_ms = get_u64(&r);
	s.spool_limit = get_u64(&r);
	s.name = get_text(&r);
	s.cwd = get_text(&r);
	s.argv = get_strings(&r);
	s.env = get_strings(&r);
	s.text = get_blob(&r, &s.text_len);
	if (r.bad || r.left || !start_valid(&s)) {
		start_free(&s);
		return -EPROTO;
	}
	*ret = s;
	return 0;
}

void start_set_limit(void *payload, size_t len, uint64_t spool_limit)
{
	struct reader r = {.at = payload, .left = len};
	struct start s;

	get_u8(&r); /* kind */
	get_u8(&r); /* input */
	get_output(&r, &s);
	get_u64(&r); /* timeout */
	if (!r.bad && r.left >= sizeof spool_limit)
		store_u64((uint8_t *)payload + (len - r.left), spool_limit);
}

static void strings_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}

void start_free(struct start *s)
{
	free(s->name);
	free(s->cwd);
	strings_free(s->argv);
	strings_free(s->env);
	free(s->text);
	*s = (struct start){0};
}

/* --- struct outcome --- */

static int put_fixed(struct buf *out, const char *text, size_t size)
{
	return put_bytes(out, text, (uint32_t)strnlen(text, size - 1));
}

int outcome_encode(struct buf *out, const struct outcome *o)
{
	size_t before = out->len;
	int rc;

	if ((rc = put_u8(out, o->kind)) || (rc = put_u32(out, o->value)) ||
	    (rc = put_u64(out, o->started_ns)) || (rc = put_u64(out, o->ended_ns)) ||
	    (rc = put_fixed(out, o->reason, sizeof o->reason)) ||
	    (rc = put_fixed(out, o->text, sizeof o->text)))
		out->len = before;
	return rc;
}

/* Text for a fixed field: it must fit, and hold no NUL. */
static void get_fixed(struct reader *r, char *out, size_t size)
{
	uint32_t len;
	const uint8_t *p = get_bytes(r, &len);

	if (!p || len >= size || memchr(p, 0, len)) {
		r->bad = true;
		return;
	}
	memcpy(out, p, len);
	out[len] = '\0';
}

static void get_outcome(struct reader *r, struct outcome *o)
{
	o->kind = get_u8(r);
	o->value = get_u32(r);
	o->started_ns = get_u64(r);
	o->ended_ns = get_u64(r);
	get_fixed(r, o->reason, sizeof o->reason);
	get_fixed(r, o->text, sizeof o->text);
	if (o->kind >= OUTCOMES || (o->kind == OUTCOME_EXITED && o->value > 255) ||
	    (o->kind == OUTCOME_SIGNALED && (o->value < 1 || o->value > SIGNAL_MAX)))
		r->bad = true;
}

int outcome_decode(const void *payload, size_t len, struct outcome *ret)
{
	struct reader r = {.at = payload, .left = len};
	struct outcome o = {0};

	get_outcome(&r, &o);
	if (r.bad || r.left)
		return -EPROTO;
	*ret = o;
	return 0;
}

/* --- struct report --- */

int report_encode_head(struct buf *out, const struct report *report)
{
	size_t before = out->len;
	int rc, i;

	if ((rc = put_u8(out, report->running)) || (rc = outcome_encode(out, &report->outcome)))
		goto fail;
	for (i = 0; i < STREAMS; i++)
		if ((rc = put_u64(out, report->size[i])) || (rc = put_u8(out, report->ended[i])) ||
		    (rc = put_u8(out, report->full[i])))
			goto fail;
	if (!(rc = put_u64(out, report->input_received)) && !(rc = put_u64(out, report->input_taken)) &&
	    !(rc = put_u8(out, report->input_ended)) && !(rc = put_u8(out, report->input_closed)))
		return 0;
fail:
	out->len = before;
	return rc;
}

int report_encode(struct buf *out, const struct report *report)
{
	size_t before = out->len;
	int rc = report_encode_head(out, report);

	if (!rc)
		rc = start_encode(out, &report->start);
	if (rc)
		out->len = before;
	return rc;
}

int report_decode(const void *payload, size_t len, struct report *ret)
{
	struct reader r = {.at = payload, .left = len};
	struct report report = {0};

	report.running = get_bool(&r);
	get_outcome(&r, &report.outcome);
	for (int i = 0; i < STREAMS; i++) {
		report.size[i] = get_u64(&r);
		report.ended[i] = get_bool(&r);
		report.full[i] = get_bool(&r);
	}
	report.input_received = get_u64(&r);
	report.input_taken = get_u64(&r);
	report.input_ended = get_bool(&r);
	report.input_closed = get_bool(&r);
	if (r.bad || report.input_taken > report.input_received || start_decode(r.at, r.left, &report.start))
		return -EPROTO;
	*ret = report;
	return 0;
}

void spool_name(uint32_t id, enum stream_number stream, char out[24])
{
	snprintf(out, 24, "%u.%s", (unsigned)id, stream == STREAM_ERR ? "err" : "out");
}
