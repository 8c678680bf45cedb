/* check.c - rules between settings.  Called by read.c; fails by adding problems. */
#include "check.h"

#include "base/names.h"
#include "net/addr.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

enum { CHECK_MAX_LISTEN = 128 };        /* CHANNEL_MAX_LISTENERS: what a worker can be told of */

static const char *origin_of(const struct schema *schema, const void *instance, const char *name)
{
	const char *origin = setting_origin_of(schema, instance, name);

	return origin != NULL ? origin : "configuration:1:1";
}

static const struct schema *schema_of(const char *list)
{
	return setting_find(&config_schema, NULL, list)->of;
}

static void check_listen(const struct config *config, struct problems *problems)
{
	struct addr one, other;
	struct err err;

	if (config->listen.count > CHECK_MAX_LISTEN)
		problems_add(problems, "%s: more than %d addresses",
			     origin_of(&config_schema, (void *)(uintptr_t)config, "listen"),
			     CHECK_MAX_LISTEN);
	for (unsigned i = 0; i < config->listen.count && i < CHECK_MAX_LISTEN; i++) {
		struct listen_config *listen = config_listen(config, i);

		addr_parse(listen->address, &one, &err);
		for (unsigned j = 0; j < i; j++) {
			addr_parse(config_listen(config, j)->address, &other, &err);
			if (strcmp(one.text, other.text) == 0)
				problems_add(problems, "%s: address \"%s\" is listed twice",
					     origin_of(schema_of("listen"), listen, "address"), one.text);
		}
	}
}

static void out_of_memory(struct problems *problems)
{
	problems_add(problems, "configuration:1:1: out of memory");
}

/* What is known of the sites that were looked at so far. */
struct seen {
	struct arena arena;             /* holds the names */
	struct names hosts;             /* in lower case */
	bool default_site;
};

static struct str lower_case(struct seen *seen, const char *host)
{
	char *name = arena_copy(&seen->arena, str_of(host));

	for (char *at = name; at != NULL && *at != '\0'; at++)
		*at = str_lower(*at);
	return str_of(name);
}

static void remember_hosts(const struct site_config *site, struct seen *seen, struct problems *problems)
{
	for (unsigned i = 0; i < site->hosts.count; i++) {
		struct str host = lower_case(seen, site->hosts.at[i]);

		if (host.at == NULL || names_add(&seen->hosts, host) == NAMES_NO_MEMORY) {
			out_of_memory(problems);
			return;
		}
	}
}

/* A host in two sites, or two default sites: which one would answer? */
static void check_hosts(struct site_config *site, struct seen *seen, struct problems *problems)
{
	const struct schema *schema = schema_of("sites");

	if (site->hosts.at == NULL && seen->default_site)
		problems_add(problems, "%s: this is a second site without hosts; only one can be the default",
			     origin_of(schema, site, "routes"));
	seen->default_site |= site->hosts.at == NULL;
	for (unsigned i = 0; i < site->hosts.count; i++)
		if (names_has(&seen->hosts, lower_case(seen, site->hosts.at[i])))
			problems_add(problems, "%s: host \"%s\" belongs to another site already",
				     origin_of(schema, site, "hosts"), site->hosts.at[i]);
	remember_hosts(site, seen, problems);
}

/* "/a" and "/a/" are the same match. */
static struct str match_of(const struct route_config *route)
{
	struct str match = str_of(route->match);

	while (match.len > 0 && match.at[match.len - 1] == '/')
		match.len--;
	return match;
}

static void check_routes(const struct site_config *site, struct problems *problems)
{
	const struct schema *schema = setting_find(schema_of("sites"), NULL, "routes")->of;
	enum names_result result = NAMES_NEW;
	struct names matches = { 0 };

	for (unsigned i = 0; i < site->routes.count && result != NAMES_NO_MEMORY; i++) {
		struct route_config *route = config_route(site, i);

		result = names_add(&matches, match_of(route));
		if (result == NAMES_KNOWN)
			problems_add(problems, "%s: match \"%s\" is in this site already",
				     origin_of(schema, route, "match"), route->match);
	}
	if (result == NAMES_NO_MEMORY)
		out_of_memory(problems);
	names_free(&matches);
}

static void check_sites(const struct config *config, struct problems *problems)
{
	struct seen seen = { 0 };

	for (unsigned i = 0; i < config->sites.count; i++) {
		check_hosts(config_site(config, i), &seen, problems);
		check_routes(config_site(config, i), problems);
	}
	names_free(&seen.hosts);
	arena_free(&seen.arena);
}

void config_check(const struct config *config, struct problems *problems)
{
	check_listen(config, problems);
	check_sites(config, problems);
	if (config->user == NULL && config->group != NULL)
		problems_add(problems, "%s: group without user",
			     origin_of(&config_schema, (void *)(uintptr_t)config, "group"));
}

static bool find_group(const char *name, unsigned *gid, struct err *err)
{
	struct group *found;

	errno = 0;
	found = getgrnam(name);
	if (found == NULL)
		return err_set(err, "group \"%s\": %s", name, errno != 0 ? strerror(errno) : "no such group");
	*gid = found->gr_gid;
	return true;
}

bool config_identity(const struct config *config, struct config_identity *identity, struct err *err)
{
	const char *name = config->user != NULL ? config->user : "nobody";
	struct config_identity found = { .change = true };
	struct passwd *user;

	if (geteuid() != 0 && config->user != NULL)
		return err_set(
			err,
			"user \"%s\": workers can change their user only when drover is started as root;"
			" leave user and group out",
			name);
	if (geteuid() != 0) {
		*identity = (struct config_identity){ .uid = geteuid(), .gid = getegid() };
		return true;
	}
	errno = 0;
	user = getpwnam(name);
	if (user == NULL)
		return err_set(err, "user \"%s\": %s", name, errno != 0 ? strerror(errno) : "no such user");
	found.uid = user->pw_uid;
	found.gid = user->pw_gid;
	snprintf(found.name, sizeof(found.name), "%s", name);
	if (config->group != NULL && !find_group(config->group, &found.gid, err))
		return false;
	*identity = found;
	return true;
}
