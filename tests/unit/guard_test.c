/* guard_test.c - whatever ends a new image, the old binary goes on with the state and the reason.
 *
 * A forked child plays the new image. The old binary is a shell, whose command line has it print what it
 * finds; it goes to a pipe that the test reads to its end. */
#include "master/guard.h"

#include "base/fd.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAID_BYTES = 4096, FORKED_STATUS = 7 };

static char print_variable[] = "printf %s \"$DROVER_UPGRADE\"";

static int state, said;         /* said: the writing end of the pipe, stdout of the image */

/* Runs `image` in a child, and `binary` when it rolls back; what was said by either. */
static char *outcome_with(const char *binary, char **argv, void (*image)(void), int *status)
{
	static char text[SAID_BYTES];
	int pipe_fds[2];
	size_t len = 0;
	pid_t pid;

	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct guard_plan plan = { .state_fd = state, .argv = argv };
		char variable[32];

		plan.kept_fd = open(binary, O_PATH | O_CLOEXEC);
		said = dup2(pipe_fds[1], STDOUT_FILENO);
		close(pipe_fds[1]);
		snprintf(variable, sizeof(variable), "%d:%d", plan.state_fd, plan.kept_fd);
		setenv(GUARD_VARIABLE, variable, 1);
		guard_arm(&plan);
		guard_step("restore", 20);
		image();
		_exit(99);
	}
	close(pipe_fds[1]);
	for (ssize_t n = 1; n > 0 && len < sizeof(text) - 1; len += n > 0 ? (size_t)n : 0)
		n = read(pipe_fds[0], text + len, sizeof(text) - 1 - len);
	text[len] = '\0';
	close(pipe_fds[0]);
	ck_assert_int_eq(waitpid(pid, status, 0), pid);
	return text;
}

/* The old binary does what `script` says. */
static char *outcome(void (*image)(void), char *script, int *status)
{
	static char shell[] = "sh", option[] = "-c";
	char *argv[] = { shell, option, script, NULL };

	return outcome_with("/bin/sh", argv, image, status);
}

static void make_state(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	state = memfd_create("state", 0);
	ck_assert_int_ge(state, 0);
}

static void forget_state(void)
{
	fd_close(&state);
}

/* ---- what is caught ---------------------------------------------------------------------------------- */

static void write_to_nothing(void)
{
	char *nothing = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*(volatile char *)nothing = 1;
}

/* Not a tail call, and every turn needs its bytes. */
static int fill_stack(int turns)
{
	volatile char bytes[1 << 16];

	bytes[0] = (char)turns;
	return turns > 0 ? fill_stack(turns - 1) + bytes[0] : 0;
}

static void use_up_the_stack(void)
{
	struct rlimit small = { 1 << 20, 1 << 20 };

	setrlimit(RLIMIT_STACK, &small);
	fill_stack(1000);
}

static void run_out_of_time(void)
{
	guard_step("restore", 1);
	for (;;)
		pause();
}

static void end_well(void)
{
	exit(0);
}

static void *crash(void *nothing)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	write_to_nothing();
	return nothing;
}

static void crash_in_a_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, crash, NULL);
	pthread_join(thread, NULL);
}

static void say_no(void)
{
	guard_roll_back("slot 3 did not become ready");
}

static void bus(void)
{
	raise(SIGBUS);
}

static void ill(void)
{
	raise(SIGILL);
}

static void fpe(void)
{
	raise(SIGFPE);
}

static const struct {
	const char *name;
	void (*image)(void);
	const char *why;
} ends[] = {
	{ "a write to nothing", write_to_nothing, "the new binary crashed (SEGV)" },
	{ "an endless recursion", use_up_the_stack, "the new binary crashed (SEGV)" },
	{ "abort", abort, "the new binary aborted (ABRT)" },
	{ "BUS", bus, "the new binary crashed (BUS)" },
	{ "ILL", ill, "the new binary crashed (ILL)" },
	{ "FPE", fpe, "the new binary crashed (FPE)" },
	{ "a hang", run_out_of_time, "the new binary did not get on within the time that this step has" },
	{ "exit", end_well, "the new binary ended" },
	{ "a crash of a thread that blocks everything", crash_in_a_thread, "the new binary crashed (SEGV)" },
	{ "a decision", say_no, "slot 3 did not become ready" },
};

