/* Settings of a sandbox as the service wants them, and back. */
#pragma once

#include "base/error.h"
#include "core/config.h"

#include <cjson/cJSON.h>

#include <stdbool.h>

/* Tags under which a later mount finds a sandbox; the service takes at most 59 bytes in one. */
#define TAG_OURS    "aviatofs"
#define TAG_SESSION "aviatofs-s."
#define TAG_NAME    "aviatofs-n."
#define TAG_KEPT    "aviatofs-kept" /* its mount was to let it live */

#define IMAGE_DEFAULT	 "python:3.11"
#define LIFETIME_DEFAULT "1d"
#define TEMPLATE_ID_MAX	 128

/* Whether the settings can be sent: -EINVAL, -EOPNOTSUPP with a sentence. */
int sandbox_spec_check(const struct config *c, struct error *err);

/* Whether an image was asked for. */
bool sandbox_spec_has_image(const struct config *c);
/* A SandboxSpec, or what a template is overridden with; NULL: out of memory. The settings have been checked.
 */
cJSON *sandbox_spec_make(const struct config *c, const char *session, const char *name, bool kept);

/* What a SandboxSpec, and its SandboxStatus, say, as far as there are settings for it. -ENOMEM. */
int sandbox_spec_read(const cJSON *spec, const cJSON *status, struct config *ret);
/* The text behind a tag that begins so; "" when there is none. */
const char *sandbox_spec_tag(const cJSON *spec, const char *prefix);
