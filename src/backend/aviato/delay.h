/* "In so many milliseconds, once": a timer that can be called off. Loop thread only. */
#pragma once

struct delay;

/* NULL: out of memory. */
struct delay *delay_start(unsigned ms, void (*fn)(void *arg), void *arg);
/* NULL is fine. A delay that has come due is gone by itself, before its function is called. */
void delay_cancel(struct delay *d);

/* The pause after one of `ms`, as long as what is waited for goes on failing. */
static inline unsigned delay_doubled(unsigned ms, unsigned most)
{
	return ms * 2 < most ? ms * 2 : most;
}
