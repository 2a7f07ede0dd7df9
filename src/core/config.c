#include "core/config.h"

#include "core/report/log_options.h"

#include <cjson/cJSON.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- Values: a number and a unit --- */

struct unit {
	const char *name;
	double factor;
};

static const struct unit byte_units[] = {
    {"", 1},	 {"k", 1e3},	 {"K", 1e3},	    {"M", 1e6},		  {"G", 1e9},
    {"T", 1e12}, {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0}, {"Ti", 1099511627776.0},
    {NULL, 0},
};
static const struct unit second_units[] = {
    {"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0},
};
static const struct unit millicpu_units[] = {{"", 1000}, {"m", 1}, {NULL, 0}};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

/* Plain decimal digits with an optional fraction: strtod alone would take "inf", "0x1p9" and "-1". */
static bool parse_quantity(const char *text, const struct unit *units, double *ret)
{
	char *end;
	double number;

	if (!isdigit((unsigned char)text[0]) || strspn(text, "0123456789.") > 18)
		return false;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return false;
	number = strtod(text, &end);
	if (memchr(text, 'e', (size_t)(end - text)) || memchr(text, 'E', (size_t)(end - text)))
		return false;
	for (; units->name; units++) {
		if (strcmp(end, units->name) == 0) {
			*ret = number * units->factor;
			return *ret < 9e18;
		}
	}
	return false;
}

static int check_quantity(const char *text, const struct unit *units, double least, const char *want,
			  struct error *err)
{
	double value;

	if (!parse_quantity(text, units, &value) || value < least)
		return error_set(err, EINVAL, "INVALID_VALUE", "'%.100s' is not %s", text, want);
	return 0;
}

static int check_bytes(const char *text, struct error *err)
{
	return check_quantity(text, byte_units, 1, "a size in bytes like 512Mi or 2G", err);
}

static int check_seconds(const char *text, struct error *err)
{
	int rc = check_quantity(text, second_units, 1, "a time in seconds like 90, 5m, 2h or 1d", err);

	if (rc == 0 && !config_parse_seconds(text))
		return error_set(err, EINVAL, "INVALID_VALUE", "'%.100s' is more than 136 years", text);
	return rc;
}

static int check_cpus(const char *text, struct error *err)
{
	return check_quantity(text, millicpu_units, 1, "a number of CPUs like 2, 0.5 or 500m", err);
}

static int check_count(const char *text, struct error *err)
{
	double value;

	if (strchr(text, '.') || !parse_quantity(text, plain_units, &value) || value < 1)
		return error_set(err, EINVAL, "INVALID_VALUE", "'%.100s' is not a number from 1 up", text);
	return 0;
}

static int check_line(const char *text, struct error *err)
{
	if (strchr(text, '\n'))
		return error_set(err, EINVAL, "INVALID_VALUE", "one line is wanted here");
	return 0;
}

static int check_directory(const char *text, struct error *err)
{
	if (text[0] != '/')
		return error_set(err, EINVAL, "INVALID_VALUE", "'%.100s' is not an absolute path", text);
	if (strlen(text) >= PATH_MAX)
		return error_set(err, EINVAL, "INVALID_VALUE", "a path has at most %d bytes", PATH_MAX - 1);
	return check_line(text, err);
}

static int check_env(const char *text, struct error *err)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		size_t key = strcspn(line, "=\n");

		if (len && (key == 0 || line[key] != '=' || isdigit((unsigned char)line[0])))
			return error_set(err, EINVAL, "INVALID_VALUE", "a line of env is not NAME=VALUE");
		line += len + (line[len] == '\n');
	}
	return 0;
}

#define TAG_MAX 63 /* the remote service's limit, kept everywhere */

static int check_tags(const char *text, struct error *err)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");

		if (len > TAG_MAX)
			return error_set(err, EINVAL, "INVALID_VALUE", "a tag is over %d bytes", TAG_MAX);
		line += len + (line[len] == '\n');
	}
	return 0;
}

static int check_gpus(const char *text, struct error *err)
{
	const char *colon = strrchr(text, ':');

	if (colon == text || strpbrk(text, " \t\n"))
		return error_set(err, EINVAL, "INVALID_VALUE", "'%.100s' is neither COUNT nor TYPE:COUNT",
				 text);
	return check_count(colon ? colon + 1 : text, err);
}

