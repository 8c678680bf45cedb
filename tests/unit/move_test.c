/* move_test.c - a connection leaves one engine and goes on in another, or stays after all. Real sockets
 * and two loops; the protocol is the test's own: it sends back what it gets, and everything that it may
 * say is a switch. */
#include "one_turn.h"
#include "open_count.h"

#include "base/clock.h"
#include "base/fd.h"
#include "net/move.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MARK = 4711 };

static struct side {
	struct loop loop;
	struct engine engine;
	uint64_t counters[COUNTERS];
} from, to;

/* What the protocol does, and what was asked of it. */
static struct {
	enum moving kind;
	enum doing doing;
	bool refuses, reads_little;
	int file_fd, thawed_fd;
	uint64_t timer_ns;              /* that thaw arms; 0: none */
	unsigned served, fired, drained, adopted, closed, moved;
} does;

static char bytes[4096];
static int client;
static struct conn *conn;

/* ---- the protocol ------------------------ */

static void echo_open(struct conn *which)
{
	conn_timer(which, 10 * CLOCK_S);
}

static enum served echo_ready(struct conn *which)
{
	char text[64];
	struct iovec part = { text, 0 };
	size_t sent;
	enum io io;

	does.served++;
	while (which->readable) {
		io = conn_transport(which)->recv(which, text, sizeof(text), &part.iov_len);
		if (io == IO_AGAIN)
			break;
		if (io != IO_OK)
			return SERVED_CLOSE;
		conn_transport(which)->writev(which, &part, 1, false, &sent);
		which->served++;
	}
	return SERVED_WAIT;
}

static enum served echo_timeout(struct conn *which)
{
	(void)which;
	does.fired++;
	return SERVED_WAIT;
}

static enum served echo_adopt(struct conn *which)
{
	(void)which;
	does.adopted++;
	return SERVED_WAIT;
}

static enum served echo_drain(struct conn *which, bool close_idle)
{
	(void)which;
	does.drained++;
	return close_idle ? SERVED_CLOSE : SERVED_WAIT;
}

static enum moving echo_freeze(const struct conn *which, struct record *record, int *file_fd)
{
	uint64_t mark = MARK;

	(void)which;
	record_u64(record, &mark);
	*file_fd = does.file_fd;
	return does.kind;
}

static bool echo_thaw(struct conn *which, struct record *record, int file_fd)
{
	uint64_t mark = 0;

	if (!does.reads_little)
		record_u64(record, &mark);
	if (does.refuses || (!does.reads_little && mark != MARK)) {
		fd_close(&file_fd);
		return false;
	}
	does.thawed_fd = file_fd;
	if (does.timer_ns != 0)
		conn_timer(which, does.timer_ns);
	return true;
}

static void echo_moved(struct conn *which)
{
	(void)which;
	does.moved++;
}

static void echo_close(struct conn *which)
{
	(void)which;
	does.closed++;
}

static enum doing echo_doing(const struct conn *which)
{
	(void)which;
	return does.doing;
}

static const struct protocol echo = {
	.name = "echo",
	.open = echo_open,
	.ready = echo_ready,
	.timeout = echo_timeout,
	.adopt = echo_adopt,
	.drain = echo_drain,
	.freeze = echo_freeze,
	.thaw = echo_thaw,
	.moved = echo_moved,
	.close = echo_close,
	.doing = echo_doing,
};

/* ---- the two sides ------------------------ */

static void open_side(struct side *side)
{
	struct err err;

	memset(side, 0, sizeof(*side));
	ck_assert(loop_open(&side->loop, &err));
	engine_init(&side->engine, &side->loop, &echo, side->counters);
}

static void close_side(struct side *side)
{
	engine_cut(&side->engine);
	side->engine.sweep.run(&side->engine.sweep);
	ck_assert_uint_eq(side->engine.count, 0);
	ck_assert_uint_eq(side->engine.slab.in_use, 0);
	ck_assert_uint_eq(side->counters[COUNT_OPEN], 0);
	ck_assert(list_empty(&side->engine.listeners));
	engine_free(&side->engine);
	loop_close(&side->loop);
}

