/* census.c - what a worker has in hand, for people who ask (droverctl generations). Called on COUNT; a
 * channel that cannot be written has ended, and that is handled where it is read. */
#include "worker.h"

#include "config/generation.h"

static const enum count_state states[DOINGS] = {
	[DOING_IDLE] = COUNTED_IDLE,
	[DOING_HEAD] = COUNTED_HEAD,
	[DOING_WAITING] = COUNTED_WAITING,
	[DOING_SENDING] = COUNTED_SENDING,
	[DOING_LEAVING] = COUNTED_LEAVING,
};

static void count_connections(const struct engine *engine, struct count_note *note)
{
	unsigned counts[DOINGS], counted = 0;

	engine_census(engine, counts);
	for (unsigned doing = 0; doing < DOINGS; doing++) {
		note->connections[states[doing]] = counts[doing];
		counted += counts[doing];
	}
	note->connections[COUNTED_MOVING] = engine->count - counted;
}

/* The newest first: a generation goes to the end of the list when it is made. */
static void count_generations(const struct worker *worker, struct count_note *note)
{
	const struct list *all = &worker->generations;

	for (const struct list *link = all->prev;
	     link != all && note->generation_count < COUNTED_GENERATIONS; link = link->prev) {
		const struct generation *generation = LIST_ENTRY(link, struct generation, link);
		bool is_current = generation == worker->engine.generation;
		unsigned own = is_current || generation == worker->next.generation ? 1 : 0;

		note->generations[note->generation_count].number = generation->number;
		note->generations[note->generation_count++].pins = generation->pins - own;
	}
}

void census_tell(const struct worker *worker, uint64_t number)
{
	struct message message = { .type = MESSAGE_COUNTED, .generation = number,
				   .bytes = sizeof(struct count_note) };
	struct err err;

	count_connections(&worker->engine, &message.body.count);
	count_generations(worker, &message.body.count);
	channel_send(worker->channel.fd, &message, NULL, 0, &err);
}
