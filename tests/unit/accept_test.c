/* Which sockets a worker watches. The open file descriptions live on in the test, as they do in the master,
 * so that a forgotten EPOLL_CTL_DEL shows: the worker's epoll would go on reporting them. */
#include "worker/worker.h"

#include "base/clock.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS = 3, LISTENER = 7, GENERATION = 1 };

static struct worker worker;
static struct generation *generation;
static struct config config = { .connections = 2 };
static uint64_t counters[COUNTERS];
static struct hot_line line;
static struct hot_seat seat;
static struct hot hot;                  /* of a worker that is not alone */
static int sockets[SLOTS];              /* the master's */
static struct sockaddr_in addresses[SLOTS];
static enum doing doing;                /* of every connection */

static uint64_t open_in_accept;         /* what somebody who is killed in the last accept4(2) counts */

static unsigned joining;                /* who comes to the first slot while another one is taken there */

static void connect_to(unsigned slot);

int accept4(int fd, __SOCKADDR_ARG address, socklen_t *len, int flags)
{
	int accepted;

	open_in_accept = counters[COUNT_OPEN];
	accepted = (int)syscall(SYS_accept4, fd, address.__sockaddr__, len, flags);
	if (accepted >= 0 && joining > 0) {
		joining--;
		seat.directed++;
		connect_to(0);
	}
	return accepted;
}

/* A protocol that holds connections and does nothing. */
static void open_nothing(struct conn *conn)
{
	(void)conn;
}

static enum served wait_for_ever(struct conn *conn)
{
	(void)conn;
	return SERVED_WAIT;
}

static enum doing doing_nothing(const struct conn *conn)
{
	(void)conn;
	return doing;
}

static enum served stay(struct conn *conn, bool close_idle)
{
	(void)conn, (void)close_idle;
	return SERVED_WAIT;
}

static const struct protocol protocol_refusing = {
	.name = "refusing",
	.open = open_nothing,
	.ready = wait_for_ever,
	.close = open_nothing,
	.doing = doing_nothing,
};

static const struct protocol protocol_silent = {
	.name = "silent",
	.refusal = &protocol_refusing,
	.open = open_nothing,
	.ready = wait_for_ever,
	.timeout = wait_for_ever,
	.adopt = wait_for_ever,
	.close = open_nothing,
	.drain = stay,
	.doing = doing_nothing,
};

static int listening_socket(struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	ck_assert_int_eq(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)address, &len);
	return fd;
}

static void hold(unsigned slot, uint64_t number)
{
	struct socket_note note = { .listener = LISTENER, .slot = slot };

	accept_hold(&worker, &note, dup(sockets[slot]), number);
}

/* A worker in slot 0 of 2, with the sockets of three slots: the third is surplus. */
static void set_up(void)
{
	struct err err;

	memset(&worker, 0, sizeof(worker));
	list_init(&worker.sockets);
	list_init(&worker.released);
	list_init(&worker.generations);
	list_init(&worker.heirs);
	ck_assert(loop_open(&worker.loop, &err));
	engine_init(&worker.engine, &worker.loop, &protocol_silent, counters);
	hand_init(&worker);
	take_init(&worker);
	generation = generation_new(GENERATION, NULL);
	generation->config = &config;
	worker.engine.generation = generation;
	worker.note = (struct prepare_note){ .slots = 2,
					     .listener_count = 1,
					     .listeners = { { .listener = LISTENER } } };
	worker.serving = true;
	worker.line = &line;
	worker.seat = &seat;
	doing = DOING_WAITING;
	worker.open_files = 1024;
	for (unsigned i = 0; i < SLOTS; i++)
		sockets[i] = listening_socket(&addresses[i]);
}

static void tear_down(void)
{
	accept_end(&worker, EMPTY_NOT);
	accept_sweep(&worker.sweep);
	for (unsigned i = 0; i < SLOTS; i++)
		fd_close(&sockets[i]);
	engine_cut(&worker.engine);
	config = (struct config){ .connections = 2 };
	generation_unpin(worker.engine.generation);
	engine_free(&worker.engine);
	loop_close(&worker.loop);
}

static void connect_to(unsigned slot)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addresses[slot], sizeof(addresses[slot])), 0);
	/* left open: the queue keeps it; the process ends with the test */
}

