/* diff.c - old configuration against new, by the `when` column of the table. Pure; called by the master's
 * reload. */
#include "diff.h"

#include "net/addr.h"

#include <stdio.h>

static bool is_scalar(const struct setting *row)
{
	return row->type != SETTING_LIST && row->type != SETTING_SERVICE;
}

static void compare_row(const struct setting *row, const struct config *old, const struct config *new,
			struct config_diff *diff)
{
	if (!is_scalar(row) || row->when == LIVE ||
	    setting_same(row, (void *)(uintptr_t)old, (void *)(uintptr_t) new))
		return;
	if (row->when == RESTART) {
		diff->restart = row->name;
	} else if (!diff->replace) {
		diff->replace = true;
		snprintf(diff->why, sizeof(diff->why), "%s", row->name);
	}
}

/* IPV6_V6ONLY cannot change on a socket that is bound (ipv6(7)), and the socket must not be closed. */
static void compare_listen(const struct config *old, const struct config *new, struct config_diff *diff)
{
	struct addr before, after;
	struct err err;

	for (unsigned i = 0; i < new->listen.count; i++) {
		for (unsigned j = 0; j < old->listen.count; j++) {
			const struct listen_config *a = config_listen(old, j), *b = config_listen(new, i);

			if (a->v6only != b->v6only && addr_parse(a->address, &before, &err) &&
			    addr_parse(b->address, &after, &err) && strcmp(before.text, after.text) == 0)
				diff->restart = "listen.v6only";
		}
	}
}

struct config_diff config_compare(const struct config *old, const struct config *new)
{
	struct config_diff diff = { 0 };

	for (unsigned i = 0; i < config_schema.count; i++)
		compare_row(&config_schema.settings[i], old, new, &diff);
	compare_listen(old, new, &diff);
	return diff;
}
