/* The top of the mount: .ctl and the sessions. */
#include "tree/node.h"

#include "core/catalog.h"
#include "core/purge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int version_show(const struct place *at, struct buf *out)
{
	(void)at;
	return buf_puts(out, "aviatofs " VERSION "\n");
}

static int backend_show(const struct place *at, struct buf *out)
{
	(void)at;
	return buf_printf(out, "%s\n", the_mount.backend->ops->name);
}

static int stats_show(const struct place *at, struct buf *out)
{
	(void)at;
	return stats_print(NULL, out);
}

static int metrics_show(const struct place *at, struct buf *out)
{
	(void)at;
	return stats_print_metrics(out);
}

static int mount_error_show(const struct place *at, struct buf *out)
{
	(void)at;
	return error_show(&the_mount.error, out);
}

static int ask_catalog(const struct place *at, struct list **ret_wait, struct error *err)
{
	return catalog_ask(at->arg, ret_wait, err);
}

static int catalog_text(const struct place *at, struct buf *out)
{
	return catalog_show(at->arg, out);
}

static bool offers_catalogs(const struct backend_ops *ops)
{
	return ops->tell;
}

/* --- ctl --- */

static int do_purge(const struct place *at, char **words, int count, struct error *err)
{
	char tags[256] = "";
	size_t used = 0;

	for (int i = 0; i < count; i++) { /* a line has no more than fits */
		if (strncmp(words[i], "--", 2) == 0 && (strcmp(words[i], "--all") != 0 || count > 1))
			return error_set(err, EINVAL, "INVALID_VALUE", "'%.40s' is no tag", words[i]);
		if (strcmp(words[i], "--all") != 0)
			used += (size_t)snprintf(tags + used, sizeof tags - used, "%s%s", used ? "\n" : "",
						 words[i]);
	}
	return purge(tags, at->again, at->wait, err);
}

static const struct verb mount_verbs[] = {
    {"purge", 1, 7, "purge TAG... | purge --all", do_purge},
    {0},
};

static int mount_ctl(const struct place *at, const char *line, struct error *err)
{
	return verbs_run(mount_verbs, at, line, err);
}

static bool offers_purge(const struct backend_ops *ops)
{
	return ops->purge;
}

static struct feed *mount_events(const struct place *at)
{
	(void)at;
	return &the_mount.events;
}

static const struct node ctl_rows[] = {
    {"README", 0444, "this text", .show = help_show},
    {"version", 0444, "name and version of the program", .show = version_show},
    {"backend", 0444, "what makes the sandboxes", .show = backend_show},
    {"stats", 0444, "counters, one \"name value\" a line", .show = stats_show},
    {"metrics", 0444, "the same for Prometheus", .show = metrics_show},
    {"ctl", 0200, "verb: purge TAG... (ends all sandboxes with these tags), purge --all", .store = mount_ctl,
     .waits = true, .offered = offers_purge},
    {"events", 0444, "every change of state as a JSON line; reading on waits", .feed = mount_events},
    {"error", 0444, "the last failure anywhere, as a sentence", .show = mount_error_show},
    {"defaults", 0755, "settings for all new sandboxes", .rows = mount_default_rows},
    {"runners", 0444, "where sandboxes can run, a JSON object a line", .show = catalog_text,
     .ask = ask_catalog, .arg = CATALOG_RUNNERS, .offered = offers_catalogs},
    {"templates", 0444, "what sandboxes can be made from, a JSON object a line", .show = catalog_text,
     .ask = ask_catalog, .arg = CATALOG_TEMPLATES, .offered = offers_catalogs},
    {"sandboxes", 0755, "every sandbox there is to be had, by its id", .children = &known_sandboxes},
    {0},
};

static int make_session(const struct place *at, const char *name, struct error *err)
{
	(void)at;
	return session_make(name, err);
}

static int drop_session(struct object *child, struct error *err)
{
	return session_drop((struct session *)child, err);
}

const struct children sessions = {
    .kind = OBJECT_SESSION, .rows = session_rows, .make = make_session, .drop = drop_session};

const struct node mount_rows[] = {
    {".ctl", 0755, "the mount itself", .rows = ctl_rows},
    {0},
};
