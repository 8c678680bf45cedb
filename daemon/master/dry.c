/* dry.c - what is said of a dry transition when all have voted.  Called by reload.c; cannot fail. */
#include "master.h"

#include "config/changes.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
	char *at;
	size_t len, bytes;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text->at + text->len, text->bytes - text->len, format, args);
	va_end(args);
	if (len > 0)
		text->len +=
			(size_t)len < text->bytes - text->len ? (size_t)len : text->bytes - text->len - 1;
}

static const char *plural(unsigned count)
{
	return count == 1 ? "" : "s";
}

static void put_workers(struct text *text, const struct master *master)
{
	const struct transition *transition = &master->transition;
	unsigned now = master->slot_count, then = transition->next.slots, kept = now < then ? now : then;

	if (!transition->replaces)
		put(text, "would adopt it in place (%u worker%s)", kept, plural(kept));
	else
		put(text, "would replace %u worker%s (%s)", kept, plural(kept), transition->why_replaced);
	if (then > now)
		put(text, ", start %u more", then - now);
	if (now > then)
		put(text, ", retire %u", now - then);
}

/* Unix sockets that are new are not in the list: none was made. */
static bool is_listener(const struct master *master, const char *address)
{
	const struct list *listeners = &master->listeners;

	for (const struct list *link = listeners->next; link != listeners; link = link->next) {
		const struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (!listener->fresh && strcmp(listener->addr.text, address) == 0)
			return true;
	}
	return false;
}

static void put_listeners(struct text *text, const struct master *master)
{
	const struct config *config = master->transition.next.generation->config;
	const struct list *listeners = &master->listeners;
	struct addr addr;
	struct err err;

	for (unsigned i = 0; i < config->listen.count; i++)
		if (addr_parse(config_listen(config, i)->address, &addr, &err) &&
		    !is_listener(master, addr.text))
			put(text, ", listen on %s", addr.text);
	for (const struct list *link = listeners->next; link != listeners; link = link->next) {
		const struct listener *listener = LIST_ENTRY(link, struct listener, link);

		if (!listener->keep)
			put(text, ", let %s go", listener->addr.text);
	}
}

void dry_describe(const struct master *master, char *text, size_t bytes)
{
	struct text out = { text, 0, bytes };

	put_workers(&out, master);
	put_listeners(&out, master);
}

/* Texts that are no UTF-8 are left out. */
static void add_change(void *context, const char *name, const char *old, const char *new)
{
	json_array_append_new(context, json_pack("{s:s, s:s?, s:s?}", "name", name, "old", old, "new", new));
}

json_t *dry_changes(const struct master *master)
{
	json_t *changes = json_array();
	unsigned more;

	if (master_was_start(master) || changes == NULL)
		return changes;
	more = changes_list(master->current.generation, master->transition.next.generation, add_change,
			    changes);
	if (more > 0)
		json_array_append_new(changes, json_pack("{s:I}", "more", (json_int_t)more));
	return changes;
}
