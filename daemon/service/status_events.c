/* status_events.c - streams of server-sent events (WHATWG HTML, 9.2).
 *
 * Called by status.c, and by the protocol through the response. All streams of an interval tick in the
 * same turn, so that the document is made once for all; only the events are each one's own. A client that
 * is slower than that gets the newest one when it has taken the one before. While a stream waits it can
 * move to another worker; one that cannot ends when its worker leaves, and its client comes again
 * (EventSource does). Fails by a tick that is left out, when out of memory. */
#include "status_events.h"

#include "status_desk.h"
#include "status_json.h"

#include "base/clock.h"
#include "http/exchange.h"

#include <stdlib.h>

/* Whether the worker leaves is looked at more often than most intervals are long. */
#define LOOK_NS (200 * CLOCK_MS)

/* What another worker may say of an interval. */
#define INTERVAL_LEAST_NS (100 * CLOCK_MS)
#define INTERVAL_MOST_NS (60 * CLOCK_S)

enum { PIECES = 2 };

struct stream {
	struct status_wait wait;
	struct exchange *exchange;
	struct status_text *document;   /* pinned while it is being sent; NULL: none */
	struct status_text *events;     /* what comes behind it */
	struct str left[PIECES];        /* of both */
	uint64_t last_id;               /* of the events that were sent */
	uint64_t interval_ns, due_ns;
	bool ended;
};

static struct stream *stream_of(const struct exchange *exchange)
{
	return exchange->response.source;
}

/* ---- a message ----------------------------------------------------------------------------------- */

static void let_go(struct status_text **text)
{
	if (*text != NULL)
		lasting_unpin(&(*text)->lasting);
	*text = NULL;
}

static bool is_sent(const struct stream *stream)
{
	return stream->left[0].len + stream->left[1].len == 0;
}

/* The events that are new to this client end the document; what its number is makes the message whole. */
static void write_events(struct stream *stream)
{
	struct status_text *out = stream->events;
	uint64_t last_id;

	status_text_empty(out);
	last_id = status_json_events(stream->exchange->engine->board, stream->last_id, out);
	if (last_id > 0) {
		status_text_add(out, "id: ");
		status_text_count(out, last_id);
		status_text_add(out, "\n");
	}
	status_text_add(out, "\n");
	if (!out->bad)                  /* else they are told the next time */
		stream->last_id = last_id;
}

static void told(struct status_wait *wait, struct status_text *document)
{
	struct stream *stream = LIST_ENTRY(wait, struct stream, wait);

	if (stream->events == NULL)
		stream->events = status_text_new();
	if (document == NULL || stream->events == NULL)
		return;
	write_events(stream);
	if (stream->events->bad)
		return;
	lasting_pin(&document->lasting);
	stream->document = document;
	stream->left[0] = (struct str){ document->at, document->len };
	stream->left[1] = (struct str){ stream->events->at, stream->events->len };
	exchange_resume(stream->exchange);
}

static void ask(struct stream *stream)
{
	struct status_text *document;
	bool failed;

	stream->wait.told = told;
	document = status_desk_ask(stream->exchange->engine, STATUS_STREAM, &stream->wait, &failed);
	if (document != NULL)
		told(&stream->wait, document);
}

/* ---- the body ------------------------------------------------------------------------------------ */

static enum io pull(struct exchange *exchange, char *buffer, size_t room, size_t *got)
{
	struct stream *stream = stream_of(exchange);

	*got = 0;
	for (unsigned i = 0; i < PIECES; i++) {
		size_t len = stream->left[i].len < room - *got ? stream->left[i].len : room - *got;

		if (len == 0)
			continue;
		memcpy(buffer + *got, stream->left[i].at, len);
		str_take(&stream->left[i], len);
		*got += len;
	}
	if (is_sent(stream))
		let_go(&stream->document);
	if (*got > 0)
		return IO_OK;
	return stream->ended ? IO_EOF : IO_AGAIN;
}

/* In the middle of a message it stays where it is. */
static bool freeze(const struct exchange *exchange, struct record *record)
{
	struct stream copy = *stream_of(exchange);

	record_u64(record, &copy.last_id);
	record_u64(record, &copy.interval_ns);
	return is_sent(&copy) && !copy.ended && !record->bad;
}

