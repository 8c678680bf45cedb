/* read.c - a user's text, through libconfig and the table of settings, into a struct config.
 *
 * Three passes: source.c expands includes, scan.c finds syntax errors and places, libconfig gives the values.
 * The tree of libconfig is walked in document order, and so are the places of the scan.  Every problem of
 * meaning is reported, then the caller is told that there were some. */
#include "read.h"

#include "canonical.h"
#include "check.h"
#include "credential.h"
#include "media.h"
#include "scan.h"
#include "source.h"
#include "suggest.h"

#include <libconfig.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the file and its drop-ins together: what bounds one text bounds all. */
struct spent {
	size_t bytes;
	unsigned files;
};

struct reader {
	const char *path;               /* as the user named it */
	struct spent *spent;
	const char *main;               /* of a drop-in: the file that it belongs to; else NULL */
	bool outside;                   /* see struct config_input */
	struct generation *generation;
	struct source_text source;
	struct scan scan;
	unsigned place;                 /* the next one */
	struct problems *problems;
	unsigned misspelt;              /* services, so far */
};

/* A part of the tree: the rows that apply to it and the struct that they fill. */
struct scope {
	const struct schema *schema;
	void *instance;
	const char *group;              /* "timeouts", inside of it; else NULL */
	unsigned misspelt;              /* the reader's, where this began */
};

/* ---- problems --------------------------------------------------------------------------------------- */

static void problem_at(struct reader *reader, unsigned line, unsigned column, const char *text)
{
	struct source_line where = source_where(&reader->source, line);

	problems_add(reader->problems, "%s:%u:%u: %s", where.file, where.line,
		     where.column > 0 ? where.column : column, text);
}

/* ---- places ------------------------------------------------------------------------------------------ */

static struct scan_place next_place(struct reader *reader)
{
	if (reader->place < reader->scan.count)
		return reader->scan.places[reader->place++];
	return (struct scan_place){ 1, 1, 1, 1 };
}

/* Passes over the places of everything inside `setting`. */
static void skip_inside(struct reader *reader, const config_setting_t *setting)
{
	int count = config_setting_is_aggregate(setting) ? config_setting_length(setting) : 0;

	for (int i = 0; i < count; i++) {
		next_place(reader);
		skip_inside(reader, config_setting_get_elem(setting, (unsigned)i));
	}
}

/* It becomes a comment in the canonical text. NULL: nobody wrote it. */
static char *origin_text(struct reader *reader, const struct scan_place *place)
{
	struct source_line where = source_where(&reader->source, place->value_line);
	char *text;

	if (where.is_default)
		return NULL;
	text = arena_printf(&reader->generation->arena, "%s:%u:%u", where.file, where.line,
			    where.column > 0 ? where.column : place->value_column);
	if (text != NULL)
		problems_blank(text);
	return text;
}

/* ---- values ------------------------------------------------------------------------------------------ */

static bool raw_strings(const config_setting_t *setting, struct raw *raw, struct arena *arena)
{
	unsigned count = (unsigned)config_setting_length(setting);

	raw->kind = RAW_STRINGS;
	raw->strings.at = arena_alloc(arena, (count + 1) * sizeof(char *));
	if (raw->strings.at == NULL)
		return false;
	for (unsigned i = 0; i < count; i++) {
		raw->strings.at[i] = config_setting_get_string_elem(setting, (int)i);
		if (raw->strings.at[i] == NULL)
			return false;
		raw->strings.count++;
	}
	return true;
}

/* False when the value is of a kind that no scalar row takes. */
static bool raw_of(const config_setting_t *setting, struct raw *raw, struct arena *arena)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_BOOL:
		*raw = (struct raw){ .kind = RAW_BOOL, .truth = config_setting_get_bool(setting) };
		return true;
	case CONFIG_TYPE_INT:
		*raw = (struct raw){ .kind = RAW_NUMBER, .number = config_setting_get_int(setting) };
		return true;
	case CONFIG_TYPE_INT64:
		*raw = (struct raw){ .kind = RAW_NUMBER, .number = config_setting_get_int64(setting) };
		return true;
	case CONFIG_TYPE_STRING:
		*raw = (struct raw){ .kind = RAW_STRING, .text = config_setting_get_string(setting) };
		return true;
	case CONFIG_TYPE_ARRAY:
		return raw_strings(setting, raw, arena);
	default:
		return false;
	}
}

/* The directory of the file, absolute (the daemon's own may be another), symlinks left as they are; NULL when
 * out of memory. */
