/* conn.c - the connection engine: from the accepted socket to the end of the turn in which it was closed.
 *
 * Called by the worker (engine_*) and by protocols (conn_*).  What fails costs the one connection that it is
 * about, and is counted. */
#include "conn.h"

#include "clients.h"
#include "move.h"
#include "proxy.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { CONN_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP };

_Static_assert(sizeof(union peer) == EPITAPH_CLIENT_BYTES, "a client fits exactly");

const char *const counter_names[COUNTERS] = {
	[COUNT_ACCEPTED] = "accepted",
	[COUNT_OPEN] = "open",
	[COUNT_REQUESTS] = "requests",
	[COUNT_BYTES_SENT] = "bytes_sent",
	[COUNT_ACCEPT_PAUSED] = "accept_paused",
	[COUNT_ACCEPT_ERRORS] = "accept_errors",
	[COUNT_PARSE_ERRORS] = "parse_errors",
	[COUNT_TIMEOUTS] = "timeouts",
	[COUNT_DRAIN_CUT] = "drain_cut",
	[COUNT_FILE_SHRANK] = "file_shrank",
	[COUNT_FILE_CHANGED] = "file_changed",
	[COUNT_ACCESS_LOG_DROPPED] = "access_log_dropped",
	[COUNT_ERROR_LOG_DROPPED] = "error_log_dropped",
	[COUNT_STATUS_2XX] = "status_2xx",
	[COUNT_STATUS_3XX] = "status_3xx",
	[COUNT_STATUS_4XX] = "status_4xx",
	[COUNT_STATUS_5XX] = "status_5xx",
	[COUNT_OUT_OF_MEMORY] = "out_of_memory",
	[COUNT_SHED] = "shed",
	[COUNT_CUT_HEAD] = "cut_head",
	[COUNT_CUT_WAITING] = "cut_waiting",
	[COUNT_CUT_SENDING] = "cut_sending",
	[COUNT_LOST_STOP] = "lost_stop",
	[COUNT_LOST_ADDRESS_REMOVED] = "lost_address_removed",
	[COUNT_TASKS_REFUSED] = "tasks_refused",
	[COUNT_AUTH_HASHES] = "auth_hashes",
	[COUNT_AUTH_FAILED] = "auth_failed",
	[COUNT_PROXY_REFUSED] = "proxy_refused",
	[COUNT_HANDED_IDLE] = "handed_idle",
	[COUNT_HANDED_HEAD] = "handed_head",
	[COUNT_HANDED_BODY] = "handed_body",
	[COUNT_HANDED_SENDING] = "handed_sending",
	[COUNT_HANDED_PIPELINED] = "handed_pipelined",
	[COUNT_HANDED_LEAVING] = "handed_leaving",
	[COUNT_HAND_DECLINED] = "hand_declined",
	[COUNT_TAKEN_OVER] = "taken_over",
	[COUNT_REFUSED] = "refused",
	[COUNT_LOST_CRASHED] = "lost_crashed",
	[COUNT_OVERLOADED] = "overloaded",
	[COUNT_KERNEL_DROPPED] = "kernel_dropped",
	[COUNT_RESCUED] = "rescued",
	[COUNT_SURVIVED] = "survived",
	[COUNT_SURVIVED_NOT] = "survived_not",
	[COUNT_SYSCALLS_DENIED] = "syscalls_denied",
	[COUNT_LIMITED_CONNECTIONS] = "limited_connections",
	[COUNT_LIMITED_REQUESTS] = "limited_requests",
	[COUNT_LIMITED_BANDWIDTH] = "limited_bandwidth",
	[COUNT_CLIENTS_UNTRACKED] = "clients_untracked",
	[COUNT_READS_OFFLOADED] = "reads_offloaded",
	[COUNT_READS_FAILED] = "reads_failed",
	[COUNT_FILE_CACHE_HITS] = "file_cache_hits",
	[COUNT_FILE_CACHE_MISSES] = "file_cache_misses",
	[COUNT_FILE_CACHE_EVICTED] = "file_cache_evicted",
	[COUNT_READY_ANSWERS] = "ready_answers",
	[COUNT_HEALTH_REFUSALS] = "health_refusals",
	[COUNT_READY] = "ready",
	[COUNT_DOING + DOING_IDLE] = "connections_idle",
	[COUNT_DOING + DOING_HEAD] = "connections_head",
	[COUNT_DOING + DOING_WAITING] = "connections_waiting",
	[COUNT_DOING + DOING_SENDING] = "connections_sending",
	[COUNT_DOING + DOING_LEAVING] = "connections_leaving",
	[COUNT_TIMEOUT_SILENT] = "timeouts_silent",
	[COUNT_TIMEOUT_HEAD] = "timeouts_head",
	[COUNT_TIMEOUT_BODY] = "timeouts_body",
	[COUNT_TIMEOUT_SEND] = "timeouts_send",
	[COUNT_TIMEOUT_RATE] = "timeouts_rate",
	[COUNT_TIMEOUT_PROXY] = "timeouts_proxy",
	[COUNT_TIMEOUT_IDLE] = "timeouts_idle",
	[COUNT_TIMEOUT_LEAVING] = "timeouts_leaving",
	[COUNT_WRONG_LINE] = "parse_errors_line",
	[COUNT_WRONG_VERSION] = "parse_errors_version",
	[COUNT_WRONG_TARGET] = "parse_errors_target",
	[COUNT_WRONG_LONG] = "parse_errors_long",
	[COUNT_WRONG_FIELD] = "parse_errors_field",
	[COUNT_WRONG_LARGE] = "parse_errors_large",
	[COUNT_WRONG_MANY] = "parse_errors_many",
	[COUNT_WRONG_HOST] = "parse_errors_host",
	[COUNT_WRONG_FRAMING] = "parse_errors_framing",
	[COUNT_WRONG_BODY] = "parse_errors_body",
	[COUNT_DIED_CRASHED] = "workers_crashed",
	[COUNT_DIED_KILLED] = "workers_killed",
	[COUNT_DIED_EXITED] = "workers_exited",
	[COUNT_DIED_HUNG] = "workers_hung",
	[COUNT_STALLED] = "workers_stalled",
};

