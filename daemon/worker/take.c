/* take.c - a worker takes over the connections of those that leave.
 *
 * Called on TAKE, when connections were freed, and when this worker drains itself. Each sender has a channel;
 * what it may send is bounded by the credit: what there is room for, shared among the senders, and never much
 * more than is on its way. A connection that cannot be taken (no room after all, no descriptors, a record
 * that is not understood) is declined, and stays where it is.
 *
 * A batch is acknowledged before anything is done with it. When nobody is there to read that, the sender's
 * process has ended (hand.c never closes its end with anything unacknowledged), and what it held with it:
 * nobody else can serve the batch. */
#include "worker.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/watch.h"
#include "net/move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* descriptors that are granted ahead: the next batches leave while the last ones are taken */
	CREDIT_AHEAD = 2 * HANDOVER_WINDOW * CHANNEL_MAX_FDS,
	/* more credit is worth a message from so much on, or when less is left than a connection may need */
	CREDIT_STEP = CHANNEL_MAX_FDS,
	CONN_FDS = 2,
};

/* ---- credit ------------------------------------------------------------------------------------------ */

static void grant(struct worker *worker, struct take *take, bool freed)
{
	unsigned room = accept_spare(worker) / worker->take_count;
	uint64_t total = take->used + (room < CREDIT_AHEAD ? room : CREDIT_AHEAD);
	bool wanted = take->granted < take->used + CONN_FDS || (freed && take->turned_away);

	if (total <= take->granted || (total - take->granted < CREDIT_STEP && !wanted))
		return;
	/* one that does not arrive is granted again with more; an end is handled where it is read */
	if (handover_answer(take->channel.fd, HANDOVER_CREDIT, total, NULL) != HANDOVER_SENT)
		return;
	take->granted = total;
	take->turned_away = false;
}

static void grant_all(struct worker *worker, bool freed)
{
	for (struct list *link = worker->takes.next; link != &worker->takes; link = link->next)
		grant(worker, LIST_ENTRY(link, struct take, link), freed);
}

void take_room(struct worker *worker)
{
	grant_all(worker, true);
}

/* ---- a batch ----------------------------------------------------------------------------------------- */

/* NULL: declined, and nothing is left of it. */
static struct conn *take_one(struct worker *worker)
{
	int fd AUTO_CLOSE = -1, file_fd AUTO_CLOSE = -1;
	struct record record;

	if (!handover_next(&worker->incoming, &record, &fd, &file_fd) || fd < 0 || accept_spare(worker) == 0)
		return NULL;
	if (!fd_is_unblocked(fd))        /* the sender may have lost its mind */
		return NULL;
	return move_read(&worker->engine, &record, fd_take(&fd), fd_take(&file_fd));
}

static unsigned take_all(struct worker *worker, struct conn **conns, struct handover_declined *declined)
{
	unsigned count = 0;

	for (unsigned i = 0; i < worker->incoming.head.count; i++) {
		conns[count] = take_one(worker);
		if (conns[count] != NULL)
			count++;
		else
			handover_decline(declined, i);
	}
	return count;
}

/* What some of them have asked for came with the batch: see plain_recv. */
static void begin_all(struct worker *worker, struct conn **conns, unsigned count)
{
	watch_tell();
	for (unsigned i = 0; i < count; i++) {
		engine_count(&worker->engine, COUNT_TAKEN_OVER);
		move_begin(conns[i]);
	}
}

/* False: the sender cannot be told now, and has them still. */
static bool take_batch(struct worker *worker, struct take *take)
{
	struct handover_message *message = &worker->incoming;
	struct handover_declined declined = { { 0 } };
	struct conn *conns[CHANNEL_MAX_FDS];
	unsigned count = take_all(worker, conns, &declined);
	enum handover_sent sent =
		handover_answer(take->channel.fd, HANDOVER_ACK, message->head.number, &declined);
	bool good = sent == HANDOVER_SENT || sent == HANDOVER_BROKEN;

	take->batches++;
	take->used += message->next_fd;
	take->turned_away |= count < message->head.count;
	handover_drop(message);
	if (good)
		begin_all(worker, conns, count);
	for (unsigned i = 0; i < count && !good; i++)
		move_gone(conns[i]);
	return good;
}

