/* worker_hand_test.c - handing connections over from one worker to another: what moves, what stays, and what
 * a loss of either side costs at each step. */
#include "fake_workers.h"

#include "base/clock.h"
#include "base/fd.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PLENTY = 1000000, NOBODIES = 1000000000 };        /* users from there on: of nobody else */

static const struct hand_note note = { .slot = 1, .pid = 1 };
static struct worker *from, *to, *third;
static unsigned count;                  /* what a condition waits for */
static struct handover_message message; /* of a test that plays one side itself */
static int played = -1;                 /* its end */

static void set_up(void)
{
	fake_workers_open();
	from = &fake_workers[0]->worker;
	to = &fake_workers[1]->worker;
	third = &fake_workers[2]->worker;
}

static void tear_down(void)
{
	fd_close(&played);
	fake_workers_close();
}

/* ---- steps ------------------------------------------------------------------------------------------- */

static uint64_t counted(const struct worker *worker, enum counter counter)
{
	return worker->engine.counters[counter];
}

static void drain_for(struct worker *worker, uint64_t ns)
{
	struct drain_note drain = { .deadline_ns = worker->loop.now_ns + ns, .hand = true };

	drain_begin(worker, &drain);
}

static void leave(struct worker *worker)
{
	drain_for(worker, 30 * CLOCK_S);
}

static void stop(struct worker *worker)
{
	struct drain_note drain = { .deadline_ns = worker->loop.now_ns + 30 * CLOCK_S, .close_idle = true };

	drain_begin(worker, &drain);
}

static void pair(struct worker *sender, struct worker *receiver)
{
	struct err err;
	int ends[2];

	ck_assert(channel_pair(ends, &err));
	take_begin(receiver, &note, ends[1]);
	hand_begin(sender, &note, ends[0]);
}

/* The test itself is the receiver. */
static void play_receiver(void)
{
	struct err err;
	int ends[2];

	ck_assert(channel_pair(ends, &err));
	played = ends[1];
	hand_begin(from, &note, ends[0]);
}

static void play_sender(void)
{
	struct err err;
	int ends[2];

	ck_assert(channel_pair(ends, &err));
	played = ends[0];
	take_begin(to, &note, ends[1]);
}

static void say(enum handover_type type, uint64_t number)
{
	static const struct handover_declined none;

	ck_assert_int_eq(handover_answer(played, type, number, type == HANDOVER_ACK ? &none : NULL),
			 HANDOVER_SENT);
}

static enum handover_result hear(void)
{
	enum handover_result result = handover_receive(played, &message);

	if (result == HANDOVER_MESSAGE)
		handover_drop(&message);
	return result;
}

static bool sender_has_left(void)
{
	return from->loop.stopped;
}

static bool sender_has_so_many(void)
{
	return from->engine.count == count && list_empty(&from->engine.frozen);
}

static bool so_many_are_frozen(void)
{
	unsigned frozen = 0;

	for (struct list *link = from->engine.frozen.next; link != &from->engine.frozen; link = link->next)
		frozen++;
	return frozen == count;
}

static bool so_many_batches_are_out(void)
{
	return from->hand.window.sent == count;
}

static bool sender_has_ended_with_it(void)
{
	return from->hand.channel.fd < 0;
}

static bool receiver_has_ended_with_it(void)
{
	return to->take_count == 0;
}

/* Does the sender's master hear of it, and of which peer? */
static bool is_told(enum message_type type)
{
	static struct message told;
	struct message_fds fds;

	while (channel_receive(fake_workers[0]->master, &told, &fds) == CHANNEL_MESSAGE)
		if (told.type == type)
			return told.body.hand.pid == note.pid && told.body.hand.slot == note.slot;
	return false;
}

/* Nothing happens for so long, as far as the sender can see. */
static void sender_waits_for(uint64_t ns)
{
	timers_run(&from->loop.timers, from->loop.now_ns + ns);
}

static void until_sender_has(unsigned connections)
{
	count = connections;
	fake_workers_until(sender_has_so_many);
}

static void until_batches(unsigned batches)
{
	count = batches;
	fake_workers_until(so_many_batches_are_out);
}

static void some_turns(void)
{
	for (unsigned i = 0; i < 20 * FAKE_WORKERS; i++)
		fake_worker_turn(&fake_workers[i % FAKE_WORKERS]->worker);
}

