/* What of a route's settings determines what is found below its root: the same for equal settings, whichever
 * generation or route they belong to, as long as somebody has it. */
#ifndef SERVICE_FILES_TREE_H
#define SERVICE_FILES_TREE_H

#include "files_find.h"

#include "config/generation.h"

struct files_tree {
	struct files_tree *next;
	uint64_t hash;
	unsigned pins;
	size_t len;
	char text[];                    /* of all that matters */
};

enum { FILES_TREES = 256, FILES_TREE_NOTES = 256 };

/* Zeroed is one without any. */
struct files_trees {
	struct files_tree *places[FILES_TREES];
	/* whose settings were asked for: a generation's number is never used again */
	struct {
		uint64_t generation;
		const struct files_settings *settings;
		struct files_tree *tree;        /* pinned */
	} notes[FILES_TREE_NOTES];
};

/* The tree of these settings; NULL when out of memory. It lasts until another one is asked for, unless it is
 * pinned. `arena` is for what is needed meanwhile. */
struct files_tree *files_tree_of(struct files_trees *trees, const struct generation *generation,
				 const struct files_settings *settings, struct arena *arena);

struct files_tree *files_tree_pin(struct files_tree *tree);
void files_tree_unpin(struct files_trees *trees, struct files_tree *tree);

/* Forgets whose settings were asked for: those without a pin go. */
void files_trees_forget(struct files_trees *trees);

#endif
