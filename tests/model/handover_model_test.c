/* handover_model_test.c - every history of a handover, up to a length: workers take turns in any order,
 * clients speak, and the master and fate do what they can do at any moment, each once. A worker leaves and
 * hands over to the first; it gets the second as its receiver; the first leaves too, and hands on; one of
 * them dies; the handing over is stopped.
 *
 * The workers are the real ones (worker/hand.c, worker/take.c, with the engine and the sockets beneath
 * them), in one process, so that nothing is left out but time. A history is played from its beginning;
 * what has been seen is the state that it leads to, and the same state is not gone on from twice. In each
 * state, and where it ends when all are left alone: a connection is served by one worker at most, and by
 * one in the end, unless the worker that had it died; each byte was answered once, in order; window and
 * credit were kept. */
#include "unit/fake_workers.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "net/move.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEAVER, FIRST, SECOND };

enum action {
	TURN_LEAVER,
	TURN_FIRST,
	TURN_SECOND,
	TURNS,
	PAIR_SECOND = TURNS,            /* the master: hand over to the second one now */
	LEAVE_FIRST,                    /* it is replaced by the second one, and hands on */
	STOP,                           /* no more handing over */
	ASK,
	KILL_LEAVER,
	KILL_FIRST,
	ACTIONS
};

static const char *const names[ACTIONS] = {
	"turn of the leaver",
	"turn of the first",
	"turn of the second",
	"pair with the second",
	"the first leaves",
	"stop",
	"ask",
	"kill the leaver",
	"kill the first",
};

/* Two large records are too much for a batch, so that there are more batches than the window takes. One
 * connection cannot be moved until its client speaks, and one has no room at the first receiver. */
static const char modes[] = {
	COUNTS_LARGE, COUNTS_IDLE, COUNTS_IDLE, COUNTS_LARGE, COUNTS_LARGE, COUNTS_WAITING,
};

enum {
	CONNS = sizeof(modes),
	FIRST_ROOM = CONNS - 1,
	MOST_STEPS = 6,
	MOST_HISTORIES = 1 << 16,
	SEEN_ROOM = 1 << 20,
	QUIET_TURNS = 20,               /* more than it ever takes until nothing happens any more */
};

struct history {
	uint8_t count;
	uint8_t actions[MOST_STEPS];
};

enum place { ABSENT, SERVED, FROZEN };

/* What a history leads to, beside the workers themselves. */
static struct {
	bool dead[FAKE_WORKERS];
	bool may_be_lost[CONNS];
	unsigned asked[CONNS], answered[CONNS];
} world;

static const struct history *played;
static struct history *queue;
static uint64_t *seen;

/* ---- what is looked at ------------------------------------------------------------------------------- */

static void say_history(void)
{
	for (unsigned i = 0; i < played->count; i++)
		fprintf(stderr, "\t%s\n", names[played->actions[i]]);
}

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			say_history(); \
			ck_abort_msg("not true: " #condition); \
		} \
	} while (0)

static struct worker *worker_of(unsigned i)
{
	return &fake_workers[i]->worker;
}

static bool is_gone(unsigned i)
{
	return world.dead[i] || worker_of(i)->loop.stopped;
}

/* Its peer's port goes along with a connection, and says whose it is. */
static void give_number(struct conn *conn, unsigned client)
{
	union peer peer = conn_peer(conn);

	peer.v4.sin_port = (in_port_t)client;
	MUST(conn_name(conn, &peer, &peer));
}

static bool has(const struct list *conns, unsigned client)
{
	for (const struct list *link = conns->next; link != conns; link = link->next)
		if (conn_peer(LIST_ENTRY(link, struct conn, link)).v4.sin_port == client)
			return true;
	return false;
}

static enum place place_of(unsigned worker, unsigned client)
{
	const struct engine *engine = &worker_of(worker)->engine;

	if (has(&engine->conns, client) || has(&engine->leaving, client))
		return SERVED;
	return has(&engine->frozen, client) ? FROZEN : ABSENT;
}

static unsigned served_by(unsigned client)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_WORKERS; i++)
		count += place_of(i, client) == SERVED;
	return count;
}

static void hear(unsigned client)
{
	unsigned char byte;

	while (recv(fake_clients[client], &byte, 1, 0) == 1) {
		world.answered[client]++;
		MUST(byte == world.answered[client]);
	}
	MUST(world.answered[client] <= world.asked[client]);
}

static void check_window(const struct hand *hand)
{
	const struct handover_window *window = &hand->window;

	MUST(window->used <= window->credit);
	MUST(window->acked <= window->sent && window->sent - window->acked <= HANDOVER_WINDOW);
}

