#include "core/process/command.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MAX_SECONDS (30.0 * 86400)

static int invalid(struct error *err, const char *what)
{
	return error_set(err, EINVAL, "INVALID_COMMAND", "%s", what);
}

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
}

static int parse_argv(const cJSON *array, struct start *s, struct error *err)
{
	int count = cJSON_GetArraySize(array), i = 0;
	const cJSON *item;

	if (count == 0 || (unsigned)count > START_STRINGS_MAX)
		return invalid(err, "a command array needs 1 to 65536 strings");
	s->kind = START_ARGV;
	s->argv = calloc((size_t)count + 1, sizeof *s->argv);
	if (!s->argv)
		return no_memory(err);
	cJSON_ArrayForEach(item, array)
	{
		if (!cJSON_IsString(item))
			return invalid(err, "a command array holds strings only");
		s->argv[i] = strdup(item->valuestring);
		if (!s->argv[i++])
			return no_memory(err);
	}
	if (!*s->argv[0])
		return invalid(err, "the program's name is empty");
	return 0;
}

#define SHELL_ARGUMENT_MAX 100000u /* the kernel takes 128 KiB per argument */

/*
 * A text inside JSON. As an argv it leaves `text` to the JSON as it was written,
 * for reading `cmd` back; a script, or more than an argument holds, takes its place.
 */
static int parse_text(const char *text, struct start *s, struct error *err)
{
	bool script = strncmp(text, "#!", 2) == 0;
	size_t len = strlen(text);
	char *copy = strdup(text);

	if (!copy)
		return no_memory(err);
	if (script || len > SHELL_ARGUMENT_MAX) {
		free(s->text);
		s->text = copy;
		s->text_len = (uint32_t)len;
		s->kind = script ? START_SCRIPT : START_SHELL;
		return 0;
	}
	s->kind = START_ARGV;
	s->argv = calloc(4, sizeof *s->argv);
	if (!s->argv) {
		free(copy);
		return no_memory(err);
	}
	s->argv[2] = copy;
	s->argv[0] = strdup("/bin/sh");
	s->argv[1] = strdup("-c");
	return s->argv[0] && s->argv[1] ? 0 : no_memory(err);
}

static int parse_command(const cJSON *value, struct start *s, struct error *err)
{
	if (cJSON_IsArray(value))
		return parse_argv(value, s, err);
	if (!cJSON_IsString(value) || !*value->valuestring)
		return invalid(err, "\"command\" is an array of strings or a text");
	return parse_text(value->valuestring, s, err);
}

static int parse_cwd(const cJSON *value, struct start *s, struct error *err)
{
	if (!cJSON_IsString(value) || value->valuestring[0] != '/')
		return invalid(err, "\"cwd\" is an absolute path");
	if (strlen(value->valuestring) >= PATH_MAX)
		return invalid(err, "\"cwd\" is too long for a path");
	s->cwd = strdup(value->valuestring);
	return s->cwd ? 0 : no_memory(err);
}

static int compare_names(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	size_t x_len = strcspn(x, "="), y_len = strcspn(y, "=");
	int rc = memcmp(x, y, x_len < y_len ? x_len : y_len);

	return rc ? rc : (x_len > y_len) - (x_len < y_len);
}

/* JSON may say a name twice, and programs differ in which of the two they see. */
static int refuse_twice(char *const *env, size_t count, struct error *err)
{
	char **sorted = calloc(count + 1, sizeof *sorted);
	int rc = 0;

	if (!sorted)
		return no_memory(err);
	for (size_t i = 0; i < count; i++)
		sorted[i] = env[i];
	qsort(sorted, count, sizeof *sorted, compare_names);
	for (size_t i = 1; i < count && rc == 0; i++)
		if (compare_names(&sorted[i - 1], &sorted[i]) == 0)
			rc = error_set(err, EINVAL, "INVALID_COMMAND", "\"env\" has \"%.*s\" twice",
				       (int)strcspn(sorted[i], "="), sorted[i]);
	free(sorted);
	return rc;
}

