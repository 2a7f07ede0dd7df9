#include "core/after.h"

#include "base/loop.h"
#include "core/backend.h"

#include <errno.h>
#include <stdlib.h>

struct alarm {
	struct list link; /* of all that are armed, under the core lock */
	uv_timer_t timer;
	unsigned ms;
	void (*fn)(struct object *o);
	struct object *object;
};

static struct list armed = {&armed, &armed};

static void free_alarm(uv_handle_t *handle)
{
	free(container_of(handle, struct alarm, timer));
}

static void ring(uv_timer_t *timer)
{
	struct alarm *a = container_of(timer, struct alarm, timer);

	core_lock();
	list_remove(&a->link);
	a->fn(a->object);
	object_unref(a->object);
	core_unlock();
	uv_close((uv_handle_t *)timer, free_alarm);
}

static void arm(void *arg)
{
	struct alarm *a = arg;

	core_lock();
	list_append(&armed, &a->link);
	core_unlock();
	uv_timer_init(loop_uv(), &a->timer);
	uv_timer_start(&a->timer, ring, a->ms, 0);
}

int core_after(unsigned ms, void (*fn)(struct object *o), struct object *o)
{
	struct alarm *a = calloc(1, sizeof *a);

	if (!a)
		return -ENOMEM;
	a->ms = ms;
	a->fn = fn;
	a->object = o;
	if (loop_post(arm, a)) {
		free(a);
		return -ENOMEM;
	}
	object_ref(o);
	return 0;
}

static void drop_all(void *arg)
{
	(void)arg;
	core_lock();
	list_each_safe (pos, &armed) {
		struct alarm *a = container_of(pos, struct alarm, link);

		list_remove(&a->link);
		object_unref(a->object);
		uv_close((uv_handle_t *)&a->timer, free_alarm);
	}
	core_unlock();
}

void core_after_end(void)
{
	loop_post(drop_all, NULL);
}
