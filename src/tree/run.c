/* The executables of a mount: a line that has the kernel run us, with the file's own path. */
#include "tree/run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RUNNER	    "aviatofs-run"
#define SHEBANG_MAX 255 /* bytes that every kernel reads of the first line, with its newline */

static char runner[4096] = LIBEXECDIR "/" RUNNER;

/* Beside our own program, or where it is installed. */
void run_init(void)
{
	char file[sizeof runner];
	ssize_t n = readlink("/proc/self/exe", file, sizeof file - sizeof RUNNER);
	char *slash;

	file[n > 0 ? n : 0] = '\0';
	slash = strrchr(file, '/');
	if (!slash)
		return;
	strcpy(slash + 1, RUNNER);
	if (access(file, X_OK) == 0)
		strcpy(runner, file);
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
