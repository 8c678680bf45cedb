/* hand.c - a worker that leaves hands its connections over to the one that takes its place.
 *
 * Called on HAND, and by drain.c when the service stops. Connections are looked at from the front of their
 * lists; what cannot be moved goes to the back, is served on, and comes to the front again when it waits
 * after it was served. What was sent is frozen until its acknowledgement. At the channel's end, for whatever
 * reason, all that was not acknowledged is served on here; the master is told, and names a receiver again
 * (another one, or the same), or the drain's deadline ends it. A receiver that is silent may come back and
 * touch what it was sent, so nothing is thawed for that alone: the master is told, and kills it if it
 * hangs. */
#include "worker.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/must.h"
#include "net/move.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	LOOK_AT_ONCE = 1024,            /* connections of a list, in a turn */
	ANSWERS_AT_ONCE = 16,           /* level-triggered: what is left comes again */
	MOST_DECLINED = 3,              /* without room there may be some later; without a service, never */
};

/* Nothing says when descriptors in flight arrive (ETOOMANYREFS, unix(7)). A full channel is tried again with
 * the next answer, if that comes earlier. */
#define AGAIN_NS (5 * CLOCK_MS)

#define UNHEARD_NS (5 * CLOCK_S)

enum offered { OFFER_SENT, OFFER_STAYS, OFFER_NO_ROOM };

/* ---- what the master is told ------------------------------------------------------------------------- */

/* A channel that cannot be written has ended, and that is handled where it is read. */
static void tell(struct worker *worker, enum message_type type, const struct hand_note *peer)
{
	struct message message = { .type = type, .bytes = sizeof(*peer), .body.hand = *peer };
	struct err err;

	channel_send(worker->channel.fd, &message, NULL, 0, &err);
}

static void on_unheard(struct timer *timer, uint64_t now_ns)
{
	struct worker *worker = LIST_ENTRY(timer, struct worker, hand.unheard);

	(void)now_ns;
	tell(worker, MESSAGE_UNHEARD, &worker->hand.peer);
	loop_timer(&worker->loop, timer, UNHEARD_NS);
}

static void expect_answer(struct worker *worker)
{
	if (worker->hand.window.sent > worker->hand.window.acked)
		loop_timer(&worker->loop, &worker->hand.unheard, UNHEARD_NS);
	else
		timer_cancel(&worker->hand.unheard);
}

void hand_impossible(struct worker *worker, const struct hand_note *peer, const char *why)
{
	log_event(LEVEL_WARNING, "handover_impossible", log_number("to_slot", peer->slot),
		  log_number("to_pid", peer->pid), log_text("error", why));
	tell(worker, MESSAGE_PARTED, peer);
}

/* ---- one batch --------------------------------------------------------------------------------------- */

static struct hand_batch *batch_of(struct hand *hand, uint64_t number)
{
	return &hand->batches[number % HANDOVER_WINDOW];
}

/* Into the batch, if it can be moved now. */
static enum offered offer(struct hand *hand, struct conn *conn)
{
	struct hand_batch *batch = batch_of(hand, hand->batch.head.number);
	struct record record = handover_room(&hand->batch);
	unsigned room = handover_window_room(&hand->window);
	int file_fd = -1;
	enum moving moving;

	if (conn->declined >= MOST_DECLINED)
		return OFFER_STAYS;
	moving = move_write(conn, &record, &file_fd);
	if (moving == MOVING_NOT)       /* or only because of what is before it */
		return record.bad && batch->count > 0 ? OFFER_NO_ROOM : OFFER_STAYS;
	if (hand->batch.fd_count + (file_fd >= 0 ? 2 : 1) > room ||
	    !handover_add(&hand->batch, &record, conn->source.fd, file_fd))
		return OFFER_NO_ROOM;
	move_freeze(conn);
	batch->kinds[batch->count++] = (uint8_t)moving;
	return OFFER_SENT;
}

static enum offered fill_from(struct hand *hand, struct list *conns, unsigned *left)
{
	for (unsigned i = 0; i < LOOK_AT_ONCE && *left > 0 && !list_empty(conns); i++) {
		struct conn *conn = LIST_ENTRY(conns->next, struct conn, link);
		enum offered offered = offer(hand, conn);

		if (offered == OFFER_NO_ROOM)
			return offered;
		--*left;
		if (offered == OFFER_STAYS) {
			list_remove(&conn->link);
			list_push_back(conns, &conn->link);
		}
	}
	if (list_empty(conns))
		*left = 0;
	return OFFER_STAYS;
}

/* The next batch, perhaps an empty one.  False: what is left needs more room than there is. */
static bool fill(struct worker *worker)
{
	struct list *const lists[HAND_LISTS] = { &worker->engine.conns, &worker->engine.leaving };
	struct hand *hand = &worker->hand;
	enum offered offered = OFFER_STAYS;

	handover_batch(&hand->batch, hand->window.sent + 1);
	batch_of(hand, hand->batch.head.number)->count = 0;
	for (unsigned i = 0; i < HAND_LISTS && offered != OFFER_NO_ROOM; i++)
		offered = fill_from(hand, lists[i], &hand->left[i]);
	return hand->batch.head.count > 0 || offered != OFFER_NO_ROOM;
}

