/* rescue_test.c - what the master's looks do: when it sleeps, whom it asks, what it publishes.
 *
 * A master with two slots, whose workers are children that do nothing, lines that the test writes, and a real
 * listening socket. */
#include "master/arrivals.h"
#include "master/master.h"

#include "base/fd.h"
#include "config/generation.h"
#include "service/registry.h"

#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOTS = 2 };

static struct master *master;
static struct child children[SLOTS];
static int ends[SLOTS];                 /* the workers' ends of their channels */
static struct hot_line *lines[SLOTS];
static struct listener listener;
static struct listen_socket sockets[SLOTS];
static struct config config = { .stall_ns = 50 * CLOCK_MS, .hang_kill_ns = 500 * CLOCK_MS };
static struct generation *generation;
static struct timer end;

static bool (*awaited)(void);           /* NULL: only time passes */
static struct turn_end turn_end;

static void look_whether(struct turn_end *hook)
{
	(void)hook;
	if (awaited != NULL && awaited())
		loop_stop(&master->loop);
}

static void nothing(struct timer *timer, uint64_t now_ns)
{
	(void)timer, (void)now_ns;
}

static void start_child(unsigned slot)
{
	struct child *child = &children[slot];
	int pair[2];
	struct err err;

	*child = (struct child){ .master = master, .state = CHILD_SERVING, .slot = slot };
	child->deadline.fire = nothing;
	child->pid = fork();
	if (child->pid == 0)
		for (;;)
			pause();
	child->exit.fd = pidfd_open(child->pid, 0);
	ck_assert(channel_pair(pair, &err));
	child->channel.fd = pair[0];
	ends[slot] = pair[1];
	child->column = board_claim(master->board, &master->owners);
	lines[slot] = &master->hot->line[child->column];
	list_push_back(&master->children, &child->link);
	master->slots[slot].serving = child;
}

static void listen_at(struct listen_socket *socket_of)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	*socket_of = (struct listen_socket){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
					     .listening = true };
	ck_assert_int_eq(bind(socket_of->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(socket_of->fd, 16), 0);
}

static void set_up(void)
{
	static const char *const names[COUNTERS];
	static const struct master_setup setup = { .counter_names = names, .counters = COUNTERS };
	struct err err;

	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	master->board = board_create(names, COUNTERS, counter_levels, NULL, &err);
	master->hot = hot_create(&master->hot_fd, &err);
	ck_assert(loop_open(&master->loop, &err));
	generation = generation_new(1, service_schemas);
	generation->config = &config;
	master->current.generation = generation;
	master->slot_count = SLOTS;
	for (unsigned i = 0; i < SLOTS; i++) {
		start_child(i);
		listen_at(&sockets[i]);
	}
	listener = (struct listener){ .count = SLOTS, .sockets = sockets, .keep = true };
	list_push_back(&master->listeners, &listener.link);
	turn_end.run = look_whether;
	loop_at_turn_end(&master->loop, &turn_end);
	slots_publish(master);
	arrivals_watch(master);
}

static void tear_down(void)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		arrivals_unwatch(master, &sockets[i]);
		kill(children[i].pid, SIGKILL);
		waitpid(children[i].pid, NULL, 0);
		fd_close(&children[i].exit.fd);
		fd_close(&children[i].channel.fd);
		fd_close(&ends[i]);
		fd_close(&sockets[i].fd);
	}
	rescue_close(master);
	loop_close(&master->loop);
	board_destroy(master->board);
	hot_unmap(master->hot);
	fd_close(&master->hot_fd);
	generation_unpin(generation);
	free(master);
}

static void connect_to(unsigned slot)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	getsockname(sockets[slot].fd, (struct sockaddr *)&address, &len);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	/* left open: the queue keeps it; the process ends with the test */
}

