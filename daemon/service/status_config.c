/* status_config.c - the effective configuration.
 *
 * Called by status.c. All settings of the top are there, with their defaults; of listeners, sites and routes
 * what differs from the default, and not more than there is time for in one turn: then "truncated" says so. A
 * worker does not know where the settings of a site come from. Values of header fields
 * are not shown, since some are secrets, nor what is in files. Fails when out of memory, with 500. */
#include "status_config.h"

#include "http/exchange.h"

#include <stdio.h>
#include <string.h>

enum {
	MOST_ROWS = 600,                /* all together; each takes less than a microsecond */
	MOST_VALUE_BYTES = 400,
	NAME_BYTES = 128,
	SCHEMAS = 12,                   /* listeners, sites, routes, services */
};

struct printer {
	struct status_text *out;
	struct arena *arena;
	const struct schema *const *services;
	unsigned left;                  /* rows */
	bool first;                     /* of the array */
	struct {
		const struct schema *schema;
		void *instance;         /* as it is when nobody sets anything */
	} defaults[SCHEMAS];
};

/* One word in quotes is shown without them. */
static struct str shown(const char *text)
{
	struct str value = str_of(text);

	if (value.len >= 2 && text[0] == '"' && strchr(text + 1, '"') == text + value.len - 1 &&
	    strchr(text, '\\') == NULL)
		value = (struct str){ text + 1, value.len - 2 };
	return value;
}

static void put_value(struct printer *printer, const struct setting *row, void *instance)
{
	const char *text = setting_text(row, instance, printer->arena);
	char value[MOST_VALUE_BYTES + 4];
	struct str all;

	if (text == NULL) {
		status_text_add(printer->out, "null");
		return;
	}
	all = row->fields ? str_of("(not shown)") : shown(text);
	snprintf(value, sizeof(value), "%.*s%s",
		 (int)(all.len < MOST_VALUE_BYTES ? all.len : MOST_VALUE_BYTES),
		 all.at, all.len > MOST_VALUE_BYTES ? "..." : "");
	status_text_quoted(printer->out, value);
}

static void put_row(struct printer *printer, const char *prefix, const struct setting *row, void *instance,
		    const char *origin)
{
	char name[NAME_BYTES];

	if (printer->left == 0)
		return;
	printer->left--;
	snprintf(name, sizeof(name), "%s%s", prefix, row->name);
	status_text_add(printer->out, printer->first ? "{\"name\":" : ",{\"name\":");
	printer->first = false;
	status_text_quoted(printer->out, name);
	status_text_add(printer->out, ",\"value\":");
	put_value(printer, row, instance);
	status_text_add(printer->out, ",\"origin\":");
	if (origin != NULL)
		status_text_quoted(printer->out, origin);
	else
		status_text_add(printer->out, "null");
	status_text_add(printer->out, "}");
}

static bool is_scalar(const struct setting *row)
{
	return row->type != SETTING_LIST && row->type != SETTING_SERVICE;
}

/* NULL: nobody knows, out of memory. */
static void *defaults_of(struct printer *printer, const struct schema *schema)
{
	unsigned i = 0;
	struct err err;

	while (i < SCHEMAS && printer->defaults[i].schema != NULL && printer->defaults[i].schema != schema)
		i++;
	if (i == SCHEMAS)
		return NULL;
	if (printer->defaults[i].schema == schema)
		return printer->defaults[i].instance;
	printer->defaults[i].schema = schema;
	printer->defaults[i].instance = setting_instance(schema, printer->arena);
	if (printer->defaults[i].instance != NULL &&
	    !setting_store_defaults(schema, printer->defaults[i].instance, printer->arena, &err))
		printer->defaults[i].instance = NULL;
	return printer->defaults[i].instance;
}

/* What somebody has set to something else. */
static void put_changed(struct printer *printer, const char *prefix, const struct schema *schema,
			void *instance)
{
	void *defaults = defaults_of(printer, schema);

	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];

		if (is_scalar(row) && !setting_absent(row, instance) &&
		    (defaults == NULL || !setting_same(row, instance, defaults)))
			put_row(printer, prefix, row, instance, *setting_origin(schema, instance, i));
	}
}

static void put_top(struct printer *printer, void *config)
{
	for (unsigned i = 0; i < config_schema.count; i++)
		if (is_scalar(&config_schema.settings[i]))
			put_row(printer, "", &config_schema.settings[i], config,
				*setting_origin(&config_schema, config, i));
}

static void put_listeners(struct printer *printer, const struct config *config)
{
	char prefix[NAME_BYTES];

	for (unsigned i = 0; i < config->listen.count && printer->left > 0; i++) {
		snprintf(prefix, sizeof(prefix), "listen %s: ", config_listen(config, i)->address);
		put_changed(printer, prefix, setting_find(&config_schema, NULL, "listen")->of,
			    config_listen(config, i));
	}
}

static void put_route(struct printer *printer, const struct schema *schema, struct route_config *route)
{
	const struct schema *service = printer->services[route->service.index];
	char prefix[NAME_BYTES];

	snprintf(prefix, sizeof(prefix), "%.64s ", route->match);
	put_changed(printer, prefix, schema, route);
	snprintf(prefix, sizeof(prefix), "%.64s %s.", route->match, service->name);
	put_changed(printer, prefix, service, route->service.settings);
}

static void put_site(struct printer *printer, const struct schema *schema, struct site_config *site)
{
	const struct schema *routes = setting_find(schema, NULL, "routes")->of;

	status_text_add(printer->out, "{\"name\":");
	status_text_quoted(printer->out, site->hosts.count > 0 ? site->hosts.at[0] : "(default)");
	status_text_add(printer->out, ",\"settings\":[");
	printer->first = true;
	put_changed(printer, "", schema, site);
	for (unsigned i = 0; i < site->routes.count && printer->left > 0; i++)
		put_route(printer, routes, config_route(site, i));
	status_text_add(printer->out, "]}");
}

static void put_document(struct printer *printer, const struct generation *generation)
{
	const struct config *config = generation->config;
	const struct schema *sites = setting_find(&config_schema, NULL, "sites")->of;

	status_text_add(printer->out, "{\"generation\":");
	status_text_number(printer->out, generation->number);
	status_text_add(printer->out, ",\"settings\":[");
	printer->first = true;
	put_top(printer, (void *)(uintptr_t)config);
	put_listeners(printer, config);
	status_text_add(printer->out, "],\"sites\":[");
	for (unsigned i = 0; i < config->sites.count && printer->left > 0; i++) {
		status_text_add(printer->out, i > 0 ? "," : "");
		put_site(printer, sites, config_site(config, i));
	}
	status_text_add(printer->out, "],\"truncated\":");
	status_text_add(printer->out, printer->left > 0 ? "false}\n" : "true}\n");
}

enum answer status_config_answer(struct exchange *exchange, const struct status_settings *settings)
{
	struct status_text *text = status_text_new();
	struct printer printer = {
		.out = text, .arena = &exchange->arena, .services = exchange->generation->services,
		.left = MOST_ROWS,
	};

	(void)settings;
	if (text != NULL)
		put_document(&printer, exchange->generation);
	if (text != NULL && !text->bad)
		status_answer(exchange, "application/json", text);
	else
		exchange_error(exchange, 500);
	if (text != NULL)
		lasting_unpin(&text->lasting);
	return ANSWERED;
}
