#include "backend/aviato/catalogs.h"

#include "backend/aviato/aviato.h"
#include "backend/aviato/listing.h"
#include "base/loop.h"
#include "rpc/json.h"

#include <errno.h>

#define TEXT_MAX (16u << 20)

static const struct listing_kind kinds[CATALOGS] = {
    [CATALOG_RUNNERS] = {"DiscoveryService/ListAvailableRunners", "runners", "list the runners", 100},
    [CATALOG_TEMPLATES] = {"SandboxTemplateService/ListSandboxTemplates", "sandboxTemplates",
			   "list the templates", 100},
};

/* The environment a template gives is nobody's to read here. */
static void leave_out_values(cJSON *item)
{
	cJSON *container;

	cJSON_ArrayForEach(container, (cJSON *)json_array(json_object(item, "spec"), "containers"))
	{
		cJSON_DeleteItemFromObjectCaseSensitive(container, "environmentVariables");
		cJSON_DeleteItemFromObjectCaseSensitive(container, "environment_variables");
		cJSON_DeleteItemFromObjectCaseSensitive(container, "files");
		cJSON_DeleteItemFromObjectCaseSensitive(container, "imagePullCredentials");
	}
}

static int print(cJSON *items, struct buf *out)
{
	cJSON *item;

	cJSON_ArrayForEach(item, items)
	{
		char *line;
		int rc;

		leave_out_values(item);
		line = cJSON_PrintUnformatted(item);
		rc = line ? buf_printf(out, "%s\n", line) : -ENOMEM;
		cJSON_free(line);
		if (rc)
			return rc;
	}
	return 0;
}

static void listed(struct listing *l, const struct error *why)
{
	enum catalog which = (enum catalog)(l->kind - kinds);
	struct error trouble;
	struct buf text;

	buf_init(&text, TEXT_MAX);
	if (!why && print(l->items, &text)) {
		error_set(&trouble, ENOMEM, "NO_MEMORY", "out of memory");
		why = &trouble;
	}
	core_lock();
	backend_told(which, text.data, text.len, why);
	core_unlock();
	buf_free(&text);
	listing_end(l);
}

static void start(struct aviato *a, enum catalog which)
{
	cJSON *filter = cJSON_CreateObject();

	if (which == CATALOG_RUNNERS) /* with what they have left */
		cJSON_AddStringToObject(filter, "view", "RUNNER_VIEW_FULL");
	listing_start(&a->catalogs[which], a, &kinds[which], filter, listed);
}

static void runners_posted(void *arg)
{
	start(arg, CATALOG_RUNNERS);
}

static void templates_posted(void *arg)
{
	start(arg, CATALOG_TEMPLATES);
}

void catalogs_tell(struct backend *b, enum catalog which)
{
	struct error err;

	if (loop_post(which == CATALOG_RUNNERS ? runners_posted : templates_posted, b) == 0)
		return;
	error_set(&err, ENOMEM, "NO_MEMORY", "out of memory");
	backend_told(which, NULL, 0, &err);
}

void catalogs_close(struct aviato *a)
{
	for (int i = 0; i < CATALOGS; i++)
		listing_end(&a->catalogs[i]);
}
