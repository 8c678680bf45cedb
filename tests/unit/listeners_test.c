/* listeners_test.c - what a worker knows of the addresses that connections came in at, through reloads. */
#include "worker/worker.h"

#include "config/listeners.h"

#include "base/clock.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct worker worker;
static uint64_t counters[COUNTERS];
static struct hot_line line;
static struct hot_seat seat;
static int sockets[2];
static char addresses[2][ADDR_TEXT_BYTES];

static void nothing(struct conn *conn)
{
	(void)conn;
}

static enum served wait_for_ever(struct conn *conn)
{
	(void)conn;
	return SERVED_WAIT;
}

static enum doing idle(const struct conn *conn)
{
	(void)conn;
	return DOING_IDLE;
}

static const struct protocol protocol_silent = {
	.name = "silent",
	.open = nothing,
	.ready = wait_for_ever,
	.timeout = wait_for_ever,
	.adopt = wait_for_ever,
	.close = nothing,
	.doing = idle,
};

static int listening_socket(char text[ADDR_TEXT_BYTES])
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&address, &len);
	snprintf(text, ADDR_TEXT_BYTES, "127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

/* A generation that listens on these addresses (NULL: the end), with keep_alive of so many seconds each. */
static struct generation *generation_of(uint64_t number, const char *first, unsigned first_s,
					const char *second, unsigned second_s)
{
	const char *texts[] = { first, second };
	unsigned seconds[] = { first_s, second_s };
	struct generation *generation = generation_new(number, NULL);
	struct config *config = arena_alloc(&generation->arena, sizeof(*config));
	struct err err;

	config->connections = 16;
	config->listen.at = arena_alloc(&generation->arena, 2 * sizeof(void *));
	for (unsigned i = 0; i < 2 && texts[i] != NULL; i++) {
		struct listen_config *listen = arena_alloc(&generation->arena, sizeof(*listen));

		listen->address = arena_copy(&generation->arena, str_of(texts[i]));
		listen->keep_alive_ns = seconds[i] * CLOCK_S;
		config->listen.at[config->listen.count++] = listen;
	}
	generation->config = config;
	ck_assert_msg(listeners_prepare(generation, &err), "%s", err.text);
	list_push_back(&worker.generations, &generation->link);
	return generation;
}

/* As at GO. */
static void serve(struct generation *next)
{
	listeners_follow(&worker, next);
	generation_unpin(engine_adopt(&worker.engine, next));
}

static unsigned generations_alive(void)
{
	unsigned count = 0;

	for (const struct list *link = worker.generations.next; link != &worker.generations;
	     link = link->next)
		count++;
	return count;
}

static void hold(unsigned which)
{
	struct socket_note note = { .listener = which + 1 };

	ck_assert(accept_hold(&worker, &note, dup(sockets[which]), 1));
}

static void let_go(unsigned which)
{
	struct release_note note = { .listener_count = 1, .listeners = { which + 1 } };

	accept_release(&worker, &note);
}

static const struct engine_listener *listener_of(unsigned which)
{
	for (const struct list *link = worker.engine.listeners.next; link != &worker.engine.listeners;
	     link = link->next) {
		const struct engine_listener *listener = LIST_ENTRY(link, struct engine_listener, link);

		if (strcmp(listener->address, addresses[which]) == 0)
			return listener;
	}
	return NULL;
}

static uint64_t keep_alive_s(unsigned which)
{
	ck_assert_ptr_nonnull(listener_of(which));
	return listener_of(which)->rules->keep_alive_ns / CLOCK_S;
}

static void set_up(void)
{
	struct err err;

	memset(&worker, 0, sizeof(worker));
	list_init(&worker.sockets);
	list_init(&worker.released);
	list_init(&worker.generations);
	ck_assert(loop_open(&worker.loop, &err));
	engine_init(&worker.engine, &worker.loop, &protocol_silent, counters);
	hand_init(&worker);
	take_init(&worker);
	worker.serving = true;
	worker.line = &line;
	worker.seat = &seat;
	worker.open_files = 1024;
	for (unsigned i = 0; i < 2; i++)
		sockets[i] = listening_socket(addresses[i]);
	hold(0);
	serve(generation_of(1, addresses[0], 11, addresses[1], 12));
	hold(1);
}

/* With its connections and sockets everything is gone. */
static void tear_down(void)
{
	engine_cut(&worker.engine);
	accept_end(&worker, EMPTY_NOT);
	accept_sweep(&worker.sweep);
	worker.engine.sweep.run(&worker.engine.sweep);
	ck_assert(list_empty(&worker.engine.listeners));
	ck_assert_uint_eq(generations_alive(), 1);
	generation_unpin(worker.engine.generation);
	ck_assert_uint_eq(generations_alive(), 0);
	engine_free(&worker.engine);
	loop_close(&worker.loop);
	for (unsigned i = 0; i < 2; i++)
		fd_close(&sockets[i]);
}

static void connect_at(unsigned which)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert(engine_accept(&worker.engine, pair[1], &peer,
				which < 2 ? (struct engine_listener *)(uintptr_t)listener_of(which) : NULL));
}

