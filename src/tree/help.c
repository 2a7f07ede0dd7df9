/* .ctl/README: the whole interface on a screen, from the rows. */
#include "tree/process_rows.h"

#include <stdio.h>

static const char introduction[] =
    "Sandboxes as files. A directory here is a session, a directory in it is a sandbox: a system of\n"
    "its own in which commands run. All of it works with mkdir, echo, cat and cp, from this directory:\n\n";

/* Each does what it says, in this order: a test runs them. */
static const struct {
	const char *command, *does;
} examples[] = {
    {"mkdir work work/box", "declare a sandbox; it starts when first used"},
    {"echo A=1 > work/box/config/env", "settings, while it has not started"},
    {"echo 'uname -a' > work/box/cmd", "run a command: shell text of any length"},
    {"cat work/box/stdout", "its output, live, until it ends; stderr likewise"},
    {"cat work/box/wait", "waits; its exit code (124 timeout, 125 not run or unknown)"},
    {"cat work/box/status", "how it is, without waiting"},
    {"work/box/run pwd", "as if it ran here: streams, signals, exit status"},
    {"cp ~/a.c work/box/fs/workspace/", "its files; commands start in /workspace"},
    {"mkdir work/box/proc/sorted", "a command by name, beside others: same files, and ctl"},
    {"printf 'b\\na\\n' > work/box/proc/sorted/stdin", "input, before its cmd"},
    {"echo sort > work/box/proc/sorted/cmd; cat work/box/proc/sorted/stdout", NULL},
    {"exec 3<>work/box/cmd; echo pwd >&3; cat <&3", "ask and be answered on one descriptor"},
    {"cat work/box/error", "why something failed; .ctl/error above has that too"},
    {"rmdir work/box", "stop it, delete it"},
    {"mkdir work/.ctl/functions/square", "JSON in, JSON out, each call in a fresh sandbox"},
    {"echo 'def square(x): return x * x' > work/.ctl/functions/square/source", NULL},
    {"exec 3<>work/.ctl/functions/square/call; echo '[7]' >&3; cat <&3", NULL},
    {"rmdir work", "close the session"},
};

static const char texts_of_cmd[] =
    "\ncmd takes text for /bin/sh, a script that starts with #!, a JSON array (an argv), or JSON\n"
    "{\"command\": TEXT or ARRAY, \"cwd\": DIR, \"env\": {}, \"stdin\": true, \"tty\": true, "
    "\"timeout_seconds\": N}.\n"
    "Commands run at once, side by side; each has a directory proc/N too, and the files in the sandbox's "
    "own\n"
    "directory are those of the latest. Closing cmd starts it. Reads of stdout and wait block while it "
    "runs.\n"
    "Writes fail when a value or a command is bad, and leave a sentence in error.\n";

static int put_examples(struct buf *out)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof examples / sizeof *examples && rc == 0; i++)
		rc = examples[i].does
			 ? buf_printf(out, "    %-45s  %s\n", examples[i].command, examples[i].does)
			 : buf_printf(out, "    %s\n", examples[i].command);
	return rc;
}

static int put_rows(struct buf *out, const char *heading, const struct node *rows)
{
	int rc = buf_printf(out, "\n%s:\n", heading);
	char name[24];

	for (; rows->name && rc == 0; rows++) {
		bool directory = rows->rows || rows->children || rows->graft;

		if (!node_is_offered(rows))
			continue;

		snprintf(name, sizeof name, "%s%s", rows->name, directory ? "/" : "");
		rc = buf_printf(out, "  %-11s %s\n", name, rows->help);
	}
	return rc;
}

int help_show(const struct place *at, struct buf *out)
{
	int rc = buf_puts(out, introduction);

	(void)at;
	rc = rc ? rc : put_examples(out);
	rc = rc ? rc : buf_puts(out, texts_of_cmd);
	rc = rc ? rc : put_rows(out, "In .ctl of the mount", mount_rows[0].rows);
	rc = rc ? rc : put_rows(out, "In SESSION/.ctl", session_rows[0].rows);
	rc = rc ? rc : put_rows(out, "In SESSION/.ctl/functions/NAME", function_rows);
	rc = rc ? rc : put_rows(out, "In SESSION/SANDBOX", sandbox_rows);
	rc = rc ? rc
		: put_rows(out, "In SESSION/SANDBOX/proc/NAME, besides the files above",
			   process_rows + PROCESS_ROW_COUNT);
	rc = rc ? rc : put_rows(out, "In config/ and defaults/", config_rows);
	return rc;
}
