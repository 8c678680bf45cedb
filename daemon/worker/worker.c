/* worker.c - a worker's set-up, its loop and its channel.
 *
 * Called by the master's spawn.c, after fork. A failure at set-up ends the process with a log line; later the
 * channel alone says what to do, and its end means: drain and leave. */
#include "worker.h"

#include "confine.h"
#include "crash.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/privilege.h"
#include "base/watch.h"
#include "net/listener.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LOG_JOBS = 256,                 /* at a time; a log has one */
	REQUEST_JOBS = 64,              /* at a time; with 100 ms for a password the last one waits */
	FILE_JOBS = 256,                /* at a time, of either kind; what finds no place tries again */
	DISK_THREADS = 4,
	FAR_THREADS = 8,                /* each may wait for a server that is gone */
};

#define LOG_FLUSH_NS CLOCK_S
#define PARTING_NS (20 * CLOCK_MS)

/* ---- messages ---------------------------------------------------------------------------------------- */

static const char no_descriptors[] = "no file descriptors are left (limits.open_files)";

static void on_config(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	if (fds->count == 1)
		adopt_config(worker, message->generation, fd_take(&fds->at[0]));
	else
		adopt_refuse(worker, message->generation, no_descriptors);
}

static void on_logs(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	const struct logs_note *note = &message->body.logs;
	unsigned error = note->error ? 1 : 0, access = note->access ? 1 : 0;

	if (fds->count == error + access)
		adopt_logs(worker, message->generation, error > 0 ? fd_take(&fds->at[0]) : -1,
			   access > 0 ? fd_take(&fds->at[error]) : -1);
	else
		adopt_refuse(worker, message->generation, no_descriptors);
}

static void on_sockets(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	unsigned count = message->bytes / sizeof(struct socket_note);

	if (fds->count != count) {
		adopt_refuse(worker, message->generation, no_descriptors);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		if (accept_hold(worker, &message->body.sockets[i], fd_take(&fds->at[i]), message->generation))
			continue;
		adopt_refuse(worker, message->generation,
			     "the listening sockets could not be taken over: out of memory");
		return;
	}
}

static void on_prepare(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)fds;
	adopt_prepare(worker, message);
}

static void on_go(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)fds;
	adopt_go(worker, message->generation);
}

static void on_abort(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)fds;
	adopt_abort(worker, message->generation);
}

static void on_cover(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)fds;
	worker->cover = message->body.cover;
	accept_apply(worker);
}

static void on_drain(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)fds;
	drain_begin(worker, &message->body.drain);
}

static void on_look(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)message, (void)fds;
	accept_look(worker);
}

static void on_leaving(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)message, (void)fds;
	worker->engine.out_of_service = true;
}

static void on_staying(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)message, (void)fds;
	worker->engine.out_of_service = worker->stops;
}

/* A channel that cannot be written has ended, and that is handled where it is read. */
static void on_release(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	struct err err;

	(void)fds;
	accept_release(worker, &message->body.release);
	channel_tell(worker->channel.fd, MESSAGE_RELEASED, message->generation, &err);
	drain_check(worker);
}

static void on_hand(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	if (fds->count == 1)
		hand_begin(worker, &message->body.hand, fd_take(&fds->at[0]));
	else
		hand_impossible(worker, &message->body.hand, no_descriptors);
}

static void on_take(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	if (fds->count == 1)
		take_begin(worker, &message->body.hand, fd_take(&fds->at[0]));
	else
		log_event(LEVEL_WARNING, "handover_impossible", log_text("error", no_descriptors));
}

static void on_will(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	if (fds->count == 1)
		heir_begin(worker, &message->body.hand, fd_take(&fds->at[0]));
	else
		log_event(LEVEL_WARNING, "survival_impossible", log_text("error", no_descriptors));
}

static void on_count(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	(void)fds;
	census_tell(worker, message->generation);
}

static void on_list(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	if (fds->count == 1)
		listing_begin(worker, message->generation, &message->body.list, fd_take(&fds->at[0]));
	else                            /* the master goes on without */
		listing_say(worker, message->generation);
}

static void (*const handlers[MESSAGE_TYPES])(struct worker *, const struct message *,
					     struct message_fds *) = {
	[MESSAGE_CONFIG] = on_config,   [MESSAGE_LOGS] = on_logs,   [MESSAGE_SOCKETS] = on_sockets,
	[MESSAGE_PREPARE] = on_prepare, [MESSAGE_GO] = on_go,       [MESSAGE_ABORT] = on_abort,
	[MESSAGE_COVER] = on_cover,     [MESSAGE_DRAIN] = on_drain, [MESSAGE_REOPEN] = adopt_reopen,
	[MESSAGE_LEAVING] = on_leaving, [MESSAGE_RELEASE] = on_release, [MESSAGE_LOOK] = on_look,
	[MESSAGE_HAND] = on_hand,       [MESSAGE_TAKE] = on_take,   [MESSAGE_COUNT] = on_count,
	[MESSAGE_WILL] = on_will,       [MESSAGE_LIST] = on_list,
	[MESSAGE_STAYING] = on_staying,
};