/* Clients of which the test, as a receiver, has closed what it got. */
static void forget_closed(void)
{
	unsigned kept = 0;
	char byte;

	for (unsigned i = 0; i < fake_client_count; i++) {
		if (recv(fake_clients[i], &byte, 1, MSG_PEEK) == 0)
			fd_close(&fake_clients[i]);
		else
			fake_clients[kept++] = fake_clients[i];
	}
	fake_client_count = kept;
}

/* ---- what moves -------------------------------------------------------------------------------------- */

static const struct {
	char mode;
	enum counter counter;
} kinds[] = {
	{ COUNTS_IDLE, COUNT_HANDED_IDLE },
	{ COUNTS_HEAD, COUNT_HANDED_HEAD },
	{ COUNTS_BODY, COUNT_HANDED_BODY },
	{ COUNTS_SENDING, COUNT_HANDED_SENDING },
	{ COUNTS_PIPELINED, COUNT_HANDED_PIPELINED },
	{ COUNTS_LEAVING, COUNT_HANDED_LEAVING },
};

START_TEST(it_is_served_on_by_the_receiver_and_counted_by_its_kind)
{
	fake_workers_connect(from, 1);
	fake_clients_ask(0, 1, kinds[_i].mode, 1);
	leave(from);
	pair(from, to);
	fake_workers_until(sender_has_left);
	ck_assert_uint_eq(counted(from, kinds[_i].counter), 1);
	ck_assert_uint_eq(counted(to, COUNT_TAKEN_OVER), 1);
	ck_assert_uint_eq(to->engine.count, 1);
	fake_clients_ask(0, 1, kinds[_i].mode, 2);
}
END_TEST

START_TEST(more_than_a_message_holds_is_sent_in_several)
{
	fake_workers_connect(from, 1500);
	leave(from);
	pair(from, to);
	fake_workers_until(sender_has_left);
	ck_assert_uint_eq(counted(from, COUNT_HANDED_IDLE), 1500);
	fake_clients_ask(0, 1500, COUNTS_IDLE, 1);
	ck_assert_uint_eq(to->engine.count, 1500);
}
END_TEST

START_TEST(a_record_that_has_no_room_goes_with_the_next_message)
{
	fake_workers_connect(from, 5);
	fake_clients_ask(0, 5, COUNTS_LARGE, 1);
	leave(from);
	pair(from, to);
	fake_workers_until(sender_has_left);
	ck_assert_uint_eq(from->hand.window.sent, 5);
	fake_clients_ask(0, 5, COUNTS_IDLE, 2);
}
END_TEST

START_TEST(what_comes_meanwhile_is_served_by_the_receiver)
{
	char byte = COUNTS_IDLE;

	fake_workers_connect(from, 1);
	leave(from);
	play_receiver();
	say(HANDOVER_CREDIT, PLENTY);
	until_batches(1);
	ck_assert_int_eq(send(fake_clients[0], &byte, 1, 0), 1);
	some_turns();
	ck_assert_int_eq(recv(fake_clients[0], &byte, 1, 0), -1);
	fd_close(&played);              /* and if there is none, by the sender */
	fake_workers_until(sender_has_ended_with_it);
	fake_clients_ask(0, 1, COUNTS_IDLE, 1);
	ck_assert_uint_eq(counted(from, COUNT_HANDED_IDLE), 0);
}
END_TEST

START_TEST(what_cannot_be_moved_moves_when_it_can)
{
	fake_workers_connect(from, 3);
	fake_clients_ask(0, 2, COUNTS_WAITING, 1);
	leave(from);
	pair(from, to);
	until_sender_has(2);
	ck_assert(!from->engine.draining);      /* answers need not be the last ones */
	fake_clients_ask(1, 1, COUNTS_WAITING, 2);
	ck_assert_uint_eq(from->engine.count, 2);
	fake_clients_ask(1, 1, COUNTS_IDLE, 3);
	until_sender_has(1);
	fake_clients_ask(0, 1, COUNTS_IDLE, 2);
	fake_workers_until(sender_has_left);
	fake_clients_ask(1, 1, COUNTS_IDLE, 4);
}
END_TEST

