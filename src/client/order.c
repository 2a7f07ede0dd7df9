#include "client/order.h"

#include <stdbool.h>
#include <string.h>

/* Bytes of any encoding pass as they are: only what JSON itself uses is escaped. */
static int put_string(struct buf *out, const char *text, size_t len)
{
	int rc = buf_puts(out, "\"");

	for (size_t i = 0; i < len && rc == 0; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			rc = buf_printf(out, "\\%c", c);
		else if (c < 0x20)
			rc = buf_printf(out, "\\u%04x", c);
		else
			rc = buf_append(out, &c, 1);
	}
	return rc ? rc : buf_puts(out, "\"");
}

static int put_argv(struct buf *out, char *const *argv)
{
	int rc = buf_puts(out, "[");

	for (int i = 0; argv[i] && rc == 0; i++) {
		rc = i ? buf_puts(out, ", ") : 0;
		rc = rc ? rc : put_string(out, argv[i], strlen(argv[i]));
	}
	return rc ? rc : buf_puts(out, "]");
}

static bool comes_again(const char **env, const char *entry)
{
	size_t name = strcspn(entry, "=") + 1;

	for (; *env; env++)
		if (strncmp(*env, entry, name) == 0)
			return true;
	return false;
}

static int put_env(struct buf *out, const char **env)
{
	int rc = buf_puts(out, ", \"env\": {");
	const char *comma = "";

	for (; *env && rc == 0; env++) {
		size_t name = strcspn(*env, "=");

		if (comes_again(env + 1, *env))
			continue;
		rc = buf_puts(out, comma);
		rc = rc ? rc : put_string(out, *env, name);
		rc = rc ? rc : buf_puts(out, ": ");
		rc = rc ? rc : put_string(out, *env + name + 1, strlen(*env + name + 1));
		comma = ", ";
	}
	return rc ? rc : buf_puts(out, "}");
}

int order_write(const struct order *o, struct buf *out)
{
	int rc = buf_puts(out, "{\"command\": ");

	rc = rc ? rc : put_argv(out, o->argv);
	if (rc == 0 && o->env && *o->env)
		rc = put_env(out, o->env);
	if (rc == 0 && o->cwd && *o->cwd) {
		rc = buf_puts(out, ", \"cwd\": ");
		rc = rc ? rc : put_string(out, o->cwd, strlen(o->cwd));
	}
	if (rc == 0 && o->timeout > 0)
		rc = buf_printf(out, ", \"timeout_seconds\": %.9g", o->timeout);
	if (rc == 0 && o->tty)
		rc = buf_puts(out, ", \"tty\": true");
	return rc ? rc : buf_puts(out, "}");
}