static int parse_env(const cJSON *object, struct start *s, struct error *err)
{
	int count = cJSON_GetArraySize(object), i = 0;
	const cJSON *item;

	if (!cJSON_IsObject(object) || (unsigned)count > START_STRINGS_MAX)
		return invalid(err, "\"env\" is an object of strings");
	s->env = calloc((size_t)count + 1, sizeof *s->env);
	if (!s->env)
		return no_memory(err);
	cJSON_ArrayForEach(item, object)
	{
		if (!cJSON_IsString(item) || !*item->string || strchr(item->string, '='))
			return invalid(err, "\"env\" is an object of strings, and no name holds '='");
		if (asprintf(&s->env[i], "%s=%s", item->string, item->valuestring) < 0) {
			s->env[i] = NULL;
			return no_memory(err);
		}
		i++;
	}
	return refuse_twice(s->env, (size_t)count, err);
}

static int parse_stdin(const cJSON *value, struct start *s, struct error *err)
{
	if (!cJSON_IsBool(value))
		return invalid(err, "\"stdin\" is true or false");
	s->input = cJSON_IsTrue(value);
	return 0;
}

static int parse_tty(const cJSON *value, struct start *s, struct error *err)
{
	if (!cJSON_IsBool(value))
		return invalid(err, "\"tty\" is true or false");
	s->tty = cJSON_IsTrue(value);
	return 0;
}

static int parse_timeout(const cJSON *value, struct start *s, struct error *err)
{
	double seconds = cJSON_IsNumber(value) ? value->valuedouble : -1;

	if (!(seconds > 0 && seconds <= TIMEOUT_MAX_SECONDS))
		return invalid(err, "\"timeout_seconds\" is a number over 0, of at most 30 days");
	s->timeout_ms = (uint64_t)ceil(seconds * 1000);
	return 0;
}

static const struct {
	const char *name;
	int (*parse)(const cJSON *value, struct start *s, struct error *err);
} members[] = {
    {"command", parse_command}, {"cwd", parse_cwd}, {"env", parse_env},
    {"stdin", parse_stdin},	{"tty", parse_tty}, {"timeout_seconds", parse_timeout},
};

static int parse_member(const cJSON *item, struct start *s, unsigned *seen, struct error *err)
{
	for (unsigned i = 0; i < sizeof members / sizeof *members; i++) {
		if (strcmp(item->string, members[i].name) != 0)
			continue;
		if (*seen & 1u << i)
			return error_set(err, EINVAL, "INVALID_COMMAND", "\"%s\" stands there twice",
					 members[i].name);
		*seen |= 1u << i;
		return members[i].parse(item, s, err);
	}
	return error_set(err, EINVAL, "INVALID_COMMAND",
			 "\"%.60s\" is not known; there are command, cwd, env, stdin, "
			 "tty and timeout_seconds",
			 item->string);
}

static int parse_object(const cJSON *object, struct start *s, struct error *err)
{
	const cJSON *item;
	unsigned seen = 0;
	int rc = 0;

	cJSON_ArrayForEach(item, object)
	{
		rc = parse_member(item, s, &seen, err);
		if (rc)
			return rc;
	}
	if (!(seen & 1))
		return invalid(err, "\"command\" is missing");
	return 0;
}

/* cJSON ends a string at an escaped NUL in silence; no argument or name can hold one. */
static bool escapes_nul(const char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (text[i] != '\\')
			continue;
		if (len - i >= 6 && strncmp(text + i + 1, "u0000", 5) == 0)
			return true;
		i++; /* the escaped character, which may be a backslash itself */
	}
	return false;
}

