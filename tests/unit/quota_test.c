/* quota_test.c - what clients take: who counts as whom, connections, rates, who makes room, several processes
 * at once. */
#include "net/quota.h"

#include "base/clock.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct quota *quota;
static struct quota_rules rules;
static struct quota_excess excess;
static uint64_t now = 1000 * CLOCK_S;

static void create(void)
{
	struct err err;
	int memory = -1;

	quota = quota_create(&memory, &err);
	fd_close(&memory);
	ck_assert_ptr_nonnull(quota);
	rules = (struct quota_rules){
		.wanted = true,
		.ipv4_bits = { 32, 24 },
		.ipv6_bits = { 64, 48 },
		.limits = { { .connections = 3 }, { 0 } },
	};
}

static void destroy(void)
{
	quota_destroy(quota);
}

static union peer peer(const char *text)
{
	union peer peer = { .family = AF_INET6 };

	if (strcmp(text, "unix") == 0)
		peer.family = AF_UNIX;
	else if (inet_pton(AF_INET, text, &peer.v4.sin_addr) == 1)
		peer.family = AF_INET;
	else
		ck_assert_int_eq(inet_pton(AF_INET6, text, &peer.v6.sin6_addr), 1);
	return peer;
}

static union peer numbered(unsigned number)
{
	union peer peer = { .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + number) } };

	return peer;
}

static struct quota_places find(const char *text)
{
	union peer client = peer(text);
	struct quota_places places;

	ck_assert(quota_find(quota, &rules, &client, now, &places));
	return places;
}

static bool enter(struct quota_places *places)
{
	return quota_enter(quota, &rules, places, false, &excess);
}

static bool enters(const char *text)
{
	struct quota_places places = find(text);

	return enter(&places);
}

static unsigned entered(const char *text, unsigned times)
{
	unsigned count = 0;

	while (times-- > 0)
		count += enters(text);
	return count;
}

static unsigned opened(const struct quota_places *places, enum quota_scope scope)
{
	return (unsigned)(quota->entries[places->at[scope] % QUOTA_ENTRIES].word & QUOTA_CONNECTIONS_MOST);
}

/* ---- who counts as whom ----------------------------------------------------------------------------- */

START_TEST(a_client_has_as_many_connections_as_it_may)
{
	ck_assert_uint_eq(entered("10.0.0.1", 5), 3);
	ck_assert_uint_eq(excess.scope, QUOTA_ADDRESS);
}
END_TEST

START_TEST(another_client_is_another)
{
	ck_assert_uint_eq(entered("10.0.0.1", 3), 3);
	ck_assert_uint_eq(entered("10.0.0.2", 3), 3);
}
END_TEST

START_TEST(a_port_makes_no_other_client)
{
	union peer client = peer("10.0.0.1");
	struct quota_places places, others;

	quota_find(quota, &rules, &client, now, &places);
	client.v4.sin_port = htons(1234);
	quota_find(quota, &rules, &client, now, &others);
	ck_assert_mem_eq(&places, &others, sizeof(places));
}
END_TEST

START_TEST(a_mapped_address_is_an_ipv4_address)
{
	ck_assert_uint_eq(entered("::ffff:10.0.0.1", 2), 2);
	ck_assert_uint_eq(entered("10.0.0.1", 2), 1);
}
END_TEST

START_TEST(an_ipv6_address_counts_with_those_of_its_prefix)
{
	ck_assert_uint_eq(entered("2001:db8:0:1::1", 2), 2);
	ck_assert_uint_eq(entered("2001:db8:0:1:ffff::2", 2), 1);
	ck_assert_uint_eq(entered("2001:db8:0:2::1", 2), 2);
}
END_TEST

START_TEST(a_prefix_may_end_within_a_byte)
{
	rules.ipv6_bits[QUOTA_ADDRESS] = 59;
	ck_assert_uint_eq(entered("2001:db8:0:20::1", 2), 2);
	ck_assert_uint_eq(entered("2001:db8:0:3f::1", 2), 1);
	ck_assert_uint_eq(entered("2001:db8:0:40::1", 2), 2);
}
END_TEST

START_TEST(a_network_counts_all_of_its_addresses)
{
	rules.limits[QUOTA_NETWORK].connections = 4;
	ck_assert_uint_eq(entered("10.0.0.1", 3) + entered("10.0.0.2", 3), 4);
	ck_assert_uint_eq(excess.scope, QUOTA_NETWORK);
	ck_assert(enters("10.0.1.1"));
}
END_TEST

