/* quota_say.c - the line that says which client met a limit. Called by the engine and by protocols; cannot
 * fail. */
#include "quota.h"

#include "base/clock.h"
#include "base/log.h"

#include <arpa/inet.h>

static const char *const kinds[QUOTA_KINDS] = {
	[QUOTA_CONNECTIONS] = "connections",
	[QUOTA_REQUESTS] = "requests",
	[QUOTA_BANDWIDTH] = "bandwidth",
};

static const char *const scopes[QUOTA_SCOPES] = {
	[QUOTA_ADDRESS] = "address",
	[QUOTA_NETWORK] = "network",
};

/* Without a port, which is another one each time. A client of a unix socket has no places. */
static void describe(const union peer *client, char text[INET6_ADDRSTRLEN])
{
	const struct in6_addr *v6 = &client->v6.sin6_addr;

	if (client->family == AF_INET)
		inet_ntop(AF_INET, &client->v4.sin_addr, text, INET6_ADDRSTRLEN);
	else if (IN6_IS_ADDR_V4MAPPED(v6))
		inet_ntop(AF_INET, v6->s6_addr + 12, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, v6, text, INET6_ADDRSTRLEN);
}

void quota_say(struct quota *quota, const struct quota_rules *rules, const struct quota_places *places,
	       const union peer *client, const struct quota_excess *excess)
{
	char text[INET6_ADDRSTRLEN];

	if (!quota_may_say(quota, places, excess, clock_now_ns()))
		return;
	describe(client, text);
	log_event(LEVEL_NOTICE, "client_limited", log_text("client", text),
		  log_text("limit", kinds[excess->kind]), log_text("scope", scopes[excess->scope]),
		  log_text("dry_run", rules->dry_run ? "yes" : "no"));
}