/* ---- the end of the channel -------------------------------------------------------------------------- */

static volatile sig_atomic_t told_to_stop;

static void on_stop_signal(int number)
{
	(void)number;
	told_to_stop = 1;
}

static void lose_master(struct worker *worker, bool stops)
{
	uint64_t now_ns = worker->loop.now_ns;
	struct drain_note note = { .close_idle = stops, .deadline_ns = now_ns };

	log_event(LEVEL_WARNING, stops ? "master_gone" : "upgrade_taken_back");
	if (timer_armed(&worker->cut))
		note.deadline_ns = worker->cut.due_ns;
	else if (worker->engine.generation != NULL)
		note.deadline_ns += worker->engine.generation->config->drain_ns;
	drain_begin(worker, &note);
}

/* Nobody will hand anything over. With the master's process gone, finish what there is and leave; if it goes
 * on, it is an upgrade that was taken back: others serve, and no idle client may notice, until the service
 * stops. */
static void part(struct timer *timer, uint64_t now_ns)
{
	struct worker *worker = LIST_ENTRY(timer, struct worker, parting);
	bool stops = told_to_stop || getppid() != worker->parent;

	(void)now_ns;
	if (stops || !worker->taken_back)
		lose_master(worker, stops);
	worker->taken_back = true;
	if (!stops)
		loop_timer(&worker->loop, &worker->parting, PARTING_NS);
}

/* A process that ends closes its channels first. */
static void on_channel_end(struct worker *worker)
{
	loop_remove(&worker->loop, &worker->channel);
	signal(SIGTERM, on_stop_signal);        /* strays_stop() */
	worker->parting.fire = part;
	loop_timer(&worker->loop, &worker->parting, PARTING_NS);
}

/* ---- the channel ------------------------------------------------------------------------------------- */

static enum epitaph_phase phase_of(uint32_t type)
{
	return type <= MESSAGE_ABORT ? PHASE_ADOPTING : PHASE_LOOP;
}

static void on_channel(struct source *source, uint32_t events)
{
	struct worker *worker = LIST_ENTRY(source, struct worker, channel);
	enum channel_result result = CHANNEL_EMPTY;
	struct message message;
	struct message_fds fds;

	(void)events;
	for (int i = 0; i < 16; i++) {          /* level-triggered: what is left comes again */
		result = channel_receive(source->fd, &message, &fds);
		if (result != CHANNEL_MESSAGE)
			break;
		epitaph_phase(worker->engine.epitaph, phase_of(message.type));
		if (handlers[message.type] != NULL)
			handlers[message.type](worker, &message, &fds);
		channel_drop(&fds);
	}
	epitaph_phase(worker->engine.epitaph, PHASE_LOOP);
	if (result == CHANNEL_END)
		on_channel_end(worker);
}

/* ---- set-up ------------------------------------------------------------------------------------------ */

static void on_closed(struct engine *engine)
{
	struct worker *worker = LIST_ENTRY(engine, struct worker, engine);

	accept_room(worker);
	take_room(worker);
	drain_check(worker);
}

/* It holds every slot's. */
static bool queues(const struct engine *engine, unsigned from, unsigned most,
		   void (*tell)(void *context, const char *address, uint64_t waiting, uint64_t dropped),
		   void *context)
{
	const struct worker *worker = LIST_ENTRY(engine, const struct worker, engine);
	const struct list *link = worker->sockets.next;

	for (; link != &worker->sockets && from > 0; from--)
		link = link->next;
	for (; link != &worker->sockets && most > 0; most--, link = link->next) {
		const struct held_socket *held = LIST_ENTRY(link, const struct held_socket, link);
		struct listener_queue queue = listener_queue(held->source.fd);

		tell(context, held->listener->address, queue.waiting, queue.dropped);
	}
	return link != &worker->sockets;
}

/* Without it the master knows less of a crash; the service is the same. */
static void catch_crashes(struct epitaph *epitaph)
{
	struct err err;

	if (!crash_catch(epitaph, &err))
		log_event(LEVEL_WARNING, "crash_not_caught", log_text("error", err.text));
}

/* Before the system calls are confined: one that asks for signals is not on the list. */
static void watch_files(struct worker *worker)
{
	struct err err;

	worker->engine.watcher = watcher_open(&worker->loop, &worker->watching, &err);
	if (worker->engine.watcher == NULL)
		log_event(LEVEL_WARNING, "files_not_watched", log_text("error", err.text));
}

