/* watch_test.c - does a slot make progress, and is systemd's watchdog pinged then and only then?
 *
 * A master with one slot, a child that does nothing, a real listening socket, and a notify socket that the
 * test reads. */
#include "master/arrivals.h"
#include "master/master.h"
#include "master/notify.h"

#include "base/fd.h"
#include "net/conn.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { LIMIT_NS = 1000, PERIOD_US = 80000, TICKS = 6 };

/* ---- the decision ------------------------------------------------------------------------------------ */

static enum watch_verdict judge(struct watch_view view)
{
	return watch_judge(&view, LIMIT_NS);
}

START_TEST(who_waits_and_has_nothing_to_do_makes_progress)
{
	ck_assert_int_eq(judge((struct watch_view){ 0 }), WATCH_GOOD);
}
END_TEST

START_TEST(who_is_stopped_makes_none)
{
	ck_assert_int_eq(judge((struct watch_view){ .stopped = true, .accepted = true }), WATCH_STOPPED);
}
END_TEST

START_TEST(who_is_busy_up_to_the_limit_makes_progress)
{
	ck_assert_int_eq(judge((struct watch_view){ .busy_ns = LIMIT_NS }), WATCH_GOOD);
}
END_TEST

START_TEST(who_is_busy_for_longer_makes_none)
{
	ck_assert_int_eq(judge((struct watch_view){ .busy_ns = LIMIT_NS + 1, .accepted = true }), WATCH_BUSY);
}
END_TEST

START_TEST(who_leaves_a_queue_alone_from_one_look_to_the_next_makes_none)
{
	ck_assert_int_eq(judge((struct watch_view){ .queued = true, .queued_before = true }), WATCH_QUEUE);
}
END_TEST

START_TEST(a_queue_that_was_not_there_before_says_nothing)
{
	ck_assert_int_eq(judge((struct watch_view){ .queued = true }), WATCH_GOOD);
}
END_TEST

START_TEST(who_has_accepted_some_makes_progress)
{
	ck_assert_int_eq(
		judge((struct watch_view){ .queued = true, .queued_before = true, .accepted = true }),
		WATCH_GOOD);
}
END_TEST

START_TEST(who_must_not_accept_makes_progress)
{
	ck_assert_int_eq(judge((struct watch_view){ .queued = true, .queued_before = true, .holding = true }),
			 WATCH_GOOD);
}
END_TEST

START_TEST(who_hangs_and_is_ended_for_it_makes_progress)
{
	ck_assert_int_eq(judge((struct watch_view){ .stopped = true, .handled = true }), WATCH_GOOD);
	ck_assert_int_eq(judge((struct watch_view){ .queued = true, .queued_before = true, .handled = true }),
			 WATCH_GOOD);
}
END_TEST

/* ---- the ping ---------------------------------------------------------------------------------------- */

static struct master *master;
static struct child child;
static struct listener listener;
static struct listen_socket listening;
static struct hot_line *line;
static int notified;
static struct timer end;
static struct config config = { .stall_ns = CLOCK_S };
static struct generation generation = { .number = 1, .pins = 1, .config = &config };

static void open_notify_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "drover-watch-%d", (int)getpid());
	char name[64];

	snprintf(name, sizeof(name), "@drover-watch-%d", (int)getpid());
	setenv("NOTIFY_SOCKET", name, 1);
	notified = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(notified, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)),
			 0);
}

static void start_child(void)
{
	child = (struct child){ .master = master, .state = CHILD_SERVING, .channel.fd = -1 };
	child.pid = fork();
	if (child.pid == 0)
		for (;;)
			pause();
	child.exit.fd = pidfd_open(child.pid, 0);
	child.column = board_claim(master->board, &master->owners);
	line = &master->hot->line[child.column];
}

static void open_listener(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	listening = (struct listen_socket){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
					    .listening = true };
	ck_assert_int_eq(bind(listening.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listening.fd, 16), 0);
	listener = (struct listener){ .count = 1, .sockets = &listening, .keep = true };
	list_push_back(&master->listeners, &listener.link);
	arrivals_watch(master);
}

static void set_up(void)
{
	static const char *const names[COUNTERS];
	static const struct master_setup setup = { .counter_names = names, .counters = COUNTERS };
	char period[32];
	struct err err;

	snprintf(period, sizeof(period), "%d", PERIOD_US);
	setenv("WATCHDOG_USEC", period, 1);
	unsetenv("WATCHDOG_PID");
	open_notify_socket();
	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	master->board = board_create(names, COUNTERS, counter_levels, NULL, &err);
	master->hot = hot_create(&master->hot_fd, &err);
	ck_assert_ptr_nonnull(master->hot);
	ck_assert(loop_open(&master->loop, &err));
	master->slot_count = 1;
	master->current.generation = &generation;
	master->slots[0].serving = &child;
	start_child();
	open_listener();
}

static void tear_down(void)
{
	arrivals_unwatch(master, &listening);
	rescue_close(master);
	kill(child.pid, SIGKILL);
	waitpid(child.pid, NULL, 0);
	fd_close(&child.exit.fd);
	fd_close(&listening.fd);
	fd_close(&notified);
	loop_close(&master->loop);
	board_destroy(master->board);
	hot_unmap(master->hot);
	fd_close(&master->hot_fd);
	free(master);
}