START_TEST(what_nobody_can_take_is_served_on_and_not_offered_for_ever)
{
	fake_workers_connect(from, 2);
	fake_clients_ask(0, 1, COUNTS_STRANGE, 1);
	leave(from);
	pair(from, to);
	until_sender_has(1);
	for (unsigned char i = 2; i < 10; i++) {
		fake_clients_ask(0, 1, COUNTS_STRANGE, i);
		take_room(to);
		some_turns();
	}
	ck_assert_uint_ge(counted(from, COUNT_HAND_DECLINED), 1);
	ck_assert_uint_le(counted(from, COUNT_HAND_DECLINED), 3);
	fake_clients_ask(0, 1, COUNTS_STRANGE, 10);
	ck_assert_uint_eq(from->engine.count, 1);
}
END_TEST

START_TEST(what_one_did_not_take_is_offered_to_the_next)
{
	fake_workers_connect(from, 1);
	fake_clients_ask(0, 1, COUNTS_STRANGE, 1);
	leave(from);
	pair(from, to);
	count = 0;
	do
		fake_worker_turn(from), fake_worker_turn(to);
	while (counted(from, COUNT_HAND_DECLINED) == 0);
	fake_clients_ask(0, 1, COUNTS_IDLE, 2);
	pair(from, third);
	fake_workers_until(sender_has_left);
	fake_clients_ask(0, 1, COUNTS_IDLE, 3);
}
END_TEST

/* ---- room -------------------------------------------------------------------------------------------- */

START_TEST(no_more_is_sent_than_the_credit_says)
{
	fake_workers_connect(from, 5);
	fake_clients_ask(0, 1, COUNTS_SENDING, 1);
	leave(from);
	play_receiver();
	some_turns();
	ck_assert_uint_eq(from->hand.window.sent, 0);
	say(HANDOVER_CREDIT, 3);
	until_batches(1);
	ck_assert_int_eq(handover_receive(played, &message), HANDOVER_MESSAGE);
	ck_assert_uint_le(message.fd_count, 3);
	ck_assert_uint_ge(message.fd_count, 2);
	handover_drop(&message);
	some_turns();
	ck_assert_int_eq(hear(), HANDOVER_EMPTY);
}
END_TEST

START_TEST(no_more_than_the_window_is_unacknowledged)
{
	fake_workers_connect(from, 1000);
	leave(from);
	play_receiver();
	say(HANDOVER_CREDIT, PLENTY);
	some_turns();
	ck_assert_uint_eq(from->hand.window.sent, HANDOVER_WINDOW);
	say(HANDOVER_ACK, 1);
	some_turns();
	ck_assert_uint_eq(from->hand.window.sent, HANDOVER_WINDOW + 1);
}
END_TEST

START_TEST(what_does_not_fit_stays_until_there_is_room)
{
	fake_workers[1]->config.connections = 3;
	fake_workers_connect(from, 5);
	leave(from);
	pair(from, to);
	until_sender_has(2);
	some_turns();
	ck_assert_uint_eq(to->engine.count, 3);
	ck_assert_uint_eq(counted(from, COUNT_HAND_DECLINED), 0);
	fake_clients_ask(0, 5, COUNTS_IDLE, 1);
	ck_assert_int_eq(send(fake_clients[0], "x", 1, 0), 1);
	until_sender_has(1);
	fake_clients_ask(1, 4, COUNTS_IDLE, 2);
}
END_TEST

/* Of the first credit one descriptor is left, and the next connection comes with a file. */
START_TEST(room_that_is_there_is_said_before_the_last_of_it_is_used)
{
	fake_workers[1]->config.connections = 4;
	fake_workers_connect(from, 3);
	fake_clients_ask(1, 2, COUNTS_SENDING, 1);
	some_turns();                   /* or those that were just registered come first */
	leave(from);
	pair(from, to);
	fake_workers_until(sender_has_left);
	fake_clients_ask(0, 1, COUNTS_IDLE, 1);
	fake_clients_ask(1, 2, COUNTS_IDLE, 2);
}
END_TEST

START_TEST(at_its_limit_a_worker_declines_what_it_had_granted)
{
	fake_workers[1]->config.connections = 3;
	fake_workers_connect(from, 3);
	leave(from);
	pair(from, to);
	fake_workers_connect(to, 2);    /* faster */
	until_sender_has(2);
	ck_assert_uint_ge(counted(from, COUNT_HAND_DECLINED), 2);
	fake_clients_ask(0, 5, COUNTS_IDLE, 1);
	ck_assert_uint_eq(to->engine.count, 3);
}
END_TEST

