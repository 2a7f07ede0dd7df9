#include "fuse/bulk.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_key_t bulk_key;
static pthread_once_t bulk_once = PTHREAD_ONCE_INIT;

static void make_bulk_key(void)
{
	pthread_key_create(&bulk_key, free);
}

char *bulk_buffer(void)
{
	char *bulk;

	pthread_once(&bulk_once, make_bulk_key);
	bulk = pthread_getspecific(bulk_key);
	if (!bulk) {
		bulk = malloc(BULK_SIZE);
		pthread_setspecific(bulk_key, bulk);
	}
	return bulk;
}