static void connect_one(void)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	getsockname(listening.fd, (struct sockaddr *)&address, &len);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	/* left open: the queue keeps it; the process ends with the test */
}

static void stop_loop(struct timer *timer, uint64_t now_ns)
{
	(void)timer;
	(void)now_ns;
	loop_stop(&master->loop);
}

/* How many pings come in so many ticks. */
static unsigned pings(void)
{
	struct err err;
	char text[256];
	unsigned count = 0;

	watch_start(master);
	end.fire = stop_loop;
	loop_timer(&master->loop, &end, (uint64_t)PERIOD_US * 1000 / 4 * TICKS + PERIOD_US * 1000 / 8);
	ck_assert(loop_run(&master->loop, &err));
	for (ssize_t n = recv(notified, text, sizeof(text) - 1, 0); n > 0;
	     n = recv(notified, text, sizeof(text) - 1, 0)) {
		text[n] = '\0';
		count += strcmp(text, "WATCHDOG=1") == 0;
	}
	return count;
}

START_TEST(a_healthy_master_pings)
{
	ck_assert_uint_ge(pings(), 2);
}
END_TEST

START_TEST(a_slot_without_a_worker_is_no_reason)
{
	master->slots[0].serving = NULL;
	connect_one();
	ck_assert_uint_ge(pings(), 2);
}
END_TEST

START_TEST(a_worker_that_is_being_killed_is_no_reason)
{
	child.state = CHILD_KILLED;
	line->busy_since_ns = 1;
	ck_assert_uint_ge(pings(), 2);
}
END_TEST

START_TEST(a_busy_worker_stops_the_ping)
{
	line->busy_since_ns = 1;
	ck_assert_uint_eq(pings(), 0);
}
END_TEST

START_TEST(a_queue_that_nobody_takes_stops_the_ping)
{
	connect_one();
	ck_assert_uint_le(pings(), 1);  /* the first look only sees it */
}
END_TEST

START_TEST(a_common_queue_that_nobody_takes_stops_the_ping)
{
	listener.shared = true;
	connect_one();
	ck_assert_uint_le(pings(), 2);  /* the first look only learns what was accepted */
}
END_TEST

START_TEST(a_queue_that_must_wait_does_not)
{
	line->holding = 1;
	connect_one();
	ck_assert_uint_ge(pings(), 2);
}
END_TEST

START_TEST(a_queue_while_a_reload_is_open_does_not)
{
	master->transition.phase = PHASE_PREPARING;
	connect_one();
	ck_assert_uint_ge(pings(), 2);
}
END_TEST

START_TEST(a_stopped_worker_stops_the_ping)
{
	siginfo_t info;

	kill(child.pid, SIGSTOP);
	ck_assert_int_eq(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED | WNOWAIT), 0);
	ck_assert_uint_eq(pings(), 0);
}
END_TEST

START_TEST(a_board_full_of_lies_does_no_harm)
{
	memset(line, 0xff, sizeof(*line));
	ck_assert_uint_ge(pings(), 2);
}
END_TEST

START_TEST(without_a_watchdog_there_is_no_timer)
{
	unsetenv("WATCHDOG_USEC");
	watch_start(master);
	ck_assert_uint_eq(timers_next_ns(&master->loop.timers), UINT64_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("watch");
	TCase *decision = tcase_create("decision"), *ping = tcase_create("ping");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(decision, who_waits_and_has_nothing_to_do_makes_progress);
	tcase_add_test(decision, who_is_stopped_makes_none);
	tcase_add_test(decision, who_is_busy_up_to_the_limit_makes_progress);
	tcase_add_test(decision, who_is_busy_for_longer_makes_none);
	tcase_add_test(decision, who_leaves_a_queue_alone_from_one_look_to_the_next_makes_none);
	tcase_add_test(decision, a_queue_that_was_not_there_before_says_nothing);
	tcase_add_test(decision, who_has_accepted_some_makes_progress);
	tcase_add_test(decision, who_must_not_accept_makes_progress);
	tcase_add_test(decision, who_hangs_and_is_ended_for_it_makes_progress);
	tcase_add_checked_fixture(ping, set_up, tear_down);
	tcase_add_test(ping, a_healthy_master_pings);
	tcase_add_test(ping, a_slot_without_a_worker_is_no_reason);
	tcase_add_test(ping, a_worker_that_is_being_killed_is_no_reason);
	tcase_add_test(ping, a_busy_worker_stops_the_ping);
	tcase_add_test(ping, a_queue_that_nobody_takes_stops_the_ping);
	tcase_add_test(ping, a_common_queue_that_nobody_takes_stops_the_ping);
	tcase_add_test(ping, a_queue_that_must_wait_does_not);
	tcase_add_test(ping, a_queue_while_a_reload_is_open_does_not);
	tcase_add_test(ping, a_stopped_worker_stops_the_ping);
	tcase_add_test(ping, a_board_full_of_lies_does_no_harm);
	tcase_add_test(ping, without_a_watchdog_there_is_no_timer);
	suite_add_tcase(suite, decision);
	suite_add_tcase(suite, ping);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