START_TEST(an_address_and_the_network_of_just_it_are_counted_apart)
{
	struct quota_places places;

	rules.ipv4_bits[QUOTA_NETWORK] = 32;
	rules.limits[QUOTA_NETWORK].connections = 3;
	places = find("10.0.0.1");
	ck_assert(places.at[QUOTA_ADDRESS] != places.at[QUOTA_NETWORK]);
	ck_assert_uint_eq(entered("10.0.0.1", 5), 3);
}
END_TEST

START_TEST(exempt_clients_have_no_place)
{
	struct err err;
	struct cidr cidr;

	ck_assert(cidr_parse("10.0.0.0/8", &cidr, &err));
	rules.exempt = (struct networks){ .count = 1, .at = &cidr };
	ck_assert_uint_eq(entered("10.0.0.1", 5), 5);
	ck_assert_uint_eq(entered("::ffff:10.0.0.1", 5), 5);
	ck_assert_uint_eq(entered("11.0.0.1", 5), 3);
}
END_TEST

START_TEST(a_unix_socket_has_no_place)
{
	ck_assert_uint_eq(entered("unix", 5), 5);
}
END_TEST

START_TEST(without_a_limit_nothing_is_touched)
{
	const unsigned char *bytes = (const unsigned char *)quota->entries;

	rules.wanted = false;
	ck_assert_uint_eq(entered("10.0.0.1", 5), 5);
	rules.wanted = true;
	rules.limits[QUOTA_ADDRESS].connections = 0;
	ck_assert_uint_eq(entered("10.0.0.1", 5), 5);
	for (size_t i = 0; i < sizeof(quota->entries); i++)
		if (bytes[i] != 0)
			ck_abort_msg("byte %zu was written", i);
}
END_TEST

START_TEST(without_a_table_nobody_is_limited)
{
	struct quota_places places = { { 1 << 16, 0 }, 0 };
	union peer client = peer("10.0.0.1");

	ck_assert(quota_enter(NULL, &rules, &places, false, &excess));
	ck_assert_uint_eq(quota_request(NULL, &rules, &places, now).wait_ns, 0);
	ck_assert_uint_eq(quota_sent(NULL, &rules, &places, 1, now).wait_ns, 0);
	quota_leave(NULL, &places);
	quota_recount(NULL);
	ck_assert(quota_find(NULL, &rules, &client, now, &places));
	ck_assert_uint_eq(places.at[0], 0);
}
END_TEST

/* ---- connections ------------------------------------------------------------------------------------ */

START_TEST(one_that_leaves_makes_room_for_another)
{
	struct quota_places places = find("10.0.0.1");

	ck_assert_uint_eq(entered("10.0.0.1", 3), 3);
	ck_assert(!enters("10.0.0.1"));
	quota_leave(quota, &places);
	ck_assert_uint_eq(entered("10.0.0.1", 2), 1);
}
END_TEST

START_TEST(whom_the_network_refuses_takes_nothing_from_the_address)
{
	struct quota_places places = find("10.0.0.1");

	rules.limits[QUOTA_NETWORK].connections = 1;
	ck_assert_uint_eq(entered("10.0.0.1", 3), 1);
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 1);
}
END_TEST

START_TEST(force_adds_beyond_the_limit)
{
	struct quota_places places = find("10.0.0.1");

	entered("10.0.0.1", 3);
	ck_assert(!quota_enter(quota, &rules, &places, true, &excess));
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 4);
}
END_TEST

START_TEST(a_dry_run_says_so_and_adds)
{
	struct quota_places places = find("10.0.0.1");

	rules.dry_run = true;
	ck_assert_uint_eq(entered("10.0.0.1", 5), 3);
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 5);
}
END_TEST

START_TEST(leaving_twice_takes_nothing_from_nobody)
{
	struct quota_places places = find("10.0.0.1");

	enter(&places);
	quota_leave(quota, &places);
	quota_leave(quota, &places);
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 0);
	ck_assert_uint_eq(entered("10.0.0.1", 5), 3);
}
END_TEST

