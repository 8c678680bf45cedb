/* express_batch.c - the answers of one read, put together and sent.
 *
 * Called by express.c. Fails with what the transport says. */
#include "express_batch.h"

#include "access_log.h"
#include "http1_state.h"
#include "response.h"
#include "slow_note.h"

#include "base/clock.h"
#include "base/put.h"
#include "ipc/metrics.h"

enum { DATE_LEN = DATE_BYTES - 1 };

static void render_fields(struct fields *fields, bool keep_alive, unsigned keep_alive_s)
{
	struct framing framing = { .keep_alive = keep_alive, .keep_alive_s = keep_alive_s };

	fields->len = response_connection(framing, fields->text);
}

void batch_render_fields(struct express *express, uint64_t keep_ns)
{
	uint32_t keep_s = (uint32_t)(keep_ns / CLOCK_S);

	express->keep_ns = keep_ns;
	express->keep_s = keep_s;
	render_fields(&express->keep, true, keep_s);
	render_fields(&express->close, false, keep_s);
}

void batch_begin(struct express *express)
{
	express->first = express->count = 0;
	express->piece_count = 0;
	express->out_len = express->piece_at = 0;
	express->headers_used = 0;
}

/* ---- an answer --------------------------------------------------------------------------------------- */

/* The head says something else of this connection. */
static char *put_other_head(const struct fields *fields, const struct ready_terms *terms, char *out)
{
	size_t behind = terms->fields_at + terms->fields_len;

	out = put(out, (struct str){ terms->head.at, terms->fields_at });
	out = put(out, (struct str){ fields->text, fields->len });
	return put(out, (struct str){ terms->head.at + behind, terms->head.len - behind });
}

static char *put_head(const struct express *express, const struct ready_terms *terms, bool keep_alive,
		      char *out)
{
	char *end;

	if (keep_alive && terms->keep_s == express->keep_s)
		end = put(out, terms->head);
	else
		end = put_other_head(keep_alive ? &express->keep : &express->close, terms, out);
	memcpy(out + terms->date_at, express->date, DATE_LEN);
	return end;
}

/* What was put into `out` since the last piece is one; and a body from elsewhere, if any, is the next. */
static void end_piece(struct express *express, struct str body)
{
	struct iovec *next = &express->pieces[express->piece_count];
	size_t len = express->out_len - express->piece_at;

	if (len > 0)
		*next++ = (struct iovec){ express->out + express->piece_at, len };
	if (body.len > 0)
		*next++ = (struct iovec){ (char *)body.at, body.len };
	express->piece_count = (unsigned)(next - express->pieces);
	express->piece_at = express->out_len;
}

static void add_body(struct express *express, struct answered *answered, const struct ready_terms *terms,
		     char *end)
{
	bool copied = !terms->body_lasts || terms->body.len <= EXPRESS_COPY_BYTES;

	answered->body_at = SIZE_MAX;
	answered->body = (struct str){ 0 };
	answered->lasting = NULL;
	if (answered->request.method == METHOD_HEAD || terms->body.len == 0)
		return;
	if (copied) {
		answered->body_at = (size_t)(end - express->out);
		memcpy(end, terms->body.at, terms->body.len);
		answered->out_len += terms->body.len;
		return;
	}
	answered->body = terms->body;
	answered->lasting = lasting_pin(terms->lasting);
}

void batch_add(struct express *express, const struct ready_terms *terms)
{
	struct answered *answered = &express->answered[express->count++];
	char *begin = express->out + express->out_len;
	char *end = put_head(express, terms, answered->request.keep_alive, begin);

	answered->status = terms->status;
	answered->row = terms->row;
	answered->out_at = express->out_len;
	answered->out_len = (size_t)(end - begin);
	add_body(express, answered, terms, end);
	express->out_len += answered->out_len;
	if (answered->body.len > 0)
		end_piece(express, answered->body);
	express->headers_used += answered->request.header_count;
	if (express->headers_used > EXPRESS_HEADERS)
		express->headers_used = EXPRESS_HEADERS;
}

