/* exposed.c - a status route that anybody may read.  Called by preflight.c; pure, cannot fail. */
#include "exposed.h"

#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Nobody but this machine reaches it. */
static bool is_local(const char *address)
{
	struct addr addr;
	struct err err;

	if (!addr_parse(address, &addr, &err) || addr_is_unix(&addr))
		return true;
	if (addr.storage.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr.storage;

		return ntohl(v4->sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
	}
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&addr.storage)->sin6_addr);
}

static const struct listen_config *public_listener(const struct config *config)
{
	for (unsigned i = 0; i < config->listen.count; i++)
		if (!is_local(config_listen(config, i)->address))
			return config_listen(config, i);
	return NULL;
}

/* What a route says goes before what its site says; "off" is nobody's file. */
static bool has_auth(const struct site_config *site, const struct route_config *route)
{
	const char *file = route->auth_file != NULL ? route->auth_file : site->auth_file;

	return file != NULL && strcmp(file, "off") != 0;
}

static bool is_open_status(const struct generation *generation, const struct site_config *site,
			   const struct route_config *route)
{
	const struct schema *schema = generation->services[route->service.index];

	return strcmp(schema->name, "status") == 0 && route->allow.count == 0 && !has_auth(site, route);
}

static const struct route_config *open_route(const struct generation *generation)
{
	const struct config *config = generation->config;

	for (unsigned i = 0; i < config->sites.count; i++) {
		const struct site_config *site = config_site(config, i);

		for (unsigned j = 0; j < site->routes.count; j++)
			if (is_open_status(generation, site, config_route(site, j)))
				return config_route(site, j);
	}
	return NULL;
}

bool exposed_status(const struct generation *generation, struct finding *finding)
{
	const struct listen_config *listen = public_listener(generation->config);
	const struct route_config *route = open_route(generation);
	const struct schema *schema;
	const char *place;

	if (listen == NULL || route == NULL)
		return false;
	schema = setting_find(setting_find(&config_schema, NULL, "sites")->of, NULL, "routes")->of;
	place = setting_origin_of(schema, route, "match");
	snprintf(finding->place, sizeof(finding->place), "%s", place != NULL ? place : "");
	snprintf(finding->text, sizeof(finding->text),
		 "the status at %s may be read by everybody who reaches %s: what runs here, who uses it, and "
		 "how"
		 " much",
		 route->match, listen->address);
	snprintf(finding->remedy, sizeof(finding->remedy),
		 "set allow = [ \"127.0.0.0/8\", \"::1\" ] in the route, with those who shall read it, or "
		 "auth");
	return true;
}
