/* crash_test.c - what a process that crashes still writes, and how it ends. Each one is a forked child. */
#include "worker/crash.h"

#include "base/must.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern const char __ehdr_start;         /* NOLINT(bugprone-reserved-identifier,cert-dcl*): the linker's */

static struct epitaph *epitaph;
static unsigned *called;                /* shared, too */

static void create(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	epitaph = mmap(NULL, sizeof(*epitaph) + sizeof(*called), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(epitaph != MAP_FAILED);
	called = (unsigned *)(epitaph + 1);
	crash_prepare();
}

static void destroy(void)
{
	munmap(epitaph, sizeof(*epitaph) + sizeof(*called));
}

/* Its wait status. */
static int outcome(void (*act)(void))
{
	struct err err;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_IGN);       /* whatever was inherited */
		if (!crash_catch(epitaph, &err))
			_exit(98);
		act();
		_exit(99);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void ends_by(void (*act)(void), int number)
{
	int status = outcome(act);

	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), number);
	ck_assert_uint_eq(epitaph->signal, (uint32_t)number);
}

static bool is_in(const char *text)
{
	return memmem(epitaph->stack, epitaph->stack_bytes, text, strlen(text)) != NULL;
}

/* ---- crashes ----------------------------------------------------------------------------------------- */

static char *nothing = (char *)0x1230;

__attribute__((noinline)) static void write_to_nothing(void)
{
	*(volatile char *)nothing = 1;
}

static int fill_stack(int turns)
{
	volatile char bytes[1 << 16];

	bytes[0] = (char)turns;
	return turns > 0 ? fill_stack(turns - 1) + bytes[0] : 0;
}

static void use_up_the_stack(void)
{
	fill_stack(10000);
}

static void break_the_heap(void)
{
	char *volatile bytes = malloc(40);

	memset(bytes - 16, 0x41, 64);
	free(bytes);
	abort();                /* should the C library not have noticed */
}

static void raise_fpe(void)
{
	raise(SIGFPE);
}

static void jump_to_nothing(void)
{
	void (*volatile function)(void) = (void (*)(void))(uintptr_t)nothing;

	function();
}

static void break_an_invariant(void)
{
	must(epitaph == NULL);
}

static void *crash_elsewhere(void *unused)
{
	(void)unused;
	write_to_nothing();
	return NULL;
}

static void crash_in_a_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, crash_elsewhere, NULL) == 0)
		pthread_join(thread, NULL);
}

/* ---- wills ------------------------------------------------------------------------------------------- */

static pthread_t loop;

static void count(void *of)
{
	*(unsigned *)of += pthread_equal(pthread_self(), loop) ? 1 : 100;
}

static void count_and_crash(void *of)
{
	count(of);
	write_to_nothing();
}

static void count_and_abort(void *of)
{
	count(of);
	abort();
}

static void count_and_hang(void *of)
{
	count(of);
	for (;;)
		pause();
}

static void (*will)(void *);

static void crash_with_a_will(void)
{
	loop = pthread_self();
	crash_will(will, called);
	write_to_nothing();
}

static void crash_elsewhere_with_a_will(void)
{
	loop = pthread_self();
	crash_will(count, called);
	crash_in_a_thread();
}

