#include "backend/aviato/delay.h"

#include "base/list.h"
#include "base/loop.h"

#include <stdlib.h>

struct delay {
	uv_timer_t timer;
	void (*fn)(void *arg);
	void *arg;
};

static void closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct delay, timer));
}

static void due(uv_timer_t *timer)
{
	struct delay *d = container_of(timer, struct delay, timer);

	uv_close((uv_handle_t *)timer, closed);
	d->fn(d->arg);
}

struct delay *delay_start(unsigned ms, void (*fn)(void *arg), void *arg)
{
	struct delay *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->fn = fn;
	d->arg = arg;
	uv_timer_init(loop_uv(), &d->timer);
	uv_update_time(loop_uv());
	uv_timer_start(&d->timer, due, ms, 0);
	return d;
}

void delay_cancel(struct delay *d)
{
	if (d)
		uv_close((uv_handle_t *)&d->timer, closed);
}