static char *directory_of(const char *file, struct arena *arena)
{
	const char *slash = strrchr(file, '/');
	int len = slash != NULL ? (int)(slash - file) : 0;
	char here[PATH_MAX];

	if (file[0] == '/')
		return arena_printf(arena, "%.*s", len, file);
	if (getcwd(here, sizeof(here)) == NULL)
		return NULL;
	return arena_printf(arena, "%s%s%.*s", here, len > 0 ? "/" : "", len, file);
}

/* "credential:NAME" becomes the path that it stands for. */
static bool find_credential(const struct reader *reader, const struct setting *row, struct raw *raw,
			    struct err *err)
{
	if (!row->credential || raw->kind != RAW_STRING || !credential_is(raw->text))
		return true;
	raw->text = credential_path(raw->text, !reader->outside, &reader->generation->arena, err);
	return raw->text != NULL || err_add(err, "%s", row->name);
}

static void scalar(struct reader *reader, const struct scope *scope, const struct setting *row,
		   const config_setting_t *setting)
{
	struct scan_place place = reader->scan.places[reader->place - 1];
	struct arena *arena = &reader->generation->arena;
	struct source_line where = source_where(&reader->source, place.value_line);
	char *directory = directory_of(where.file, arena);
	char allowed[256];
	struct raw raw = { 0 };
	struct err err;

	skip_inside(reader, setting);
	setting_allowed(row, allowed, sizeof(allowed));
	*setting_origin(scope->schema, scope->instance, (unsigned)(row - scope->schema->settings)) =
		origin_text(reader, &place);    /* also of a wrong value: it is not missing */
	if (directory == NULL)          /* a relative path would be taken for another one */
		err_set(&err, "out of memory");
	else if (!raw_of(setting, &raw, arena))
		err_set(&err, "%s: wrong type; allowed is %s", row->name, allowed);
	else if (find_credential(reader, row, &raw, &err) &&
		 setting_store(row, &raw, directory, scope->instance, arena, &err))
		return;
	problem_at(reader, place.value_line, place.value_column, err.text);
}

/* ---- the tree ---------------------------------------------------------------------------------------- */

static void group(struct reader *reader, const struct scope *scope, const config_setting_t *setting);

static void *instance_of(struct reader *reader, const struct schema *schema)
{
	struct arena *arena = &reader->generation->arena;
	void *instance = setting_instance(schema, arena);
	struct err err = { "out of memory" };

	if (instance != NULL && setting_store_defaults(schema, instance, arena, &err))
		return instance;
	problems_add(reader->problems, "%s: %s", schema->name, err.text);
	return NULL;
}

/* Also says when there are both the row and what may stand in its place. */
static bool is_missing(struct reader *reader, const struct scope *scope, const struct setting *row)
{
	const char *origin = setting_origin_of(scope->schema, scope->instance, row->name), *instead = NULL;

	if (row->instead != NULL)
		instead = setting_origin_of(scope->schema, scope->instance, row->instead);
	if (origin != NULL && instead != NULL)
		problems_add(reader->problems, "%s: %s and %s exclude each other", instead, row->name,
			     row->instead);
	return row->required && origin == NULL && instead == NULL;
}

static void require_rows(struct reader *reader, const struct scope *scope, const struct scan_place *place)
{
	char text[256];

	for (unsigned i = 0; i < scope->schema->count; i++) {
		const struct setting *row = &scope->schema->settings[i];

		if (!is_missing(reader, scope, row))
			continue;
		if (row->type == SETTING_SERVICE && reader->misspelt > scope->misspelt)
			continue;       /* that was to be it, and is said */
		if (row->type == SETTING_SERVICE)
			snprintf(text, sizeof(text),
				 "a route needs a service, such as files = { root = \"/srv/www\"; };");
		else
			snprintf(text, sizeof(text), "%s%s%s is missing", row->name,
				 row->instead != NULL ? " or " : "",
				 row->instead != NULL ? row->instead : "");
		if (place != NULL)
			problem_at(reader, place->value_line, place->value_column, text);
		else                    /* from the whole: the first line may be an include's */
			problems_add(reader->problems, "%s:1:1: %s", reader->path, text);
	}
}

static void element(struct reader *reader, const struct setting *row, const config_setting_t *setting,
		    void **instance)
{
	struct scan_place place = next_place(reader);
	struct scope scope = { .schema = row->of, .instance = instance_of(reader, row->of),
			       .misspelt = reader->misspelt };

	if (scope.instance == NULL)
		return;
	if (!config_setting_is_group(setting)) {
		skip_inside(reader, setting);
		problem_at(reader, place.value_line, place.value_column, "expected a group { ... }");
		return;
	}
	group(reader, &scope, setting);
	require_rows(reader, &scope, &place);
	*instance = scope.instance;
}

