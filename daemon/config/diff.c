/* diff.c - old configuration against new, by the `when` column of the table. Pure; called by the master's
 * reload. */
#include "diff.h"

#include "sandbox.h"

#include "net/addr.h"

#include <stdio.h>
#include <string.h>

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

/* What decides how a socket is bound (IPV6_V6ONLY and IP_FREEBIND count at bind(2); another SO_BINDTODEVICE
 * takes CAP_NET_RAW and cannot change for a whole group of sockets at once) cannot change while it is open,
 * and the socket must not be closed. */
static void compare_one(const struct listen_config *a, const struct listen_config *b,
			struct config_diff *diff)
{
	static const char *const names[] = { "listen.v6only", "listen.freebind", "listen.device" };
	const struct schema *schema = setting_find(&config_schema, NULL, "listen")->of;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct setting *row = setting_find(schema, NULL, names[i] + strlen("listen."));

		if (!setting_same(row, (void *)(uintptr_t)a, (void *)(uintptr_t)b))
			diff->restart = names[i];
	}
}

static void compare_listen(const struct config *old, const struct config *new, struct config_diff *diff)
{
	struct addr before, after;
	struct err err;

	for (unsigned i = 0; i < new->listen.count; i++) {
		for (unsigned j = 0; j < old->listen.count; j++) {
			const struct listen_config *a = config_listen(old, j), *b = config_listen(new, i);

			if (addr_parse(a->address, &before, &err) && addr_parse(b->address, &after, &err) &&
			    strcmp(before.text, after.text) == 0)
				compare_one(a, b, diff);
		}
	}
}

/* Nothing that confines a process can be widened. A list that is absent is of a drover that confined
 * nobody. */
static void compare_sandbox(const struct config *old, const struct config *new, struct config_diff *diff)
{
	if (!new->landlock || new->sandbox_read.at == NULL || diff->replace)
		return;
	diff->replace = old->sandbox_read.at == NULL ||
			sandbox_beyond(&old->sandbox_read, &new->sandbox_read) != NULL;
	if (diff->replace)
		snprintf(diff->why, sizeof(diff->why), "sandbox.read");
}

struct config_diff config_compare(const struct config *old, const struct config *new)
{
	struct config_diff diff = { 0 };

	for (unsigned i = 0; i < config_schema.count; i++)
		compare_row(&config_schema.settings[i], old, new, &diff);
	compare_listen(old, new, &diff);
	compare_sandbox(old, new, &diff);
	return diff;
}