/* Its own epitaph's memory is gone: each step that writes crashes, too. */
static void crash_without_an_epitaph(void)
{
	int fd = memfd_create("epitaph", 0);
	struct err err;
	struct epitaph *gone;

	if (fd < 0 || ftruncate(fd, sizeof(*gone)) < 0)
		_exit(97);
	gone = mmap(NULL, sizeof(*gone), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (gone == MAP_FAILED || !crash_catch(gone, &err) || ftruncate(fd, 0) < 0)
		_exit(96);
	will = count;
	crash_with_a_will();
}

/* ---- tests ------------------------------------------------------------------------------------------- */

START_TEST(a_crash_says_where_and_ends_as_it_would_have)
{
	ends_by(write_to_nothing, SIGSEGV);
	ck_assert_int_gt(epitaph->code, 0);
	ck_assert_uint_eq(epitaph->address, 0x1230);
	ck_assert_uint_eq(epitaph->elsewhere, 0);
}
END_TEST

START_TEST(the_stack_begins_where_it_crashed)
{
	uintptr_t expected = (uintptr_t)write_to_nothing - (uintptr_t)&__ehdr_start, found;

	ends_by(write_to_nothing, SIGSEGV);
	ck_assert_int_eq(strncmp(epitaph->stack, "drover+0x", 9), 0);
	found = strtoul(epitaph->stack + 9, NULL, 16);
	ck_assert_uint_ge(found, expected);
	ck_assert_uint_lt(found, expected + 256);
	ck_assert(is_in(" libc.so"));   /* down to the beginning */
}
END_TEST

START_TEST(a_stack_that_is_used_up_is_no_obstacle)
{
	ends_by(use_up_the_stack, SIGSEGV);
	ck_assert_uint_gt(epitaph->stack_bytes, 0);
	ck_assert_uint_le(epitaph->stack_bytes, EPITAPH_STACK_BYTES);
}
END_TEST

START_TEST(nor_is_a_broken_heap)
{
	ends_by(break_the_heap, SIGABRT);
	ck_assert(is_in("drover+0x"));
}
END_TEST

START_TEST(nor_is_code_that_is_nowhere)
{
	ends_by(jump_to_nothing, SIGSEGV);
	ck_assert_int_eq(strncmp(epitaph->stack, "0x1230", 6), 0);
}
END_TEST

START_TEST(a_signal_that_was_sent_says_by_whom)
{
	ends_by(raise_fpe, SIGFPE);
	ck_assert_int_le(epitaph->code, 0);
	ck_assert_uint_gt(epitaph->address, 1);
}
END_TEST

START_TEST(a_broken_invariant_is_named)
{
	ends_by(break_an_invariant, SIGABRT);
	ck_assert_ptr_nonnull(strstr(epitaph->broken, "epitaph == NULL"));
	ck_assert_ptr_nonnull(strstr(epitaph->broken, "crash_test.c:"));
}
END_TEST

START_TEST(another_threads_crash_is_not_the_loops)
{
	ends_by(crash_in_a_thread, SIGSEGV);
	ck_assert_uint_ne(epitaph->elsewhere, 0);
	ck_assert(is_in("drover+0x"));
}
END_TEST

START_TEST(a_will_is_done_once_after_the_stack)
{
	will = count;
	ends_by(crash_with_a_will, SIGSEGV);
	ck_assert_uint_eq(*called, 1);
	ck_assert_uint_gt(epitaph->stack_bytes, 0);
}
END_TEST

START_TEST(a_will_is_the_loops_whoever_crashes)
{
	ends_by(crash_elsewhere_with_a_will, SIGSEGV);
	ck_assert_uint_eq(*called, 1);
	ck_assert_uint_ne(epitaph->elsewhere, 0);
}
END_TEST

START_TEST(a_will_that_crashes_too_changes_nothing)
{
	will = count_and_crash;
	ends_by(crash_with_a_will, SIGSEGV);
	ck_assert_uint_eq(*called, 1);
	ck_assert_uint_eq(epitaph->address, 0x1230);
}
END_TEST

START_TEST(a_will_that_aborts_changes_nothing)
{
	will = count_and_abort;
	ends_by(crash_with_a_will, SIGSEGV);
	ck_assert_uint_eq(*called, 1);
}
END_TEST

START_TEST(a_will_that_hangs_ends_with_its_time)
{
	will = count_and_hang;
	ends_by(crash_with_a_will, SIGSEGV);
	ck_assert_uint_eq(*called, 1);
}
END_TEST

START_TEST(steps_that_crash_do_not_keep_others_from_being_taken)
{
	int status = outcome(crash_without_an_epitaph);

	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
	ck_assert_uint_eq(*called, 1);
}
END_TEST

int main(void)
{
	TCase *crashes = tcase_create("crashes"), *wills = tcase_create("wills");
	Suite *suite = suite_create("crash");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(crashes, create, destroy);
	tcase_add_test(crashes, a_crash_says_where_and_ends_as_it_would_have);
	tcase_add_test(crashes, the_stack_begins_where_it_crashed);
	tcase_add_test(crashes, a_stack_that_is_used_up_is_no_obstacle);
	tcase_add_test(crashes, nor_is_a_broken_heap);
	tcase_add_test(crashes, nor_is_code_that_is_nowhere);
	tcase_add_test(crashes, a_signal_that_was_sent_says_by_whom);
	tcase_add_test(crashes, a_broken_invariant_is_named);
	tcase_add_test(crashes, another_threads_crash_is_not_the_loops);
	suite_add_tcase(suite, crashes);
	tcase_add_checked_fixture(wills, create, destroy);
	tcase_set_timeout(wills, 60);
	tcase_add_test(wills, a_will_is_done_once_after_the_stack);
	tcase_add_test(wills, a_will_is_the_loops_whoever_crashes);
	tcase_add_test(wills, a_will_that_crashes_too_changes_nothing);
	tcase_add_test(wills, a_will_that_aborts_changes_nothing);
	tcase_add_test(wills, a_will_that_hangs_ends_with_its_time);
	tcase_add_test(wills, steps_that_crash_do_not_keep_others_from_being_taken);
	suite_add_tcase(suite, wills);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
