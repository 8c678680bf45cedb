/* move_fuzz.c - a connection with whatever a client says moves to another engine, at any point, twice. Its
 * client gets what it would have got without. A record of which bytes were changed on the way is refused,
 * and then the client does not notice either; or it makes a connection that is as good as any: nothing is
 * left of it.
 *
 * Input: flags; how many bytes of the record are changed (at most 7), and of each the place (two bytes)
 * and the change; behind which two pieces the connection moves; how the client's bytes are cut; the bytes. */
#include "fuzz.h"

#include "unit/fake_move.h"

#include "base/clock.h"
#include "http/response.h"
#include "ipc/handover.h"

#include <fcntl.h>
#include <sys/socket.h>

#define MOST_NS (5 * CLOCK_S)

/* Flags: the client reads when it has sent everything; files are so old that sendfile is used. */
enum { DEAF = 1, OLD_FILES = 2 };

enum { MOVES = 2, BIG_BYTES = 300000, BODY_BYTES = 300, SPOILT_TURNS = 50 };

struct spoil {
	unsigned place;
	uint8_t change;
};

struct plan {
	uint8_t flags, moves[MOVES];
	unsigned spoil_count;
	struct spoil spoils[7];
	struct cuts cuts;
	struct str bytes;
};

static struct fake_server server;
static struct fake_second second;
static struct wall *wall;
static uint64_t began;

/* At the end of the process: its directory goes, and nothing may be left behind. */
static void tear_down(void)
{
	server.client_count = 0;
	fake_second_close(&second);
	fake_server_close(&server);
}

static void set_up(void)
{
	char *big;

	if (wall != NULL)
		return;
	fake_server_open(&server, &protocol_http1);
	server.config->request_line_bytes = 200;
	server.config->header_bytes = 400;
	server.config->headers = 8;
	server.config->body_bytes = BODY_BYTES;
	fake_second_open(&second, &server);
	atexit(tear_down);
	big = calloc(1, BIG_BYTES);
	fake_file(&server, "big", big, BIG_BYTES);
	fake_file(&server, "file.txt", "0123456789", 10);
	free(big);
	wall = (struct wall *)(uintptr_t)wall_clock(&server.loop);
	wall->until_ns = UINT64_MAX;    /* it stands still: every head has the same date */
	began = (uint64_t)wall->now;
	fuzz_no_log();
}

static struct plan plan_of(struct input *input)
{
	struct plan plan = { .flags = input_byte(input), .spoil_count = input_byte(input) % 8 };

	for (unsigned i = 0; i < plan.spoil_count; i++) {
		plan.spoils[i].place = input_byte(input);
		plan.spoils[i].place |= (unsigned)input_byte(input) << 8;
		plan.spoils[i].change = input_byte(input);
	}
	for (unsigned i = 0; i < MOVES; i++)
		plan.moves[i] = input_byte(input);
	plan.cuts = cuts_of(input);
	plan.bytes = input_take(input, input->len);
	return plan;
}

/* ---- a move ---- */

static bool spoil(const struct plan *plan, struct record *record)
{
	bool spoilt = false;

	for (unsigned i = 0; i < plan->spoil_count && record->len > 0; i++) {
		record->at[plan->spoils[i].place % record->len] ^= (char)plan->spoils[i].change;
		spoilt |= plan->spoils[i].change != 0;
	}
	return spoilt;
}

static int duplicate(int fd)
{
	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
}

/* The record lies in a buffer of just its length. */
static struct conn *copy_to(struct engine *to, const struct conn *conn, const struct record *written,
			    int file_fd)
{
	char *bytes = malloc(written->len);
	struct record record = record_from(bytes, written->len);
	struct conn *copy;

	memcpy(bytes, written->at, written->len);
	copy = move_read(to, &record, duplicate(conn->source.fd), duplicate(file_fd));
	free(bytes);
	return copy;
}

/* True when a changed record was taken: anything may be said on that connection now. */
static bool move(const struct plan *plan, struct conn *conn, struct engine *to)
{
	static char room[HANDOVER_RECORD_BYTES];
	struct record record = record_to(room, sizeof(room));
	int file_fd;
	bool spoilt;
	struct conn *copy;

	if (move_write(conn, &record, &file_fd) == MOVING_NOT)
		return false;
	move_freeze(conn);
	spoilt = spoil(plan, &record);
	copy = copy_to(to, conn, &record, file_fd);
	FUZZ_CHECK(copy != NULL || spoilt);
	if (copy == NULL) {
		move_thaw(conn);
		return false;
	}
	move_gone(conn);
	move_begin(copy);
	return spoilt;
}