START_TEST(more_than_can_be_counted_are_not_counted)
{
	struct quota_places places = find("10.0.0.1");

	quota->entries[places.at[0] % QUOTA_ENTRIES].word |= QUOTA_CONNECTIONS_MOST;
	quota_enter(quota, &rules, &places, true, &excess);
	ck_assert_uint_eq(places.at[0], 0);
	places = find("10.0.0.1");
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), QUOTA_CONNECTIONS_MOST);
}
END_TEST

START_TEST(a_recount_begins_at_zero_and_what_began_before_takes_nothing_away)
{
	struct quota_places before = find("10.0.0.1"), after;

	ck_assert(enter(&before));
	quota_recount(quota);
	after = find("10.0.0.1");
	ck_assert_uint_eq(entered("10.0.0.1", 5), 3);
	quota_leave(quota, &before);
	ck_assert_uint_eq(opened(&after, QUOTA_ADDRESS), 3);
	quota_leave(quota, &after);
	ck_assert_uint_eq(opened(&after, QUOTA_ADDRESS), 2);
}
END_TEST

/* Its worker is about to add all of its connections again: this one would be there twice. */
START_TEST(what_was_found_before_a_recount_is_not_added_after_it)
{
	struct quota_places places = find("10.0.0.1");

	quota_recount(quota);
	ck_assert(enter(&places));
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 0);
	places.epoch = quota_epoch(quota);
	ck_assert(enter(&places));
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 1);
}
END_TEST

START_TEST(no_count_comes_to_life_again_with_the_number_of_its_epoch)
{
	struct quota_places places;

	entered("10.0.0.1", 3);
	for (unsigned i = 0; i < 256; i++)
		quota_recount(quota);
	places = find("10.0.0.1");
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 0);
	ck_assert_uint_eq(entered("10.0.0.1", 5), 3);
}
END_TEST

/* ---- who makes room --------------------------------------------------------------------------------- */

/* Fills the table; returns how many had room. */
static unsigned fill(unsigned from, unsigned clients, bool stay)
{
	unsigned count = 0;

	for (unsigned i = from; i < from + clients; i++) {
		union peer client = numbered(i);
		struct quota_places places;

		count += quota_find(quota, &rules, &client, now, &places);
		if (stay)
			quota_enter(quota, &rules, &places, true, &excess);
	}
	return count;
}

START_TEST(who_is_silent_makes_room_for_whoever_comes)
{
	ck_assert_uint_eq(fill(0, 4 * QUOTA_ENTRIES, false), 4 * QUOTA_ENTRIES);
}
END_TEST

START_TEST(who_has_a_connection_open_stays)
{
	struct quota_places places = find("192.0.2.1"), again;

	ck_assert(enter(&places));
	now += CLOCK_S;
	fill(0, 4 * QUOTA_ENTRIES, false);
	again = find("192.0.2.1");
	ck_assert_uint_eq(again.at[0], places.at[0]);
	ck_assert_uint_eq(opened(&again, QUOTA_ADDRESS), 1);
}
END_TEST

START_TEST(who_owes_stays_until_it_does_not)
{
	struct quota_places places;

	rules.limits[QUOTA_ADDRESS] = (struct quota_limit){ .request_ns = 10 * CLOCK_S };
	places = find("192.0.2.1");
	ck_assert_uint_eq(quota_request(quota, &rules, &places, now).wait_ns, 0);
	now += 9 * CLOCK_S;
	fill(0, 4 * QUOTA_ENTRIES, false);
	ck_assert_uint_eq(quota_request(quota, &rules, &places, now).wait_ns, CLOCK_S);
	now += 2 * CLOCK_S;
	fill(0, 4 * QUOTA_ENTRIES, false);
	ck_assert_uint_eq(quota_request(quota, &rules, &places, now).wait_ns, 0);
}
END_TEST

START_TEST(who_was_seen_last_stays_longest)
{
	struct quota_places places = find("192.0.2.1"), again;

	/* One in two sets gets another client each time: that one of them gets as many as it has places,
	 * is once in a hundred thousand runs. */
	for (unsigned i = 0; i < 64; i++) {
		now += CLOCK_S;
		fill(i * QUOTA_ENTRIES / 16, QUOTA_ENTRIES / 16, false);
		now += CLOCK_S;
		again = find("192.0.2.1");
		ck_assert_uint_eq(again.at[0], places.at[0]);
	}
}
END_TEST

