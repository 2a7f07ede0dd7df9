/* A start in the words of the service: argv and environment, in UTF-8, and no directory. */
#include "backend/aviato/stand_in/command.h"

#include "backend/aviato/aviato.h"
#include "base/utf8.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX (100u << 10) /* bytes; Linux takes 128 KiB in one argument */

/* $1 what to say where $2, the directory, is not there; then argv */
static const char enter[] =
    "cd -- \"$2\" 2>/dev/null || { echo \"$1\" >&2; exit 125; }; shift 2; exec \"$@\"";
/* $1 a file that only the process itself is to see; then its interpreter */
static const char take_file[] = "exec 9<\"$1\" && rm -f -- \"$1\" && shift && exec \"$@\" /dev/fd/9";

static bool all_utf8(char *const *list)
{
	for (; list && *list; list++)
		if (!utf8_is_valid(*list, strlen(*list)))
			return false;
	return true;
}

bool command_needs_file(const struct start *s)
{
	return s->kind == START_SCRIPT ||
	       (s->kind == START_SHELL && (s->text_len > WORD_MAX || !utf8_is_valid(s->text, s->text_len) ||
					   memchr(s->text, '\0', s->text_len)));
}

int command_check(const struct start *s, struct error *err)
{
	if (!all_utf8(s->env) || !utf8_is_valid(s->cwd, strlen(s->cwd)) ||
	    (s->kind == START_ARGV && !all_utf8(s->argv)))
		return error_set(err, EILSEQ, "NOT_UTF8",
				 "without an agent, arguments and environment have to be UTF-8");
	if (s->kind == START_SCRIPT && memchr(s->text, '\n', s->text_len) == NULL)
		return error_set(err, EINVAL, "NO_SCRIPT", "a script has more than its first line");
	return 0;
}

/* --- Words --- */

void command_file(const struct command *c, char *ret, size_t size)
{
	snprintf(ret, size, "/tmp/.aviatofs-run-%.16s-%u", c->stand_in->aviato->owner, c->id);
}

void command_lost_cwd(const struct command *c, char *ret, size_t size)
{
	snprintf(ret, size, "aviatofs-cwd-%s", c->stand_in->aviato->owner);
}

static void add(cJSON *words, const char *word)
{
	cJSON_AddItemToArray(words, cJSON_CreateString(word));
}

static void add_shell(cJSON *words, const char *script)
{
	add(words, "/bin/sh");
	add(words, "-c");
	add(words, script);
	add(words, "sh");
}

/* The interpreter of a script, and the one argument a first line may have. */
static void add_interpreter(cJSON *words, const struct start *s)
{
	const char *end = memchr(s->text, '\n', s->text_len);
	char line[256], *name, *argument;

	snprintf(line, sizeof line, "%.*s", (int)(end - s->text - 2), s->text + 2);
	name = line + strspn(line, " \t");
	argument = name + strcspn(name, " \t");
	if (*argument) {
		*argument++ = '\0';
		argument += strspn(argument, " \t");
		for (char *e = argument + strlen(argument); e > argument && (e[-1] == ' ' || e[-1] == '\t');)
			*--e = '\0';
	}
	add(words, *name ? name : "/bin/sh");
	if (*argument)
		add(words, argument);
}

static cJSON *make_words(const struct command *c)
{
	const struct start *s = &c->start;
	cJSON *words = cJSON_CreateArray();
	char text[80];

	if (*s->cwd) {
		add_shell(words, enter);
		command_lost_cwd(c, text, sizeof text);
		add(words, text);
		add(words, s->cwd);
	}
	if (command_needs_file(s)) {
		add_shell(words, take_file);
		command_file(c, text, sizeof text);
		add(words, text);
		if (s->kind == START_SCRIPT)
			add_interpreter(words, s);
		else
			add(words, "/bin/sh");
	} else if (s->kind == START_SHELL) {
		add(words, "/bin/sh");
		add(words, "-c");
		add(words, s->text);
	} else {
		for (char **word = s->argv; *word; word++)
			add(words, *word);
	}
	return words;
}

static void add_variable(cJSON *env, const char *pair)
{
	const char *equals = strchr(pair, '=');
	char *name = equals ? strndup(pair, (size_t)(equals - pair)) : NULL;

	if (name)
		cJSON_AddStringToObject(env, name, equals + 1);
	free(name);
}

char *command_init(const struct command *c)
{
	cJSON *message = cJSON_CreateObject(), *init = cJSON_AddObjectToObject(message, "init"), *env;
	char mark[80], *text;

	cJSON_AddStringToObject(init, "sandboxId", c->stand_in->sandbox_id);
	cJSON_AddItemToObject(init, "command", make_words(c));
	if (c->start.tty) {
		cJSON_AddTrueToObject(init, "tty");
		cJSON_AddNumberToObject(init, "ttyWidth", c->start.columns);
		cJSON_AddNumberToObject(init, "ttyHeight", c->start.rows);
	}
	env = cJSON_AddObjectToObject(init, "env");
	for (char **pair = c->start.env; pair && *pair; pair++)
		add_variable(env, *pair);
	command_mark(c, mark, sizeof mark);
	add_variable(env, mark);
	text = cJSON_PrintUnformatted(message);
	cJSON_Delete(message);
	return text;
}