#define LEVEL(counter, word) ((counter) / 64 == (word) ? UINT64_C(1) << (counter) % 64 : 0)
#define LEVELS(word) \
	(LEVEL(COUNT_OPEN, word) | LEVEL(COUNT_READY, word) | LEVEL(COUNT_DOING + DOING_IDLE, word) | \
	 LEVEL(COUNT_DOING + DOING_HEAD, word) | LEVEL(COUNT_DOING + DOING_WAITING, word) | \
	 LEVEL(COUNT_DOING + DOING_SENDING, word) | LEVEL(COUNT_DOING + DOING_LEAVING, word))

_Static_assert((int)COUNTERS <= 64 * (int)COUNTER_WORDS && (int)DOINGS == 5, "every level has its bit");

const uint64_t counter_levels[COUNTER_WORDS] = { LEVELS(0), LEVELS(1) };

/* ---- one connection --------------------------------------------------------------------------------- */

const struct protocol *conn_protocol(const struct conn *conn)
{
	const struct protocol *own = conn_engine(conn)->protocol;

	if (conn->speaker == SPEAKER_OWN)
		return own;
	return conn->speaker == SPEAKER_PROXY ? &protocol_proxy : own->refusal;
}

/* What every event and turn has to keep in mind: the flags first, then one serve a turn. */
static void handle_events(struct lean_source *source, uint32_t events)
{
	struct conn *conn = LIST_ENTRY(source, struct conn, source);
	bool broken = (events & (EPOLLHUP | EPOLLERR)) != 0;
	bool ended = broken || (events & EPOLLRDHUP) != 0;

	conn->broken |= broken;
	conn->ended |= ended;
	conn->readable |= ended || (events & EPOLLIN) != 0;
	conn->writable |= broken || (events & EPOLLOUT) != 0;
	if (!list_linked(&conn->ready)) /* else its turn comes with the ready list */
		conn_serve(conn);
}

static void serve_ready(struct list *ready)
{
	conn_serve(LIST_ENTRY(ready, struct conn, ready));
}

static void fire_timer(struct lean_timer *timer, uint64_t now_ns)
{
	struct conn *conn = LIST_ENTRY(timer, struct conn, timer);

	(void)now_ns;
	if (conn->closed)
		return;
	conn_enter(conn);
	conn_after(conn, conn_protocol(conn)->timeout(conn));
	conn_leave(conn);
}

static const struct lean_handlers handlers = {
	.handle = handle_events,
	.fire = fire_timer,
	.serve = serve_ready,
};

