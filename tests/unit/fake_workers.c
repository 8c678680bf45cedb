/* fake_workers.c - see the header.  Called by the tests of handing over; fails the test. */
#include "fake_workers.h"

#include "fake_server.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/record.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { MANY_FDS = 8192, LARGE_BYTES = HANDOVER_MAX_BYTES / 2 };

struct fake_worker *fake_workers[FAKE_WORKERS];
int fake_clients[FAKE_CLIENTS];
unsigned fake_client_count;
static struct generation *generations[FAKE_WORKERS];
static unsigned fds_before;
static char large[LARGE_BYTES];

/* ---- the protocol ------------------------------------------------------------------------------------ */

struct counting {
	unsigned char count, mode;
	int file_fd;
};

static const struct {
	enum moving moving;
	enum doing doing;
} modes[256] = {
	[COUNTS_IDLE] = { MOVING_IDLE, DOING_IDLE },
	[COUNTS_HEAD] = { MOVING_HEAD, DOING_HEAD },
	[COUNTS_BODY] = { MOVING_BODY, DOING_HEAD },
	[COUNTS_SENDING] = { MOVING_SENDING, DOING_SENDING },
	[COUNTS_PIPELINED] = { MOVING_PIPELINED, DOING_SENDING },
	[COUNTS_LEAVING] = { MOVING_LEAVING, DOING_LEAVING },
	[COUNTS_WAITING] = { MOVING_NOT, DOING_WAITING },
	[COUNTS_LARGE] = { MOVING_IDLE, DOING_IDLE },
	[COUNTS_STRANGE] = { MOVING_IDLE, DOING_IDLE },
};

static struct counting *counting_new(struct conn *conn)
{
	struct counting *it = conn->state = slab_alloc(&conn_engine(conn)->states);

	*it = (struct counting){ .mode = COUNTS_IDLE, .file_fd = -1 };
	return it;
}

static void counting_open(struct conn *conn)
{
	counting_new(conn);
}

static void become(struct conn *conn, unsigned char mode)
{
	struct counting *it = conn->state;

	it->mode = mode;
	if (mode == COUNTS_SENDING && it->file_fd < 0)
		it->file_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (mode == COUNTS_LEAVING)
		conn_leaves(conn);
}

static enum served counting_ready(struct conn *conn)
{
	struct counting *it = conn->state;
	struct iovec answer = { &it->count, 1 };
	unsigned char byte;
	size_t got;
	enum io io;

	while (conn->readable) {
		io = conn_transport(conn)->recv(conn, &byte, 1, &got);
		if (io != IO_OK)
			return io == IO_AGAIN ? SERVED_WAIT : SERVED_CLOSE;
		if (byte == COUNTS_CLOSE)
			return SERVED_CLOSE;
		it->count++;
		become(conn, byte);
		ck_assert_int_eq(conn_transport(conn)->writev(conn, &answer, 1, false, &got), IO_OK);
	}
	return SERVED_WAIT;
}

static enum served counting_wait(struct conn *conn)
{
	(void)conn;
	return SERVED_WAIT;
}

static enum served counting_drain(struct conn *conn, bool close_idle)
{
	const struct counting *it = conn->state;

	return close_idle && modes[it->mode].doing == DOING_IDLE ? SERVED_CLOSE : SERVED_WAIT;
}

static void layout(struct record *record, struct counting *it, struct str *filling)
{
	record_raw(record, &it->count, 1);
	record_raw(record, &it->mode, 1);
	record_bytes(record, filling, LARGE_BYTES);
}

static enum moving counting_freeze(const struct conn *conn, struct record *record, int *file_fd)
{
	struct counting it = *(struct counting *)conn->state;
	struct str filling = { large, it.mode == COUNTS_LARGE ? LARGE_BYTES : 0 };

	layout(record, &it, &filling);
	*file_fd = it.file_fd;
	return modes[it.mode].moving;
}

static void counting_close(struct conn *conn)
{
	struct counting *it = conn->state;

	fd_close(&it->file_fd);
	slab_release(&conn_engine(conn)->states, it);
	conn->state = NULL;
}

static bool counting_thaw(struct conn *conn, struct record *record, int file_fd)
{
	struct counting *it = counting_new(conn);
	struct str filling;

	layout(record, it, &filling);
	it->file_fd = file_fd;
	if (it->mode != COUNTS_STRANGE && (it->mode == COUNTS_SENDING) == (file_fd >= 0))
		return true;
	counting_close(conn);
	return false;
}

static enum doing counting_doing(const struct conn *conn)
{
	return modes[((const struct counting *)conn->state)->mode].doing;
}

static const struct protocol protocol_counting = {
	.name = "counting",
	.state_bytes = sizeof(struct counting),
	.open = counting_open,
	.ready = counting_ready,
	.timeout = counting_wait,
	.adopt = counting_wait,
	.drain = counting_drain,
	.freeze = counting_freeze,
	.thaw = counting_thaw,
	.moved = counting_close,
	.close = counting_close,
	.doing = counting_doing,
};

