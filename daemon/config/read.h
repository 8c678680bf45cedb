/* From what a user wrote to a checked configuration. Runs in the checker and for `-t` and `-T`, never in the
 * master. */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "generation.h"
#include "problems.h"

/* Where the configuration comes from: a file, or a text that the command line made. */
struct config_input {
	const char *path;
	const char *text;               /* NULL: read `path`; else `path` only names it in messages */
	bool outside;                   /* by who is not the service: it need not have credentials */
};

/* Reads, checks and stores the configuration in `generation`. On false `problems` has the first syntax error
 * or all semantic ones, in the order of their places (of the text itself: what the system says to it comes
 * later). */
bool read_config(const struct config_input *input, struct generation *generation, struct problems *problems);

#endif
