/* What came of it, for whoever asked for a reload, an upgrade or something else that takes a while. */
#ifndef MASTER_ASKER_H
#define MASTER_ASKER_H

#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>

struct change;
struct json_t;

/* What came of a transition. */
struct outcome {
	bool good;
	bool wrong;                     /* not good, and the configuration itself is why */
	const char *text;
	const struct preflight *findings;       /* NULL: none */
	struct json_t *changes; /* of a dry one that is good: what would be different; NULL: not known */
	const struct parting *parting;  /* what became of the connections of who left; NULL: nobody did */
};

/* Somebody who waits for a reload's outcome, or for what it would be. */
struct asker {
	struct list link;
	void (*answer)(struct asker *asker, const struct outcome *outcome);
	struct change *change;          /* of one that changes settings (tuning.h) */
	const char *path;               /* of a dry one: what to read; NULL: the daemon's own */
	unsigned slot;                  /* the one that shall leave or come back; HOLD_ALL: all */
	bool back;                      /* it shall come back */
	bool at_once;                   /* nobody waits until the connections have left */
};

/* Whoever asks for something is told when the service stops. */
extern const struct outcome outcome_stopping;
/* Answers all of them; the list is empty then. */
void askers_answer(struct list *askers, const struct outcome *outcome);

/* Its text, for the status, which is JSON: paths may be no UTF-8, and what was cut is none either. */
void outcome_keep(const struct outcome *outcome, char text[ERR_TEXT_BYTES]);

#endif