START_TEST(a_socket_goes_by_the_entry_of_its_address)
{
	ck_assert_uint_eq(keep_alive_s(0), 11);         /* it was there before the generation */
	ck_assert_uint_eq(keep_alive_s(1), 12);
}
END_TEST

START_TEST(an_entry_that_moves_is_the_same_listener)
{
	serve(generation_of(2, addresses[1], 22, addresses[0], 21));
	ck_assert_uint_eq(keep_alive_s(0), 21);
	ck_assert_uint_eq(keep_alive_s(1), 22);
	ck_assert_uint_eq(generations_alive(), 1);
}
END_TEST

START_TEST(two_sockets_of_an_address_are_one_listener)
{
	hold(0);
	ck_assert_uint_eq(listener_of(0)->sockets, 2);
	let_go(0);
	ck_assert_ptr_null(listener_of(0));
}
END_TEST

/* Its queue is still to be emptied, and who waits there may have a PROXY header to send. */
START_TEST(a_removed_entry_counts_until_its_sockets_are_let_go)
{
	connect_at(1);
	serve(generation_of(2, addresses[0], 21, NULL, 0));
	ck_assert_uint_eq(keep_alive_s(1), 12);
	ck_assert_uint_eq(generations_alive(), 2);
	serve(generation_of(3, addresses[0], 31, NULL, 0));
	ck_assert_uint_eq(keep_alive_s(1), 12);
	ck_assert_uint_eq(generations_alive(), 2);
	let_go(1);
	ck_assert_uint_eq(keep_alive_s(1), 0);          /* as the settings for all say */
	ck_assert_uint_eq(generations_alive(), 1);
	ck_assert_uint_eq(keep_alive_s(0), 31);
}
END_TEST

START_TEST(connections_of_an_address_that_comes_back_have_its_rules)
{
	connect_at(1);
	serve(generation_of(2, addresses[0], 21, NULL, 0));
	let_go(1);
	serve(generation_of(3, addresses[0], 31, addresses[1], 32));
	ck_assert_uint_eq(keep_alive_s(1), 32);
	hold(1);
	ck_assert_uint_eq(keep_alive_s(1), 32);
	ck_assert_uint_eq(listener_of(1)->conns, 1);
}
END_TEST

START_TEST(a_listener_goes_with_its_last_connection)
{
	connect_at(1);
	let_go(1);
	ck_assert_uint_eq(keep_alive_s(1), 12);         /* a worker that leaves has let its sockets go */
	engine_cut(&worker.engine);
	ck_assert_ptr_nonnull(listener_of(1));          /* who closed it may ask for its engine */
	worker.engine.sweep.run(&worker.engine.sweep);
	ck_assert_ptr_null(listener_of(1));
}
END_TEST

START_TEST(a_connection_that_came_otherwise_has_no_rules_of_its_own)
{
	connect_at(2);
	ck_assert_ptr_eq(LIST_ENTRY(worker.engine.conns.next, struct conn, link)->listener->rules,
			 &listener_without_rules);
}
END_TEST

START_TEST(what_is_no_socket_is_not_held)
{
	struct socket_note note = { .listener = 9 };
	int pipe_fds[2];

	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert(!accept_hold(&worker, &note, pipe_fds[0], 1));
	ck_assert_int_eq(close(pipe_fds[0]), -1);       /* it was closed */
	close(pipe_fds[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("listeners");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_add_test(all, a_socket_goes_by_the_entry_of_its_address);
	tcase_add_test(all, an_entry_that_moves_is_the_same_listener);
	tcase_add_test(all, two_sockets_of_an_address_are_one_listener);
	tcase_add_test(all, a_removed_entry_counts_until_its_sockets_are_let_go);
	tcase_add_test(all, connections_of_an_address_that_comes_back_have_its_rules);
	tcase_add_test(all, a_listener_goes_with_its_last_connection);
	tcase_add_test(all, a_connection_that_came_otherwise_has_no_rules_of_its_own);
	tcase_add_test(all, what_is_no_socket_is_not_held);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
