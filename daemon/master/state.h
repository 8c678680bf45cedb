/* The state: what an image of the master leaves to the next one, in a memfd. A line of JSON, and behind it
 * the canonical text of the committed configuration.
 *
 * It is made only while no transition is open and the service does not stop. What belongs to the epoll
 * instance, to threads and to what can be asked again is not in it. Whoever adds a member to one of its
 * structs adds a row to its table in state.c, or says there why not; a row that the image before does not
 * know of is a new STATE_VERSION, unless loading can do without. */
#ifndef MASTER_STATE_H
#define MASTER_STATE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

enum { STATE_VERSION = 6 };

struct generation;
struct json_t;
struct master;
struct master_setup;

/* The state that was read. */
struct state {
	struct json_t *json;
	struct json_t *originals;       /* of the descriptors: state_take put duplicates into `json` */
	char *bytes;
	struct str text;                /* the configuration, in `bytes` */
};

/* A sealed memfd; -1 with `err`. `pass`: the descriptors that it lists lose their FD_CLOEXEC, exactly those;
 * on failure too: fd_cloexec_all is the caller's. */
int state_save(const struct master *master, bool pass, struct err *err);

/* Reads what the image before wrote. False with `err` when this image does not understand it: another version
 * of the state itself, of the channel, of handover, of the board or of the hot lines, or one with other
 * counters. */
bool state_read(struct state *state, int fd, const struct master *master, struct err *err);

/* Takes every descriptor, CLOEXEC; `may_go_back`: a duplicate, the originals stay for the way back until
 * state_settle. */
bool state_take(struct state *state, bool may_go_back, struct err *err);

/* For a candidate, which has none of them: all are -1 then. */
void state_leave_out_fds(struct state *state);

/* Makes of it what the master had: lists, slots, the committed verdict, the control socket. Nothing is
 * watched and no timer is armed yet. False with `err`. */
bool state_load(struct master *master, const struct state *state, struct err *err);

/* The configuration of the state as a generation of its own, without a number; NULL with `err`. */
struct generation *state_config(const struct state *state, const struct master_setup *setup, struct err *err);

/* Closes the originals, if there are any: there is no way back any more. */
void state_settle(struct state *state);

/* Gives the memory back. */
void state_release(struct state *state);

#endif
