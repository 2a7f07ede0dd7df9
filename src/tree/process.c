#include "tree/process_rows.h"
#include "tree/terminal.h"

#include "core/process/terminal.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* In the sandbox's own directory a text goes to a new process, in proc/NAME/ to that one. */
struct inbox *cmd_inbox(const struct place *at)
{
	return at->kind == OBJECT_PROCESS ? &at->process->inbox : &at->sandbox->inbox;
}

int cmd_show(const struct place *at, struct buf *out)
{
	const struct process *p = at->process;

	return p && p->start.text ? buf_append(out, p->start.text, p->start.text_len) : 0;
}

struct sink *stdin_sink(const struct place *at)
{
	return at->process ? &at->process->input : NULL;
}

struct stream *output_stream(const struct place *at, struct process **ret_of)
{
	*ret_of = at->process;
	return at->process ? &at->process->streams[at->arg] : NULL;
}

int status_show(const struct place *at, struct buf *out)
{
	int rc = at->process ? process_status(at->process, out) : buf_puts(out, "none");

	return rc ? rc : buf_puts(out, "\n");
}

int wait_show(const struct place *at, struct buf *out)
{
	return buf_printf(out, "%d\n", process_exit_number(at->process));
}

/* --- proc/NAME/ctl --- */

/* "TERM", "SIGTERM", "term" or "15". */
static int signal_number(const char *word)
{
	char *end;
	long number = strtol(word, &end, 10);

	if (*word && *end == '\0')
		return number >= 1 && number < NSIG ? (int)number : 0;
	if (strncasecmp(word, "SIG", 3) == 0)
		word += 3;
	for (int i = 1; i < NSIG; i++) {
		const char *name = sigabbrev_np(i);

		if (name && strcasecmp(name, word) == 0)
			return i;
	}
	return 0;
}

static int do_signal(const struct place *at, char **words, int count, struct error *err)
{
	int number = signal_number(words[0]);

	(void)count;
	if (!number)
		return error_set(err, EINVAL, "INVALID_SIGNAL", "'%.40s' is no signal", words[0]);
	return process_signal(at->process, number, err);
}

static int do_eof(const struct place *at, char **words, int count, struct error *err)
{
	(void)words;
	(void)count;
	(void)err;
	return process_input_eof(at->process);
}

static int do_resize(const struct place *at, char **words, int count, struct error *err)
{
	uint32_t columns, rows;
	int rc = parse_size(words, count, &columns, &rows, err);

	return rc ? rc : terminal_resize(at->process, columns, rows, err);
}

static int do_limit(const struct place *at, char **words, int count, struct error *err)
{
	uint64_t bytes = config_parse_bytes(words[0]);

	(void)count;
	if (!bytes)
		return error_set(err, EINVAL, "INVALID_VALUE", "'%.40s' is not a size in bytes", words[0]);
	return process_limit(at->process, bytes, err);
}

static const struct verb process_verbs[] = {
    {"signal", 1, 1, "signal NAME", do_signal},
    {"eof", 0, 0, "eof", do_eof},
    {"resize", 2, 2, "resize COLUMNS ROWS", do_resize},
    {"limit", 1, 1, "limit BYTES", do_limit},
    {0},
};

static int process_ctl(const struct place *at, const char *line, struct error *err)
{
	return verbs_run(process_verbs, at, line, err);
}

const struct node process_rows[] = {
    PROCESS_ROWS,
    {"ctl", 0200, "verbs: signal NAME, eof, resize COLUMNS ROWS, limit BYTES (of kept output)",
     .store = process_ctl},
    {0},
};

static int make_process(const struct place *at, const char *name, struct error *err)
{
	return process_make(at->sandbox, name, err);
}

static int drop_process(struct object *child, struct error *err)
{
	(void)err;
	process_drop((struct process *)child);
	return 0;
}

const struct children processes = {.kind = OBJECT_PROCESS,
				   .rows = process_rows,
				   .make = make_process,
				   .drop = drop_process,
				   .come_and_go = true};
