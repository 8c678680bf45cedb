/* steering_test.c - who gets a connection: by the program in the kernel, over hot lines that the test
 * makes up, and by CPU. Real sockets of one address, real connections, and which socket got them. Needs
 * CAP_BPF. */
#include "net/steering.h"

#include "base/clock.h"
#include "base/fd.h"
#include "net/hot.h"
#include "open_count.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/socket.h>

enum { MOST = 8, MANY = 200, BACKLOG = 1024, DEADLINE_MS = 10000, FIRST_LINE = 100 };
enum { NOBODY = 9999 };                 /* no machine has so many CPUs */

static struct hot *hot;
static int hot_fd = -1;
static struct steering steering = { -1, -1 };
static struct sockaddr_storage address; /* of the group */
static socklen_t address_len;
static int group[MOST];                 /* the slots' sockets */
static unsigned slots;
static unsigned got[MOST];              /* connections since count() */
static struct err err;

static const int families[] = { AF_INET, AF_INET6 };

#define GOOD(call) ck_assert_msg(call, "%s", err.text)

/* ---- a group of sockets ------------------------------------------------------------------------------ */

/* Another one for each test: nobody who looks whether a port of before still answers is counted here. */
static uint32_t own_loopback(void)
{
	return 0x7f800001U | ((uint32_t)getpid() & 0x7fff) << 8;
}

static void any_address(int family)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&address;

	memset(&address, 0, sizeof(address));
	address_len = family == AF_INET ? sizeof(*v4) : sizeof(*v6);
	if (family == AF_INET)
		*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(own_loopback()) };
	else
		*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
}

/* The first one's port is everybody's. */
static int bound_socket(void)
{
	int one = 1, fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, address_len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &address_len), 0);
	return fd;
}

static void open_group(int family, unsigned count)
{
	any_address(family);
	slots = count;
	for (unsigned i = 0; i < count; i++) {
		group[i] = bound_socket();
		ck_assert_int_eq(listen(group[i], BACKLOG), 0);
	}
}

static void close_group(void)
{
	for (unsigned i = 0; i < slots; i++)
		fd_close(&group[i]);
	slots = 0;
}

static void connect_one(void)
{
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, address_len), 0);
	fd_close(&fd);
}

static unsigned take_all(int fd)
{
	unsigned count = 0;

	for (int one = accept(fd, NULL, NULL); one >= 0; one = accept(fd, NULL, NULL)) {
		fd_close(&one);
		count++;
	}
	return count;
}

/* Until somebody has got one. */
static void wait_for_more(void)
{
	struct pollfd queues[MOST];

	for (unsigned i = 0; i < slots; i++)
		queues[i] = (struct pollfd){ .fd = group[i], .events = POLLIN };
	ck_assert_int_gt(poll(queues, slots, DEADLINE_MS), 0);
}

/* Who gets so many connections, all of them at once? */
static void count(unsigned connections)
{
	for (unsigned i = 0; i < connections; i++)
		connect_one();
	memset(got, 0, sizeof(got));
	for (unsigned all = 0; all < connections;) {
		wait_for_more();
		for (unsigned i = 0; i < slots; i++) {
			unsigned more = take_all(group[i]);

			got[i] += more;
			all += more;
		}
	}
}

static unsigned takers(void)
{
	unsigned some = 0;

	for (unsigned i = 0; i < slots; i++)
		some += got[i] > 0;
	return some;
}

/* ---- a group that is steered ------------------------------------------------------------------------- */

static struct hot_line *line(unsigned slot)
{
	return &hot->line[hot->seat[slot].line];
}

static uint64_t directed(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < slots; i++)
		sum += hot_directed(&hot->seat[i]);
	return sum;
}

/* Every worker waits; its column is not its slot. */
static void all_well(void)
{
	hot->slots = slots;
	hot->stall_ns = 50 * CLOCK_MS;
	for (unsigned i = 0; i < slots; i++)
		hot->seat[i] = (struct hot_seat){ .line = FIRST_LINE + i, .good = 1 };
}

static void good_are(unsigned set)
{
	for (unsigned i = 0; i < slots; i++)
		hot->seat[i].good = set >> i & 1;
}