static void look_at_all(struct worker *worker)
{
	for (unsigned i = 0; i < HAND_LISTS; i++)
		worker->hand.left[i] = worker->engine.count;
	loop_ready(&worker->loop, &worker->hand.step);
}

/* Nothing went out: they are served until the next try. */
static void take_back(struct worker *worker)
{
	const struct hand_batch *batch = batch_of(&worker->hand, worker->hand.batch.head.number);
	struct list *frozen = &worker->engine.frozen;

	for (unsigned i = 0; i < batch->count; i++)
		move_thaw(LIST_ENTRY(frozen->prev, struct conn, link));
	look_at_all(worker);
}

static void send_batch(struct worker *worker)
{
	struct hand *hand = &worker->hand;
	enum handover_sent sent = handover_send(hand->channel.fd, &hand->batch);

	if (sent == HANDOVER_SENT) {
		handover_window_sent(&hand->window, hand->batch.fd_count);
		expect_answer(worker);
		return;
	}
	if (sent == HANDOVER_BROKEN)    /* the end is handled where it is read, behind acknowledgements */
		hand->ended = true;
	else
		loop_timer(&worker->loop, &hand->again, AGAIN_NS);
	take_back(worker);
}

static bool has_left(const struct hand *hand)
{
	return hand->left[0] > 0 || hand->left[1] > 0;
}

/* A batch a turn: with the window full, or no credit left, the next answer goes on. */
static void step(struct ready *ready)
{
	struct worker *worker = LIST_ENTRY(ready, struct worker, hand.step);
	struct hand *hand = &worker->hand;

	if (hand->ended || timer_armed(&hand->again))
		return;
	epitaph_phase(worker->engine.epitaph, PHASE_HANDING);
	if (handover_window_room(&hand->window) > 0 && fill(worker)) {
		if (hand->batch.head.count > 0)
			send_batch(worker);
		if (has_left(hand))
			loop_ready(&worker->loop, &hand->step);
	}
	epitaph_phase(worker->engine.epitaph, PHASE_LOOP);
}

static void try_again(struct timer *timer, uint64_t now_ns)
{
	struct worker *worker = LIST_ENTRY(timer, struct worker, hand.again);

	(void)now_ns;
	step(&worker->hand.step);
}

/* ---- which ones -------------------------------------------------------------------------------------- */

/* It was served, and is perhaps what can be moved now: its turn is next. */
static void on_waits(struct engine *engine, struct conn *conn)
{
	struct worker *worker = LIST_ENTRY(engine, struct worker, engine);
	bool leaves = conn_protocol(conn)->doing(conn) == DOING_LEAVING;

	if (conn->frozen || conn->declined > 0)
		return;
	list_remove(&conn->link);
	list_push_front(leaves ? &engine->leaving : &engine->conns, &conn->link);
	if (worker->hand.left[leaves] < engine->count)
		worker->hand.left[leaves]++;
	loop_ready(&worker->loop, &worker->hand.step);
}

/* What one receiver did not want, another one may. */
static void forget_declined(struct list *conns)
{
	for (struct list *link = conns->next; link != conns; link = link->next)
		LIST_ENTRY(link, struct conn, link)->declined = 0;
}

/* ---- what the other end says; false: it cannot be --------------------------------------------------- */

static bool on_credit(struct worker *worker, const struct handover_message *message)
{
	if (!handover_window_credited(&worker->hand.window, message->head.number))
		return false;
	look_at_all(worker);
	return true;
}

static void settle_one(struct engine *engine, struct conn *conn, enum moving moving, bool declined)
{
	must(conn->frozen);
	if (declined) {
		engine_count(engine, COUNT_HAND_DECLINED);
		conn->declined++;
		move_thaw(conn);
		return;
	}
	engine_count(engine, COUNT_HANDED_IDLE + (moving - MOVING_IDLE));
	move_gone(conn);
}

static bool on_ack(struct worker *worker, const struct handover_message *message)
{
	struct engine *engine = &worker->engine;
	const struct hand_batch *batch = batch_of(&worker->hand, message->head.number);

	if (!handover_window_acked(&worker->hand.window, message->head.number))
		return false;
	for (unsigned i = 0; i < batch->count && !list_empty(&engine->frozen); i++)
		settle_one(engine, LIST_ENTRY(engine->frozen.next, struct conn, link), batch->kinds[i],
			   handover_is_declined(&message->body.declined, i));
	expect_answer(worker);
	loop_ready(&worker->loop, &worker->hand.step);
	return true;
}

