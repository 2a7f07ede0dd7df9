/* Reading proto3 JSON: either spelling of names, 64-bit numbers as strings, absent means default. */
#pragma once

#include <cjson/cJSON.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The members below are named in lowerCamelCase; snake_case is found too. `o` may be NULL. */

/* NULL when absent or null. */
const cJSON *json_get(const cJSON *o, const char *name);
/* An object, or NULL. */
const cJSON *json_object(const cJSON *o, const char *name);
/* An array, or NULL: walk it with cJSON_ArrayForEach, which takes NULL. */
const cJSON *json_array(const cJSON *o, const char *name);
/* "" when absent or no string. */
const char *json_text(const cJSON *o, const char *name);
/* A number or a string of digits; false when it is neither, absent, or out of range. */
bool json_int64(const cJSON *o, const char *name, int64_t *ret);
bool json_uint64(const cJSON *o, const char *name, uint64_t *ret);

/* One value of a whole text: NULL when it is not JSON, not an object, or has more than some million parts. */
cJSON *json_parse_object(const char *text, size_t len);