static void list(struct reader *reader, const struct scope *scope, const struct setting *row,
		 const config_setting_t *setting)
{
	struct scan_place place = reader->scan.places[reader->place - 1];
	struct items *items = setting_field(row, scope->instance);
	unsigned count = config_setting_is_list(setting) ? (unsigned)config_setting_length(setting) : 0;
	char text[256];

	if (count == 0) {
		skip_inside(reader, setting);
		snprintf(text, sizeof(text), "%s: expected a list of at least one group such as ( { ... } )",
			 row->name);
		problem_at(reader, place.value_line, place.value_column, text);
		*setting_origin(scope->schema, scope->instance, (unsigned)(row - scope->schema->settings)) =
			"";
		return;
	}
	items->at = arena_alloc(&reader->generation->arena, count * sizeof(void *));
	if (items->at == NULL) {
		problems_add(reader->problems, "out of memory");
		return;
	}
	*setting_origin(scope->schema, scope->instance, (unsigned)(row - scope->schema->settings)) =
		origin_text(reader, &place);
	for (unsigned i = 0; i < count; i++)
		element(reader, row, config_setting_get_elem(setting, i), &items->at[i]);
	items->count = count;
}

static const struct setting *service_row(const struct schema *schema)
{
	for (unsigned i = 0; i < schema->count; i++)
		if (schema->settings[i].type == SETTING_SERVICE)
			return &schema->settings[i];
	return NULL;
}

/* True when `setting` names a service (whatever came of it). */
static bool service(struct reader *reader, const struct scope *scope, const config_setting_t *setting)
{
	const struct schema *const *services = reader->generation->services;
	struct scan_place place = reader->scan.places[reader->place - 1];
	const struct setting *row = service_row(scope->schema);
	struct service_ref *ref;
	struct scope inner = { 0 };
	const char **origin;
	unsigned index = 0;

	if (row == NULL)
		return false;
	while (services[index] != NULL && strcmp(services[index]->name, config_setting_name(setting)) != 0)
		index++;
	if (services[index] == NULL)
		return false;
	ref = setting_field(row, scope->instance);
	origin = setting_origin(scope->schema, scope->instance, (unsigned)(row - scope->schema->settings));
	inner.schema = services[index];
	inner.instance = instance_of(reader, inner.schema);
	if (inner.instance == NULL || !config_setting_is_group(setting) || *origin != NULL) {
		problem_at(reader, place.name_line, place.name_column,
			   *origin != NULL ? "a route has exactly one service; there is one already"
					   : "a service is a group { ... }");
		if (*origin == NULL)            /* that there is none would be a second problem */
			*origin = origin_text(reader, &place);
		skip_inside(reader, setting);
		return true;
	}
	*origin = origin_text(reader, &place);
	*ref = (struct service_ref){ index, inner.instance };
	group(reader, &inner, setting);
	require_rows(reader, &inner, &place);
	return true;
}

static bool is_service(const struct reader *reader, const char *name)
{
	const struct schema *const *services = reader->generation->services;

	for (unsigned i = 0; services[i] != NULL; i++)
		if (strcmp(services[i]->name, name) == 0)
			return true;
	return false;
}

static void unknown(struct reader *reader, const struct scope *scope, const struct scan_place *place,
		    const char *name)
{
	const struct schema *const *services = reader->generation->services;
	struct arena *arena = &reader->generation->arena;
	const char *near = suggest_near(scope->schema, scope->group, services, name, arena);
	const char *home = suggest_home(&config_schema, services, name, arena);
	const char *here = scope->group != NULL ? scope->group : scope->schema->name;
	char text[512];

	reader->misspelt += near != NULL && is_service(reader, near);
	if (near != NULL && str_distance(name, near) == 1)      /* a slip of a finger is more likely */
		home = NULL;
	if (home != NULL)               /* the right name in the wrong place */
		snprintf(text, sizeof(text), "%s does not belong in %s; did you mean \"%s\"%s?", name, here,
			 home, strpbrk(home, ".[") == NULL ? " outside of any group" : "");
	else if (near != NULL)
		snprintf(text, sizeof(text), "unknown setting \"%.64s\" in %s; did you mean \"%s\"?", name,
			 here, near);
	else
		snprintf(text, sizeof(text), "unknown setting \"%.64s\" in %s; see drover.conf(5)", name,
			 here);
	problem_at(reader, place->name_line, place->name_column, text);
}

