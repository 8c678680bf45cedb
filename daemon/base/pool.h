/* Buffers in a few sizes, recycled: a connection holds one only while it has bytes to keep. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

enum {
	POOL_SMALLEST_BYTES = 4096,
	POOL_CLASSES = 7,               /* 4 KiB, 8 KiB ... 256 KiB */
	POOL_LARGEST_BYTES = POOL_SMALLEST_BYTES << (POOL_CLASSES - 1),
	POOL_KEPT_BYTES = 256 * 1024,   /* free buffers kept for reuse, per class */
};

struct pool_free;

/* Zeroed is a valid, empty pool. */
struct pool {
	struct pool_free *free[POOL_CLASSES];
	size_t free_bytes[POOL_CLASSES];
	size_t in_use_bytes;
};

/* A buffer of at least `len` bytes with undefined content; `*size` is how many it has.  NULL when out of
 * memory or when `len` is over POOL_LARGEST_BYTES. */
char *pool_get(struct pool *pool, size_t len, size_t *size);

/* Gives back a buffer of the `size` that pool_get said.  NULL is ignored. */
void pool_put(struct pool *pool, char *buffer, size_t size);

/* Gives the free buffers back to the system; buffers in use stay valid. */
void pool_trim(struct pool *pool);

#endif
