/* config/ of a sandbox, and defaults/ of a session and of the mount: one row per setting. */
#include "tree/node.h"

#include <string.h>

struct node config_rows[CONFIG_KEYS + 1];
struct node session_default_rows[CONFIG_KEYS + 1];
struct node mount_default_rows[CONFIG_KEYS + 1];
struct node function_config_rows[CONFIG_KEYS + FUNCTION_OWN_ROWS + 1];

static int put_value(const struct config *c, int key, struct buf *out)
{
	const char *text = config_text(c, key);

	return *text ? buf_printf(out, "%s\n", text) : 0;
}

static int show_merged(const struct config *const *levels, int count, int key, struct buf *out)
{
	struct config merged;
	int rc = config_merge(levels, count, &merged);

	if (rc)
		return rc;
	rc = put_value(&merged, key, out);
	config_free(&merged);
	return rc;
}

static int sandbox_show(const struct place *at, struct buf *out)
{
	struct config effective;
	int rc = sandbox_config_effective(at->sandbox, &effective);

	if (rc)
		return rc;
	rc = put_value(&effective, at->arg, out);
	config_free(&effective);
	return rc;
}

static int sandbox_store(const struct place *at, const char *text, struct error *err)
{
	return sandbox_config_set(at->sandbox, at->arg, text, err);
}

static int session_show(const struct place *at, struct buf *out)
{
	const struct config *levels[] = {&the_mount.builtin, &the_mount.defaults, &at->session->defaults};

	return show_merged(levels, 3, at->arg, out);
}

static int session_store(const struct place *at, const char *text, struct error *err)
{
	const struct config *levels[] = {&the_mount.builtin, &the_mount.defaults, &at->session->defaults};

	return mount_config_set(at->session, levels, 3, &at->session->defaults, at->arg, text, err);
}

static int function_show(const struct place *at, struct buf *out)
{
	struct config effective;
	int rc = function_config_effective(at->function, &effective);

	if (rc)
		return rc;
	rc = put_value(&effective, at->arg, out);
	config_free(&effective);
	return rc;
}

static int function_store(const struct place *at, const char *text, struct error *err)
{
	return function_config_set(at->function, at->arg, text, err);
}

static int mount_show(const struct place *at, struct buf *out)
{
	const struct config *levels[] = {&the_mount.builtin, &the_mount.defaults};

	return show_merged(levels, 2, at->arg, out);
}

static int mount_store(const struct place *at, const char *text, struct error *err)
{
	const struct config *levels[] = {&the_mount.builtin, &the_mount.defaults};

	return mount_config_set(NULL, levels, 2, &the_mount.defaults, at->arg, text, err);
}

static bool offers_logs(const struct backend_ops *ops)
{
	return ops->follow;
}

static bool offers_placement(const struct backend_ops *ops)
{
	return ops->tell;
}

static void fill(struct node *rows, int (*show)(const struct place *, struct buf *),
		 int (*store)(const struct place *, const char *, struct error *))
{
	for (int key = 0; key < CONFIG_KEYS; key++) {
		bool list = config_fields[key].merge != MERGE_REPLACE;
		enum store_unit unit = list ? STORE_LIST : key == CONFIG_SPEC ? STORE_JSON : STORE_VALUE;

		rows[key] = (struct node){
		    .name = config_fields[key].name,
		    .mode = 0644,
		    .help = config_fields[key].help,
		    .arg = key,
		    .show = show,
		    .store = store,
		    .unit = unit,
		    .offered = key == CONFIG_LOGS				   ? offers_logs
			       : key == CONFIG_TEMPLATE || key == CONFIG_PLACEMENT ? offers_placement
										   : NULL,
		};
	}
}

void config_rows_init(void)
{
	fill(config_rows, sandbox_show, sandbox_store);
	fill(session_default_rows, session_show, session_store);
	fill(mount_default_rows, mount_show, mount_store);
	fill(function_config_rows, function_show, function_store);
	memcpy(function_config_rows + CONFIG_KEYS, function_own_rows,
	       FUNCTION_OWN_ROWS * sizeof(struct node));
}
