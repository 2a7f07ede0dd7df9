/*
 * A creation is repeated under one request id, so that a sandbox whose creation was not heard of is not made
 * twice. Where nothing is heard in the end, the sandbox may be there all the same: it is asked for once more,
 * when the service answers again, and deleted, in the background.
 */
#include "backend/aviato/creation.h"

#include "backend/aviato/delay.h"
#include "backend/aviato/failure.h"
#include "backend/aviato/remote.h"
#include "backend/aviato/snapshots.h"
#include "base/log.h"
#include "rpc/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Of one attempt: the service answers a creation at once, and then makes it. A repeated one joins the first.
 */
#define CREATE_MS	 30000u
#define CREATE_BUDGET_MS 30000u
#define UNDO_FIRST_MS	 1000u
#define UNDO_LAST_MS	 15000u

void make_request_id(char ret[37])
{
	unsigned char b[16];

	if (getrandom(b, sizeof b, 0) != sizeof b)
		abort();
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* --- Placement --- */

#define MODE_CKS	"SANDBOX_MODE_CKS"
#define MODE_SERVERLESS "SANDBOX_MODE_SERVERLESS"

static const char *const placements[] = {
    [PLACE_STRICT] = "strict",
    [PLACE_CKS_FIRST] = "cks_then_serverless",
    [PLACE_SERVERLESS_FIRST] = "serverless_then_cks",
};

enum placement placement_of(const struct config *c)
{
	for (int p = PLACE_CKS_FIRST; p <= PLACE_SERVERLESS_FIRST; p++)
		if (strcmp(config_text(c, CONFIG_PLACEMENT), placements[p]) == 0)
			return (enum placement)p;
	return PLACE_STRICT;
}

static int bad(struct error *err, const char *placement, const char *why)
{
	return error_set(err, EINVAL, "INVALID_VALUE", "placement: %s %s", placement, why);
}

int placement_check(const struct config *c, const cJSON *spec, struct error *err)
{
	const char *text = config_text(c, CONFIG_PLACEMENT), *mode = json_text(spec, "mode");
	enum placement placement = placement_of(c);

	if (placement == PLACE_STRICT && *text && strcmp(text, placements[PLACE_STRICT]) != 0)
		return error_set(
		    err, EINVAL, "INVALID_VALUE",
		    "placement: strict, cks_then_serverless or serverless_then_cks, not \"%.60s\"", text);
	if (placement == PLACE_STRICT)
		return 0;
	if (config_text(c, CONFIG_TEMPLATE)[0])
		return bad(err, text, "cannot go with template");
	if (strcmp(mode, placement == PLACE_CKS_FIRST ? MODE_SERVERLESS : MODE_CKS) == 0)
		return bad(err, text, "does not begin with the mode of spec");
	if (placement == PLACE_SERVERLESS_FIRST && cJSON_GetArraySize(json_array(spec, "runnerIds")))
		return bad(err, text, "cannot go with runnerIds");
	return 0;
}

static void set_mode(cJSON *spec, const char *mode)
{
	cJSON_DeleteItemFromObjectCaseSensitive(spec, "mode");
	cJSON_AddStringToObject(spec, "mode", mode);
}

void placement_begin(cJSON *spec, enum placement placement)
{
	if (placement != PLACE_STRICT)
		set_mode(spec, placement == PLACE_CKS_FIRST ? MODE_CKS : MODE_SERVERLESS);
	/* Runners are chosen by name only where the caller brings his own. */
	else if (cJSON_GetArraySize(json_array(spec, "runnerIds")) && !json_get(spec, "mode"))
		set_mode(spec, MODE_CKS);
}

/* Whether it was refused for want of a place, where there is another kind of place to try. */
static bool can_spill(const struct remote *i, const struct rpc_status *s)
{
	return i->placement != PLACE_STRICT && failure_is_no_place(s);
}

static void spill(struct remote *i)
{
	log_info("no place in the first placement: trying the other");
	if (i->placement == PLACE_CKS_FIRST) {
		cJSON_DeleteItemFromObjectCaseSensitive(i->body, "runnerIds");
		set_mode(i->body, MODE_SERVERLESS);
	} else {
		set_mode(i->body, MODE_CKS);
	}
	i->placement = PLACE_STRICT;
	i->maybe_made = false; /* the first was refused for certain */
	make_request_id(i->request_id);
	creation_begin(i);
}

/* --- Undoing --- */

/* A creation nobody heard of. */
struct undo {
	struct list link;
	struct aviato *aviato;
	struct request request;
	struct delay *delay;
	unsigned pause_ms;
	const char *method;
	cJSON *body;  /* of the creation */
	char id[128]; /* "" before it is known */
};

static void undo_free(struct undo *u)
{
	request_cancel(&u->request);
	delay_cancel(u->delay);
	list_remove(&u->link);
	cJSON_Delete(u->body);
	free(u);
}

static void undo_again(void *arg);

static void undo_later(struct undo *u)
{
	u->delay = delay_start(u->pause_ms, undo_again, u);
	u->pause_ms = delay_doubled(u->pause_ms, UNDO_LAST_MS);
	if (!u->delay)
		undo_free(u);
}

static void undone(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct undo *u = owner;
	const char *id = json_text(answer, "sandboxId");

	if (!u->id[0] && *id && strlen(id) < sizeof u->id) {
		strcpy(u->id, id);
		u->pause_ms = UNDO_FIRST_MS;
		undo_again(u);
	} else if (answer ? !u->id[0] : !failure_is_final(status) || failure_is_passing(status)) {
		undo_later(u);
	} else {
		if (u->id[0])
			log_info("sandbox %s, which was given up here, is deleted", u->id);
		undo_free(u);
	}
}

static void undo_again(void *arg)
{
	struct undo *u = arg;
	cJSON *body;

	u->delay = NULL;
	if (u->id[0]) {
		body = cJSON_CreateObject();
		cJSON_AddStringToObject(body, "sandboxId", u->id);
		cJSON_AddTrueToObject(body, "allowMissing");
	} else {
		body = cJSON_Duplicate(u->body, true);
	}
	request_start(&u->request, u->aviato, u->id[0] ? "DeleteSandbox" : u->method, body, CREATE_MS, 0,
		      undone, u);
}

static const char *method_of(const struct remote *i)
{
	return i->template_id[0] ? "CreateSandboxFromTemplate" : "CreateSandbox";
}

static cJSON *make_body(const struct remote *i)
{
	cJSON *body = cJSON_CreateObject(), *spec = cJSON_Duplicate(i->body, true);

	if (i->template_id[0]) {
		cJSON_AddStringToObject(body, "templateId", i->template_id);
		cJSON_AddItemToObject(body, "overrides", spec);
	} else {
		cJSON_AddItemToObject(cJSON_AddObjectToObject(body, "sandbox"), "spec", spec);
	}
	cJSON_AddStringToObject(body, "requestId", i->request_id);
	return body;
}

void creation_undo(struct remote *i)
{
	struct undo *u = calloc(1, sizeof *u);

	if (!u) {
		log_warn("out of memory: a sandbox may have been created that is not deleted");
		return;
	}
	u->aviato = i->aviato;
	u->method = method_of(i);
	u->body = i->id[0] ? NULL : make_body(i);
	strcpy(u->id, i->id);
	u->pause_ms = UNDO_FIRST_MS;
	list_init(&u->link);
	list_append(&i->aviato->undoing, &u->link);
	if (u->id[0])
		undo_again(u);
	else
		undo_later(u);
}

void creation_close(struct aviato *a)
{
	while (!list_empty(&a->undoing))
		undo_free(container_of(a->undoing.next, struct undo, link));
}

/* --- Creating --- */

/* No id, or none that can stand in a path. */
static bool is_id(const char *id, size_t size)
{
	return *id && strlen(id) < size &&
	       !id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

/* All attempts are one creation to the service: what it says of one holds for those before. */
static void note_failure(struct remote *i, const struct rpc_status *s)
{
	if (failure_is_final(s))
		i->maybe_made = false;
	else if (!s->unreachable || s->transport == ETIMEDOUT)
		i->maybe_made = true;
}

/* After each failure: what may pass, but not for want of a place, which the user, or the other placement, can
 * mend better. */
static bool may_pass(void *owner, const struct rpc_status *s)
{
	struct remote *i = owner;

	note_failure(i, s);
	return failure_is_passing(s) && s->code != RPC_RESOURCE_EXHAUSTED && !can_spill(i, s);
}

static void fail(struct remote *i, const struct error *why)
{
	if (i->maybe_made)
		creation_undo(i);
	cJSON_Delete(i->body);
	i->body = NULL;
	remote_end(i, END_FAILED, why);
}

static void came(void *owner, const cJSON *answer, const struct rpc_status *status)
{
	struct remote *i = owner;
	const char *id = json_text(answer, "sandboxId");
	struct error why;

	if (is_id(id, sizeof i->id)) {
		core_lock();
		snapshots_see_volumes(i, i->body); /* what comes with a template is told later */
		core_unlock();
		cJSON_Delete(i->body);
		i->body = NULL;
		remote_created(i, answer);
	} else if (answer) {
		i->maybe_made = true;
		error_set(&why, EPROTO, "BAD_ANSWER", "the service created a sandbox without a usable id");
		fail(i, &why);
	} else if (can_spill(i, status) && !i->wants.stop) {
		spill(i);
	} else {
		note_failure(i, status);
		failure_set_start(&why, status, "create the sandbox");
		fail(i, &why);
	}
}

void creation_begin(struct remote *i)
{
	i->phase = PHASE_CREATING;
	request_start(&i->request, i->aviato, method_of(i), make_body(i), CREATE_MS, CREATE_BUDGET_MS, came,
		      i);
	i->request.passing = may_pass;
}

void creation_see_template(struct remote *i, const cJSON *sandbox)
{
	const cJSON *spec = json_object(sandbox, "spec");
	struct config told;

	if (!i->template_id[0] || !i->sandbox || !spec)
		return;
	if (sandbox_spec_read(spec, json_object(sandbox, "status"), &told))
		return;
	sandbox_settings_told(i->sandbox, &told);
	config_free(&told);
}
