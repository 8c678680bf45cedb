/* A connection moves to another worker: its sender freezes it, its receiver makes one from the record, and
 * goes on as if nothing had happened.
 *
 * On the way it exists twice. The rule that keeps it from being served twice or lost: the sender keeps its
 * own until the receiver has acknowledged it, and the receiver touches the socket only after its
 * acknowledgement was sent (DESIGN, section 5). */
#ifndef NET_MOVE_H
#define NET_MOVE_H

#include "conn.h"

#include "base/record.h"

/* ---- the sender's side ---- */

/* Writes the connection to `record`: what every one has (who, where it came in, since when, the time that is
 * left to it), and what its protocol knows. Changes nothing. MOVING_NOT: it stays, at least for now; the
 * record is spoilt then. `*file_fd`: goes along, stays the connection's; -1: none. */
enum moving move_write(const struct conn *conn, struct record *record, int *file_fd);

/* Takes it off the loop (EPOLL_CTL_DEL, no timer, no ready list; epoll(7), Q6) and to the end of
 * engine->frozen. It still counts as one of the engine's connections. */
void move_freeze(struct conn *conn);

/* It stays after all: everything is as before move_freeze, deadlines included, and it is served. */
void move_thaw(struct conn *conn);

/* It lives on elsewhere (or, made by move_read, does not begin to live here): our descriptor is closed
 * without a word to the client, the memory follows at the turn's end. */
void move_gone(struct conn *conn);

/* ---- the receiver's side ---- */

/* Makes a connection of a record that move_write wrote, in a process of this machine, perhaps of another
 * version; `fd` and `file_fd` (-1: none) are taken over in any case. It is registered, since that can fail,
 * but nothing happens to the socket: move_begin or move_gone follows in the same turn. NULL: it cannot be
 * taken (wrong, no memory, a protocol or service that is not here): its descriptors were closed. */
struct conn *move_read(struct engine *engine, struct record *record, int fd, int file_fd);

/* The sender knows: serves what is there already. */
void move_begin(struct conn *conn);

#endif
