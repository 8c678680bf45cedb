/* handover.c - who hands its connections over to whom.
 *
 * One rule: a draining child that may hand over, and whose receiver is not the worker that serves its slot
 * now (modulo the number of slots, when that has shrunk; the next one that is in service, when its own is
 * not), is connected with that one. It is looked at whenever it may have become true: somebody began to
 * serve, or retired. A receiver that dies or retires needs nothing else: its successor begins to serve.
 * While there is no receiver the sender serves on. A pair that ends although both live (no memory at one of
 * them) is made again a second later, not sooner.
 *
 * A receiver that hangs has connections of the sender frozen. Only its end gives them back, so it is killed:
 * but only if the master sees itself that it hangs, for a worker can say anything.
 *
 * The two ends of a pair go to the two workers: clients' bytes never pass the master. Called by slots.c and
 * spawn.c; what fails is logged and tried again: until then the sender serves on, and nobody loses anything.
 */
#include "master.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>

#define RETRY_NS CLOCK_S
#define HANG_NS (5 * CLOCK_S)      /* in one batch of events */

unsigned handover_slot(const struct child *child)
{
	const struct master *master = child->master;
	unsigned slot = child->slot % master->slot_count;

	for (unsigned i = 0; i < master->slot_count && master->slots[slot].held; i++)
		slot = (slot + 1) % master->slot_count;
	return slot;
}

/* NULL: nobody, for the time being. `later`: but there may be somebody although nothing else changes: what is
 * handed to a worker that crashes is lost, and those of a slot that fails just did. */
static const struct child *receiver_for(const struct child *child, bool *later)
{
	const struct master *master = child->master;
	const struct slot *slot = &master->slots[handover_slot(child)];
	const struct child *serving = slot->serving;

	*later = false;
	if (serving == NULL || serving->state != CHILD_SERVING)
		return NULL;
	*later = serving != child->receiver && slot_is_failing(slot);
	return *later ? NULL : serving;
}

/* `other` is the worker at the pair's other end. */
static bool send_end(const struct child *child, enum message_type type, const struct child *other, int end,
		     struct err *err)
{
	struct message message = {
		.type = type,
		.bytes = sizeof(struct hand_note),
		.generation = child->master->handover.number,
		.body.hand = { .slot = other->slot, .pid = (uint32_t)other->pid },
	};

	return channel_send(child->channel.fd, &message, &end, 1, err) ||
	       err_add(err, "the worker of slot %u", child->slot);
}

/* The receiver first: whoever cannot be told hears the pair's end. */
static bool connect_pair(const struct child *sender, const struct child *receiver, struct err *err)
{
	int ends[2] = { -1, -1 };
	int its AUTO_CLOSE = -1, mine AUTO_CLOSE = -1;

	if (!channel_pair(ends, err))
		return false;
	its = ends[0];
	mine = ends[1];
	sender->master->handover.number++;
	return send_end(receiver, MESSAGE_TAKE, sender, its, err) &&
	       send_end(sender, MESSAGE_HAND, receiver, mine, err);
}

static void try_again(struct timer *timer, uint64_t now_ns)
{
	struct handover *handover = LIST_ENTRY(timer, struct handover, retry);
	struct master *master = LIST_ENTRY(handover, struct master, handover);

	(void)now_ns;
	FOR_EACH_CHILD(master, child) {
		if (child->unconnected)
			child->receiver = NULL;
		child->unconnected = false;
	}
	handover_arrange(master);
}

/* Not before the timer fires, whoever asks how often. */
static void retry_later(struct child *child)
{
	struct handover *handover = &child->master->handover;

	child->unconnected = true;
	handover->retry.fire = try_again;
	if (!timer_armed(&handover->retry))
		loop_timer(&child->master->loop, &handover->retry, RETRY_NS);
}

/* A broken channel is a worker that has died: its end is seen elsewhere. */
static void failed(struct child *child, const struct err *err)
{
	if (errno != EPIPE && errno != ECONNRESET)
		log_event(LEVEL_WARNING, "handover_failed", log_number("slot", child->slot),
			  log_number("pid", (uint64_t)child->pid), log_text("error", err->text));
	retry_later(child);
}

static void arrange(struct child *child)
{
	const struct child *receiver;
	struct err err;
	bool later;

	/* what moved to a worker of a new binary would not come back with the old one */
	if (guard_is_armed() || child->state != CHILD_DRAINING || !child->hands)
		return;
	receiver = receiver_for(child, &later);
	if (later)
		retry_later(child);
	if (receiver == NULL || receiver == child->receiver)
		return;
	child->receiver = receiver;
	if (!connect_pair(child, receiver, &err)) {
		failed(child, &err);
		return;
	}
	child->unconnected = false;
	log_event(LEVEL_DEBUG, "handover_begun", log_number("slot", child->slot),
		  log_number("pid", (uint64_t)child->pid), log_number("to_slot", receiver->slot),
		  log_number("to_pid", (uint64_t)receiver->pid));
}

void handover_arrange(struct master *master)
{
	FOR_EACH_CHILD(master, child)
		arrange(child);
}

void handover_parted(struct child *child, const struct hand_note *with)
{
	/* not if another one has followed meanwhile, or it is just the end of it */
	if (child->state == CHILD_DRAINING && child->receiver != NULL &&
	    (uint32_t)child->receiver->pid == with->pid)
		retry_later(child);
}

static struct child *find(const struct master *master, uint32_t pid)
{
	for (struct list *link = master->children.next; link != &master->children; link = link->next)
		if ((uint32_t)LIST_ENTRY(link, struct child, link)->pid == pid)
			return LIST_ENTRY(link, struct child, link);
	return NULL;
}

void handover_unheard(const struct child *child, const struct hand_note *of)
{
	struct child *receiver = find(child->master, of->pid);

	if (receiver == NULL || !watch_hangs(receiver, HANG_NS) ||
	    (receiver->state != CHILD_SERVING && receiver->state != CHILD_DRAINING))
		return;
	log_event(LEVEL_ERROR, "receiver_hangs", log_number("slot", child->slot),
		  log_number("pid", (uint64_t)child->pid), log_number("to_slot", receiver->slot),
		  log_number("to_pid", (uint64_t)receiver->pid));
	child_happens(receiver, EV_DEADLINE);
}

void handover_forget(const struct child *gone)
{
	FOR_EACH_CHILD(gone->master, child)
		if (child->receiver == gone)
			child->receiver = NULL;
}
