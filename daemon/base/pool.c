/* pool.c - recycled buffers in power-of-two sizes.  Called by protocols; fails only by returning NULL. */
#include "pool.h"

#include <stdlib.h>

struct pool_free {
	struct pool_free *next;
};

static unsigned class_of(size_t len)
{
	unsigned class = 0;

	while (((size_t)POOL_SMALLEST_BYTES << class) < len)
		class++;
	return class;
}

char *pool_get(struct pool *pool, size_t len, size_t *size)
{
	struct pool_free *buffer;
	unsigned class;

	if (len > POOL_LARGEST_BYTES)
		return NULL;
	class = class_of(len);
	*size = (size_t)POOL_SMALLEST_BYTES << class;
	buffer = pool->free[class];
	if (buffer != NULL) {
		pool->free[class] = buffer->next;
		pool->free_bytes[class] -= *size;
	} else {
		buffer = malloc(*size);
	}
	if (buffer != NULL)
		pool->in_use_bytes += *size;
	return (char *)buffer;
}

void pool_put(struct pool *pool, char *buffer, size_t size)
{
	unsigned class = class_of(size);
	struct pool_free *free_buffer = (void *)buffer;

	if (buffer == NULL)
		return;
	pool->in_use_bytes -= size;
	if (pool->free_bytes[class] + size > POOL_KEPT_BYTES) {
		free(buffer);
		return;
	}
	free_buffer->next = pool->free[class];
	pool->free[class] = free_buffer;
	pool->free_bytes[class] += size;
}

void pool_trim(struct pool *pool)
{
	for (unsigned class = 0; class < POOL_CLASSES; class++) {
		while (pool->free[class] != NULL) {
			struct pool_free *buffer = pool->free[class];

			pool->free[class] = buffer->next;
			free(buffer);
		}
		pool->free_bytes[class] = 0;
	}
}
