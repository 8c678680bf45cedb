/* candidate_test.c - what the installed binary does in a child, and what the master makes of it.
 *
 * Each "binary" is a shell script of the test's own, or a file that is none. */
#include "master/master.h"
#include "master/notify.h"
#include "unit/one_turn.h"

#include "base/fd.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct master *master;
static struct master_setup setup;
static char directory[] = "/tmp/drover-candidate-XXXXXX";
static int state;

static unsigned answers;
static char version[ERR_TEXT_BYTES], reason[ERR_TEXT_BYTES];

static void take_answer(struct master *of, const char *said, const char *why)
{
	ck_assert_ptr_eq(of, master);
	answers++;
	snprintf(version, sizeof(version), "%s", said != NULL ? said : "");
	snprintf(reason, sizeof(reason), "%s", said != NULL ? "" : why);
}

/* Puts a file where the binary is installed. */
static void install(const char *content, mode_t mode)
{
	int fd;

	fd = open(master->binary.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	ck_assert_int_ge(fd, 0);
	ck_assert(fd_write_all(fd, content, strlen(content)));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	fd_close(&fd);
}

static void start(void)
{
	struct err err;

	ck_assert_msg(candidate_start(master, state, take_answer, &err), "%s", err.text);
}

static void wait_for_answer(void)
{
	unsigned before = answers;

	while (answers == before)
		one_turn(&master->loop);
}

static void try(const char *script)
{
	install(script, 0700);
	start();
	wait_for_answer();
}

static void set_up(void)
{
	static char name[] = "drover", option[] = "-c", file[] = "/etc/drover.conf";
	static char *argv[] = { name, option, file, NULL };
	struct err err;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	setup.argv = argv;
	master = calloc(1, sizeof(*master));
	master->setup = &setup;
	master->candidate.output = master->candidate.exit.fd = -1;
	snprintf(master->binary.path, sizeof(master->binary.path), "%s/drover", directory);
	state = fd_sealed("state", "{}", 2, &err);
	ck_assert(loop_open(&master->loop, &err));
}

static void tear_down(void)
{
	candidate_forget(master);
	fd_close(&state);
	loop_close(&master->loop);
	unlink(master->binary.path);
	rmdir(directory);
	free(master);
}

/* ---- a good one -------------------------------------------------------------------------------------- */

START_TEST(one_that_says_that_it_could_take_over_is_taken)
{
	try("#!/bin/sh\necho a warning >&2\necho drover-candidate 0.2.0\n");
	ck_assert_str_eq(version, "0.2.0");
	ck_assert_int_eq(master->candidate.pid, 0);
}
END_TEST

START_TEST(it_has_the_command_line_and_the_option_behind_it)
{
	try("#!/bin/sh\necho drover-candidate \"$@\"\n");
	ck_assert_str_eq(version, "-c /etc/drover.conf --candidate");
}
END_TEST

START_TEST(it_finds_the_state_and_no_other_descriptor)
{
	int other AUTO_CLOSE = fcntl(state, F_DUPFD_CLOEXEC, 100);

	ck_assert_int_ge(other, 100);
	try("#!/bin/sh\nprintf 'drover-candidate '; cat /dev/fd/3; ls -m /proc/$$/fd\n");
	ck_assert_str_eq(version, "{}0, 1, 10, 2, 3");  /* 10: the script itself */
}
END_TEST

START_TEST(it_cannot_speak_to_systemd_and_blocks_no_signal)
{
	sigset_t set;

	setenv("NOTIFY_SOCKET", "/run/notify", 1);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	try("#!/bin/sh\necho drover-candidate $NOTIFY_SOCKET $(grep SigBlk /proc/$$/status)\n");
	ck_assert_str_eq(version, "SigBlk: 0000000000000000");
}
END_TEST

/* ---- bad ones ---------------------------------------------------------------------------------------- */

static const struct {
	const char *script, *why;
} bad[] = {
	{ "#!/bin/sh\necho drover: no such setting >&2\nexit 2\n", "drover: no such setting" },
	{ "#!/bin/sh\necho one >&2\necho two\nexit 1\n", "one;two" },
	{ "#!/bin/sh\nprintf 'a\\033[31m\\tb\\377' >&2\nexit 1\n", "a?[31m?b?" },
	{ "#!/bin/sh\nexit 4\n", "it ended with status 4 and did not say why" },
	{ "#!/bin/sh\nexit 0\n", "it does not say that it is a drover that could take over" },
	{ "#!/bin/sh\necho hello\n", "it does not say that it is a drover that could take over; it said: hello" },
	{ "#!/bin/sh\necho drover-candidate 2\necho bye\n",
	  "it does not say that it is a drover that could take over; it said: drover-candidate 2;bye" },
	{ "#!/bin/sh\necho drover-candidate 2\nexit 1\n", "drover-candidate 2" },
	{ "#!/bin/sh\necho help >&2\nkill -SEGV $$\n", "it was ended by a signal (SEGV); it said: help" },
	{ "#!/bin/sh\nexec /nonexistent\n", NULL },
};

START_TEST(one_that_cannot_take_over_is_refused_in_its_own_words)
{
	try(bad[_i].script);
	ck_assert_str_eq(version, "");
	if (bad[_i].why != NULL)
		ck_assert_str_eq(reason, bad[_i].why);
	else
		ck_assert_ptr_nonnull(strstr(reason, "not found"));
	ck_assert_int_eq(master->candidate.pid, 0);
}
END_TEST

START_TEST(one_that_prints_without_end_is_ended)
{
	try("#!/bin/sh\nexec yes drover-candidate\n");
	ck_assert_str_eq(version, "");
	ck_assert_msg(strncmp(reason, "it was ended by a signal (XFSZ)", 31) == 0, "%s", reason);
}
END_TEST

static void expect_refused(const char *what)
{
	char expected[PATH_MAX + 64];

	start();
	wait_for_answer();
	snprintf(expected, sizeof(expected), "execute %s: %s", master->binary.path, what);
	ck_assert_str_eq(version, "");
	ck_assert_str_eq(reason, expected);
}

START_TEST(one_that_is_not_there_is_refused)
{
	expect_refused("No such file or directory");
}
END_TEST

START_TEST(one_that_nobody_may_execute_is_refused)
{
	install("#!/bin/sh\n", 0600);
	expect_refused("Permission denied");
}
END_TEST

START_TEST(a_file_that_is_no_program_is_refused)
{
	install("garbage\n", 0700);
	expect_refused("Exec format error");
}
END_TEST

START_TEST(a_program_that_is_cut_off_is_refused)
{
	install("\177ELF\2\1\1", 0700);
	expect_refused("Exec format error");
}
END_TEST

/* ---- one that does not end --------------------------------------------------------------------------- */

START_TEST(one_that_hangs_is_killed_at_its_deadline)
{
	install("#!/bin/sh\necho thinking\nexec sleep 60\n", 0700);
	start();
	loop_timer(&master->loop, &master->candidate.deadline, 300 * CLOCK_MS);
	wait_for_answer();
	ck_assert_msg(strncmp(reason, "it did not come to an end within 10 s", 37) == 0, "%s", reason);
	ck_assert_int_eq(master->candidate.pid, 0);
}
END_TEST

/* As if its end was not seen, nor its kill effective. */
START_TEST(one_that_even_a_kill_does_not_end_is_given_up_and_reaped_later)
{
	struct candidate *candidate = &master->candidate;
	struct err err;
	int exit_fd;

	install("#!/bin/sh\nexec sleep 60\n", 0700);
	start();
	exit_fd = candidate->exit.fd;
	loop_remove(&master->loop, &candidate->exit);
	loop_timer(&master->loop, &candidate->deadline, 1);
	wait_for_answer();
	ck_assert_msg(strncmp(reason, "it does not end although it was killed", 38) == 0, "%s", reason);
	ck_assert(!candidate_start(master, state, take_answer, &err));
	ck_assert_msg(strstr(err.text, "has not ended yet") != NULL, "%s", err.text);
	candidate->exit.fd = exit_fd;
	ck_assert_int_eq(loop_add(&master->loop, &candidate->exit, EPOLLIN), 0);
	while (candidate->pid != 0)
		one_turn(&master->loop);
	ck_assert_uint_eq(answers, 1);
	try("#!/bin/sh\necho drover-candidate 3\n");
	ck_assert_str_eq(version, "3");
}
END_TEST

START_TEST(one_that_is_not_wanted_any_more_is_ended_and_nobody_is_told)
{
	install("#!/bin/sh\nexec sleep 60\n", 0700);
	start();
	candidate_kill(master);
	while (master->candidate.pid != 0)
		one_turn(&master->loop);
	ck_assert_uint_eq(answers, 0);
	candidate_kill(master);
}
END_TEST

START_TEST(the_next_one_is_independent_of_the_last)
{
	try("#!/bin/sh\nexit 1\n");
	try("#!/bin/sh\necho drover-candidate 2\n");
	ck_assert_str_eq(version, "2");
	ck_assert_uint_eq(answers, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("candidate");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, one_that_says_that_it_could_take_over_is_taken);
	tcase_add_test(all, it_has_the_command_line_and_the_option_behind_it);
	tcase_add_test(all, it_finds_the_state_and_no_other_descriptor);
	tcase_add_test(all, it_cannot_speak_to_systemd_and_blocks_no_signal);
	tcase_add_loop_test(all, one_that_cannot_take_over_is_refused_in_its_own_words, 0,
			    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(all, one_that_prints_without_end_is_ended);
	tcase_add_test(all, one_that_is_not_there_is_refused);
	tcase_add_test(all, one_that_nobody_may_execute_is_refused);
	tcase_add_test(all, a_file_that_is_no_program_is_refused);
	tcase_add_test(all, a_program_that_is_cut_off_is_refused);
	tcase_add_test(all, one_that_hangs_is_killed_at_its_deadline);
	tcase_add_test(all, one_that_even_a_kill_does_not_end_is_given_up_and_reaped_later);
	tcase_add_test(all, one_that_is_not_wanted_any_more_is_ended_and_nobody_is_told);
	tcase_add_test(all, the_next_one_is_independent_of_the_last);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
