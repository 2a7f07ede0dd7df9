/* The table core calls, and opening and closing it all. */
#include "backend/aviato/aviato.h"

#include "backend/aviato/breaker.h"
#include "backend/aviato/catalogs.h"
#include "backend/aviato/creation.h"
#include "backend/aviato/logs.h"
#include "backend/aviato/remote.h"
#include "backend/aviato/listing.h"
#include "backend/aviato/purge.h"
#include "backend/aviato/sandbox_spec.h"
#include "backend/aviato/search.h"
#include "backend/aviato/services.h"
#include "backend/aviato/snapshots.h"
#include "base/log.h"
#include "base/loop.h"
#include "rpc/base_url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>

#define CONNECT_MS    10000u
#define TIMEOUT_MS    30000u /* as core has it */
#define TEMPLATES_URL "https://api.coreweave.com"

void aviato_method(const char *name, char *ret, size_t size)
{
	snprintf(ret, size, "coreweave.sandbox.v1.%s%s", strchr(name, '/') ? "" : "SandboxService/", name);
}

/* --- What core asks --- */

static int aviato_check(struct backend *b, const struct config *c, struct error *err)
{
	(void)b;
	return sandbox_spec_check(c, err);
}

static void linked_posted(void *arg)
{
	struct remote *i = arg;

	list_append(&i->aviato->instances, &i->link);
	remote_step(i);
}

static void aviato_start(struct backend *b, struct sandbox *s)
{
	struct aviato *a = (struct aviato *)b;
	struct remote *i = sandbox_instance(s);
	struct error err;

	if (i) { /* it was found dormant */
		i->wants.start = true;
		remote_post_step(i);
		return;
	}
	i = remote_new(a, s);
	if (i) {
		i->body =
		    sandbox_spec_make(sandbox_config(s), sandbox_session_name(s), sandbox_name(s), a->keep);
		snprintf(i->template_id, sizeof i->template_id, "%s",
			 config_text(sandbox_config(s), CONFIG_TEMPLATE));
		i->placement = placement_of(sandbox_config(s));
		i->wants.start = true;
		sandbox_set_instance(s, i);
		if (i->body && loop_post(linked_posted, i) == 0)
			return;
		sandbox_set_instance(s, NULL);
		remote_free(i);
	}
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	sandbox_ended(s, END_FAILED, &err);
}

static void aviato_reconnect(struct backend *b, struct sandbox *s)
{
	struct remote *i = sandbox_instance(s);

	(void)b;
	i->wants.start = true;
	remote_post_step(i);
}

static void aviato_stop(struct backend *b, struct sandbox *s, uint32_t grace_ms)
{
	struct remote *i = sandbox_instance(s);

	(void)b;
	if (!i) {
		sandbox_ended(s, END_TERMINATED, NULL);
		return;
	}
	i->wants.stop = true;
	i->wants.grace_ms = grace_ms;
	remote_post_step(i);
}

static void removed_posted(void *arg)
{
	core_lock();
	sandbox_removed(arg);
	core_unlock();
}

static void leave(struct sandbox *s, bool keep)
{
	struct remote *i = sandbox_instance(s);

	if (!i) {
		if (loop_post(removed_posted, s))
			sandbox_removed(s);
		return;
	}
	if (keep)
		i->wants.keep = true;
	else
		i->wants.remove = true;
	remote_post_step(i);
}

static void aviato_remove(struct backend *b, struct sandbox *s)
{
	(void)b;
	leave(s, false);
}

static void aviato_keep(struct backend *b, struct sandbox *s)
{
	(void)b;
	leave(s, true);
}

static int aviato_root(struct backend *b, struct sandbox *s)
{
	(void)b;
	(void)s;
	return -EOPNOTSUPP;
}

static void aviato_describe(struct backend *b, struct sandbox *s, cJSON *info)
{
	(void)b;
	remote_describe(sandbox_instance(s), info);
}

/* --- Opening and closing --- */

static void free_all(struct aviato *a)
{
	credentials_free(&a->credentials);
	agent_file_free(a->agents);
	free(a->roster);
	free(a->catalogs);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->changed);
	free(a);
}