/* ---- the channel ------------------------------------------------------------------------------------- */

static void close_take(struct worker *worker, struct take *take)
{
	log_event(LEVEL_DEBUG, "take_end", log_number("from_slot", take->peer.slot),
		  log_number("from_pid", take->peer.pid), log_number("batches", take->batches));
	loop_remove(&worker->loop, &take->channel);
	fd_close(&take->channel.fd);
	list_remove(&take->link);
	list_push_back(&worker->ended_takes, &take->link);
	worker->take_count--;
}

/* False: nothing more comes, or nothing that can be understood. */
static bool handle(struct worker *worker, struct take *take, enum handover_result result)
{
	const struct handover_head *head = &worker->incoming.head;

	if (result == HANDOVER_MESSAGE && head->type == HANDOVER_BATCH && head->number == take->batches + 1)
		return take_batch(worker, take);
	if (result == HANDOVER_UNKNOWN)
		handover_answer(take->channel.fd, HANDOVER_REFUSE, 0, NULL);
	if (result == HANDOVER_MESSAGE)
		handover_drop(&worker->incoming);
	return false;
}

/* A batch a turn: the channel is level-triggered. */
static void on_channel(struct source *source, uint32_t events)
{
	struct take *take = LIST_ENTRY(source, struct take, channel);
	struct worker *worker = take->worker;
	enum handover_result result = handover_receive(source->fd, &worker->incoming);

	(void)events;
	if (result == HANDOVER_EMPTY)
		return;
	epitaph_phase(worker->engine.epitaph, PHASE_TAKING);
	if (!handle(worker, take, result))
		close_take(worker, take);
	grant_all(worker, false);       /* the credit was used, or is shared by fewer */
	epitaph_phase(worker->engine.epitaph, PHASE_LOOP);
}

static void sweep(struct turn_end *hook)
{
	struct worker *worker = LIST_ENTRY(hook, struct worker, take_sweep);

	for (struct list *link = list_pop_front(&worker->ended_takes); link != NULL;
	     link = list_pop_front(&worker->ended_takes))
		free(LIST_ENTRY(link, struct take, link));
}

void take_init(struct worker *worker)
{
	list_init(&worker->takes);
	list_init(&worker->ended_takes);
	worker->take_sweep.run = sweep;
	loop_at_turn_end(&worker->loop, &worker->take_sweep);
}

/* The sender hears the channel's end, and the master of it from there. */
static void say_impossible(const struct hand_note *peer, const char *why)
{
	log_event(LEVEL_WARNING, "handover_impossible", log_number("from_slot", peer->slot),
		  log_number("from_pid", peer->pid), log_text("error", why));
}

void take_begin(struct worker *worker, const struct hand_note *peer, int channel)
{
	bool takes = worker->serving && !worker->draining;
	struct take *take = takes ? calloc(1, sizeof(*take)) : NULL;

	if (take == NULL) {
		if (takes)
			say_impossible(peer, "out of memory");
		fd_close(&channel);
		return;
	}
	take->channel = (struct source){ .fd = channel, .handle = on_channel };
	take->worker = worker;
	take->peer = *peer;
	list_push_back(&worker->takes, &take->link);
	worker->take_count++;
	if (loop_add(&worker->loop, &take->channel, EPOLLIN) == 0) {
		grant(worker, take, false);
		return;
	}
	say_impossible(peer, strerror(errno));
	close_take(worker, take);
}

/* As much as a sender may have sent by now; what it sends meanwhile is not acknowledged. */
static void take_last(struct worker *worker, struct take *take)
{
	for (int i = 0; i < HANDOVER_WINDOW; i++)
		if (!handle(worker, take, handover_receive(take->channel.fd, &worker->incoming)))
			break;
	close_take(worker, take);
}

void take_end(struct worker *worker)
{
	while (!list_empty(&worker->takes))
		take_last(worker, LIST_ENTRY(worker->takes.next, struct take, link));
}
