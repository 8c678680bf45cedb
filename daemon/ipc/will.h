/* The last will of a worker: its idle connections, when it crashes.
 *
 * Nothing but its descriptor is needed to serve an idle connection on. So a worker notes, for each
 * descriptor, at which listener an idle connection came in; and when it crashes, what is noted goes into a
 * SEQPACKET pair whose other end the master holds, unread, until it knows who shall have them. The notes are
 * in memory that the worker shares with its keeper (worker/keeper.c), who does the same when the worker was
 * killed.
 *
 * The first message is the word of the keeper; all others are bequests. */
#ifndef IPC_WILL_H
#define IPC_WILL_H

#include "rights.h"

#include "base/err.h"

#include <stdint.h>

/* marks[fd]: the number of the listener at which the idle connection came in; 0: it is none. */
struct will_notes {
	uint32_t told;                  /* not 0: the word was sent */
	uint32_t unused[15];
	uint32_t marks[];
};

struct will {
	int fd;                         /* the writing end; -1: there is no will */
	unsigned room;                  /* of marks; 0: there is no will */
	struct will_notes *notes;
};

/* The word: the process that keeps the will, or 0. Shorter than every bequest. */
struct will_word {
	uint32_t keeper;
};

/* Descriptors come with it, in this order. */
struct bequest {
	uint32_t count;
	uint32_t marks[RIGHTS_MOST];
};

/* Closes the reading end, and first what is in it: one by one, for the kernel would do so with the patience
 * that the dead has asked for (SO_LINGER). */
void will_burn(int *fd);

/* A pair, CLOEXEC and non-blocking: [0] is the master's, [1] the worker's. */
bool will_pair(int ends[2], struct err *err);

/* Notes for descriptors below `room`, in shared memory; `fd` stays the caller's. False with `err`: `will`
 * says that there is none. */
bool will_make(struct will *will, int fd, unsigned room, struct err *err);

/* Sends the word; whether anybody hears it does not matter to the caller. */
void will_tell(const struct will *will, uint32_t keeper);

/* Sends what is noted, and strikes it off the notes; for a second at most. Safe in a signal handler, and on
 * memory of which nothing is known any more. */
void will_execute(const struct will *will);

enum will_result { WILL_BEQUEST, WILL_WORD, WILL_EMPTY, WILL_END };

/* Takes the word out of `fd` if it is what comes next; WILL_BEQUEST: it is not, and nothing was taken. */
enum will_result will_hear(int fd, struct will_word *word);

/* Takes the next bequest: `fds` has room for RIGHTS_MOST, `*count` of them came, for the first so many of
 * bequest->marks. What is not understood counts as WILL_END. */
enum will_result will_receive(int fd, struct bequest *bequest, int *fds, unsigned *count);

#endif
