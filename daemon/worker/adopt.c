/* adopt.c - a worker takes over a generation: CONFIG, LOGS, SOCKETS, PREPARE -> READY or FAILED; GO ->
 * ADOPTED.
 *
 * The generation is built beside the one that is served, in steps of at most a millisecond a turn. All that
 * can fail is done before READY; GO only switches. */
#include "worker.h"

#include "base/clock.h"
#include "base/cpus.h"
#include "base/fd.h"
#include "base/landlock.h"
#include "base/log.h"
#include "config/listeners.h"
#include "net/clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_NS = 1000000 };

/* Forgets a generation that will not be served. */
static void forget(struct worker *worker)
{
	struct preparing *next = &worker->next;

	loop_unready(&worker->step);
	generation_unpin(next->generation);
	free(next->text);
	fd_close(&next->error_log);
	fd_close(&next->access_log);
	*next = (struct preparing){ .error_log = -1, .access_log = -1 };
}

/* A channel that cannot be written has been closed at the other end, and its end is handled where it is
 * read. */
static void tell(struct worker *worker, enum message_type type, uint64_t generation)
{
	struct err err;

	if (!channel_tell(worker->channel.fd, type, generation, &err))
		log_event(LEVEL_WARNING, "channel_failed", log_text("error", err.text));
}

static void refuse(struct worker *worker, enum message_type type, uint64_t generation, const char *why)
{
	struct message message = { .type = type, .generation = generation };
	struct err err;

	message.bytes = (uint32_t)snprintf(message.body.text, sizeof(message.body.text), "%s", why) + 1;
	if (message.bytes > sizeof(message.body.text))
		message.bytes = sizeof(message.body.text);
	channel_send(worker->channel.fd, &message, NULL, 0, &err);
	accept_abort(worker, generation);
	forget(worker);
}

void adopt_refuse(struct worker *worker, uint64_t generation, const char *why)
{
	refuse(worker, MESSAGE_FAILED, generation, why);
}

void adopt_config(struct worker *worker, uint64_t generation, int memfd)
{
	int fd AUTO_CLOSE = memfd;
	struct err err = { "out of memory" };
	size_t len;

	forget(worker);         /* an older one that was never decided is superseded */
	worker->next.generation = generation_new(generation, worker->services);
	if (worker->next.generation != NULL) {
		worker->next.generation->board = worker->engine.board;
		worker->next.text = fd_read_all(fd, CANONICAL_MAX_BYTES, &len, &err);
	}
	if (worker->next.text == NULL) {
		err_add(&err, "the configuration could not be read");
		adopt_refuse(worker, generation, err.text);
		return;
	}
	list_push_back(&worker->generations, &worker->next.generation->link);
	if (!canonical_begin(&worker->next.load, worker->next.generation,
			     (struct str){ worker->next.text, len }, &err))
		adopt_refuse(worker, generation, err.text);
}

void adopt_logs(struct worker *worker, uint64_t generation, int error_log, int access_log)
{
	struct preparing *next = &worker->next;
	int error AUTO_CLOSE = error_log, access AUTO_CLOSE = access_log;

	if (next->generation == NULL || next->generation->number != generation)
		return;
	fd_close(&next->error_log);
	fd_close(&next->access_log);
	next->error_log = fd_take(&error);
	next->access_log = fd_take(&access);
}

static unsigned generations_alive(const struct worker *worker)
{
	unsigned count = 0;

	for (const struct list *link = worker->generations.next; link != &worker->generations;
	     link = link->next)
		count++;
	return count;
}

/* The bound on generations that exchanges under way keep alive: then a reload is refused, nothing is cut. */
static bool too_many(struct worker *worker, struct err *err)
{
	const struct generation *current = worker->engine.generation;
	const struct generation *oldest = LIST_ENTRY(worker->generations.next, struct generation, link);

	if (current == NULL || generations_alive(worker) <= current->config->max_generations)
		return false;
	err_set(err,
		"%u configurations are still in use by requests under way, the oldest is generation %llu"
		" (limits.max_generations)",
		generations_alive(worker) - 1, (unsigned long long)oldest->number);
	return true;
}

void adopt_prepare(struct worker *worker, const struct message *message)
{
	struct preparing *next = &worker->next;
	struct err err;

	if (next->generation == NULL || next->generation->number != message->generation)
		return;         /* it failed already, and the master was told */
	next->note = message->body.prepare;
	if (too_many(worker, &err))
		adopt_refuse(worker, message->generation, err.text);
	else
		loop_ready(&worker->loop, &worker->step);
}

/* A rule of the sandbox is for what had the name when this worker was made, whatever has it now: then it
 * serves on by what it has, and a fresh one has to take over. */
static bool is_confined(const struct config *config, struct err *err)
{
	for (unsigned i = 0; config->landlock && i < config->sandbox_read.count; i++)
		if (landlock_refuses(config->sandbox_read.at[i]))
			return !err_set(err,
					"%s is another directory than it was when this worker was confined to"
					" it: droverctl reload --replace", config->sandbox_read.at[i]);
	return false;
}

