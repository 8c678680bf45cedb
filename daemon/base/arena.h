/* An arena: memory that is given back all at once.  One per generation and one per exchange. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "str.h"

struct arena_block;

/* Zeroed is a valid, empty arena. */
struct arena {
	struct arena_block *blocks;     /* the newest first */
	size_t total_bytes;             /* handed out and slack, all blocks */
};

/* `len` zeroed bytes, aligned for any type, valid until arena_reset or arena_free; NULL when out of
 * memory. */
void *arena_alloc(struct arena *arena, size_t len);

/* A terminated copy of `text` in the arena; NULL when out of memory. */
char *arena_copy(struct arena *arena, struct str text);

/* `count` pieces in one terminated text, at a fraction of what a format costs; NULL when out of memory. */
char *arena_join(struct arena *arena, const struct str *pieces, size_t count);

/* A terminated, formatted text in the arena; NULL when out of memory. */
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forgets everything but keeps the oldest block for reuse. */
void arena_reset(struct arena *arena);

/* Gives everything back; the arena is empty and usable. */
void arena_free(struct arena *arena);

#endif