static void load(void)
{
	hot_fd = steering_memory(&err);
	GOOD(hot_fd >= 0);
	hot = hot_map(hot_fd, &err);
	GOOD(hot != NULL);
	GOOD(steering_load(&steering, hot_fd, -1, &err));
}

/* All but the last `unseated` are in the array. */
static void steer(int family, unsigned count, unsigned unseated)
{
	open_group(family, count);
	load();
	all_well();
	for (unsigned i = 0; i < count - unseated; i++)
		GOOD(steering_seat(steering.array, i, group[i], &err));
	GOOD(steering_attach(steering.program, group[0], &err));
}

static void four(void)
{
	steer(AF_INET, 4, 0);
}

static void tear_down(void)
{
	close_group();
	steering_close(&steering);
	hot_unmap(hot);
	hot = NULL;
	fd_close(&hot_fd);
}

/* ---- who is chosen ----------------------------------------------------------------------------------- */

START_TEST(one_that_is_good_gets_all)
{
	uint64_t before_ns = clock_now_ns();

	steer(families[_i % 2], 4, 0);
	good_are(1U << _i / 2);
	count(MANY);
	ck_assert_uint_ge(hot->seat[_i / 2].directed_ns, before_ns);
	ck_assert_uint_eq(got[_i / 2], MANY);
	ck_assert_uint_eq(hot_directed(&hot->seat[_i / 2]), MANY);
	tear_down();
}
END_TEST

START_TEST(equals_share)
{
	four();
	count(MANY);
	for (unsigned i = 0; i < slots; i++) {
		ck_assert_uint_ge(got[i], MANY / 4 - 10);
		ck_assert_uint_le(got[i], MANY / 4 + 10);
		ck_assert_uint_eq(got[i], hot_directed(&hot->seat[i]));
	}
	tear_down();
}
END_TEST

/* 4 slots, one of which is not like the others; nobody else is worse. */
static void one_gets_none(void)
{
	count(MANY);
	ck_assert_uint_eq(got[1], 0);
	ck_assert_uint_eq(takers(), 3);
	tear_down();
}

static void one_gets_its_share(void)
{
	count(MANY);
	ck_assert_uint_ge(got[1], MANY / 4 - 10);
	tear_down();
}

START_TEST(who_is_not_good_gets_none)
{
	four();
	hot->seat[1].good = 0;
	one_gets_none();
}
END_TEST

START_TEST(who_holds_gets_none)
{
	four();
	line(1)->holding = 1;
	one_gets_none();
}
END_TEST

START_TEST(who_is_stalled_gets_none)
{
	four();
	line(1)->busy_since_ns = clock_now_ns() - 51 * CLOCK_MS;
	one_gets_none();
}
END_TEST

START_TEST(who_is_busy_for_a_while_gets_its_share)
{
	four();
	hot->stall_ns = 100 * CLOCK_S;
	line(1)->busy_since_ns = clock_now_ns() - CLOCK_S;
	one_gets_its_share();
}
END_TEST

START_TEST(who_is_busy_since_the_future_gets_its_share)
{
	four();
	line(1)->busy_since_ns = clock_now_ns() + 100 * CLOCK_S;
	one_gets_its_share();
}
END_TEST

START_TEST(who_has_more_connections_gets_none)
{
	four();
	line(1)->open = MANY;
	one_gets_none();
}
END_TEST

START_TEST(who_has_more_to_accept_gets_none)
{
	four();
	hot->seat[1].directed = 2 * MANY;
	line(1)->taken = MANY;
	one_gets_none();
}
END_TEST

START_TEST(what_was_directed_long_ago_keeps_nobody_away)
{
	four();
	hot->seat[1].directed = 2 * MANY;
	hot->seat[1].directed_ns = clock_now_ns() - 2 * CLOCK_S;
	count(MANY);
	ck_assert_uint_eq(got[1], 1);   /* which makes it news again */
	tear_down();
}
END_TEST

START_TEST(who_has_accepted_all_gets_its_share)
{
	four();
	hot->seat[1].directed = line(1)->taken = MANY;
	one_gets_its_share();
}
END_TEST