/* Of another version, perhaps; its successor may understand it. Until there is one, clients are told. */
static bool on_refuse(struct worker *worker, const struct handover_message *message)
{
	(void)message;
	worker->hand.refused = true;
	log_event(LEVEL_NOTICE, "handover_refused", log_number("to_slot", worker->hand.peer.slot),
		  log_number("to_pid", worker->hand.peer.pid));
	if (worker->engine.generation != NULL)
		engine_drain(&worker->engine, false);
	return false;
}

static bool (*const answers[HANDOVER_TYPES])(struct worker *, const struct handover_message *) = {
	[HANDOVER_CREDIT] = on_credit,
	[HANDOVER_ACK] = on_ack,
	[HANDOVER_REFUSE] = on_refuse,
};

/* ---- the channel ------------------------------------------------------------------------------------- */

static void begin(struct worker *worker, const struct hand_note *peer, int channel);

/* Nothing more can be acknowledged. */
static void end(struct worker *worker)
{
	struct hand *hand = &worker->hand;
	struct list *frozen = &worker->engine.frozen;

	log_event(LEVEL_DEBUG, "hand_end", log_number("to_slot", hand->peer.slot),
		  log_number("to_pid", hand->peer.pid), log_number("batches", hand->window.acked));
	loop_remove(&worker->loop, &hand->channel);
	fd_close(&hand->channel.fd);
	timer_cancel(&hand->again);
	timer_cancel(&hand->unheard);
	loop_unready(&hand->step);
	worker->engine.waits = NULL;
	while (!list_empty(frozen))
		move_thaw(LIST_ENTRY(frozen->next, struct conn, link));
	if (hand->next >= 0)
		begin(worker, &hand->next_peer, fd_take(&hand->next));
	else if (!hand->refused)
		tell(worker, MESSAGE_PARTED, &hand->peer);
}

/* The receiver reads on to our end, acknowledges what it takes, and closes its own. */
static void send_no_more(struct worker *worker)
{
	struct hand *hand = &worker->hand;

	if (hand->window.sent == hand->window.acked) {
		end(worker);
		return;
	}
	hand->ended = true;
	worker->engine.waits = NULL;
	shutdown(hand->channel.fd, SHUT_WR);
}

/* False: nothing more is sent to this one. */
static bool understand(struct worker *worker, enum handover_result result)
{
	const struct handover_message *message = &worker->incoming;

	if (result == HANDOVER_UNKNOWN)         /* of a version that has no word for it in ours */
		return on_refuse(worker, message);
	return answers[message->head.type] != NULL && answers[message->head.type](worker, message);
}

/* What could not be sent may have room now. */
static void try_now(struct worker *worker)
{
	timer_cancel(&worker->hand.again);
	loop_ready(&worker->loop, &worker->hand.step);
}

static void on_channel(struct source *source, uint32_t events)
{
	struct worker *worker = LIST_ENTRY(source, struct worker, hand.channel);
	enum handover_result result = HANDOVER_EMPTY;
	bool good = true;

	(void)events;
	for (int i = 0; i < ANSWERS_AT_ONCE && good; i++) {
		result = handover_receive(source->fd, &worker->incoming);
		if (result == HANDOVER_EMPTY || result == HANDOVER_END)
			break;
		good = understand(worker, result);
	}
	if (result == HANDOVER_END)
		end(worker);
	else if (!good && !worker->hand.ended)
		send_no_more(worker);
	else
		try_now(worker);
}

static void begin(struct worker *worker, const struct hand_note *peer, int channel)
{
	struct hand *hand = &worker->hand;

	hand->channel.fd = channel;
	hand->peer = *peer;
	hand->window = (struct handover_window){ 0 };
	hand->ended = hand->refused = false;
	if (loop_add(&worker->loop, &hand->channel, EPOLLIN) != 0) {
		fd_close(&hand->channel.fd);
		hand_impossible(worker, peer, strerror(errno));
		return;
	}
	forget_declined(&worker->engine.conns);
	forget_declined(&worker->engine.leaving);
	worker->engine.waits = on_waits;
	look_at_all(worker);
}

void hand_init(struct worker *worker)
{
	worker->hand.channel = (struct source){ .fd = -1, .handle = on_channel };
	worker->hand.step.serve = step;
	worker->hand.again.fire = try_again;
	worker->hand.unheard.fire = on_unheard;
	worker->hand.next = -1;
}

void hand_begin(struct worker *worker, const struct hand_note *peer, int channel)
{
	struct hand *hand = &worker->hand;

	if (!worker->draining || worker->stops) {       /* the service stops meanwhile */
		fd_close(&channel);
		return;
	}
	fd_close(&hand->next);
	hand->next = channel;
	hand->next_peer = *peer;
	if (hand->channel.fd >= 0)
		send_no_more(worker);
	else
		begin(worker, peer, fd_take(&hand->next));
}

void hand_stop(struct worker *worker)
{
	fd_close(&worker->hand.next);
	if (worker->hand.channel.fd >= 0)
		send_no_more(worker);
}

void hand_close(struct worker *worker)
{
	fd_close(&worker->hand.next);
	loop_remove(&worker->loop, &worker->hand.channel);
	fd_close(&worker->hand.channel.fd);
}
