#include "backend/aviato/stand_in/files.h"

#include "backend/aviato/delay.h"
#include "backend/aviato/stand_in/whole.h"
#include "base/log.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the helper may have before it: the rest waits, for what is cut off is asked again or has failed. */
#define RUNNING_MAX 64u
#define INPUT_HIGH  (2u << 20)
#define LINE_BYTES  (4u << 20)
#define VAIN_MAX    (4u * HELPER_OUTPUT_MAX)
/* Without a helper, until the next one. */
#define HOLD_MIN_MS 500u
#define HOLD_MAX_MS 15000u

static void ask_waiting(struct stand_in_files *files);

/* --- Words --- */

void file_words_add(struct file_words *w, const char *text)
{
	int rc = helper_word(&w->line, text);

	w->failed = w->failed ? w->failed : rc;
}

void file_words_add_number(struct file_words *w, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)number);
	file_words_add(w, text);
}

/* --- Answers --- */

void file_work_free(struct file_work *w)
{
	list_remove(&w->link);
	buf_free(&w->rest);
	free(w->path);
	free(w->name);
	free(w->payload);
	free(w);
}

static void tell(struct file_work *w, enum message type, struct buf *payload)
{
	struct frame f = {.type = (uint8_t)type,
			  .id = w->tag,
			  .payload = (const uint8_t *)payload->data,
			  .length = (uint32_t)payload->len};

	stand_in_tell(w->files->stand_in, &f);
}

static void tell_reply(struct file_work *w)
{
	struct buf payload;
	int rc;

	buf_init(&payload, FRAME_PAYLOAD_MAX);
	rc = file_reply_encode(&payload, (enum file_op)w->q.op, &w->reply);
	if (!rc && !w->reply.error && !w->reply.data)
		rc = buf_append(&payload, w->rest.data, w->rest.len);
	if (rc)
		log_warn("out of memory: a request about files is not answered");
	else
		tell(w, MSG_FILE_REPLY, &payload);
	buf_free(&payload);
}

/* Answers it, and frees it. */
static void answer(struct file_work *w, int error)
{
	if (w->programs) {
		tell(w, MSG_PROGRAM_NAMES, &w->rest);
	} else {
		w->reply.error = (uint32_t)-error;
		tell_reply(w);
	}
	file_work_free(w);
}

void file_work_answered(struct file_work *w, int error)
{
	if (error)
		file_work_undo(w, error);
	answer(w, error);
}

/* --- The helper --- */

static struct file_work *first(struct list *list)
{
	return container_of(list->next, struct file_work, link);
}

static bool open_helper(struct stand_in_files *files);
static void hold_later(struct stand_in_files *files);

static void hold_again(void *arg)
{
	struct stand_in_files *files = arg;

	files->delay = NULL;
	if (!open_helper(files))
		hold_later(files);
}

/* It also says that this mount uses the sandbox: there is to be one, whether anybody asks for files or not.
 */
static void hold_later(struct stand_in_files *files)
{
	if (files->helper || files->delay)
		return;
	files->delay = delay_start(files->pause_ms, hold_again, files);
	files->pause_ms = delay_doubled(files->pause_ms, HOLD_MAX_MS);
}

/* There is no shell, so nothing that it was given has been done. */
static bool go_without(struct stand_in_files *files)
{
	files->whole = whole_open(files);
	if (!files->whole)
		return false;
	log_info("sandbox %s has no shell: files are read and written whole", files->stand_in->sandbox_id);
	files->helper = NULL;
	files->running_count = 0;
	list_splice(&files->running, &files->waiting);
	while (!list_empty(&files->running))
		whole_take(files->whole, first(&files->running));
	return true;
}

/*
 * What only looks is asked again, once; what else was under way may have been done or not. One sentence,
 * however many they were.
 */
