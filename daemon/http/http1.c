/* http1.c - the protocol HTTP/1.1 (RFC 9112) on one connection: whose turn it is, and how it ends.
 *
 * Called by the engine through protocol_http1. A connection that is idle has no state at all. Fails by
 * closing the one connection: out of memory (counted), broken, or too slow. */
#include "http1.h"

#include "access_log.h"
#include "express.h"
#include "http1_state.h"
#include "refusal.h"
#include "route.h"
#include "slow_note.h"

#include "base/clock.h"
#include "base/must.h"
#include "ipc/metrics.h"

enum {
	EXCHANGES_A_TURN = 16,
	BYTES_A_TURN = 512 * 1024,
	SCRATCH_BYTES = 16 * 1024,
};

/* A client that still sends behind its last answer may be busy with that, and read only then. */
#define LINGER_PAUSE_NS (2 * CLOCK_S)
#define LINGER_NS (30 * CLOCK_S)

/* The longest pause in a body that nobody waits for. */
#define BODY_PAUSE_NS CLOCK_S

/* ---- the state and its timer ------------------------------------------------------------------------ */

enum step http1_no_memory(struct http1 *http)
{
	engine_count(conn_engine(http->conn), COUNT_OUT_OF_MEMORY);
	return STEP_CLOSE;
}

struct http1 *http1_new(struct conn *conn)
{
	struct http1 *http = slab_alloc(&conn_engine(conn)->states);

	must(conn->state == NULL);
	if (http == NULL) {
		engine_count(conn_engine(conn), COUNT_OUT_OF_MEMORY);
		return NULL;
	}
	*http = (struct http1){ .conn = conn };
	conn_works(conn);
	conn->state = http;
	return http;
}

static void release_out(struct http1 *http)
{
	pool_put(&conn_engine(http->conn)->pool, http->out, http->out_size);
	http->out = NULL;
	http->out_size = http->out_len = http->out_at = 0;
}

static void release_buffers(struct http1 *http)
{
	release_out(http);
	pool_put(&conn_engine(http->conn)->pool, http->in, http->in_size);
	http->in = NULL;
	http->in_size = http->in_len = http->in_at = 0;
}

void http1_free(struct http1 *http)
{
	struct conn *conn = http->conn;

	exchange_end(&http->exchange);
	arena_free(&http->exchange.arena);
	release_buffers(http);
	slab_release(&conn_engine(conn)->states, http);
	conn->state = NULL;
}

static void say_stage(const struct http1 *http)
{
	static const enum epitaph_phase phases[STAGES] = {
		[STAGE_HEAD] = PHASE_READING,    [STAGE_BODY] = PHASE_BODY,
		[STAGE_WAITING] = PHASE_SERVICE, [STAGE_SENDING] = PHASE_SENDING,
		[STAGE_LINGER] = PHASE_LEAVING,
	};

	epitaph_phase(conn_engine(http->conn)->epitaph, phases[http->stage]);
}

void http1_say_request(const struct http1 *http)
{
	const struct exchange *exchange = &http->exchange;
	size_t at = (size_t)(exchange->head - http->in);

	if (http->begun && at < http->in_len)
		exchange_say(exchange, http->in_len - at);
}

void http1_enter(struct http1 *http, enum stage stage)
{
	http->stage = stage;
	say_stage(http);
	conn_timer(http->conn, 0);
}

static void arm_if_not(struct conn *conn, uint64_t after_ns)
{
	if (!timer_armed_lean(&conn->timer))
		conn_timer(conn, after_ns);
}

/* How long a connection may be idle. A new one must send a request, an old one may. What the client was told
 * stands even when the current generation says less, and is shorter than what counts, or its next request
 * would cross our FIN. */
static uint64_t idle_ns(const struct conn *conn)
{
	const struct config *config = conn_engine(conn)->generation->config;
	const struct listener_rules *rules = conn->listener->rules;
	uint64_t keep_ns, promised_ns = conn->promised_s * CLOCK_S;

	if (conn->served == 0)
		return http1_own_or(rules->request_head_ns, config->request_head_ns);
	keep_ns = http1_own_or(rules->keep_alive_ns, config->keep_alive_ns);
	return (keep_ns > promised_ns ? keep_ns : promised_ns) + config->keep_alive_grace_ns;
}

