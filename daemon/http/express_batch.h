/* The answers of one read on their way to one send: struct express, shared by express.c (whose turn it is),
 * express_batch.c (bytes and what is counted) and express_keep.c (what may be given again). */
#ifndef HTTP_EXPRESS_BATCH_H
#define HTTP_EXPRESS_BATCH_H

#include "exchange.h"
#include "negotiate.h"
#include "parse.h"
#include "ready.h"
#include "response.h"

#include <sys/uio.h>

enum {
	EXPRESS_IN_BYTES = 16 * 1024,
	EXPRESS_OUT_BYTES = 64 * 1024,
	EXPRESS_COPY_BYTES = 8 * 1024,          /* a larger body is sent from where it is */
	EXPRESS_MOST = 32,                      /* answers of a send */
	EXPRESS_HEADERS = 512,                  /* of all their requests; further ones are in the arena */
};

/* What makes a request one for the general way. */
enum {
	EXPRESS_UNUSUAL = 1U << HEADER_EXPECT | 1U << HEADER_IF_MATCH | 1U << HEADER_IF_UNMODIFIED_SINCE |
			  1U << HEADER_IF_RANGE | 1U << HEADER_RANGE,
	EXPRESS_CONDITIONS = 1U << HEADER_IF_NONE_MATCH | 1U << HEADER_IF_MODIFIED_SINCE,
};

/* Of all that is unusual, one If-None-Match, beside which If-Modified-Since says nothing (RFC 9110,
 * 13.1.3). */
static inline bool express_has_tags_only(const struct request *request)
{
	return (request->seen & EXPRESS_UNUSUAL) == 0 && request_saw(request, HEADER_IF_NONE_MATCH) &&
	       !request_saw_again(request, HEADER_IF_NONE_MATCH) &&
	       request->headers[request->first[HEADER_IF_NONE_MATCH]].value.len > 0;
}

/* Its key says all that its answer depends on, if it is a GET or HEAD. */
static inline bool express_is_usual(const struct request *request)
{
	return request->minor == 1 && !request->has_body &&
	       ((request->seen & (EXPRESS_UNUSUAL | EXPRESS_CONDITIONS)) == 0 ||
		express_has_tags_only(request));
}

/* A request and its answer, which was not sent yet. */
struct answered {
	struct request request;
	const char *head;               /* of the request, in `in` */
	size_t head_bytes;
	unsigned status;
	uint8_t row;                    /* its site's */
	size_t out_at, out_len;         /* its part of `out` */
	size_t body_at;                 /* where the body begins in `out`; SIZE_MAX: not in there */
	struct str body;                /* that is sent from where it is, behind that part */
	struct lasting *lasting;        /* pinned, whose that is; NULL: nobody's */
};

/* What is said of the connection in an answer. */
struct fields {
	size_t len;
	char text[RESPONSE_CONNECTION_BYTES];
};

/* A worker's own; between two serves only `ready` and `memo` mean something. */
struct express {
	struct ready_table ready;
	struct negotiate_memo memo;

	struct conn *conn;
	uint64_t generation;
	struct parse_limits limits;
	const char *date;
	uint64_t keep_ns;               /* what `keep` was rendered for */
	uint32_t keep_s;
	struct fields keep, close;
	unsigned requests_left;         /* of this serve's budget */
	size_t bytes_left;

	struct parse parse;             /* of the request that was parsed last */
	const struct request *asked;    /* that is what came of it, if it was */
	bool understood;
	unsigned headers_used;
	unsigned first, count;          /* answered[first..count) are not sent */
	size_t taken;                   /* bytes of the first of them that were */
	struct iovec pieces[2 * EXPRESS_MOST];
	unsigned piece_count;
	size_t piece_at;                /* what lies behind it in `out` is in no piece yet */
	size_t out_len;
	size_t in_len;
	struct exchange exchange;       /* for epitaph and access log: what they look at is filled in */
	struct arena arena;             /* for headers beyond `headers` */
	struct answered answered[EXPRESS_MOST];
	struct header headers[EXPRESS_HEADERS];
	char in[EXPRESS_IN_BYTES];
	char out[EXPRESS_OUT_BYTES];
};

/* Renders what is said of connections that are kept for `keep_ns`, and of others. */
void batch_render_fields(struct express *express, uint64_t keep_ns);

static inline void batch_fields(struct express *express, uint64_t keep_ns)
{
	if (express->keep_ns != keep_ns || express->close.len == 0)
		batch_render_fields(express, keep_ns);
}

/* The key of a usual request. */
static inline struct ready_key express_key(struct express *express, const struct request *request,
					   const char *head)
{
	struct ready_key key = {
		.authority = span_str(request->authority, head),
		.target = span_str(request->target, head),
		.codings = negotiate_remember(&express->memo, request, head),
	};

	if (request_saw(request, HEADER_IF_NONE_MATCH))
		key.condition = span_str(request->headers[request->first[HEADER_IF_NONE_MATCH]].value, head);
	return key;
}

/* Nothing is there yet. */
void batch_begin(struct express *express);

/* Appends the answer for the request in answered[count], which then counts. The batch must not be full. */
void batch_add(struct express *express, const struct ready_terms *terms);

/* It has no room for another answer of any kind. */
bool batch_is_full(const struct express *express);

/* Sends it; every request whose answer was taken whole counts, and has its line in the log. IO_OK: that is
 * all of them, and the batch is empty. Else the others are left. */
enum io batch_send(struct express *express);

/* What is left is given up here. */
void batch_drop(struct express *express);

#endif