static void lose(struct stand_in_files *files, const struct error *why)
{
	bool worth = why->code != ETIMEDOUT;
	unsigned failed = 0;
	struct list again;

	if (why->code == EOPNOTSUPP && go_without(files))
		return;
	list_init(&again);
	files->helper = NULL;
	files->vain = 0;
	files->held = false;
	files->running_count = 0;
	while (!list_empty(&files->running)) {
		struct file_work *w = first(&files->running);

		if (worth && file_work_looks(w) && !w->again) {
			w->again = true;
			list_remove(&w->link);
			list_append(&again, &w->link);
		} else {
			failed++;
			file_work_answered(w, -why->code);
		}
	}
	log_info("sandbox %s: %s: %s; %u requests failed", files->stand_in->sandbox_id, why->reason,
		 why->text, failed);
	if (failed)
		stand_in_complain(files->stand_in, why);
	list_splice(&again, &files->waiting);
	list_splice(&files->waiting, &again);
	ask_waiting(files);
	hold_later(files);
}

/* `reason`: as it was said. What an errno says all by itself, of a file that is not there, needs no sentence.
 */
static void explain(const struct file_work *w, int error, const char *reason)
{
	struct held *file = NULL;
	char text[100], path[200];
	const char *subject;
	struct error why;

	if (!w->programs)
		(void)handles_find(&w->files->handles, w->q.handle, &file);
	subject = file ? file->path : "files";
	reason = *reason ? reason : "no reason was given";
	ascii_printable(subject, strlen(subject), path, sizeof path);
	ascii_printable(reason, strlen(reason), text, sizeof text);
	if (strcmp(reason, HELPER_NO_PROGRAM) == 0)
		error_set(&why, -error, "NO_PROGRAM",
			  "a request about %s needs a program that the image does not have", path);
	else if (error == -EIO)
		error_set(&why, EIO, "FILE_FAILED", "a request about %s failed in the sandbox: %s", path,
			  text);
	else
		return;
	stand_in_complain(w->files->stand_in, &why);
}

/* 0 when the first one's answer has come, and was told. */
static int take_answer(struct stand_in_files *files, struct helper_output *o)
{
	struct file_work *w = first(&files->running);
	struct helper_output before = *o;
	int rc;

	o->reason = NULL;
	rc = file_work_answer(w, o);

	if (rc != -EPROTO && helper_end(o))
		rc = -EPROTO;
	if (rc == -EPROTO) {
		/* Bytes that only look like its end come by chance, and not again and again. */
		files->vain += o->short_of ? before.left : 0;
		rc = o->short_of && files->vain < VAIN_MAX ? -EAGAIN : -EPROTO;
		*o = before;
		return rc;
	}
	if (file_work_holds(w))
		files->held = false;
	files->running_count--;
	files->vain = 0;
	if (rc && o->reason)
		explain(w, rc, o->reason);
	files->pause_ms = HOLD_MIN_MS; /* this one works */
	answer(w, rc);
	return 0;
}

static int take_answers(struct stand_in_files *files)
{
	struct buf *out = &files->helper->out;
	struct helper_output o = {.at = out->data, .left = out->len};
	int rc = 0;

	while (rc == 0 && !list_empty(&files->running) && helper_may_end(&o))
		rc = take_answer(files, &o);
	if (list_empty(&files->running) && o.left)
		rc = -EPROTO;
	buf_consume(out, out->len - o.left);
	return rc == -EPROTO ? rc : 0;
}

static void said(void *owner)
{
	struct stand_in_files *files = owner;
	struct error why;

	if (take_answers(files)) {
		error_set(&why, EIO, "BAD_ANSWER",
			  "what the shell in the sandbox says about files makes no sense");
		helper_close(files->helper);
		lose(files, &why);
		return;
	}
	ask_waiting(files);
}

static void ended(void *owner, const struct error *why)
{
	struct stand_in_files *files = owner;

	(void)take_answers(files);
	lose(files, why);
}

