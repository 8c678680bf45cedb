/* An exchange: one request and its answer. It has its own arena, timer and cancel, and pins the generation it
 * began under until its response head is rendered. The protocol that speaks on the connection owns it; a
 * service sees nothing else. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "lasting.h"
#include "limits.h"
#include "request.h"
#include "service.h"

#include "base/loop.h"
#include "base/record.h"
#include "config/generation.h"
#include "net/conn.h"

#include <time.h>

/* A pulled source of body bytes. */
enum body_kind {
	BODY_NONE,
	BODY_MEMORY, /* `memory`: in the exchange's arena or buffer, the `lasting`'s, or static (never the
		      * generation's) */
	BODY_FILE, /* `file_fd` (the exchange closes it, unless it is the `lasting`'s) from `offset`, `length`
		    * bytes */
	BODY_STREAM, /* pull(): length unknown (chunked) unless response.length_known */
};

enum { EXCHANGE_HEAD_BYTES = 1024 };    /* the place for a head in front of a body in a buffer */

struct response {
	unsigned status;
	bool is_error;                  /* filled by exchange_error, not by a service */
	struct str content_type;        /* absent: none */
	struct str media_type;          /* what rules go by where that is another: of a 304; else absent */
	struct str location, etag, allow;       /* absent: none */
	struct str content_encoding, content_range, vary;       /* absent: none */
	bool accept_ranges;             /* a Range would have been looked at */
	bool last_modified_known;
	time_t last_modified;
	struct str extra;               /* further whole header lines, each with CRLF; absent: none */
	bool length_known;              /* Content-Length is `length` */
	uint64_t length;
	enum body_kind body;
	struct str memory;
	bool memory_lasts;              /* `memory` is the `lasting`'s, or static */
	char *buffer;                   /* see exchange_buffer; NULL: none */
	size_t buffer_size;
	int file_fd;
	bool file_lasts;                /* file_fd is the `lasting`'s, and nobody else closes it */
	off_t offset;
	/* Pinned until the exchange is over: while this lasts, the answer may be given again (lasting.h).
	 * NULL: it is for this request alone. */
	struct lasting *lasting;
	struct lasting *holds;          /* pinned as well: whose memory or file it is; NULL: see `lasting` */
	void *source;                   /* what the functions below know, in the exchange's arena */
	/* Of a BODY_FILE: asked before its last bytes are sent (`last`), and when a transfer left some.
	 * False: it was written to, and the connection is cut, so that no mixture looks whole.  NULL: nobody
	 * cares. */
	bool (*unchanged)(struct exchange *exchange, bool last);
	/* Of a BODY_FILE: asked before each transfer how many of the next `*len` bytes, which begin at `at`,
	 * can be sent without waiting for a disk. IO_OK with *len > 0; IO_AGAIN, and the service calls
	 * exchange_resume later; IO_ERROR: the connection is cut. NULL: all of them. */
	enum io (*present)(struct exchange *exchange, off_t at, size_t *len);
	/* Fills up to `room` bytes.  IO_OK with *got > 0, IO_AGAIN (the service calls exchange_resume later),
	 * IO_EOF, IO_ERROR (the connection is cut). */
	enum io (*pull)(struct exchange *exchange, char *buffer, size_t room, size_t *got);
	/* The connection moves to another worker: writes what `unchanged` and `pull` know, for the service's
	 * `thaw`.  Changes nothing; false: it cannot be moved, or not now.  NULL: never, while one of the two
	 * is needed. */
	bool (*freeze)(const struct exchange *exchange, struct record *record);
};

