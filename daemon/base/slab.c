/* slab.c - objects of one size.  Called by the worker and its protocols; fails only by returning NULL. */
#include "slab.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 32 * 1024 };

struct slab_chunk {
	struct slab_chunk *next;
	alignas(max_align_t) char bytes[];
};

struct slab_free {
	struct slab_free *next;
};

void slab_init(struct slab *slab, size_t object_bytes)
{
	size_t align = alignof(max_align_t);

	if (object_bytes < sizeof(struct slab_free))
		object_bytes = sizeof(struct slab_free);
	*slab = (struct slab){ .object_bytes = (object_bytes + align - 1) & ~(align - 1) };
}

static void slab_grow(struct slab *slab)
{
	size_t count = CHUNK_BYTES / slab->object_bytes;
	struct slab_chunk *chunk;

	if (count == 0)
		count = 1;
	chunk = malloc(sizeof(*chunk) + count * slab->object_bytes);
	if (chunk == NULL)
		return;
	chunk->next = slab->chunks;
	slab->chunks = chunk;
	for (size_t i = count; i > 0; i--) {    /* backwards: handed out in address order */
		struct slab_free *object = (void *)(chunk->bytes + (i - 1) * slab->object_bytes);

		object->next = slab->free;
		slab->free = object;
	}
}

bool slab_reserve(struct slab *slab)
{
	if (slab->free == NULL)
		slab_grow(slab);
	return slab->free != NULL;
}

void *slab_alloc(struct slab *slab)
{
	struct slab_free *object;

	if (!slab_reserve(slab))
		return NULL;
	object = slab->free;
	slab->free = object->next;
	slab->in_use++;
	return object;
}

void slab_release(struct slab *slab, void *object)
{
	struct slab_free *free_object = object;

	if (object == NULL)
		return;
	free_object->next = slab->free;
	slab->free = free_object;
	slab->in_use--;
}

void slab_free(struct slab *slab)
{
	while (slab->chunks != NULL) {
		struct slab_chunk *chunk = slab->chunks;

		slab->chunks = chunk->next;
		free(chunk);
	}
	slab->free = NULL;
	slab->in_use = 0;
}