START_TEST(for_whom_there_is_no_room_is_not_limited_and_it_is_said)
{
	unsigned had_room = fill(0, 4 * QUOTA_ENTRIES, true);
	struct quota_places places;
	union peer client = peer("192.0.2.1");

	ck_assert_uint_eq(had_room, QUOTA_ENTRIES);
	ck_assert(!quota_find(quota, &rules, &client, now, &places));
	ck_assert_uint_eq(places.at[0], 0);
	for (unsigned i = 0; i < 5; i++)
		ck_assert(enter(&places));
	quota_leave(quota, &places);
}
END_TEST

START_TEST(a_place_that_is_another_clients_by_now_counts_for_nobody)
{
	struct quota_places places = find("192.0.2.1");

	rules.limits[QUOTA_ADDRESS] = (struct quota_limit){ 1, CLOCK_S, 0, 1 };
	now += CLOCK_S;
	fill(0, 4 * QUOTA_ENTRIES, false);
	ck_assert_uint_eq(quota_request(quota, &rules, &places, now).wait_ns, 0);
	ck_assert_uint_eq(quota_request(quota, &rules, &places, now).wait_ns, 0);
	ck_assert_uint_eq(quota_sent(quota, &rules, &places, 100, now).wait_ns, 0);
	ck_assert(enter(&places));
	ck_assert_uint_eq(places.at[0], 0);
}
END_TEST

/* ---- the next image ---------------------------------------------------------------------------------- */

START_TEST(the_next_image_has_the_same_table)
{
	struct quota_places places;
	struct quota *first, *next;
	struct err err;
	int memory;

	destroy();
	first = quota = quota_create(&memory, &err);
	places = find("10.0.0.1");
	ck_assert(enter(&places));
	next = quota_resume(memory);
	ck_assert_ptr_nonnull(next);
	quota = next;
	ck_assert_uint_eq(find("10.0.0.1").at[0], places.at[0]);
	ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 1);
	quota_recount(next);
	ck_assert_uint_eq(quota_epoch(first), quota_epoch(next));
	quota_destroy(first);
	fd_close(&memory);
}
END_TEST

START_TEST(a_table_of_another_layout_is_not_taken)
{
	int memory = fd_memory("other", sizeof(struct quota));

	ck_assert_ptr_null(quota_resume(-1));
	ck_assert_ptr_null(quota_resume(memory));
	fd_close(&memory);
	memory = fd_memory("shorter", sizeof(struct quota) - 1);
	ck_assert_ptr_null(quota_resume(memory));
	fd_close(&memory);
}
END_TEST

/* ---- rates ------------------------------------------------------------------------------------------ */

static uint64_t request(const struct quota_places *places)
{
	struct quota_excess met = quota_request(quota, &rules, places, now);

	if (met.wait_ns > 0)
		excess = met;
	return met.wait_ns;
}

static unsigned requests(const struct quota_places *places, unsigned times)
{
	unsigned count = 0;

	while (times-- > 0)
		count += request(places) == 0;
	return count;
}

/* 10 a second, 5 at once. */
static void limit_requests(enum quota_scope scope)
{
	rules.limits[scope] = (struct quota_limit){
		.request_ns = CLOCK_S / 10,
		.burst_ns = 4 * (CLOCK_S / 10),
	};
}

START_TEST(a_burst_is_allowed_and_then_the_rate)
{
	struct quota_places places;

	limit_requests(QUOTA_ADDRESS);
	places = find("10.0.0.1");
	ck_assert_uint_eq(requests(&places, 20), 5);
	ck_assert_uint_eq(request(&places), CLOCK_S / 10);
	now += CLOCK_S / 10 - 1;
	ck_assert_uint_eq(request(&places), 1);
	now += 1;
	ck_assert_uint_eq(requests(&places, 20), 1);
	now += CLOCK_S / 5;
	ck_assert_uint_eq(requests(&places, 20), 2);
}
END_TEST

START_TEST(silence_saves_up_no_more_than_a_burst)
{
	struct quota_places places;

	limit_requests(QUOTA_ADDRESS);
	places = find("10.0.0.1");
	requests(&places, 20);
	now += 3600 * CLOCK_S;
	ck_assert_uint_eq(requests(&places, 20), 5);
}
END_TEST