struct exchange {
	struct arena arena;
	struct generation *generation;  /* pinned until the response head is rendered, then NULL */
	struct conn *conn;
	struct engine *engine;
	const char *head;               /* the bytes that request's spans point into */
	struct request request;
	struct str path;                /* decoded and resolved (target.h) */
	union peer client;              /* who is served, behind whatever forwards it: for rules and logs */
	struct quota_places places;     /* the client's, once `placed`; see limits.c */
	bool placed;
	bool secure;                    /* the client speaks https, to us or to what forwards it */
	const struct site *site;        /* NULL: none was found (yet) */
	const struct route *route;      /* the same */
	uint8_t row;                    /* its site's, of what is measured; stays when the site is let go */
	unsigned stage;                 /* the next one on the way to the service, see exchange.c */
	const struct service *service;  /* NULL: the protocol answers itself */
	void *service_state;            /* the service's own */
	struct str user;                /* who it is, once that was verified; absent: nobody in particular */
	struct verification *verifying; /* what it waits for, see auth.c; NULL: nothing */
	struct list verifying_link;
	struct task *task;              /* in the helper thread, see task.h; NULL: none */
	struct timer timer;             /* the service's own; set fire, arm with exchange_timer */
	struct response response;
	struct pace pace;               /* of sending it */
	struct access_log *log;         /* pinned, with its format; NULL: off */
	uint64_t generation_number;     /* of the one that it began under */
	uint64_t instance, number;      /* its name: the engine where it began, and which one it was there */
	uint64_t started_ns;
	bool log_query;                 /* what is said of it may have its query: log.query */
	uint64_t sent_bytes;            /* of the body */
	bool understood;                /* its head was parsed to the end */
	bool answered;
	bool last;                      /* the connection must not go on after it */
	/* Set by the protocol: the response is there; more of a stream's body can be pulled. They only make a
	 * note: the exchange still exists when they return. */
	void (*on_answer)(struct exchange *exchange);
	void (*on_resume)(struct exchange *exchange);
};

/* Makes a zeroed or ended exchange new (its arena keeps a block) and pins the engine's current generation. */
void exchange_begin(struct exchange *exchange, struct conn *conn);

/* Writes into the epitaph that it is under way: the first line of its head, of which `len` bytes are
 * there, without what nobody shall read (secret.h). */
void exchange_say(const struct exchange *exchange, size_t len);

/* The head is rendered: gives the generation back, and with it all that belongs to it (route, settings). */
void exchange_unpin(struct exchange *exchange);

/* Finds site, route and service for the parsed request and starts the service, or fills in the error answer.
 * ANSWERED: response is filled.  ANSWER_LATER: on_answer will be called. */
enum answer exchange_start(struct exchange *exchange);

/* What a stage says that has to wait, or that has filled in the answer itself. */
enum { STAGE_WAITS = 1, STAGE_ANSWERED };

/* Called once for a stage that said STAGE_WAITS, when it is done and nothing speaks against the request
 * (otherwise: exchange_error and exchange_answer): the stages behind it follow. */
void exchange_go_on(struct exchange *exchange);

/* Called by a service that said LATER, once the response is filled. */
void exchange_answer(struct exchange *exchange);

/* Called by a service: more of the body can be pulled. */
void exchange_resume(struct exchange *exchange);

/* Fills in an answer for `status` (400, 404 ...), the site's page or a small readable one, in place of
 * whatever was there. Never fails. */
void exchange_error(struct exchange *exchange, unsigned status);

/* Room for a body of `len` bytes in a buffer of the pool, which the exchange gives back: where it begins;
 * NULL when there is none.  What is written there and is the response's `memory` goes out together with the
 * head, which gets its place in front of it. */
char *exchange_buffer(struct exchange *exchange, size_t len);

/* Lets go of the buffer and of the file, if any. */
void exchange_drop_body(struct exchange *exchange);

/* Fills in a redirect to `location` (in characters of RFC 3986), with a page that leads there. Never
 * fails. */
void exchange_redirect(struct exchange *exchange, unsigned status, const char *location);

/* The rules for its answer: of its route, else of its site; NULL: none. */
const struct rules *exchange_rules(const struct exchange *exchange);

/* Arms the exchange's timer `after_ns` from now. */
void exchange_timer(struct exchange *exchange, uint64_t after_ns);

/* The exchange is over: cancels the service, the timer, drops the task, unpins, closes the file, resets the
 * arena (whoever has the exchange frees it). Harmless on a zeroed one. */
void exchange_end(struct exchange *exchange);

#endif