/* ---- ticks --------------------------------------------------------------------------------------- */

static void arm(struct stream *stream)
{
	uint64_t now_ns = stream->exchange->engine->loop->now_ns, left_ns = stream->due_ns - now_ns;

	exchange_timer(stream->exchange, left_ns < LOOK_NS ? left_ns : LOOK_NS);
}

static bool is_leaving(const struct engine *engine)
{
	return engine->draining || engine->out_of_service;
}

static void fire(struct timer *timer, uint64_t now_ns)
{
	struct exchange *exchange = LIST_ENTRY(timer, struct exchange, timer);
	struct stream *stream = stream_of(exchange);

	if (is_leaving(exchange->engine)) {
		stream->ended = true;
		list_remove(&stream->wait.link);
		exchange_resume(exchange);
		return;
	}
	now_ns = exchange->engine->loop->now_ns;
	if (now_ns >= stream->due_ns) {
		stream->due_ns = (now_ns / stream->interval_ns + 1) * stream->interval_ns;
		if (is_sent(stream) && !list_linked(&stream->wait.link))
			ask(stream);
	}
	arm(stream);
}

/* Its first tick comes at once. */
static bool begin(struct exchange *exchange, const struct stream *as)
{
	unsigned *streams = status_desk_streams(exchange->engine);
	struct stream *stream = arena_alloc(&exchange->arena, sizeof(*stream));

	if (streams == NULL || stream == NULL)
		return false;
	*stream = *as;
	stream->exchange = exchange;
	stream->due_ns = exchange->engine->loop->now_ns;
	exchange->response.source = stream;
	exchange->response.pull = pull;
	exchange->response.freeze = freeze;
	exchange->timer.fire = fire;
	arm(stream);
	++*streams;
	return true;
}

void status_events_cancel(struct exchange *exchange)
{
	struct stream *stream = stream_of(exchange);

	list_remove(&stream->wait.link);
	let_go(&stream->document);
	let_go(&stream->events);
	--*status_desk_streams(exchange->engine);
}

bool status_events_thaw(struct exchange *exchange, struct record *record)
{
	struct stream stream = { 0 };

	record_u64(record, &stream.last_id);
	record_u64(record, &stream.interval_ns);
	if (record->bad || stream.interval_ns < INTERVAL_LEAST_NS || stream.interval_ns > INTERVAL_MOST_NS)
		return false;
	return begin(exchange, &stream);
}

/* ---- the answer ---------------------------------------------------------------------------------- */

/* A client that comes again says which event it has seen last; one of before a restart says nothing. */
static uint64_t last_seen(const struct exchange *exchange)
{
	const struct request *request = &exchange->request;
	const struct board *board = exchange->engine->board;
	uint64_t id;

	for (unsigned i = 0; i < request->header_count && board != NULL; i++) {
		const struct header *header = &request->headers[i];

		if (str_equal_nocase(span_str(header->name, exchange->head), str_of("last-event-id")) &&
		    str_to_u64(span_str(header->value, exchange->head), &id) && id <= board->events.last)
			return id;
	}
	return 0;
}

enum answer status_events_answer(struct exchange *exchange, const struct status_settings *settings)
{
	const unsigned *streams = status_desk_streams(exchange->engine);
	struct stream stream = { .interval_ns = settings->interval_ns, .last_id = last_seen(exchange) };
	bool is_head = exchange->request.method == METHOD_HEAD;

	if (streams == NULL || *streams >= settings->streams) {
		exchange_error(exchange, streams == NULL ? 500 : 503);
		return ANSWERED;
	}
	exchange->response = (struct response){
		.status = 200,
		.content_type = str_of("text/event-stream"),
		.vary = str_of("Accept"),
		.extra = str_of(STATUS_FIELDS "X-Accel-Buffering: no\r\n"),
		.body = BODY_STREAM,
		.file_fd = -1,
	};
	if (!is_head && !begin(exchange, &stream))
		exchange_error(exchange, 500);
	return ANSWERED;
}