static int check_network(const char *text, struct error *err)
{
	static const char *const known[] = {"none", "host", "default"};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(text, known[i]) == 0)
			return 0;
	return error_set(err, EINVAL, "INVALID_VALUE", "'%.100s' is not a network: none, host or default",
			 text);
}

static int check_logs(const char *text, struct error *err)
{
	struct log_options options;

	return log_options_parse(text, time(NULL), &options, err);
}

static int check_spec(const char *text, struct error *err)
{
	cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
	bool object = cJSON_IsObject(json);

	cJSON_Delete(json);
	if (!object)
		return error_set(err, EINVAL, "INVALID_JSON", "spec is not one JSON object");
	return 0;
}

const struct config_field config_fields[CONFIG_KEYS] = {
    [CONFIG_IMAGE] = {"image", "what the root file system is made of", MERGE_REPLACE, check_line},
    [CONFIG_FROM] = {"from", "a snapshot its root starts as: a path like box/snapshots/a, or its id",
		     MERGE_REPLACE, check_line},
    [CONFIG_COMMAND] = {"command", "the main process: shell text; its output is in logs", MERGE_REPLACE,
			NULL},
    [CONFIG_ENV] = {"env", "environment of every command, NAME=VALUE lines", MERGE_BY_KEY, check_env},
    [CONFIG_TAGS] = {"tags", "labels, one a line", MERGE_APPEND, check_tags},
    [CONFIG_CWD] = {"cwd", "directory commands start in", MERGE_REPLACE, check_directory},
    [CONFIG_LIFETIME] = {"lifetime", "time after which it ends by itself", MERGE_REPLACE, check_seconds},
    [CONFIG_CPU] = {"cpu", "limit in CPUs: 2, 0.5, 500m", MERGE_REPLACE, check_cpus},
    [CONFIG_MEMORY] = {"memory", "limit in bytes: 512Mi, 2G", MERGE_REPLACE, check_bytes},
    [CONFIG_PIDS] = {"pids", "limit on processes and threads", MERGE_REPLACE, check_count},
    [CONFIG_GPU] = {"gpu", "GPUs: 2, or H100:2", MERGE_REPLACE, check_gpus},
    [CONFIG_NETWORK] = {"network", "none; host, the host's own (local:); or default (aviato:)", MERGE_REPLACE,
			check_network},
    [CONFIG_SPEC] = {"spec", "JSON laid over the rest, for fields without a file", MERGE_REPLACE, check_spec},
    [CONFIG_TEMPLATE] = {"template", "id or name of a template it is made from", MERGE_REPLACE, check_line},
    [CONFIG_PLACEMENT] = {"placement", "where it may run: strict, cks_then_serverless, serverless_then_cks",
			  MERGE_REPLACE, check_line},
    [CONFIG_LOGS] = {"logs", "how logs is read: tail=LINES, since=AGE or TIME, timestamps, stored",
		     MERGE_REPLACE, check_logs},
};

/* --- Levels --- */

int config_set(struct config *c, enum config_key key, const char *text, struct error *err)
{
	const struct config_field *field = &config_fields[key];
	size_t len = strlen(text);
	char *copy = NULL;
	int rc;

	while (len && text[len - 1] == '\n')
		len--;
	if (len > CONFIG_TEXT_MAX)
		return error_set(err, EFBIG, "TOO_LARGE", "%s is over %u bytes", field->name,
				 CONFIG_TEXT_MAX);
	if (len) {
		copy = strndup(text, len);
		if (!copy)
			return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
		rc = field->check ? field->check(copy, err) : 0;
		if (rc) {
			free(copy);
			return rc;
		}
	}
	free(c->text[key]);
	c->text[key] = copy;
	return 0;
}

struct line {
	const char *text;
	size_t len, name, order; /* lengths of the line and of its NAME */
	bool hidden;		 /* a later one sets the same NAME */
};

static size_t count_lines(const char *text)
{
	size_t count = 1;

	while ((text = strchr(text, '\n'))) {
		text++;
		count++;
	}
	return count;
}

static size_t split_lines(const char *text, struct line *lines, size_t n)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len) {
			lines[n] =
			    (struct line){.text = text, .len = len, .name = strcspn(text, "=\n"), .order = n};
			n++;
		}
		text += len + (text[len] == '\n');
	}
	return n;
}

