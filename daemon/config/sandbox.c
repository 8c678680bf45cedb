/* sandbox.c - from the settings that are paths to the directories that workers may read.
 *
 * Called where a user's configuration is read; fails when memory is out. Lists are of real paths, because a
 * kernel's rule is for what a path led to when the worker was made. */
#include "sandbox.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct derivation {
	struct generation *generation;
	struct preflight *found;
	const struct strings *named;    /* as real paths */
	struct strings list;
	unsigned room;
	bool failed;                    /* out of memory */
};

/* ---- paths ------------------------------------------------------------------------------------------- */

static bool is_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	if (len == 1)                   /* "/" */
		return true;
	return strncmp(path, directory, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool is_below_any(const char *path, const struct strings *directories)
{
	for (unsigned i = 0; i < directories->count; i++)
		if (is_below(path, directories->at[i]))
			return true;
	return false;
}

/* The directory that `path` is in, by its letters; slashes at the end do not count. */
static void parent_of(const char *path, char parent[PATH_MAX])
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	while (len > 0 && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	snprintf(parent, PATH_MAX, "%.*s", len > 0 ? (int)len : 1, len > 0 ? path : "/");
}

/* ---- the list ---------------------------------------------------------------------------------------- */

static void add(struct derivation *derivation, const char *path)
{
	struct arena *arena = &derivation->generation->arena;
	struct strings *list = &derivation->list;

	if (list->count == derivation->room) {
		unsigned room = derivation->room == 0 ? 8 : derivation->room * 2;
		const char **grown = arena_alloc(arena, room * sizeof(*grown));

		derivation->failed |= grown == NULL;
		if (grown == NULL)
			return;
		if (list->count > 0)
			memcpy(grown, list->at, list->count * sizeof(*grown));
		list->at = grown;
		derivation->room = room;
	}
	list->at[list->count] = arena_copy(arena, str_of(path));
	derivation->failed |= list->at[list->count] == NULL;
	list->count += list->at[list->count] != NULL;
}

/* What is below a directory comes right behind it: "/a", "/a/b", "/a.b". */
static int by_path(const void *one, const void *other)
{
	const unsigned char *a = *(const unsigned char *const *)one;
	const unsigned char *b = *(const unsigned char *const *)other;

	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return (*a == '/' ? 1 : *a == '\0' ? 0 : 1 + *a) - (*b == '/' ? 1 : *b == '\0' ? 0 : 1 + *b);
}

static void make_canonical(struct strings *list)
{
	unsigned kept = 0;

	if (list->count > 1)
		qsort(list->at, list->count, sizeof(*list->at), by_path);
	for (unsigned i = 0; i < list->count; i++)
		if (kept == 0 || !is_below(list->at[i], list->at[kept - 1]))
			list->at[kept++] = list->at[i];
	list->count = kept;
}

__attribute__((format(printf, 5, 6))) static void find(const struct derivation *derivation, const char *id,
						       const char *place, const char *remedy,
						       const char *format, ...)
{
	struct preflight *found = derivation->found;
	struct finding *finding;
	va_list args;

	if (found == NULL || found->count == PREFLIGHT_MAX)
		return;
	finding = &found->at[found->count++];
	*finding = (struct finding){ .severity = FINDING_WARNING };
	snprintf(finding->id, sizeof(finding->id), "%s", id);
	snprintf(finding->place, sizeof(finding->place), "%s", place != NULL ? place : "");
	snprintf(finding->remedy, sizeof(finding->remedy), "%s", remedy);
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

/* ---- what is opened ---------------------------------------------------------------------------------- */

/* Whatever is at the top of the file system is on the list itself: all of the machine is too much. */
static void add_top(struct derivation *derivation, const char *path, const char *origin)
{
	add(derivation, path);
	if (strcmp(path, "/") != 0)
		find(derivation, "sandbox_top",
		     origin,
		     "put it into a directory of its own, or name directories in sandbox.read",
		     "%s is at the top of the file system: when another one takes its name, workers cannot"
		     " read that until a reload replaces them", path);
}

/* Where `path` leads to, another one may lie beside it tomorrow; and where it is written. False: both are at
 * the top. */
static bool add_places(struct derivation *derivation, const char *path)
{
	char parent[PATH_MAX], real[PATH_MAX];
	bool added = false;

	if (realpath(path, real) != NULL) {
		parent_of(real, parent);
		added = strcmp(parent, "/") != 0;
		if (added)
			add(derivation, parent);
	}
	parent_of(path, parent);
	if (realpath(parent, real) == NULL || strcmp(real, "/") == 0)
		return added;
	add(derivation, real);
	return true;
}

/* A symlink on the way may be made to lead elsewhere: releases are often switched by one. */
static void add_places_of_links(struct derivation *derivation, const char *path)
{
	char link[PATH_MAX];
	struct stat info;

	for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(link, sizeof(link), "%.*s", (int)(slash - path), path);
		if (lstat(link, &info) == 0 && S_ISLNK(info.st_mode))
			add_places(derivation, link);
	}
}

static void derive(struct derivation *derivation, const char *path, const char *origin)
{
	char real[PATH_MAX], parent[PATH_MAX];
	bool is_there = realpath(path, real) != NULL;

	if (!is_there)
		parent_of(path, parent);
	if ((is_there || realpath(parent, real) != NULL) && is_below_any(real, derivation->named))
		return;
	if (!add_places(derivation, path) && is_there)
		add_top(derivation, real, origin);
	add_places_of_links(derivation, path);
}

static bool is_word(const struct setting *row, const char *text)
{
	for (unsigned i = 0; row->choices != NULL && row->choices[i] != NULL; i++)
		if (strcmp(row->choices[i], text) == 0)
			return true;
	return false;
}

/* Every path of an instance, of all that is in it, and of its services. The tables are some levels deep. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void walk(struct derivation *derivation, const struct schema *schema, void *instance)
{
	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];
		void *field = setting_field(row, instance);
		const struct service_ref *service = field;

		if (row->opened && *(const char **)field != NULL && !is_word(row, *(const char **)field))
			derive(derivation, *(const char **)field, *setting_origin(schema, instance, i));
		for (unsigned j = 0; row->type == SETTING_LIST && j < ((struct items *)field)->count; j++)
			walk(derivation, row->of, ((struct items *)field)->at[j]);
		if (row->type == SETTING_SERVICE && service->settings != NULL)
			walk(derivation, derivation->generation->services[service->index],
			     service->settings);
	}
}

/* ---- all of it --------------------------------------------------------------------------------------- */

static void take_named(struct derivation *derivation, const struct config *config)
{
	char real[PATH_MAX];

	for (unsigned i = 0; i < config->sandbox_read.count; i++) {
		if (realpath(config->sandbox_read.at[i], real) != NULL)
			add(derivation, real);
		else
			find(derivation, "sandbox_not_there",
			     setting_origin_of(&config_schema, config, "sandbox.read"),
			     "make it and reload, or leave it out",
			     "sandbox.read has %s, which workers cannot reach: it is not there, or they may"
			     " not go there", config->sandbox_read.at[i]);
	}
}

static void set_origin(struct config *config, bool is_derived)
{
	const struct setting *row = setting_find(&config_schema, "sandbox", "read");

	if (is_derived || config->sandbox_read.count == 0)
		*setting_origin(&config_schema, config, (unsigned)(row - config_schema.settings)) = "derived";
}

bool sandbox_derive(struct generation *generation, struct preflight *found, struct err *err)
{
	struct config *config = (void *)(uintptr_t)generation->config;
	struct derivation derivation = { .generation = generation, .found = found };
	struct strings named;

	if (!config->landlock)
		return true;
	take_named(&derivation, config);
	make_canonical(&derivation.list);
	named = derivation.list;
	named.at = arena_alloc(&generation->arena, (named.count + 1) * sizeof(*named.at));
	if (named.at == NULL)
		return err_set(err, "out of memory");
	if (named.count > 0)
		memcpy(named.at, derivation.list.at, named.count * sizeof(*named.at));
	derivation.named = &named;
	walk(&derivation, &config_schema, config);
	make_canonical(&derivation.list);
	if (derivation.failed)
		return err_set(err, "out of memory");
	set_origin(config, derivation.list.count != named.count);
	config->sandbox_read = derivation.list.count > 0 ? derivation.list : named;
	return true;
}

const char *sandbox_beyond(const struct strings *old, const struct strings *new)
{
	for (unsigned i = 0; i < new->count; i++)
		if (!is_below_any(new->at[i], old))
			return new->at[i];
	return NULL;
}
