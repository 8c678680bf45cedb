/* Which generations are still in use, and what the workers have in hand. */
#ifndef MASTER_GENERATIONS_H
#define MASTER_GENERATIONS_H

#include "base/list.h"
#include "base/timer.h"
#include "ipc/channel.h"

#include <stdint.h>

struct asker;
struct child;
struct json_t;
struct master;

/* Somebody asks what the workers have in hand: see generations.c. */
struct census {
	struct list askers;
	struct timer deadline;          /* armed while answers are waited for */
};

enum { COMMITS_KNOWN = 64 };

struct commit {
	uint64_t number, at_ns;         /* of the generation */
};

/* Asks the workers what they have in hand; `asker` is answered when they have said it, or a second later. */
void generations_ask(struct master *master, struct asker *asker);
void generations_child_counted(struct child *child, const struct count_note *note);
void generations_child_died(struct master *master);
/* What they said, as a JSON array, a new reference; NULL when out of memory. */
struct json_t *generations_json(const struct master *master);

#endif