/* How many events the worker's epoll has, now that a connection waits in the queue. */
static int events_waiting(void)
{
	struct epoll_event events[16];

	return epoll_wait(worker.loop.epoll_fd, events, 16, 0);
}

START_TEST(the_own_slots_socket_is_watched)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	connect_to(0);
	ck_assert_int_eq(events_waiting(), 1);
}
END_TEST

START_TEST(another_slots_socket_is_not_watched)
{
	hold(1, GENERATION);
	accept_apply(&worker);
	connect_to(1);
	ck_assert_int_eq(events_waiting(), 0);
}
END_TEST

START_TEST(a_surplus_socket_is_watched)
{
	hold(2, GENERATION);
	accept_apply(&worker);
	connect_to(2);
	ck_assert_int_eq(events_waiting(), 1);
}
END_TEST

START_TEST(the_socket_of_a_slot_without_a_worker_is_watched)
{
	hold(1, GENERATION);
	slot_set_add(&worker.cover, 1);
	accept_apply(&worker);
	connect_to(1);
	ck_assert_int_eq(events_waiting(), 1);
}
END_TEST

START_TEST(a_slot_that_has_a_worker_again_is_left_alone)
{
	hold(1, GENERATION);
	slot_set_add(&worker.cover, 1);
	accept_apply(&worker);
	memset(&worker.cover, 0, sizeof(worker.cover));
	accept_apply(&worker);
	connect_to(1);
	ck_assert_int_eq(events_waiting(), 0);
}
END_TEST

START_TEST(every_socket_of_a_shared_listener_is_watched)
{
	worker.note.listeners[0].shared = true;
	hold(0, GENERATION);
	hold(1, GENERATION);
	accept_apply(&worker);
	connect_to(0);
	connect_to(1);
	ck_assert_int_eq(events_waiting(), 2);
}
END_TEST

START_TEST(a_listener_is_shared_as_long_as_the_generation_says_so)
{
	worker.note.listeners[0].shared = true;
	hold(1, GENERATION);
	accept_apply(&worker);
	worker.note.listeners[0].shared = false;
	accept_apply(&worker);
	connect_to(1);
	ck_assert_int_eq(events_waiting(), 0);
}
END_TEST

START_TEST(a_socket_of_a_generation_that_is_not_committed_is_not_watched)
{
	hold(2, GENERATION + 1);
	accept_apply(&worker);
	connect_to(2);
	ck_assert_int_eq(events_waiting(), 0);
}
END_TEST

START_TEST(nothing_is_watched_when_the_worker_leaves)
{
	hold(0, GENERATION);
	hold(2, GENERATION);
	accept_apply(&worker);
	accept_end(&worker, EMPTY_NOT);
	connect_to(0);
	connect_to(2);
	ck_assert_int_eq(events_waiting(), 0);
}
END_TEST

START_TEST(sockets_of_a_called_off_generation_are_given_back)
{
	hold(0, GENERATION);
	hold(2, GENERATION + 1);
	accept_abort(&worker, GENERATION + 1);
	ck_assert_ptr_eq(worker.sockets.next, worker.sockets.prev);
	ck_assert(!list_empty(&worker.sockets));
}
END_TEST

/* Accepts whatever is reported until nothing is. */
static void accept_all(void)
{
	struct epoll_event events[16];

	for (int rounds = 0; rounds < 100 && epoll_wait(worker.loop.epoll_fd, events, 16, 0) > 0; rounds++) {
		struct held_socket *held = LIST_ENTRY(worker.sockets.next, struct held_socket, link);

		held->source.handle(&held->source, EPOLLIN);
	}
}

START_TEST(at_the_limit_the_rest_stays_in_the_backlog)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	for (int i = 0; i < 5; i++)
		connect_to(0);
	accept_all();
	ck_assert_uint_eq(worker.engine.count, config.connections);
}
END_TEST

START_TEST(who_is_killed_in_accept_has_the_connection_already)
{
	config.connections = 100;
	hold(0, GENERATION);
	accept_apply(&worker);
	for (unsigned i = 1; i <= 3; i++) {
		connect_to(0);
		accept_all();
		ck_assert_uint_eq(counters[COUNT_OPEN], i);
		ck_assert_uint_eq(open_in_accept, i + 1);       /* the last one found nobody */
	}
}
END_TEST

