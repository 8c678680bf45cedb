/* arena.c - bump allocation in blocks that grow.  Called from everywhere; fails only by returning NULL. */
#include "arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	FIRST_BLOCK_BYTES = 1024,       /* most exchanges fit in one */
	LARGEST_BLOCK_BYTES = 64 * 1024,
};

struct arena_block {
	struct arena_block *older;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

static struct arena_block *block_new(struct arena *arena, size_t len)
{
	size_t size = FIRST_BLOCK_BYTES;
	struct arena_block *block;

	if (arena->blocks != NULL && arena->blocks->size < LARGEST_BLOCK_BYTES)
		size = arena->blocks->size * 2;
	else if (arena->blocks != NULL)
		size = LARGEST_BLOCK_BYTES;
	if (size < len)
		size = len;
	if (size > SIZE_MAX - sizeof(*block))
		return NULL;
	block = malloc(sizeof(*block) + size);
	if (block == NULL)
		return NULL;
	block->older = arena->blocks;
	block->used = 0;
	block->size = size;
	arena->blocks = block;
	arena->total_bytes += size;
	return block;
}

void *arena_alloc(struct arena *arena, size_t len)
{
	struct arena_block *block = arena->blocks;
	size_t room = (len + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	void *at;

	if (room < len)
		return NULL;
	if (block == NULL || block->size - block->used < room)
		block = block_new(arena, room);
	if (block == NULL)
		return NULL;
	at = block->bytes + block->used;
	block->used += room;
	return memset(at, 0, len);
}

char *arena_join(struct arena *arena, const struct str *pieces, size_t count)
{
	size_t len = 0;
	char *text, *at;

	for (size_t i = 0; i < count; i++)
		len += pieces[i].len;
	text = at = arena_alloc(arena, len + 1);
	for (size_t i = 0; text != NULL && i < count; at += pieces[i++].len)
		if (pieces[i].len > 0)
			memcpy(at, pieces[i].at, pieces[i].len);
	return text;
}

char *arena_copy(struct arena *arena, struct str text)
{
	return arena_join(arena, &text, 1);
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1);
	if (text == NULL)
		return NULL;
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}

void arena_reset(struct arena *arena)
{
	while (arena->blocks != NULL && arena->blocks->older != NULL) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->older;
		arena->total_bytes -= block->size;
		free(block);
	}
	if (arena->blocks != NULL)
		arena->blocks->used = 0;
}

void arena_free(struct arena *arena)
{
	arena_reset(arena);
	free(arena->blocks);
	*arena = (struct arena){ 0 };
}