START_TEST(two_that_leave_share_the_room)
{
	fake_workers[1]->config.connections = 1;
	fake_workers_connect(to, 1);
	fake_workers_connect(from, 10);
	fake_workers_connect(third, 10);
	leave(from);
	leave(third);
	pair(from, to);
	pair(third, to);
	some_turns();
	fake_workers[1]->config.connections = 11;
	take_room(to);
	some_turns();
	ck_assert_uint_eq(to->engine.count, 11);
	ck_assert_uint_eq(from->engine.count + third->engine.count, 10);
	ck_assert_uint_lt(from->engine.count, 10);
	ck_assert_uint_lt(third->engine.count, 10);
	fake_clients_ask(0, 21, COUNTS_IDLE, 1);
}
END_TEST

/* So many more descriptors than there are now. */
static struct rlimit leave_descriptors(unsigned few)
{
	int next = dup(played);
	struct rlimit before, limit;

	getrlimit(RLIMIT_NOFILE, &before);
	limit = (struct rlimit){ (rlim_t)next + few, before.rlim_max };
	close(next);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

/* recvmsg(2) leaves what has no descriptor here behind, and says MSG_CTRUNC. */
START_TEST(what_arrives_without_its_descriptors_is_declined_and_offered_again)
{
	struct rlimit before;

	fake_workers_connect(to, 1);
	fake_workers_connect(from, 10);
	fake_clients_ask(1, 10, COUNTS_SENDING, 1);
	leave(from);
	pair(from, to);
	while (from->hand.window.sent == 0)
		fake_worker_turn(from);
	played = dup(fake_clients[0]);
	before = leave_descriptors(7);
	fake_worker_turn(to);
	setrlimit(RLIMIT_NOFILE, &before);
	until_sender_has(7);
	ck_assert_uint_eq(counted(from, COUNT_HAND_DECLINED), 7);
	fake_clients_ask(1, 10, COUNTS_SENDING, 2);
	ck_assert_int_eq(send(fake_clients[0], "x", 1, 0), 1);
	fake_workers_until(sender_has_left);
	fake_clients_ask(1, 10, COUNTS_SENDING, 3);
}
END_TEST

/* ETOOMANYREFS, unix(7): more descriptors are on their way than one user may have open. */
START_TEST(too_many_descriptors_on_their_way_are_waited_for)
{
	struct rlimit before;

	fake_workers_connect(from, 600);
	some_turns();                   /* so that the first ones come first */
	leave(from);
	play_receiver();
	if (getuid() == 0)
		/* the kernel counts by user, also for another run of this test */
		ck_assert_int_eq(setuid(NOBODIES + (uid_t)getpid()), 0);
	say(HANDOVER_CREDIT, PLENTY);
	getrlimit(RLIMIT_NOFILE, &before);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 64, before.rlim_max });
	while (!timer_armed(&from->hand.again))
		fake_worker_turn(from);
	ck_assert_uint_eq(from->hand.window.sent, 1);
	fake_clients_ask(253, 347, COUNTS_IDLE, 1);     /* who is not on the way is served */
	ck_assert_uint_eq(from->hand.window.sent, 1);
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert_int_eq(hear(), HANDOVER_MESSAGE);     /* they are not on their way any more */
	until_batches(2);
}
END_TEST

START_TEST(a_full_channel_is_waited_for)
{
	struct err err;
	int ends[2], bytes = HANDOVER_MAX_BYTES / 4 + 1024;     /* doubled: one large batch, not two */

	fake_workers_connect(from, 4);
	fake_clients_ask(0, 4, COUNTS_LARGE, 1);
	leave(from);
	ck_assert(channel_pair(ends, &err));
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	take_begin(to, &note, ends[1]);
	hand_begin(from, &note, ends[0]);
	while (!timer_armed(&from->hand.again))
		fake_worker_turn(from);
	ck_assert_uint_lt(from->hand.window.sent, HANDOVER_WINDOW);
	fake_workers_until(sender_has_left);
	fake_clients_ask(0, 4, COUNTS_IDLE, 2);
}
END_TEST

/* ---- losses ------------------------------------------------------------------------------------------ */

START_TEST(a_receiver_that_ends_before_it_says_anything_costs_nothing)
{
	fake_workers_connect(from, 3);
	leave(from);
	play_receiver();
	fd_close(&played);
	fake_workers_until(sender_has_ended_with_it);
	fake_clients_ask(0, 3, COUNTS_IDLE, 1);
	pair(from, to);
	fake_workers_until(sender_has_left);
	fake_clients_ask(0, 3, COUNTS_IDLE, 2);
}
END_TEST

