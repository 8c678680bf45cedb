/* task_test.c - work for an exchange in the helper thread: it answers, it is dropped when the exchange ends,
 * its memory stays until the thread has let go of it. */
#include "fake_server.h"

#include "base/clock.h"
#include "http/task.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 3 };

static struct fake_server server;
static struct fake_client clients[4];
static struct offload offload;
static sem_t begun, gate;
static unsigned worked, answered, released;
static bool saw_drop;

/* A service whose answer is worked out elsewhere, in `steps` steps; at a gate if it has one. */
struct errand {
	struct task task;
	unsigned steps;
	bool gated;
	char text[16];
};

static struct errand_settings {
	unsigned steps;
	bool gated, yields;
} settings;

static void errand_work(struct task *task)
{
	struct errand *errand = LIST_ENTRY(task, struct errand, task);

	worked++;
	if (errand->gated) {
		sem_post(&begun);
		while (sem_wait(&gate) < 0)
			;
		saw_drop = task_is_dropped(task);
	}
	errand->steps--;
	strcpy(errand->text, "done");
}

static enum task_after errand_done(struct task *task, struct exchange *exchange)
{
	struct errand *errand = LIST_ENTRY(task, struct errand, task);
	const char *text = arena_copy(&exchange->arena, str_of(errand->text));

	ck_assert_ptr_null(exchange->task);
	if (errand->steps > 0)
		return TASK_AGAIN;
	exchange->response = (struct response){
		.status = 200, .body = BODY_MEMORY, .memory = str_of(text), .length_known = true,
		.length = strlen(text), .file_fd = -1,
	};
	answered++;
	exchange_answer(exchange);
	return TASK_OVER;
}

static void errand_release(struct task *task)
{
	released++;
	free(LIST_ENTRY(task, struct errand, task));
}

static enum answer errand_start(struct exchange *exchange, const void *opaque)
{
	struct errand *errand = calloc(1, sizeof(*errand));

	(void)opaque;
	errand->task = (struct task){ .work = errand_work, .done = errand_done, .release = errand_release };
	errand->task.yields = settings.yields;
	errand->steps = settings.steps;
	errand->gated = settings.gated;
	if (task_submit(&errand->task, exchange))
		return ANSWER_LATER;
	task_refused(exchange);
	return ANSWERED;
}

static const struct service errand = { .name = "errand", .start = errand_start };

/* The root's route answers by an errand. */
static void set_up(void)
{
	struct route *route;

	fake_server_open(&server, &protocol_http1);
	route = (struct route *)route_find(route_site(server.engine.generation, str_of("")), str_of("/"));
	route->service = &errand;
	offload_init(&offload, &server.loop, MOST);
	server.engine.offload = &offload;
	sem_init(&begun, 0, 0);
	sem_init(&gate, 0, 0);
	settings = (struct errand_settings){ .steps = 1 };
}

static void tear_down(void)
{
	ck_assert_uint_eq(offload_close(&offload, clock_now_ns() + 10 * CLOCK_S), 0);
	fake_server_close(&server);
}

static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

static bool was_answered(unsigned client, const char *status)
{
	char line[32];

	snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
	return fake_until_eof(&clients[client]) && strncmp(clients[client].text, line, strlen(line)) == 0;
}

/* A request whose task is under way. */
static void hold(void)
{
	settings.gated = true;
	fake_connect(&server, &clients[0], request);
	while (sem_wait(&begun) < 0)
		;
	settings.gated = false;
}

START_TEST(a_task_answers_its_exchange)
{
	fake_connect(&server, &clients[0], request);
	ck_assert(was_answered(0, "200"));
	ck_assert_ptr_nonnull(strstr(clients[0].text, "\r\n\r\ndone"));
	ck_assert_uint_eq(released, 1);
}
END_TEST

START_TEST(a_task_goes_in_steps)
{
	settings.steps = 5;
	fake_connect(&server, &clients[0], request);
	ck_assert(was_answered(0, "200"));
	ck_assert_uint_eq(worked, 5);
	ck_assert_uint_eq(answered, 1);
	ck_assert_uint_eq(released, 1);
}
END_TEST

static bool is_released(void *what)
{
	return released >= *(unsigned *)what;
}

static bool is_gone(void *what)
{
	(void)what;
	return server.engine.count == 0;
}

START_TEST(a_task_that_waits_is_released_when_its_client_goes)
{
	hold();
	fake_connect(&server, &clients[1], request);
	ck_assert_uint_eq(offload.count, 2);
	fake_hang_up(&clients[1]);
	ck_assert(fake_until(&server, is_released, &(unsigned){ 1 }));
	ck_assert_uint_eq(offload.count, 1);
	sem_post(&gate);
	ck_assert(was_answered(0, "200"));
	ck_assert_uint_eq(worked, 1);
}
END_TEST

