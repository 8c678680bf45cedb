/* offload_test.c - the helper thread: jobs, their order, cancelling, the bound, the end; and a random history
 * against a model. */
#include "base/offload.h"

#include "base/clock.h"
#include "one_turn.h"

#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4, JOBS = 8, STEPS = 30000 };

static struct loop loop;
static struct offload offload;

static uint64_t soon(void)
{
	return clock_now_ns() + 10 * CLOCK_S;
}

static unsigned tasks;                  /* at the beginning; a sanitizer may have one of its own */

static unsigned entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 2;
}

static void set_up(void)
{
	struct err err;

	ck_assert(loop_open(&loop, &err));
	offload_init(&offload, &loop, MOST);
	tasks = entries("/proc/self/task");
}

static void tear_down(void)
{
	ck_assert_uint_eq(offload_close(&offload, soon()), 0);
	loop_close(&loop);
}

/* A job that a test can hold under way. */
struct probe {
	struct offload_job job;
	pthread_t worked_by;
	unsigned worked, done, told;    /* told: done() that said it was cancelled */
	unsigned again;                 /* how often done() submits it anew */
	sem_t *gate;
	sigset_t blocked;
	char name;
};

static sem_t begun, gate;
static char order[64];
static size_t order_len;

static void work(struct offload_job *job)
{
	struct probe *probe = LIST_ENTRY(job, struct probe, job);

	probe->worked_by = pthread_self();
	pthread_sigmask(SIG_BLOCK, NULL, &probe->blocked);
	probe->worked++;
	if (probe->gate == NULL)
		return;
	sem_post(&begun);
	while (sem_wait(probe->gate) < 0)
		;
}

static void done(struct offload_job *job)
{
	struct probe *probe = LIST_ENTRY(job, struct probe, job);

	ck_assert_int_eq(job->state, JOB_IDLE);
	probe->done++;
	probe->told += job->cancelled ? 1 : 0;
	if (order_len < sizeof(order) - 1)
		order[order_len++] = probe->name;
	if (probe->again > 0) {
		probe->again--;
		ck_assert(offload_submit(&offload, job));
	}
}

static struct probe probe_of(char name)
{
	return (struct probe){ .job = { .work = work, .done = done }, .name = name };
}

/* A job that is under way until the gate is opened. */
static void hold(struct probe *probe)
{
	sem_init(&begun, 0, 0);
	sem_init(&gate, 0, 0);
	*probe = probe_of('h');
	probe->gate = &gate;
	ck_assert(offload_submit(&offload, &probe->job));
	sem_wait(&begun);
}

START_TEST(nothing_is_made_before_the_first_job)
{
	struct probe probe = probe_of('a');
	unsigned fds = entries("/proc/self/fd");

	ck_assert_uint_eq(entries("/proc/self/task"), tasks);
	ck_assert(offload_submit(&offload, &probe.job));
	ck_assert_uint_eq(entries("/proc/self/task"), tasks + 1);
	ck_assert_uint_eq(entries("/proc/self/fd"), fds + 1);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(offload_close(&offload, soon()), 0);
	ck_assert_uint_eq(entries("/proc/self/fd"), fds);
}
END_TEST

START_TEST(a_job_is_worked_on_elsewhere_and_done_on_the_loop)
{
	struct probe probe = probe_of('a');

	ck_assert(offload_submit(&offload, &probe.job));
	while (probe.done == 0)
		one_turn(&loop);
	ck_assert_uint_eq(probe.worked, 1);
	ck_assert(!pthread_equal(probe.worked_by, pthread_self()));
}
END_TEST

static bool is_its_own_fault(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE ||
	       number == SIGSYS;
}

START_TEST(the_thread_takes_no_signal_but_for_its_own_faults)
{
	struct probe probe = probe_of('a');
	sigset_t mine;

	ck_assert(offload_submit(&offload, &probe.job));
	offload_wait(&offload, soon());
	pthread_sigmask(SIG_BLOCK, NULL, &mine);
	for (int number = 1; number < 32; number++) {
		if (number == SIGKILL || number == SIGSTOP)
			continue;
		ck_assert_int_eq(sigismember(&probe.blocked, number), !is_its_own_fault(number));
		ck_assert_int_eq(sigismember(&mine, number), 0);
	}
}
END_TEST