START_TEST(descriptors_are_kept_for_files_and_reloads)
{
	config.connections = 100;
	worker.open_files = 36;         /* 32 are kept, and one is the socket's */
	hold(0, GENERATION);
	accept_apply(&worker);
	for (int i = 0; i < 5; i++)
		connect_to(0);
	accept_all();
	ck_assert_uint_eq(worker.engine.count, 3);
}
END_TEST

/* Accepts two, and lets `age_ns` pass. */
static void fill_up(uint64_t age_ns)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	for (int i = 0; i < 2; i++)
		connect_to(0);
	accept_all();
	worker.loop.now_ns += age_ns;
}

START_TEST(at_the_limit_an_idle_connection_makes_room)
{
	doing = DOING_IDLE;
	fill_up(2 * CLOCK_S);
	connect_to(0);
	accept_all();
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 3);
	ck_assert_uint_eq(counters[COUNT_SHED], 1);
	ck_assert_uint_eq(worker.engine.count, config.connections);
	ck_assert(!worker.full);
}
END_TEST

START_TEST(at_the_limit_a_busy_connection_does_not_make_room)
{
	fill_up(2 * CLOCK_S);
	connect_to(0);
	accept_all();
	ck_assert_uint_eq(counters[COUNT_SHED], 0);
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 2);
	ck_assert(worker.full);
}
END_TEST

START_TEST(at_the_limit_it_is_looked_for_idle_connections_again)
{
	fill_up(2 * CLOCK_S);
	connect_to(0);
	accept_all();
	doing = DOING_IDLE;
	ck_assert(timer_armed(&worker.pause));
	worker.pause.fire(&worker.pause, worker.loop.now_ns);
	accept_all();
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 3);
}
END_TEST

START_TEST(out_of_descriptors_an_idle_connection_makes_room)
{
	struct rlimit limit, few;

	config.connections = 100;
	doing = DOING_IDLE;
	fill_up(2 * CLOCK_S);
	connect_to(0);
	getrlimit(RLIMIT_NOFILE, &limit);
	few = (struct rlimit){ (rlim_t)dup(0), limit.rlim_max };        /* the next one is over the limit */
	close((int)few.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &few);
	accept_all();
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_uint_eq(counters[COUNT_SHED], 1);
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 3);
}
END_TEST

START_TEST(at_the_limit_nothing_spins)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	for (int i = 0; i < 5; i++)
		connect_to(0);
	accept_all();
	/* the connections that were taken have nothing to say; the socket would be reported for ever */
	ck_assert(!LIST_ENTRY(worker.sockets.next, struct held_socket, link)->source.added);
}
END_TEST

START_TEST(at_the_limit_a_queue_that_was_emptied_counts_as_empty)
{
	doing = DOING_IDLE;
	fill_up(2 * CLOCK_S);
	connect_to(0);
	seat.directed = 3;
	accept_all();
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 3);
	ck_assert_uint_eq(line.taken, 3);
}
END_TEST

START_TEST(who_comes_while_others_are_taken_is_not_on_the_way)
{
	struct held_socket *held;

	config.connections = 10;
	hold(0, GENERATION);
	accept_apply(&worker);
	held = LIST_ENTRY(worker.sockets.next, struct held_socket, link);
	connect_to(0);
	seat.directed = 1;
	joining = 3;
	held->source.handle(&held->source, EPOLLIN);
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 4);
	ck_assert_uint_eq(line.taken, 4);
}
END_TEST

/* A queue that a whole batch emptied may be found as full again much later. */
START_TEST(a_batch_that_empties_the_queue_leaves_nobody_behind)
{
	struct held_socket *held;

	config.connections = 200;
	listen(sockets[0], 100);
	worker.loop.now_ns = clock_now_ns();
	hold(0, GENERATION);
	accept_apply(&worker);
	for (int i = 0; i < 64; i++)
		connect_to(0);
	held = LIST_ENTRY(worker.sockets.next, struct held_socket, link);
	while (counters[COUNT_ACCEPTED] < 64)
		held->source.handle(&held->source, EPOLLIN);
	ck_assert_uint_eq(held->queue.behind_since_ns, 0);
}
END_TEST

