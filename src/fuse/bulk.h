/* Buffers for what a read or a listing takes; each thread keeps one for its next request. */
#pragma once

#define BULK_SIZE (1u << 20) /* bytes; the kernel asks for no more at once */

/*
 * A buffer for this request alone, to be given back by the same thread. A request that drops the core lock
 * before it replies may have others served in between, on its thread: they get buffers of their own.
 * NULL: no memory.
 */
char *bulk_take(void);
void bulk_give(char *bulk); /* NULL is fine */
