/* check.c - rules between settings.  Called by read.c; fails by adding problems. */
#include "check.h"

#include "net/addr.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

enum { CHECK_MAX_LISTEN = 128 };        /* CHANNEL_MAX_LISTENERS: what a worker can be told of */

static const char *origin_of(const struct schema *schema, void *instance, const char *name)
{
	for (unsigned i = 0; i < schema->count; i++) {
		const char *origin = *setting_origin(schema, instance, i);

		if (strcmp(schema->settings[i].name, name) == 0 && origin != NULL)
			return origin;
	}
	return "configuration:1:1";
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

	for (unsigned i = 0; i < config->listen.count; i++) {
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

static bool has_host(const struct site_config *site, const char *host)
{
	for (unsigned i = 0; i < site->hosts.count; i++)
		if (str_equal_nocase(str_of(site->hosts.at[i]), str_of(host)))
			return true;
	return false;
}

/* A host in two sites, or two default sites: which one would answer? */
static void check_hosts(const struct config *config, unsigned index, struct problems *problems)
{
	const struct schema *schema = schema_of("sites");
	struct site_config *site = config_site(config, index);

	for (unsigned before = 0; before < index; before++) {
		struct site_config *other = config_site(config, before);

		if (site->hosts.at == NULL && other->hosts.at == NULL)
			problems_add(problems,
				     "%s: this is a second site without hosts; only one can be the default",
				     origin_of(schema, site, "routes"));
		for (unsigned i = 0; i < site->hosts.count; i++)
			if (has_host(other, site->hosts.at[i]))
				problems_add(problems, "%s: host \"%s\" belongs to another site already",
					     origin_of(schema, site, "hosts"), site->hosts.at[i]);
	}
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

	for (unsigned i = 0; i < site->routes.count; i++)
		for (unsigned j = 0; j < i; j++)
			if (str_equal(match_of(config_route(site, i)), match_of(config_route(site, j))))
				problems_add(problems, "%s: match \"%s\" is in this site already",
					     origin_of(schema, config_route(site, i), "match"),
					     config_route(site, i)->match);
}

void config_check(const struct config *config, struct problems *problems)
{
	check_listen(config, problems);
	for (unsigned i = 0; i < config->sites.count; i++) {
		check_hosts(config, i, problems);
		check_routes(config_site(config, i), problems);
	}
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