void conn_timer(struct conn *conn, uint64_t after_ns)
{
	struct loop *loop = conn_engine(conn)->loop;

	if (conn->frozen)       /* armed when it thaws */
		conn->timer.due_ns = after_ns == 0 ? 0 : loop->now_ns + after_ns;
	else if (after_ns == 0)
		timer_cancel_lean(&conn->timer);
	else
		loop_timer_lean(loop, &conn->timer, after_ns);
}

void conn_wake(struct conn *conn)
{
	if (!conn->closed && !conn->frozen)     /* a frozen one is served when it thaws */
		loop_ready_lean(conn_engine(conn)->loop, &conn->ready);
}

/* close(2) now drops what the kernel still holds for a client that does not take it (socket(7),
 * SO_LINGER). */
static void reset_on_close(int fd)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void conn_close(struct conn *conn)
{
	if (conn->closed)
		return;
	if (conn->frozen) {     /* somebody else may have it: neither a reset nor a log line of ours */
		move_gone(conn);
		return;
	}
	conn->closed = true;
	conn_protocol(conn)->close(conn);
	if (conn_transport(conn)->close != NULL)
		conn_transport(conn)->close(conn);
	if (conn->reset)
		reset_on_close(conn->source.fd);
	conn_release(conn);
}

/* source.mind is what it is counted as, plus 1; 0: nothing. */
static void count_as(struct conn *conn, unsigned mind)
{
	uint64_t *levels = &conn_engine(conn)->counters[COUNT_DOING];
	unsigned before = conn->source.mind;

	if (before == mind)
		return;
	if (before != 0)
		levels[before - 1]--;
	if (mind != 0)
		levels[mind - 1]++;
	conn->source.mind = mind & 7;
}

static bool is_idle(const struct conn *conn)
{
	return conn->state == NULL && conn->speaker == SPEAKER_OWN;
}

static __attribute__((noinline)) void count_again(struct conn *conn)
{
	count_as(conn, 1 + (is_idle(conn) ? DOING_IDLE : conn_protocol(conn)->doing(conn)));
}

void conn_recount(struct conn *conn)
{
	/* most have answered since, and are what they were */
	if (!is_idle(conn) || conn->source.mind != 1 + DOING_IDLE)
		count_again(conn);
}

void conn_uncount(struct conn *conn)
{
	count_as(conn, 0);
}

void conn_release(struct conn *conn)
{
	struct engine *engine = conn_engine(conn);

	must((conn->refused ? engine->refusing : engine->count) > 0 && conn->listener->conns > 0);
	conn->closed = true;
	conn_uncount(conn);
	clients_leave(conn);
	engine->epitaph->known = 0;     /* whoever that was: better nobody than one that is gone */
	conn_works(conn);               /* the descriptor may be something else soon */
	timer_cancel_lean(&conn->timer);
	list_remove(&conn->ready);
	conn_side_drop(conn);
	loop_forget_lean(&conn->source);/* its only descriptor goes: so does the registration */
	fd_close(&conn->source.fd);
	list_remove(&conn->link);
	list_push_back(&engine->closed, &conn->link);
	if (conn->refused) {
		engine->refusing--;
		return;
	}
	engine->count--;
	engine->counters[COUNT_OPEN]--;
}

void conn_leaves(struct conn *conn)
{
	if (conn->closed)
		return;
	list_remove(&conn->link);
	list_push_back(&conn_engine(conn)->leaving, &conn->link);
}

bool conn_register(struct conn *conn)
{
	struct engine *engine = conn_engine(conn);

	if (conn->source.added || loop_add_lean(engine->loop, &conn->source, CONN_EVENTS | EPOLLET) == 0)
		return true;
	engine_count(engine, COUNT_OUT_OF_MEMORY);
	return false;
}

/* The first time that it has to wait; ADD reports at once what is ready already. */
void conn_watch(struct conn *conn)
{
	if (!conn_register(conn))
		conn_close(conn);
}

void conn_after(struct conn *conn, enum served served)
{
	struct engine *engine = conn_engine(conn);

	if (conn->closed || conn->frozen)
		return;
	if (served == SERVED_CLOSE)
		conn_close(conn);
	else if (served == SERVED_MORE || engine->transport->pending(conn))
		loop_ready_lean(engine->loop, &conn->ready);
	else
		conn_watch(conn);
	if (conn->closed || conn->refused)
		return;
	conn_recount(conn);
	if (served == SERVED_WAIT && engine->waits != NULL)
		engine->waits(engine, conn);
}

