/* files_tree.c - settings that find the same are one.
 *
 * Called by files_cache.c.  Settings are compared as text, which is made once for each route of a generation;
 * then their address is remembered. Fails by returning NULL when out of memory. */
#include "files_tree.h"

#include "base/hash.h"

#include <stdlib.h>

/* ---- the text --------------------------------------------------------------------------------------- */

static uint64_t hash_strings(uint64_t hash, const struct strings *strings)
{
	for (unsigned i = 0; i < strings->count; i++) {
		for (const char *c = strings->at[i]; *c != '\0'; c++)
			hash = hash_add(hash, *c);
		hash = hash_add(hash, '\0');
	}
	return hash;
}

/* Media types tell whether there are siblings. They are the operator's, so a hash will do. */
static uint64_t hash_types(const struct config *config)
{
	uint64_t hash = HASH_BEGIN;

	for (unsigned i = 0; i < config->mime_types.count; i++) {
		const struct mime_config *mime = config_mime(config, i);
		const char *type[] = { mime->type };

		hash = hash_strings(hash, &mime->extensions);
		hash = hash_strings(hash, &(struct strings){ 1, type });
	}
	return hash;
}

/* Each with its length in front, so that no two lists look alike. */
static const char *add_strings(const char *text, const struct strings *strings, struct arena *arena)
{
	text = text != NULL ? arena_printf(arena, "%s%u;", text, strings->count) : NULL;
	for (unsigned i = 0; i < strings->count && text != NULL; i++)
		text = arena_printf(arena, "%s%zu:%s", text, strlen(strings->at[i]), strings->at[i]);
	return text;
}

static const char *describe(const struct generation *generation, const struct files_settings *settings,
			    struct arena *arena)
{
	const char *base = settings->root != NULL ? settings->root : settings->alias;
	const char *text = arena_printf(arena, "%s%zu:%s%u%u%llx;", settings->root != NULL ? "root" : "alias",
					strlen(base), base, settings->symlinks, settings->listing,
					(unsigned long long)hash_types(generation->config));

	text = add_strings(text, &settings->index, arena);
	text = add_strings(text, &settings->try, arena);
	return add_strings(text, &settings->precompressed, arena);
}

/* ---- the trees -------------------------------------------------------------------------------------- */

struct files_tree *files_tree_pin(struct files_tree *tree)
{
	tree->pins++;
	return tree;
}

void files_tree_unpin(struct files_trees *trees, struct files_tree *tree)
{
	struct files_tree **place;

	if (tree == NULL || --tree->pins > 0)
		return;
	place = &trees->places[hash_fold(tree->hash) % FILES_TREES];
	while (*place != tree)
		place = &(*place)->next;
	*place = tree->next;
	free(tree);
}

void files_trees_forget(struct files_trees *trees)
{
	for (size_t i = 0; i < FILES_TREE_NOTES; i++) {
		files_tree_unpin(trees, trees->notes[i].tree);
		trees->notes[i].tree = NULL;
	}
}

/* The one with this text, with a pin more. */
static struct files_tree *intern(struct files_trees *trees, struct str text)
{
	uint64_t hash = hash_of(text);
	struct files_tree **place = &trees->places[hash_fold(hash) % FILES_TREES], *tree;

	for (tree = *place; tree != NULL; tree = tree->next)
		if (tree->hash == hash && str_equal(text, (struct str){ tree->text, tree->len }))
			return files_tree_pin(tree);
	tree = malloc(sizeof(*tree) + text.len);
	if (tree == NULL)
		return NULL;
	*tree = (struct files_tree){ .next = *place, .hash = hash, .pins = 1, .len = text.len };
	memcpy(tree->text, text.at, text.len);
	*place = tree;
	return tree;
}

struct files_tree *files_tree_of(struct files_trees *trees, const struct generation *generation,
				 const struct files_settings *settings, struct arena *arena)
{
	size_t note = hash_fold((uintptr_t)settings * UINT64_C(0x9e3779b97f4a7c15)) % FILES_TREE_NOTES;
	struct files_tree *tree;
	const char *text;

	if (trees->notes[note].tree != NULL && trees->notes[note].settings == settings &&
	    trees->notes[note].generation == generation->number)
		return trees->notes[note].tree;
	text = describe(generation, settings, arena);
	tree = text != NULL ? intern(trees, str_of(text)) : NULL;
	if (tree == NULL)
		return NULL;
	files_tree_unpin(trees, trees->notes[note].tree);
	trees->notes[note].tree = tree;
	trees->notes[note].settings = settings;
	trees->notes[note].generation = generation->number;
	return tree;
}