START_TEST(jobs_are_done_in_their_order)
{
	struct probe probes[3] = { probe_of('a'), probe_of('b'), probe_of('c') }, held;

	hold(&held);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(offload_submit(&offload, &probes[i].job));
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_str_eq(order, "habc");
}
END_TEST

START_TEST(more_than_the_bound_are_refused)
{
	struct probe probes[MOST], held;

	hold(&held);
	for (unsigned i = 0; i < MOST; i++) {
		probes[i] = probe_of('a');
		ck_assert_int_eq(offload_submit(&offload, &probes[i].job), i < MOST - 1);
	}
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(probes[MOST - 1].worked, 0);
	ck_assert(offload_submit(&offload, &probes[MOST - 1].job));
	offload_wait(&offload, soon());
}
END_TEST

START_TEST(a_job_is_not_taken_twice)
{
	struct probe held;

	hold(&held);
	ck_assert(!offload_submit(&offload, &held.job));
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(held.done, 1);
}
END_TEST

START_TEST(a_queued_job_is_taken_out)
{
	struct probe probe = probe_of('a'), held;

	hold(&held);
	ck_assert(offload_submit(&offload, &probe.job));
	ck_assert(offload_cancel(&offload, &probe.job));
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(probe.worked, 0);
	ck_assert_uint_eq(probe.done, 0);
}
END_TEST

START_TEST(a_job_under_way_is_told)
{
	struct probe held;

	hold(&held);
	ck_assert(!offload_cancel(&offload, &held.job));
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(held.done, 1);
	ck_assert_uint_eq(held.told, 1);
}
END_TEST

START_TEST(done_may_submit_it_again)
{
	struct probe probe = probe_of('a');

	probe.again = 5;
	ck_assert(offload_submit(&offload, &probe.job));
	while (probe.done < 6)
		one_turn(&loop);
	ck_assert_uint_eq(probe.worked, 6);
}
END_TEST

START_TEST(a_close_finishes_what_is_queued)
{
	struct probe probes[MOST];

	for (unsigned i = 0; i < MOST; i++) {
		probes[i] = probe_of('a');
		ck_assert(offload_submit(&offload, &probes[i].job));
	}
	ck_assert_uint_eq(offload_close(&offload, soon()), 0);
	for (unsigned i = 0; i < MOST; i++)
		ck_assert_uint_eq(probes[i].done, 1);
	ck_assert_uint_eq(entries("/proc/self/task"), tasks);
}
END_TEST

START_TEST(a_close_does_not_wait_for_ever)
{
	struct probe probe = probe_of('a');
	static struct probe held;       /* the thread has it still */
	uint64_t end;

	hold(&held);
	ck_assert(offload_submit(&offload, &probe.job));
	ck_assert_uint_eq(offload_close(&offload, clock_now_ns() + 20 * CLOCK_MS), 2);
	ck_assert_int_eq(held.job.state, JOB_ABANDONED);
	ck_assert_int_eq(probe.job.state, JOB_IDLE);
	ck_assert_uint_eq(probe.worked + probe.done + held.done, 0);
	sem_post(&gate);                /* should it ever come back, it only goes */
	for (end = soon(); entries("/proc/self/task") > tasks; sched_yield())
		ck_assert_uint_lt(clock_now_ns(), end);
	ck_assert(offload_submit(&offload, &probe.job));        /* and the next job gets a new one */
	offload_wait(&offload, soon());
	ck_assert_uint_eq(probe.done, 1);
}
END_TEST

/* ---- several threads ---------------------------------------------------------------------------------- */

START_TEST(a_wide_one_goes_on_beside_a_job_that_hangs)
{
	struct probe probe = probe_of('a'), held;

	offload_widen(&offload, 2);
	hold(&held);
	ck_assert(offload_submit(&offload, &probe.job));
	while (probe.done == 0)
		one_turn(&loop);
	ck_assert_uint_eq(held.done, 0);
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(held.done, 1);
}
END_TEST

START_TEST(there_are_no_more_threads_than_were_allowed)
{
	struct probe probes[2] = { probe_of('a'), probe_of('b') }, held, second;

	offload_widen(&offload, 2);
	hold(&held);
	second = probe_of('s');
	second.gate = &gate;
	ck_assert(offload_submit(&offload, &second.job));
	sem_wait(&begun);
	for (unsigned i = 0; i < 2; i++)
		ck_assert(offload_submit(&offload, &probes[i].job));
	ck_assert_uint_eq(entries("/proc/self/task"), tasks + 2);
	ck_assert_uint_eq(probes[0].worked, 0);
	sem_post(&gate);
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(probes[0].done + probes[1].done, 2);
}
END_TEST

