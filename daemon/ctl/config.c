/* config.c - droverctl config and check: the configuration that runs, and what another one would change in
 * it. Fails as ctl_run does. */
#include "ctl.h"

#include "ipc/check.h"

#include <stdio.h>
#include <string.h>

static bool origins;                    /* config --origins */

bool config_option(int val, const char *value)
{
	(void)value;
	origins |= val == 'o';
	return true;
}

/* ---- config -------------------------------------------------------------------------------------------- */

/* The length of the line without what is said of its origin. */
static size_t without_origin(const char *line, size_t len)
{
	size_t at = len;

	if (line[0] == '#')
		return len;
	while (at >= 4 && memcmp(line + at - 4, "  # ", 4) != 0)
		at--;
	if (at < 4)
		return len;
	for (at -= 4; at > 0 && line[at - 1] == ' '; )
		at--;
	return at;
}

static void show_config(const json_t *answer)
{
	const char *text = ctl_text(answer, "text");

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		printf("%.*s\n", (int)(origins ? len : without_origin(text, len)), text);
		text += len + (text[len] == '\n');
	}
}

int config_run(struct ctl *ctl)
{
	return ctl_run(ctl, json_pack("{s:s}", "command", "config"), show_config);
}

/* ---- check --------------------------------------------------------------------------------------------- */

static void show_change(const json_t *change)
{
	const char *name = ctl_text(change, "name");
	const char *old = json_string_value(json_object_get(change, "old"));
	const char *new = json_string_value(json_object_get(change, "new"));

	if (name[0] == '\0')
		printf("  and %lld more\n", ctl_number(change, "more"));
	else if (new != NULL && strcmp(new, "{ ... }") == 0)
		printf("  + %s\n", name);
	else if (old != NULL && strcmp(old, "{ ... }") == 0)
		printf("  - %s\n", name);
	else
		printf("  %s: %s -> %s\n", name, old != NULL ? old : "(not set)",
		       new != NULL ? new : "(not set)");
}

static void show_changes(const json_t *answer)
{
	const json_t *changes = json_object_get(answer, "changes"), *change;
	size_t index;

	if (changes == NULL)
		return;
	puts(json_array_size(changes) == 0 ? "it would change nothing of what runs" : "it would change");
	json_array_foreach(changes, index, change)
		show_change(change);
}

/* Prints what is good to read, and the rest as `drover -t` does. */
int check_run(struct ctl *ctl)
{
	struct err err;
	json_t *answer = check_ask(ctl->socket, ctl->arguments[0], &err);
	int status;

	if (answer == NULL)
		return ctl_unreachable(&err);
	if (ctl->json) {
		status = ctl_show(ctl, answer, NULL);
	} else {
		status = check_show(answer, ctl->socket) == CHECK_GOOD ? STATUS_GOOD : STATUS_REFUSED;
		show_changes(answer);
	}
	json_decref(answer);
	return status;
}