START_TEST(loads_beyond_all_bounds_do_not_wrap)
{
	four();
	line(1)->open = UINT64_MAX;
	hot->seat[1].directed = 1;
	one_gets_none();
}
END_TEST

START_TEST(who_says_that_it_took_more_than_there_was_gains_nothing)
{
	four();
	line(1)->taken = UINT64_MAX;
	line(1)->open = MANY;
	one_gets_none();
}
END_TEST

START_TEST(lines_full_of_lies_refuse_nobody)
{
	four();
	memset(hot->line, 0xff, sizeof(hot->line));
	memset(hot->seat, 0xff, sizeof(hot->seat));
	hot->slots = UINT32_MAX;
	count(MANY);
	tear_down();
}
END_TEST

START_TEST(the_next_good_one_has_those_of_bad_picks)
{
	steer(AF_INET, 8, 0);
	good_are(1U << 2 | 1U << 3);
	count(MANY);
	/* 30 of 56 picks are two bad ones, and from each of these 2 is the next good one */
	ck_assert_uint_eq(got[2] + got[3], MANY);
	ck_assert_uint_gt(got[2], got[3]);
	tear_down();
}
END_TEST

START_TEST(where_nobody_is_good_the_hash_chooses)
{
	four();
	good_are(0);
	count(MANY);
	ck_assert_uint_eq(directed(), 0);
	ck_assert_uint_eq(takers(), 4);
	tear_down();
}
END_TEST

START_TEST(where_there_are_no_slots_the_hash_chooses)
{
	four();
	hot->slots = 0;
	count(MANY);
	ck_assert_uint_eq(directed(), 0);
	ck_assert_uint_eq(takers(), 4);
	tear_down();
}
END_TEST

/* ---- sockets, arrays and programs -------------------------------------------------------------------- */

START_TEST(where_no_socket_is_the_hash_chooses_and_nothing_is_counted)
{
	steer(AF_INET, 4, 1);
	good_are(1U << 3);
	count(MANY);
	ck_assert_uint_eq(directed(), 0);
	ck_assert_uint_eq(takers(), 4);
	tear_down();
}
END_TEST

START_TEST(a_socket_that_is_gone_refuses_nobody)
{
	four();
	good_are(1U << 3);
	fd_close(&group[3]);
	slots = 3;
	count(MANY);
	ck_assert_uint_eq(takers(), 3);
	tear_down();
}
END_TEST

START_TEST(without_its_descriptors_the_program_goes_on)
{
	four();
	steering_close(&steering);
	good_are(1U << 3);
	count(MANY);
	ck_assert_uint_eq(got[3], MANY);
	tear_down();
}
END_TEST

START_TEST(a_detached_program_chooses_nobody)
{
	four();
	good_are(1U << 3);
	GOOD(steering_detach(group[2], &err));
	count(MANY);
	ck_assert_uint_eq(directed(), 0);
	ck_assert_uint_eq(takers(), 4);
	GOOD(steering_detach(group[1], &err));
	tear_down();
}
END_TEST

START_TEST(another_program_goes_on_with_the_same_array)
{
	struct steering next = { -1, -1 };

	four();
	good_are(1U << 3);
	GOOD(steering_load(&next, hot_fd, steering.array, &err));
	GOOD(steering_attach(next.program, group[1], &err));
	steering_close(&steering);
	steering_close(&next);
	count(MANY);
	ck_assert_uint_eq(got[3], MANY);
	tear_down();
}
END_TEST

START_TEST(listeners_share_the_hot_lines)
{
	four();
	count(MANY);
	close_group();
	steering_close(&steering);
	open_group(AF_INET6, 4);
	GOOD(steering_load(&steering, hot_fd, -1, &err));
	for (unsigned i = 0; i < 4; i++)
		GOOD(steering_seat(steering.array, i, group[i], &err));
	GOOD(steering_attach(steering.program, group[0], &err));
	count(MANY);
	ck_assert_uint_eq(directed(), 2 * MANY);
	tear_down();
}
END_TEST

