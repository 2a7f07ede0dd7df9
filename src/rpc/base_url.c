#include "rpc/base_url.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_web(const char *text)
{
	return strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0;
}

/* The length of the host at the start of `text`; 0 when there is none. */
static size_t host_length(const char *text)
{
	size_t n = 0;

	if (*text == '[') {
		n = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
		return text[n] == ']' ? n + 1 : 0;
	}
	while (isalnum((unsigned char)text[n]) || (n && text[n] && strchr("-._", text[n])))
		n++;
	return n;
}

static bool is_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	return isdigit((unsigned char)*text) && !*end && port > 0 && port < 65536;
}

bool base_url_is_local(const char *url)
{
	const char *host = strstr(url, "://");
	size_t len = host ? host_length(host + 3) : 0;

	if (!len)
		return false;
	host += 3;
	return (len == 9 && strncasecmp(host, "localhost", 9) == 0) ||
	       (len == 5 && strncmp(host, "[::1]", 5) == 0) ||
	       (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == len);
}

static int check(const char *url, struct error *err)
{
	const char *host = strstr(url, "://"), *rest = "";
	size_t len = host ? host_length(host + 3) : 0;

	if (len)
		rest = host + 3 + len;
	if (!len || (*rest == ':' ? !is_port(rest + 1) : *rest))
		return error_set(err, EINVAL, "BAD_SOURCE",
				 "'%.200s' is no address of a service: https://HOST or https://HOST:PORT is",
				 url);
	if (strncasecmp(url, "http://", 7) == 0 && !base_url_is_local(url))
		return error_set(err, EINVAL, "BAD_SOURCE",
				 "'%.200s': keys go over https:// only, but to this machine itself", url);
	return 0;
}

int base_url_find(const char *source, char *ret, size_t size, struct error *err)
{
	static const char *const variables[] = {"CWSANDBOX_BASE_URL", "AVIATO_BASE_URL"};
	const char *url = is_web(source) ? source : NULL;
	size_t len;

	for (size_t i = 0; !url && i < sizeof variables / sizeof *variables; i++) {
		const char *value = getenv(variables[i]);

		if (value && *value && !is_web(value))
			return error_set(err, EINVAL, "BAD_SOURCE", "%s: '%.200s' is no URL", variables[i],
					 value);
		if (value && *value)
			url = value;
	}
	url = url ? url : BASE_URL_DEFAULT;
	len = strlen(url);
	while (len && url[len - 1] == '/')
		len--;
	if (len >= size)
		return error_set(err, EINVAL, "BAD_SOURCE", "the address of the service is too long");
	snprintf(ret, size, "%.*s", (int)len, url);
	return check(ret, err);
}