START_TEST(the_board_says_that_nothing_is_accepted_at_the_limit)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	connect_to(0);
	accept_all();
	ck_assert_uint_eq(line.holding, 0);
	for (int i = 0; i < 5; i++)
		connect_to(0);
	accept_all();
	ck_assert_uint_eq(line.holding, 1);
	conn_close(LIST_ENTRY(worker.engine.conns.next, struct conn, link));
	accept_room(&worker);
	ck_assert_uint_eq(line.holding, 0);
}
END_TEST

START_TEST(accept_goes_on_when_connections_have_ended)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	for (int i = 0; i < 5; i++)
		connect_to(0);
	accept_all();
	conn_close(LIST_ENTRY(worker.engine.conns.next, struct conn, link));
	accept_room(&worker);
	ck_assert(LIST_ENTRY(worker.sockets.next, struct held_socket, link)->source.added);
}
END_TEST

/* Twelve come, and are reported once, in a turn that has lasted so long. */
static void come_in_a_turn(uint64_t age_ns)
{
	struct held_socket *held;

	config.connections = 100;
	hold(0, GENERATION);
	accept_apply(&worker);
	for (int i = 0; i < 12; i++)
		connect_to(0);
	held = LIST_ENTRY(worker.sockets.next, struct held_socket, link);
	worker.loop.now_ns = clock_now_ns() - age_ns;
	held->source.handle(&held->source, EPOLLIN);
}

START_TEST(a_turn_accepts_a_batch)
{
	come_in_a_turn(0);
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 12);
}
END_TEST

START_TEST(a_turn_that_lasts_long_accepts_few)
{
	come_in_a_turn(20 * CLOCK_MS);
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 8);
	accept_all();
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 12);
}
END_TEST

/* ---- refusing -------------------------- */

/* Two connections are open, and `more` want to come. */
static void come(unsigned more)
{
	config.when_full = FULL_REFUSE;
	fill_up(2 * CLOCK_S);
	for (unsigned i = 0; i < more; i++)
		connect_to(0);
	accept_all();
}

/* It serves slot 0, and another worker serves slot 1. */
static void have_company(bool holding)
{
	hot = (struct hot){ .slots = 2, .stall_ns = 50 * CLOCK_MS };
	hot.seat[0] = (struct hot_seat){ .line = 1, .good = 1 };
	hot.seat[1] = (struct hot_seat){ .line = 2, .good = 1 };
	hot.line[2].holding = holding;
	worker.hot = &hot;
	worker.line = &hot.line[1];
	worker.seat = &hot.seat[0];
}

START_TEST(who_finds_no_room_is_refused_where_that_is_wanted)
{
	come(3);
	ck_assert_uint_eq(counters[COUNT_REFUSED], 3);
	ck_assert_uint_eq(counters[COUNT_ACCEPTED], 2);
	ck_assert_uint_eq(counters[COUNT_OPEN], 2);
	ck_assert_uint_eq(worker.engine.count, 2);
	ck_assert_uint_eq(worker.engine.refusing, 3);
	ck_assert(!worker.full);
}
END_TEST

START_TEST(who_refuses_says_that_it_is_full)
{
	come(1);
	ck_assert_uint_eq(line.holding, 1);
	conn_close(LIST_ENTRY(worker.engine.conns.next, struct conn, link));
	accept_room(&worker);
	ck_assert_uint_eq(line.holding, 0);
}
END_TEST

START_TEST(only_so_many_are_refused_at_a_time)
{
	config.connections = 2;
	come(0);
	listen(sockets[0], 100);
	for (unsigned i = 0; i < CONFIG_REFUSALS + 3; i++)
		connect_to(0);
	accept_all();
	ck_assert_uint_eq(worker.engine.refusing, CONFIG_REFUSALS);
	ck_assert(worker.full);
}
END_TEST