static void check_credit(const struct worker *worker)
{
	for (const struct list *link = worker->takes.next; link != &worker->takes; link = link->next)
		MUST(LIST_ENTRY(link, struct take, link)->used <=
		     LIST_ENTRY(link, struct take, link)->granted);
	MUST(worker->engine.count <= fake_workers[FIRST]->config.connections || worker != worker_of(FIRST));
}

static void check(void)
{
	for (unsigned client = 0; client < CONNS; client++) {
		MUST(served_by(client) <= 1);
		hear(client);
	}
	for (unsigned i = 0; i < FAKE_WORKERS; i++) {
		check_window(&worker_of(i)->hand);
		check_credit(worker_of(i));
	}
}

/* ---- what happens ------------------------------------------------------------------------------------ */

static void ask(unsigned client)
{
	if (send(fake_clients[client], &(char){ COUNTS_IDLE }, 1, MSG_NOSIGNAL) == 1)
		world.asked[client]++;
}

static void pair(unsigned sender, unsigned receiver)
{
	const struct hand_note note = { .slot = receiver, .pid = receiver };
	struct err err;
	int ends[2];

	MUST(channel_pair(ends, &err));
	if (is_gone(receiver))          /* the master does not know it yet */
		fd_close(&ends[1]);
	else
		take_begin(worker_of(receiver), &note, ends[1]);
	hand_begin(worker_of(sender), &note, ends[0]);
}

static void leave(unsigned i, bool hand)
{
	struct drain_note note = { .deadline_ns = worker_of(i)->loop.now_ns + 30 * CLOCK_S, .hand = hand };

	drain_begin(worker_of(i), &note);
}

static void close_all(struct list *conns)
{
	while (!list_empty(conns))
		move_gone(LIST_ENTRY(conns->next, struct conn, link));
}

/* As the kernel does it: descriptors are closed, and nothing is said or read. */
static void kill_one(unsigned i)
{
	struct worker *worker = worker_of(i);

	for (unsigned client = 0; client < CONNS; client++) {
		bool elsewhere = served_by(client) > (place_of(i, client) == SERVED);

		world.may_be_lost[client] |= place_of(i, client) != ABSENT && !elsewhere;
	}
	world.dead[i] = true;
	hand_close(worker);
	for (struct list *link = worker->takes.next; link != &worker->takes; link = link->next)
		fd_close(&LIST_ENTRY(link, struct take, link)->channel.fd);
	close_all(&worker->engine.conns);
	close_all(&worker->engine.leaving);
	close_all(&worker->engine.frozen);
}

static void turn(unsigned i)
{
	if (is_gone(i))
		return;
	fake_worker_turn(worker_of(i));
	if (worker_of(i)->loop.stopped)         /* it has left: its process ends */
		hand_close(worker_of(i));
}

static void act(enum action action)
{
	if (action < TURNS)
		turn(action);
	if (action == PAIR_SECOND)
		pair(LEAVER, SECOND);
	if (action == LEAVE_FIRST) {
		leave(FIRST, true);
		pair(FIRST, SECOND);
	}
	if (action == STOP)
		leave(LEAVER, false);
	for (unsigned client = 0; client < CONNS && action == ASK; client += CONNS - 1)
		ask(client);
	if (action == KILL_LEAVER || action == KILL_FIRST)
		kill_one(action == KILL_LEAVER ? LEAVER : FIRST);
}

static bool was_before(const struct history *history, enum action action)
{
	for (unsigned i = 0; i < history->count; i++)
		if (history->actions[i] == action)
			return true;
	return false;
}

/* Nothing happens to those who are gone. */
static bool is_possible(enum action action)
{
	static const uint8_t who[ACTIONS] = {
		[TURN_FIRST] = FIRST,
		[TURN_SECOND] = SECOND,
		[LEAVE_FIRST] = FIRST,
		[KILL_FIRST] = FIRST,
	};

	return action == ASK || !is_gone(who[action]);
}

/* ---- a history --------------------------------------------------------------------------------------- */

static void begin(void)
{
	const struct list *conns;

	memset(&world, 0, sizeof(world));
	fake_workers_open();
	conns = &worker_of(LEAVER)->engine.conns;
	fake_workers[FIRST]->config.connections = FIRST_ROOM;
	for (unsigned client = 0; client < CONNS; client++) {
		fake_workers_connect(worker_of(LEAVER), 1);
		give_number(LIST_ENTRY(conns->prev, struct conn, link), client);
		MUST(send(fake_clients[client], &modes[client], 1, 0) == 1);
		world.asked[client]++;
	}
	turn(LEAVER);
	leave(LEAVER, true);
	pair(LEAVER, FIRST);
}