static bool move_it(const struct plan *plan)
{
	struct engine *from = server.engine.count > 0 ? &server.engine : &second.engine;
	struct engine *to = from == &server.engine ? &second.engine : &server.engine;

	return from->count > 0 && move(plan, fake_only(from), to);
}

/* ---- a conversation ---- */

static void turn(void)
{
	fake_wait_for_nothing(&server);
	fuzz_turn(&server.loop);
}

/* `moves`: as the plan says. Returns true when the client may get anything. */
static bool send_all(struct fake_client *client, const struct plan *plan, bool moves)
{
	struct cuts cuts = plan->cuts;
	struct str bytes = plan->bytes;
	bool spoilt = false;

	for (unsigned piece = 0; bytes.len > 0 && !client->eof; piece++) {
		size_t len = cuts_next(&cuts, bytes.len);
		ssize_t sent = send(client->fd, bytes.at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0)           /* the server has closed */
			break;
		bytes = (struct str){ bytes.at + sent, bytes.len - (size_t)sent };
		turn();
		for (unsigned i = 0; i < MOVES && moves; i++)
			if (plan->moves[i] == piece)
				spoilt |= move_it(plan);
	}
	shutdown(client->fd, SHUT_WR);
	return spoilt;
}

static bool is_over(void)
{
	return server.engine.count == 0 && second.engine.count == 0;
}

static void finish(struct fake_client *client, bool spoilt)
{
	uint64_t until = clock_now_ns() + MOST_NS;

	for (unsigned i = 0; !client->eof && clock_now_ns() < until && (!spoilt || i < SPOILT_TURNS); i++)
		turn();
	FUZZ_CHECK(client->eof || spoilt);
	fake_hang_up(client);
	for (unsigned i = 0; !is_over() && clock_now_ns() < until && (!spoilt || i < SPOILT_TURNS); i++)
		turn();
	FUZZ_CHECK(is_over() || spoilt);
	engine_cut(&server.engine);
	engine_cut(&second.engine);
	turn();
}

static void check_nothing_left(const struct engine *engine)
{
	FUZZ_CHECK(engine->count == 0 && engine->slab.in_use == 0 && engine->states.in_use == 0);
	FUZZ_CHECK(engine->pool.in_use_bytes == 0 && engine->counters[COUNT_OPEN] == 0);
	FUZZ_CHECK(list_empty(&engine->listeners));
}

static bool converse(struct fake_client *client, const struct plan *plan, bool moves)
{
	bool spoilt;

	server.client_count = 0;
	fake_connect(&server, client, "");
	client->deaf = (plan->flags & DEAF) != 0;
	spoilt = send_all(client, plan, moves);
	client->deaf = false;
	finish(client, spoilt);
	check_nothing_left(&server.engine);
	check_nothing_left(&second.engine);
	return spoilt;
}

/* The status service says what has happened so far. */
static bool tells_counters(const struct fake_client *client)
{
	return client->len > 0 && memmem(client->text, client->len, "\"accepted\"", 10) != NULL;
}

static void compare(struct fake_client *moved, struct fake_client *other)
{
	if (tells_counters(moved) || tells_counters(other))
		return;
	if (moved->len > 0)
		fake_mask_boundaries(moved);
	if (other->len > 0)
		fake_mask_boundaries(other);
	FUZZ_CHECK(moved->len == other->len);
	FUZZ_CHECK(moved->len == 0 || memcmp(moved->text, other->text, moved->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct plan plan = plan_of(&input);
	struct fake_client moved, other;
	unsigned open_before;

	set_up();
	open_before = fuzz_open_count();
	wall->now = (time_t)(began + ((plan.flags & OLD_FILES) != 0 ? 60 : 0));
	converse(&other, &plan, false);
	if (!converse(&moved, &plan, true))
		compare(&moved, &other);
	free(moved.text);
	free(other.text);
	FUZZ_CHECK(fuzz_open_count() == open_before);
	return 0;
}