START_TEST(only_so_many_are_refused_in_a_time)
{
	unsigned long long before;

	come(0);
	for (unsigned i = 0; i < 400 && !worker.full; i++) {
		connect_to(0);
		accept_all();
		while (!list_empty(&worker.engine.refused))
			conn_close(LIST_ENTRY(worker.engine.refused.next, struct conn, link));
		worker.engine.sweep.run(&worker.engine.sweep);
	}
	before = counters[COUNT_REFUSED];
	ck_assert_uint_eq(before, 256);
	worker.loop.now_ns += 100 * CLOCK_MS;
	worker.pause.fire(&worker.pause, worker.loop.now_ns);
	accept_all();
	ck_assert_uint_eq(counters[COUNT_REFUSED], before + 1);
}
END_TEST

START_TEST(nobody_is_refused_while_another_worker_has_room)
{
	have_company(false);
	come(1);
	ck_assert_uint_eq(counters[COUNT_REFUSED], 0);
	ck_assert(worker.full);
	ck_assert_uint_eq(worker.line->holding, 1);
}
END_TEST

START_TEST(who_is_left_when_the_others_had_their_time_is_refused)
{
	have_company(false);
	come(1);
	worker.pause.fire(&worker.pause, worker.loop.now_ns);
	accept_all();
	ck_assert_uint_eq(counters[COUNT_REFUSED], 1);
	connect_to(0);
	accept_all();
	ck_assert_uint_eq(counters[COUNT_REFUSED], 1);
}
END_TEST

START_TEST(a_worker_that_is_full_too_is_no_reason_to_wait)
{
	have_company(true);
	come(1);
	ck_assert_uint_eq(counters[COUNT_REFUSED], 1);
}
END_TEST

START_TEST(a_worker_that_hangs_is_no_reason_to_wait)
{
	have_company(false);
	hot.line[2].busy_since_ns = worker.loop.now_ns;         /* two seconds ago when they come */
	come(1);
	ck_assert_uint_eq(counters[COUNT_REFUSED], 1);
}
END_TEST

START_TEST(descriptors_are_kept_for_those_that_are_refused)
{
	config.connections = 100;
	config.when_full = FULL_REFUSE;
	worker.open_files = 36 + CONFIG_REFUSALS;       /* 32 are kept anyway, and one is the socket's */
	hold(0, GENERATION);
	accept_apply(&worker);
	for (int i = 0; i < 5; i++)
		connect_to(0);
	accept_all();
	ck_assert_uint_eq(worker.engine.count, 3);
	ck_assert_uint_eq(worker.engine.refusing, 2);
}
END_TEST

START_TEST(a_worker_that_leaves_waits_for_those_that_it_refused)
{
	struct drain_note note = { .deadline_ns = UINT64_MAX };

	come(1);
	while (!list_empty(&worker.engine.conns))
		conn_close(LIST_ENTRY(worker.engine.conns.next, struct conn, link));
	drain_begin(&worker, &note);
	ck_assert(!worker.loop.stopped);        /* its answer may still be under way */
	conn_close(LIST_ENTRY(worker.engine.refused.next, struct conn, link));
	drain_check(&worker);
	ck_assert(worker.loop.stopped);
}
END_TEST

/* ---- letting go ------------------------ */

static void release(uint32_t listener, bool all, bool empty)
{
	struct release_note note = {
		.listener_count = 1, .listeners = { listener }, .all = all, .empty = empty
	};

	accept_release(&worker, &note);
}

START_TEST(what_waits_at_a_released_socket_is_accepted_first)
{
	hold(1, GENERATION);            /* another slot's, whose worker may be gone */
	accept_apply(&worker);
	connect_to(1);
	release(LISTENER, false, true);
	ck_assert_uint_eq(worker.engine.count, 1);
	ck_assert(list_empty(&worker.sockets));
}
END_TEST

START_TEST(the_limit_of_connections_does_not_hold_for_a_last_queue)
{
	hold(0, GENERATION);
	for (int i = 0; i < 5; i++)
		connect_to(0);
	release(LISTENER, false, true);
	ck_assert_uint_eq(worker.engine.count, 5);
}
END_TEST

START_TEST(a_socket_that_outlives_the_service_keeps_its_queue)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	connect_to(0);
	release(LISTENER, true, false);
	ck_assert_uint_eq(worker.engine.count, 0);
	ck_assert_int_ge(accept(sockets[0], NULL, NULL), 0);
}
END_TEST

