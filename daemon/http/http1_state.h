/* What http1 keeps for a connection that is not idle; shared by http1.c (stages, timers) and http1_send.c
 * (answers). */
#ifndef HTTP_HTTP1_STATE_H
#define HTTP_HTTP1_STATE_H

#include "exchange.h"
#include "parse.h"

/* A request's life: its head arrives, its service works on it, the answer goes out; and after a connection's
 * last answer what the client still sends is thrown away until it has seen our FIN. */
enum stage { STAGE_HEAD, STAGE_WAITING, STAGE_SENDING, STAGE_LINGER, STAGES };

/* What a piece of work ended with.  ON: there is more to do at once. */
enum step { STEP_ON, STEP_WAIT, STEP_CLOSE };

struct http1 {
	struct conn *conn;
	enum stage stage;
	bool begun;                     /* the exchange is: bytes of its request are there */
	bool failed;                    /* its head could not be parsed */
	bool keep;                      /* the connection goes on after it */
	bool progress;                  /* bytes went out since the send timer was armed */
	unsigned exchanges_left;        /* of this serve's budget */
	size_t bytes_left;              /* of this serve's budget; in STAGE_LINGER see linger_left too */
	size_t linger_left;

	char *in; /* bytes received: in[at..len) belong to this request or to later ones */
	size_t in_size, in_len, in_at;
	struct parse parse;
	struct parse_limits limits;

	char *out;                      /* the response head, later pieces of the body */
	size_t out_size, out_len, out_at;
	size_t body_at;                 /* where the body begins in `out`; SIZE_MAX: not in there */
	enum body_kind body;            /* what follows `out` */
	bool chunked;
	bool stream_ended;
	struct str memory;              /* what is left of a BODY_MEMORY */
	off_t file_at;
	uint64_t left;                  /* of a BODY_FILE, or of a stream of known length */
	uint64_t head_ns, send_ns;      /* the exchange's own copies: its generation may be gone */

	struct exchange exchange;
};

/* The stage changes; the timer of the one before is disarmed. */
void http1_enter(struct http1 *http, enum stage stage);

/* The response is there: renders its head.  STEP_CLOSE when out of memory. */
enum step http1_answer(struct http1 *http);

/* STAGE_SENDING: one transfer.  STEP_ON with http1_sent() true when all is sent. */
enum step http1_send(struct http1 *http);

/* Everything of the answer has been handed to the transport. */
bool http1_sent(const struct http1 *http);

/* Counts a failed allocation; returns STEP_CLOSE. */
enum step http1_no_memory(struct http1 *http);

#endif
