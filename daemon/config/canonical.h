/* The canonical text of a configuration: every effective value, a setting a line, in the order of the tables.
 *
 * It is libconfig syntax, so that `-c` reads what `-T` printed; and it is so regular that the master and the
 * workers load it line by line without a parser of user input. */
#ifndef CONFIG_CANONICAL_H
#define CONFIG_CANONICAL_H

#include "generation.h"

enum { CANONICAL_MAX_BYTES = 64 * 1024 * 1024 };

/* The text, malloc'ed and terminated; with each value's origin as a comment.  NULL when out of memory. */
char *canonical_print(const struct generation *generation, size_t *len);

/* The same for people: values of header fields that are secrets are "(redacted)"; `*redacted` says how
 * many. */
char *canonical_show(const struct generation *generation, size_t *len, unsigned *redacted);

enum { CANONICAL_DEPTH = 8 };

/* A load under way. */
struct canonical_load {
	struct generation *generation;
	struct str rest;
	unsigned line;
	bool origins;                   /* also of what is inside of lists: set behind canonical_begin */
	unsigned depth;
	struct canonical_frame {
		const struct schema *schema;
		void *instance;
		const char *group;              /* inside "timeouts = {" */
		const struct setting *list;     /* inside "sites = (": instance is its items' owner */
		unsigned room;
	} frames[CANONICAL_DEPTH];
};

/* Starts to load `text` (which must stay there until the end) into `generation`. */
bool canonical_begin(struct canonical_load *load, struct generation *generation, struct str text,
		     struct err *err);

/* Loads for about `budget_ns` (0: to the end); `*done` says whether that was all, and then generation->config
 * is set. False with `err` at the first line that canonical_print would not have written. */
bool canonical_step(struct canonical_load *load, uint64_t budget_ns, bool *done, struct err *err);

#endif
