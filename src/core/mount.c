#include "core/mount.h"

#include "core/after.h"
#include "core/sandbox.h"
#include "core/session.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct mount the_mount;

/* Signalled through a waiter-free path: main and the mount helper block here, never a FUSE thread. */
static pthread_mutex_t progress_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progressed = PTHREAD_COND_INITIALIZER;
static unsigned living, arriving, searching; /* copies of the mount's, under progress_lock */
static bool aborted;

void mount_progress(void)
{
	pthread_mutex_lock(&progress_lock);
	living = the_mount.living;
	arriving = the_mount.arriving;
	searching = the_mount.searching;
	pthread_cond_broadcast(&progressed);
	pthread_mutex_unlock(&progress_lock);
}

void mount_abort(void)
{
	pthread_mutex_lock(&progress_lock);
	aborted = true;
	pthread_cond_broadcast(&progressed);
	pthread_mutex_unlock(&progress_lock);
}

static unsigned wait_for_zero(const unsigned *count, unsigned ms)
{
	struct timespec until;
	unsigned left;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&progress_lock);
	while (*count && !aborted && pthread_cond_timedwait(&progressed, &progress_lock, &until) == 0)
		;
	left = *count;
	pthread_mutex_unlock(&progress_lock);
	return left;
}

static void never_destroyed(struct object *o)
{
	(void)o;
}

int mount_begin(struct backend *backend, const struct mount_settings *settings, struct error *err)
{
	int rc = 0;

	core_lock();
	the_mount.backend = backend;
	the_mount.settings = *settings;
	if (!the_mount.settings.timeout_ms)
		the_mount.settings.timeout_ms = REACH_TIMEOUT_MS;
	the_mount.since = time(NULL);
	feed_init(&the_mount.events, 0);
	for (enum config_key key = 0; key < CONFIG_KEYS && rc == 0; key++)
		if (backend->ops->defaults[key])
			rc = config_set(&the_mount.builtin, key, backend->ops->defaults[key], err);
	if (rc == 0 && object_add(&the_mount.object, OBJECT_MOUNT, NULL, "", never_destroyed))
		rc = error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	if (rc == 0)
		backend->ops->find(backend);
	mount_progress();
	core_unlock();
	return rc;
}

void backend_searching(void)
{
	the_mount.searching = true;
}

void backend_searched(const struct error *why)
{
	the_mount.searching = false;
	if (why)
		the_mount.search_error = *why;
	mount_progress();
}

int mount_wait_search(unsigned ms, struct error *err)
{
	int code;

	if (wait_for_zero(&searching, ms))
		return error_set(err, ETIMEDOUT, "UNREACHABLE", "the service did not answer in %u s",
				 ms / 1000);
	core_lock();
	code = the_mount.search_error.code;
	if (code)
		*err = the_mount.search_error;
	core_unlock();
	return -code;
}

void mount_wait_arrivals(unsigned ms)
{
	wait_for_zero(&arriving, ms);
}

static void leave(struct sandbox *s, void *arg)
{
	(void)arg;
	/* One that was only attached to is its maker's to end. What runs a call ends with who waits for it.
	 */
	if (!sandbox_function(s) &&
	    (the_mount.settings.keep || s->kept || sandbox_session(s) == the_mount.strays)) {
		if (s->began && s->state < SANDBOX_COMPLETED)
			the_mount.backend->ops->keep(the_mount.backend, s);
		else
			sandbox_drop(s);
	} else {
		sandbox_drop(s);
	}
}

unsigned mount_end(unsigned ms)
{
	unsigned left;

	core_lock();
	the_mount.ending = true;
	list_each (pos, &the_mount.object.children)
		session_each((struct session *)container_of(pos, struct object, sibling), leave, NULL);
	if (the_mount.strays)
		session_each(the_mount.strays, leave, NULL);
	/* Readers of the events hear the end of the last sandbox, and then of the log. */
	mount_progress();
	core_unlock();
	left = wait_for_zero(&living, ms);
	core_after_end();
	core_lock();
	list_each (pos, &the_mount.object.children)
		feed_end(&((struct session *)container_of(pos, struct object, sibling))->events);
	feed_end(&the_mount.events);
	core_unlock();
	return left;
}

uint64_t mount_spool_limit(void)
{
	return the_mount.settings.spool_limit;
}

int mount_check(const struct config *effective, struct error *err)
{
	return the_mount.backend->ops->check(the_mount.backend, effective, err);
}

int mount_config_set(const struct session *near, const struct config *const *levels, int count,
		     struct config *level, enum config_key key, const char *text, struct error *err)
{
	char *old = level->text[key], *id = NULL;
	struct config effective;
	int rc = key == CONFIG_FROM ? snapshot_resolve(near, text, &id, err) : 0;

	if (rc)
		return rc;
	level->text[key] = NULL;
	rc = config_set(level, key, id ? id : text, err);
	free(id);
	if (rc == 0) {
		rc = config_merge(levels, count, &effective);
		if (rc)
			error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
	}
	if (rc == 0) {
		rc = mount_check(&effective, err);
		config_free(&effective);
	}
	if (rc) {
		free(level->text[key]);
		level->text[key] = old;
	} else {
		free(old);
	}
	return rc;
}