START_TEST(a_socket_may_be_seated_again_but_not_elsewhere)
{
	four();
	GOOD(steering_seat(steering.array, 2, group[2], &err));
	ck_assert(!steering_seat(steering.array, 3, group[2], &err));
	ck_assert_str_eq(err.text, "put a socket into the array, slot 3: Device or resource busy");
	tear_down();
}
END_TEST

START_TEST(a_socket_that_does_not_listen_has_no_seat)
{
	int fd;

	four();
	fd = bound_socket();
	ck_assert(!steering_seat(steering.array, 5, fd, &err));
	ck_assert_str_eq(err.text, "put a socket into the array, slot 5: Invalid argument");
	fd_close(&fd);
	tear_down();
}
END_TEST

START_TEST(there_are_as_many_seats_as_slots)
{
	four();
	ck_assert(!steering_seat(steering.array, HOT_SLOTS, group[2], &err));
	tear_down();
}
END_TEST

START_TEST(all_descriptors_are_closed_by_exec_and_none_is_left)
{
	unsigned before = open_count();

	four();
	ck_assert_int_eq(fcntl(hot_fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(steering.program, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(steering.array, F_GETFD), FD_CLOEXEC);
	ck_assert_uint_eq(open_count(), before + 4 + 3);
	tear_down();
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

START_TEST(what_is_no_map_of_hot_lines_is_refused)
{
	unsigned before;

	four();
	before = open_count();
	ck_assert(!steering_load(&steering, steering.array, -1, &err));
	ck_assert(!steering_load(&steering, group[0], -1, &err));
	ck_assert(!steering_load(&steering, hot_fd, group[0], &err));
	ck_assert_ptr_eq(strstr(err.text, "load the steering program: "), err.text);
	ck_assert_uint_eq(open_count(), before);
	ck_assert(!steering_attach(hot_fd, group[0], &err));
	tear_down();
}
END_TEST

START_TEST(fresh_hot_lines_know_their_version)
{
	load();
	ck_assert_uint_eq(hot->version, HOT_VERSION);
	ck_assert_uint_eq(hot->slots, 0);
	ck_assert(steering_built());
	tear_down();
}
END_TEST

/* ---- privileges -------------------------------------------------------------------------------------- */

static bool is_in_effect(void)
{
	cap_t mine = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	ck_assert_int_eq(cap_get_flag(mine, CAP_BPF, CAP_EFFECTIVE, &value), 0);
	cap_free(mine);
	return value == CAP_SET;
}

/* From now on this one capability is permitted and none is in effect, or none at all. */
static void keep_only(bool bpf)
{
	cap_value_t one = CAP_BPF;
	cap_t kept = cap_init();

	if (bpf)
		ck_assert_int_eq(cap_set_flag(kept, CAP_PERMITTED, 1, &one, CAP_SET), 0);
	ck_assert_int_eq(cap_set_proc(kept), 0);
	cap_free(kept);
}

START_TEST(cap_bpf_alone_is_enough_and_is_in_effect_for_moments_only)
{
	keep_only(true);
	four();
	ck_assert(!is_in_effect());
	count(MANY);
	ck_assert_uint_eq(directed(), MANY);
	good_are(1U << 2);
	count(MANY);
	ck_assert_uint_eq(got[2], MANY);
	tear_down();
}
END_TEST

#define MISSING                                                                                        \
	"CAP_BPF is missing, without which a busy worker gets as many new connections as an idle one: set"  \
	" AmbientCapabilities=CAP_BPF in the unit, or start as root "

START_TEST(without_cap_bpf_the_reason_and_what_it_costs_are_said)
{
	four();
	keep_only(false);
	ck_assert_int_eq(steering_memory(&err), -1);
	ck_assert_str_eq(err.text,
			 MISSING "(tell the kernel which workers are busy: Operation not permitted)");
	ck_assert(!steering_load(&steering, hot_fd, -1, &err));
	ck_assert_str_eq(err.text,
			 MISSING "(show the kernel the sockets to choose from: Operation not permitted)");
	ck_assert(!steering_load(&steering, hot_fd, steering.array, &err));
	ck_assert_str_eq(err.text, MISSING "(load the steering program: Operation not permitted)");
	tear_down();
}
END_TEST

START_TEST(attaching_and_detaching_take_no_privilege)
{
	four();
	keep_only(false);
	good_are(1U << 2);
	GOOD(steering_detach(group[0], &err));
	GOOD(steering_attach(steering.program, group[0], &err));
	count(MANY);
	ck_assert_uint_eq(got[2], MANY);
	tear_down();
}
END_TEST

/* ---- by CPU ------------------------------------------------------------------------------------------ */

static unsigned cpus[CPU_SETSIZE], cpu_count;   /* where this process may run */

static void find_cpus(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (unsigned i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			cpus[cpu_count++] = i;
}

/* A connection over the loopback device comes in on the CPU that it goes out from. */
static void run_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

START_TEST(each_cpu_has_its_slot)
{
	unsigned count_of = cpu_count < MOST ? cpu_count : MOST;

	open_group(families[_i], MOST);
	GOOD(steering_attach_cpu(group[0], cpus, cpu_count, count_of, &err));
	for (unsigned i = 0; i < count_of; i++) {
		run_on(cpus[i]);
		count(MANY);
		ck_assert_uint_eq(got[i], MANY);
	}
	close_group();
}
END_TEST

START_TEST(the_order_is_that_of_the_list)
{
	unsigned other[] = { NOBODY, NOBODY + 1, cpus[0] };

	open_group(AF_INET, 4);
	GOOD(steering_attach_cpu(group[0], other, 3, 3, &err));
	run_on(cpus[0]);
	count(MANY);
	ck_assert_uint_eq(got[2], MANY);
	close_group();
}
END_TEST

/* 5 slots of 2 CPUs: one has 0, 2 and 4, the other 1 and 3. */
START_TEST(slots_of_one_cpu_share)
{
	unsigned two[] = { _i == 0 ? cpus[0] : NOBODY, _i == 1 ? cpus[0] : NOBODY };

	open_group(AF_INET, 8);
	GOOD(steering_attach_cpu(group[0], two, 2, 5, &err));
	run_on(cpus[0]);
	count(MANY);
	for (unsigned i = 0; i < slots; i++)
		ck_assert_int_eq(got[i] > MANY / 8, i < 5 && i % 2 == (unsigned)_i);
	close_group();
}
END_TEST

START_TEST(a_cpu_without_a_slot_uses_another_ones)
{
	unsigned last = cpus[cpu_count - 1], others[] = { NOBODY, NOBODY + 1, last };
	unsigned among = (unsigned)_i;

	open_group(AF_INET, 4);
	GOOD(steering_attach_cpu(group[0], others, 3, among, &err));
	run_on(last);
	count(MANY);
	ck_assert_uint_eq(got[last % among], MANY);
	close_group();
}
END_TEST

START_TEST(as_many_cpus_as_slots_are_not_too_many)
{
	unsigned many[HOT_SLOTS];

	for (unsigned i = 0; i < HOT_SLOTS; i++)
		many[i] = i;
	open_group(AF_INET, 4);
	GOOD(steering_attach_cpu(group[0], many, HOT_SLOTS, HOT_SLOTS, &err));
	GOOD(steering_attach_cpu(group[0], many, HOT_SLOTS - 1, HOT_SLOTS, &err));
	count(MANY);
	GOOD(steering_detach(group[0], &err));
	count(MANY);
	ck_assert_uint_eq(takers(), 4);
	close_group();
}
END_TEST

START_TEST(without_cpus_or_slots_nothing_is_attached)
{
	open_group(AF_INET, 4);
	ck_assert(!steering_attach_cpu(group[0], cpus, 0, 4, &err));
	ck_assert(!steering_attach_cpu(group[0], cpus, 1, 0, &err));
	ck_assert(!steering_attach_cpu(group[0], cpus, 1, HOT_SLOTS + 1, &err));
	ck_assert(!steering_attach_cpu(hot_fd, cpus, 1, 4, &err));
	ck_assert_str_eq(err.text, "SO_ATTACH_REUSEPORT_CBPF: Bad file descriptor");
	close_group();
}
END_TEST

START_TEST(one_program_follows_the_other)
{
	four();
	good_are(1U << 3);
	GOOD(steering_attach_cpu(group[0], &cpus[0], 1, 1, &err));
	run_on(cpus[0]);
	count(MANY);
	ck_assert_uint_eq(got[0], MANY);
	GOOD(steering_attach(steering.program, group[0], &err));
	count(MANY);
	ck_assert_uint_eq(got[3], MANY);
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("steering");
	TCase *choice = tcase_create("who is chosen"), *programs = tcase_create("sockets, arrays, programs");
	TCase *privileges = tcase_create("privileges"), *by_cpu = tcase_create("by CPU");
	SRunner *runner = srunner_create(suite);
	int failed;

	find_cpus();
	suite_add_tcase(suite, choice);
	tcase_add_loop_test(choice, one_that_is_good_gets_all, 0, 8);
	tcase_add_test(choice, equals_share);
	tcase_add_test(choice, who_is_not_good_gets_none);
	tcase_add_test(choice, who_holds_gets_none);
	tcase_add_test(choice, who_is_stalled_gets_none);
	tcase_add_test(choice, who_is_busy_for_a_while_gets_its_share);
	tcase_add_test(choice, who_is_busy_since_the_future_gets_its_share);
	tcase_add_test(choice, who_has_more_connections_gets_none);
	tcase_add_test(choice, who_has_more_to_accept_gets_none);
	tcase_add_test(choice, what_was_directed_long_ago_keeps_nobody_away);
	tcase_add_test(choice, who_has_accepted_all_gets_its_share);
	tcase_add_test(choice, loads_beyond_all_bounds_do_not_wrap);
	tcase_add_test(choice, who_says_that_it_took_more_than_there_was_gains_nothing);
	tcase_add_test(choice, lines_full_of_lies_refuse_nobody);
	tcase_add_test(choice, the_next_good_one_has_those_of_bad_picks);
	tcase_add_test(choice, where_nobody_is_good_the_hash_chooses);
	tcase_add_test(choice, where_there_are_no_slots_the_hash_chooses);
	suite_add_tcase(suite, programs);
	tcase_add_test(programs, where_no_socket_is_the_hash_chooses_and_nothing_is_counted);
	tcase_add_test(programs, a_socket_that_is_gone_refuses_nobody);
	tcase_add_test(programs, without_its_descriptors_the_program_goes_on);
	tcase_add_test(programs, a_detached_program_chooses_nobody);
	tcase_add_test(programs, another_program_goes_on_with_the_same_array);
	tcase_add_test(programs, listeners_share_the_hot_lines);
	tcase_add_test(programs, a_socket_may_be_seated_again_but_not_elsewhere);
	tcase_add_test(programs, a_socket_that_does_not_listen_has_no_seat);
	tcase_add_test(programs, there_are_as_many_seats_as_slots);
	tcase_add_test(programs, all_descriptors_are_closed_by_exec_and_none_is_left);
	tcase_add_test(programs, what_is_no_map_of_hot_lines_is_refused);
	tcase_add_test(programs, fresh_hot_lines_know_their_version);
	suite_add_tcase(suite, privileges);
	tcase_add_test(privileges, cap_bpf_alone_is_enough_and_is_in_effect_for_moments_only);
	tcase_add_test(privileges, without_cap_bpf_the_reason_and_what_it_costs_are_said);
	tcase_add_test(privileges, attaching_and_detaching_take_no_privilege);
	suite_add_tcase(suite, by_cpu);
	tcase_add_loop_test(by_cpu, each_cpu_has_its_slot, 0, 2);
	tcase_add_test(by_cpu, the_order_is_that_of_the_list);
	tcase_add_loop_test(by_cpu, slots_of_one_cpu_share, 0, 2);
	tcase_add_loop_test(by_cpu, a_cpu_without_a_slot_uses_another_ones, 1, 3);
	tcase_add_test(by_cpu, as_many_cpus_as_slots_are_not_too_many);
	tcase_add_test(by_cpu, without_cpus_or_slots_nothing_is_attached);
	tcase_add_test(by_cpu, one_program_follows_the_other);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
