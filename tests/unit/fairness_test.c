/* Who is fast and wants much does not keep the others waiting: what a connection gets of a turn is bounded,
 * and the others have theirs before it goes on. The transport takes everything at once and moves nothing, as
 * the fastest client would: only the budget ends a turn. */
#include "fake_server.h"

#include "base/clock.h"
#include "http/response.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

enum {
	A_TURN = 4 * 512 * 1024 + 64 * 1024,    /* BYTES_A_TURN of http1.c, four times, and SPLICED_BYTES */
	EXCHANGES = 16,                 /* EXCHANGES_A_TURN */
	SMALL = 2,
	TURNS = 50,
};

static struct fake_server server;
static struct fake_client puller, small[SMALL];
static size_t pulled;                   /* bytes of the large file */
static struct transport bottomless;

static enum io take_all(struct conn *conn, int file_fd, off_t *offset, size_t len, size_t *sent)
{
	(void)conn, (void)file_fd;
	*offset += (off_t)len;
	*sent = len;
	pulled += len;
	return IO_OK;
}

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
	bottomless = transport_plain;
	bottomless.send_file = take_all;
	server.engine.transport = &bottomless;
	pulled = 0;
}

static void tear_down(void)
{
	fake_server_close(&server);
}

/* A file of `len` bytes and as old to the server as a minute: it is sent by the kernel, not copied. */
static void large_file(off_t len)
{
	struct wall *wall = (struct wall *)(uintptr_t)wall_clock(&server.loop);
	char path[128];
	int fd;

	fake_file(&server, "large", "", 0);
	snprintf(path, sizeof(path), "%s/large", server.root);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, len), 0);
	close(fd);
	wall->now += 60;
	wall->until_ns = UINT64_MAX;
}

static bool all_are_answered(void *what)
{
	unsigned turns = *(unsigned *)what;

	for (unsigned i = 0; i < SMALL; i++)
		if (fake_count(&small[i], "hello\n") < turns)
			return false;
	return true;
}

static void connect_small(void)
{
	for (unsigned i = 0; i < SMALL; i++)
		fake_connect(&server, &small[i], "");
	fake_turn(&server);
}

START_TEST(a_puller_has_no_more_of_a_turn_than_its_budget)
{
	size_t before;

	large_file(1 << 30);
	fake_connect(&server, &puller, GET("/large"));
	fake_turn(&server);
	for (unsigned i = 0; i < TURNS; i++) {
		before = pulled;
		fake_turn(&server);
		ck_assert_uint_le(pulled - before, A_TURN);
		ck_assert_uint_gt(pulled, before);
	}
}
END_TEST

START_TEST(small_clients_are_answered_in_every_turn_beside_a_puller)
{
	size_t before;
	unsigned turns = 0;

	large_file(1 << 30);
	connect_small();
	fake_connect(&server, &puller, GET("/large"));
	fake_turn(&server);
	while (turns < TURNS) {
		turns++;
		for (unsigned i = 0; i < SMALL; i++)
			fake_send(&small[i], GET("/hello"));
		before = pulled;
		ck_assert(fake_until(&server, all_are_answered, &turns));
		ck_assert_uint_le(pulled - before, 2 * A_TURN); /* their events may come in the next turn */
	}
	ck_assert_uint_lt(pulled, 1 << 30);
}
END_TEST

START_TEST(who_sends_many_requests_has_no_more_of_a_turn_than_its_budget)
{
	unsigned turns = 1;

	connect_small();
	fake_connect(&server, &puller, "");
	fake_turn(&server);
	for (unsigned i = 0; i < 10 * EXCHANGES; i++)
		fake_send(&puller, GET("/hello"));
	for (unsigned i = 0; i < SMALL; i++)
		fake_send(&small[i], GET("/hello"));
	ck_assert(fake_until(&server, all_are_answered, &turns));
	ck_assert_uint_le(fake_count(&puller, "hello\n"), 2 * EXCHANGES);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fairness");
	TCase *tcase = tcase_create("turns");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_puller_has_no_more_of_a_turn_than_its_budget);
	tcase_add_test(tcase, small_clients_are_answered_in_every_turn_beside_a_puller);
	tcase_add_test(tcase, who_sends_many_requests_has_no_more_of_a_turn_than_its_budget);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