static void arm_idle(struct conn *conn)
{
	uint64_t due = conn->since_ns + idle_ns(conn), now = conn_engine(conn)->loop->now_ns;

	conn_timer(conn, due > now ? due - now : 1);
}

static uint64_t unsent(const struct conn *conn)
{
	return conn_transport(conn)->unsent != NULL ? conn_transport(conn)->unsent(conn) : 0;
}

/* Its timer was armed for an earlier end. */
static bool is_early(struct conn *conn)
{
	if (conn_engine(conn)->loop->now_ns >= conn->since_ns + idle_ns(conn))
		return false;
	arm_idle(conn);
	return true;
}

/* A slow client may have got the end of the last answer long after we gave it to the socket: its time begins
 * when the last byte has left. Until then it has to take some, as during the answer. */
static bool is_idle_for_less(struct conn *conn)
{
	uint64_t idle = conn_engine(conn)->loop->now_ns - conn->since_ns, allowed = idle_ns(conn);
	uint64_t quiet = conn_transport(conn)->quiet_ns != NULL ? conn_transport(conn)->quiet_ns(conn) : idle;

	if (conn->served == 0)
		return false;
	if (unsent(conn) > 0)
		allowed += http1_own_or(conn->listener->rules->send_ns,
					conn_engine(conn)->generation->config->send_ns);
	if (quiet < idle)
		idle = quiet;
	if (idle >= allowed)
		return false;
	conn_timer(conn, allowed - idle);
	return true;
}

/* ---- the end of a connection ------------------------------------------------------------------------ */

/* Closing while the client may still be sending would reset the connection, and the reset would destroy the
 * answer in the client's buffer (RFC 9112, 9.6): we say that no more comes and read on until the client has
 * seen it. */
void http1_linger(struct http1 *http)
{
	exchange_end(&http->exchange);
	http->begun = false;
	release_buffers(http);
	http1_enter(http, STAGE_LINGER);
	http->until_ns = conn_engine(http->conn)->loop->now_ns + LINGER_NS;
	conn_leaves(http->conn);
	if (!http->conn->ended)
		conn_transport(http->conn)->shutdown(http->conn);
}

static enum step stage_linger(struct http1 *http)
{
	char scratch[SCRATCH_BYTES];
	size_t got;
	enum io io;

	if (!http->conn->readable)
		return STEP_WAIT;
	/* no timer, while it always sends */
	if (conn_engine(http->conn)->loop->now_ns >= http->until_ns)
		return STEP_CLOSE;
	io = conn_transport(http->conn)->recv(http->conn, scratch, sizeof(scratch), &got);
	if (io != IO_OK)
		return io == IO_AGAIN ? STEP_WAIT : STEP_CLOSE;
	http->bytes_left -= got < http->bytes_left ? got : http->bytes_left;
	return STEP_ON;
}

/* True when the client has said that it sends no more, and nothing speaks against it: behind a body, old ones
 * send a CR LF that nobody asked for (RFC 9112, 2.2). */
static bool client_is_done(const struct http1 *http)
{
	const struct request *request = &http->exchange.request;

	return !http->failed && !request->keep_alive && !request->has_body && http->in_at == http->in_len &&
	       !http->conn->readable;
}

/* ---- a request ---------------------------------------------------------------------------------------- */

/* By the bounds of this server; what is too large is no nonsense. */
static void count_refusal(struct engine *engine, unsigned status, enum parse_wrong wrong)
{
	if (status == 413)
		return;
	engine_count(engine, COUNT_PARSE_ERRORS);
	if (wrong != WRONG_NOTHING)
		engine_count(engine, COUNT_WRONG_LINE + (enum counter)(wrong - WRONG_LINE));
}

enum step http1_refuse(struct http1 *http, unsigned status, enum parse_wrong wrong)
{
	http->failed = true;
	count_refusal(conn_engine(http->conn), status, wrong);
	exchange_error(&http->exchange, status);
	return http1_answer(http);
}

