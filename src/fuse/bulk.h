/* A buffer for each thread, for what a read or a listing takes. */
#pragma once

#define BULK_SIZE (1u << 20) /* bytes; the kernel asks for no more at once */

/* NULL: no memory. It lives as long as the thread. */
char *bulk_buffer(void);