static void not_a_group(struct reader *reader, const struct scan_place *place, const char *name)
{
	char text[256];

	snprintf(text, sizeof(text), "%s is a group of settings: %s = { ... };", name, name);
	problem_at(reader, place->value_line, place->value_column, text);
}

static void not_in_a_drop_in(struct reader *reader, const struct scan_place *place, const char *name)
{
	char text[PATH_MAX + 256];

	snprintf(text, sizeof(text), "%s does not belong in a drop-in, which has single settings only; it"
		 " belongs in %s", name, reader->main);
	problem_at(reader, place->name_line, place->name_column, text);
}

static void member(struct reader *reader, const struct scope *scope, const config_setting_t *setting)
{
	const char *name = config_setting_name(setting);
	const struct setting *row = setting_find(scope->schema, scope->group, name);
	struct scan_place place = next_place(reader);
	struct scope inner = *scope;

	if (reader->main != NULL && row != NULL && row->type == SETTING_LIST) {
		skip_inside(reader, setting);
		not_in_a_drop_in(reader, &place, name);
	} else if (row != NULL && row->type == SETTING_LIST) {
		list(reader, scope, row, setting);
	} else if (row != NULL && row->type != SETTING_SERVICE) {
		scalar(reader, scope, row, setting);
	} else if (scope->group == NULL && config_setting_is_group(setting) &&
		   setting_is_group(scope->schema, name)) {
		inner.group = name;
		group(reader, &inner, setting);
	} else if (scope->group == NULL && setting_is_group(scope->schema, name)) {
		skip_inside(reader, setting);
		not_a_group(reader, &place, name);
	} else if (!service(reader, scope, setting)) {
		skip_inside(reader, setting);
		unknown(reader, scope, &place, name);
	}
}

static void group(struct reader *reader, const struct scope *scope, const config_setting_t *setting)
{
	int count = config_setting_length(setting);

	for (int i = 0; i < count; i++)
		member(reader, scope, config_setting_get_elem(setting, (unsigned)i));
}

/* Fills `instance` from the tree. False: that is no use, and it was said. */
static bool read_tree(struct reader *reader, const config_t *tree, void *instance)
{
	struct scope scope = { .schema = &config_schema, .instance = instance };

	if (reader->main == NULL && config_setting_length(config_root_setting(tree)) == 0) {
		problems_add(
			reader->problems,
			"%s:1:1: there are no settings in it; what serves needs at least listen and sites,"
			" see drover.conf(5)",
			reader->path);
		return false;
	}
	group(reader, &scope, config_root_setting(tree));
	return true;
}

static bool read_source(struct reader *reader, void *instance)
{
	unsigned line = 1, column = 1;
	bool good = false;
	struct err err;
	config_t tree;

	if (!scan_text(reader->source.text, reader->source.len, &reader->scan, &line, &column, &err)) {
		problem_at(reader, line, column, err.text);
		return false;
	}
	config_init(&tree);
	if (config_read_string(&tree, reader->source.text) == CONFIG_TRUE)
		good = read_tree(reader, &tree, instance);
	else
		problem_at(reader, (unsigned)config_error_line(&tree), 1, config_error_text(&tree));
	config_destroy(&tree);
	return good;
}

/* ---- the layers -------------------------------------------------------------------------------------- */

static bool take_source(const struct config_input *input, struct reader *reader, struct err *err)
{
	if (input->text == NULL)
		return source_read(input->path, &reader->source, err);
	if (input->canonical)
		return source_take_canonical(input->path, input->text, &reader->source, err);
	return source_take(input->path, input->text, &reader->source, err);
}

static bool is_too_much(struct reader *reader)
{
	struct spent *spent = reader->spent;

	spent->bytes += reader->source.len;
	spent->files += reader->source.file_count;
	if (reader->main == NULL)       /* bounded as it was read, and its ends of lines may be its own */
		return false;
	if (spent->bytes > SOURCE_MAX_BYTES)
		problems_add(reader->problems, "%s: the configuration is longer than %d bytes with it",
			     reader->path, SOURCE_MAX_BYTES);
	else if (spent->files > SOURCE_MAX_FILES)
		problems_add(reader->problems, "%s: the configuration has more than %d files with it",
			     reader->path, SOURCE_MAX_FILES);
	else
		return false;
	return true;
}

/* The file itself, or one of its drop-ins. */
static bool read_layer(const struct config_input *input, struct reader *reader, void *instance)
{
	struct err err;
	bool good = take_source(input, reader, &err);

	if (good)
		good = !is_too_much(reader) && read_source(reader, instance);
	else
		problems_add(reader->problems, "%s", err.text);
	scan_release(&reader->scan);
	source_release(&reader->source);
	return good;
}

