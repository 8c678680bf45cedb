/* suggest.c - near and far relatives of an unknown name.  Called by read.c; pure but for the arena; fails by
 * having no suggestion. */
#include "suggest.h"

#include "base/str.h"

/* ---- near -------------------------------------------------------------------------------------------- */

struct best {
	const char *wanted, *name;
	size_t distance;
};

static void consider(struct best *best, const char *candidate)
{
	size_t edits = str_distance(best->wanted, candidate);

	if (edits < best->distance) {
		best->distance = edits;
		best->name = candidate;
	}
}

/* What the row contributes at this place: its name, or the group that it is in. */
static void consider_row(struct best *best, const char *row, const char *group, struct arena *arena)
{
	const char *dot = strchr(row, '.');
	char *first;

	if (dot == NULL && group == NULL)
		consider(best, row);
	if (dot == NULL)
		return;
	first = arena_copy(arena, (struct str){ row, (size_t)(dot - row) });
	if (first == NULL)
		return;
	if (group == NULL)
		consider(best, first);
	else if (strcmp(first, group) == 0)
		consider(best, dot + 1);
}

const char *suggest_near(const struct schema *schema, const char *group, const struct schema *const *services,
			 const char *name, struct arena *arena)
{
	/* an edit for every third letter: with more it is another word */
	struct best best = { .wanted = name, .distance = strlen(name) / 3 + 1 };

	for (unsigned i = 0; i < schema->count; i++) {
		consider_row(&best, schema->settings[i].name, group, arena);
		for (unsigned j = 0; schema->settings[i].type == SETTING_SERVICE && services[j] != NULL; j++)
			consider(&best, services[j]->name);
	}
	return best.name;
}

static bool is_last_part(const char *whole, const char *name)
{
	const char *dot = strchr(whole, '.');

	return dot != NULL && strcmp(dot + 1, name) == 0;
}

const char *suggest_whole(const struct schema *schema, const char *name)
{
	struct best best = { .wanted = name, .distance = strlen(name) / 3 + 1 };

	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];

		if (row->type == SETTING_LIST)
			continue;
		if (is_last_part(row->name, name))
			return row->name;
		consider(&best, row->name);
	}
	return best.name;
}

/* ---- far --------------------------------------------------------------------------------------------- */

struct search {
	const struct schema *const *services;
	const char *name;
	struct arena *arena;
};

static const char *search(const struct search *for_it, const struct schema *schema, const char *prefix);

static const char *search_services(const struct search *for_it, const char *prefix)
{
	const struct schema *const *services = for_it->services;
	const char *found = NULL;

	for (unsigned i = 0; services[i] != NULL; i++)  /* themselves before what is in them */
		if (strcmp(services[i]->name, for_it->name) == 0)
			return arena_printf(for_it->arena, "%s%s", prefix, for_it->name);
	for (unsigned i = 0; services[i] != NULL && found == NULL; i++)
		found = search(for_it, services[i],
			       arena_printf(for_it->arena, "%s%s.", prefix, services[i]->name));
	return found;
}

static const char *search_rows(const struct search *for_it, const struct schema *schema, const char *prefix)
{
	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];
		const char *dot = strchr(row->name, '.');

		if (row->type != SETTING_SERVICE &&
		    strcmp(dot != NULL ? dot + 1 : row->name, for_it->name) == 0)
			return arena_printf(for_it->arena, "%s%s", prefix, row->name);
	}
	return NULL;
}

/* What is for all is more likely meant than what is for one element of a list. */
static const char *search(const struct search *for_it, const struct schema *schema, const char *prefix)
{
	const char *found = prefix != NULL ? search_rows(for_it, schema, prefix) : NULL;

	for (unsigned i = 0; prefix != NULL && i < schema->count && found == NULL; i++) {
		const struct setting *row = &schema->settings[i];

		if (row->type == SETTING_SERVICE)
			found = search_services(for_it, prefix);
		else if (row->type == SETTING_LIST)
			found = search(for_it, row->of,
				       arena_printf(for_it->arena, "%s%s[].", prefix, row->name));
	}
	return found;
}

const char *suggest_home(const struct schema *schema, const struct schema *const *services, const char *name,
			 struct arena *arena)
{
	struct search for_it = { services, name, arena };

	return search(&for_it, schema, "");
}