static int parse_json(const char *text, size_t len, struct start *s, struct error *err)
{
	const char *end = NULL;
	cJSON *json = cJSON_ParseWithLengthOpts(text, len, &end, false);
	int rc;

	if (json) /* only white space may follow */
		while (end < text + len && strchr(" \t\r\n", *end))
			end++;
	if (!json || end != text + len)
		rc = error_set(err, EINVAL, "INVALID_JSON", "not valid JSON at byte %zu",
			       end ? (size_t)(end - text) : 0);
	else if (escapes_nul(text, len))
		rc = invalid(err, "a command holds no NUL byte");
	else if (cJSON_IsArray(json))
		rc = parse_argv(json, s, err);
	else
		rc = parse_object(json, s, err);
	cJSON_Delete(json);
	return rc;
}

/*
 * As pretty printers write it: a brace and white space, or a bracket and a line end. Shell text can begin
 * so too ({ "$cc" -c a.c; }), so it is JSON only if all of it is; of `[ "a" ]` nobody could tell.
 */
static bool is_printed_json(const char *text, size_t len)
{
	size_t i = 1;
	cJSON *json;
	bool whole;

	while (i < len && strchr(" \t\r\n", text[i]))
		i++;
	if (i == 1 || i == len || text[i] != '"')
		return false;
	if (text[0] == '[' ? text[1] != '\n' && text[1] != '\r' : text[0] != '{')
		return false;
	json = cJSON_ParseWithOpts(text, NULL, true);
	whole = cJSON_IsArray(json) || cJSON_IsObject(json);
	cJSON_Delete(json);
	return whole;
}

static bool is_json(const char *text, size_t len)
{
	if (len < 2 || (text[0] != '[' && text[0] != '{'))
		return false;
	return text[1] == '"' || is_printed_json(text, len);
}

int command_parse(const char *text, size_t len, struct start *ret, struct error *err)
{
	struct start s = {.kind = START_SHELL, .spool_limit = SPOOL_LIMIT};
	int rc = 0;

	if (len > COMMAND_TEXT_MAX)
		return error_set(err, EFBIG, "TOO_LARGE", "a command has at most %u bytes", COMMAND_TEXT_MAX);
	if (memchr(text, '\0', len))
		return invalid(err, "a command holds no NUL byte");
	s.text = malloc(len + 1);
	if (!s.text)
		return no_memory(err);
	memcpy(s.text, text, len);
	s.text[len] = '\0';
	s.text_len = (uint32_t)len;
	if (len >= 2 && memcmp(text, "#!", 2) == 0)
		s.kind = START_SCRIPT;
	else if (is_json(s.text, len))
		rc = parse_json(text, len, &s, err);
	if (rc)
		start_free(&s);
	else
		*ret = s;
	return rc;
}

/* Of NAME=VALUE, by the name. */
static int by_name(const void *a, const void *b)
{
	const char *p = a, *q = b;

	for (; *p == *q && *p && *p != '='; p++, q++)
		;
	return (*p != '=' ? (unsigned char)*p : 0) - (*q != '=' ? (unsigned char)*q : 0);
}

/* 1: the name is new to `names`; 0: it is not; -ENOMEM. */
static int note_name(void **names, const char *line)
{
	const char *const *found = tsearch(line, names, by_name);

	return !found ? -ENOMEM : *found == line;
}

static void ignore(void *line)
{
	(void)line;
}

int command_add_env(struct start *s, const char *lines)
{
	size_t have = 0, most = 1;
	void *names = NULL;
	char **env;
	int rc = 0;

	while (s->env && s->env[have])
		have++;
	for (const char *p = lines; *p; p++)
		most += *p == '\n';
	env = realloc(s->env, (have + most + 1) * sizeof *env);
	if (!env)
		return -ENOMEM;
	s->env = env;
	env[have] = NULL;
	for (size_t i = 0; i < have && rc >= 0; i++)
		rc = note_name(&names, env[i]);
	for (const char *line = lines; *line && rc >= 0;) {
		size_t len = strcspn(line, "\n");

		rc = len ? note_name(&names, line) : 0;
		if (rc > 0) {
			env[have] = strndup(line, len);
			rc = env[have] ? 0 : -ENOMEM;
			env[have += rc == 0] = NULL;
		}
		line += len + (line[len] == '\n');
	}
	tdestroy(names, ignore);
	return rc < 0 ? rc : 0;
}
