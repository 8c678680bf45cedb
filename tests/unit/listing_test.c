/* listing_test.c - listings through an engine: what they leave behind, and what happens at their bounds. */
#include "fake_server.h"

#include "base/clock.h"
#include "base/offload.h"
#include "service/entries.h"
#include "service/files_find.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 600 };                   /* their page is larger than what a socket takes at once */

static struct fake_server server;
static struct fake_client client;
static struct offload offload;

static void set_up(void)
{
	const struct route *route;
	char name[192];

	fake_server_open(&server, &protocol_http1);
	offload_init(&offload, &server.loop, 4);
	server.engine.offload = &offload;
	route = route_find(route_site(server.engine.generation, str_of("")), str_of("/"));
	((struct files_settings *)route->settings)->listing = true;
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%0150d", i);
		fake_file(&server, name, "", 0);
	}
}

static void tear_down(void)
{
	engine_cut(&server.engine);
	ck_assert_uint_eq(offload_close(&offload, clock_now_ns() + 10 * CLOCK_S), 0);
	ck_assert_uint_eq(entries_total(), 0);
	fake_server_close(&server);
}

static void ask(const char *method, const char *target)
{
	char request[256];

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", method,
		 target);
	fake_connect(&server, &client, request);
}

static bool has_status(const char *status)
{
	return strncmp(client.text + strlen("HTTP/1.1 "), status, 3) == 0;
}

START_TEST(a_directory_is_listed)
{
	ask("GET", "/?format=json");
	ck_assert(fake_until_eof(&client));
	ck_assert(has_status("200"));
	ck_assert_uint_eq(fake_count(&client, "\"name\":"), FILES);
}
END_TEST

START_TEST(a_head_leaves_nothing_behind)
{
	ask("HEAD", "/");
	ck_assert(fake_until_eof(&client));
	ck_assert(has_status("200"));
	ck_assert_ptr_nonnull(strstr(client.text, "\r\nTransfer-Encoding: chunked\r\n"));
	ck_assert_ptr_eq(strstr(client.text, "\r\n\r\n") + 4, client.text + client.len);
	ck_assert_uint_eq(entries_total(), 0);
}
END_TEST

static bool is_sending(void *what)
{
	(void)what;
	return server.counters[COUNT_STATUS_2XX] > 0;
}

static bool is_gone(void *what)
{
	(void)what;
	return server.engine.count == 0;
}

static void begin_to_send(void)
{
	fake_connect(&server, &client, "");
	client.deaf = true;
	fake_send(&client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert(fake_until(&server, is_sending, NULL));
	ck_assert_uint_gt(entries_total(), 0);
}

START_TEST(a_client_that_goes_while_it_is_sent_leaves_nothing_behind)
{
	begin_to_send();
	fake_hang_up(&client);
	ck_assert(fake_until(&server, is_gone, NULL));
	ck_assert_uint_eq(entries_total(), 0);
}
END_TEST

START_TEST(a_listing_that_is_cut_leaves_nothing_behind)
{
	begin_to_send();
	engine_cut(&server.engine);
	ck_assert_uint_eq(entries_total(), 0);
}
END_TEST

START_TEST(a_client_that_goes_while_it_is_read_leaves_nothing_behind)
{
	ask("GET", "/");
	fake_hang_up(&client);
	ck_assert(fake_until(&server, is_gone, NULL));
	offload_wait(&offload, clock_now_ns() + 10 * CLOCK_S);
	ck_assert_uint_eq(entries_total(), 0);
}
END_TEST

/* As if other listings had it all. */
static void take_memory(struct entries *tables, unsigned count)
{
	static const char name[] = "as long as the others";
	struct stat stat = { .st_mode = S_IFREG };

	for (unsigned i = 0; i < count; i++)
		while (entries_add(&tables[i], str_of(name), &stat) == ENTRIES_OK)
			;
}

static sem_t may_go_on;

static void wait_for_leave(struct offload_job *job)
{
	(void)job;
	sem_wait(&may_go_on);
}

static void is_over(struct offload_job *job)
{
	(void)job;
}

static bool is_queued(void *what)
{
	(void)what;
	return offload.count == 2;
}

START_TEST(a_directory_that_was_removed_before_it_was_read_is_not_there)
{
	struct offload_job busy = { .work = wait_for_leave, .done = is_over };
	char path[128];

	sem_init(&may_go_on, 0, 0);
	snprintf(path, sizeof(path), "%s/gone", server.root);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert(offload_submit(&offload, &busy));
	ask("GET", "/gone/");
	ck_assert(fake_until(&server, is_queued, NULL));
	ck_assert_int_eq(rmdir(path), 0);
	sem_post(&may_go_on);
	ck_assert(fake_until_eof(&client));
	ck_assert(has_status("404"));
}
END_TEST

START_TEST(without_memory_for_more_listings_there_is_a_503)
{
	struct entries tables[2] = { 0 };

	take_memory(tables, 2);
	ask("GET", "/");
	ck_assert(fake_until_eof(&client));
	ck_assert(has_status("503"));
	ck_assert_ptr_nonnull(strstr(client.text, "\r\nRetry-After: "));
	ck_assert_uint_eq(server.counters[COUNT_TASKS_REFUSED], 1);
	for (unsigned i = 0; i < 2; i++)
		entries_free(&tables[i]);
}
END_TEST

START_TEST(without_a_helper_there_is_a_503)
{
	server.engine.offload = NULL;
	ask("GET", "/");
	ck_assert(fake_until_eof(&client));
	ck_assert(has_status("503"));
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("listing");
	TCase *listing = tcase_create("listing");

	tcase_add_checked_fixture(listing, set_up, tear_down);
	suite_add_tcase(all, listing);
	tcase_add_test(listing, a_directory_is_listed);
	tcase_add_test(listing, a_head_leaves_nothing_behind);
	tcase_add_test(listing, a_client_that_goes_while_it_is_sent_leaves_nothing_behind);
	tcase_add_test(listing, a_listing_that_is_cut_leaves_nothing_behind);
	tcase_add_test(listing, a_client_that_goes_while_it_is_read_leaves_nothing_behind);
	tcase_add_test(listing, a_directory_that_was_removed_before_it_was_read_is_not_there);
	tcase_add_test(listing, without_memory_for_more_listings_there_is_a_503);
	tcase_add_test(listing, without_a_helper_there_is_a_503);
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