void conn_serve(struct conn *conn)
{
	if (conn->closed || conn->frozen)
		return;
	conn_enter(conn);
	conn_after(conn, conn_protocol(conn)->ready(conn));
	conn_leave(conn);
}

/* ---- the engine ------------------------------------------------------------------------------------- */

/* Its listener may go with the last of its connections, and not before: that is the way to the engine. */
static void forget(struct engine *engine, struct conn *conn)
{
	struct engine_listener *listener = conn->listener;

	slab_release(&engine->slab, conn);
	listener->conns--;
	engine_listener_settle(listener);
}

/* The end of a turn: no event of its batch is left to look at what was closed. */
static void sweep(struct turn_end *hook)
{
	struct engine *engine = LIST_ENTRY(hook, struct engine, sweep);
	struct list *link;

	clients_look(engine);
	link = list_pop_front(&engine->closed);
	if (link == NULL)
		return;
	for (; link != NULL; link = list_pop_front(&engine->closed))
		forget(engine, LIST_ENTRY(link, struct conn, link));
	if (engine->closed_one != NULL)
		engine->closed_one(engine);
}

/* The one system call that the names of all its exchanges cost. */
static void name_instance(struct engine *engine)
{
	uint64_t *number = &engine->instance;

	if (getrandom(number, sizeof(*number), GRND_NONBLOCK) != (ssize_t)sizeof(*number))
		*number = clock_now_ns();       /* the machine has just been switched on */
}

void engine_init(struct engine *engine, struct loop *loop, const struct protocol *protocol,
		 uint64_t *counters)
{
	*engine = (struct engine){
		.loop = loop,
		.protocol = protocol,
		.transport = &transport_plain,
		.counters = counters,
		.sweep.run = sweep,
		.epitaph = &epitaph_nowhere,
		.slow_ns = UINT64_MAX,
		.quota_rules = &clients_without_rules,
	};
	slab_init(&engine->slab, sizeof(struct conn));
	slab_init(&engine->states, protocol->state_bytes);
	list_init(&engine->conns);
	list_init(&engine->leaving);
	list_init(&engine->refused);
	list_init(&engine->closed);
	list_init(&engine->frozen);
	list_init(&engine->listeners);
	list_init(&engine->access_logs);
	engine->nowhere.engine = engine;
	list_init(&engine->parts);
	engine->nowhere.rules = &listener_without_rules;
	engine->nowhere.number = UINT32_MAX;
	name_instance(engine);
	loop_lean(loop, &handlers);
	loop_at_turn_end(loop, &engine->sweep);
}

/* ---- where connections come in ----------------------------------------------------------------------- */

const struct listener_rules listener_without_rules = { .address = "" };

struct engine_listener *engine_listener_find(struct engine *engine, const char *address)
{
	struct engine_listener *listener;

	for (struct list *link = engine->listeners.next; link != &engine->listeners; link = link->next) {
		listener = LIST_ENTRY(link, struct engine_listener, link);
		if (strcmp(listener->address, address) == 0)
			return listener;
	}
	listener = calloc(1, sizeof(*listener));
	if (listener == NULL)
		return NULL;
	listener->engine = engine;
	listener->rules = &listener_without_rules;
	listener->number = UINT32_MAX;
	snprintf(listener->address, sizeof(listener->address), "%s", address);
	list_push_back(&engine->listeners, &listener->link);
	return listener;
}

void engine_listener_settle(struct engine_listener *listener)
{
	if (listener->sockets > 0 || listener->conns > 0 || !list_linked(&listener->link))
		return;
	list_remove(&listener->link);
	free(listener);
}

static union peer peer_of(const struct sockaddr_storage *address)
{
	union peer peer = { .family = AF_UNIX };

	if (address->ss_family == AF_INET)
		memcpy(&peer.v4, address, sizeof(peer.v4));
	else if (address->ss_family == AF_INET6)
		memcpy(&peer.v6, address, sizeof(peer.v6));
	return peer;
}

struct conn *conn_new(struct engine *engine, int fd, const union peer *peer, struct engine_listener *listener)
{
	struct conn *conn = slab_alloc(&engine->slab);

