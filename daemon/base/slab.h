/* A slab: objects of one size, recycled through a free list. Memory is taken in chunks and kept until the
 * slab is freed, so that a pointer to a freed object stays readable (a stale event may still look at its
 * tag). */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>

struct slab_chunk;
struct slab_free;

struct slab {
	size_t object_bytes, align;
	unsigned in_use;                /* objects handed out */
	struct slab_chunk *chunks;
	struct slab_free *free;
};

/* An empty slab for objects of `object_bytes`; takes no memory yet. Objects that fill cache lines exactly
 * begin with one. */
void slab_init(struct slab *slab, size_t object_bytes);

/* True when the next slab_alloc will succeed: for whoever must know it before it begins. */
bool slab_reserve(struct slab *slab);

/* An object with undefined content, aligned for any type; NULL when out of memory. */
void *slab_alloc(struct slab *slab);

/* Gives one object back; its memory stays mapped.  NULL is ignored. */
void slab_release(struct slab *slab, void *object);

/* Where a walk through all objects is, across turns: chunks stay, and those that are added meanwhile are not
 * come by. */
struct slab_walk {
	const struct slab_chunk *chunk; /* NULL: at the end */
	size_t index;                   /* in it */
};

struct slab_walk slab_begin(const struct slab *slab);

/* The next object, in use or not; NULL: that was all. One that was never in use is zeroed but for its first
 * bytes, as many as a pointer has. */
void *slab_next(const struct slab *slab, struct slab_walk *walk);

/* Gives all memory back, objects in use included. */
void slab_free(struct slab *slab);

#endif
