/* The text of a configuration with its includes expanded, and the map from that text back to files and
 * lines. */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include "base/arena.h"
#include "base/err.h"

enum {
	SOURCE_MAX_BYTES = 16 * 1024 * 1024,    /* all files together */
	SOURCE_MAX_DEPTH = 10,                  /* of includes in includes */
	SOURCE_MAX_FILES = 4096,                /* each as often as it is included */
};

/* Where a line of the expanded text was written. */
struct source_line {
	const char *file;
	unsigned line;
	unsigned column;                /* of the value, in a canonical text's comment; 0: as it is found */
	bool is_default;                /* so the canonical text says: nobody wrote it */
};

struct source_text {
	struct arena arena;
	char *text;                     /* malloc'ed, terminated */
	size_t len, room;
	unsigned file_count;
	bool in_comment;                /* the last line so far ends inside of one */
	struct source_line *lines;      /* malloc'ed; of each line of `text` */
	unsigned line_count, line_room;
	bool failed;                    /* the error has its place */
	const char *last_named;         /* of a canonical text: the file in the last comment */
};

/* Reads the file and, in place of every line `@include "path"` outside of comments (globs allowed, relative
 * to the including file, matches in alphabetical order), the files it names. Only regular files are read: a
 * FIFO or a device would block. On false `err` begins with "file: " when `path` itself cannot be read, else
 * with "file:line:column: "; release with source_release in either case. */
bool source_read(const char *path, struct source_text *source, struct err *err);

/* The same for a text that is there already; `name` stands for the file in messages. */
bool source_take(const char *name, const char *text, struct source_text *source, struct err *err);

/* The same for a text of canonical_print: what its comments say of each line is where it was written. */
bool source_take_canonical(const char *name, const char *text, struct source_text *source, struct err *err);

void source_release(struct source_text *source);

/* Where line `line` (from 1) of the expanded text was written; the last line for one behind the end. */
struct source_line source_where(const struct source_text *source, unsigned line);

#endif
