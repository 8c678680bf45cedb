/* changes.c - two configurations, side by side. Called by the master's dry transitions. Pure but for an
 * arena; what there is no memory for is left out. The work is bounded: entries of lists that were mixed
 * are looked for only so often, and then the list is named as a whole. */
#include "changes.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 512, MOST_COMPARISONS = 1000 * 1000 };

struct search {
	const struct schema *const *services[2];
	struct arena arena;
	changes_found *found;
	void *context;
	unsigned count;
	unsigned comparisons;
};

static void compare(struct search *search, const struct schema *schema, const char *prefix, void *old,
		    void *new);

static void tell(struct search *search, const char *name, const char *old, const char *new)
{
	if (search->count++ < CHANGES_MOST)
		search->found(search->context, name, old, new);
}

static const char *name_of(struct search *search, const char *prefix, const char *name)
{
	const char *text = arena_printf(&search->arena, "%.*s%s%s", NAME_BYTES, prefix,
					prefix[0] != '\0' ? "." : "", name);

	return text != NULL ? text : name;
}

static const char *text_of(struct search *search, const struct setting *row, void *instance)
{
	const char *text = setting_text(row, instance, &search->arena);

	return text != NULL && row->fields ? "(not shown)" : text;
}

static bool is_derived(const struct schema *schema, void *instance, const struct setting *row)
{
	const char *origin = *setting_origin(schema, instance, (unsigned)(row - schema->settings));

	return origin != NULL && strcmp(origin, "derived") == 0;
}

static void compare_scalar(struct search *search, const struct setting *row, const char *prefix, void *old,
			   void *new)
{
	if (search->count < CHANGES_MOST)
		tell(search, name_of(search, prefix, row->name), text_of(search, row, old),
		     text_of(search, row, new));
	else
		search->count++;
}

static void compare_service(struct search *search, const struct setting *row, const char *prefix, void *old,
			    void *new)
{
	const struct service_ref *a = setting_field(row, old), *b = setting_field(row, new);
	const struct schema *before = search->services[0][a->index], *after = search->services[1][b->index];

	if (before == after) {
		compare(search, after, name_of(search, prefix, after->name), a->settings, b->settings);
		return;
	}
	tell(search, name_of(search, prefix, before->name), "{ ... }", NULL);
	tell(search, name_of(search, prefix, after->name), NULL, "{ ... }");
}

/* ---- lists ------------------------------------------------------------------------------------------- */

/* Entries go by their first row: an address, host names, a path. */
static const char *entry_name(struct search *search, const struct setting *row, const char *prefix,
			      void *entry)
{
	const char *key = setting_text(&row->of->settings[0], entry, &search->arena), *text;
	size_t len = key != NULL ? strlen(key) : 0;

	if (len >= sizeof("[ ") + sizeof(" ]") && key[0] == '[') { /* several words: without its brackets */
		key += strlen("[ ");
		len -= strlen("[ ") + strlen(" ]");
	}
	text = arena_printf(&search->arena, "%.*s%s%s[%.*s]", NAME_BYTES, prefix,
			    prefix[0] != '\0' ? "." : "", row->name, len < 200 ? (int)len : 200,
			    key != NULL ? key : "");

	return text != NULL ? text : row->name;
}

static bool is_tired(const struct search *search)
{
	return search->comparisons >= MOST_COMPARISONS;
}

/* The entry of `items` that has the same name; looked for from `*from` on, where it most often is. NULL:
 * none, or it was looked for too often. */
static void *partner(struct search *search, const struct setting *row, const struct items *items, void *entry,
		     unsigned *from)
{
	const struct setting *key = &row->of->settings[0];

	for (unsigned i = 0; i < items->count && !is_tired(search); i++) {
		unsigned index = (*from + i) % items->count;

		search->comparisons++;
		if (!setting_same(key, items->at[index], entry))
			continue;
		*from = index + 1;
		return items->at[index];
	}
	return NULL;
}

static void compare_list(struct search *search, const struct setting *row, const char *prefix, void *old,
			 void *new)
{
	const struct items *before = setting_field(row, old), *after = setting_field(row, new);
	unsigned from = 0;

	for (unsigned i = 0; i < before->count; i++)
		if (partner(search, row, after, before->at[i], &from) == NULL && !is_tired(search))
			tell(search, entry_name(search, row, prefix, before->at[i]), "{ ... }", NULL);
	from = 0;
	for (unsigned i = 0; i < after->count; i++) {
		void *one = partner(search, row, before, after->at[i], &from);

		if (one == NULL && is_tired(search)) {  /* it may be there all the same */
			tell(search, name_of(search, prefix, row->name), "( ... )",
			     "( ... ), not compared: too many are in another order");
			return;
		}
		if (one == NULL)
			tell(search, entry_name(search, row, prefix, after->at[i]), NULL, "{ ... }");
		else
			compare(search, row->of, entry_name(search, row, prefix, after->at[i]), one,
				after->at[i]);
	}
}

/* ---- all --------------------------------------------------------------------------------------------- */

static void compare(struct search *search, const struct schema *schema, const char *prefix, void *old,
		    void *new)
{
	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];

		if (row->type == SETTING_LIST)
			compare_list(search, row, prefix, old, new);
		else if (row->type == SETTING_SERVICE)
			compare_service(search, row, prefix, old, new);
		else if (!setting_same(row, old, new) && !is_derived(schema, new, row))
			compare_scalar(search, row, prefix, old, new);
	}
}

unsigned changes_list(const struct generation *old, const struct generation *new, changes_found *found,
		      void *context)
{
	struct search search = {
		.services = { old->services, new->services }, .found = found, .context = context,
	};

	compare(&search, &config_schema, "", (void *)(uintptr_t)old->config,
		(void *)(uintptr_t) new->config);
	arena_free(&search.arena);
	return search.count > CHANGES_MOST ? search.count - CHANGES_MOST : 0;
}
