/* What http1 keeps for a connection that is not idle; shared by http1.c (stages, timers) and http1_head.c,
 * http1_body.c (what comes), http1_send.c (answers), http1_move.c (to another worker). */
#ifndef HTTP_HTTP1_STATE_H
#define HTTP_HTTP1_STATE_H

#include "chunked.h"
#include "exchange.h"
#include "parse.h"

/* A request's life: its head arrives, its body, its service works on it, the answer goes out; and after a
 * connection's last answer what the client still sends is thrown away until it has seen our FIN. */
enum stage { STAGE_HEAD, STAGE_BODY, STAGE_WAITING, STAGE_SENDING, STAGE_LINGER, STAGES };

/* What a piece of work ended with.  ON: there is more to do at once. */
enum step { STEP_ON, STEP_WAIT, STEP_CLOSE };

struct http1 {
	struct conn *conn;
	enum stage stage;
	bool begun;                     /* the exchange is: bytes of its request are there */
	bool failed;                    /* its head or its body could not be parsed */
	bool body_read;                 /* there is none, or all of it came: the next request is at in_at */
	bool keep;                      /* the connection goes on after it */
	unsigned exchanges_left;        /* of this serve's budget */
	size_t bytes_left;              /* of this serve's budget */
	uint64_t until_ns;              /* the end of STAGE_BODY or STAGE_LINGER, whatever the client does */

	char *in; /* bytes received: in[at..len) belong to this request or to later ones */
	size_t in_size, in_len, in_at;
	struct parse parse;
	struct parse_limits limits;
	struct chunked chunked_in;
	uint64_t body_left;             /* of a request's body of known length */

	char *out;                      /* the response head, later pieces of the body */
	size_t out_size, out_len, out_at;
	size_t body_at;                 /* where the body begins in `out`; SIZE_MAX: not in there */
	enum body_kind body;            /* what follows `out` */
	bool chunked;
	bool stream_ended;
	struct str memory;              /* what is left of a BODY_MEMORY */
	off_t file_at;
	uint64_t left;                  /* of a BODY_FILE, or of a stream of known length */
	uint64_t answered_ns;           /* when the answer was there; 0: that is not known */
	uint64_t sent;                  /* bytes that were given to the transport in this exchange */
	uint64_t taken_mark;            /* how many of them the client had when the send timer was armed */
	bool full;                      /* the socket was, then: see wait_to_send */
	uint64_t min_rate;              /* bytes a second; see send_ns */
	/* the exchange's own copies: its generation may be gone */
	uint64_t head_ns, body_ns, send_ns, keep_alive_ns;

	struct exchange exchange;
};

/* A zeroed one for an idle connection; NULL when out of memory (counted). */
struct http1 *http1_new(struct conn *conn);

/* The first request of a state whose head was parsed already, into `request`, from bytes that are the first
 * of `in` now. http1_copy_head: begins its exchange; false when out of memory (counted). http1_take_head: and
 * goes on as if it had been parsed here. */
bool http1_copy_head(struct http1 *http, const struct request *request, size_t head_bytes);
enum step http1_take_head(struct http1 *http, const struct request *request, size_t head_bytes);

/* The first bytes of a state; false when out of memory (counted). */
bool http1_take_bytes(struct http1 *http, struct str bytes);

/* The rest of an answer that was begun without a state (express.h). */
struct rest {
	unsigned status;
	uint8_t row;
	struct str out;                 /* of the head, and of a body that lies behind it */
	size_t body_at;                 /* where that begins; SIZE_MAX: not in there */
	struct str memory;              /* what follows; the `lasting`'s */
	struct lasting *lasting;        /* NULL: nothing follows */
	uint64_t sent, body_sent;       /* what went before */
};

/* Goes on with the answer to this request; see http1_copy_head. The answer counts, and the state is in
 * STAGE_SENDING. False when out of memory (counted). */
bool http1_take_answer(struct http1 *http, const struct request *request, size_t head_bytes,
		       const struct rest *rest);

/* Serves it from its stage on, within the budget of a turn. */
enum served http1_run(struct http1 *http);

/* The last answer was sent: its end is announced, and what still comes is thrown away. */
void http1_linger(struct http1 *http);

/* The connection has no state, and waits for its next request. `worked`: since now. */
void http1_idles(struct conn *conn, bool worked);

/* An answer with this status is given. */
static inline void http1_count_status(struct engine *engine, unsigned status)
{
	unsigned from_2xx = status / 100 - 2;

	if (from_2xx <= COUNT_STATUS_5XX - COUNT_STATUS_2XX)
		engine_count(engine, COUNT_STATUS_2XX + (enum counter)from_2xx);
}

/* The connection is idle: ends the exchange and gives everything back. */
void http1_free(struct http1 *http);

/* The stage changes; the timer of the one before is disarmed. */
void http1_enter(struct http1 *http, enum stage stage);

/* Writes what there is of its request to the epitaph. */
void http1_say_request(const struct http1 *http);

/* A larger buffer in place of `in`, by at least `more_bytes`, with the same bytes; whoever points into the
 * old one has to follow. False when out of memory. */
bool http1_grow(struct http1 *http, size_t more_bytes);

/* A new exchange by the current generation's times and limits, whose head is parsed from its beginning. */
void http1_begin(struct http1 *http);

/* STAGE_HEAD: parses what is there, or receives more. */
enum step http1_head(struct http1 *http);

/* Begins an exchange with what its head said about a body: to be read (STAGE_BODY), none, too large, or not
 * wanted. */
enum step http1_begin_body(struct http1 *http);

/* STAGE_BODY: a piece of the body, which nobody wants, is checked and thrown away. */
enum step http1_body(struct http1 *http);

/* Nothing more is read of the body: the answer is the connection's last. */
enum step http1_end_body(struct http1 *http);

/* Starts the service; the body, if there is one, was read or will not be. */
enum step http1_start(struct http1 *http);

/* Answers a request that cannot be understood or is too large, and the connection ends. */
enum step http1_refuse(struct http1 *http, unsigned status, enum parse_wrong wrong);

/* The response is there: renders its head.  STEP_CLOSE when out of memory. */
enum step http1_answer(struct http1 *http);

/* STAGE_SENDING: one transfer.  STEP_ON with http1_sent() true when all is sent. */
enum step http1_send(struct http1 *http);

/* Nothing more is needed of the body's source: what is left of it lies in the buffers. */
bool http1_drawn(const struct http1 *http);

/* Everything of the answer has been handed to the transport. */
bool http1_sent(const struct http1 *http);

/* See struct protocol. */
void http1_account(const struct conn *conn, struct account *account);
enum moving http1_freeze(const struct conn *conn, struct record *record, int *file_fd);
bool http1_thaw(struct conn *conn, struct record *record, int file_fd);
void http1_moved(struct conn *conn);

/* Counts a failed allocation; returns STEP_CLOSE. */
enum step http1_no_memory(struct http1 *http);

/* What the connection's listener says goes before what is said of all. */
static inline uint64_t http1_own_or(uint64_t own_ns, uint64_t common_ns)
{
	return own_ns != 0 ? own_ns : common_ns;
}

#endif