bool batch_is_full(const struct express *express)
{
	return express->count == EXPRESS_MOST || sizeof(express->out) - express->out_len <
		READY_ANSWER_BYTES + EXPRESS_COPY_BYTES + RESPONSE_CONNECTION_BYTES;
}

/* ---- sending ----------------------------------------------------------------------------------------- */

/* The exchange is this one's, for whoever writes of it. */
static void outline(struct express *express, const struct answered *answered)
{
	struct exchange *exchange = &express->exchange;
	const struct conn *conn = express->conn;

	exchange->conn = express->conn;
	exchange->client = conn_client(conn);
	exchange->instance = exchange->engine->instance;
	exchange->number = exchange->engine->exchanges;
	exchange->generation_number = express->generation;
	exchange->understood = true;
	exchange->head = answered->head;
	exchange->request = answered->request;
	exchange->response.status = answered->status;
	exchange->sent_bytes = answered->body.len;
	if (answered->body_at != SIZE_MAX)
		exchange->sent_bytes = answered->out_at + answered->out_len - answered->body_at;
}

static void log_one(struct express *express, const struct answered *answered, uint64_t now_ns)
{
	epitaph_phase(express->exchange.engine->epitaph, PHASE_LOGGING);
	outline(express, answered);
	access_log_exchange(&express->exchange, now_ns);
}

static __attribute__((noinline)) void note_slow(struct express *express, const struct answered *answered,
						uint64_t duration_ns)
{
	struct slow_outcome outcome = { .duration_ns = duration_ns,
					.bytes = answered->out_len + answered->body.len };

	outline(express, answered);
	slow_note(&express->exchange, &outcome);
}

static void finish_one(struct express *express, struct answered *answered, uint64_t now_ns)
{
	struct conn *conn = express->conn;
	struct engine *engine = conn_engine(conn);

	uint64_t duration_ns = now_ns - express->exchange.started_ns;
	size_t bytes = answered->out_len + answered->body.len;

	if (engine->metrics != NULL)
		tally_answer(&engine->metrics->site[answered->row], answered->status, bytes, duration_ns);
	if (duration_ns >= engine->slow_ns)
		note_slow(express, answered, duration_ns);
	engine_count(engine, COUNT_REQUESTS);
	engine_count(engine, COUNT_READY_ANSWERS);
	http1_count_status(engine, answered->status);
	engine->exchanges++;
	conn->served++;
	if (express->exchange.log != NULL)
		log_one(express, answered, now_ns);
	lasting_unpin(answered->lasting);
	answered->lasting = NULL;
}

/* So many bytes were taken. Returns how many of them are of the first answer that was not taken whole. */
static size_t finish(struct express *express, size_t sent)
{
	uint64_t now_ns = loop_clock(conn_engine(express->conn)->loop);

	for (; express->first < express->count; express->first++) {
		struct answered *answered = &express->answered[express->first];
		size_t len = answered->out_len + answered->body.len;

		if (sent < len)
			break;
		sent -= len;
		finish_one(express, answered, now_ns);
	}
	return sent;
}

enum io batch_send(struct express *express)
{
	struct conn *conn = express->conn;
	struct engine *engine = conn_engine(conn);
	size_t sent = 0;
	enum io io;

	if (express->count == 0)
		return IO_OK;
	epitaph_phase(engine->epitaph, PHASE_SENDING);
	end_piece(express, (struct str){ 0 });
	io = conn_transport(conn)->writev(conn, express->pieces, (int)express->piece_count, false, &sent);
	if (io != IO_OK)
		sent = 0;
	conn_promise(conn, express->keep_s);
	engine->counters[COUNT_BYTES_SENT] += sent;
	express->bytes_left -= sent < express->bytes_left ? sent : express->bytes_left;
	express->taken = finish(express, sent);
	if (express->first < express->count)
		return io != IO_OK ? io : IO_AGAIN;
	epitaph_answered(engine->epitaph);
	batch_begin(express);
	return IO_OK;
}

void batch_drop(struct express *express)
{
	for (unsigned i = express->first; i < express->count; i++)
		lasting_unpin(express->answered[i].lasting);
	express->first = express->count;
}