enum step http1_start(struct http1 *http)
{
	struct exchange *exchange = &http->exchange;

	http1_enter(http, STAGE_WAITING);
	if (exchange_start(exchange) == ANSWERED)
		exchange->answered = true;
	return STEP_ON;
}

static enum step stage_waiting(struct http1 *http)
{
	if (http->exchange.answered)
		return http1_answer(http);
	return http->conn->broken ? STEP_CLOSE : STEP_WAIT;
}

static __attribute__((noinline)) void note_slow(const struct http1 *http, uint64_t duration_ns)
{
	slow_note(&http->exchange, &(struct slow_outcome){ duration_ns, http->answered_ns, http->sent });
}

/* The answer is over, or was given up: it is measured, and has its line in the log. */
static void record(struct http1 *http)
{
	struct exchange *exchange = &http->exchange;
	struct engine *engine = exchange->engine;
	uint64_t now_ns = loop_clock(engine->loop), duration_ns = now_ns - exchange->started_ns;

	epitaph_phase(engine->epitaph, PHASE_LOGGING);
	if (engine->metrics != NULL)
		tally_answer(&engine->metrics->site[exchange->row], exchange->response.status, http->sent,
			     duration_ns);
	if (duration_ns >= engine->slow_ns)
		note_slow(http, duration_ns);
	if (exchange->log != NULL)
		access_log_exchange(exchange, now_ns);
}

static enum step finish_exchange(struct http1 *http)
{
	bool done = client_is_done(http);

	record(http);
	epitaph_answered(conn_engine(http->conn)->epitaph);
	http->conn->served++;
	if (!http->keep && !done)
		return http1_linger(http), STEP_ON;
	exchange_end(&http->exchange);
	http->begun = false;
	release_out(http);
	http1_enter(http, STAGE_HEAD);
	return http->keep ? STEP_ON : STEP_CLOSE;
}

static enum step stage_sending(struct http1 *http)
{
	enum step step = http1_send(http);

	return step == STEP_ON && http1_sent(http) ? finish_exchange(http) : step;
}

/* ---- a serve ------------------------------------------------------------------------------------------ */

static enum step (*const stages[STAGES])(struct http1 *) = {
	[STAGE_HEAD] = http1_head,       [STAGE_BODY] = http1_body,     [STAGE_WAITING] = stage_waiting,
	[STAGE_SENDING] = stage_sending, [STAGE_LINGER] = stage_linger,
};

static enum step work(struct http1 *http)
{
	enum step step;

	http->exchanges_left = EXCHANGES_A_TURN;
	http->bytes_left = BYTES_A_TURN;
	say_stage(http);
	if (http->begun)                /* what was done last was perhaps another's */
		http1_say_request(http);
	do
		step = stages[http->stage](http);
	while (step == STEP_ON && http->exchanges_left > 0 && http->bytes_left > 0);
	return step;
}

/* A timer that would fire too early is left as it is: then it is armed anew, once for many requests. */
void http1_idles(struct conn *conn, bool worked)
{
	bool armed = timer_armed_lean(&conn->timer);

	conn_idles(conn);
	if (!worked && armed)           /* no byte came: the deadline stands */
		return;
	conn->since_ns = conn_engine(conn)->loop->now_ns;
	if (!armed || conn->timer.due_ns > conn->since_ns + idle_ns(conn))
		arm_idle(conn);
}

static void wait_idle(struct http1 *http)
{
	struct conn *conn = http->conn;

	http1_free(http);
	http1_idles(conn, !timer_armed_lean(&conn->timer));
}

/* How much of the answer the client itself has, less what it has not of those before: may be below zero.
 * What is in the socket's buffer may stay there for ever, and a large buffer says that it has room much later
 * than a slow client takes something. */
static uint64_t taken(const struct http1 *http)
{
	return http->sent - unsent(http->conn);
}

static void watch_taking(struct http1 *http, bool full)
{
	http->full = full;
	http->taken_mark = taken(http);
	conn_timer(http->conn, http->send_ns);
}