START_TEST(whom_the_network_limits_takes_nothing_from_the_address_and_the_other_way_round)
{
	struct quota_places places, others;

	limit_requests(QUOTA_ADDRESS);
	limit_requests(QUOTA_NETWORK);
	places = find("10.0.0.1");
	others = find("10.0.0.2");
	ck_assert_uint_eq(requests(&places, 3), 3);
	ck_assert_uint_eq(requests(&others, 20), 2);
	ck_assert_uint_eq(excess.scope, QUOTA_NETWORK);
	rules.limits[QUOTA_NETWORK].request_ns = 0;
	ck_assert_uint_eq(requests(&others, 20), 3);
	ck_assert_uint_eq(excess.scope, QUOTA_ADDRESS);
}
END_TEST

START_TEST(a_dry_run_limits_as_the_real_one_does)
{
	struct quota_places places;

	rules.dry_run = true;
	limit_requests(QUOTA_ADDRESS);
	places = find("10.0.0.1");
	ck_assert_uint_eq(requests(&places, 20), 5);
	now += CLOCK_S / 10;
	ck_assert_uint_eq(requests(&places, 20), 1);
}
END_TEST

/* A reload raised the limit: what was owed under the lower one is owed as under this one, from now on. */
START_TEST(whoever_owes_by_a_lower_limit_is_served_by_the_higher_one)
{
	struct quota_places places;

	rules.limits[QUOTA_ADDRESS] = (struct quota_limit){ .request_ns = CLOCK_S, .burst_ns = 99 * CLOCK_S };
	places = find("10.0.0.1");
	ck_assert_uint_eq(requests(&places, 200), 100);
	limit_requests(QUOTA_ADDRESS);
	ck_assert_uint_eq(request(&places), CLOCK_S / 10);
	now += CLOCK_S / 10;
	ck_assert_uint_eq(requests(&places, 20), 1);
	now += CLOCK_S;
	ck_assert_uint_eq(requests(&places, 20), 5);
}
END_TEST

/* Of a worker whose turn began later than ours: nothing is given away. */
START_TEST(a_turn_that_began_earlier_takes_nothing_off_what_is_owed)
{
	struct quota_places places;

	limit_requests(QUOTA_ADDRESS);
	places = find("10.0.0.1");
	ck_assert_uint_eq(requests(&places, 20), 5);
	now -= CLOCK_S / 2;
	ck_assert_uint_eq(request(&places), CLOCK_S / 10);
	now += CLOCK_S / 2;
	ck_assert_uint_eq(request(&places), CLOCK_S / 10);
}
END_TEST

START_TEST(a_time_that_cannot_be_is_no_longer_wait_than_can_be)
{
	struct quota_places places;

	limit_requests(QUOTA_ADDRESS);
	places = find("10.0.0.1");
	quota->entries[places.at[0] % QUOTA_ENTRIES].due_ns[0] = UINT64_MAX;
	ck_assert_uint_eq(request(&places), CLOCK_S / 10);
	now += CLOCK_S;
	rules.limits[QUOTA_ADDRESS].bandwidth = 1000;
	quota->entries[places.at[0] % QUOTA_ENTRIES].due_ns[1] = UINT64_MAX;
	ck_assert_uint_eq(quota_sent(quota, &rules, &places, 1, now).wait_ns, QUOTA_PAUSE_MOST_NS);
	now += QUOTA_PAUSE_MOST_NS;
	ck_assert_uint_eq(quota_sent(quota, &rules, &places, 1, now).wait_ns, CLOCK_MS);
}
END_TEST

START_TEST(what_was_sent_beyond_the_first_second_is_waited_for)
{
	struct quota_places places;

	rules.limits[QUOTA_ADDRESS] = (struct quota_limit){ .bandwidth = 1000 };
	rules.limits[QUOTA_NETWORK] = (struct quota_limit){ .bandwidth = 1250 };
	places = find("10.0.0.1");
	ck_assert_uint_eq(quota_sent(quota, &rules, &places, 1000, now).wait_ns, 0);
	excess = quota_sent(quota, &rules, &places, 500, now);
	ck_assert_uint_eq(excess.wait_ns, CLOCK_S / 2);
	ck_assert_uint_eq(excess.scope, QUOTA_ADDRESS);
	places = find("10.0.0.2");
	excess = quota_sent(quota, &rules, &places, 300, now);
	ck_assert_uint_eq(excess.wait_ns, 440 * CLOCK_MS);
	ck_assert_uint_eq(excess.scope, QUOTA_NETWORK);
	now += 2 * CLOCK_S;
	ck_assert_uint_eq(quota_sent(quota, &rules, &places, 600, now).wait_ns, 0);
}
END_TEST