START_TEST(a_thread_that_has_nothing_to_do_is_taken_before_another_is_made)
{
	struct probe probe;

	offload_widen(&offload, OFFLOAD_THREADS_MOST);
	for (unsigned i = 0; i < 20; i++) {
		probe = probe_of('a');
		ck_assert(offload_submit(&offload, &probe.job));
		offload_wait(&offload, soon());
	}
	ck_assert_uint_eq(entries("/proc/self/task"), tasks + 1);
}
END_TEST

/* ---- nothing to do ------------------------------------------------------------------------------------ */

static void wait_for_fewer(const char *path, unsigned count)
{
	for (uint64_t end = soon(); entries(path) > count; sched_yield())
		ck_assert_uint_lt(clock_now_ns(), end);
}

/* All that waits for a time. */
static void pass_time(void)
{
	static uint64_t passed;

	passed += 3600 * CLOCK_S;
	timers_run(&loop.timers, loop.now_ns + passed);
}

START_TEST(threads_without_a_job_end_and_are_made_anew)
{
	struct probe probe = probe_of('a'), held;
	unsigned fds = entries("/proc/self/fd");

	offload_widen(&offload, 2);
	hold(&held);
	ck_assert(offload_submit(&offload, &probe.job));
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(entries("/proc/self/task"), tasks + 2);
	pass_time();
	wait_for_fewer("/proc/self/task", tasks);
	ck_assert(offload_submit(&offload, &probe.job));
	offload_wait(&offload, soon());
	ck_assert_uint_eq(probe.done, 2);
	ck_assert_uint_eq(entries("/proc/self/task"), tasks + 1);
	ck_assert_uint_eq(entries("/proc/self/fd"), fds + 1);
	pass_time();
	one_turn(&loop);                        /* what was told of what was done already */
	ck_assert_uint_eq(offload_close(&offload, soon()), 0);
	ck_assert_uint_eq(entries("/proc/self/fd"), fds);
}
END_TEST

START_TEST(a_thread_with_a_job_stays)
{
	struct probe probe = probe_of('a'), held;

	ck_assert(offload_submit(&offload, &probe.job));
	offload_wait(&offload, soon());         /* from now on the time counts */
	hold(&held);
	pass_time();
	ck_assert_uint_eq(entries("/proc/self/task"), tasks + 1);
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(held.done, 1);
	pass_time();
	wait_for_fewer("/proc/self/task", tasks);
}
END_TEST

START_TEST(a_close_ends_the_threads_that_do_not_hang)
{
	struct probe probe = probe_of('a');
	static struct probe held;
	uint64_t end;

	offload_widen(&offload, 3);
	hold(&held);
	ck_assert(offload_submit(&offload, &probe.job));
	ck_assert_uint_eq(offload_close(&offload, clock_now_ns() + 20 * CLOCK_MS), 1);
	ck_assert_uint_eq(probe.done, 1);
	ck_assert_int_eq(held.job.state, JOB_ABANDONED);
	ck_assert_uint_eq(entries("/proc/self/task"), tasks + 1);
	sem_post(&gate);
	for (end = soon(); entries("/proc/self/task") > tasks; sched_yield())
		ck_assert_uint_lt(clock_now_ns(), end);
	ck_assert_uint_eq(held.done, 0);
}
END_TEST

/* What a fork in the middle of a job means: the child has no thread, and a lock that may be held. */
static int in_child(void)
{
	struct probe probe = probe_of('c');
	struct loop own;
	struct err err;

	offload_forget(&offload);
	if (!loop_open(&own, &err))
		return 1;
	offload_init(&offload, &own, 1);
	if (!offload_submit(&offload, &probe.job))
		return 2;
	offload_wait(&offload, soon());
	if (offload_close(&offload, soon()) != 0)
		return 3;
	loop_close(&own);
	loop_close(&loop);
	return probe.done == 1 ? 0 : 4;
}

START_TEST(a_forked_child_has_one_of_its_own)
{
	struct probe held;
	int status;
	pid_t pid;

	hold(&held);
	pid = fork();
	if (pid == 0)
		_exit(in_child());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	sem_post(&gate);
	offload_wait(&offload, soon());
	ck_assert_uint_eq(held.done, 1);
}
END_TEST