START_TEST(what_was_sent_and_not_acknowledged_is_the_senders)
{
	fake_workers_connect(from, 3);
	leave(from);
	play_receiver();
	say(HANDOVER_CREDIT, PLENTY);
	until_batches(1);
	fd_close(&played);
	fake_workers_until(sender_has_ended_with_it);
	fake_clients_ask(0, 3, COUNTS_IDLE, 1);
	ck_assert_uint_eq(from->engine.count, 3);
}
END_TEST

START_TEST(the_master_is_told_that_a_pair_has_ended)
{
	fake_workers_connect(from, 1);
	leave(from);
	play_receiver();
	some_turns();
	ck_assert(!is_told(MESSAGE_PARTED));
	fd_close(&played);
	fake_workers_until(sender_has_ended_with_it);
	ck_assert(is_told(MESSAGE_PARTED));
}
END_TEST

START_TEST(a_pair_that_another_one_follows_has_not_ended)
{
	fake_workers_connect(from, 1);
	fake_clients_ask(0, 1, COUNTS_WAITING, 1);
	leave(from);
	play_receiver();
	some_turns();
	pair(from, third);
	some_turns();
	ck_assert(from->hand.channel.fd >= 0);
	ck_assert(!is_told(MESSAGE_PARTED));
}
END_TEST

START_TEST(a_pair_without_descriptors_has_ended)
{
	fake_workers_connect(from, 1);
	leave(from);
	hand_impossible(from, &note, "no file descriptors are left");
	ck_assert(is_told(MESSAGE_PARTED));
}
END_TEST

/* It may come back and touch what it has: nothing is thawed before its end. */
START_TEST(the_master_is_told_of_a_silent_receiver)
{
	fake_workers_connect(from, 3);
	leave(from);
	play_receiver();
	say(HANDOVER_CREDIT, PLENTY);
	until_batches(1);
	sender_waits_for(4 * CLOCK_S);
	ck_assert(!is_told(MESSAGE_UNHEARD));
	sender_waits_for(6 * CLOCK_S);
	ck_assert(is_told(MESSAGE_UNHEARD));
	count = 3;
	ck_assert(so_many_are_frozen());
	sender_waits_for(12 * CLOCK_S);
	ck_assert(is_told(MESSAGE_UNHEARD));
}
END_TEST

START_TEST(a_receiver_is_not_silent_when_nothing_is_unacknowledged)
{
	fake_workers_connect(from, 2);
	fake_clients_ask(0, 1, COUNTS_WAITING, 1);
	leave(from);
	pair(from, to);
	until_sender_has(1);
	sender_waits_for(12 * CLOCK_S);
	ck_assert(!is_told(MESSAGE_UNHEARD));
}
END_TEST

/* The kernel reports ECONNRESET first, for the second batch was not read. */
START_TEST(an_acknowledgement_before_the_end_counts)
{
	fake_workers_connect(from, 400);
	leave(from);
	play_receiver();
	say(HANDOVER_CREDIT, PLENTY);
	until_batches(2);
	ck_assert_int_eq(hear(), HANDOVER_MESSAGE);
	say(HANDOVER_ACK, 1);
	fd_close(&played);
	fake_workers_until(sender_has_ended_with_it);
	ck_assert_uint_eq(counted(from, COUNT_HANDED_IDLE), CHANNEL_MAX_FDS);
	ck_assert_uint_eq(from->engine.count, 400 - CHANNEL_MAX_FDS);
	forget_closed();
	fake_clients_ask(0, 400 - CHANNEL_MAX_FDS, COUNTS_IDLE, 1);
}
END_TEST

START_TEST(an_acknowledgement_of_what_was_not_sent_ends_it)
{
	fake_workers_connect(from, 1);
	leave(from);
	play_receiver();
	say(HANDOVER_ACK, 1);
	fake_workers_until(sender_has_ended_with_it);
	fake_clients_ask(0, 1, COUNTS_IDLE, 1);
}
END_TEST

