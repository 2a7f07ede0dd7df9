/* A sandbox's directory: the latest command, the sandbox itself, and doors to the rest. */
#include "tree/process_rows.h"
#include "tree/run.h"
#include "tree/terminal.h"

#include "core/report/main_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int state_show(const struct place *at, struct buf *out)
{
	time_t since = reconnect_since(at->sandbox);
	char text[32];
	struct tm tm;

	if (!since || at->sandbox->state == SANDBOX_PAUSED)
		return buf_printf(out, "%s\n", sandbox_state_name(at->sandbox->state));
	gmtime_r(&since, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf_printf(out, "unreachable since %s\n", text);
}

static int id_show(const struct place *at, struct buf *out)
{
	return buf_printf(out, "%s\n", at->sandbox->id);
}

static int info_show(const struct place *at, struct buf *out)
{
	return sandbox_info(at->sandbox, out);
}

static int services_show(const struct place *at, struct buf *out)
{
	return the_mount.backend->ops->services(the_mount.backend, at->sandbox, out);
}

static bool offers_services(const struct backend_ops *ops)
{
	return ops->services;
}

static bool offers_comparison(const struct backend_ops *ops)
{
	return ops->compare;
}

static int sandbox_error_show(const struct place *at, struct buf *out)
{
	return error_show(&at->sandbox->error, out);
}

static struct stream *main_output(const struct place *at, struct process **ret_of)
{
	if (the_mount.backend->ops->follow)
		return main_log_stream(at->sandbox, at->opening);
	*ret_of = at->sandbox->main;
	return at->sandbox->main ? &at->sandbox->main->streams[STREAM_OUT] : NULL;
}

/* --- ctl --- */

static int do_start(const struct place *at, char **words, int count, struct error *err)
{
	(void)words;
	(void)count;
	return sandbox_need(at->sandbox, err);
}

#define GRACE_MAX_SECONDS 600

/* [SECONDS] [snapshot [NAME]] */
static int do_stop(const struct place *at, char **words, int count, struct error *err)
{
	bool grace = count && strcmp(words[0], "snapshot") != 0;
	char *end = NULL, **more = words + grace;
	unsigned long seconds = grace ? strtoul(words[0], &end, 10) : STOP_GRACE_MS / 1000;

	if (grace && (*end || words[0][0] == '-' || seconds > GRACE_MAX_SECONDS))
		return error_set(err, EINVAL, "INVALID_VALUE", "'%.40s' is not a number of seconds up to %d",
				 words[0], GRACE_MAX_SECONDS);
	count -= grace;
	if (count > 2 || (count && strcmp(more[0], "snapshot") != 0))
		return error_set(err, EINVAL, "INVALID_VERB", "'%.40s' is not understood behind stop",
				 more[count > 2 ? 2 : 0]);
	if (count)
		return snapshot_take_at_stop(at->sandbox, count > 1 ? more[1] : NULL,
					     (uint32_t)seconds * 1000, at->held, at->wait, err);
	sandbox_stop(at->sandbox, (uint32_t)seconds * 1000);
	return 0;
}

static int do_snapshot(const struct place *at, char **words, int count, struct error *err)
{
	return snapshot_take(at->sandbox, count ? words[0] : NULL, at->held, at->wait, err);
}

static const struct verb sandbox_verbs[] = {
    {"start", 0, 0, "start", do_start},
    {"stop", 0, 3, "stop [SECONDS] [snapshot [NAME]]", do_stop},
    {"snapshot", 0, 1, "snapshot [NAME]", do_snapshot},
    {0},
};

static int sandbox_ctl(const struct place *at, const char *line, struct error *err)
{
	return verbs_run(sandbox_verbs, at, line, err);
}

const struct node sandbox_rows[] = {
    PROCESS_ROWS,
    {"run", 0555, "a program: `run ARGV...` runs that in the sandbox, as if it ran here", .show = run_show,
     .constant = true},
    {"tty", 0600, "opened for reading and writing, a shell of its own on a terminal",
     .terminal = terminal_open},
    {"winsize", 0644, "COLUMNS ROWS of those terminals", .show = winsize_show, .store = winsize_store},
    {"bin", 0755, "its programs, each to be run from here: PATH=.../bin:$PATH", .rows = program_rows,
     .children = &programs},
    {"proc", 0755, "a directory per command; mkdir NAME declares one of that name", .children = &processes,
     .result = true},
    {"ctl", 0200, "verbs: start, stop [SECONDS] [snapshot [NAME]], snapshot [NAME]", .store = sandbox_ctl,
     .waits = true},
    {"state", 0444, "unstarted, pending, creating, running, terminating, completed, failed, terminated",
     .show = state_show},
    {"id", 0444, "the backend's name for it", .show = id_show},
    {"info", 0444, "all that is known, as JSON", .show = info_show},
    {"error", 0444, "the last failure, as a sentence", .show = sandbox_error_show},
    {"config", 0755, "settings; writable until it starts", .rows = config_rows},
    {"logs", 0444, "output of the main process (config/command)", .stream = main_output, .follow = true},
    {"snapshots", 0755, "what its root was; mkdir or ctl takes one, rmdir deletes it",
     .children = &snapshots},
    {"services", 0444, "its ports and their URLs, a JSON object a line", .show = services_show,
     .offered = offers_services},
    {"changed", 0444, "paths that differ from the image, one a line", .compare = COMPARE_PATHS,
     .offered = offers_comparison},
    {"diff", 0444, "the same as a patch", .compare = COMPARE_PATCH, .offered = offers_comparison},
    {"fs", 0755, "the sandbox's root directory", .graft = true},
    {0},
};
