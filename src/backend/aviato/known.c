#include "backend/aviato/known.h"

#include "backend/aviato/state.h"
#include "base/utf8.h"
#include "rpc/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MORE_MAX 2048 /* bytes of JSON of one sandbox */

/* As the service has it, in the status or beside it. */
static const struct {
	const char *name, *shown;
} extras[] = {
    {"endTime", "service_ended"},
    {"runnerGroupId", "runner_group"},
    {"effectiveResourceRequirements", "resources"},
    {"effectiveResources", "resources"}, /* of older services */
    {"effectiveRuntimeClass", "runtime_class"},
    {"effectiveIngress", "ingress"},
    {"effectiveEgress", "egress"},
    {"attachedVolumeIds", "volumes"},
    {"containerStatuses", "containers"},
    {"sourceTemplateId", "template"},
    {"sourceTemplateRevision", "template_revision"},
};

void known_init(struct known *k)
{
	k->exit_code = -1;
	strcpy(k->path, "agent");
}

void known_free(struct known *k)
{
	cJSON_Delete(k->services);
	cJSON_Delete(k->more);
}

static void keep_text(char *ret, size_t size, const char *text)
{
	snprintf(ret, size, "%s", text);
	utf8_make_printable(ret);
}

/* Nothing, as JSON has it for a field that was never set. */
static bool is_empty(const cJSON *item)
{
	if (cJSON_IsString(item))
		return !item->valuestring[0] || !strcmp(item->valuestring, "0");
	return cJSON_IsNull(item) || (cJSON_IsNumber(item) && item->valuedouble == 0) ||
	       ((cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child);
}

static bool is_short(const cJSON *item, size_t *room)
{
	char *text = cJSON_PrintUnformatted(item);
	size_t len = text ? strlen(text) : *room + 1;

	cJSON_free(text);
	if (len > *room)
		return false;
	*room -= len;
	return true;
}

static cJSON *take_more(const cJSON *sandbox, const cJSON *status)
{
	cJSON *more = cJSON_CreateObject();
	size_t room = MORE_MAX;

	for (size_t i = 0; more && i < sizeof extras / sizeof *extras; i++) {
		const cJSON *item = json_get(status, extras[i].name);

		if (!item)
			item = json_get(sandbox, extras[i].name);
		if (item && !is_empty(item) && !json_get(more, extras[i].shown) && is_short(item, &room))
			cJSON_AddItemToObject(more, extras[i].shown, cJSON_Duplicate(item, true));
	}
	return more;
}

void known_take(struct known *k, const cJSON *sandbox)
{
	const cJSON *status = json_object(sandbox, "status"), *services = json_array(status, "services");
	int code = remote_exit_code(sandbox);

	keep_text(k->state, sizeof k->state, json_text(status, "state"));
	keep_text(k->reason, sizeof k->reason, json_text(status, "stateReason"));
	keep_text(k->runner, sizeof k->runner, json_text(status, "runnerId"));
	if (code >= 0)
		k->exit_code = code;
	if (services) {
		cJSON_Delete(k->services);
		k->services = cJSON_Duplicate(services, true);
	}
	if (status) {
		cJSON_Delete(k->more);
		k->more = take_more(sandbox, status);
	}
}

void known_describe(const struct known *k, cJSON *info)
{
	const cJSON *item;

	cJSON_ReplaceItemInObjectCaseSensitive(info, "path", cJSON_CreateString(k->path));
	if (k->path_reason[0])
		cJSON_AddStringToObject(info, "path_reason", k->path_reason);
	if (k->state[0])
		cJSON_AddStringToObject(info, "service_state", k->state);
	if (k->reason[0])
		cJSON_AddStringToObject(info, "state_reason", k->reason);
	if (k->runner[0])
		cJSON_AddStringToObject(info, "runner", k->runner);
	if (k->exit_code >= 0)
		cJSON_AddNumberToObject(info, "exit_code", k->exit_code);
	if (k->services)
		cJSON_AddItemToObject(info, "services", cJSON_Duplicate(k->services, true));
	cJSON_ArrayForEach(item, k->more)
	    cJSON_AddItemToObject(info, item->string, cJSON_Duplicate(item, true));
}
