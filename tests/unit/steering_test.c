/* steering_test.c - the choice of a slot by the program in the kernel, over hot lines that the test makes
 * up: real sockets of one address, real connections, and which socket got them. Needs CAP_BPF. */
#include "net/steering.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/privilege.h"
#include "net/hot.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { MOST = 8, MANY = 200, BACKLOG = 1024, STALL_NS = 50 * 1000 * 1000 };

static struct hot *hot;
static int hot_fd;
static struct steering steering;
static struct sockaddr_storage address; /* of the group */
static socklen_t address_len;
static int group[MOST];                 /* the slots' sockets */
static unsigned slots;
static unsigned got[MOST];              /* connections since count() */
static struct err err;

#define GOOD(call) ck_assert_msg(call, "%s", err.text)

/* ---- a group of sockets ------------------------------------------------------------------------------ */

/* Another loopback address for each test that runs beside this one costs nothing. */
static void any_address(int family)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&address;

	memset(&address, 0, sizeof(address));
	address_len = family == AF_INET ? sizeof(*v4) : sizeof(*v6);
	if (family == AF_INET)
		*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	else
		*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
}

/* The first one's port is everybody's. */
static int listening_socket(void)
{
	int one = 1, fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, address_len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &address_len), 0);
	ck_assert_int_eq(listen(fd, BACKLOG), 0);
	return fd;
}

static void open_group(int family, unsigned count)
{
	any_address(family);
	slots = count;
	for (unsigned i = 0; i < count; i++)
		group[i] = listening_socket();
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

/* A connection that connect(2) has ended is in some queue. */
static unsigned take_all(int fd)
{
	unsigned count = 0;

	for (int one = accept(fd, NULL, NULL); one >= 0; one = accept(fd, NULL, NULL)) {
		fd_close(&one);
		count++;
	}
	return count;
}

/* Who gets so many connections? */
static void count(unsigned connections)
{
	for (unsigned i = 0; i < connections; i++)
		connect_one();
	for (unsigned i = 0; i < slots; i++)
		got[i] = take_all(group[i]);
}

/* ---- a group that is steered ------------------------------------------------------------------------- */

static struct hot_line *line(unsigned slot)
{
	return &hot->line[hot->seat[slot].line];
}

/* Every worker waits; its column is not its slot. */
static void all_well(void)
{
	hot->slots = slots;
	hot->stall_ns = STALL_NS;
	for (unsigned i = 0; i < slots; i++)
		hot->seat[i] = (struct hot_seat){ .line = 100 + i, .good = 1 };
}

static void steer(int family, unsigned count)
{
	open_group(family, count);
	hot_fd = steering_memory(&err);
	GOOD(hot_fd >= 0);
	hot = hot_map(hot_fd, &err);
	GOOD(hot != NULL);
	GOOD(steering_load(&steering, hot_fd, -1, &err));
	all_well();
	for (unsigned i = 0; i < count; i++)
		GOOD(steering_seat(steering.array, i, group[i], &err));
	GOOD(steering_attach(steering.program, group[0], &err));
}

static void four(void)
{
	steer(AF_INET, 4);
}

static void tear_down(void)
{
	close_group();
	steering_close(&steering);
	hot_unmap(hot);
	fd_close(&hot_fd);
}

START_TEST(whoever_is_good_gets_all)
{
	for (unsigned i = 0; i < 4; i++)
		hot->seat[i].good = i == 2;
	count(MANY);
	ck_assert_uint_eq(got[2], MANY);
	ck_assert_uint_eq(hot->seat[2].directed, MANY);
}
END_TEST

START_TEST(who_holds_gets_none)
{
	line(2)->holding = 1;
	count(MANY);
	ck_assert_uint_eq(got[2], 0);
	ck_assert_uint_eq(got[0] + got[1] + got[3], MANY);
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
	ck_assert_uint_eq(got[0] + got[1] + got[2] + got[3], MANY);
	ck_assert_uint_eq(hot->seat[0].directed + hot->seat[1].directed + hot->seat[2].directed +
				  hot->seat[3].directed,
			  MANY);
	tear_down();
}
END_TEST

START_TEST(without_cap_bpf_the_reason_is_said)
{
	keep_only(false);
	ck_assert_int_eq(steering_memory(&err), -1);
	ck_assert_str_eq(err.text,
			 "create the hot lines in the kernel: CAP_BPF is needed (Operation not permitted)");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("steering");
	TCase *choice = tcase_create("the program's choice"), *privileges = tcase_create("privileges");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, choice);
	tcase_add_checked_fixture(choice, four, tear_down);
	tcase_add_test(choice, whoever_is_good_gets_all);
	tcase_add_test(choice, who_holds_gets_none);
	suite_add_tcase(suite, privileges);
	tcase_add_test(privileges, cap_bpf_alone_is_enough_and_is_in_effect_for_moments_only);
	tcase_add_test(privileges, without_cap_bpf_the_reason_is_said);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