/* One step; true when the generation is complete. */
static bool build(struct worker *worker, bool *done, struct err *err)
{
	struct preparing *next = &worker->next;

	if (next->loaded)
		return listeners_prepare(next->generation, err) &&
		       worker->engine.protocol->prepare(next->generation, STEP_NS, done, err);
	if (!canonical_step(&next->load, STEP_NS, &next->loaded, err))
		return false;
	*done = false;
	if (next->loaded) {
		free(next->text);
		next->text = NULL;
	}
	return true;
}

void adopt_step(struct ready *ready)
{
	struct worker *worker = LIST_ENTRY(ready, struct worker, step);
	uint64_t generation = worker->next.generation->number;
	bool done = false;
	struct err err;

	epitaph_phase(worker->engine.epitaph, PHASE_ADOPTING);
	if (!build(worker, &done, &err)) {
		adopt_refuse(worker, generation, err.text);
	} else if (done && is_confined(worker->next.generation->config, &err)) {
		refuse(worker, MESSAGE_CONFINED, generation, err.text);
	} else if (!done) {
		loop_ready(&worker->loop, &worker->step);
	} else {
		worker->next.voted = true;
		tell(worker, MESSAGE_READY, generation);
	}
	epitaph_phase(worker->engine.epitaph, PHASE_LOOP);
}

/* Lines that were put before still go to the target of before. */
static void open_error_log(struct worker *worker, const struct config *config, int fd)
{
	struct log_setup setup = { config->log_level, config->log_format,
				   config_log_target(config, config->log_error, fd) };

	log_open(&worker->log_writers, &setup);
}

static void switch_logs(struct worker *worker, const struct config *config)
{
	struct preparing *next = &worker->next;

	open_error_log(worker, config, fd_take(&next->error_log));
	worker->access_log(&worker->engine, config, fd_take(&next->access_log));
}

/* Files that were opened anew.  They are for the generation that is being prepared, if there is one; a
 * draining worker may serve an older one that logs elsewhere, and goes on with what it has. */
static void take_logs(struct worker *worker, const struct logs_note *note, int *error_log, int *access_log)
{
	const struct generation *current = worker->engine.generation;
	const struct config *config = current != NULL ? current->config : NULL;

	if (worker->next.generation != NULL) {
		adopt_logs(worker, worker->next.generation->number, fd_take(error_log), fd_take(access_log));
		return;
	}
	if (config != NULL && note->error_id == config_log_id(config->log_error))
		open_error_log(worker, config, fd_take(error_log));
	if (config != NULL && note->access_id == config_log_id(config->log_access))
		worker->access_log(&worker->engine, config, fd_take(access_log));
}

void adopt_reopen(struct worker *worker, const struct message *message, struct message_fds *fds)
{
	const struct logs_note *note = &message->body.logs;
	struct message answer = { .type = MESSAGE_REOPENED, .generation = message->generation,
				  .bytes = sizeof(struct reopened_note) };
	unsigned error = note->error ? 1 : 0, access = note->access ? 1 : 0;
	int error_log AUTO_CLOSE = -1, access_log AUTO_CLOSE = -1;
	struct err err;

	answer.body.reopened.good = fds->count == error + access;       /* else none were left here */
	if (answer.body.reopened.good) {
		error_log = error > 0 ? fd_take(&fds->at[0]) : -1;
		access_log = access > 0 ? fd_take(&fds->at[error]) : -1;
		take_logs(worker, note, &error_log, &access_log);
	}
	if (!channel_send(worker->channel.fd, &answer, NULL, 0, &err))
		log_event(LEVEL_WARNING, "channel_failed", log_text("error", err.text));
}

/* By the mode that is configured: where the kernel cannot choose by CPU it does no harm. */
static void bind_to_cpu(const struct worker *worker, const struct config *config)
{
	struct err err;

	if (config->accept != ACCEPT_CPU)
		cpus_unbind();
	else if (!cpus_bind(worker->slot, &err))
		log_event(LEVEL_WARNING, "worker_not_bound", log_number("slot", worker->slot),
			  log_text("error", err.text));
}

void adopt_go(struct worker *worker, uint64_t generation)
{
	struct preparing *next = &worker->next;

	if (next->generation == NULL || next->generation->number != generation || !next->voted)
		return;
	switch_logs(worker, next->generation->config);
	bind_to_cpu(worker, next->generation->config);
	worker->note = next->note;
	listeners_follow(worker, next->generation);
	clients_adopt(&worker->engine, &next->generation->quota);
	worker->engine.slow_ns = next->generation->config->slow_ns;
	generation_unpin(engine_adopt(&worker->engine, next->generation));
	next->generation = NULL;
	forget(worker);
	if (!worker->draining) {
		if (!worker->serving)
			accept_begin(worker);
		worker->serving = true;
		backlog_begin(worker);
		accept_room(worker);
		take_room(worker);
		accept_apply(worker);
	}
	tell(worker, MESSAGE_ADOPTED, generation);
	log_event(LEVEL_DEBUG, "adopted", log_number("generation", generation));
}

void adopt_abort(struct worker *worker, uint64_t generation)
{
	if (worker->next.generation != NULL && worker->next.generation->number == generation)
		forget(worker);
	accept_abort(worker, generation);
}
