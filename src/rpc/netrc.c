#include "rpc/netrc.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define SPACES	 " \t\r\n"
#define WORD_MAX 1024

/* The next word of `*at`, without quotes and escapes: 1, 0 at the end, -EINVAL. */
static int next_word(const char **at, char *ret)
{
	const char *p = *at + strspn(*at, SPACES);
	bool quoted = *p == '"';
	size_t n = 0;

	if (!*p)
		return 0;
	p += quoted;
	while (*p && (quoted ? *p != '"' : !strchr(SPACES, *p))) {
		if (*p == '\\' && p[1])
			p++;
		if (n + 1 == WORD_MAX)
			return -EINVAL;
		ret[n++] = *p++;
	}
	if (quoted && *p++ != '"')
		return -EINVAL;
	ret[n] = '\0';
	*at = p;
	return 1;
}

/* A macro goes on to the next empty line. */
static void skip_macro(const char **at)
{
	const char *end = strstr(*at, "\n\n");

	*at = end ? end : *at + strlen(*at);
}

int netrc_password(const char *text, const char *machine, char *ret, size_t size)
{
	char word[WORD_MAX], value[WORD_MAX];
	bool ours = false;
	int rc;

	while ((rc = next_word(&text, word)) > 0) {
		if (word[0] == '#') {
			text += strcspn(text, "\n");
			continue;
		}
		if (strcmp(word, "default") == 0) {
			ours = true;
			continue;
		}
		if (strcmp(word, "macdef") == 0) {
			skip_macro(&text);
			continue;
		}
		if (next_word(&text, value) <= 0)
			return -EINVAL;
		if (strcmp(word, "machine") == 0)
			ours = strcmp(value, machine) == 0;
		else if (strcmp(word, "password") == 0 && ours) {
			rc = strlen(value) < size ? 0 : -EINVAL;
			if (rc == 0)
				memcpy(ret, value, strlen(value) + 1);
			goto done;
		} else if (strcmp(word, "login") && strcmp(word, "account") && strcmp(word, "password"))
			return -EINVAL;
	}
	rc = rc ? rc : -ENOENT;
done:
	explicit_bzero(value, sizeof value);
	return rc;
}
