/* The executables of a mount: a line that has the kernel run us, with the file's own path. */
#include "tree/run.h"

#include "base/installed.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RUNNER	    "aviatofs-run"
#define SHEBANG_MAX 255 /* bytes that every kernel reads of the first line, with its newline */

static char runner[PATH_MAX];

/* It may yet be installed. */
void run_init(void)
{
	(void)installed_path(RUNNER, X_OK, runner);
}

/* Between quotes of the shell; a quote in it ends them, and begins them again. */
static int put_quoted(struct buf *out, const char *text)
{
	int rc = buf_puts(out, "'");

	for (; *text && rc == 0; text++)
		rc = *text == '\'' ? buf_puts(out, "'\\''") : buf_append(out, text, 1);
	return rc ? rc : buf_puts(out, "'");
}

/* `words` go between the runner and the path of the file. */
static int put_script(struct buf *out, const char *words)
{
	int rc;

	if (!strpbrk(runner, " \t\n") && strlen(runner) + strlen(words) + sizeof "#! \n" <= SHEBANG_MAX)
		return buf_printf(out, "#!%s%s%s\n", runner, *words ? " " : "", words);
	rc = buf_puts(out, "#!/bin/sh\nexec ");
	rc = rc ? rc : put_quoted(out, runner);
	return rc ? rc : buf_printf(out, " %s \"$0\" \"$@\"\n", words);
}

int run_show(const struct place *at, struct buf *out)
{
	(void)at;
	return put_script(out, "");
}

int program_show(const struct place *at, struct buf *out)
{
	(void)at;
	return put_script(out, "--program");
}
