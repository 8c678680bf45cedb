/* Workers without a master, each with its own loop and engine, in one process: they take turns.
 *
 * Their protocol counts: each byte that a client sends is answered with the number of bytes so far, so that a
 * byte that is lost, served twice or by two workers shows. Some bytes say what the connection is from then
 * on, see below. */
#ifndef FAKE_WORKERS_H
#define FAKE_WORKERS_H

#include "worker/worker.h"

enum { FAKE_WORKERS = 3 };

/* What a connection is after this byte. */
enum {
	COUNTS_IDLE = 'i',
	COUNTS_HEAD = 'h',
	COUNTS_BODY = 'b',
	COUNTS_SENDING = 's',           /* a file goes along */
	COUNTS_PIPELINED = 'p',
	COUNTS_LEAVING = 'l',
	COUNTS_WAITING = 'w',           /* cannot be moved */
	COUNTS_LARGE = 'L',             /* idle, its record is half a batch */
	COUNTS_STRANGE = '?',           /* no receiver takes it */
	COUNTS_CLOSE = 'x',
};

struct fake_worker {
	struct worker worker;
	struct board_column column;
	struct hot_line line;
	struct hot_seat seat;
	struct config config;
	int master;                     /* the other end of its channel */
};

extern struct fake_worker *fake_workers[FAKE_WORKERS];

void fake_workers_open(void);

/* Ends everything, and fails when descriptors or connections are left behind. */
void fake_workers_close(void);

/* A turn of a worker that has not stopped; it waits for nothing. */
void fake_worker_turn(struct worker *worker);

/* All take turns until the condition holds; fails the test after three seconds. */
void fake_workers_until(bool (*done)(void));

/* So many connections of the worker, appended to fake_clients. */
void fake_workers_connect(struct worker *worker, unsigned count);

enum { FAKE_CLIENTS = 2000 };

extern int fake_clients[FAKE_CLIENTS];
extern unsigned fake_client_count;

/* Sends the byte on each of the clients from `first` on, and fails unless all are answered `expected`. */
void fake_clients_ask(unsigned first, unsigned count, char byte, unsigned char expected);

#endif