START_TEST(other_listeners_sockets_stay)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	release(LISTENER + 1, false, true);
	connect_to(0);
	ck_assert_int_eq(events_waiting(), 1);
}
END_TEST

/* The kernel wakes one of those that watch with EPOLLEXCLUSIVE: were it this one, nobody else would come. */
START_TEST(who_leaves_takes_what_it_may_have_been_woken_for)
{
	worker.note.listeners[0].shared = true;
	hold(0, GENERATION);
	accept_apply(&worker);
	connect_to(0);
	drain_begin(&worker, &(struct drain_note){ .deadline_ns = UINT64_MAX });
	ck_assert_uint_eq(worker.engine.count, 1);
}
END_TEST

START_TEST(who_leaves_does_not_take_what_others_are_woken_for_too)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	connect_to(0);
	drain_begin(&worker, &(struct drain_note){ .deadline_ns = UINT64_MAX });
	ck_assert_uint_eq(worker.engine.count, 0);
}
END_TEST

START_TEST(when_the_service_stops_it_is_accepted_on)
{
	hold(0, GENERATION);
	accept_apply(&worker);
	drain_begin(&worker, &(struct drain_note){
				     .deadline_ns = UINT64_MAX, .close_idle = true, .keep_sockets = true });
	connect_to(0);
	accept_all();
	ck_assert_uint_eq(worker.engine.count, 1);
	ck_assert(worker.engine.draining);
	ck_assert(!worker.loop.stopped);
}
END_TEST

START_TEST(a_worker_without_connections_leaves_when_its_sockets_are_released)
{
	struct drain_note note = { .deadline_ns = UINT64_MAX, .close_idle = true, .keep_sockets = true };

	hold(0, GENERATION);
	accept_apply(&worker);
	drain_begin(&worker, &note);
	ck_assert(!worker.loop.stopped);
	release(LISTENER, true, true);
	drain_check(&worker);
	ck_assert(worker.loop.stopped);
}
END_TEST

/* Looks come when they are due. */
static void go_on_for(unsigned ms)
{
	for (unsigned passed_ms = 0; passed_ms < ms; passed_ms += 10) {
		worker.loop.now_ns += 10 * CLOCK_MS;
		timers_run(&worker.loop.timers, worker.loop.now_ns);
	}
}

START_TEST(idle_connections_are_closed_when_nothing_else_is_left)
{
	struct drain_note note = { .deadline_ns = UINT64_MAX, .close_idle = true };

	fill_up(2 * CLOCK_S);
	drain_begin(&worker, &note);
	go_on_for(400);
	ck_assert(!worker.closing_idle);
	doing = DOING_IDLE;
	drain_check(&worker);
	ck_assert(worker.closing_idle);
}
END_TEST

START_TEST(who_has_sent_nothing_may_when_the_stop_begins)
{
	struct drain_note note = { .deadline_ns = UINT64_MAX, .close_idle = true };

	doing = DOING_IDLE;
	fill_up(2 * CLOCK_S);
	drain_begin(&worker, &note);
	go_on_for(200);
	ck_assert(!worker.closing_idle);
	go_on_for(200);
	ck_assert(worker.closing_idle);
}
END_TEST

