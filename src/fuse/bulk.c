#include "fuse/bulk.h"

#include <pthread.h>
#include <stdlib.h>

/* The buffer a thread has at hand, and frees at its end. */
static pthread_key_t spare_key;
static pthread_once_t spare_once = PTHREAD_ONCE_INIT;

static void make_spare_key(void)
{
	pthread_key_create(&spare_key, free);
}

char *bulk_take(void)
{
	char *spare;

	pthread_once(&spare_once, make_spare_key);
	spare = pthread_getspecific(spare_key);
	if (!spare)
		return malloc(BULK_SIZE);
	pthread_setspecific(spare_key, NULL);
	return spare;
}

void bulk_give(char *bulk)
{
	if (!bulk)
		return;
	if (pthread_getspecific(spare_key) || pthread_setspecific(spare_key, bulk))
		free(bulk);
}