/* The send timer fired: has the client taken something since it was armed, and enough? */
static bool is_taking(const struct http1 *http)
{
	uint64_t rate = http->full ? http->min_rate : 0;
	uint64_t enough = rate * (http->send_ns / CLOCK_MS) / (CLOCK_S / CLOCK_MS);

	return (int64_t)(taken(http) - http->taken_mark) >= (int64_t)(enough > 0 ? enough : 1);
}

/* Something is on its way to the client. Of unix sockets nobody knows how much: the kernel counts what memory
 * that takes (unix(7), SIOCOUTQ). */
static bool is_owed_bytes(const struct conn *conn)
{
	return conn_peer(conn).family != AF_UNIX && unsent(conn) > 0;
}

/* The client has to take bytes. While the socket has room it is the service that is slow, or a limit: then no
 * deadline runs for a client that has all that was sent, and who has not has to take no more than some of
 * it. */
static void wait_to_send(struct http1 *http)
{
	struct conn *conn = http->conn;
	bool full = !conn->writable;

	if (timer_armed_lean(&conn->timer) && http->full == full)
		return;
	if (full || is_owed_bytes(conn))
		watch_taking(http, full);
	else
		conn_timer(conn, 0);
}

/* The next byte, or the end of it all. */
static void wait_for_more(struct http1 *http, uint64_t pause_ns)
{
	struct conn *conn = http->conn;
	uint64_t now = conn_engine(conn)->loop->now_ns;
	uint64_t left = http->until_ns > now ? http->until_ns - now : 1;

	conn_timer(conn, left < pause_ns ? left : pause_ns);
}

/* A client that goes on sending does not hold up a server that leaves. */
static void wait_for_the_end(struct http1 *http)
{
	if (conn_engine(http->conn)->draining)
		arm_if_not(http->conn, LINGER_PAUSE_NS);
	else
		wait_for_more(http, LINGER_PAUSE_NS);
}

/* Nothing can be done before the next event: arms what limits that. */
static enum served settle(struct http1 *http)
{
	struct conn *conn = http->conn;

	if (http->stage == STAGE_LINGER)
		wait_for_the_end(http);
	else if (http->stage == STAGE_BODY)
		wait_for_more(http, BODY_PAUSE_NS);
	else if (http->stage == STAGE_SENDING)
		wait_to_send(http);
	else if (http->stage == STAGE_HEAD && http->begun)
		arm_if_not(conn, http->head_ns);
	else if (http->stage == STAGE_HEAD)
		wait_idle(http);
	return SERVED_WAIT;
}

/* Nothing is owed to the client. */
static bool is_idle(const struct http1 *http)
{
	return http->stage == STAGE_HEAD && !http->begun && http->in_at == http->in_len;
}

/* `is_spare`: when it is idle, it is closed. */
static enum served outcome(struct http1 *http, enum step step, bool is_spare)
{
	if (step == STEP_WAIT && is_spare && is_idle(http)) {
		http1_linger(http);
		step = work(http);
	}
	if (step == STEP_CLOSE)
		return SERVED_CLOSE;
	return step == STEP_ON ? SERVED_MORE : settle(http);
}

enum served http1_run(struct http1 *http)
{
	enum step step = work(http);

	return outcome(http, step, conn_is_spare(http->conn));
}

/* ---- the protocol ------------------------------------------------------------------------------------- */

static void http1_open(struct conn *conn)
{
	arm_idle(conn);
}

static enum served http1_ready(struct conn *conn)
{
	struct http1 *http = conn->state;

	if (http == NULL && !conn->readable)
		return SERVED_WAIT;
	return http == NULL ? express_ready(conn) : http1_run(http);
}

/* A head that did not come gets 408; the answer does not wait for a body that nobody wants. */
static enum served answer_timeout(struct http1 *http)
{
	enum step step;

	if (http->stage == STAGE_BODY) {
		step = http1_end_body(http);
	} else {
		http->failed = true;
		exchange_error(&http->exchange, 408);
		step = http1_answer(http);
	}
	return step == STEP_CLOSE ? SERVED_CLOSE : http1_run(http);
}

/* Of who is idle, or sees no end, nothing was expected: these are in no sum. */
static void count_timeout(struct conn *conn, enum counter kind)
{
	engine_count(conn_engine(conn), kind);
	if (kind != COUNT_TIMEOUT_IDLE && kind != COUNT_TIMEOUT_LEAVING)
		engine_count(conn_engine(conn), COUNT_TIMEOUTS);
}

