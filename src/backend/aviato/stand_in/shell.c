#include "backend/aviato/stand_in/shell.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/delay.h"
#include "backend/aviato/exec_message.h"
#include "backend/aviato/failure.h"
#include "base/log.h"
#include "base/utf8.h"
#include "rpc/base64.h"
#include "rpc/call.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE	   (64u << 10)
#define INPUT_MAX  (16u << 20)
#define COMPLAINTS (16u << 10)
#define SILENCE_MS 30000u /* so long it may say nothing when it owes an answer */
#define NO_PROGRAM 127	  /* exit codes of a shell that is not there */
#define NO_RIGHT   126

int helper_word(struct buf *line, const char *text)
{
	int rc = line->len ? buf_puts(line, " ") : 0;

	if (!*text) /* there is no such word */
		rc = rc ? rc : buf_puts(line, "\\");
	for (; rc == 0 && *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c <= ' ' || c > '~' || c == '\\')
			rc = buf_printf(line, "\\0%03o", c);
		else
			rc = buf_append(line, text, 1);
	}
	return rc;
}

/* --- The end --- */

void helper_close(struct helper *h)
{
	if (h->call)
		call_cancel(h->call);
	delay_cancel(h->delay);
	buf_free(&h->input);
	buf_free(&h->out);
	buf_free(&h->err);
	free(h);
}

static void end(struct helper *h, const struct error *why)
{
	struct stand_in *s = h->stand_in;

	if (h->err.len)
		log_debug("the helper for files: %.*s", (int)h->err.len, h->err.data);
	if (h->call)
		call_cancel(h->call);
	h->call = NULL;
	h->events->ended(h->owner, why);
	helper_close(h);
	stand_in_flush(s);
	stand_in_doubt(s);
}

static void end_for(struct helper *h, int error)
{
	struct error why;

	if (error == -EFBIG)
		error_set(&why, EFBIG, "LISTING_TOO_LARGE",
			  "the shell said more about files than %u MiB, which is what a listing may have",
			  HELPER_OUTPUT_MAX >> 20);
	else if (error == -ENOMEM)
		error_set(&why, ENOMEM, "NO_MEMORY", "out of memory");
	else
		error_set(&why, EIO, "STREAM_FAILED",
			  "what came of the stream of requests about files makes no sense");
	end(h, &why);
}

/* What it complained about last, as far as it can be shown. */
static void last_complaint(const struct helper *h, char *ret, size_t size)
{
	size_t to = h->err.len, from;

	while (to && h->err.data[to - 1] == '\n')
		to--;
	for (from = to; from && h->err.data[from - 1] != '\n';)
		from--;
	ascii_printable(h->err.data + from, to - from, ret, size);
}

static void absent(struct helper *h, const char *text)
{
	struct error why;

	error_set(&why, EOPNOTSUPP, "NO_SHELL",
		  "without an agent files are reached by /bin/sh, which the image does not have%s%s",
		  *text ? ": " : "", text);
	end(h, &why);
}

/* What it said before its end counts. */
static void exited(struct helper *h, int64_t code)
{
	struct error why;
	char text[200];

	last_complaint(h, text, sizeof text);
	if ((code == NO_PROGRAM || code == NO_RIGHT) && !h->spoke) {
		absent(h, text);
		return;
	}
	error_set(&why, EIO, "SHELL_ENDED",
		  "the shell that works requests about files ended by exit code %lld%s%s", (long long)code,
		  *text ? ": " : "", text);
	end(h, &why);
}

static void silent(void *arg)
{
	struct helper *h = arg;
	struct error why;

	h->delay = NULL;
	if (h->stand_in->paused || !h->ready)
		stand_in_unanswered(h->stand_in, &why);
	else
		error_set(&why, ETIMEDOUT, "SHELL_SILENT", "no answer about files has come for %u s",
			  SILENCE_MS / 1000);
	end(h, &why);
}

static void heard(struct helper *h)
{
	unsigned ms = h->ready ? SILENCE_MS : h->stand_in->aviato->timeout_ms;

	if (h->broken)
		return;
	delay_cancel(h->delay);
	h->delay = h->expected ? delay_start(ms, silent, h) : NULL;
}

void helper_expect(struct helper *h, bool expected)
{
	bool changes = h->expected != expected;

	h->expected = expected;
	if (changes)
		heard(h);
}

/* --- Input --- */

