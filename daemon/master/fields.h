/* Structs as JSON objects and back, by a table of what is in them: how the state goes from one image to the
 * next. A descriptor is {"fd": N}, so that all that a state names can be found without knowing what it is. */
#ifndef MASTER_FIELDS_H
#define MASTER_FIELDS_H

#include "base/err.h"

#include <stddef.h>

struct json_t;

enum field_type {
	FIELD_NUMBER,                   /* an integer of 1, 2, 4 or 8 bytes; enums too */
	FIELD_BOOL,
	FIELD_FD,                       /* -1: none */
	FIELD_TEXT,                     /* malloc'ed; NULL: none */
	FIELD_CHARS,                    /* an array in the struct itself, terminated */
	FIELD_TIMER,                    /* when it is due; loading leaves it unarmed. 0: it was not armed */
};

/* One member; a table ends with a row whose name is NULL. */
struct field {
	const char *name;
	enum field_type type;
	size_t offset, bytes;
};

#define FIELD(type, of, member) \
	{ #member, type, offsetof(struct of, member), sizeof(((struct of *)0)->member) }

/* A new reference; NULL when out of memory. Bytes of a text that are no UTF-8 are kept. */
struct json_t *fields_save(const struct field *rows, const void *object);

/* Each of `count` structs of `bytes`, `first` and those behind it, as a list; NULL when out of memory. */
struct json_t *fields_save_list(const struct field *rows, const void *first, size_t count, size_t bytes);

/* Fills in the members that the table has. False with `err`, which names the member, when one is missing or
 * does not fit: then some have been filled in. */
bool fields_load(const struct field *rows, void *object, const struct json_t *json, struct err *err);

/* The list that is called so in `json`; NULL with `err`. */
const struct json_t *fields_list(const struct json_t *json, const char *name, struct err *err);

/* As one line with its end, malloc'ed; NULL when out of memory, also for no `json`. */
char *fields_line(const struct json_t *json, size_t *len);

/* Calls `act` for every descriptor in `json`, at any depth, and puts there what it leaves in `*fd`. False
 * with `err` as soon as one does not work out. */
bool fields_each_fd(struct json_t *json, bool (*act)(int *fd, struct err *err), struct err *err);

#endif
