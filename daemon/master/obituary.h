/* What is known of a worker that crashed, or hangs: its epitaph, made readable. */
#ifndef MASTER_OBITUARY_H
#define MASTER_OBITUARY_H

#include "base/epitaph.h"
#include "base/log.h"
#include "net/addr.h"

#include <time.h>

struct child;

enum {
	OBITUARY_REQUEST_BYTES = 4 * EPITAPH_REQUEST_BYTES + 1,
	OBITUARY_FIELDS = 9,            /* that obituary_fields adds at most, and the end */
};

struct obituary {
	const char *phase;              /* never NULL */
	char client[ADDR_TEXT_BYTES];   /* "": nobody */
	char request[OBITUARY_REQUEST_BYTES];   /* its line; "": none */
	uint64_t request_ms;            /* since it began */
	const char *signal;             /* that its handler saw, "SEGV"; NULL: no handler has run */
	char address[24];               /* that could not be reached; "": none, or not known */
	uint32_t sender;                /* the process that sent the signal; 0: it was not sent */
	char stack[EPITAPH_STACK_BYTES + 1];    /* "drover+0x1a2b ..."; "": not known */
	char broken[EPITAPH_BROKEN_BYTES + 1];  /* the invariant; "": none */
};

/* How a slot's worker died that nobody had told to. */
struct death {
	struct timespec at;
	int signal;                     /* 0: it ended by itself */
	int status;                     /* then */
	uint64_t lived_ms, lost;        /* connections that it had */
	char client[ADDR_TEXT_BYTES];   /* as in struct obituary, and the rest */
	char phase[16];
	char request[OBITUARY_REQUEST_BYTES];
};

/* Reads what may be anything, and may change meanwhile. `waits`: its loop waits for events; then the client
 * is the one that it served last, if it owes that something. */
void obituary_read(const struct epitaph *epitaph, bool waits, uint64_t now_ns, struct obituary *obituary);

/* The same of a child. */
void obituary_of(const struct child *child, struct obituary *obituary);

/* Adds what is known to `fields`, and the end; returns how many there are then. They point into
 * `obituary`. */
unsigned obituary_fields(const struct obituary *obituary, struct log_field *fields, unsigned count);

/* A word that can be searched for, without spaces: KILL, not "Killed". */
const char *obituary_signal(int number);

#endif
