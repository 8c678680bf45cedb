/* What a setting is: one row of a table.  The row feeds the parser, the check, `-T` and the man page.
 *
 * A schema is a table of rows and the struct that they fill.  A row's name may have one dot
 * ("timeouts.request_head"): in the file it stands in a group of that name, in the struct it does not matter.
 * Every instance of a schema's struct is allocated with room behind it for the origin of each value. */
#ifndef CONFIG_SETTING_H
#define CONFIG_SETTING_H

#include "base/arena.h"
#include "base/err.h"

enum { SETTING_MAX_STRING = 64 * 1024 };        /* bytes of one string */

enum setting_type {
	SETTING_BOOL, /* bool */
	SETTING_INTEGER, /* unsigned */
	SETTING_COUNT, /* unsigned; the text "auto" is 0 */
	SETTING_SIZE, /* uint64_t, bytes; written "64k" */
	SETTING_DURATION, /* uint64_t, nanoseconds; written "30s" */
	SETTING_STRING, /* const char * */
	SETTING_PATH, /* const char *, made absolute against the file it is written in */
	SETTING_CHOICE, /* unsigned, an index into `choices` */
	SETTING_STRINGS, /* struct strings */
	SETTING_LIST, /* struct items of schema `of` */
	SETTING_SERVICE, /* struct service_ref: exactly one of the groups that the services define */
};

/* What it takes for a new value to count. */
enum setting_when {
	LIVE,                           /* a reload: workers adopt it in place */
	REPLACE,                        /* a reload: fresh workers */
	RESTART,                        /* a reload that changes it is refused */
};

struct strings {
	unsigned count;
	const char **at;
};

/* Pointers to instances of a schema's struct. */
struct items {
	unsigned count;
	void **at;
};

struct schema;

/* Which service a route names, as an index into the services' schemas, and its own settings. */
struct service_ref {
	unsigned index;
	void *settings;
};

struct setting {
	const char *name;
	enum setting_type type;
	enum setting_when when;
	bool required;
	bool opened;                    /* a path that workers open as they serve: sandbox_derive */
	const char *instead;            /* of a required row: what may stand in its place, never both */
	/* As it would be written, of strings the words of one line; NULL: absent unless set. */
	const char *def;
	const char *min, *max;          /* as it would be written; NULL: the type's own */
	const char *const *choices;     /* ends with NULL */
	const struct schema *of;
	bool (*check)(const char *text, struct err *err);       /* of each string, NULL: none */
	bool credential;                /* of a path: it may be "credential:NAME", see credential.h */
	bool fields;                    /* of strings: "Name: value", and some values are not shown */
	const char *example;            /* for the man page, where the default says too little */
	const char *help;               /* HELP(...) */
	size_t offset;
};

/* Text for the man page alone, which a program of its own prints (man/settings.c): the daemon has none. */
#ifdef WITH_HELP
#define HELP(text) .help = (text)
#else
#define HELP(text) .help = NULL
#endif

struct schema {
	const char *name;
	const struct setting *settings;
	unsigned count;
	size_t bytes;                   /* of the struct */
	const char *help;
};

/* A value as it was written, before it is known what it is for. */
struct raw {
	enum raw_kind { RAW_BOOL, RAW_NUMBER, RAW_STRING, RAW_STRINGS } kind;
	bool truth;
	long long number;
	const char *text;
	struct strings strings;
};

/* A zeroed instance with room for its origins; NULL when out of memory. */
void *setting_instance(const struct schema *schema, struct arena *arena);

/* Where the value of row `index` comes from ("drover.conf:12"); NULL for a default. */
const char **setting_origin(const struct schema *schema, void *instance, unsigned index);

/* The same by the row's name; NULL also when there is no such row. */
const char *setting_origin_of(const struct schema *schema, const void *instance, const char *name);

/* The field of `row` in `instance`. */
static inline void *setting_field(const struct setting *row, void *instance)
{
	return (char *)instance + row->offset;
}

/* Checks `raw` against `row` and stores it; strings are copied to `arena`, a path is put behind `directory`
 * unless it is absolute.  On false the field is untouched and `err` says what is allowed. */
bool setting_store(const struct setting *row, const struct raw *raw, const char *directory, void *instance,
		   struct arena *arena, struct err *err);

/* Stores the defaults of all rows (a list's default is empty).  False when out of memory. */
bool setting_store_defaults(const struct schema *schema, void *instance, struct arena *arena,
			    struct err *err);

/* The value of a scalar row as it would be written, quotes and all, in the arena; NULL when it is absent or
 * out of memory. */
const char *setting_text(const struct setting *row, void *instance, struct arena *arena);

/* True when the scalar row has no value (it is optional, and has no default). A size or a duration without
 * a default is absent at 0, so its `min` must be more. */
bool setting_absent(const struct setting *row, void *instance);

/* True when the scalar row has the same value in both instances. */
bool setting_same(const struct setting *row, void *a, void *b);

/* "a duration such as 30s, from 100ms to 10m": what the row allows, for messages and for the man page. */
void setting_allowed(const struct setting *row, char *text, size_t bytes);

/* The row called `name` below the group `group` (NULL: none), or NULL. */
const struct setting *setting_find(const struct schema *schema, const char *group, const char *name);

/* True when rows live below a group of this name. */
bool setting_is_group(const struct schema *schema, const char *name);

/* Reads "64k" or "30s"; false when the text is neither digits nor digits and a unit, or overflows. A duration
 * may also be "off", which is zero. */
bool setting_parse_size(const char *text, uint64_t *bytes);
bool setting_parse_duration(const char *text, uint64_t *ns);

#endif