/* All are left alone until nothing happens any more; then each client speaks once more. */
static void end(void)
{
	for (unsigned i = 0; i < QUIET_TURNS * FAKE_WORKERS; i++) {
		if (i == QUIET_TURNS * FAKE_WORKERS / 2)
			for (unsigned client = 0; client < CONNS; client++)
				ask(client);
		turn(i % FAKE_WORKERS);
	}
	check();
	for (unsigned client = 0; client < CONNS; client++) {
		if (world.may_be_lost[client] && served_by(client) == 0)
			continue;
		MUST(served_by(client) == 1);
		MUST(world.answered[client] == world.asked[client]);
	}
	for (unsigned i = 0; i < FAKE_WORKERS; i++)
		MUST(list_empty(&worker_of(i)->engine.frozen));
	fake_workers_close();
}

/* ---- states ------------------------------------------------------------------------------------------ */

static int unread(int fd)
{
	int bytes = 0;

	if (fd >= 0)
		ioctl(fd, FIONREAD, &bytes);
	return bytes;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	for (unsigned i = 0; i < sizeof(value); i++)
		hash = hash_add(hash, (char)(value >> 8 * i));
	return hash;
}

static uint64_t hash_hand(uint64_t hash, const struct hand *hand)
{
	hash = mix(hash, (uint64_t)(hand->channel.fd >= 0) | (uint64_t)(hand->next >= 0) << 1 |
				 hand->ended << 2 | list_linked(&hand->step.link) << 3);
	hash = mix(hash, hand->window.sent << 32 | hand->window.acked);
	hash = mix(hash, hand->window.credit << 32 | hand->window.used);
	hash = mix(hash, (uint64_t)hand->left[0] << 32 | hand->left[1]);
	return mix(hash, (uint64_t)unread(hand->channel.fd));
}

static uint64_t hash_worker(uint64_t hash, unsigned i)
{
	const struct worker *worker = worker_of(i);

	hash = mix(hash, (uint64_t)world.dead[i] | (uint64_t)worker->loop.stopped << 1 |
				 worker->draining << 2 | worker->engine.draining << 3);
	hash = hash_hand(hash, &worker->hand);
	for (const struct list *link = worker->takes.next; link != &worker->takes; link = link->next) {
		const struct take *take = LIST_ENTRY(link, struct take, link);

		hash = mix(hash, take->used << 32 | take->granted);
		hash = mix(hash, take->batches << 32 | (uint64_t)unread(take->channel.fd));
	}
	for (unsigned client = 0; client < CONNS; client++)
		hash = mix(hash, place_of(i, client));
	return hash;
}

/* The actions that are behind us say what can still happen. */
static uint64_t state_of(const struct history *history)
{
	uint64_t done = 0, hash;

	for (unsigned i = 0; i < history->count; i++)
		done |= history->actions[i] >= TURNS ? UINT64_C(1) << history->actions[i] : 0;
	hash = mix(HASH_BEGIN, done);
	for (unsigned i = 0; i < FAKE_WORKERS; i++)
		hash = hash_worker(hash, i);
	for (unsigned client = 0; client < CONNS; client++)
		hash = mix(hash, world.answered[client] << 8 | world.asked[client]);
	return hash;
}

static bool is_new(uint64_t state)
{
	for (size_t at = state % SEEN_ROOM;; at = (at + 1) % SEEN_ROOM) {
		if (seen[at] == state)
			return false;
		if (seen[at] != 0)
			continue;
		seen[at] = state;
		return true;
	}
}

/* True when it leads to where no other one did. */
static bool play(const struct history *history)
{
	unsigned last = history->count - 1U;
	bool goes_on = false;

	played = history;
	begin();
	for (unsigned i = 0; i < last; i++)
		act(history->actions[i]);
	if (is_possible(history->actions[last])) {
		act(history->actions[last]);
		check();
		goes_on = is_new(state_of(history));
	}
	end();
	return goes_on;
}

START_TEST(in_every_history_each_connection_is_served_by_one_worker)
{
	unsigned first = 0, count = 1, longest = 0;

	queue[0] = (struct history){ 0 };
	for (; first < count; first++) {
		for (unsigned action = 0; action < ACTIONS && queue[first].count < MOST_STEPS; action++) {
			struct history *next = &queue[count];

			if (action >= TURNS && was_before(&queue[first], action))
				continue;
			*next = queue[first];
			next->actions[next->count++] = (uint8_t)action;
			if (!play(next))
				continue;
			longest = next->count;
			ck_assert_uint_lt(++count, MOST_HISTORIES);
		}
	}
	printf("%u states, histories of up to %u steps\n", count, longest);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("handover model");
	TCase *tests = tcase_create("handover model");
	SRunner *runner = srunner_create(suite);
	struct log_setup quiet = { .least = LEVEL_ERROR, .target = { LOG_STREAM, -1, NULL } };
	int failed;

	log_open(NULL, &quiet);
	queue = calloc(MOST_HISTORIES, sizeof(*queue));
	seen = calloc(SEEN_ROOM, sizeof(*seen));
	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, in_every_history_each_connection_is_served_by_one_worker);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	free(queue);
	free(seen);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