START_TEST(what_a_dead_sender_had_sent_is_taken)
{
	fake_workers_connect(from, 3);
	leave(from);
	pair(from, to);
	while (from->hand.window.sent == 0)
		fake_worker_turn(from);
	hand_close(from);
	engine_cut(&from->engine);
	fake_workers_until(receiver_has_ended_with_it);
	ck_assert_uint_eq(to->engine.count, 3);
	fake_clients_ask(0, 3, COUNTS_IDLE, 1);
}
END_TEST

START_TEST(a_receiver_that_cannot_acknowledge_takes_nothing)
{
	fake_workers_connect(from, 3);
	leave(from);
	pair(from, to);
	while (from->hand.window.sent == 0)
		fake_worker_turn(from);
	while (handover_answer(LIST_ENTRY(to->takes.next, struct take, link)->channel.fd, HANDOVER_CREDIT,
			       from->hand.window.credit, NULL) == HANDOVER_SENT)
		;
	fake_worker_turn(to);
	ck_assert_uint_eq(to->engine.count, 0);
	fake_workers_until(sender_has_ended_with_it);
	fake_clients_ask(0, 3, COUNTS_IDLE, 1);
}
END_TEST

START_TEST(a_refusal_means_that_clients_are_told)
{
	fake_workers_connect(from, 3);
	leave(from);
	play_receiver();
	say(HANDOVER_CREDIT, PLENTY);
	until_batches(1);
	say(HANDOVER_REFUSE, 0);
	fd_close(&played);
	fake_workers_until(sender_has_ended_with_it);
	ck_assert(from->engine.draining);
	ck_assert(!is_told(MESSAGE_PARTED));    /* it would be refused again */
	fake_clients_ask(0, 3, COUNTS_IDLE, 1);
}
END_TEST

START_TEST(an_answer_of_another_version_is_a_refusal)
{
	fake_workers_connect(from, 400);
	leave(from);
	play_receiver();
	say(HANDOVER_CREDIT, PLENTY);
	until_batches(2);
	handover_batch(&message, 1);
	message.head.version++;
	ck_assert_int_eq(handover_send(played, &message), HANDOVER_SENT);
	say(HANDOVER_ACK, 1);
	fd_close(&played);
	fake_workers_until(sender_has_ended_with_it);
	ck_assert(from->engine.draining);
	ck_assert_uint_eq(counted(from, COUNT_HANDED_IDLE), CHANNEL_MAX_FDS);
}
END_TEST

START_TEST(another_version_is_refused)
{
	play_sender();
	handover_batch(&message, 1);
	message.head.version++;
	ck_assert_int_eq(handover_send(played, &message), HANDOVER_SENT);
	fake_workers_until(receiver_has_ended_with_it);
	ck_assert_int_eq(handover_receive(played, &message), HANDOVER_MESSAGE);
	ck_assert_int_eq(message.head.type, HANDOVER_CREDIT);
	ck_assert_int_eq(handover_receive(played, &message), HANDOVER_MESSAGE);
	ck_assert_int_eq(message.head.type, HANDOVER_REFUSE);
	ck_assert_int_eq(hear(), HANDOVER_END);
}
END_TEST

START_TEST(a_batch_out_of_order_ends_it)
{
	struct record record;

	play_sender();
	handover_batch(&message, 2);
	record = handover_room(&message);
	ck_assert(handover_add(&message, &record, 0, -1));
	ck_assert_int_eq(handover_send(played, &message), HANDOVER_SENT);
	fake_workers_until(receiver_has_ended_with_it);
}
END_TEST

/* ---- one after the other ----------------------------------------------------------------------------- */

START_TEST(a_new_receiver_gets_what_the_old_one_has_not_taken)
{
	fake_workers_connect(from, 1200);
	leave(from);
	pair(from, to);
	while (to->engine.count == 0)
		fake_worker_turn(from), fake_worker_turn(to);
	pair(from, third);
	fake_workers_until(sender_has_left);
	ck_assert_uint_gt(third->engine.count, 0);
	ck_assert_uint_eq(to->engine.count + third->engine.count, 1200);
	fake_clients_ask(0, 1200, COUNTS_IDLE, 1);
}
END_TEST

START_TEST(a_receiver_that_leaves_hands_on_what_it_took)
{
	fake_workers_connect(from, 1200);
	leave(from);
	pair(from, to);
	while (to->engine.count == 0)
		fake_worker_turn(from), fake_worker_turn(to);
	leave(to);
	pair(to, third);
	fake_workers_until(sender_has_ended_with_it);
	pair(from, third);
	fake_workers_until(sender_has_left);
	while (!to->loop.stopped)
		fake_worker_turn(to), fake_worker_turn(third);
	ck_assert_uint_eq(third->engine.count, 1200);
	fake_clients_ask(0, 1200, COUNTS_IDLE, 1);
}
END_TEST