START_TEST(the_old_binary_goes_on_and_knows_step_and_reason)
{
	char expected[256];
	int status;
	const char *text = outcome(ends[_i].image, print_variable, &status);

	snprintf(expected, sizeof(expected), "%d:failed:restore: %s", state, ends[_i].why);
	ck_assert_msg(strcmp(text, expected) == 0, "%s: %s", ends[_i].name, text);
	ck_assert_int_eq(status, 0);
}
END_TEST

static void long_story(void)
{
	static char story[8192];

	memset(story, 'x', sizeof(story) - 1);
	guard_roll_back(story);
}

START_TEST(a_reason_that_is_too_long_is_cut)
{
	int status;
	const char *text = outcome(long_story, print_variable, &status);

	ck_assert_uint_gt(strlen(text), 1000);
	ck_assert_uint_lt(strlen(text), 1200);
}
END_TEST

/* ---- how the old binary finds things ----------------------------------------------------------------- */

static char read_state[] = "cat /dev/fd/${DROVER_UPGRADE%%:*}";

static void crash_with_a_state(void)
{
	ck_assert(fd_write_all(state, "all that there is", 17));
	lseek(state, 0, SEEK_SET);
	raise(SIGSEGV);
}

START_TEST(the_old_binary_has_the_state)
{
	int status;

	ck_assert_str_eq(outcome(crash_with_a_state, read_state, &status), "all that there is");
}
END_TEST

static void crash_while_all_is_blocked(void)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigprocmask(SIG_SETMASK, &all, NULL);
	raise(SIGSEGV);
}

/* A shell would unblock them. */
START_TEST(nothing_stays_blocked_that_was_not)
{
	char grep[] = "grep", what[] = "^SigBlk", where[] = "/proc/self/status";
	char *argv[] = { grep, what, where, NULL };
	int status;

	ck_assert_str_eq(outcome_with("/bin/grep", argv, crash_while_all_is_blocked, &status),
			 "SigBlk:\t0000000000000000\n");
}
END_TEST

static char wait_for_alarm[] = "sleep 1.3; echo alive";

static void fail_before_the_alarm(void)
{
	guard_step("prepare", 1);
	guard_roll_back("no");
}

START_TEST(the_old_binary_is_not_alarmed)
{
	int status;

	ck_assert_str_eq(outcome(fail_before_the_alarm, wait_for_alarm, &status), "alive\n");
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- what is not guarded ----------------------------------------------------------------------------- */

static void fork_and_abort(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		abort();
	waitpid(pid, &status, 0);
	dprintf(said, "%s %d", WIFSIGNALED(status) ? "signal" : "exit", WTERMSIG(status));
	_exit(FORKED_STATUS);
}

START_TEST(a_forked_child_dies_of_its_signal)
{
	char expected[32];
	int status;

	snprintf(expected, sizeof(expected), "signal %d", SIGABRT);
	ck_assert_str_eq(outcome(fork_and_abort, print_variable, &status), expected);
	ck_assert_int_eq(WEXITSTATUS(status), FORKED_STATUS);
}
END_TEST

static void disarm_and_abort(void)
{
	guard_disarm();
	dprintf(said, "%s %d", getenv(GUARD_VARIABLE) == NULL ? "gone" : "there", guard_is_armed());
	abort();
}

START_TEST(disarmed_it_dies_of_its_signal)
{
	int status;

	ck_assert_str_eq(outcome(disarm_and_abort, print_variable, &status), "gone 0");
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGABRT);
}
END_TEST

