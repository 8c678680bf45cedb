/* What a new configuration changes, setting by setting: for people, before they reload. */
#ifndef CONFIG_CHANGES_H
#define CONFIG_CHANGES_H

#include "generation.h"

enum { CHANGES_MOST = 200 };

/* One of them: "limits.connections", or inside of lists "sites[\"example.org\"].routes[\"/\"].files.root".
 * Both texts are as they would be written; NULL: it is not there (a value that is absent, an entry of a
 * list that is new or goes; of an entry that is there the text is "{ ... }"). */
typedef void changes_found(void *context, const char *name, const char *old, const char *new);

/* Calls `found` for each, at most CHANGES_MOST times; returns how many more there are at least. What may be a
 * secret is "(not shown)", what was derived from the rest is left out. */
unsigned changes_list(const struct generation *old, const struct generation *new, changes_found *found,
		      void *context);

#endif
