/* An epitaph: what a process was doing, in memory that outlives it. Whoever looks after the process reads it
 * when that is dead, or hangs.
 *
 * It is written as work goes on, by plain stores and small copies: after SIGKILL nobody could write it. What
 * only a signal's handler knows (the stack) is behind that. The memory is the process's own to write, and it
 * may be broken: a reader takes a copy and believes no length and no text in it. */
#ifndef BASE_EPITAPH_H
#define BASE_EPITAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What the process's one loop is busy with. That it waits for events is written where that begins: see
 * struct loop. */
enum epitaph_phase {
	PHASE_STARTING,                 /* nothing was served yet */
	PHASE_LOOP,                     /* none of the others: timers, logs, what the master says */
	PHASE_ACCEPTING,
	PHASE_CONNECTION,               /* before its protocol knows more: from here on there is a client */
	PHASE_READING,                  /* a request's head */
	PHASE_BODY,
	PHASE_SERVICE,                  /* works on the answer */
	PHASE_SENDING,
	PHASE_LOGGING,
	PHASE_LEAVING,                  /* the connection had its last answer */
	PHASE_ADOPTING,                 /* no client any more: a configuration is prepared */
	PHASE_HANDING,                  /* connections to another worker */
	PHASE_TAKING,                   /* connections from another worker */
	EPITAPH_PHASES
};

enum {
	EPITAPH_CLIENT_BYTES = 28,      /* a struct sockaddr_in6 */
	EPITAPH_REQUEST_BYTES = 160,
	EPITAPH_BROKEN_BYTES = 120,
	EPITAPH_STACK_BYTES = 640,
};

struct epitaph {
	/* ---- written as work goes on ---- */
	uint32_t phase;                 /* enum epitaph_phase */
	uint32_t known;                 /* not 0: the client is; something is owed to it */
	uint8_t client[EPITAPH_CLIENT_BYTES];   /* its socket address */
	uint32_t request_bytes;         /* 0: nothing of a request has come */
	uint64_t since_ns;              /* CLOCK_MONOTONIC: the connection was accepted, or idle last */
	uint64_t begun_ns;              /* the request was begun */
	char request[EPITAPH_REQUEST_BYTES];    /* its beginning: the request line, up to a line's end */

	/* ---- written when it ends ---- */
	uint32_t signal;                /* 0: no handler has run */
	int32_t code;                   /* si_code(sigaction(2)): not above 0 when it was sent */
	uint64_t address;               /* that could not be reached; or who sent the signal */
	uint32_t elsewhere;             /* not 0: in a thread that helps the loop */
	uint32_t stack_bytes;
	char broken[EPITAPH_BROKEN_BYTES];      /* the invariant, see must.h; "": none */
	char stack[EPITAPH_STACK_BYTES];
};

/* Who has none writes here. */
extern struct epitaph epitaph_nowhere;

/* A signal may come between any two instructions: what is said must be written before it is said. */
static inline void epitaph_order(void)
{
	__asm__ volatile("" ::: "memory");
}

static inline void epitaph_phase(struct epitaph *epitaph, enum epitaph_phase phase)
{
	epitaph->phase = phase;
}

/* From now on it is this client's connection. `client` has EPITAPH_CLIENT_BYTES. */
static inline void epitaph_client(struct epitaph *epitaph, const void *client, uint64_t since_ns)
{
	epitaph->known = 0;
	epitaph->request_bytes = 0;
	epitaph_order();
	memcpy(epitaph->client, client, EPITAPH_CLIENT_BYTES);
	epitaph->since_ns = since_ns;
	epitaph->phase = PHASE_CONNECTION;
	epitaph_order();
	epitaph->known = 1;
}

/* Between these two what there is of the request is written to epitaph->request, from its beginning and as
 * it may be read by anybody who gets hold of this memory; `len` bytes of it. */
static inline void epitaph_request_begin(struct epitaph *epitaph, uint64_t begun_ns)
{
	epitaph->request_bytes = 0;
	epitaph_order();
	epitaph->begun_ns = begun_ns;
}

static inline void epitaph_request_end(struct epitaph *epitaph, size_t len)
{
	epitaph_order();
	epitaph->request_bytes = (uint32_t)len;
}

/* It was answered; the connection goes on. */
static inline void epitaph_answered(struct epitaph *epitaph)
{
	epitaph->request_bytes = 0;
}

/* The client's turn is over. `owed`: its request is still under way. */
static inline void epitaph_leave(struct epitaph *epitaph, bool owed)
{
	epitaph->phase = PHASE_LOOP;
	if (!owed)
		epitaph->known = 0;
}

#endif