static bool set_up(struct worker *worker, const struct worker_start *start, struct err *err)
{
	char role[32];

	snprintf(role, sizeof(role), "worker-%u", start->slot);
	log_role(role);
	catch_crashes(&start->board->epitaph[start->column]);
	worker->slot = start->slot;
	worker->parent = getppid();
	worker->services = start->services;
	worker->access_log = start->access_log;
	worker->next.error_log = worker->next.access_log = -1;
	worker->open_files = (unsigned)privilege_open_files(0);
	list_init(&worker->sockets);
	list_init(&worker->released);
	list_init(&worker->generations);
	list_init(&worker->heirs);
	if (!loop_open(&worker->loop, err))
		return false;
	worker->hot = start->hot;
	worker->line = &start->hot->line[start->column];
	worker->seat = &start->hot->seat[start->slot];
	worker->loop.busy_since_ns = &worker->line->busy_since_ns;
	worker->loop.turn_ns = &worker->line->turn_ns;
	engine_init(&worker->engine, &worker->loop, start->protocol,
		    start->board->column[start->column].counters);
	worker->engine.epitaph = &start->board->epitaph[start->column];
	worker->engine.metrics = &start->board->metrics[start->column];
	if (start->slot < SLOW_SLOTS)
		worker->engine.slow = &start->board->slow[start->slot];
	start->board->column[start->column].messages = MESSAGE_TYPES;
	offload_init(&worker->log_offload, &worker->loop, LOG_JOBS);
	offload_init(&worker->offload, &worker->loop, REQUEST_JOBS);
	offload_init(&worker->disk, &worker->loop, FILE_JOBS);
	offload_widen(&worker->disk, DISK_THREADS);
	offload_init(&worker->far, &worker->loop, FILE_JOBS);
	offload_widen(&worker->far, FAR_THREADS);
	offload_init(&worker->watching, &worker->loop, 1);
	log_writers_init(&worker->log_writers, &worker->loop, &worker->log_offload);
	log_count(&worker->engine.counters[COUNT_ERROR_LOG_DROPPED]);
	worker->engine.log_writers = &worker->log_writers;
	worker->engine.offload = &worker->offload;
	worker->engine.disk = &worker->disk;
	worker->engine.far = &worker->far;
	worker->engine.quota = start->quota;
	worker->engine.quota_epoch = quota_epoch(start->quota);
	worker->engine.slot = start->slot;
	worker->engine.board = start->board;
	worker->engine.closed_one = on_closed;
	worker->engine.hot = start->hot;
	worker->engine.queues = queues;
	watch_files(worker);
	worker->step.serve = adopt_step;
	worker->sweep.run = accept_sweep;
	loop_at_turn_end(&worker->loop, &worker->sweep);
	hand_init(worker);
	listing_init(worker);
	take_init(worker);
	keeper_begin(worker, start);
	worker->channel = (struct source){ .fd = start->channel, .handle = on_channel };
	if (loop_add(&worker->loop, &worker->channel, EPOLLIN) != 0)
		return err_set(err, "cannot watch the channel");
	if (start->seccomp && !confine_begin(worker, err))
		return false;
	meter_begin(&worker->meter, &worker->loop, &worker->engine.metrics->turns,
		    &worker->engine.counters[COUNT_READY]);
	return true;
}

/* What is queued is written, within a deadline that the master's own allows for. */
static void close_logs(struct worker *worker, uint64_t deadline_ns)
{
	if (worker->access_log != NULL)
		worker->access_log(&worker->engine, NULL, -1);
	log_close();
	log_writers_close(&worker->log_writers, deadline_ns);
	offload_close(&worker->log_offload, deadline_ns);
}

static void tear_down(struct worker *worker)
{
	uint64_t deadline_ns = clock_now_ns() + LOG_FLUSH_NS;

	accept_end(worker, EMPTY_NOT);
	accept_sweep(&worker->sweep);
	hand_close(worker);
	listing_end(worker);
	take_end(worker);
	heirs_end(worker);
	adopt_abort(worker, worker->next.generation != NULL ? worker->next.generation->number : 0);
	/* nobody waits for any of it now */
	offload_close(&worker->offload, deadline_ns - LOG_FLUSH_NS / 2);
	offload_close(&worker->disk, deadline_ns - LOG_FLUSH_NS / 2);
	offload_close(&worker->far, deadline_ns - LOG_FLUSH_NS / 2);
	offload_close(&worker->watching, deadline_ns - LOG_FLUSH_NS / 2);
	close_logs(worker, deadline_ns);
	generation_unpin(worker->engine.generation);
	watcher_close(worker->engine.watcher);
	engine_free(&worker->engine);
	loop_close(&worker->loop);
	fd_close(&worker->channel.fd);
}

int worker_run(const struct worker_start *start)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	struct err err = { "out of memory" };
	bool good = worker != NULL && set_up(worker, start, &err) && loop_run(&worker->loop, &err);

	if (!good)
		log_event(LEVEL_ERROR, "worker_failed", log_text("error", err.text));
	if (good)
		tear_down(worker);
	free(worker);
	return good ? 0 : 1;
}
