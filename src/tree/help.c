/* .ctl/README: the whole interface on a screen, from the rows. */
#include "tree/process_rows.h"

#include <stdio.h>

static const char introduction[] =
    "Sandboxes as files. A directory here is a session, a directory in it is a sandbox.\n"
    "\n"
    "    mkdir work work/box                 declare a sandbox; it starts when first used\n"
    "    echo 'make test' > work/box/cmd     run a command in it\n"
    "    cat work/box/stdout                 its output, live, to the end\n"
    "    exit $(cat work/box/wait)           its exit code: 124 timeout, 125 could not be run or not known\n"
    "    cp a.c work/box/fs/workspace/       the sandbox's own files\n"
    "    rmdir work/box work                 stop it, close the session\n"
    "\n"
    "cmd takes text for /bin/sh, a script that starts with #!, a JSON array (an argv), or JSON\n"
    "{\"command\": TEXT or ARRAY, \"cwd\": DIR, \"env\": {}, \"stdin\": true, \"timeout_seconds\": N}.\n"
    "Every command also has a directory proc/N of its own; mkdir proc/NAME declares one by name.\n"
    "When something fails, `error` has the sentence.\n";

static int put_rows(struct buf *out, const char *heading, const struct node *rows)
{
	int rc = buf_printf(out, "\n%s:\n", heading);
	char name[24];

	for (; rows->name && rc == 0; rows++) {
		bool directory = rows->rows || rows->children || rows->graft;

		snprintf(name, sizeof name, "%s%s", rows->name, directory ? "/" : "");
		rc = buf_printf(out, "  %-11s %s\n", name, rows->help);
	}
	return rc;
}

int help_show(const struct place *at, struct buf *out)
{
	int rc = buf_puts(out, introduction);

	(void)at;
	rc = rc ? rc : put_rows(out, "In .ctl of the mount", mount_rows[0].rows);
	rc = rc ? rc : put_rows(out, "In SESSION/.ctl", session_rows[0].rows);
	rc = rc ? rc : put_rows(out, "In SESSION/SANDBOX", sandbox_rows);
	rc = rc ? rc
		: put_rows(out, "In SESSION/SANDBOX/proc/NAME, besides the files above",
			   process_rows + PROCESS_ROW_COUNT);
	rc = rc ? rc : put_rows(out, "In config/ and defaults/", config_rows);
	return rc;
}
