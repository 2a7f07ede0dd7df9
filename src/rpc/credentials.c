#include "rpc/credentials.h"

#include "base/log.h"
#include "rpc/netrc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MAX	 4096
#define FILE_MAX (64 << 10)

/* --- Files --- */

/* The text of a file only its owner may read; -ENOENT when there is none. */
static int read_secret_file(const char *path, char **ret, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *text;
	ssize_t n;

	if (fd < 0)
		return error_errno(err, errno, "CREDENTIALS", "%.200s", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) ||
	    st.st_mode & 077) {
		close(fd);
		return error_set(err, EACCES, "CREDENTIALS",
				 "%.200s must be a file of yours that nobody else may read: chmod 600", path);
	}
	text = calloc(1, FILE_MAX + 1);
	n = text ? read(fd, text, FILE_MAX) : -1;
	close(fd);
	if (n < 0) {
		free(text);
		return error_errno(err, EIO, "CREDENTIALS", "%.200s", path);
	}
	*ret = text;
	return 0;
}

static void free_secret(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static int netrc_key(char *ret, size_t size, struct error *err)
{
	static const char *const machines[] = {"api.wandb.ai", "wandb.ai"};
	const struct passwd *user = getpwuid(geteuid());
	const char *home = getenv("HOME");
	char path[PATH_MAX], *text = NULL;
	int rc;

	if (!home || !*home)
		home = user ? user->pw_dir : "";
	if (snprintf(path, sizeof path, "%s/.netrc", home) >= (int)sizeof path || access(path, F_OK))
		return -ENOENT;
	rc = read_secret_file(path, &text, err);
	if (rc)
		return rc;
	rc = -ENOENT;
	for (size_t i = 0; rc == -ENOENT && i < sizeof machines / sizeof *machines; i++)
		rc = netrc_password(text, machines[i], ret, size);
	free_secret(text);
	if (rc == -EINVAL) {
		log_warn("%s makes no sense: not used", path);
		rc = -ENOENT;
	}
	return rc;
}

/* --- Keys --- */

/* Without the blanks around it; false when it cannot be the value of a header. */
static bool usable(char *key)
{
	size_t len, skip = strspn(key, " \t\r\n");

	memmove(key, key + skip, strlen(key) - skip + 1);
	len = strlen(key);
	while (len && strchr(" \t\r\n", key[len - 1]))
		key[--len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (key[i] <= ' ' || key[i] >= 127)
			return false;
	return len > 0;
}

/* False where it is not set, or empty. One that is too long is none. */
static bool take_variable(const char *name, char *ret)
{
	const char *value = getenv(name);

	if (!value || !*value)
		return false;
	snprintf(ret, KEY_MAX, "%s", strlen(value) < KEY_MAX ? value : "");
	return true;
}

/* Out of the environment, where other programs of this user could see them: those that are not used, too. */
static void wipe_variables(void)
{
	static const char *const names[] = {"CWSANDBOX_API_KEY", "AVIATO_API_KEY", "WANDB_API_KEY"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *value = getenv(names[i]);

		if (value)
			explicit_bzero(value, strlen(value));
	}
}

static int add(struct credentials *c, const char *name, const char *value, struct error *err)
{
	int i = 0;

	while (c->headers[i])
		i++;
	if (asprintf(&c->headers[i], "%s %s", name, value) >= 0)
		return 0;
	c->headers[i] = NULL;
	return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
}

static int bearer(struct credentials *c, char *key, const char *source, struct error *err)
{
	snprintf(c->source, sizeof c->source, "%s", source);
	if (!usable(key))
		return error_set(err, ENOKEY, "CREDENTIALS", "%s holds no key", source);
	return add(c, "Authorization: Bearer", key, err);
}

static const char *first_set(const char *one, const char *two)
{
	const char *value = getenv(one);

	return value && *value ? value : getenv(two);
}

static int add_name(struct credentials *c, const char *header, const char *what, const char *name,
		    struct error *err)
{
	char text[256];

	if (snprintf(text, sizeof text, "%s", name) >= (int)sizeof text || !usable(text))
		return error_set(err, EINVAL, "CREDENTIALS", "the W&B %s is no name", what);
	return add(c, header, text, err);
}

static int wandb(struct credentials *c, char *key, const char *source, struct error *err)
{
	const char *entity = first_set("WANDB_ENTITY_NAME", "WANDB_ENTITY");
	const char *project = first_set("WANDB_PROJECT_NAME", "WANDB_PROJECT");
	int rc;

	snprintf(c->source, sizeof c->source, "%s", source);
	if (!usable(key))
		return error_set(err, ENOKEY, "CREDENTIALS", "%s holds no key", source);
	if (!entity || !*entity)
		return error_set(err, ENOKEY, "CREDENTIALS",
				 "there is a W&B key (%s) but no entity: set WANDB_ENTITY_NAME", source);
	/* Two names of one header are in use; the service takes either. */
	rc = add(c, "x-api-key:", key, err);
	rc = rc ? rc : add(c, "x-wandb-api-key:", key, err);
	rc = rc ? rc : add_name(c, "x-entity-id:", "entity", entity, err);
	return rc ? rc
		  : add_name(c, "x-project-name:", "project", project && *project ? project : "uncategorized",
			     err);
}

static int from_file(const char *file, struct credentials *ret, char *key, struct error *err)
{
	char *text = NULL;
	int rc = read_secret_file(file, &text, err);
	size_t len;

	if (rc)
		return rc;
	len = strcspn(text, "\n");
	snprintf(key, KEY_MAX, "%.*s", len < KEY_MAX ? (int)len : 0, text); /* one that is too long is none */
	free_secret(text);
	return bearer(ret, key, file, err);
}

static int find(const char *file, struct credentials *ret, char *key, struct error *err)
{
	static const char *const plain[] = {"CWSANDBOX_API_KEY", "AVIATO_API_KEY"};
	int rc;

	if (file)
		return from_file(file, ret, key, err);
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		if (take_variable(plain[i], key))
			return bearer(ret, key, plain[i], err);
	if (take_variable("WANDB_API_KEY", key))
		return wandb(ret, key, "WANDB_API_KEY", err);
	rc = netrc_key(key, KEY_MAX, err);
	if (rc == 0)
		return wandb(ret, key, "~/.netrc", err);
	if (rc != -ENOENT)
		return rc;
	return error_set(err, ENOKEY, "CREDENTIALS",
			 "there are no credentials: set CWSANDBOX_API_KEY, or WANDB_API_KEY and "
			 "WANDB_ENTITY_NAME, or give -o credentials=FILE");
}

int credentials_find(const char *file, struct credentials *ret, struct error *err)
{
	struct credentials c = {0};
	char key[KEY_MAX];
	int rc = find(file, &c, key, err);

	explicit_bzero(key, sizeof key);
	wipe_variables();
	if (rc)
		credentials_free(&c);
	else
		*ret = c;
	return rc;
}

void credentials_free(struct credentials *c)
{
	for (int i = 0; i < ENDPOINT_HEADERS; i++) {
		free_secret(c->headers[i]);
		c->headers[i] = NULL;
	}
}
