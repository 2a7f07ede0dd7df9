/* A session's directory: .ctl and its sandboxes. */
#include "tree/node.h"

static int do_close(const struct place *at, char **words, int count, struct error *err)
{
	(void)words;
	(void)count;
	return session_close(at->session, at->again, at->wait, err);
}

static int do_adopt(const struct place *at, char **words, int count, struct error *err)
{
	return session_adopt(at->session, words[0], count > 1 ? words[1] : NULL, at->wait, err);
}

static const struct verb session_verbs[] = {
    {"adopt", 1, 2, "adopt ID [NAME]", do_adopt},
    {"close", 0, 0, "close", do_close},
    {0},
};

static int session_ctl(const struct place *at, const char *line, struct error *err)
{
	return verbs_run(session_verbs, at, line, err);
}

static struct feed *session_events(const struct place *at)
{
	return &at->session->events;
}

static int session_stats_show(const struct place *at, struct buf *out)
{
	return stats_print(at->session, out);
}

static int session_error_show(const struct place *at, struct buf *out)
{
	return error_show(&at->session->error, out);
}

static const struct node ctl_rows[] = {
    {"ctl", 0200, "verbs: adopt ID [NAME] (from .ctl/sandboxes), close (stops all sandboxes of the session)",
     .store = session_ctl, .waits = true},
    {"stats", 0444, "counters of this session", .show = session_stats_show},
    {"events", 0444, "changes of state in this session, as JSON lines", .feed = session_events},
    {"error", 0444, "the last failure in this session", .show = session_error_show},
    {"defaults", 0755, "settings for new sandboxes of this session", .rows = session_default_rows},
    {"functions", 0755, "remote functions: mkdir declares one", .children = &functions},
    {0},
};

static int make_sandbox(const struct place *at, const char *name, struct error *err)
{
	return sandbox_make(at->session, name, err);
}

static int drop_sandbox(struct object *child, struct error *err)
{
	(void)err;
	sandbox_drop((struct sandbox *)child);
	return 0;
}

const struct children sandboxes = {
    .kind = OBJECT_SANDBOX, .rows = sandbox_rows, .make = make_sandbox, .drop = drop_sandbox};

const struct node session_rows[] = {
    {".ctl", 0755, "the session itself", .rows = ctl_rows},
    {0},
};