START_TEST(the_largest_send_at_any_rate_is_counted_without_overflow)
{
	struct quota_places places;

	rules.limits[QUOTA_ADDRESS] = (struct quota_limit){ .bandwidth = UINT64_C(100) << 30 };
	places = find("10.0.0.1");
	ck_assert_uint_eq(quota_sent(quota, &rules, &places, UINT64_MAX, now).wait_ns, 0);
	rules.limits[QUOTA_ADDRESS].bandwidth = 1;
	ck_assert_uint_eq(quota_sent(quota, &rules, &places, UINT64_MAX, now).wait_ns, QUOTA_PAUSE_MOST_NS);
}
END_TEST

START_TEST(bytes_and_requests_are_owed_apart)
{
	struct quota_places places;

	limit_requests(QUOTA_ADDRESS);
	rules.limits[QUOTA_ADDRESS].bandwidth = 1000;
	places = find("10.0.0.1");
	quota_sent(quota, &rules, &places, 100000, now);
	ck_assert_uint_eq(requests(&places, 20), 5);
}
END_TEST

/* ---- telling ---------------------------------------------------------------------------------------- */

START_TEST(a_client_is_told_of_once_in_a_while_for_each_limit)
{
	struct quota_places places = find("10.0.0.1");

	excess = (struct quota_excess){ QUOTA_CONNECTIONS, QUOTA_ADDRESS, 0 };
	ck_assert(quota_may_say(quota, &places, &excess, now));
	ck_assert(!quota_may_say(quota, &places, &excess, now));
	excess.kind = QUOTA_REQUESTS;
	ck_assert(quota_may_say(quota, &places, &excess, now));
	now += 10 * CLOCK_S;
	ck_assert(quota_may_say(quota, &places, &excess, now));
	excess.scope = QUOTA_NETWORK;   /* which it has no place in */
	ck_assert(!quota_may_say(quota, &places, &excess, now));
}
END_TEST

static unsigned lines(unsigned clients)
{
	unsigned count = 0;

	excess = (struct quota_excess){ QUOTA_CONNECTIONS, QUOTA_ADDRESS, 0 };
	for (unsigned i = 0; i < clients; i++) {
		union peer client = numbered(i);
		struct quota_places places;

		quota_find(quota, &rules, &client, now, &places);
		count += quota_may_say(quota, &places, &excess, now);
	}
	return count;
}

START_TEST(many_clients_are_told_of_so_many_a_second)
{
	ck_assert_uint_eq(lines(1000), QUOTA_SAY_MOST);
	now += 11 * CLOCK_S;
	ck_assert_uint_eq(lines(10), 10);
}
END_TEST

START_TEST(who_got_an_entry_just_now_was_not_told_of)
{
	struct quota_places places;

	for (unsigned i = 0; i < QUOTA_ENTRIES; i++)
		quota->entries[i].said_ns[QUOTA_CONNECTIONS] = now;
	places = find("10.0.0.1");
	excess = (struct quota_excess){ QUOTA_CONNECTIONS, QUOTA_ADDRESS, 0 };
	ck_assert(quota_may_say(quota, &places, &excess, now));
}
END_TEST

/* ---- several processes ------------------------------------------------------------------------------ */

enum { PROCESSES = 4, ROUNDS = 20000, CLIENTS = 24 };