/* ---- random histories -------------------------------------------------------------------------------- */

/* What the model knows of a job: is it out, and was it cancelled without being taken out. */
static struct model {
	struct probe probe;
	bool out, cancelled;
	unsigned works, dones, tolds;
} models[JOBS];

static unsigned out_count;

static void model_done(struct offload_job *job)
{
	struct model *model = LIST_ENTRY(job, struct model, probe.job);

	ck_assert(model->out);
	ck_assert_int_eq(job->cancelled, model->cancelled);
	model->out = model->cancelled = false;
	model->works++;
	model->dones++;
	ck_assert_uint_eq(model->probe.worked, model->works);
	out_count--;
}

static void try_submit(struct model *model)
{
	bool expected = !model->out && out_count < MOST;

	ck_assert_int_eq(offload_submit(&offload, &model->probe.job), expected);
	out_count += expected ? 1 : 0;
	model->out |= expected;
}

static void try_cancel(struct model *model)
{
	bool mine = offload_cancel(&offload, &model->probe.job);

	if (!model->out) {
		ck_assert(mine);
	} else if (mine) {
		model->out = false;
		out_count--;
		ck_assert_uint_eq(model->probe.worked, model->works);   /* and never will be */
	} else {
		model->cancelled = true;
	}
}

static void step(unsigned random)
{
	struct model *model = &models[random / 8 % JOBS];

	switch (random % 8) {
	case 0:
	case 1:
	case 2:
		try_submit(model);
		break;
	case 3:
		try_cancel(model);
		break;
	case 4:
		if (out_count > 0)
			one_turn(&loop);
		break;
	case 5:
		offload_wait(&offload, clock_now_ns() + random / 64 % 50 * 1000);
		break;
	default:
		sched_yield();          /* the thread may get further, or not */
		break;
	}
	ck_assert_uint_eq(offload.count, out_count);
}

START_TEST(a_random_history_is_as_the_model_says)
{
	unsigned state = 12345 + (unsigned)_i;

	offload_widen(&offload, 1 + (unsigned)_i % 3);
	for (unsigned i = 0; i < JOBS; i++)
		models[i].probe.job = (struct offload_job){ .work = work, .done = model_done };
	for (unsigned i = 0; i < STEPS; i++) {
		state = state * 1664525 + 1013904223;
		step(state >> 8);
	}
	ck_assert_uint_eq(offload_close(&offload, soon()), 0);
	ck_assert_uint_eq(out_count, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("offload");
	TCase *jobs = tcase_create("jobs"), *random = tcase_create("random");

	tcase_add_checked_fixture(jobs, set_up, tear_down);
	tcase_add_checked_fixture(random, set_up, tear_down);
	tcase_set_timeout(random, 60);
	suite_add_tcase(all, jobs);
	suite_add_tcase(all, random);
	tcase_add_test(jobs, nothing_is_made_before_the_first_job);
	tcase_add_test(jobs, a_job_is_worked_on_elsewhere_and_done_on_the_loop);
	tcase_add_test(jobs, the_thread_takes_no_signal_but_for_its_own_faults);
	tcase_add_test(jobs, jobs_are_done_in_their_order);
	tcase_add_test(jobs, more_than_the_bound_are_refused);
	tcase_add_test(jobs, a_job_is_not_taken_twice);
	tcase_add_test(jobs, a_queued_job_is_taken_out);
	tcase_add_test(jobs, a_job_under_way_is_told);
	tcase_add_test(jobs, done_may_submit_it_again);
	tcase_add_test(jobs, a_close_finishes_what_is_queued);
	tcase_add_test(jobs, a_close_does_not_wait_for_ever);
	tcase_add_test(jobs, a_wide_one_goes_on_beside_a_job_that_hangs);
	tcase_add_test(jobs, there_are_no_more_threads_than_were_allowed);
	tcase_add_test(jobs, a_thread_that_has_nothing_to_do_is_taken_before_another_is_made);
	tcase_add_test(jobs, threads_without_a_job_end_and_are_made_anew);
	tcase_add_test(jobs, a_thread_with_a_job_stays);
	tcase_add_test(jobs, a_close_ends_the_threads_that_do_not_hang);
	tcase_add_test(jobs, a_forked_child_has_one_of_its_own);
	tcase_add_loop_test(random, a_random_history_is_as_the_model_says, 0, 4);
	return all;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
