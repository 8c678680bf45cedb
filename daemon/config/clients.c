/* clients.c - the rules of clients.*. Called by listeners_prepare, in workers; fails when memory is out. */
#include "clients.h"

#include "listeners.h"

#include "base/clock.h"

/* A burst of n requests at once: the last of them is n - 1 ahead of its time. */
static struct quota_limit make_limit(const struct quota_config *config)
{
	unsigned burst = config->burst > 0 ? config->burst : config->requests;
	uint64_t request_ns = config->requests > 0 ? CLOCK_S / config->requests : 0;

	return (struct quota_limit){
		.connections = config->connections,
		.request_ns = request_ns,
		.burst_ns = burst > 0 ? (burst - 1) * request_ns : 0,
		.bandwidth = config->bandwidth,
	};
}

bool clients_prepare(struct generation *generation, struct err *err)
{
	const struct config *config = generation->config;
	struct quota_rules *rules = &generation->quota;

	*rules = (struct quota_rules){
		.dry_run = config->quota_dry_run,
		.ipv4_bits = { 32, config->network_ipv4 },
		.ipv6_bits = { config->ipv6_prefix, config->network_ipv6 },
	};
	for (unsigned scope = 0; scope < QUOTA_SCOPES; scope++) {
		const struct quota_limit *limit = &rules->limits[scope];

		rules->limits[scope] = make_limit(&config->quotas[scope]);
		rules->wanted |= limit->connections > 0 || limit->request_ns > 0 || limit->bandwidth > 0;
	}
	return listeners_networks(&config->quota_exempt, &generation->arena, &rules->exempt, err);
}