/* Numbers that are the same every time. */
static unsigned next_number(unsigned *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void run_at_once(int (*work)(unsigned number))
{
	pid_t pids[PROCESSES];

	for (unsigned i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(work(i));
		ck_assert_int_gt(pids[i], 0);
	}
	for (unsigned i = 0; i < PROCESSES; i++) {
		int status = -1;

		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
}

/* Comes and goes, and looks at what all have open: never more than they may. */
static int come_and_go(unsigned number)
{
	struct quota_places open[CLIENTS][3];
	unsigned count[CLIENTS] = { 0 }, seed = number;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned who = next_number(&seed) % CLIENTS;
		union peer client = numbered(who);
		struct quota_places places;

		if (count[who] > 0 && next_number(&seed) % 2 == 0) {
			quota_leave(quota, &open[who][--count[who]]);
			continue;
		}
		if (!quota_find(quota, &rules, &client, now, &places))
			return 1;
		if (!enter(&places))
			continue;
		if (count[who] == 3 || places.at[0] == 0)
			return 2;
		open[who][count[who]++] = places;
		if (opened(&places, QUOTA_ADDRESS) > 3 || opened(&places, QUOTA_NETWORK) > 12)
			return 3;
	}
	for (unsigned who = 0; who < CLIENTS; who++)
		while (count[who] > 0)
			quota_leave(quota, &open[who][--count[who]]);
	return 0;
}

START_TEST(no_limit_is_exceeded_and_nothing_is_left_when_all_have_gone)
{
	struct quota_places places;

	rules.limits[QUOTA_NETWORK].connections = 12;
	run_at_once(come_and_go);
	for (unsigned i = 0; i < CLIENTS; i++) {
		union peer client = numbered(i);

		quota_find(quota, &rules, &client, now, &places);
		ck_assert_uint_eq(opened(&places, QUOTA_ADDRESS), 0);
	}
	ck_assert_uint_eq(opened(&places, QUOTA_NETWORK), 0);
}
END_TEST

static int stay(unsigned number)
{
	(void)number;
	for (unsigned i = 0; i < ROUNDS; i++) {
		union peer client = numbered(i % CLIENTS);
		struct quota_places places;

		if (!quota_find(quota, &rules, &client, now, &places))
			return 1;
		quota_enter(quota, &rules, &places, true, &excess);
	}
	return 0;
}

START_TEST(the_sum_is_what_all_have_added)
{
	struct quota_places places;
	unsigned sum = 0;

	rules.limits[QUOTA_NETWORK].connections = 1;
	run_at_once(stay);
	for (unsigned i = 0; i < CLIENTS; i++) {
		union peer client = numbered(i);

		quota_find(quota, &rules, &client, now, &places);
		sum += opened(&places, QUOTA_ADDRESS);
	}
	ck_assert_uint_eq(sum, PROCESSES * ROUNDS);
	ck_assert_uint_eq(opened(&places, QUOTA_NETWORK), PROCESSES * ROUNDS);
}
END_TEST

/* Each says by a counter of the table that it does not use how many it was allowed. */
static int ask(unsigned number)
{
	struct quota_places places = find("10.0.0.1");
	uint64_t allowed = 0;

	(void)number;
	for (unsigned i = 0; i < ROUNDS; i++)
		allowed += quota_request(quota, &rules, &places, now).wait_ns == 0;
	__atomic_fetch_add(&quota->unused[0], allowed, __ATOMIC_SEQ_CST);
	return 0;
}

START_TEST(all_together_get_one_burst)
{
	rules.limits[QUOTA_ADDRESS] = (struct quota_limit){ .request_ns = 1000, .burst_ns = 999 * 1000 };
	rules.limits[QUOTA_NETWORK] = (struct quota_limit){ .request_ns = 1000, .burst_ns = 1999 * 1000 };
	run_at_once(ask);
	ck_assert_uint_eq(quota->unused[0], 1000);
}
END_TEST

/* Of a table that is full of others: there are always some to replace, and those that one holds stay. */
static int crowd(unsigned number)
{
	struct quota_places held;
	union peer mine = numbered(0x800000 + number);

	if (!quota_find(quota, &rules, &mine, now, &held) || !enter(&held) || held.at[0] == 0)
		return 1;
	for (unsigned i = 0; i < 10 * ROUNDS; i++) {
		union peer client = numbered(i * 7 + number);
		struct quota_places places;

		if (!quota_find(quota, &rules, &client, now + i * 1000, &places))
			return 2;
		if (opened(&held, QUOTA_ADDRESS) != 1)
			return 3;
	}
	quota_leave(quota, &held);
	return 0;
}

START_TEST(entries_that_are_held_survive_a_crowd)
{
	run_at_once(crowd);
}
END_TEST

/* Recounts while others come and go: what is left at the end was added in the last epoch. */
static int recount_or_go(unsigned number)
{
	if (number > 0)
		return come_and_go(number) == 1;
	for (unsigned i = 0; i < 300; i++)
		quota_recount(quota);
	return 0;
}

START_TEST(a_recount_meanwhile_leaves_nothing_behind)
{
	run_at_once(recount_or_go);
	quota_recount(quota);
	for (unsigned i = 0; i < QUOTA_ENTRIES; i++)
		ck_assert_uint_eq(quota->entries[i].word & QUOTA_CONNECTIONS_MOST, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("quota");
	TCase *tests = tcase_create("quota");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, create, destroy);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_client_has_as_many_connections_as_it_may);
	tcase_add_test(tests, another_client_is_another);
	tcase_add_test(tests, a_port_makes_no_other_client);
	tcase_add_test(tests, a_mapped_address_is_an_ipv4_address);
	tcase_add_test(tests, an_ipv6_address_counts_with_those_of_its_prefix);
	tcase_add_test(tests, a_prefix_may_end_within_a_byte);
	tcase_add_test(tests, a_network_counts_all_of_its_addresses);
	tcase_add_test(tests, an_address_and_the_network_of_just_it_are_counted_apart);
	tcase_add_test(tests, exempt_clients_have_no_place);
	tcase_add_test(tests, a_unix_socket_has_no_place);
	tcase_add_test(tests, without_a_limit_nothing_is_touched);
	tcase_add_test(tests, without_a_table_nobody_is_limited);
	tcase_add_test(tests, one_that_leaves_makes_room_for_another);
	tcase_add_test(tests, whom_the_network_refuses_takes_nothing_from_the_address);
	tcase_add_test(tests, force_adds_beyond_the_limit);
	tcase_add_test(tests, a_dry_run_says_so_and_adds);
	tcase_add_test(tests, leaving_twice_takes_nothing_from_nobody);
	tcase_add_test(tests, more_than_can_be_counted_are_not_counted);
	tcase_add_test(tests, a_recount_begins_at_zero_and_what_began_before_takes_nothing_away);
	tcase_add_test(tests, what_was_found_before_a_recount_is_not_added_after_it);
	tcase_add_test(tests, no_count_comes_to_life_again_with_the_number_of_its_epoch);
	tcase_add_test(tests, who_is_silent_makes_room_for_whoever_comes);
	tcase_add_test(tests, who_has_a_connection_open_stays);
	tcase_add_test(tests, who_owes_stays_until_it_does_not);
	tcase_add_test(tests, who_was_seen_last_stays_longest);
	tcase_add_test(tests, for_whom_there_is_no_room_is_not_limited_and_it_is_said);
	tcase_add_test(tests, a_place_that_is_another_clients_by_now_counts_for_nobody);
	tcase_add_test(tests, the_next_image_has_the_same_table);
	tcase_add_test(tests, a_table_of_another_layout_is_not_taken);
	tcase_add_test(tests, a_burst_is_allowed_and_then_the_rate);
	tcase_add_test(tests, silence_saves_up_no_more_than_a_burst);
	tcase_add_test(tests, whom_the_network_limits_takes_nothing_from_the_address_and_the_other_way_round);
	tcase_add_test(tests, a_dry_run_limits_as_the_real_one_does);
	tcase_add_test(tests, whoever_owes_by_a_lower_limit_is_served_by_the_higher_one);
	tcase_add_test(tests, a_turn_that_began_earlier_takes_nothing_off_what_is_owed);
	tcase_add_test(tests, a_time_that_cannot_be_is_no_longer_wait_than_can_be);
	tcase_add_test(tests, what_was_sent_beyond_the_first_second_is_waited_for);
	tcase_add_test(tests, the_largest_send_at_any_rate_is_counted_without_overflow);
	tcase_add_test(tests, bytes_and_requests_are_owed_apart);
	tcase_add_test(tests, a_client_is_told_of_once_in_a_while_for_each_limit);
	tcase_add_test(tests, many_clients_are_told_of_so_many_a_second);
	tcase_add_test(tests, who_got_an_entry_just_now_was_not_told_of);
	tcase_add_test(tests, no_limit_is_exceeded_and_nothing_is_left_when_all_have_gone);
	tcase_add_test(tests, the_sum_is_what_all_have_added);
	tcase_add_test(tests, all_together_get_one_burst);
	tcase_add_test(tests, entries_that_are_held_survive_a_crowd);
	tcase_add_test(tests, a_recount_meanwhile_leaves_nothing_behind);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
