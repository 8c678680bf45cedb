/* From what a user wrote to a checked configuration. Runs in the checker and for `-t` and `-T`, never in the
 * master. */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "generation.h"

enum { PROBLEMS_MAX_BYTES = 32 * 1024 };

/* What is wrong, a line each: "file:line:column: what is wrong, what is allowed". */
struct problems {
	char *text;                     /* malloc'ed, terminated; NULL: none */
	size_t len;
	unsigned count;
};

void problems_add(struct problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));
void problems_release(struct problems *problems);

/* Where the configuration comes from: a file, or a text that the command line made. */
struct config_input {
	const char *path;
	const char *text;               /* NULL: read `path`; else `path` only names it in messages */
};

/* Reads, checks and stores the configuration in `generation`. On false `problems` has the first syntax error
 * or all semantic ones (of the text itself: what the system says to it is config_check_system's). */
bool read_config(const struct config_input *input, struct generation *generation, struct problems *problems);

#endif
