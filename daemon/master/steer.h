/* Who chooses the slot of a new connection: what is attached to the listeners' sockets, and when. */
#ifndef MASTER_STEER_H
#define MASTER_STEER_H

#include "base/err.h"
#include "base/timer.h"

struct master;
struct listener;

/* What is attached to the group that a listener's sockets are. */
enum steered {
	STEERED_NOT,                    /* nothing: the kernel's hash chooses */
	STEERED_DIRECTED,
	STEERED_CPU,
};

struct steer {
	char impossible[ERR_TEXT_BYTES];        /* why no program can read the hot lines; "": one can */
	char said[2 * ERR_TEXT_BYTES];  /* what was logged of the mode last */
	struct timer again;             /* sockets are in another array still */
	unsigned tries;
};

/* What came of `accept`. */
struct accept_outcome {
	const char *wanted, *effective; /* names of modes */
	const char *why;                /* they differ; "": they do not */
};

/* Fresh hot lines: such that a steering program can read them, if that can be had. False with `err`. */
bool steer_open(struct master *master, struct err *err);
/* Could a program be loaded here?  Without a master, for `drover -T`. False with `err`. */
bool steer_try(struct err *err);
/* Who chooses at each committed listener is what the committed configuration says, or the kernel's hash and a
 * line in the log. The slots' sockets are in the array then. After listen(2), and before a seat is good. */
void steer_apply(struct master *master);
/* Its sockets live on without us. */
void steer_leave(struct listener *listener);
/* That socket was shut and listens again: it is in no array any more, and perhaps its group in no program. */
void steer_restored(struct master *master, struct listener *listener, unsigned index);
struct accept_outcome steer_outcome(const struct master *master);
/* The name of the mode that is effective at the listener. */
const char *steer_mode(const struct listener *listener);

#endif