static bool open_helper(struct stand_in_files *files)
{
	static const struct helper_events events = {said, ended};

	if (!files->helper)
		files->helper = helper_open(files->stand_in, &events, files);
	return files->helper;
}

static int send(struct stand_in_files *files, struct file_work *w, struct file_words *words)
{
	int rc = words->failed ? words->failed : buf_puts(&words->line, "\n");
	bool writes;

	if (rc)
		return rc;
	if (!open_helper(files))
		return -ENOMEM;
	writes = !w->programs && w->q.op == FILE_WRITE;
	return helper_send(files->helper, words->line.data, words->line.len, writes ? w->q.data : NULL,
			   writes ? w->q.data_len : 0);
}

static void ask(struct stand_in_files *files, struct file_work *w)
{
	struct file_words words = {0};
	int rc;

	buf_init(&words.line, LINE_BYTES);
	rc = file_work_ask(w, &words);
	if (rc == 0 && (rc = send(files, w, &words)) == 0) {
		list_remove(&w->link);
		list_append(&files->running, &w->link);
		files->running_count++;
		files->held = file_work_holds(w);
	} else {
		file_work_answered(w, rc == FILE_WORK_DONE ? 0 : rc);
	}
	buf_free(&words.line);
}

static void ask_waiting(struct stand_in_files *files)
{
	while (!list_empty(&files->waiting) && !files->held && files->running_count < RUNNING_MAX &&
	       (!files->helper || files->helper->input.len < INPUT_HIGH))
		ask(files, first(&files->waiting));
	if (files->helper)
		helper_expect(files->helper, !list_empty(&files->running));
}

/* --- Requests --- */

static struct file_work *work_new(struct stand_in_files *files, const struct frame *f)
{
	struct file_work *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->files = files;
	w->tag = f->id;
	list_init(&w->link);
	buf_init(&w->rest, FRAME_PAYLOAD_MAX);
	w->payload = malloc((size_t)f->length + 1);
	if (w->payload)
		memcpy(w->payload, f->payload, f->length);
	return w;
}

/* Our own core sends what can be read. */
static int read_request(struct file_work *w, const struct frame *f)
{
	struct reader r = {.at = f->payload, .left = f->length};

	if (!w->payload)
		return -ENOMEM;
	if (f->type == MSG_FILE)
		return file_request_decode(w->payload, f->length, &w->q);
	w->programs = true;
	w->path = get_text(&r);
	w->name = get_text(&r);
	return w->path && w->name ? 0 : -ENOMEM;
}

void stand_in_files_take(struct stand_in_files *files, const struct frame *f)
{
	struct file_work *w = work_new(files, f);
	int rc = w ? read_request(w, f) : -ENOMEM;

	if (rc) {
		log_warn("a request about files is lost: %s", strerror(-rc));
		if (w)
			file_work_free(w);
		return;
	}
	if (files->whole) {
		whole_take(files->whole, w);
		return;
	}
	list_append(&files->waiting, &w->link);
	ask_waiting(files);
}

struct stand_in_files *stand_in_files_open(struct stand_in *s)
{
	struct stand_in_files *files = calloc(1, sizeof *files);

	if (!files)
		return NULL;
	files->stand_in = s;
	list_init(&files->waiting);
	list_init(&files->running);
	list_init(&files->listings);
	files->pause_ms = HOLD_MIN_MS;
	if (handles_init(&files->handles)) {
		free(files);
		return NULL;
	}
	(void)open_helper(files); /* else with the first request */
	return files;
}

void stand_in_files_close(struct stand_in_files *files)
{
	if (!files)
		return;
	if (files->helper)
		helper_close(files->helper);
	whole_close(files->whole);
	delay_cancel(files->delay);
	while (!list_empty(&files->waiting))
		file_work_free(container_of(files->waiting.next, struct file_work, link));
	while (!list_empty(&files->running))
		file_work_free(container_of(files->running.next, struct file_work, link));
	file_listings_drop_all(files);
	handles_free(&files->handles);
	free(files);
}
