/* syscalls_test.c - what a list of system calls allows, refuses, counts and ends. Each one is a forked
 * child: a filter is for good. */
#include "base/syscalls.h"

#ifdef WITH_SECCOMP

#include "base/fd.h"
#include "master/checker_calls.h"
#include "worker/confine.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t *denied;

static void create(void)
{
	denied = mmap(NULL, sizeof(*denied), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(denied != MAP_FAILED);
}

static void destroy(void)
{
	munmap(denied, sizeof(*denied));
}

/* The wait status of a process that was confined to a worker's list and then did `act`, which says 0 if all
 * is as it should be, or where it is not. */
static int outcome(int (*act)(void))
{
	struct err err;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (!syscalls_confine(&confine_worker_calls, denied, &err))
			_exit(99);
		_exit(act());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void is_good(int (*act)(void))
{
	int status = outcome(act);

	ck_assert_msg(WIFEXITED(status), "it was ended by signal %d", WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

static bool is_refused(long result)
{
	return result == -1 && errno == EPERM;
}

static bool was_told(const char *name)
{
	char told[32];

	return syscalls_refused(told, sizeof(told)) && strcmp(told, name) == 0;
}

static bool nothing_is_told(void)
{
	char told[32];

	return !syscalls_refused(told, sizeof(told));
}

/* ---- what is refused --------------------------------------------------------------------------------- */

static int try_one(void)
{
	if (!nothing_is_told())
		return 1;
	if (!is_refused(syscall(SYS_getpgid, 0)))
		return 2;
	return was_told("getpgid") && nothing_is_told() ? 0 : 3;
}

START_TEST(a_call_that_is_not_on_the_list_fails_is_counted_and_told_by_name)
{
	is_good(try_one);
	ck_assert_uint_eq(*denied, 1);
}
END_TEST

static int try_again(void)
{
	for (int i = 0; i < 3; i++)
		if (!is_refused(syscall(SYS_getpgid, 0)))
			return 1;
	if (!was_told("getpgid"))
		return 2;
	if (!is_refused(syscall(SYS_getpgid, 0)) || !nothing_is_told())
		return 3;
	/* two at once, the lower number first */
	if (!is_refused(syscall(SYS_sethostname, "a", 1)) || !is_refused(syscall(SYS_umask, 0)))
		return 4;
	return was_told("umask") && was_told("sethostname") && nothing_is_told() ? 0 : 5;
}

START_TEST(every_time_counts_and_each_name_is_told_once)
{
	is_good(try_again);
	ck_assert_uint_eq(*denied, 6);
}
END_TEST

static void *try_in_thread(void *result)
{
	*(int *)result = is_refused(syscall(SYS_getpgid, 0)) ? 0 : 1;
	return NULL;
}

/* clone3 is answered as by a kernel without it: else there would be no thread at all. */
static int try_thread(void)
{
	pthread_t thread;
	int result = 2;

	if (pthread_create(&thread, NULL, try_in_thread, &result) != 0)
		return 3;
	pthread_join(thread, NULL);
	return result == 0 && was_told("getpgid") ? 0 : 4;
}

START_TEST(a_thread_made_later_is_confined_too)
{
	is_good(try_thread);
	ck_assert_uint_eq(*denied, 1);
}
END_TEST

static int try_process(void)
{
	if (!is_refused(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)))
		return 1;
	return is_refused(syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL)) ? 0 : 2;
}

START_TEST(no_process_is_made)
{
	is_good(try_process);
	ck_assert_uint_eq(*denied, 2);
}
END_TEST

static int try_signals(void)
{
	if (!is_refused(kill(getppid(), SIGUSR1)) ||
	    !is_refused(syscall(SYS_tgkill, getppid(), getppid(), SIGUSR1)))
		return 1;
	if (!is_refused(kill(-1, 0)) || !is_refused(kill(0, 0)))
		return 2;
	return kill(getpid(), 0) == 0 && raise(SIGCHLD) == 0 ? 0 : 3;
}

START_TEST(nobody_else_is_signalled)
{
	is_good(try_signals);
	ck_assert_uint_eq(*denied, 4);
}
END_TEST

static int try_for_others(void)
{
	struct rlimit limit;
	cpu_set_t all;

	if (sched_getaffinity(0, sizeof(all), &all) < 0 || sched_setaffinity(0, sizeof(all), &all) < 0)
		return 1;
	if (!is_refused(sched_setaffinity(getppid(), sizeof(all), &all)))
		return 2;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 3;
	return is_refused(setrlimit(RLIMIT_NOFILE, &limit)) ? 0 : 4;
}

START_TEST(limits_stay_and_cpus_are_its_own)
{
	is_good(try_for_others);
	ck_assert_uint_eq(*denied, 2);
}
END_TEST

static int try_sockets(void)
{
	if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)) || !is_refused(socket(AF_NETLINK, SOCK_RAW, 0)))
		return 1;
	if (!is_refused(socket(AF_UNIX, SOCK_STREAM, 0)) || !is_refused(socket(AF_INET, SOCK_DGRAM, 0)))
		return 2;
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0 ? 0 : 3;
}