static int send_piece(struct helper *h, size_t len)
{
	struct buf text;
	int rc;

	buf_init(&text, BASE64_ENCODED(len) + 64);
	if (!(rc = buf_puts(&text, "{\"stdin\":\"")) && !(rc = base64_append(&text, h->input.data, len)) &&
	    !(rc = buf_puts(&text, "\"}")))
		rc = call_send(h->call, text.data, text.len);
	buf_free(&text);
	buf_consume(&h->input, len);
	return rc;
}

/* What the service takes: nothing before it has said "ready". */
static int pump(struct helper *h)
{
	int rc = 0;

	while (rc == 0 && h->ready && h->input.len && call_queued(h->call) < CALL_QUEUE_HIGH)
		rc = send_piece(h, h->input.len < PIECE ? h->input.len : PIECE);
	return rc;
}

static void broke(void *arg)
{
	struct helper *h = arg;

	h->delay = NULL;
	end_for(h, -ENOMEM);
}

int helper_send(struct helper *h, const void *line, size_t len, const void *data, size_t data_len)
{
	int rc = buf_reserve(&h->input, len + data_len);

	if (rc)
		return rc;
	(void)buf_append(&h->input, line, len);
	(void)buf_append(&h->input, data, data_len);
	if (pump(h) && !h->broken) {
		h->broken = true;
		delay_cancel(h->delay);
		h->delay = delay_start(0, broke, h);
	}
	return 0;
}

/* --- What the service says --- */

static void on_message(void *owner, const char *text, size_t len)
{
	struct helper *h = owner;
	struct stand_in *s = h->stand_in;
	struct exec_message m;
	struct error why;
	int rc = exec_message_decode(text, len, &h->out, &h->err, &m);

	h->ready = true;
	heard(h);
	h->spoke = h->spoke || h->out.len;
	if (rc == -EFBIG && m.is_stderr)
		rc = 0; /* complaints are for the log */
	if (rc) {
		end_for(h, rc);
	} else if (!h->spoke && exec_message_lacks(&m, "/bin/sh")) {
		absent(h, m.message);
	} else if (m.kind == EXEC_ERROR) {
		error_set(&why, EIO, *m.code ? m.code : "STREAM_FAILED", "requests about files: %s",
			  m.message);
		end(h, &why);
	} else if (m.kind == EXEC_EXIT) {
		exited(h, m.exit_code);
	} else if (pump(h)) {
		end_for(h, -ENOMEM);
	} else {
		h->events->said(h->owner);
		stand_in_flush(s);
	}
}

static void on_writable(void *owner)
{
	struct helper *h = owner;
	struct stand_in *s = h->stand_in;

	heard(h);
	if (pump(h)) {
		end_for(h, -ENOMEM);
	} else {
		h->events->said(h->owner);
		stand_in_flush(s);
	}
}

static void on_ended(void *owner, const struct rpc_status *status)
{
	struct helper *h = owner;
	struct error why;

	h->call = NULL;
	if (status->code == RPC_OK)
		error_set(&why, EIO, "NO_EXIT", "the service did not say how the helper ended");
	else
		failure_set(&why, status, "ask for files");
	end(h, &why);
}

/* --- The beginning --- */

static char *first_message(struct stand_in *s)
{
	static const char *const words[] = {"/bin/sh", "-c", stand_in_script, "sh"};
	cJSON *message = cJSON_CreateObject(), *init = cJSON_AddObjectToObject(message, "init");
	char mark[80], *text;

	cJSON_AddStringToObject(init, "sandboxId", s->sandbox_id);
	cJSON_AddItemToObject(init, "command", cJSON_CreateStringArray(words, 4));
	stand_in_mark(s, mark, sizeof mark);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(init, "env"), STAND_IN_HOLD,
				mark + sizeof STAND_IN_HOLD);
	text = cJSON_PrintUnformatted(message);
	cJSON_Delete(message);
	return text;
}

struct helper *helper_open(struct stand_in *s, const struct helper_events *events, void *owner)
{
	static const struct call_events calls = {on_message, on_writable, on_ended};
	char *text = first_message(s), method[96];
	struct helper *h = calloc(1, sizeof *h);

	if (h && text) {
		h->stand_in = s;
		h->events = events;
		h->owner = owner;
		buf_init(&h->input, INPUT_MAX);
		buf_init(&h->out, HELPER_OUTPUT_MAX);
		buf_init(&h->err, COMPLAINTS);
		aviato_method("StreamExec", method, sizeof method);
		h->call =
		    call_start(s->aviato->endpoint, CALL_DUPLEX, method, text, strlen(text), 0, &calls, h);
		if (h->call)
			call_may_repeat(h->call); /* of two that run one hears nothing more */
	}
	free(text);
	if (h && !h->call) {
		free(h);
		return NULL;
	}
	return h;
}