/* A connection of `from` in `listener` (NULL: none), and its client. */
static struct conn *connect_one(int *fd, struct engine_listener *listener)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	*fd = pair[0];
	ck_assert(engine_accept(&from.engine, pair[1], &peer, listener));
	return LIST_ENTRY(from.engine.conns.prev, struct conn, link);
}

static void set_up(void)
{
	memset(&does, 0, sizeof(does));
	does.kind = MOVING_IDLE;
	does.file_fd = -1;
	open_side(&from);
	open_side(&to);
	conn = connect_one(&client, NULL);
	one_turn(&from.loop);
	does.served = 0;
}

static void tear_down(void)
{
	fd_close(&client);
	close_side(&from);
	close_side(&to);
}

static void say(const char *text)
{
	ck_assert_int_eq(send(client, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What the client has got by now; "" for nothing. */
static const char *heard(void)
{
	static char text[64];
	ssize_t len = recv(client, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[len > 0 ? len : 0] = '\0';
	return text;
}

static bool at_eof(void)
{
	char byte;

	return recv(client, &byte, 1, MSG_DONTWAIT) == 0;
}

/* How many events wait for the loop. */
static int events_of(const struct loop *loop)
{
	struct epoll_event events[8];

	return epoll_wait(loop->epoll_fd, events, 8, 0);
}

/* Frozen and written; the record's length. */
static size_t freeze(void)
{
	struct record record = record_to(bytes, sizeof(bytes));
	int file_fd;

	ck_assert_int_ne(move_write(conn, &record, &file_fd), MOVING_NOT);
	ck_assert_int_eq(file_fd, does.file_fd);
	move_freeze(conn);
	return record.len;
}

/* The receiver's copy of it, as it comes through a socket. */
static struct conn *read_one(size_t len)
{
	struct record record = record_from(bytes, len);
	int file_fd = does.file_fd < 0 ? -1 : dup(does.file_fd);

	return move_read(&to.engine, &record, dup(conn->source.fd), file_fd);
}

/* The whole way. */
static struct conn *move(void)
{
	struct conn *there = read_one(freeze());

	ck_assert_ptr_nonnull(there);
	move_begin(there);
	move_gone(conn);
	return there;
}

/* ---- it lives on elsewhere ------------------------ */

START_TEST(a_moved_connection_is_served_where_it_is_now)
{
	move();
	say("hello");
	one_turn(&to.loop);
	ck_assert_str_eq(heard(), "hello");
}
END_TEST

START_TEST(what_came_while_it_was_on_the_way_is_served)
{
	struct conn *there;

	there = read_one(freeze());
	say("between");
	move_begin(there);
	move_gone(conn);
	one_turn(&to.loop);
	ck_assert_str_eq(heard(), "between");
}
END_TEST

START_TEST(an_end_that_came_while_it_was_on_the_way_is_seen)
{
	struct conn *there = read_one(freeze());

	shutdown(client, SHUT_WR);
	move_begin(there);
	move_gone(conn);
	one_turn(&to.loop);
	ck_assert_uint_eq(to.engine.count, 0);
	ck_assert(at_eof());
}
END_TEST

START_TEST(it_moves_on_from_there)
{
	struct conn *there = move();
	struct record record = record_to(bytes, sizeof(bytes)), back;
	int file_fd, fd = dup(there->source.fd);

	ck_assert_int_eq(move_write(there, &record, &file_fd), MOVING_IDLE);
	move_freeze(there);
	back = record_from(bytes, record.len);
	move_begin(move_read(&from.engine, &back, fd, -1));
	move_gone(there);
	say("hello");
	one_turn(&from.loop);
	ck_assert_str_eq(heard(), "hello");
}
END_TEST

START_TEST(the_old_loop_hears_nothing_of_it_any_more)
{
	move();
	say("hello");
	ck_assert_int_eq(events_of(&from.loop), 0);
	ck_assert_int_eq(events_of(&to.loop), 1);
}
END_TEST

START_TEST(our_descriptor_goes_without_a_word_to_the_client)
{
	unsigned before = open_count();
	struct conn *there = read_one(freeze());

	ck_assert_uint_eq(open_count(), before + 1);
	conn->reset = true;
	move_gone(conn);
	ck_assert_uint_eq(open_count(), before);
	ck_assert(!at_eof());
	ck_assert_uint_eq(does.moved, 1);
	ck_assert_uint_eq(does.closed, 0);
	move_begin(there);
}
END_TEST

START_TEST(what_everybody_knows_of_a_connection_goes_along)
{
	union peer peer = { .v4 = { .sin_family = AF_INET, .sin_port = 99, .sin_addr.s_addr = 7 } };
	union peer who = { .v6 = { .sin6_family = AF_INET6, .sin6_scope_id = 3, .sin6_port = 98 } };
	union peer its_peer, its_client;
	struct conn *there;

	who.v6.sin6_addr = in6addr_loopback;
	ck_assert(conn_name(conn, &peer, &who));
	conn->served = 7;
	conn_promise(conn, 86400);
	conn->since_ns = 1234;
	there = read_one(freeze());
	ck_assert_uint_eq(there->served, 7);
	ck_assert_uint_eq(there->promised_s, 86400);
	ck_assert_uint_eq(there->since_ns, 1234);
	its_peer = conn_peer(there);
	its_client = conn_client(there);
	ck_assert_mem_eq(&its_peer, &peer, sizeof(peer));
	ck_assert_mem_eq(&its_client, &who, sizeof(who));
	ck_assert_ptr_eq(conn_protocol(there), &echo);
}
END_TEST

START_TEST(a_connection_is_never_idle_since_later_than_now)
{
	conn->since_ns = to.loop.now_ns + CLOCK_S;
	ck_assert_uint_eq(read_one(freeze())->since_ns, to.loop.now_ns);
}
END_TEST

START_TEST(its_deadline_is_the_same_there)
{
	uint64_t due_ns = conn->timer.due_ns;
	struct conn *there = move();

	ck_assert(timer_armed_lean(&there->timer));
	ck_assert_uint_eq(there->timer.due_ns, due_ns);
}
END_TEST

START_TEST(without_a_deadline_it_has_none_there)
{
	conn_timer(conn, 0);
	ck_assert(!timer_armed_lean(&move()->timer));
}
END_TEST

START_TEST(a_deadline_that_passed_on_the_way_fires_there)
{
	conn_timer(conn, 1);
	move();
	while (does.fired == 0)
		one_turn(&to.loop);
	ck_assert(list_empty(&from.engine.conns));
}
END_TEST

START_TEST(its_protocol_may_set_another_deadline)
{
	struct conn *there;

	does.timer_ns = CLOCK_S;
	there = read_one(freeze());
	ck_assert(!timer_armed_lean(&there->timer));
	move_begin(there);
	ck_assert_uint_eq(there->timer.due_ns, to.loop.now_ns + CLOCK_S);
}
END_TEST

START_TEST(a_file_goes_along)
{
	int file_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	does.file_fd = file_fd;
	read_one(freeze());
	ck_assert_int_ge(fcntl(does.thawed_fd, F_GETFD), 0);
	ck_assert_int_ne(does.thawed_fd, file_fd);
	close(does.thawed_fd);
	close(file_fd);
}
END_TEST

START_TEST(it_counts_where_it_is_and_only_there)
{
	move();
	from.engine.sweep.run(&from.engine.sweep);
	ck_assert_uint_eq(from.engine.count, 0);
	ck_assert_uint_eq(from.counters[COUNT_OPEN], 0);
	ck_assert_uint_eq(from.engine.slab.in_use, 0);
	ck_assert_uint_eq(to.engine.count, 1);
	ck_assert_uint_eq(to.counters[COUNT_OPEN], 1);
	ck_assert_uint_eq(to.counters[COUNT_ACCEPTED], 0);
}
END_TEST

START_TEST(its_listener_is_known_by_its_address)
{
	struct engine_listener *here = engine_listener_find(&from.engine, "127.0.0.1:80"),
			       *there = engine_listener_find(&to.engine, "127.0.0.1:80");
	int fd;

	there->sockets = 1;
	move_gone((move_freeze(conn), conn));
	conn = connect_one(&fd, here);
	ck_assert_ptr_eq(move()->listener, there);
	ck_assert_uint_eq(there->conns, 1);
	from.engine.sweep.run(&from.engine.sweep);
	ck_assert(list_empty(&from.engine.listeners));
	close(fd);
	engine_cut(&to.engine);
	there->sockets = 0;
	engine_listener_settle(there);
}
END_TEST

START_TEST(a_listener_that_is_not_there_lasts_as_long_as_the_connection)
{
	struct engine_listener *here = engine_listener_find(&from.engine, "127.0.0.1:80");
	struct conn *there;
	int fd;

	move_gone((move_freeze(conn), conn));
	conn = connect_one(&fd, here);
	there = move();
	ck_assert_str_eq(there->listener->address, "127.0.0.1:80");
	ck_assert_ptr_eq(there->listener->rules, &listener_without_rules);
	conn_close(there);
	to.engine.sweep.run(&to.engine.sweep);
	ck_assert(list_empty(&to.engine.listeners));
	close(fd);
}
END_TEST

START_TEST(one_whose_end_was_announced_is_leaving_there_too)
{
	conn_leaves(conn);
	does.doing = DOING_LEAVING;
	move();
	ck_assert(list_empty(&to.engine.conns));
	ck_assert(!list_empty(&to.engine.leaving));
	does.doing = DOING_IDLE;
}
END_TEST

START_TEST(an_engine_that_drains_tells_it_so)
{
	struct conn *there = read_one(freeze());

	to.engine.draining = true;
	move_begin(there);
	move_gone(conn);
	ck_assert_uint_eq(does.drained, 1);
}
END_TEST

/* Of which the sender hears in time: it has the connection still. */
START_TEST(one_that_cannot_be_registered_there_is_refused_and_counted)
{
	int epoll_fd = to.loop.epoll_fd;
	size_t len = freeze();

	to.loop.epoll_fd = -1;
	ck_assert_ptr_null(read_one(len));
	to.loop.epoll_fd = epoll_fd;
	ck_assert_uint_eq(to.counters[COUNT_OUT_OF_MEMORY], 1);
	ck_assert_uint_eq(to.engine.count, 0);
	move_thaw(conn);
	say("hello");
	one_turn(&from.loop);
	ck_assert_str_eq(heard(), "hello");
}
END_TEST

/* ---- on the way ------------------------ */

START_TEST(nobody_touches_the_socket_before_it_begins)
{
	struct conn *there;
	int unread = 0;

	there = read_one(freeze());
	say("wait");
	conn_wake(conn);
	conn_wake(there);
	conn_serve(conn);
	conn_serve(there);
	ck_assert(list_empty(&from.loop.ready));
	ck_assert(list_empty(&to.loop.ready));
	ck_assert_int_eq(events_of(&from.loop), 0);
	ck_assert_uint_eq(does.served, 0);
	ck_assert_int_eq(ioctl(conn->source.fd, FIONREAD, &unread), 0);
	ck_assert_int_eq(unread, 4);
	move_begin(there);
	move_gone(conn);
}
END_TEST

START_TEST(one_that_was_on_the_ready_list_is_not_served_while_frozen)
{
	say("wait");
	conn_wake(conn);
	freeze();
	ck_assert(list_empty(&from.loop.ready));
}
END_TEST

START_TEST(an_answer_for_a_frozen_one_changes_nothing)
{
	freeze();
	conn_after(conn, SERVED_CLOSE);
	ck_assert(!conn->closed);
	conn_after(conn, SERVED_MORE);
	ck_assert(list_empty(&from.loop.ready));
	conn_after(conn, SERVED_WAIT);
	ck_assert(!conn->source.added);
}
END_TEST

START_TEST(frozen_ones_are_kept_in_their_order)
{
	struct conn *first = conn, *second;
	int fd;

	second = connect_one(&fd, NULL);
	freeze();
	conn = second;
	freeze();
	ck_assert_ptr_eq(LIST_ENTRY(from.engine.frozen.next, struct conn, link), first);
	ck_assert_ptr_eq(LIST_ENTRY(from.engine.frozen.prev, struct conn, link), second);
	close(fd);
}
END_TEST

START_TEST(a_frozen_one_counts_still)
{
	freeze();
	ck_assert_uint_eq(from.engine.count, 1);
	ck_assert_uint_eq(from.counters[COUNT_OPEN], 1);
}
END_TEST

START_TEST(a_frozen_one_is_neither_shed_nor_told_anything)
{
	conn->since_ns = 0;
	conn->served = 1;
	freeze();
	ck_assert(!engine_shed(&from.engine));
	engine_drain(&from.engine, true);
	engine_adopt(&from.engine, NULL);
	ck_assert_uint_eq(does.drained + does.adopted, 0);
	ck_assert_uint_eq(from.engine.count, 1);
}
END_TEST

START_TEST(what_a_frozen_one_is_owed_is_owed)
{
	conn->served = 1;
	freeze();
	ck_assert(!engine_owes(&from.engine, UINT64_MAX));
	does.doing = DOING_SENDING;
	ck_assert(engine_owes(&from.engine, UINT64_MAX));
	does.doing = DOING_IDLE;
}
END_TEST

START_TEST(a_frozen_one_that_is_cut_is_counted_but_not_reset)
{
	struct conn *there = read_one(freeze());

	conn->reset = true;
	does.doing = DOING_SENDING;
	engine_cut(&from.engine);
	does.doing = DOING_IDLE;
	ck_assert_uint_eq(from.counters[COUNT_DRAIN_CUT], 1);
	ck_assert_uint_eq(does.closed, 0);
	ck_assert_uint_eq(does.moved, 1);
	move_begin(there);
	say("hello");
	one_turn(&to.loop);
	ck_assert_str_eq(heard(), "hello");
}
END_TEST

/* ---- it stays after all ------------------------ */

START_TEST(one_that_thaws_is_served_on)
{
	freeze();
	say("hello");
	move_thaw(conn);
	one_turn(&from.loop);
	ck_assert_str_eq(heard(), "hello");
}
END_TEST

START_TEST(one_that_never_waited_is_served_when_it_thaws)
{
	loop_remove_lean(&from.loop, &conn->source);
	freeze();
	say("hello");
	move_thaw(conn);
	one_turn(&from.loop);
	ck_assert_str_eq(heard(), "hello");
}
END_TEST

/* Its protocol may have buffered something that no event announces: the client takes nothing just now. */
START_TEST(one_that_thaws_is_served_without_an_event)
{
	char much[4096] = { 0 };

	while (send(conn->source.fd, much, sizeof(much), MSG_DONTWAIT) > 0)
		;
	freeze();
	move_thaw(conn);
	one_turn(&from.loop);
	ck_assert_uint_eq(does.served, 1);
}
END_TEST

START_TEST(its_deadline_stands_when_it_thaws)
{
	uint64_t due_ns = conn->timer.due_ns;

	freeze();
	ck_assert(!timer_armed_lean(&conn->timer));
	move_thaw(conn);
	ck_assert(timer_armed_lean(&conn->timer));
	ck_assert_uint_eq(conn->timer.due_ns, due_ns);
}
END_TEST

START_TEST(one_without_a_deadline_has_none_when_it_thaws)
{
	conn_timer(conn, 0);
	freeze();
	move_thaw(conn);
	ck_assert(!timer_armed_lean(&conn->timer));
}
END_TEST

START_TEST(a_deadline_that_is_set_meanwhile_counts_when_it_thaws)
{
	freeze();
	conn_timer(conn, 3 * CLOCK_S);
	ck_assert(!timer_armed_lean(&conn->timer));
	move_thaw(conn);
	ck_assert_uint_eq(conn->timer.due_ns, from.loop.now_ns + 3 * CLOCK_S);
}
END_TEST

START_TEST(a_deadline_that_is_called_off_meanwhile_is_off_when_it_thaws)
{
	freeze();
	conn_timer(conn, 0);
	move_thaw(conn);
	ck_assert(!timer_armed_lean(&conn->timer));
}
END_TEST

START_TEST(one_that_was_leaving_is_leaving_when_it_thaws)
{
	conn_leaves(conn);
	does.doing = DOING_LEAVING;
	freeze();
	move_thaw(conn);
	ck_assert(!list_empty(&from.engine.leaving));
	does.doing = DOING_IDLE;
}
END_TEST

START_TEST(one_that_thaws_hears_that_its_worker_leaves)
{
	freeze();
	engine_drain(&from.engine, true);
	conn->since_ns = 0;
	move_thaw(conn);
	ck_assert_uint_eq(does.drained, 1);
	ck_assert(conn->closed);
}
END_TEST

START_TEST(what_the_receiver_gives_up_is_served_on_by_the_sender)
{
	struct conn *there = read_one(freeze());

	move_gone(there);
	ck_assert_uint_eq(to.engine.count, 0);
	move_thaw(conn);
	say("hello");
	ck_assert_int_eq(events_of(&to.loop), 0);
	one_turn(&from.loop);
	ck_assert_str_eq(heard(), "hello");
}
END_TEST

/* ---- what cannot be moved ------------------------ */

START_TEST(one_whose_protocol_says_no_is_not_moved)
{
	struct record record = record_to(bytes, sizeof(bytes));
	int file_fd;

	does.kind = MOVING_NOT;
	ck_assert_int_eq(move_write(conn, &record, &file_fd), MOVING_NOT);
}
END_TEST

START_TEST(one_whose_protocol_cannot_is_not_moved)
{
	struct protocol unmoving = echo;
	struct record record = record_to(bytes, sizeof(bytes));
	int file_fd;

	unmoving.freeze = NULL;
	from.engine.protocol = &unmoving;
	ck_assert_int_eq(move_write(conn, &record, &file_fd), MOVING_NOT);
	ck_assert_int_eq(file_fd, -1);
	from.engine.protocol = &echo;
}
END_TEST

START_TEST(one_whose_transport_keeps_something_is_not_moved)
{
	struct transport other = transport_plain;
	struct record record = record_to(bytes, sizeof(bytes));
	int file_fd;

	other.moves = false;
	from.engine.transport = &other;
	ck_assert_int_eq(move_write(conn, &record, &file_fd), MOVING_NOT);
	from.engine.transport = &transport_plain;
}
END_TEST

START_TEST(one_that_is_on_its_way_is_not_moved_again)
{
	struct record record = record_to(bytes, sizeof(bytes));
	int file_fd;

	freeze();
	ck_assert_int_eq(move_write(conn, &record, &file_fd), MOVING_NOT);
	move_gone(conn);
	ck_assert_int_eq(move_write(conn, &record, &file_fd), MOVING_NOT);
}
END_TEST

START_TEST(one_that_has_no_room_in_the_record_is_not_moved)
{
	size_t whole = freeze();
	int file_fd;

	move_thaw(conn);
	for (size_t room = 0; room < whole; room++) {
		struct record record = record_to(bytes, room);

		ck_assert_int_eq(move_write(conn, &record, &file_fd), MOVING_NOT);
	}
}
END_TEST

/* ---- what cannot be taken ------------------------ */

/* Nothing is left of it: no descriptor, no memory, no listener. */
static void ck_refused(struct conn *there, unsigned open_before)
{
	ck_assert_ptr_null(there);
	to.engine.sweep.run(&to.engine.sweep);
	ck_assert_uint_eq(open_count(), open_before);
	ck_assert_uint_eq(to.engine.count, 0);
	ck_assert_uint_eq(to.engine.slab.in_use, 0);
	ck_assert(list_empty(&to.engine.listeners));
	ck_assert(!at_eof());
}

START_TEST(a_record_that_is_cut_is_refused)
{
	size_t whole = freeze();
	unsigned before;

	does.file_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	before = open_count();
	for (size_t len = 0; len < whole; len++)
		ck_refused(read_one(len), before);
	fd_close(&does.file_fd);
}
END_TEST

START_TEST(a_record_with_a_byte_too_many_is_refused)
{
	size_t whole = freeze();
	unsigned before = open_count();

	ck_refused(read_one(whole + 1), before);
	ck_assert_uint_eq(does.moved, 1);
}
END_TEST

START_TEST(a_protocol_that_leaves_something_unread_is_refused)
{
	size_t whole = freeze();
	unsigned before = open_count();

	does.reads_little = true;
	ck_refused(read_one(whole), before);
}
END_TEST

START_TEST(what_the_protocol_refuses_is_refused)
{
	size_t whole = freeze();
	unsigned before;

	does.refuses = true;
	does.file_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	before = open_count();
	ck_refused(read_one(whole), before);
	ck_assert_uint_eq(does.moved, 0);       /* thaw has left nothing behind */
	fd_close(&does.file_fd);
}
END_TEST

START_TEST(one_of_a_protocol_that_is_not_here_is_refused)
{
	static const struct protocol other = { .name = "other" };
	size_t whole = freeze();
	unsigned before = open_count();

	to.engine.protocol = &other;
	ck_refused(read_one(whole), before);
}
END_TEST

START_TEST(one_whose_descriptor_did_not_come_is_refused)
{
	size_t whole = freeze();
	struct record record = record_from(bytes, whole);
	int file_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	unsigned before = open_count() - 1;

	ck_refused(move_read(&to.engine, &record, -1, file_fd), before);
}
END_TEST

START_TEST(one_from_nowhere_is_refused)
{
	size_t whole;
	unsigned before = open_count();
	union peer here = conn_peer(conn), nowhere = { .family = _i == 0 ? AF_NETLINK : AF_UNSPEC };

	ck_assert(conn_name(conn, _i == 0 ? &nowhere : &here, _i == 0 ? &here : &nowhere));
	whole = freeze();
	ck_refused(read_one(whole), before);
}
END_TEST

/* Whatever a byte says instead: it is refused, or a connection that can be closed; never more. */
START_TEST(a_byte_that_is_wrong_costs_one_connection_at_most)
{
	static const unsigned char wrong[] = { 0, 1, 0x7f, 0x80, 0xff };
	size_t whole = freeze();
	unsigned before = open_count();

	for (size_t at = 0; at < whole; at++) {
		char kept = bytes[at];
		struct conn *there;

		bytes[at] = (char)wrong[_i];
		there = read_one(whole);
		bytes[at] = kept;
		if (there != NULL) {
			move_begin(there);
			conn_close(there);
		}
		to.engine.sweep.run(&to.engine.sweep);
		ck_assert_uint_eq(open_count(), before);
		ck_assert_uint_eq(to.engine.slab.in_use, 0);
	}
}
END_TEST

static void add_tests_of_the_way(TCase *tests)
{
	tcase_add_test(tests, nobody_touches_the_socket_before_it_begins);
	tcase_add_test(tests, one_that_was_on_the_ready_list_is_not_served_while_frozen);
	tcase_add_test(tests, an_answer_for_a_frozen_one_changes_nothing);
	tcase_add_test(tests, frozen_ones_are_kept_in_their_order);
	tcase_add_test(tests, a_frozen_one_counts_still);
	tcase_add_test(tests, a_frozen_one_is_neither_shed_nor_told_anything);
	tcase_add_test(tests, what_a_frozen_one_is_owed_is_owed);
	tcase_add_test(tests, a_frozen_one_that_is_cut_is_counted_but_not_reset);
	tcase_add_test(tests, one_that_thaws_is_served_on);
	tcase_add_test(tests, one_that_never_waited_is_served_when_it_thaws);
	tcase_add_test(tests, one_that_thaws_is_served_without_an_event);
	tcase_add_test(tests, its_deadline_stands_when_it_thaws);
	tcase_add_test(tests, one_without_a_deadline_has_none_when_it_thaws);
	tcase_add_test(tests, a_deadline_that_is_set_meanwhile_counts_when_it_thaws);
	tcase_add_test(tests, a_deadline_that_is_called_off_meanwhile_is_off_when_it_thaws);
	tcase_add_test(tests, one_that_was_leaving_is_leaving_when_it_thaws);
	tcase_add_test(tests, one_that_thaws_hears_that_its_worker_leaves);
	tcase_add_test(tests, what_the_receiver_gives_up_is_served_on_by_the_sender);
}

static void add_tests_of_refusals(TCase *tests)
{
	tcase_add_test(tests, one_whose_protocol_says_no_is_not_moved);
	tcase_add_test(tests, one_whose_protocol_cannot_is_not_moved);
	tcase_add_test(tests, one_whose_transport_keeps_something_is_not_moved);
	tcase_add_test(tests, one_that_is_on_its_way_is_not_moved_again);
	tcase_add_test(tests, one_that_has_no_room_in_the_record_is_not_moved);
	tcase_add_test(tests, a_record_that_is_cut_is_refused);
	tcase_add_test(tests, a_record_with_a_byte_too_many_is_refused);
	tcase_add_test(tests, a_protocol_that_leaves_something_unread_is_refused);
	tcase_add_test(tests, what_the_protocol_refuses_is_refused);
	tcase_add_test(tests, one_of_a_protocol_that_is_not_here_is_refused);
	tcase_add_test(tests, one_whose_descriptor_did_not_come_is_refused);
	tcase_add_loop_test(tests, one_from_nowhere_is_refused, 0, 2);
	tcase_add_loop_test(tests, a_byte_that_is_wrong_costs_one_connection_at_most, 0, 5);
}

int main(void)
{
	Suite *suite = suite_create("move");
	TCase *tests = tcase_create("move");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_moved_connection_is_served_where_it_is_now);
	tcase_add_test(tests, what_came_while_it_was_on_the_way_is_served);
	tcase_add_test(tests, an_end_that_came_while_it_was_on_the_way_is_seen);
	tcase_add_test(tests, it_moves_on_from_there);
	tcase_add_test(tests, the_old_loop_hears_nothing_of_it_any_more);
	tcase_add_test(tests, our_descriptor_goes_without_a_word_to_the_client);
	tcase_add_test(tests, what_everybody_knows_of_a_connection_goes_along);
	tcase_add_test(tests, a_connection_is_never_idle_since_later_than_now);
	tcase_add_test(tests, its_deadline_is_the_same_there);
	tcase_add_test(tests, without_a_deadline_it_has_none_there);
	tcase_add_test(tests, a_deadline_that_passed_on_the_way_fires_there);
	tcase_add_test(tests, its_protocol_may_set_another_deadline);
	tcase_add_test(tests, a_file_goes_along);
	tcase_add_test(tests, it_counts_where_it_is_and_only_there);
	tcase_add_test(tests, its_listener_is_known_by_its_address);
	tcase_add_test(tests, a_listener_that_is_not_there_lasts_as_long_as_the_connection);
	tcase_add_test(tests, one_whose_end_was_announced_is_leaving_there_too);
	tcase_add_test(tests, an_engine_that_drains_tells_it_so);
	tcase_add_test(tests, one_that_cannot_be_registered_there_is_refused_and_counted);
	add_tests_of_the_way(tests);
	add_tests_of_refusals(tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
