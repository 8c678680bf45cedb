/* check_clients.c - rules between the settings of clients.*: limits that say nothing, or not what is meant.
 * Called by check.c; fails by adding problems. */
#include "check.h"

#include <stdint.h>

/* Less than this is a mistake in the unit, and nobody would wait for its end. */
enum { LEAST_BANDWIDTH = 1024 };

static const char *place_of(const struct config *config, const char *setting)
{
	const char *origin = setting_origin_of(&config_schema, config, setting);

	return origin != NULL ? origin : "configuration:1:1";
}

static void check_burst(const struct config *config, enum quota_scope scope, struct problems *problems)
{
	static const char *const names[QUOTA_SCOPES][2] = {
		[QUOTA_ADDRESS] = { "clients.burst", "clients.requests" },
		[QUOTA_NETWORK] = { "clients.network_burst", "clients.network_requests" },
	};

	if (config->quotas[scope].burst > 0 && config->quotas[scope].requests == 0)
		problems_add(problems, "%s: %s without %s limits nothing",
			     place_of(config, names[scope][0]), names[scope][0], names[scope][1]);
}

static void check_bandwidth(const struct config *config, enum quota_scope scope, struct problems *problems)
{
	static const char *const names[QUOTA_SCOPES] = { "clients.bandwidth", "clients.network_bandwidth" };
	uint64_t bandwidth = config->quotas[scope].bandwidth;

	if (bandwidth > 0 && bandwidth < LEAST_BANDWIDTH)
		problems_add(problems, "%s: %s is less than 1k a second; 0 is without a limit",
			     place_of(config, names[scope]), names[scope]);
}

/* A network is its addresses together: with less than one of them may take, that one's limit says nothing. */
static void check_order(const struct config *config, struct problems *problems)
{
	const struct quota_config *one = &config->quotas[QUOTA_ADDRESS];
	const struct quota_config *all = &config->quotas[QUOTA_NETWORK];
	const struct {
		const char *one_name, *all_name;
		uint64_t one, all;
	} pairs[] = {
		{ "clients.connections", "clients.network_connections", one->connections, all->connections },
		{ "clients.requests", "clients.network_requests", one->requests, all->requests },
		{ "clients.burst", "clients.network_burst", one->burst, all->burst },
		{ "clients.bandwidth", "clients.network_bandwidth", one->bandwidth, all->bandwidth },
	};

	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i].all > 0 && pairs[i].all < pairs[i].one)
			problems_add(problems, "%s: %s is less than what one address may take: %s, at %s",
				     place_of(config, pairs[i].all_name), pairs[i].all_name,
				     pairs[i].one_name, place_of(config, pairs[i].one_name));
}

static bool limits_networks(const struct config *config)
{
	const struct quota_config *all = &config->quotas[QUOTA_NETWORK];

	return all->connections > 0 || all->requests > 0 || all->bandwidth > 0;
}

/* The place is that of what was written: one of the two may be a default. */
static void check_prefix(const struct config *config, struct problems *problems)
{
	bool given = setting_origin_of(&config_schema, config, "clients.network_ipv6") != NULL;

	if (limits_networks(config) && config->network_ipv6 > config->ipv6_prefix)
		problems_add(problems,
			     "%s: clients.network_ipv6 = %u is a part of one client:"
			     " clients.ipv6_prefix = %u",
			     place_of(config, given ? "clients.network_ipv6" : "clients.ipv6_prefix"),
			     config->network_ipv6, config->ipv6_prefix);
}

void check_clients(const struct config *config, struct problems *problems)
{
	for (enum quota_scope scope = 0; scope < QUOTA_SCOPES; scope++) {
		check_burst(config, scope, problems);
		check_bandwidth(config, scope, problems);
	}
	check_order(config, problems);
	check_prefix(config, problems);
}