static void disarm_and_exit(void)
{
	guard_disarm();
	guard_roll_back("too late");
	exit(FORKED_STATUS);
}

START_TEST(disarmed_it_ends_with_its_own_status)
{
	int status;

	ck_assert_str_eq(outcome(disarm_and_exit, print_variable, &status), "");
	ck_assert_int_eq(WEXITSTATUS(status), FORKED_STATUS);
}
END_TEST

static void disarm_and_look(void)
{
	int inheritable = dup(STDOUT_FILENO);

	guard_disarm();
	dprintf(said, "%d %d %d", fcntl(inheritable, F_GETFD), fcntl(state, F_GETFD), fcntl(said, F_GETFD));
	_exit(0);
}

START_TEST(disarmed_it_has_closed_the_state_and_leaks_nothing)
{
	int status;

	ck_assert_str_eq(outcome(disarm_and_look, print_variable, &status), "1 -1 0");
}
END_TEST

static void lose_the_kept_binary(void)
{
	close_range(STDERR_FILENO + 1, ~0U, 0);
	raise(SIGSEGV);
}

START_TEST(without_a_way_back_it_dies_of_its_signal)
{
	int status;

	ck_assert_str_eq(outcome(lose_the_kept_binary, print_variable, &status), "");
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
}
END_TEST

/* ---- the variable ------------------------------------------------------------------------------------ */

static const char *const nonsense[] = { "", ":", "1", "0:", ":1", "x:1", "1:x", "1:-1", "99999:1", "1:99999",
					"4294967297:1", "1:1 ", "failed:x", "1:faile:" };

START_TEST(a_variable_that_makes_no_sense_is_ignored_and_removed)
{
	struct guard_plan plan;

	setenv(GUARD_VARIABLE, nonsense[_i], 1);
	ck_assert_msg(!guard_begin(&plan, NULL), "%s", nonsense[_i]);
	ck_assert_ptr_null(getenv(GUARD_VARIABLE));
	ck_assert(!guard_is_armed());
}
END_TEST

START_TEST(without_a_variable_it_is_an_ordinary_start)
{
	struct guard_plan plan;

	unsetenv(GUARD_VARIABLE);
	ck_assert(!guard_begin(&plan, NULL));
	ck_assert(!guard_is_armed());
}
END_TEST

START_TEST(the_new_image_is_guarded)
{
	struct guard_plan plan;
	char text[32];

	snprintf(text, sizeof(text), "%d:%d", state, STDERR_FILENO);
	setenv(GUARD_VARIABLE, text, 1);
	ck_assert(guard_begin(&plan, NULL));
	ck_assert_int_eq(plan.state_fd, state);
	ck_assert_int_eq(plan.kept_fd, STDERR_FILENO);
	ck_assert_ptr_null(plan.failure);
	ck_assert(guard_is_armed());
	guard_disarm();
	state = -1;
}
END_TEST

START_TEST(the_old_image_is_not_guarded_and_knows_why_it_is_back)
{
	struct guard_plan plan;
	char text[64];

	snprintf(text, sizeof(text), "%d:failed:start: it: crashed", state);
	setenv(GUARD_VARIABLE, text, 1);
	ck_assert(guard_begin(&plan, NULL));
	ck_assert_int_eq(plan.state_fd, state);
	ck_assert_int_eq(plan.kept_fd, -1);
	ck_assert_str_eq(plan.failure, "start: it: crashed");
	ck_assert(!guard_is_armed());
	ck_assert_ptr_null(getenv(GUARD_VARIABLE));
}
END_TEST

/* ---- the leap ---------------------------------------------------------------------------------------- */