/* The lines of all levels, farthest first, empty ones left out; freed by the caller. NULL: no memory. */
static struct line *gather_lines(const struct config *const *levels, int count, enum config_key key,
				 size_t *ret_count)
{
	struct line *lines;
	size_t most = 1, n = 0;

	for (int i = 0; i < count; i++)
		if (levels[i])
			most += count_lines(config_text(levels[i], key));
	lines = calloc(most, sizeof *lines);
	for (int i = 0; lines && i < count; i++)
		if (levels[i])
			n = split_lines(config_text(levels[i], key), lines, n);
	*ret_count = n;
	return lines;
}

static int compare_names(const struct line *a, const struct line *b)
{
	int order = memcmp(a->text, b->text, a->name < b->name ? a->name : b->name);

	return order ? order : (a->name > b->name) - (a->name < b->name);
}

static int by_name(const void *left, const void *right)
{
	const struct line *a = left, *b = right;
	int order = compare_names(a, b);

	return order ? order : (a->order > b->order) - (a->order < b->order);
}

static int by_order(const void *left, const void *right)
{
	const struct line *a = left, *b = right;

	return (a->order > b->order) - (a->order < b->order);
}

/* By sorting: a text may have several hundred thousand lines. */
static void hide_overridden(struct line *lines, size_t count)
{
	qsort(lines, count, sizeof *lines, by_name);
	for (size_t i = 0; i + 1 < count; i++)
		lines[i].hidden = compare_names(&lines[i], &lines[i + 1]) == 0;
	qsort(lines, count, sizeof *lines, by_order);
}

static int append_line(struct buf *out, const char *line, size_t len)
{
	if (out->len && buf_puts(out, "\n"))
		return -ENOMEM;
	return buf_append(out, line, len);
}

static int merge_lines(const struct config *const *levels, int count, enum config_key key, char **ret)
{
	size_t n;
	struct line *lines = gather_lines(levels, count, key, &n);
	struct buf out;
	int rc = lines ? 0 : -ENOMEM;

	if (rc)
		return rc;
	if (config_fields[key].merge == MERGE_BY_KEY)
		hide_overridden(lines, n);
	buf_init(&out, 4 * (CONFIG_TEXT_MAX + 1));
	for (size_t i = 0; i < n && rc == 0; i++)
		if (!lines[i].hidden)
			rc = append_line(&out, lines[i].text, lines[i].len);
	if (rc == 0 && out.len) {
		*ret = strdup(buf_text(&out));
		rc = *ret ? 0 : -ENOMEM;
	}
	free(lines);
	buf_free(&out);
	return rc;
}

static int merge_nearest(const struct config *const *levels, int count, enum config_key key, char **ret)
{
	for (int i = count - 1; i >= 0; i--) {
		if (levels[i] && levels[i]->text[key]) {
			*ret = strdup(levels[i]->text[key]);
			return *ret ? 0 : -ENOMEM;
		}
	}
	return 0;
}

int config_merge(const struct config *const *levels, int count, struct config *ret)
{
	int rc = 0;

	*ret = (struct config){0};
	for (enum config_key key = 0; key < CONFIG_KEYS && rc == 0; key++) {
		if (config_fields[key].merge == MERGE_REPLACE)
			rc = merge_nearest(levels, count, key, &ret->text[key]);
		else
			rc = merge_lines(levels, count, key, &ret->text[key]);
	}
	if (rc)
		config_free(ret);
	return rc;
}

void config_free(struct config *c)
{
	for (enum config_key key = 0; key < CONFIG_KEYS; key++)
		free(c->text[key]);
	*c = (struct config){0};
}

/* --- Typed readings --- */

static uint64_t quantity(const char *text, const struct unit *units)
{
	double value;

	if (!text || !parse_quantity(text, units, &value))
		return 0;
	return (uint64_t)value;
}

uint64_t config_parse_bytes(const char *text)
{
	return quantity(text, byte_units);
}

uint32_t config_parse_seconds(const char *text)
{
	uint64_t s = quantity(text, second_units);

	return s <= CONFIG_SECONDS_MAX ? (uint32_t)s : 0;
}

uint64_t config_bytes(const struct config *c, enum config_key key)
{
	return config_parse_bytes(c->text[key]);
}

uint32_t config_seconds(const struct config *c, enum config_key key)
{
	return config_parse_seconds(c->text[key]);
}

uint64_t config_number(const struct config *c, enum config_key key)
{
	return quantity(c->text[key], plain_units);
}

uint64_t config_millicpus(const struct config *c, enum config_key key)
{
	return quantity(c->text[key], millicpu_units);
}

const char *config_text(const struct config *c, enum config_key key)
{
	return c->text[key] ? c->text[key] : "";
}