/* ---- workers ----------------------------------------------------------------------------------------- */

static unsigned fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void on_closed(struct engine *engine)
{
	struct worker *worker = LIST_ENTRY(engine, struct worker, engine);

	take_room(worker);
	drain_check(worker);
}

static void open_one(unsigned i)
{
	struct fake_worker *fake = fake_workers[i] = calloc(1, sizeof(*fake));
	struct worker *worker = &fake->worker;
	struct err err;
	int ends[2];

	list_init(&worker->sockets);
	list_init(&worker->released);
	list_init(&worker->generations);
	ck_assert(loop_open(&worker->loop, &err) && channel_pair(ends, &err));
	engine_init(&worker->engine, &worker->loop, &protocol_counting, fake->column.counters);
	worker->engine.closed_one = on_closed;
	hand_init(worker);
	take_init(worker);
	worker->channel.fd = ends[0];
	fake->master = ends[1];
	fake->config = (struct config){ .connections = MANY_FDS, .drain_ns = 30 * CLOCK_S };
	generations[i] = generation_new(1, NULL);
	generations[i]->config = &fake->config;
	worker->engine.generation = generations[i];
	worker->line = &fake->line;
	worker->seat = &fake->seat;
	worker->slot = i;
	worker->open_files = 2 * MANY_FDS;
	worker->serving = true;
	worker->loop.now_ns = clock_now_ns();
}

void fake_workers_open(void)
{
	fds_before = fds_open();
	fake_client_count = 0;
	for (unsigned i = 0; i < FAKE_WORKERS; i++)
		open_one(i);
}

static void close_one(unsigned i)
{
	struct worker *worker = &fake_workers[i]->worker;

	hand_close(worker);
	take_end(worker);
	engine_cut(&worker->engine);
	ck_assert_uint_eq(fake_workers[i]->column.counters[COUNT_OPEN], 0);
	worker->take_sweep.run(&worker->take_sweep);
	generation_unpin(generations[i]);
	engine_free(&worker->engine);
	loop_close(&worker->loop);
	fd_close(&worker->channel.fd);
	fd_close(&fake_workers[i]->master);
	free(fake_workers[i]);
}

void fake_workers_close(void)
{
	for (unsigned i = 0; i < FAKE_WORKERS; i++)
		close_one(i);
	for (unsigned i = 0; i < fake_client_count; i++)
		fd_close(&fake_clients[i]);
	ck_assert_uint_eq(fds_open(), fds_before);
}

/* ---- turns ------------------------------------------------------------------------------------------- */

static struct loop *turning;

static void stop_turning(struct turn_end *hook)
{
	(void)hook;
	loop_stop(turning);
}

static void nothing(struct ready *ready)
{
	(void)ready;
}

void fake_worker_turn(struct worker *worker)
{
	struct turn_end hook = { .run = stop_turning };
	struct ready at_once = { .serve = nothing };
	struct err err;

	if (worker->loop.stopped)
		return;
	turning = &worker->loop;
	loop_ready(&worker->loop, &at_once);
	list_push_front(&worker->loop.turn_ends, &hook.link);
	ck_assert(loop_run(&worker->loop, &err));
	list_remove(&hook.link);
	fake_check_levels(&worker->engine);
	worker->loop.stopped = worker->draining && worker->engine.count == 0;
}

void fake_workers_until(bool (*done)(void))
{
	uint64_t until_ns = clock_now_ns() + 3 * CLOCK_S;

	while (!done()) {
		ck_assert_msg(clock_now_ns() < until_ns, "it does not happen");
		for (unsigned i = 0; i < FAKE_WORKERS; i++)
			fake_worker_turn(&fake_workers[i]->worker);
	}
}

/* ---- clients ----------------------------------------------------------------------------------------- */

void fake_workers_connect(struct worker *worker, unsigned count)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	int ends[2];

	for (unsigned i = 0; i < count; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
		fake_clients[fake_client_count++] = ends[0];
		ck_assert(engine_accept(&worker->engine, ends[1], &peer, NULL));
	}
}

static unsigned asked_first, asked_count, answered;
static unsigned char asked_expected;

static bool all_answered(void)
{
	unsigned char byte;

	while (answered < asked_count && recv(fake_clients[asked_first + answered], &byte, 1, 0) == 1) {
		ck_assert_uint_eq(byte, asked_expected);
		answered++;
	}
	return answered == asked_count;
}

void fake_clients_ask(unsigned first, unsigned count, char byte, unsigned char expected)
{
	asked_first = first;
	asked_count = count;
	asked_expected = expected;
	answered = 0;
	for (unsigned i = first; i < first + count; i++)
		ck_assert_int_eq(send(fake_clients[i], &byte, 1, MSG_NOSIGNAL), 1);
	fake_workers_until(all_answered);
}