/* In its place. */
static void accept_for(unsigned slot)
{
	int fd = accept4(sockets[slot].fd, NULL, NULL, SOCK_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	fd_close(&fd);
}

static void accept_from(unsigned slot)
{
	accept_for(slot);
	lines[slot]->accepted++;
	lines[slot]->turn_ns++;
}

static void stop_loop(struct timer *timer, uint64_t now_ns)
{
	(void)timer, (void)now_ns;
	loop_stop(&master->loop);
}

static void run_for(uint64_t ms)
{
	struct err err;

	master->loop.stopped = false;
	master->loop.now_ns = clock_now_ns();
	end.fire = stop_loop;
	loop_timer(&master->loop, &end, ms * CLOCK_MS);
	ck_assert(loop_run(&master->loop, &err));
}

static void run_until(bool (*condition)(void))
{
	if (condition())
		return;
	awaited = condition;
	run_for(10000);
	timer_cancel(&end);
	awaited = NULL;
	ck_assert(condition());
}

static bool looks(void)
{
	return timer_armed(&master->rescue.look);
}

static bool sleeps(void)
{
	return !looks();
}

static bool first_is_bad(void)
{
	return master->slots[0].bad;
}

static bool first_is_good(void)
{
	return !first_is_bad();
}

static bool hang_is_told(void)
{
	return master->slots[0].rescue.told;
}

static bool first_moves(void)
{
	return master->slots[0].rescue.hang.moved_ns != 0;
}

static bool nobody_waits(void)
{
	return !master->slots[0].rescue.queued;
}

static bool looks_on_after_three(void)
{
	return master->rescue.accepted == 3 && looks();
}

static bool first_is_asked(void)
{
	return master->slots[0].rescue.hang.silent;
}

static bool first_is_killed(void)
{
	return children[0].state == CHILD_KILLED;
}

static bool all_were_told(void)
{
	return master->rescue.common.told_ns != 0;
}

/* From one end to the other: a look would not be seen at the end alone, when it has armed sockets again. */
static void sleeps_for(uint64_t ms)
{
	awaited = looks;
	run_for(ms);
	timer_cancel(&end);
	awaited = NULL;
	ck_assert(sleeps());
}

/* How many messages of the type the worker of the slot was sent; the last COVER's content. */
static unsigned sent_to(unsigned slot, enum message_type type, struct slot_set *cover)
{
	struct message message;
	struct message_fds fds;
	unsigned count = 0;

	while (channel_receive(ends[slot], &message, &fds) == CHANNEL_MESSAGE) {
		count += message.type == (uint32_t)type;
		if (message.type == MESSAGE_COVER && cover != NULL)
			*cover = message.body.cover;
		channel_drop(&fds);
	}
	return count;
}

START_TEST(the_master_sleeps_when_nobody_comes)
{
	ck_assert_uint_eq(timers_next_ns(&master->loop.timers), UINT64_MAX);
	connect_to(0);
	run_until(looks);
	accept_from(0);
	run_until(sleeps);
	ck_assert_uint_eq(timers_next_ns(&master->loop.timers), UINT64_MAX);
	ck_assert(!master->slots[0].bad);
	connect_to(0);                  /* and wakes up again */
	run_until(looks);
}
END_TEST

START_TEST(a_slot_that_does_not_accept_is_covered)
{
	struct slot_set cover = { 0 };

	sent_to(1, MESSAGE_COVER, NULL);
	connect_to(0);
	run_until(first_is_bad);
	ck_assert(!master->slots[1].bad);
	ck_assert_uint_eq(master->hot->seat[0].good, 0);
	ck_assert_uint_eq(master->hot->seat[1].good, 1);
	ck_assert_uint_eq(sent_to(1, MESSAGE_COVER, &cover), 1);
	ck_assert(slot_set_has(&cover, 0));
}
END_TEST

/* It hung before anybody came, so that it is found by the first look of all. */
START_TEST(who_is_stopped_when_somebody_comes_is_covered_at_once)
{
	siginfo_t info;

	sent_to(1, MESSAGE_COVER, NULL);
	kill(children[0].pid, SIGSTOP);
	ck_assert_int_eq(waitid(P_PID, (id_t)children[0].pid, &info, WSTOPPED | WNOWAIT), 0);
	connect_to(1);
	run_until(looks);
	ck_assert(master->slots[0].bad);
	ck_assert_uint_eq(sent_to(1, MESSAGE_COVER, NULL), 1);
	kill(children[0].pid, SIGCONT);
}
END_TEST

START_TEST(everybody_that_is_good_looks_at_what_is_everybodys)
{
	listener.shared = true;
	sent_to(0, MESSAGE_LOOK, NULL);
	sent_to(1, MESSAGE_LOOK, NULL);
	lines[1]->holding = 1;
	connect_to(0);
	run_until(all_were_told);
	ck_assert_uint_eq(sent_to(0, MESSAGE_LOOK, NULL), 1);
	ck_assert_uint_eq(sent_to(1, MESSAGE_LOOK, NULL), 0);
	master->rescue.common.told_ns = 0;      /* as long as somebody waits */
	run_until(all_were_told);
	ck_assert_uint_eq(sent_to(0, MESSAGE_LOOK, NULL), 1);
	ck_assert(!master->slots[0].bad);
}
END_TEST

START_TEST(who_does_not_move_is_asked_and_then_ended)
{
	connect_to(0);
	run_until(first_is_bad);
	sent_to(0, MESSAGE_COVER, NULL);        /* a worker that moves would read it */
	run_until(first_is_asked);
	ck_assert_uint_ge(sent_to(0, MESSAGE_LOOK, NULL), 1);
	ck_assert_int_eq(children[0].state, CHILD_SERVING);
	run_until(first_is_killed);
	run_for(300);                   /* SIGABRT has a second */
	ck_assert_uint_eq(children[0].kills, 0);
}
END_TEST

START_TEST(while_a_transition_is_open_nobody_is_ended)
{
	master->transition.phase = PHASE_PREPARING;
	connect_to(0);
	run_until(first_is_bad);
	run_for(900);
	ck_assert_int_eq(children[0].state, CHILD_SERVING);
}
END_TEST

/* Nobody waits any more, and still it has to be seen; and told what it was not told meanwhile. */
START_TEST(who_moves_again_is_good_again)
{
	config.hang_kill_ns = 0;
	connect_to(0);
	run_until(first_is_bad);
	accept_for(0);
	sent_to(0, MESSAGE_COVER, NULL);
	children[0].behind = true;
	run_until(nobody_waits);
	lines[0]->turn_ns++;
	run_until(first_moves);
	ck_assert(master->slots[0].bad);        /* for a while still, but it can help others */
	ck_assert_uint_ge(sent_to(0, MESSAGE_COVER, NULL), 1);
	run_until(first_is_good);
	run_until(sleeps);
}
END_TEST

START_TEST(a_hang_and_its_end_are_told)
{
	struct news_event events[4];

	config.hang_kill_ns = 0;
	lines[0]->busy_since_ns = 1;
	connect_to(0);
	run_until(first_is_bad);
	master->board->column[BOARD_RETIRED].counters[COUNT_RESCUED] += 2;
	run_until(hang_is_told);
	accept_for(0);
	lines[0]->busy_since_ns = 0;
	lines[0]->turn_ns++;
	run_until(first_is_good);
	ck_assert_uint_eq(news_since(master->board, 0, events, 4), 2);
	ck_assert_uint_eq(events[0].kind, NEWS_HANG);
	ck_assert_uint_eq(events[0].slot, 0);
	ck_assert_uint_eq(events[1].kind, NEWS_RECOVERED);
	ck_assert_ptr_nonnull(strstr(events[1].text, "it moves again; 2 connections rescued"));
}
END_TEST

START_TEST(under_load_looks_go_on_instead_of_events)
{
	for (unsigned i = 0; i < 3; i++)
		connect_to(0);
	run_until(looks);
	for (unsigned i = 0; i < 3; i++)
		accept_from(0);
	run_until(looks_on_after_three);
	run_until(sleeps);
}
END_TEST

START_TEST(when_the_service_ends_nobody_is_looked_at)
{
	master->stop.draining = true;
	connect_to(0);
	sleeps_for(200);
	ck_assert(!master->slots[0].bad);
}
END_TEST

START_TEST(a_socket_that_is_shut_wakes_nobody)
{
	shutdown(sockets[0].fd, SHUT_RD);
	run_until(looks);
	run_until(sleeps);
	sleeps_for(200);
	ck_assert(!master->slots[0].bad);
}
END_TEST

START_TEST(what_cannot_be_watched_is_not)
{
	struct listen_socket *first = &sockets[0];
	int fd = first->fd;

	arrivals_unwatch(master, first);
	first->fd = -1;
	arrivals_watch(master);
	ck_assert_ptr_null(first->watch);
	first->fd = fd;
	arrivals_watch(master);
	ck_assert_ptr_nonnull(first->watch);
}
END_TEST

START_TEST(another_worker_in_the_seat_is_good)
{
	connect_to(0);
	run_until(first_is_bad);
	accept_from(0);
	children[1].slot = 0;
	master->slots[0].serving = &children[1];
	slots_publish(master);
	ck_assert(!master->slots[0].bad);
	ck_assert(!master->slots[0].rescue.hang.bad);
	ck_assert_uint_eq(master->hot->seat[0].good, 1);
	master->slots[0].serving = &children[0];
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rescue");
	TCase *tests = tcase_create("rescue");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, the_master_sleeps_when_nobody_comes);
	tcase_add_test(tests, a_slot_that_does_not_accept_is_covered);
	tcase_add_test(tests, who_is_stopped_when_somebody_comes_is_covered_at_once);
	tcase_add_test(tests, everybody_that_is_good_looks_at_what_is_everybodys);
	tcase_add_test(tests, who_does_not_move_is_asked_and_then_ended);
	tcase_add_test(tests, while_a_transition_is_open_nobody_is_ended);
	tcase_add_test(tests, who_moves_again_is_good_again);
	tcase_add_test(tests, a_hang_and_its_end_are_told);
	tcase_add_test(tests, under_load_looks_go_on_instead_of_events);
	tcase_add_test(tests, when_the_service_ends_nobody_is_looked_at);
	tcase_add_test(tests, a_socket_that_is_shut_wakes_nobody);
	tcase_add_test(tests, what_cannot_be_watched_is_not);
	tcase_add_test(tests, another_worker_in_the_seat_is_good);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
