/* quota_fuzz.c - the table of what clients take, first against a simple one: what is open is what was added
 * and not taken away, no limit is exceeded, rates hold. Then as memory that a hostile worker writes: every
 * call comes back, with answers in their range, and nothing outside of the table is touched.
 *
 * Input: the limits, then operations of four bytes. Operations behind the byte 0xff are on a table that has
 * what follows in it, again and again. */
#include "fuzz.h"

#include "base/clock.h"
#include "base/fd.h"
#include "net/quota.h"

#include <string.h>

enum { CLIENTS = 32, MOST_OPEN = 16 };

/* What is known of a client beside the table. */
struct known {
	struct quota_places open[MOST_OPEN];
	unsigned count;
};

struct world {
	struct quota *quota;
	struct quota_rules rules;
	struct known clients[CLIENTS];
	unsigned in_network[2];
	uint64_t now_ns;
};

static union peer peer(unsigned number)
{
	union peer peer = { .v4 = { .sin_family = AF_INET } };

	if (number % 4 == 3) {
		peer = (union peer){ .v6 = { .sin6_family = AF_INET6 } };
		peer.v6.sin6_addr.s6_addr[0] = 0x20;
		peer.v6.sin6_addr.s6_addr[7] = (uint8_t)number;
		return peer;
	}
	peer.v4.sin_addr.s_addr = htonl(0x0a000000 | number);
	return peer;
}

/* All of one family are of one network. */
static unsigned network_of(unsigned number)
{
	return number % 4 == 3;
}

static void limit(struct world *world, struct input *input)
{
	for (unsigned scope = 0; scope < QUOTA_SCOPES; scope++)
		world->rules.limits[scope] = (struct quota_limit){
			.connections = input_byte(input) % 8,
			.request_ns = input_byte(input) * CLOCK_MS,
			.burst_ns = input_byte(input) * CLOCK_MS,
			.bandwidth = input_byte(input) * 1000,
		};
	world->rules.wanted = true;
	world->rules.ipv4_bits[QUOTA_ADDRESS] = 32;
	world->rules.ipv4_bits[QUOTA_NETWORK] = 24;
	world->rules.ipv6_bits[QUOTA_ADDRESS] = 64;
	world->rules.ipv6_bits[QUOTA_NETWORK] = 48;
}

static void enter(struct world *world, unsigned number, bool force)
{
	const struct quota_limit *limits = world->rules.limits;
	struct known *known = &world->clients[number];
	unsigned *in_network = &world->in_network[network_of(number)];
	bool full = (limits[0].connections > 0 && known->count >= limits[0].connections) ||
		    (limits[1].connections > 0 && *in_network >= limits[1].connections);
	union peer client = peer(number);
	struct quota_places places;
	struct quota_excess excess;

	FUZZ_CHECK(quota_find(world->quota, &world->rules, &client, world->now_ns, &places));
	if (places.at[0] == 0 || places.at[1] == 0 || known->count == MOST_OPEN)
		return;         /* a scope without a limit is not counted */
	FUZZ_CHECK(quota_enter(world->quota, &world->rules, &places, force, &excess) != full);
	FUZZ_CHECK(places.at[0] != 0 && places.at[1] != 0);
	if (full && !force)
		return;
	known->open[known->count++] = places;
	(*in_network)++;
}

static void leave(struct world *world, unsigned number)
{
	struct known *known = &world->clients[number];

	if (known->count == 0)
		return;
	quota_leave(world->quota, &known->open[--known->count]);
	world->in_network[network_of(number)]--;
}

/* Each adds its own again. */
static void recount(struct world *world)
{
	struct quota_excess excess;

	quota_recount(world->quota);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct known *known = &world->clients[i];

		for (unsigned j = 0; j < known->count; j++) {
			quota_leave(world->quota, &known->open[j]);
			known->open[j].epoch = quota_epoch(world->quota);
			quota_enter(world->quota, &world->rules, &known->open[j], true, &excess);
			FUZZ_CHECK(known->open[j].at[0] != 0 && known->open[j].at[1] != 0);
		}
	}
}

/* What is refused now is allowed after the wait, and not before. */
static void request(struct world *world, unsigned number)
{
	union peer client = peer(number);
	struct quota_places places;
	struct quota_excess excess;

	quota_find(world->quota, &world->rules, &client, world->now_ns, &places);
	excess = quota_request(world->quota, &world->rules, &places, world->now_ns);
	if (excess.wait_ns == 0)
		return;
	world->now_ns += excess.wait_ns - 1;
	FUZZ_CHECK(quota_request(world->quota, &world->rules, &places, world->now_ns).wait_ns > 0);
	world->now_ns += 1;
	while (excess.wait_ns > 0) {    /* the other scope's may be longer */
		excess = quota_request(world->quota, &world->rules, &places, world->now_ns);
		world->now_ns += excess.wait_ns;
	}
}

