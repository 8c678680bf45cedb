/* Media types by file name extension: the built-in ones, and before them those of a configuration. */
#ifndef HTTP_MIME_H
#define HTTP_MIME_H

#include "base/str.h"
#include "config/generation.h"

struct mime_row {
	const char *extension, *type;
};

/* The built-in table, sorted by extension (lower case), ended by a row of NULLs; for the test of just
 * that. */
extern const struct mime_row mime_rows[];

/* Types by extension; NULL: the built-in ones alone. */
struct mime_table;

/* Builds the table of generation->config in generation->types. False when out of memory. */
bool mime_prepare(struct generation *generation, struct err *err);

/* The Content-Type for a file of this name, with charset=utf-8 for text; "application/octet-stream" when the
 * extension is unknown or there is none.  The extension's case does not matter.  It is static, or belongs to
 * the table's generation. */
struct str mime_type(const struct mime_table *table, struct str file_name);

/* True for types whose bytes are compressed already (png, mp4, zip ...): compressing them again saves
 * nothing. */
bool mime_is_compressed(struct str type);

#endif