	if (conn == NULL) {
		fd_close(&fd);
		engine_count(engine, COUNT_OUT_OF_MEMORY);
		return NULL;
	}
	*conn = (struct conn){
		.source = { .fd = fd, .tag = engine->next_tag++, .is_lean = true },
		.speaker = listener->rules->proxy ? SPEAKER_PROXY : SPEAKER_OWN,
		.since_ns = engine->loop->now_ns,
		.listener = listener,
		.client = peer_pack(peer),
	};
	listener->conns++;
	engine->count++;
	engine_count(engine, COUNT_OPEN);
	return conn;
}

bool engine_has_room(struct engine *engine)
{
	return slab_reserve(&engine->slab);
}

bool engine_accept(struct engine *engine, int fd, const struct sockaddr_storage *peer,
		   struct engine_listener *listener)
{
	union peer who = peer_of(peer);
	struct conn *conn = conn_new(engine, fd, &who, listener != NULL ? listener : &engine->nowhere);

	if (conn == NULL)
		return false;
	conn->readable = conn->writable = true;
	list_push_back(&engine->conns, &conn->link);
	if (conn->speaker == SPEAKER_OWN && !clients_admit(conn)) {
		if (clients_refuse(conn) == SERVED_CLOSE)
			conn_release(conn);
		else
			conn_serve(conn);
		return true;
	}
	engine_count(engine, COUNT_ACCEPTED);
	conn_protocol(conn)->open(conn);
	conn_serve(conn);
	return true;
}

void conn_refuse(struct conn *conn)
{
	struct engine *engine = conn_engine(conn);

	engine->count--;
	engine->counters[COUNT_OPEN]--;
	engine->refusing++;
	conn_uncount(conn);
	conn->refused = true;
	conn->speaker = SPEAKER_REFUSAL;
	list_remove(&conn->link);
	list_push_back(&engine->refused, &conn->link);
	conn_protocol(conn)->open(conn);
}

bool engine_refuse(struct engine *engine, int fd, const struct sockaddr_storage *peer,
		   struct engine_listener *listener)
{
	union peer who = peer_of(peer);
	struct conn *conn = conn_new(engine, fd, &who, listener != NULL ? listener : &engine->nowhere);

	if (conn == NULL)
		return false;
	engine_count(engine, COUNT_REFUSED);
	conn->readable = conn->writable = true;
	list_push_back(&engine->conns, &conn->link);
	conn_refuse(conn);
	conn_serve(conn);
	return true;
}

/* As a client that was served before it has the time to be idle that such a one has, and all of it anew. */
static struct conn *survivor(struct engine *engine, int fd, struct engine_listener *listener)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	socklen_t len = sizeof(peer);
	struct conn *conn;
	union peer who;

	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0) {      /* its client has gone */
		fd_close(&fd);
		return NULL;
	}
	who = peer_of(&peer);
	conn = conn_new(engine, fd, &who, listener);
	if (conn == NULL)
		return NULL;
	conn->speaker = SPEAKER_OWN;    /* a PROXY header was read, or none was wanted */
	conn->served = 1;
	list_push_back(&engine->conns, &conn->link);
	clients_keep(conn);
	conn_protocol(conn)->open(conn);
	return conn;
}

bool engine_survive(struct engine *engine, int fd, struct engine_listener *listener)
{
	struct conn *conn = survivor(engine, fd, listener != NULL ? listener : &engine->nowhere);

	engine_count(engine, conn != NULL ? COUNT_SURVIVED : COUNT_SURVIVED_NOT);
	if (conn == NULL)
		return false;
	conn_idles(conn);
	conn_after(conn, SERVED_WAIT);  /* registered, which reports what has come meanwhile */
	return true;
}

struct generation *engine_adopt(struct engine *engine, struct generation *generation)
{
	struct generation *before = engine->generation;

	engine->generation = generation;
	for (struct list *link = engine->conns.next, *next; link != &engine->conns; link = next) {
		struct conn *conn = LIST_ENTRY(link, struct conn, link);

		next = link->next;
		conn_after(conn, conn_protocol(conn)->adopt(conn));
	}
	return before;
}

void engine_free(struct engine *engine)
{
	while (!list_empty(&engine->parts)) {
		struct engine_part *part = LIST_ENTRY(engine->parts.prev, struct engine_part, link);

		list_remove(&part->link);
		part->close(part);
	}
	list_remove(&engine->sweep.link);
	timer_cancel(&engine->counting);
	if (engine->protocol->forget != NULL)
		engine->protocol->forget(engine);
	slab_free(&engine->slab);
	slab_free(&engine->states);
	pool_trim(&engine->pool);
	free(engine->sides);
}
