#include "agent/agent.h"

#include <stdlib.h>
#include <string.h>

static size_t count(char **list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static bool same_name(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return strncmp(a, b, len) == 0 && b[len] == '=';
}

static bool replaced(const char *entry, char **over)
{
	for (; *over; over++)
		if (same_name(entry, *over))
			return true;
	return false;
}

char **environment_merge(char **base, char **over)
{
	char **merged = calloc(count(base) + count(over) + 1, sizeof *merged);
	size_t n = 0;

	if (!merged)
		return NULL;
	for (; *base; base++)
		if (!replaced(*base, over))
			merged[n++] = *base;
	for (; *over; over++)
		merged[n++] = *over;
	return merged;
}

const char *environment_get(char **env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}
