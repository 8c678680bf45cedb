/* generation.c - the life of a generation.  Called by the master and by workers; fails by returning NULL. */
#include "generation.h"

#include <stdlib.h>

struct generation *generation_new(uint64_t number, const struct schema *const *services)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (generation == NULL)
		return NULL;
	generation->number = number;
	generation->pins = 1;
	generation->services = services;
	list_init(&generation->link);
	return generation;
}

void generation_unpin(struct generation *generation)
{
	if (generation == NULL || --generation->pins > 0)
		return;
	list_remove(&generation->link);
	arena_free(&generation->arena);
	free(generation);
}