START_TEST(a_worker_that_leaves_takes_what_has_arrived)
{
	fake_workers_connect(from, 3);
	leave(from);
	pair(from, to);
	while (from->hand.window.sent == 0)
		fake_worker_turn(from);
	leave(to);
	ck_assert_uint_eq(to->engine.count, 3);
	fake_workers_until(sender_has_left);
	fake_clients_ask(0, 3, COUNTS_IDLE, 1);
}
END_TEST

START_TEST(a_worker_that_leaves_takes_nothing_over)
{
	leave(to);
	to->loop.stopped = false;
	play_sender();
	ck_assert_int_eq(hear(), HANDOVER_END);
}
END_TEST

/* ---- the end ----------------------------------------------------------------------------------------- */

START_TEST(near_the_deadline_clients_are_told)
{
	fake_workers_connect(from, 1);
	drain_for(from, 100 * CLOCK_MS);
	ck_assert(!from->engine.draining);
	while (!from->engine.draining)
		fake_worker_turn(from);
	/* a turn that came late found both timers due */
	ck_assert(from->engine.count == 1 || from->loop.now_ns >= from->cut.due_ns);
	ck_assert_uint_ge(from->loop.now_ns, from->last_call_ns);
	fake_workers_until(sender_has_left);
}
END_TEST

/* Its receiver does nothing before the sender has left. */
START_TEST(what_is_on_its_way_at_the_deadline_is_the_receivers)
{
	fake_workers_connect(from, 300);
	leave(from);
	pair(from, to);
	while (!list_empty(&from->engine.conns))
		fake_worker_turn(from);
	drain_for(from, 0);
	while (!from->loop.stopped)
		fake_worker_turn(from);
	ck_assert_uint_eq(from->hand.window.acked, 0);
	hand_close(from);
	fake_workers_until(receiver_has_ended_with_it);
	fake_clients_ask(0, 300, COUNTS_IDLE, 1);
	ck_assert_uint_eq(to->engine.count, 300);
}
END_TEST

START_TEST(a_stop_ends_handing_over)
{
	fake_workers_connect(from, 400);
	fake_clients_ask(0, 400, COUNTS_WAITING, 1);
	leave(from);
	pair(from, to);
	some_turns();
	stop(from);
	fake_clients_ask(0, 1, COUNTS_HEAD, 2);
	some_turns();
	ck_assert_uint_eq(from->engine.count, 400);
	ck_assert(sender_has_ended_with_it());
}
END_TEST

START_TEST(a_stop_while_it_leaves_does_not_put_the_last_call_off)
{
	fake_workers_connect(from, 1);
	drain_for(from, 10 * CLOCK_S);
	stop(from);                     /* which has thirty */
	ck_assert_uint_lt(from->last_call_ns, from->cut.due_ns);
}
END_TEST

START_TEST(at_a_stop_what_is_on_its_way_is_the_receivers)
{
	fake_workers_connect(from, 3);
	fake_clients_ask(0, 3, COUNTS_HEAD, 1);
	leave(from);
	pair(from, to);
	while (from->hand.window.sent == 0)
		fake_worker_turn(from);
	stop(from);
	count = 3;
	ck_assert(so_many_are_frozen());
	fake_workers_until(sender_has_left);
	ck_assert_uint_eq(to->engine.count, 3);
	fake_clients_ask(0, 3, COUNTS_HEAD, 2);
}
END_TEST

START_TEST(when_all_stop_each_connection_is_at_one_of_them)
{
	fake_workers_connect(from, 1200);
	fake_clients_ask(0, 1200, COUNTS_HEAD, 1);
	leave(from);
	pair(from, to);
	while (to->engine.count == 0)
		fake_worker_turn(from), fake_worker_turn(to);
	stop(to);
	stop(from);
	fake_workers_until(sender_has_ended_with_it);
	ck_assert_uint_eq(from->engine.count + to->engine.count, 1200);
	fake_clients_ask(0, 1200, COUNTS_HEAD, 2);
}
END_TEST