/* What its timer was armed for. */
static enum counter timeout_of(const struct http1 *http)
{
	static const enum counter kinds[STAGES] = {
		[STAGE_HEAD] = COUNT_TIMEOUT_HEAD,    [STAGE_BODY] = COUNT_TIMEOUT_BODY,
		[STAGE_WAITING] = COUNT_TIMEOUT_SEND, [STAGE_SENDING] = COUNT_TIMEOUT_SEND,
		[STAGE_LINGER] = COUNT_TIMEOUT_LEAVING,
	};

	if (http->stage == STAGE_SENDING && taken(http) != http->taken_mark)
		return COUNT_TIMEOUT_RATE;
	return kinds[http->stage];
}

/* After a last look: a request that came meanwhile, while the loop was busy, is served, and the connection
 * stays. */
static enum served end_idle(struct conn *conn)
{
	uint32_t served = conn->served;
	struct http1 *http;
	enum step step;

	if (is_early(conn) || is_idle_for_less(conn))
		return SERVED_WAIT;
	http = http1_new(conn);
	if (http == NULL)
		return SERVED_CLOSE;
	conn->readable = true;
	step = work(http);
	/* an old one may send a request, a new one has to */
	if (step == STEP_WAIT && is_idle(http) && conn->served == served)
		count_timeout(conn, served == 0 ? COUNT_TIMEOUT_SILENT : COUNT_TIMEOUT_IDLE);
	return outcome(http, step, conn->served == served);
}

static enum served http1_timeout(struct conn *conn)
{
	struct http1 *http = conn->state;

	if (http == NULL)
		return end_idle(conn);
	if (http->stage == STAGE_SENDING && is_taking(http)) {
		wait_to_send(http);
		return SERVED_WAIT;
	}
	count_timeout(conn, timeout_of(http));
	if (http->stage == STAGE_BODY || (http->stage == STAGE_HEAD && http->begun))
		return answer_timeout(http);
	return SERVED_CLOSE;
}

/* What an answer waits for may not be wanted any more. */
static enum served http1_adopt(struct conn *conn)
{
	const struct http1 *http = conn->state;

	if (http == NULL)
		arm_idle(conn);
	else if (timer_armed(&http->exchange.pace.timer))
		conn_wake(conn);
	return SERVED_WAIT;
}

/* An idle connection is looked at once more: a request that came meanwhile is still answered. */
static enum served http1_drain(struct conn *conn, bool close_idle)
{
	if (!close_idle || conn->state != NULL)
		return SERVED_WAIT;
	conn->readable = true;
	return http1_ready(conn);
}

static void http1_close(struct conn *conn)
{
	struct http1 *http = conn->state;

	if (http == NULL)
		return;
	if (http->stage == STAGE_SENDING) {     /* cut in the middle: the line says how much was sent */
		conn->reset = true;
		record(http);
	}
	http1_free(http);
}

static enum doing http1_doing(const struct conn *conn)
{
	static const enum doing doings[STAGES] = {
		[STAGE_HEAD] = DOING_HEAD,       [STAGE_BODY] = DOING_HEAD,
		[STAGE_WAITING] = DOING_WAITING, [STAGE_SENDING] = DOING_SENDING,
		[STAGE_LINGER] = DOING_LEAVING,
	};
	const struct http1 *http = conn->state;

	return http == NULL || is_idle(http) ? DOING_IDLE : doings[http->stage];
}

const struct protocol protocol_http1 = {
	.name = "http1",
	.state_bytes = sizeof(struct http1),
	.prepare = route_prepare,
	.open = http1_open,
	.ready = http1_ready,
	.timeout = http1_timeout,
	.adopt = http1_adopt,
	.drain = http1_drain,
	.freeze = http1_freeze,
	.thaw = http1_thaw,
	.moved = http1_moved,
	.close = http1_close,
	.doing = http1_doing,
	.account = http1_account,
	.forget = express_forget,
	.refusal = &protocol_refusal,
};
