/* loop_test.c - one turn of the event loop: events, timers, the ready list, the end of the turn. */
#include "base/loop.h"

#include "base/clock.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOG_BYTES = 256, MOST_TURNS = 100 };

#define STILL_NS (2 * CLOCK_S)          /* longer than the machine itself stands still */

static struct loop loop;
static char happened[LOG_BYTES];        /* a letter for everything that ran, a dot at the end of each turn */
static unsigned turns, stop_after;

static void note(char what)
{
	size_t len = strlen(happened);

	ck_assert_uint_lt(len, sizeof(happened) - 1);
	happened[len] = what;
}

struct probe {
	struct source source;
	char name;
	struct probe *removes;          /* another source, taken out when this one is handled */
	struct probe *adds_again;
	bool removes_itself;
};

static int signalled_fd(void)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void on_event(struct source *source, uint32_t events)
{
	struct probe *probe = LIST_ENTRY(source, struct probe, source);

	(void)events;
	note(probe->name);
	if (probe->removes != NULL)
		loop_remove(&loop, &probe->removes->source);
	if (probe->adds_again != NULL)
		ck_assert_int_eq(loop_add(&loop, &probe->adds_again->source, EPOLLIN), 0);
	if (probe->removes_itself)
		loop_remove(&loop, source);
}

static void add_probe(struct probe *probe, char name)
{
	probe->name = name;
	probe->source.fd = signalled_fd();
	probe->source.handle = on_event;
	ck_assert_int_eq(loop_add(&loop, &probe->source, EPOLLIN | EPOLLET), 0);
}

static void end_of_turn(struct turn_end *hook)
{
	(void)hook;
	note('.');
	if (++turns >= stop_after)
		loop_stop(&loop);
}

static struct turn_end turn_end = { .run = end_of_turn };

/* A thing that is always ready, so that no turn waits. */
static void serve_nothing(struct ready *ready)
{
	loop_ready(&loop, ready);
}

static struct ready busy = { .serve = serve_nothing };

static void open_loop(void)
{
	struct err err;

	happened[0] = '\0';
	ck_assert_msg(loop_open(&loop, &err), "%s", err.text);
	loop_at_turn_end(&loop, &turn_end);
	loop_ready(&loop, &busy);
}

static void run_turns(unsigned count)
{
	struct err err;

	ck_assert_uint_lt(count, MOST_TURNS);
	stop_after = turns + count;
	loop.stopped = false;
	ck_assert(loop_run(&loop, &err));
}

static void close_loop(void)
{
	loop_close(&loop);
}

/* ---- sources ------------------------ */

/* ---- what is lean ------------------------ */

static struct lean_probe {
	struct lean_source source;
	struct lean_timer timer;
	struct list ready;
	unsigned again;                 /* so often it is ready once more */
} lean;

static void on_lean_event(struct lean_source *source, uint32_t events)
{
	ck_assert_ptr_eq(source, &lean.source);
	ck_assert_uint_eq(events, EPOLLIN);
	note('e');
}

static void on_lean_timer(struct lean_timer *timer, uint64_t now_ns)
{
	ck_assert_ptr_eq(timer, &lean.timer);
	ck_assert_uint_eq(now_ns, loop.now_ns);
	note('t');
}

static void on_lean_ready(struct list *ready)
{
	ck_assert_ptr_eq(ready, &lean.ready);
	note('r');
	if (lean.again-- > 0)
		loop_ready_lean(&loop, ready);
}

static void open_lean(void)
{
	static const struct lean_handlers handlers = { on_lean_event, on_lean_timer, on_lean_ready };

	open_loop();
	loop_lean(&loop, &handlers);
	lean = (struct lean_probe){ .source = { .fd = signalled_fd(), .is_lean = true } };
}