START_TEST(a_receiver_that_is_named_after_the_stop_gets_nothing)
{
	fake_workers_connect(from, 1);
	fake_clients_ask(0, 1, COUNTS_HEAD, 1);
	leave(from);
	stop(from);
	play_receiver();
	ck_assert_int_eq(hear(), HANDOVER_END);
	fake_clients_ask(0, 1, COUNTS_HEAD, 2);
}
END_TEST

static TCase *part(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	tcase_add_checked_fixture(tests, set_up, tear_down);
	suite_add_tcase(suite, tests);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("worker_hand");
	TCase *moving = part(suite, "moving"), *room = part(suite, "room"), *losses = part(suite, "losses");
	TCase *turns = part(suite, "turns"), *ends = part(suite, "ends");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(moving, it_is_served_on_by_the_receiver_and_counted_by_its_kind, 0,
			    sizeof(kinds) / sizeof(kinds[0]));
	tcase_add_test(moving, more_than_a_message_holds_is_sent_in_several);
	tcase_add_test(moving, a_record_that_has_no_room_goes_with_the_next_message);
	tcase_add_test(moving, what_comes_meanwhile_is_served_by_the_receiver);
	tcase_add_test(moving, what_cannot_be_moved_moves_when_it_can);
	tcase_add_test(moving, what_nobody_can_take_is_served_on_and_not_offered_for_ever);
	tcase_add_test(moving, what_one_did_not_take_is_offered_to_the_next);
	tcase_add_test(room, no_more_is_sent_than_the_credit_says);
	tcase_add_test(room, no_more_than_the_window_is_unacknowledged);
	tcase_add_test(room, what_does_not_fit_stays_until_there_is_room);
	tcase_add_test(room, room_that_is_there_is_said_before_the_last_of_it_is_used);
	tcase_add_test(room, at_its_limit_a_worker_declines_what_it_had_granted);
	tcase_add_test(room, two_that_leave_share_the_room);
	tcase_add_test(room, what_arrives_without_its_descriptors_is_declined_and_offered_again);
	tcase_add_test(room, too_many_descriptors_on_their_way_are_waited_for);
	tcase_add_test(room, a_full_channel_is_waited_for);
	tcase_add_test(losses, a_receiver_that_ends_before_it_says_anything_costs_nothing);
	tcase_add_test(losses, what_was_sent_and_not_acknowledged_is_the_senders);
	tcase_add_test(losses, the_master_is_told_that_a_pair_has_ended);
	tcase_add_test(losses, a_pair_that_another_one_follows_has_not_ended);
	tcase_add_test(losses, a_pair_without_descriptors_has_ended);
	tcase_add_test(losses, the_master_is_told_of_a_silent_receiver);
	tcase_add_test(losses, a_receiver_is_not_silent_when_nothing_is_unacknowledged);
	tcase_add_test(losses, an_acknowledgement_before_the_end_counts);
	tcase_add_test(losses, an_acknowledgement_of_what_was_not_sent_ends_it);
	tcase_add_test(losses, what_a_dead_sender_had_sent_is_taken);
	tcase_add_test(losses, a_receiver_that_cannot_acknowledge_takes_nothing);
	tcase_add_test(losses, a_refusal_means_that_clients_are_told);
	tcase_add_test(losses, an_answer_of_another_version_is_a_refusal);
	tcase_add_test(losses, another_version_is_refused);
	tcase_add_test(losses, a_batch_out_of_order_ends_it);
	tcase_add_test(turns, a_new_receiver_gets_what_the_old_one_has_not_taken);
	tcase_add_test(turns, a_receiver_that_leaves_hands_on_what_it_took);
	tcase_add_test(turns, a_worker_that_leaves_takes_what_has_arrived);
	tcase_add_test(turns, a_worker_that_leaves_takes_nothing_over);
	tcase_add_test(ends, near_the_deadline_clients_are_told);
	tcase_add_test(ends, what_is_on_its_way_at_the_deadline_is_the_receivers);
	tcase_add_test(ends, a_stop_ends_handing_over);
	tcase_add_test(ends, a_stop_while_it_leaves_does_not_put_the_last_call_off);
	tcase_add_test(ends, at_a_stop_what_is_on_its_way_is_the_receivers);
	tcase_add_test(ends, when_all_stop_each_connection_is_at_one_of_them);
	tcase_add_test(ends, a_receiver_that_is_named_after_the_stop_gets_nothing);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