START_TEST(no_socket_is_made_but_for_a_log)
{
	is_good(try_sockets);
	ck_assert_uint_eq(*denied, 4);
}
END_TEST

static bool is_past(long result)
{
	return result == -1 && errno == ENOTSOCK;
}

/* Sockets that all workers hold, and logs, stay as they are. */
static int try_for_all(void)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	struct linger linger = { 0 };

	if (!is_refused(shutdown(STDERR_FILENO, SHUT_RD)) ||
	    !is_refused(shutdown(STDERR_FILENO, SHUT_RDWR)) || !is_past(shutdown(STDERR_FILENO, SHUT_WR)))
		return 1;
	if (!is_refused(connect(STDERR_FILENO, &nowhere, sizeof(nowhere))))
		return 2;
	if (!is_refused(setsockopt(STDERR_FILENO, SOL_SOCKET, SO_ATTACH_FILTER, &linger, sizeof(linger))) ||
	    !is_refused(setsockopt(STDERR_FILENO, IPPROTO_TCP, SO_LINGER, &linger, sizeof(linger))) ||
	    !is_past(setsockopt(STDERR_FILENO, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger))))
		return 3;
	if (!is_refused(fcntl(STDERR_FILENO, F_SETFL, O_RDWR | O_NONBLOCK)) || fd_is_unblocked(STDERR_FILENO))
		return 4;
	if (!is_refused((long)mmap(NULL, 1, PROT_READ, MAP_SHARED, STDERR_FILENO, 0)))
		return 5;
	return mmap(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 6 : 0;
}

/* Standard error is a file of this test's, where a mapping would be one. */
START_TEST(what_all_workers_hold_stays_as_it_is)
{
	FILE *file = tmpfile();
	int kept = dup(STDERR_FILENO);

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
	is_good(try_for_all);
	dup2(kept, STDERR_FILENO);
	fclose(file);
	ck_assert_uint_ge(*denied, 7);
}
END_TEST

/* A library that tries what came later goes on with what was before. */
static int try_newest(void)
{
	if (syscall(1000) != -1 || errno != ENOSYS)
		return 1;
	if (syscall(100000) != -1 || errno != ENOSYS)
		return 2;
	return was_told("1000") && was_told("1023") ? 0 : 3;
}

START_TEST(a_call_of_the_future_is_not_there)
{
	is_good(try_newest);
	ck_assert_uint_eq(*denied, 2);
}
END_TEST

/* ---- SIGSYS itself ----------------------------------------------------------------------------------- */

static int send_sigsys(void)
{
	return raise(SIGSYS) == 0 && nothing_is_told() ? 0 : 1;
}

START_TEST(a_sigsys_that_somebody_sent_means_nothing)
{
	is_good(send_sigsys);
	ck_assert_uint_eq(*denied, 0);
}
END_TEST

static void on_usr1(int number)
{
	(void)number;
	if (!is_refused(syscall(SYS_getpgid, 0)))
		_exit(50);
}

static int try_in_handler(void)
{
	struct sigaction action = { .sa_handler = on_usr1 };

	sigfillset(&action.sa_mask);
	sigdelset(&action.sa_mask, SIGSYS);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	return was_told("getpgid") ? 0 : 1;
}

START_TEST(it_works_inside_another_handler)
{
	is_good(try_in_handler);
}
END_TEST

static int try_errno(void)
{
	errno = 77;
	syscall(SYS_getpid);
	return errno == 77 ? 0 : 1;
}

START_TEST(what_is_allowed_is_left_alone)
{
	is_good(try_errno);
	ck_assert_uint_eq(*denied, 0);
}
END_TEST

/* ---- what ends the process --------------------------------------------------------------------------- */

static int number;

static int call_number(void)
{
	syscall(number, 0, 0, 0, 0, 0, 0);
	return 1;
}