START_TEST(what_is_lean_goes_by_the_handlers_of_the_loop)
{
	struct probe other = { 0 };

	loop_unready(&busy);            /* the turns wait for the timer */
	add_probe(&other, 'o');
	ck_assert_int_eq(loop_add_lean(&loop, &lean.source, EPOLLIN | EPOLLET), 0);
	ck_assert(lean.source.added);
	loop_timer_lean(&loop, &lean.timer, 0);
	loop_ready_lean(&loop, &lean.ready);
	loop_ready_lean(&loop, &lean.ready);
	while (timer_armed_lean(&lean.timer))
		run_turns(1);
	ck_assert_ptr_nonnull(strchr(happened, 'o'));
	ck_assert_ptr_nonnull(strchr(happened, 'e'));
	ck_assert_ptr_nonnull(strchr(happened, 't'));
	ck_assert_ptr_eq(strchr(happened, 'r'), strrchr(happened, 'r'));
}
END_TEST

START_TEST(what_is_lean_and_ready_is_served_once_a_turn_and_keeps_the_loop_awake)
{
	loop_unready(&busy);
	lean.again = 2;
	loop_ready_lean(&loop, &lean.ready);
	run_turns(3);
	ck_assert_str_eq(happened, "r.r.r.");
}
END_TEST

START_TEST(an_event_for_what_a_lean_source_was_is_dropped)
{
	ck_assert_int_eq(loop_add_lean(&loop, &lean.source, EPOLLIN | EPOLLET), 0);
	loop_forget_lean(&lean.source);
	run_turns(1);
	ck_assert_str_eq(happened, ".");
	loop_remove_lean(&loop, &lean.source);          /* not added any more: harmless */
	ck_assert(!lean.source.added);
}
END_TEST

START_TEST(an_event_reaches_its_source)
{
	struct probe a = { 0 };

	add_probe(&a, 'a');
	run_turns(1);
	ck_assert_str_eq(happened, "a.");
}
END_TEST

START_TEST(an_event_of_a_source_removed_in_the_same_batch_is_dropped)
{
	struct probe a = { 0 }, b = { 0 };

	add_probe(&a, 'a');
	add_probe(&b, 'b');
	a.removes = &b;
	b.removes = &a;                 /* whichever the kernel reports first */
	run_turns(2);
	ck_assert_uint_eq(strlen(happened), 3);
}
END_TEST

START_TEST(an_event_for_what_a_source_used_to_be_is_dropped)
{
	struct probe a = { 0 }, b = { 0 };

	add_probe(&a, 'a');
	add_probe(&b, 'b');
	a.removes = a.adds_again = &b;
	b.removes = b.adds_again = &a;
	run_turns(1);
	ck_assert_uint_eq(strlen(happened), 2); /* the other one's event was for its former life */
}
END_TEST

START_TEST(a_source_added_again_is_heard_in_the_next_turn)
{
	struct probe a = { 0 }, b = { 0 };

	add_probe(&a, 'a');
	add_probe(&b, 'b');
	a.removes = a.adds_again = &b;
	run_turns(2);
	ck_assert_ptr_nonnull(strchr(happened, 'b'));
}
END_TEST

START_TEST(a_source_may_remove_itself)
{
	struct probe a = { .removes_itself = true };

	add_probe(&a, 'a');
	run_turns(3);
	ck_assert_str_eq(happened, "a...");
}
END_TEST