START_TEST(a_task_under_way_keeps_its_memory_when_its_client_goes)
{
	hold();
	fake_hang_up(&clients[0]);
	ck_assert(fake_until(&server, is_gone, NULL));
	ck_assert_uint_eq(released, 0);
	sem_post(&gate);
	ck_assert(fake_until(&server, is_released, &(unsigned){ 1 }));
	ck_assert(saw_drop);
	ck_assert_uint_eq(answered, 0);
}
END_TEST

START_TEST(a_dropped_task_does_not_go_on)
{
	settings.steps = 5;
	hold();
	fake_hang_up(&clients[0]);
	ck_assert(fake_until(&server, is_gone, NULL));
	sem_post(&gate);
	ck_assert(fake_until(&server, is_released, &(unsigned){ 1 }));
	ck_assert_uint_eq(worked, 1);
	ck_assert_uint_eq(offload.count, 0);
}
END_TEST

START_TEST(one_too_many_is_refused_and_told_when_to_come_again)
{
	hold();
	fake_connect(&server, &clients[1], request);
	fake_connect(&server, &clients[2], request);
	fake_connect(&server, &clients[3], request);
	ck_assert(was_answered(3, "503"));
	ck_assert_ptr_nonnull(strstr(clients[3].text, "\r\nRetry-After: "));
	ck_assert_uint_eq(server.counters[COUNT_TASKS_REFUSED], 1);
	sem_post(&gate);
	ck_assert(was_answered(2, "200"));
	ck_assert_uint_eq(released, 4);
}
END_TEST

START_TEST(the_last_place_is_not_for_what_yields)
{
	hold();
	settings.yields = true;
	fake_connect(&server, &clients[1], request);
	fake_connect(&server, &clients[2], request);
	ck_assert(was_answered(2, "503"));
	settings.yields = false;
	fake_connect(&server, &clients[3], request);
	sem_post(&gate);
	ck_assert(was_answered(3, "200"));
	ck_assert(was_answered(1, "200"));
}
END_TEST

START_TEST(a_client_does_not_wait_for_ever)
{
	hold();
	timers_run(&server.loop.timers, server.loop.now_ns + 29 * CLOCK_S);
	ck_assert_uint_eq(server.counters[COUNT_TASKS_REFUSED], 0);
	timers_run(&server.loop.timers, server.loop.now_ns + 31 * CLOCK_S);
	ck_assert(was_answered(0, "503"));
	ck_assert_uint_eq(server.counters[COUNT_TASKS_REFUSED], 1);
	ck_assert_uint_eq(released, 0);
	sem_post(&gate);
	ck_assert(fake_until(&server, is_released, &(unsigned){ 1 }));
	ck_assert_uint_eq(answered, 0);
}
END_TEST

START_TEST(without_a_helper_there_is_a_503)
{
	server.engine.offload = NULL;
	fake_connect(&server, &clients[0], request);
	ck_assert(was_answered(0, "503"));
	ck_assert_uint_eq(released, 1);
}
END_TEST

START_TEST(the_end_of_the_server_drops_what_is_under_way)
{
	hold();
	fake_connect(&server, &clients[1], request);
	engine_cut(&server.engine);
	ck_assert_uint_eq(released, 1);
	sem_post(&gate);
	offload_wait(&offload, clock_now_ns() + 10 * CLOCK_S);
	ck_assert_uint_eq(released, 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("task");
	TCase *tasks = tcase_create("task");

	tcase_add_checked_fixture(tasks, set_up, tear_down);
	suite_add_tcase(all, tasks);
	tcase_add_test(tasks, a_task_answers_its_exchange);
	tcase_add_test(tasks, a_task_goes_in_steps);
	tcase_add_test(tasks, a_task_that_waits_is_released_when_its_client_goes);
	tcase_add_test(tasks, a_task_under_way_keeps_its_memory_when_its_client_goes);
	tcase_add_test(tasks, a_dropped_task_does_not_go_on);
	tcase_add_test(tasks, one_too_many_is_refused_and_told_when_to_come_again);
	tcase_add_test(tasks, the_last_place_is_not_for_what_yields);
	tcase_add_test(tasks, a_client_does_not_wait_for_ever);
	tcase_add_test(tasks, without_a_helper_there_is_a_503);
	tcase_add_test(tasks, the_end_of_the_server_drops_what_is_under_way);
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