static int is_drop_in(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > strlen(".conf") &&
	       strcmp(entry->d_name + len - strlen(".conf"), ".conf") == 0;
}

/* By the bytes of their names, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool read_drop_in(const struct reader *main, const char *directory, const char *name, void *instance)
{
	struct reader reader = *main;
	struct config_input input = { .path = arena_printf(&main->generation->arena, "%s/%s", directory,
							   name) };
	struct stat info;

	if (input.path == NULL)
		return problems_add(main->problems, "%s: out of memory", directory), false;
	if (stat(input.path, &info) < 0 && errno == ENOENT)
		return problems_add(main->problems, "%s: a symbolic link to what is not there", input.path),
		       false;
	reader.main = main->path;
	reader.path = input.path;
	reader.place = 0;
	return read_layer(&input, &reader, instance);
}

/* Nothing has that name; what is no directory, or a link that leads nowhere, was meant to be one. */
static bool is_absent(const char *path)
{
	struct stat info;

	return lstat(path, &info) < 0 && errno == ENOENT;
}

/* What ends in .conf in "drover.conf.d" beside the file, in alphabetical order; no such directory is none. */
static bool read_drop_ins(const struct reader *main, void *instance)
{
	char *directory = arena_printf(&main->generation->arena, "%s.d", main->path);
	struct dirent **found = NULL;
	int count = directory != NULL ? scandir(directory, &found, is_drop_in, by_name) : -1;
	int error = errno;
	bool good = true;

	if (count < 0 && directory != NULL && is_absent(directory))
		return true;
	if (count < 0)
		return problems_add(main->problems, "%s.d: look for drop-ins: %s", main->path,
				    strerror(error)), false;
	for (int i = 0; i < count; i++) {
		good = good && read_drop_in(main, directory, found[i]->d_name, instance);
		free(found[i]);
	}
	free(found);
	return good;
}

/* Without the overrides, before anything that depends on all values. */
static void print_base(const struct reader *reader, const struct config_input *input, const void *instance)
{
	struct generation *generation = reader->generation;
	size_t len;

	if (input->base == NULL || reader->problems->count > 0)
		return;
	generation->config = instance;
	*input->base = canonical_print(generation, &len);
	generation->config = NULL;
	if (*input->base == NULL)
		problems_add(reader->problems, "out of memory");
}

static void judge(struct reader *reader, const struct config_input *input, void *instance)
{
	struct arena *arena = &reader->generation->arena;

	require_rows(reader, &(struct scope){ .schema = &config_schema, .instance = instance }, NULL);
	print_base(reader, input, instance);
	if (input->overrides != NULL)
		overrides_apply(input->overrides, instance, input->outside, arena, reader->problems);
	config_check(instance, reader->problems);
	if (reader->problems->count == 0 && media_read(instance, arena, reader->problems))
		reader->generation->config = instance;
}

/* Is it the overrides that are wrong for what the file says now? */
static bool is_good_without(const struct config_input *input, const struct schema *const *services)
{
	struct config_input plain = { .path = input->path, .text = input->text, .outside = input->outside };
	struct generation *generation = generation_new(0, services);
	struct problems problems = { 0 };
	bool good = generation != NULL && read_config(&plain, generation, &problems);

	problems_release(&problems);
	generation_unpin(generation);
	return good;
}

static void say_what_to_do(const struct config_input *input, struct problems *problems)
{
	char names[512];

	if (overrides_list(input->overrides, false, names, sizeof(names)) > 0)
		problems_add(problems, "%s: the file is good without what was set while drover runs (%s):"
			     " droverctl unset NAME takes it back, droverctl reload --drop-overrides all",
			     override_origin, names);
}

bool read_config(const struct config_input *input, struct generation *generation, struct problems *problems)
{
	struct spent spent = { 0 };
	struct reader reader = {
		.path = input->path,
		.spent = &spent,
		.outside = input->outside,
		.generation = generation,
		.problems = problems,
	};
	unsigned before = problems->count;
	void *instance = instance_of(&reader, &config_schema);

	if (instance != NULL && read_layer(input, &reader, instance) &&
	    (input->text != NULL || read_drop_ins(&reader, instance)))
		judge(&reader, input, instance);
	/* who just set something knows what it was */
	if (problems->count > before && input->overrides != NULL && input->overrides->count > 0 &&
	    !input->canonical && is_good_without(input, generation->services))
		say_what_to_do(input, problems);
	problems_finish(problems);
	return problems->count == before;
}