START_TEST(a_leap_that_fails_says_why_and_leaves_nothing_behind)
{
	char *argv[] = { NULL };
	struct guard_plan plan = { .state_fd = state, .kept_fd = dup(state), .argv = argv };
	int listed = dup(STDERR_FILENO);
	struct err err;

	guard_leap("/nonexistent/drover", &plan, &err);
	ck_assert_str_eq(err.text, "execute /nonexistent/drover: No such file or directory");
	ck_assert_ptr_null(getenv(GUARD_VARIABLE));
	ck_assert_int_eq(fcntl(state, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(plan.kept_fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(listed, F_GETFD), FD_CLOEXEC);
	close(plan.kept_fd);
	close(listed);
}
END_TEST

START_TEST(a_descriptor_that_is_not_open_fails_the_leap)
{
	char *argv[] = { NULL };
	struct guard_plan plan = { .state_fd = state, .kept_fd = -1, .argv = argv };
	struct err err;

	guard_leap("/bin/true", &plan, &err);
	ck_assert_str_eq(err.text, "what the new image needs: Bad file descriptor");
}
END_TEST

static void leap(void)
{
	char shell[] = "sh", option[] = "-c", script[] = "printf '%s ' $DROVER_UPGRADE /dev/fd/[0-9]*";
	char *argv[] = { shell, option, script, NULL };
	struct guard_plan plan = { .state_fd = state, .kept_fd = open("/bin/sh", O_PATH | O_CLOEXEC),
				   .argv = argv };
	struct err err;

	guard_disarm();
	plan.state_fd = memfd_create("next", MFD_CLOEXEC);
	dprintf(said, "%d:%d|", plan.state_fd, plan.kept_fd);
	guard_leap("/bin/sh", &plan, &err);
	dprintf(said, "%s", err.text);
}

START_TEST(the_next_image_finds_the_state_and_the_binary_before_it)
{
	char *text, *rest;
	int status;

	text = outcome(leap, print_variable, &status);
	rest = strchr(text, '|');
	ck_assert_ptr_nonnull(rest);
	*rest++ = '\0';
	ck_assert_msg(strncmp(rest, text, strlen(text)) == 0, "%s %s", text, rest);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guard");
	TCase *back = tcase_create("back"), *alone = tcase_create("alone"), *way = tcase_create("way");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(back, make_state, forget_state);
	tcase_add_checked_fixture(alone, make_state, forget_state);
	tcase_add_checked_fixture(way, make_state, forget_state);
	tcase_set_timeout(back, 60);
	tcase_add_loop_test(back, the_old_binary_goes_on_and_knows_step_and_reason, 0,
			    sizeof(ends) / sizeof(ends[0]));
	tcase_add_test(back, a_reason_that_is_too_long_is_cut);
	tcase_add_test(back, the_old_binary_has_the_state);
	tcase_add_test(back, nothing_stays_blocked_that_was_not);
	tcase_add_test(back, the_old_binary_is_not_alarmed);
	tcase_add_test(alone, a_forked_child_dies_of_its_signal);
	tcase_add_test(alone, disarmed_it_dies_of_its_signal);
	tcase_add_test(alone, disarmed_it_ends_with_its_own_status);
	tcase_add_test(alone, disarmed_it_has_closed_the_state_and_leaks_nothing);
	tcase_add_test(alone, without_a_way_back_it_dies_of_its_signal);
	tcase_add_loop_test(way, a_variable_that_makes_no_sense_is_ignored_and_removed, 0,
			    sizeof(nonsense) / sizeof(nonsense[0]));
	tcase_add_test(way, without_a_variable_it_is_an_ordinary_start);
	tcase_add_test(way, the_new_image_is_guarded);
	tcase_add_test(way, the_old_image_is_not_guarded_and_knows_why_it_is_back);
	tcase_add_test(way, a_leap_that_fails_says_why_and_leaves_nothing_behind);
	tcase_add_test(way, a_descriptor_that_is_not_open_fails_the_leap);
	tcase_add_test(way, the_next_image_finds_the_state_and_the_binary_before_it);
	suite_add_tcase(suite, back);
	suite_add_tcase(suite, alone);
	suite_add_tcase(suite, way);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
