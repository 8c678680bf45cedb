/* cpus_test.c - binding a thread to a CPU. Where there is one CPU only, little of it can be seen. */
#include "base/cpus.h"

#include "base/clock.h"
#include "base/offload.h"
#include "one_turn.h"

#include <check.h>
#include <sched.h>
#include <stdlib.h>

static cpu_set_t before;

static void look(cpu_set_t *mask)
{
	ck_assert_int_eq(sched_getaffinity(0, sizeof(*mask), mask), 0);
}

static void set_up(void)
{
	look(&before);
}

static void assert_runs_anywhere(void)
{
	cpu_set_t now;

	look(&now);
	ck_assert(CPU_EQUAL(&now, &before));
}

START_TEST(the_list_has_the_cpus_of_the_mask_in_rising_order)
{
	unsigned cpus[CPUS_MAX], count = cpus_list(cpus);

	ck_assert_uint_eq(count, (unsigned)CPU_COUNT(&before));
	for (unsigned i = 0; i < count; i++) {
		ck_assert(CPU_ISSET(cpus[i], &before));
		ck_assert(i == 0 || cpus[i] > cpus[i - 1]);
	}
}
END_TEST

START_TEST(a_bound_thread_runs_on_one_cpu_and_beyond_the_last_one_it_begins_anew)
{
	unsigned cpus[CPUS_MAX], count = cpus_list(cpus);
	cpu_set_t now;
	struct err err;

	for (unsigned i = 0; i < 2 * count; i++) {
		ck_assert(cpus_bind(i, &err));
		look(&now);
		ck_assert_int_eq(CPU_COUNT(&now), 1);
		ck_assert(CPU_ISSET(cpus[i % count], &now));
	}
}
END_TEST

START_TEST(the_list_does_not_shrink_when_a_thread_is_bound)
{
	unsigned cpus[CPUS_MAX];
	struct err err;

	ck_assert(cpus_bind(0, &err));
	ck_assert_uint_eq(cpus_list(cpus), (unsigned)CPU_COUNT(&before));
}
END_TEST

START_TEST(a_thread_that_is_unbound_runs_anywhere)
{
	struct err err;

	ck_assert(cpus_bind(0, &err));
	cpus_unbind();
	assert_runs_anywhere();
}
END_TEST

/* Its owner may have set it: a mask that is not ours to change. */
START_TEST(a_thread_that_was_never_bound_is_left_alone)
{
	cpu_set_t one, now;
	unsigned cpus[CPUS_MAX];

	CPU_ZERO(&one);
	CPU_SET(cpus[cpus_list(cpus) - 1], &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	cpus_unbind();
	look(&now);
	ck_assert(CPU_EQUAL(&now, &one));
}
END_TEST

static void look_around(struct offload_job *job)
{
	(void)job;
	assert_runs_anywhere();
}

static void nothing(struct offload_job *job)
{
	(void)job;
}

START_TEST(the_helper_of_a_bound_thread_runs_anywhere)
{
	struct offload_job job = { .work = look_around, .done = nothing };
	struct offload offload;
	struct loop loop;
	struct err err;

	ck_assert(loop_open(&loop, &err));
	offload_init(&offload, &loop, 1);
	ck_assert(cpus_bind(0, &err));
	ck_assert(offload_submit(&offload, &job));
	while (job.state != JOB_IDLE)
		one_turn(&loop);
	ck_assert_uint_eq(offload_close(&offload, clock_now_ns() + 10 * CLOCK_S), 0);
	loop_close(&loop);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpus");
	TCase *tests = tcase_create("cpus");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, the_list_has_the_cpus_of_the_mask_in_rising_order);
	tcase_add_test(tests, a_bound_thread_runs_on_one_cpu_and_beyond_the_last_one_it_begins_anew);
	tcase_add_test(tests, the_list_does_not_shrink_when_a_thread_is_bound);
	tcase_add_test(tests, a_thread_that_is_unbound_runs_anywhere);
	tcase_add_test(tests, a_thread_that_was_never_bound_is_left_alone);
	tcase_add_test(tests, the_helper_of_a_bound_thread_runs_anywhere);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
