/* From the first step of a launch to the last trace removed. */
#include "backend/local/instance.h"

#include "backend/local/remove.h"
#include "backend/local/snapshots.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "channel/pipe.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

void local_job_begins(struct local *l)
{
	pthread_mutex_lock(&l->lock);
	l->jobs++;
	pthread_mutex_unlock(&l->lock);
}

void local_job_ends(struct local *l)
{
	pthread_mutex_lock(&l->lock);
	if (--l->jobs == 0)
		pthread_cond_broadcast(&l->idle);
	pthread_mutex_unlock(&l->lock);
}

struct instance *instance_new(struct local *l, struct sandbox *s)
{
	struct instance *i = calloc(1, sizeof *i);

	if (!i)
		return NULL;
	i->local = l;
	i->sandbox = s;
	i->home = HOME_NONE;
	list_init(&i->snapshots);
	i->agent_fd = i->socket = i->spool = -1;
	i->exit_code = -1;
	i->handles = 1;
	local_job_begins(l);
	return i;
}

bool instance_is_going(void *instance)
{
	return atomic_load(&((struct instance *)instance)->going);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void drop_handle(struct instance *i)
{
	struct local *l = i->local;

	if (--i->handles)
		return;
	snapshots_free(i);
	home_close(&i->home);
	meta_free(&i->meta);
	close_fd(&i->agent_fd);
	close_fd(&i->socket);
	close_fd(&i->spool);
	free(i);
	local_job_ends(l);
}

static void handle_closed(uv_handle_t *handle)
{
	drop_handle(handle->data);
}

static void close_handle(bool *open, uv_handle_t *handle)
{
	if (*open)
		uv_close(handle, handle_closed);
	*open = false;
}

void instance_release(struct instance *i)
{
	close_handle(&i->agent_polled, (uv_handle_t *)&i->agent_poll);
	close_handle(&i->killer_armed, (uv_handle_t *)&i->killer);
	drop_handle(i);
}

/* --- The end --- */

static enum sandbox_end judge(const struct instance *i, struct error *why)
{
	if (i->stopping || i->exit_code == 0)
		return END_TERMINATED;
	if (cgroup_out_of_memory(&i->meta.cgroup)) {
		error_set(why, ENOMEM, "OUT_OF_MEMORY", "the sandbox used more memory than its limit allows");
		return END_FAILED;
	}
	if (i->exit_code < 0) {
		error_set(why, ESHUTDOWN, "AGENT_GONE", "the sandbox's first process has ended");
		return END_TERMINATED;
	}
	if (i->exit_code > 128)
		error_set(why, ESHUTDOWN, "AGENT_KILLED",
			  "the sandbox's first process was killed by signal %d", i->exit_code - 128);
	else
		error_set(why, ESHUTDOWN, "AGENT_FAILED", "the sandbox's first process ended with code %d",
			  i->exit_code);
	return END_FAILED;
}

static void report_end(struct instance *i)
{
	struct error why = {0};
	enum sandbox_end how;

	close_handle(&i->killer_armed, (uv_handle_t *)&i->killer);
	core_lock();
	if (i->phase == PHASE_RUNNING) {
		i->phase = PHASE_ENDED;
		how = judge(i, &why);
		sandbox_ended(i->sandbox, how, why.code ? &why : NULL);
	}
	core_unlock();
}

static void on_agent_gone(uv_poll_t *poll, int status, int events)
{
	struct instance *i = poll->data;
	siginfo_t info = {0};

	(void)status;
	(void)events;
	/* Our child, unless it was adopted from an earlier mount. */
	if (waitid(P_PIDFD, (id_t)i->agent_fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
		i->exit_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	i->agent_gone = true;
	close_handle(&i->agent_polled, (uv_handle_t *)poll);
	report_end(i);
}

static bool watch(struct instance *i, uv_poll_t *poll, int fd, uv_poll_cb cb)
{
	if (uv_poll_init(loop_uv(), poll, fd))
		return false;
	poll->data = i;
	i->handles++;
	return uv_poll_start(poll, UV_READABLE, cb) == 0;
}

void instance_watch(struct instance *i)
{
	i->agent_polled = watch(i, &i->agent_poll, i->agent_fd, on_agent_gone);
	if (i->agent_polled && (!i->pipe || socket_pipe_watch(i->pipe) == 0)) {
		i->pipe = NULL;
		return;
	}
	/* Out of memory or descriptors: a sandbox whose end nobody would see is not kept. */
	log_warn("sandbox %s cannot be watched", i->meta.id);
	pidfd_send_signal(i->agent_fd, SIGKILL, NULL, 0);
	i->agent_gone = true;
	report_end(i);
}

/* --- A new pipe to the agent, which has lost the old one --- */

/* Core lock held. NULL: not now, and `why` says it. */
static struct pipe *new_pipe(struct instance *i, struct error *why)
{
	int fd = instance_connect(&i->home);
	struct pipe *pipe = fd < 0 ? NULL : socket_pipe(fd);

	if (pipe)
		return pipe;
	error_errno(why, fd < 0 ? -fd : ENOMEM, "AGENT_LOST", "its socket cannot be connected to");
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void posted_reconnect(void *arg)
{
	struct instance *i = arg;
	struct pipe *pipe = NULL;
	struct error why;

	core_lock();
	i->reconnecting = false;
	/* Of one that is dead the end has been told, or is told next. */
	if (i->phase == PHASE_RUNNING && !i->agent_gone) {
		pipe = new_pipe(i, &why);
		if (pipe)
			sandbox_connected(i->sandbox, pipe, -1);
		else
			sandbox_unreachable(i->sandbox, &why);
	}
	core_unlock();
	if (pipe && socket_pipe_watch(pipe)) {
		error_set(&why, ENOMEM, "NO_MEMORY", "out of memory");
		pipe->events->closed(pipe->owner, &why);
	}
}

void instance_reconnect(struct instance *i)
{
	struct error why;

	if (i->reconnecting)
		return;
	i->reconnecting = loop_post(posted_reconnect, i) == 0;
	if (i->reconnecting)
		return;
	error_set(&why, ENOMEM, "NO_MEMORY", "out of memory");
	sandbox_unreachable(i->sandbox, &why);
}

/* --- Killing it --- */

static void kill_now(struct instance *i)
{
	if (i->agent_fd >= 0)
		pidfd_send_signal(i->agent_fd, SIGKILL, NULL, 0);
}

static void on_killer(uv_timer_t *timer)
{
	kill_now(timer->data);
}

static void arm_killer(void *arg)
{
	struct instance *i = arg;
	uint32_t ms;

	core_lock();
	ms = i->grace_ms;
	core_unlock();
	if (i->agent_gone)
		return;
	if (!i->killer_armed) {
		uv_timer_init(loop_uv(), &i->killer);
		i->killer.data = i;
		i->handles++;
		i->killer_armed = true;
	}
	uv_timer_start(&i->killer, on_killer, ms, 0);
}

/* A posted call runs before any that release the instance: the loop keeps their order. */
void instance_kill(struct instance *i, uint32_t ms)
{
	i->grace_ms = ms;
	if (!ms || loop_post(arm_killer, i))
		kill_now(i);
}

/* --- Removal --- */

static void remove_entries(struct instance *i)
{
	static const char *const entries[] = {"root",	       "upper",	    "work",    "spool",
					      "links",	       "snapshots", "compare", "agent.sock",
					      "meta.json.new", "meta.json"};
	int rc;

	/* meta.json goes near the end: until then the rest is recognisably ours. */
	for (size_t n = 0; n < sizeof entries / sizeof *entries; n++) {
		rc = strcmp(entries[n], "snapshots") ? remove_tree(i->home.dir, entries[n])
						     : snapshots_delete(i->home.dir);
		if (rc) {
			log_warn("%s/%s/%s: not removed: %s", i->local->store.path, i->meta.id, entries[n],
				 strerror(-rc));
			return;
		}
	}
	unlinkat(i->home.dir, "lock", 0);
	if (unlinkat(i->local->store.dir, i->meta.id, AT_REMOVEDIR))
		log_warn("%s/%s: not removed: %s", i->local->store.path, i->meta.id, strerror(errno));
}

static void remove_work(void *arg)
{
	struct instance *i = arg;

	for (int kind = 0; kind < CGROUP_KINDS; kind++)
		if (i->meta.cgroup.dir[kind])
			cgroup_remove(i->meta.cgroup.dir[kind]);
	if (i->home.dir >= 0)
		remove_entries(i);
}

static void leave_done(void *arg)
{
	struct instance *i = arg;

	home_close(&i->home);
	if (i->sandbox) {
		core_lock();
		sandbox_set_instance(i->sandbox, NULL);
		sandbox_removed(i->sandbox);
		core_unlock();
	}
	instance_release(i);
}

void instance_idle(struct instance *i)
{
	void (*next)(struct instance *) = i->next;

	if (--i->busy || i->noting || !next)
		return;
	i->next = NULL;
	next(i);
}

void instance_remove(struct instance *i)
{
	i->phase = PHASE_LEAVING;
	if (i->noting || i->busy) {
		snapshots_give_up(i);
		i->next = instance_remove;
		return;
	}
	if (!loop_work(remove_work, leave_done, i))
		return;
	/* Without memory it stays on disk: the next mount finds and deletes it. */
	log_warn("sandbox %s is left in %s: out of memory", i->meta.id, i->local->store.path);
	if (i->sandbox) {
		sandbox_set_instance(i->sandbox, NULL);
		sandbox_removed(i->sandbox);
	}
}

static void keep_work(void *arg)
{
	struct instance *i = arg;
	struct error err;

	i->meta.kept = true;
	if (meta_write(i->home.dir, &i->meta, &err))
		log_warn("sandbox %s is kept, but the next mount will not know: %s", i->meta.id, err.text);
}

void instance_keep(struct instance *i)
{
	if (i->phase == PHASE_LAUNCHING) {
		i->keep_wanted = true;
		return;
	}
	i->phase = PHASE_LEAVING;
	if (i->noting || i->busy) {
		snapshots_give_up(i);
		i->next = instance_keep;
		return;
	}
	if (!loop_work(keep_work, leave_done, i))
		return;
	log_warn("sandbox %s: out of memory", i->meta.id);
	home_close(&i->home);
	sandbox_set_instance(i->sandbox, NULL);
	sandbox_removed(i->sandbox);
}
