/* From what a user wrote to a checked configuration. Runs in the checker and for `-t` and `-T`, never in the
 * master. */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "generation.h"
#include "override.h"
#include "problems.h"

/* Where the configuration comes from, lowest layer first: a file and its drop-ins (in PATH.d, what ends in
 * .conf), or a text that the command line made; then what was set while drover runs. */
struct config_input {
	const char *path;
	const char *text;               /* NULL: read `path`; else `path` only names it in messages */
	bool canonical; /* canonical_print made the text: its comments say what is from where */
	bool outside;                   /* by who is not the service: it need not have credentials */
	const struct overrides *overrides;      /* NULL: none */
	char **base;                    /* gets the canonical text without the overrides, malloc'ed; NULL */
};

/* Reads, checks and stores the configuration in `generation`. On false `problems` has the first syntax error
 * or all semantic ones, in the order of their places (of the text itself: what the system says to it comes
 * later). */
bool read_config(const struct config_input *input, struct generation *generation, struct problems *problems);

#endif
