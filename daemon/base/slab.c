/* slab.c - objects of one size.  Called by the worker and its protocols; fails only by returning NULL. */
#include "slab.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

enum {
	CHUNK_BYTES = 32 * 1024,
	LINE_BYTES = 64,                /* of the processor's cache */
};

struct slab_chunk {
	struct slab_chunk *next;
	char bytes[];                   /* and in it, aligned, the objects */
};

struct slab_free {
	struct slab_free *next;
};

void slab_init(struct slab *slab, size_t object_bytes)
{
	size_t align = object_bytes % LINE_BYTES == 0 ? LINE_BYTES : alignof(max_align_t);

	if (object_bytes < sizeof(struct slab_free))
		object_bytes = sizeof(struct slab_free);
	*slab = (struct slab){ .object_bytes = (object_bytes + align - 1) & ~(align - 1), .align = align };
}

static char *aligned(char *at, size_t align)
{
	return at + (-(uintptr_t)at & (align - 1));
}

static size_t chunk_objects(const struct slab *slab)
{
	return slab->object_bytes > CHUNK_BYTES ? 1 : CHUNK_BYTES / slab->object_bytes;
}

static void slab_grow(struct slab *slab)
{
	size_t count = chunk_objects(slab);
	struct slab_chunk *chunk;
	char *objects;

	/* zeroed: whoever walks through them must know which are in use */
	chunk = calloc(1, sizeof(*chunk) + slab->align - 1 + count * slab->object_bytes);
	if (chunk == NULL)
		return;
	chunk->next = slab->chunks;
	slab->chunks = chunk;
	objects = aligned(chunk->bytes, slab->align);
	for (size_t i = count; i > 0; i--) {    /* backwards: handed out in address order */
		struct slab_free *object = (void *)(objects + (i - 1) * slab->object_bytes);

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

struct slab_walk slab_begin(const struct slab *slab)
{
	return (struct slab_walk){ slab->chunks, 0 };
}

void *slab_next(const struct slab *slab, struct slab_walk *walk)
{
	const struct slab_chunk *chunk = walk->chunk;
	char *objects;

	if (chunk == NULL)
		return NULL;
	objects = aligned((char *)(uintptr_t)chunk->bytes, slab->align) + walk->index * slab->object_bytes;
	if (++walk->index == chunk_objects(slab))
		*walk = (struct slab_walk){ chunk->next, 0 };
	return objects;
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