static void close_posted(void *arg)
{
	struct aviato *a = arg;

	breaker_close(a);
	creation_close(a);
	search_close(a);
	catalogs_close(a);
	purge_close(a);
	snapshot_list_close(a);
	snapshots_close(a);
	while (!list_empty(&a->instances))
		remote_free(container_of(a->instances.next, struct remote, link));
	if (a->templates != a->endpoint)
		endpoint_close(a->templates);
	endpoint_close(a->endpoint);
	pthread_mutex_lock(&a->lock);
	a->closed = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static void aviato_close(struct backend *b)
{
	struct aviato *a = (struct aviato *)b;

	if (loop_post(close_posted, a))
		return;
	pthread_mutex_lock(&a->lock);
	while (!a->closed)
		pthread_cond_wait(&a->changed, &a->lock);
	pthread_mutex_unlock(&a->lock);
	free_all(a);
}

static const struct backend_ops aviato_ops = {
    .name = "aviato",
    .defaults = {[CONFIG_IMAGE] = IMAGE_DEFAULT, [CONFIG_LIFETIME] = LIFETIME_DEFAULT},
    .runs_command = true,
    .check = aviato_check,
    .find = search_find,
    .start = aviato_start,
    .reconnect = aviato_reconnect,
    .stop = aviato_stop,
    .remove = aviato_remove,
    .keep = aviato_keep,
    .root = aviato_root,
    .list = search_list,
    .attach = search_attach,
    .follow = logs_follow,
    .forget = logs_forget,
    .snapshot = snapshots_take,
    .snapshot_at_stop = snapshots_take_at_stop,
    .snapshot_remove = snapshots_remove,
    .snapshots = snapshots_list,
    .tell = catalogs_tell,
    .services = services_show,
    .purge = purge_begin,
    .describe = aviato_describe,
    .close = aviato_close,
};

static void make_owner(char ret[33])
{
	unsigned char random[16];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		abort();
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(ret + 2 * i, 3, "%02x", random[i]);
}

static int open_endpoint(struct aviato *a, const struct aviato_options *o, struct error *err)
{
	struct endpoint_options endpoint = {.ca_file = o->ca_file, .connect_ms = CONNECT_MS};
	char url[300];
	int rc = base_url_find(o->source, url, sizeof url, err);

	if (!rc)
		rc = credentials_find(o->credentials, &a->credentials, err);
	if (rc)
		return rc;
	endpoint.base_url = url;
	memcpy(endpoint.headers, a->credentials.headers, sizeof endpoint.headers);
	rc = endpoint_open(&endpoint, &a->endpoint, err);
	a->templates = a->endpoint;
	if (rc || strcmp(url, BASE_URL_DEFAULT) != 0)
		return rc;
	/* The service proper has its templates on a host of their own. */
	endpoint.base_url = TEMPLATES_URL;
	return endpoint_open(&endpoint, &a->templates, err);
}

int aviato_open(const struct aviato_options *o, struct backend **ret, struct error *err)
{
	struct aviato *a = calloc(1, sizeof *a);
	int rc;

	if (!a || !(a->roster = calloc(1, sizeof *a->roster)) ||
	    !(a->catalogs = calloc(CATALOGS, sizeof *a->catalogs))) {
		if (a)
			free(a->roster);
		free(a);
		return error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	}
	a->backend.ops = &aviato_ops;
	a->orphan_timeout_s = o->orphan_timeout_s;
	a->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	a->keep = o->keep;
	a->no_agent = o->no_agent;
	list_init(&a->instances);
	list_init(&a->undoing);
	list_init(&a->listed);
	list_init(&a->snapshots);
	list_init(&a->asking);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	make_owner(a->owner);
	a->agents = a->usual = agent_file_load(NULL, err);
	rc = a->agents ? open_endpoint(a, o, err) : -err->code;
	if (rc) {
		free_all(a);
		return rc;
	}
	/* Keys are in memory from here on: no other process of this user may look. */
	prctl(PR_SET_DUMPABLE, 0);
	*ret = &a->backend;
	return 0;
}