START_TEST(what_no_such_process_does_ends_it)
{
	for (unsigned i = 0; syscalls_deadly[i] != NULL; i++) {
		int status;

		number = seccomp_syscall_resolve_name(syscalls_deadly[i]);
		ck_assert_int_ne(number, __NR_SCMP_ERROR);
#ifdef __SANITIZE_ADDRESS__             /* which traces, to look for leaks */
		if (number == SYS_ptrace || number == SYS_process_vm_readv)
			continue;
#endif
		if (number < 0)         /* this machine does not have it */
			continue;
		status = outcome(call_number);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: status %x",
			      syscalls_deadly[i], status);
	}
	ck_assert_uint_eq(*denied, 0);
}
END_TEST

/* ---- the lists --------------------------------------------------------------------------------------- */

static void are_known(const char *calls)
{
	char text[1024], *rest = text, *name;

	ck_assert_uint_lt(strlen(calls), sizeof(text));
	strcpy(text, calls);
	while ((name = strsep(&rest, " ")) != NULL) {
		ck_assert_msg(name[0] != '\0', "two spaces: %s", calls);
		ck_assert_msg(seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR, "%s", name);
		for (unsigned i = 0; syscalls_deadly[i] != NULL; i++)
			ck_assert_str_ne(name, syscalls_deadly[i]);
	}
}

START_TEST(every_name_is_one_and_none_is_deadly)
{
	static const struct syscall_list *const lists[] = { &confine_worker_calls, &confine_keeper_calls,
							    &checker_calls };

	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		for (unsigned j = 0; j < lists[i]->group_count; j++)
			are_known(lists[i]->groups[j].calls);
		for (unsigned j = 0; j < lists[i]->condition_count; j++)
			are_known(lists[i]->conditions[j].call);
	}
}
END_TEST

START_TEST(without_no_new_privs_it_fails_and_nothing_is_confined)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct err err;

		if (setresuid(65534, 65534, 65534) < 0 && getuid() == 0)
			_exit(1);
		if (syscalls_confine(&confine_worker_calls, denied, &err))
			_exit(2);
		_exit(syscall(SYS_getpgid, 0) >= 0 && err.text[0] != '\0' ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	TCase *refused = tcase_create("refused"), *lists = tcase_create("lists");
	Suite *suite = suite_create("syscalls");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(refused, create, destroy);
	tcase_add_test(refused, a_call_that_is_not_on_the_list_fails_is_counted_and_told_by_name);
	tcase_add_test(refused, every_time_counts_and_each_name_is_told_once);
	tcase_add_test(refused, a_thread_made_later_is_confined_too);
#ifndef __SANITIZE_ADDRESS__            /* LeakSanitizer makes a process, signals, sets limits and maps */
	tcase_add_test(refused, no_process_is_made);
	tcase_add_test(refused, nobody_else_is_signalled);
	tcase_add_test(refused, limits_stay_and_cpus_are_its_own);
	tcase_add_test(refused, what_all_workers_hold_stays_as_it_is);
#else
	(void)what_all_workers_hold_stays_as_it_is;
	(void)try_process, (void)try_signals, (void)try_for_others;
	(void)no_process_is_made, (void)nobody_else_is_signalled, (void)limits_stay_and_cpus_are_its_own;
#endif
	tcase_add_test(refused, no_socket_is_made_but_for_a_log);
	tcase_add_test(refused, a_call_of_the_future_is_not_there);
	tcase_add_test(refused, a_sigsys_that_somebody_sent_means_nothing);
	tcase_add_test(refused, it_works_inside_another_handler);
	tcase_add_test(refused, what_is_allowed_is_left_alone);
	tcase_add_test(refused, what_no_such_process_does_ends_it);
	tcase_set_timeout(refused, 60);
	suite_add_tcase(suite, refused);
	tcase_add_checked_fixture(lists, create, destroy);
	tcase_add_test(lists, every_name_is_one_and_none_is_deadly);
	tcase_add_test(lists, without_no_new_privs_it_fails_and_nothing_is_confined);
	suite_add_tcase(suite, lists);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}

#else

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(a_build_without_libseccomp_says_so)
{
	const struct syscall_list nothing = { 0 };
	struct err err;

	ck_assert(!syscalls_are_confinable(&err));
	ck_assert_ptr_nonnull(strstr(err.text, "libseccomp"));
	ck_assert(!syscalls_confine(&nothing, NULL, &err));
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("syscalls");
	Suite *suite = suite_create("syscalls");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tests, a_build_without_libseccomp_says_so);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