static void sent(struct world *world, unsigned number, uint64_t bytes)
{
	union peer client = peer(number);
	struct quota_places places;
	struct quota_excess excess;

	quota_find(world->quota, &world->rules, &client, world->now_ns, &places);
	excess = quota_sent(world->quota, &world->rules, &places, bytes, world->now_ns);
	FUZZ_CHECK(excess.wait_ns <= QUOTA_PAUSE_MOST_NS);
	FUZZ_CHECK(excess.wait_ns == 0 || world->rules.limits[excess.scope].bandwidth > 0);
}

static void operate(struct world *world, const uint8_t *bytes)
{
	unsigned number = bytes[1] % CLIENTS;

	switch (bytes[0] % 8) {
	case 0:
	case 1:
		enter(world, number, false);
		break;
	case 2:
		enter(world, number, true);
		break;
	case 3:
	case 4:
		leave(world, number);
		break;
	case 5:
		request(world, number);
		break;
	case 6:
		sent(world, number, (uint64_t)bytes[2] << bytes[3] % 40);
		break;
	default:
		if (bytes[2] % 16 == 0)
			recount(world);
		world->now_ns += (uint64_t)bytes[3] << bytes[2] % 32;
		break;
	}
}

/* ---- hostile ---------------------------------------------------------------------------------------- */

static void fill(struct quota *quota, const uint8_t *bytes, size_t len)
{
	char *memory = (char *)quota;

	memcpy(memory, bytes, len);
	for (size_t more; len < sizeof(*quota); len += more) {
		more = len < sizeof(*quota) - len ? len : sizeof(*quota) - len;
		memcpy(memory + len, memory, more);
	}
}

static void check_wait(const struct world *world, const struct quota_excess *excess)
{
	const struct quota_limit *limit;

	FUZZ_CHECK(excess->scope < QUOTA_SCOPES);
	limit = &world->rules.limits[excess->scope];
	FUZZ_CHECK(excess->wait_ns <=
		   (excess->kind == QUOTA_REQUESTS ? limit->request_ns : QUOTA_PAUSE_MOST_NS));
}

/* With places that are anything, too. */
static void operate_blindly(struct world *world, const uint8_t *bytes)
{
	union peer client = peer(bytes[1]);
	struct quota_places places, wild = { { 0 }, bytes[0] };
	struct quota_excess excess = { 0 };

	memcpy(wild.at, bytes, sizeof(wild.at[0]));
	wild.at[1] = ~wild.at[0];
	quota_find(world->quota, &world->rules, &client, world->now_ns, &places);
	quota_enter(world->quota, &world->rules, &places, bytes[2] % 2 == 0, &excess);
	quota_enter(world->quota, &world->rules, &wild, bytes[3] % 2 == 0, &excess);
	excess = quota_request(world->quota, &world->rules, &wild, world->now_ns);
	check_wait(world, &excess);
	excess = quota_request(world->quota, &world->rules, &places, world->now_ns);
	check_wait(world, &excess);
	quota_may_say(world->quota, &places, &excess, world->now_ns);
	excess = quota_sent(world->quota, &world->rules, &places, UINT64_MAX >> bytes[3] % 64, world->now_ns);
	check_wait(world, &excess);
	quota_leave(world->quota, &places);
	quota_leave(world->quota, &wild);
}

static void check_nothing_is_open(struct world *world)
{
	for (unsigned i = 0; i < CLIENTS * QUOTA_SCOPES; i++) {
		union peer client = peer(i / QUOTA_SCOPES);
		struct quota_places places;
		uint32_t place;

		quota_find(world->quota, &world->rules, &client, world->now_ns, &places);
		place = places.at[i % QUOTA_SCOPES];
		FUZZ_CHECK(place == 0 || (world->quota->entries[place % QUOTA_ENTRIES].word &
					  QUOTA_CONNECTIONS_MOST) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct world *world = calloc(1, sizeof(*world));
	struct err err;
	int memory = -1;

	world->quota = quota_create(&memory, &err);
	fd_close(&memory);
	FUZZ_CHECK(world->quota != NULL);
	world->now_ns = 1000 * CLOCK_S;
	limit(world, &input);
	for (; input.len >= 4 && input.at[0] != 0xff; input_take(&input, 4))
		operate(world, input.at);
	for (unsigned i = 0; i < CLIENTS; i++)
		while (world->clients[i].count > 0)
			leave(world, i);
	check_nothing_is_open(world);
	if (input.len > 0) {
		fill(world->quota, input.at, input.len);
		for (; input.len >= 4; input_take(&input, 4))
			operate_blindly(world, input.at);
		quota_recount(world->quota);
	}
	quota_destroy(world->quota);
	free(world);
	return 0;
}
