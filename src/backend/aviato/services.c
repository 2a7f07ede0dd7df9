#include "backend/aviato/services.h"

#include "backend/aviato/delay.h"
#include "backend/aviato/remote.h"
#include "rpc/json.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An address comes up to a minute after the sandbox runs. */
#define PAUSE_MS   2000u
#define LOOKS_MAX  30u
#define TIMEOUT_MS 15000u

struct services_watch {
	struct request request;
	struct delay *delay;
	unsigned looks;
};

/* --- Telling them --- */

static const char *url_of(const cJSON *service)
{
	const char *url = json_text(service, "url");

	return *url ? url : json_text(json_object(service, "endpoint"), "url");
}

/* Ports that are only listened on never get one. */
static bool will_have_url(const cJSON *service)
{
	const char *visibility = json_text(service, "visibility");

	return *visibility && strcmp(visibility, "VISIBILITY_UNSPECIFIED") != 0;
}

/* "VISIBILITY_PUBLIC" says no more than "public". */
static void add_word(cJSON *o, const char *name, const char *prefix, const char *word)
{
	char text[40];
	size_t n = 0;

	if (strncmp(word, prefix, strlen(prefix)) == 0)
		word += strlen(prefix);
	if (!*word || strcmp(word, "UNSPECIFIED") == 0)
		return;
	for (; *word && n + 1 < sizeof text; word++)
		text[n++] = (char)tolower((unsigned char)*word);
	text[n] = '\0';
	cJSON_AddStringToObject(o, name, text);
}

static int print(const cJSON *service, struct buf *out)
{
	cJSON *o = cJSON_CreateObject();
	int64_t port = 0;
	char *line;
	int rc;

	json_int64(service, "port", &port);
	if (json_text(service, "name")[0])
		cJSON_AddStringToObject(o, "name", json_text(service, "name"));
	cJSON_AddNumberToObject(o, "port", (double)port);
	add_word(o, "protocol", "SERVICE_PROTOCOL_", json_text(service, "protocol"));
	add_word(o, "visibility", "VISIBILITY_", json_text(service, "visibility"));
	if (*url_of(service))
		cJSON_AddStringToObject(o, "url", url_of(service));
	else if (will_have_url(service))
		cJSON_AddTrueToObject(o, "pending");
	line = cJSON_PrintUnformatted(o);
	cJSON_Delete(o);
	rc = line ? buf_printf(out, "%s\n", line) : -ENOMEM;
	cJSON_free(line);
	return rc;
}

int services_show(struct backend *b, struct sandbox *s, struct buf *out)
{
	const struct remote *i = sandbox_instance(s);
	const cJSON *service;
	int rc = 0;

	(void)b;
	if (!i)
		return 0;
	cJSON_ArrayForEach(service, i->known.services) rc = rc ? rc : print(service, out);
	return rc;
}

/* --- Waiting for addresses --- */

/* Core lock held. */
static bool lacks_address(const struct remote *i)
{
	const cJSON *service;

	cJSON_ArrayForEach(service, i->known.services)
	{
		if (will_have_url(service) && !*url_of(service))
			return true;
	}
	return false;
}

static void look(void *arg);

static void look_later(struct remote *i)
{
	struct services_watch *w = i->services;
	bool lacks;

	core_lock();
	lacks = lacks_address(i);
	core_unlock();
	if (lacks && w->looks++ < LOOKS_MAX && i->phase < PHASE_STOPPING)
		w->delay = delay_start(PAUSE_MS, look, i);
	if (!w->delay)
		services_part(i);
}

static void looked(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct remote *i = owner;

	(void)status;
	if (answer)
		remote_remember(i, answer);
	look_later(i);
}

static void look(void *arg)
{
	struct remote *i = arg;
	cJSON *body = cJSON_CreateObject();

	i->services->delay = NULL;
	cJSON_AddStringToObject(body, "sandboxId", i->id);
	request_start(&i->services->request, i->aviato, "GetSandbox", body, TIMEOUT_MS, 0, looked, i);
}

void services_watch(struct remote *i)
{
	if (i->services)
		return;
	i->services = calloc(1, sizeof *i->services);
	if (i->services)
		look_later(i);
}

void services_part(struct remote *i)
{
	if (!i->services)
		return;
	request_cancel(&i->services->request);
	delay_cancel(i->services->delay);
	free(i->services);
	i->services = NULL;
}