START_TEST(a_removed_source_is_not_in_the_epoll_any_more)
{
	struct probe a = { 0 };

	add_probe(&a, 'a');
	loop_remove(&loop, &a.source);
	ck_assert_int_eq(epoll_ctl(loop.epoll_fd, EPOLL_CTL_DEL, a.source.fd, NULL), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(removing_twice_is_harmless)
{
	struct probe a = { 0 };

	add_probe(&a, 'a');
	loop_remove(&loop, &a.source);
	loop_remove(&loop, &a.source);
	ck_assert(!a.source.added);
}
END_TEST

START_TEST(removing_changes_the_tag)
{
	struct probe a = { 0 };
	uint16_t before;

	add_probe(&a, 'a');
	before = a.source.tag;
	loop_remove(&loop, &a.source);
	ck_assert_uint_ne(a.source.tag, before);
}
END_TEST

START_TEST(forgetting_changes_the_tag)
{
	struct source source = { .tag = UINT16_MAX, .added = true };

	loop_forget(&source);
	ck_assert_uint_eq(source.tag, 0);
	ck_assert(!source.added);
}
END_TEST

START_TEST(adding_a_bad_descriptor_says_why)
{
	struct source source = { .fd = -1, .handle = on_event };

	ck_assert_int_eq(loop_add(&loop, &source, EPOLLIN), EBADF);
	ck_assert(!source.added);
}
END_TEST

START_TEST(modifying_changes_what_is_listened_for)
{
	struct probe a = { 0 };

	add_probe(&a, 'a');
	ck_assert_int_eq(loop_modify(&loop, &a.source, 0), 0);
	run_turns(2);
	ck_assert_str_eq(happened, "..");
}
END_TEST

START_TEST(modifying_what_was_never_added_says_why)
{
	struct source source = { .fd = signalled_fd(), .handle = on_event };

	ck_assert_int_eq(loop_modify(&loop, &source, EPOLLIN), ENOENT);
}
END_TEST

/* ---- the ready list ------------------------ */

struct worker_bee {
	struct ready ready;
	char name;
	unsigned work;                  /* turns that it still needs */
	struct ready *drops;            /* taken off the list when this one is served */
};

static void serve(struct ready *ready)
{
	struct worker_bee *bee = LIST_ENTRY(ready, struct worker_bee, ready);

	note(bee->name);
	if (bee->drops != NULL)
		loop_unready(bee->drops);
	if (--bee->work > 0)
		loop_ready(&loop, ready);
}

START_TEST(who_is_ready_is_served_once_a_turn)
{
	struct worker_bee a = { { .serve = serve }, 'a', 3, NULL };

	loop_ready(&loop, &a.ready);
	run_turns(4);
	ck_assert_str_eq(happened, "a.a.a..");
}
END_TEST

START_TEST(those_who_are_ready_take_turns)
{
	struct worker_bee a = { { .serve = serve }, 'a', 3, NULL }, b = { { .serve = serve }, 'b', 2, NULL };

	loop_ready(&loop, &a.ready);
	loop_ready(&loop, &b.ready);
	run_turns(3);
	ck_assert_str_eq(happened, "ab.ab.a.");
}
END_TEST

START_TEST(being_ready_twice_is_being_ready_once)
{
	struct worker_bee a = { { .serve = serve }, 'a', 1, NULL };

	loop_ready(&loop, &a.ready);
	loop_ready(&loop, &a.ready);
	run_turns(2);
	ck_assert_str_eq(happened, "a..");
}
END_TEST

START_TEST(who_is_taken_off_the_ready_list_is_not_served)
{
	struct worker_bee a = { { .serve = serve }, 'a', 1, NULL };

	loop_ready(&loop, &a.ready);
	loop_unready(&a.ready);
	run_turns(1);
	ck_assert_str_eq(happened, ".");
}
END_TEST

START_TEST(who_is_taken_off_while_the_list_is_served_is_not_served)
{
	struct worker_bee b = { { .serve = serve }, 'b', 1, NULL },
			  a = { { .serve = serve }, 'a', 1, &b.ready };

	loop_ready(&loop, &a.ready);
	loop_ready(&loop, &b.ready);
	run_turns(2);
	ck_assert_str_eq(happened, "a..");
}
END_TEST

static struct worker_bee late_bee = { { .serve = serve }, 'z', 1, NULL };

static void make_ready(struct source *source, uint32_t events)
{
	(void)source;
	(void)events;
	note('e');
	loop_ready(&loop, &late_bee.ready);
}

START_TEST(who_gets_ready_in_a_turn_waits_for_the_next)
{
	struct source source = { .fd = signalled_fd(), .handle = make_ready };

	ck_assert_int_eq(loop_add(&loop, &source, EPOLLIN | EPOLLET), 0);
	run_turns(2);
	ck_assert_str_eq(happened, "e.z.");
}
END_TEST

/* ---- hooks, timers, stopping ------------------------ */

static void second_hook(struct turn_end *hook)
{
	(void)hook;
	note(';');
}

START_TEST(the_hooks_run_at_the_end_of_every_turn_in_the_order_of_their_registration)
{
	struct turn_end hook = { .run = second_hook };
	struct probe a = { 0 };

	loop_at_turn_end(&loop, &hook);
	add_probe(&a, 'a');
	run_turns(2);
	ck_assert_str_eq(happened, "a.;.;");
}
END_TEST

static void on_timer(struct timer *timer, uint64_t now_ns)
{
	(void)timer;
	(void)now_ns;
	note('t');
	loop_stop(&loop);
}

START_TEST(a_timer_fires_and_the_loop_waits_for_it)
{
	struct timer timer = { .fire = on_timer };
	uint64_t before = loop.now_ns;
	struct err err;

	stop_after = MOST_TURNS;
	loop_unready(&busy);
	loop_timer(&loop, &timer, 5 * CLOCK_MS);
	ck_assert(loop_run(&loop, &err));
	ck_assert_uint_ge(loop.now_ns, before + 5 * CLOCK_MS);
	ck_assert_uint_le(turns, 3);    /* it slept: a wake-up that is too early would spin */
}
END_TEST

/* A master that forks many workers in a turn: the last ones had no time left. */
START_TEST(in_a_long_turn_a_timer_may_count_from_now)
{
	struct timer early = { .fire = on_timer }, late = { .fire = on_timer };

	loop.now_ns -= CLOCK_S;         /* the turn began a second ago */
	timers_init(&loop.timers, loop.now_ns);
	loop_timer(&loop, &early, CLOCK_MS);
	loop_timer_from_now(&loop, &late, CLOCK_MS);
	ck_assert_uint_lt(early.due_ns, clock_now_ns());
	ck_assert_uint_ge(late.due_ns, loop.now_ns + CLOCK_S + CLOCK_MS);
	timer_cancel(&early);
	timer_cancel(&late);
}
END_TEST

START_TEST(the_turn_in_which_the_loop_is_stopped_is_finished)
{
	struct timer timer = { .fire = on_timer };
	struct err err;

	stop_after = MOST_TURNS;
	loop_unready(&busy);
	loop_timer(&loop, &timer, 0);
	ck_assert(loop_run(&loop, &err));
	ck_assert_int_eq(happened[strlen(happened) - 1], '.');
}
END_TEST

START_TEST(events_come_before_timers_and_timers_before_the_ready_list)
{
	struct worker_bee r = { { .serve = serve }, 'r', 1, NULL };
	struct timer timer = { .fire = on_timer };
	struct probe a = { 0 };

	add_probe(&a, 'a');
	loop_ready(&loop, &r.ready);
	loop.now_ns -= CLOCK_S;         /* so that it is due at once */
	timers_init(&loop.timers, loop.now_ns);
	loop_timer(&loop, &timer, CLOCK_MS);
	run_turns(1);
	ck_assert_str_eq(happened, "atr.");
}
END_TEST

static struct probe late = { .name = 'a' };
static uint64_t due_ns;

/* As if the process had been stopped meanwhile: something has come, and then a timer is due. */
static void stand_still(int number)
{
	const uint64_t one = 1;

	(void)number;
	ck_assert_int_eq(write(late.source.fd, &one, sizeof(one)), sizeof(one));
	while (clock_now_ns() < due_ns)
		poll(NULL, 0, 1);
}

START_TEST(so_they_do_when_the_wait_was_interrupted)
{
	const struct itimerval soon = { .it_value = { 0, 10000 } };
	struct timer timer = { .fire = on_timer };
	struct err err;
	uint64_t one;

	stop_after = MOST_TURNS;
	loop_unready(&busy);
	add_probe(&late, 'a');
	ck_assert_int_eq(read(late.source.fd, &one, sizeof(one)), sizeof(one));
	signal(SIGALRM, stand_still);
	loop_timer(&loop, &timer, STILL_NS);
	due_ns = timer.due_ns + 10 * CLOCK_MS;
	ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
	ck_assert(loop_run(&loop, &err));
	ck_assert_str_eq(happened, "at.");
}
END_TEST

START_TEST(the_time_is_read_once_a_turn)
{
	uint64_t before = clock_now_ns();

	run_turns(1);
	ck_assert_uint_ge(loop.now_ns, before);
	ck_assert_uint_le(loop.now_ns, clock_now_ns());
}
END_TEST

static uint64_t busy_since_ns, seen_ns;

static void look_busy(struct turn_end *hook)
{
	(void)hook;
	seen_ns = busy_since_ns;
}

START_TEST(a_turn_says_since_when_it_works)
{
	struct turn_end hook = { .run = look_busy };

	loop.busy_since_ns = &busy_since_ns;
	loop_at_turn_end(&loop, &hook);
	run_turns(1);
	ck_assert_uint_eq(seen_ns, loop.now_ns);
}
END_TEST

START_TEST(a_loop_that_waits_is_not_busy)
{
	uint64_t *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t end_ns = clock_now_ns() + 10 * CLOCK_S;
	struct err err;
	pid_t waits;

	*shared = 1;
	loop.busy_since_ns = shared;
	stop_after = MOST_TURNS;
	loop_unready(&busy);
	waits = fork();
	if (waits == 0)
		_exit(loop_run(&loop, &err));   /* nothing is registered: it waits for ever */
	while (*(volatile uint64_t *)shared != 0 && clock_now_ns() < end_ns)
		sched_yield();
	ck_assert_uint_eq(*shared, 0);
	kill(waits, SIGKILL);
	waitpid(waits, NULL, 0);
}
END_TEST

START_TEST(a_loop_whose_epoll_is_gone_says_so)
{
	struct err err;

	loop_close(&loop);
	ck_assert(!loop_run(&loop, &err));
	ck_assert_msg(strncmp(err.text, "epoll_wait: ", 12) == 0, "%s", err.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tests = tcase_create("loop"), *leans = tcase_create("lean");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, open_loop, close_loop);
	tcase_add_test(tests, an_event_reaches_its_source);
	tcase_add_test(tests, an_event_of_a_source_removed_in_the_same_batch_is_dropped);
	tcase_add_test(tests, an_event_for_what_a_source_used_to_be_is_dropped);
	tcase_add_test(tests, a_source_added_again_is_heard_in_the_next_turn);
	tcase_add_test(tests, a_source_may_remove_itself);
	tcase_add_test(tests, a_removed_source_is_not_in_the_epoll_any_more);
	tcase_add_test(tests, removing_twice_is_harmless);
	tcase_add_test(tests, removing_changes_the_tag);
	tcase_add_test(tests, forgetting_changes_the_tag);
	tcase_add_test(tests, adding_a_bad_descriptor_says_why);
	tcase_add_test(tests, modifying_changes_what_is_listened_for);
	tcase_add_test(tests, modifying_what_was_never_added_says_why);
	tcase_add_test(tests, who_is_ready_is_served_once_a_turn);
	tcase_add_test(tests, those_who_are_ready_take_turns);
	tcase_add_test(tests, being_ready_twice_is_being_ready_once);
	tcase_add_test(tests, who_is_taken_off_the_ready_list_is_not_served);
	tcase_add_test(tests, who_is_taken_off_while_the_list_is_served_is_not_served);
	tcase_add_test(tests, who_gets_ready_in_a_turn_waits_for_the_next);
	tcase_add_test(tests, the_hooks_run_at_the_end_of_every_turn_in_the_order_of_their_registration);
	tcase_add_test(tests, a_timer_fires_and_the_loop_waits_for_it);
	tcase_add_test(tests, the_turn_in_which_the_loop_is_stopped_is_finished);
	tcase_add_test(tests, in_a_long_turn_a_timer_may_count_from_now);
	tcase_add_test(tests, events_come_before_timers_and_timers_before_the_ready_list);
	tcase_add_test(tests, so_they_do_when_the_wait_was_interrupted);
	tcase_add_test(tests, the_time_is_read_once_a_turn);
	tcase_add_test(tests, a_turn_says_since_when_it_works);
	tcase_add_test(tests, a_loop_that_waits_is_not_busy);
	tcase_add_test(tests, a_loop_whose_epoll_is_gone_says_so);
	suite_add_tcase(suite, leans);
	tcase_add_checked_fixture(leans, open_lean, close_loop);
	tcase_add_test(leans, what_is_lean_goes_by_the_handlers_of_the_loop);
	tcase_add_test(leans, what_is_lean_and_ready_is_served_once_a_turn_and_keeps_the_loop_awake);
	tcase_add_test(leans, an_event_for_what_a_lean_source_was_is_dropped);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