START_TEST(idle_connections_are_closed_before_the_deadline)
{
	struct drain_note note = { .deadline_ns = 30 * CLOCK_S, .close_idle = true };

	worker.loop.now_ns = 0;
	fill_up(0);
	drain_begin(&worker, &note);
	worker.loop.now_ns = 28 * CLOCK_S;
	drain_check(&worker);
	ck_assert(!worker.closing_idle);
	worker.loop.now_ns = 29 * CLOCK_S;
	drain_check(&worker);
	ck_assert(worker.closing_idle);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("accept");
	TCase *watching = tcase_create("watching"), *limits = tcase_create("limits");
	TCase *refusing = tcase_create("refusing"), *leaving = tcase_create("leaving");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(watching, set_up, tear_down);
	tcase_add_test(watching, the_own_slots_socket_is_watched);
	tcase_add_test(watching, another_slots_socket_is_not_watched);
	tcase_add_test(watching, a_surplus_socket_is_watched);
	tcase_add_test(watching, the_socket_of_a_slot_without_a_worker_is_watched);
	tcase_add_test(watching, a_slot_that_has_a_worker_again_is_left_alone);
	tcase_add_test(watching, every_socket_of_a_shared_listener_is_watched);
	tcase_add_test(watching, a_listener_is_shared_as_long_as_the_generation_says_so);
	tcase_add_test(watching, a_socket_of_a_generation_that_is_not_committed_is_not_watched);
	tcase_add_test(watching, nothing_is_watched_when_the_worker_leaves);
	tcase_add_test(watching, sockets_of_a_called_off_generation_are_given_back);
	tcase_add_checked_fixture(limits, set_up, tear_down);
	tcase_add_test(limits, at_the_limit_the_rest_stays_in_the_backlog);
	tcase_add_test(limits, who_is_killed_in_accept_has_the_connection_already);
	tcase_add_test(limits, descriptors_are_kept_for_files_and_reloads);
	tcase_add_test(limits, at_the_limit_an_idle_connection_makes_room);
	tcase_add_test(limits, at_the_limit_a_busy_connection_does_not_make_room);
	tcase_add_test(limits, at_the_limit_it_is_looked_for_idle_connections_again);
	tcase_add_test(limits, out_of_descriptors_an_idle_connection_makes_room);
	tcase_add_test(limits, at_the_limit_nothing_spins);
	tcase_add_test(limits, at_the_limit_a_queue_that_was_emptied_counts_as_empty);
	tcase_add_test(limits, who_comes_while_others_are_taken_is_not_on_the_way);
	tcase_add_test(limits, a_batch_that_empties_the_queue_leaves_nobody_behind);
	tcase_add_test(limits, the_board_says_that_nothing_is_accepted_at_the_limit);
	tcase_add_test(limits, accept_goes_on_when_connections_have_ended);
	tcase_add_test(limits, a_turn_accepts_a_batch);
	tcase_add_test(limits, a_turn_that_lasts_long_accepts_few);
	suite_add_tcase(suite, watching);
	suite_add_tcase(suite, limits);
	tcase_add_checked_fixture(refusing, set_up, tear_down);
	tcase_add_test(refusing, who_finds_no_room_is_refused_where_that_is_wanted);
	tcase_add_test(refusing, who_refuses_says_that_it_is_full);
	tcase_add_test(refusing, only_so_many_are_refused_at_a_time);
	tcase_add_test(refusing, only_so_many_are_refused_in_a_time);
	tcase_add_test(refusing, nobody_is_refused_while_another_worker_has_room);
	tcase_add_test(refusing, who_is_left_when_the_others_had_their_time_is_refused);
	tcase_add_test(refusing, a_worker_that_is_full_too_is_no_reason_to_wait);
	tcase_add_test(refusing, a_worker_that_hangs_is_no_reason_to_wait);
	tcase_add_test(refusing, descriptors_are_kept_for_those_that_are_refused);
	tcase_add_test(refusing, a_worker_that_leaves_waits_for_those_that_it_refused);
	suite_add_tcase(suite, refusing);
	tcase_add_checked_fixture(leaving, set_up, tear_down);
	tcase_add_test(leaving, what_waits_at_a_released_socket_is_accepted_first);
	tcase_add_test(leaving, the_limit_of_connections_does_not_hold_for_a_last_queue);
	tcase_add_test(leaving, a_socket_that_outlives_the_service_keeps_its_queue);
	tcase_add_test(leaving, other_listeners_sockets_stay);
	tcase_add_test(leaving, who_leaves_takes_what_it_may_have_been_woken_for);
	tcase_add_test(leaving, who_leaves_does_not_take_what_others_are_woken_for_too);
	tcase_add_test(leaving, when_the_service_stops_it_is_accepted_on);
	tcase_add_test(leaving, a_worker_without_connections_leaves_when_its_sockets_are_released);
	tcase_add_test(leaving, idle_connections_are_closed_when_nothing_else_is_left);
	tcase_add_test(leaving, who_has_sent_nothing_may_when_the_stop_begins);
	tcase_add_test(leaving, idle_connections_are_closed_before_the_deadline);
	suite_add_tcase(suite, leaving);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
