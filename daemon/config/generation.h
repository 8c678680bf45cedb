/* A generation: one validated, immutable configuration and all that was built from it.
 *
 * An exchange pins the generation it began under; a generation that is neither the engine's current one nor
 * pinned is freed.  There is no global configuration. */
#ifndef CONFIG_GENERATION_H
#define CONFIG_GENERATION_H

#include "config.h"

#include "base/list.h"
#include "net/addr.h"

struct board;
struct listener_rules;

struct generation {
	uint64_t number;
	struct list link;               /* in its holder's list of generations */
	unsigned pins;                  /* the current one has one for being current */
	struct arena arena;             /* holds all of it */
	const struct config *config;
	const struct schema *const *services;   /* NULL-terminated */
	const void *types;              /* media types, built like the routes (mime.h); NULL: the usual */
	void *routes;                   /* what the protocol built from the sites; in the arena */
	struct listener_rules *listeners;       /* of config->listen, in its order; see listeners.h */
	struct networks forwarded_from;
	struct quota_rules quota;       /* what clients may take; made with the listeners */
	const struct board *board;      /* where its sites have their rows; NULL: nobody measures */
};

/* An empty generation with one pin; NULL when out of memory. */
struct generation *generation_new(uint64_t number, const struct schema *const *services);

static inline struct generation *generation_pin(struct generation *generation)
{
	generation->pins++;
	return generation;
}

/* Gives one pin back and frees the generation (taking it out of its list) with the last.  NULL is ignored. */
void generation_unpin(struct generation *generation);

#endif
