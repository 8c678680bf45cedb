/* asker.c - a client: connects, asks, reads, and says what became of each request.
 *
 * Called by client.c and by the loop.  What the server does ends in an outcome; what this side cannot do (no
 * descriptors, no memory) ends the program, because no figure could be trusted then.
 *
 * The distance of a distant client is made here: what it sends is written when it would arrive, and what
 * comes is read when it would be noticed.  So a request can meet a FIN that was sent before it came. */
#include "loss/asker.h"

#include "loss/burst.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BUFFER_BYTES = 1 << 18,
	DOWNLOAD_BUFFER_BYTES = 1 << 16,        /* small: what is not read stays with the server */
	PIECES = 4,                     /* of a POST; a head is sent byte by byte */
	RANDOM_HOST = 1 << 24,          /* below 127.0.0.0/8 */
};

#define RETRY_NS (10 * CLOCK_MS)        /* after a loss: nobody shall spin on an address that is gone */
#define TICK_NS (20 * CLOCK_MS)         /* between two reads of a slow download */
#define REACTION_NS (20 * CLOCK_MS / 1000)      /* no server reads and closes as fast as that */
#define EARLY_NS (10 * CLOCK_MS)        /* by which a server's second may be shorter than ours */

static char buffer[BUFFER_BYTES];       /* one for all: what is read is judged at once */

static void begin(struct asker *asker);
static void write_out(struct asker *asker);
static void read_in(struct asker *asker);

uint64_t askers_random(struct askers *askers, uint64_t bound)
{
	askers->random ^= askers->random << 13;         /* xorshift64 */
	askers->random ^= askers->random >> 7;
	askers->random ^= askers->random << 17;
	return askers->random % bound;
}

static bool is_open(const struct asker *asker)
{
	return asker->source.fd >= 0;
}

static bool is_asking(const struct asker *asker)
{
	return asker->count > 0 || asker->out != NULL || asker->ending;
}

static void arm(struct asker *asker, struct timer *timer, uint64_t after_ns)
{
	timer_arm(&asker->all->loop.timers, timer, clock_now_ns() + after_ns);
}

/* ---- the end of a request, of a connection, of a client ---- */

static void drop(struct asker *asker)
{
	if (is_open(asker)) {
		loop_forget(&asker->source);
		close(asker->source.fd);
		asker->source.fd = -1;
	}
	timer_cancel(&asker->limit);
	timer_cancel(&asker->arrival);
	timer_cancel(&asker->departure);
	free(asker->out);
	asker->out = NULL;
	asker->count = 0;
	asker->connecting = asker->ending = asker->is_broken = false;
	asker->end_ns = asker->answered_ns = asker->kept_ns = 0;
	asker->answer = (struct answer){ 0 };
}

/* It needs no care any more: others may have their first, or their last, request now. */
static void mark_in_place(struct asker *asker)
{
	if (asker->in_place)
		return;
	asker->in_place = true;
	asker->all->not_in_place--;
	asker->all->opening -= asker->started;
	asker->all->room(asker->all);
}

static void end_client(struct asker *asker)
{
	drop(asker);
	timer_cancel(&asker->next);
	asker->over = true;
	if (--asker->all->active == 0)
		loop_stop(&asker->all->loop);
	mark_in_place(asker);
}

/* When the next burst begins, `least_ns` or more from now. */
static void rest(struct asker *asker, uint64_t least_ns)
{
	struct askers *all = asker->all;
	uint64_t elapsed_ns = clock_now_ns() - asker->began_ns, wait_ns = least_ns, paced_ns;

	if (all->stopping) {
		end_client(asker);
		return;
	}
	if (all->lifetime > 0 && !asker->kind->waits && askers_random(all, all->lifetime) == 0)
		drop(asker);
	if (!asker->kind->closes)
		wait_ns += askers_random(all, all->gap_ns + 1);
	paced_ns = all->pace_ns / 2 + askers_random(all, all->pace_ns + 1);
	if (paced_ns > elapsed_ns + wait_ns)
		wait_ns = paced_ns - elapsed_ns;
	arm(asker, &asker->next, wait_ns);
}

static void note_ending(struct asker *asker, enum outcome outcome)
{
	struct ending ending = {
		.kind = asker->kind->name,
		.outcome = outcome,
		.requests = asker->count,
		.fresh = asker->answered_ns == 0,
	};

	endings_add(&asker->all->endings, &ending);
}

/* All requests of the burst have come to their end without an answer; the first one for `reason`. */
static void lose(struct asker *asker, enum outcome reason)
{
	bool partly = reason == TRUNCATED || reason == WRONG;

	note_ending(asker, reason);
	asker->account->outcomes[reason]++;
	asker->account->outcomes[partly ? UNANSWERED : reason] += asker->count - 1;
	if (reason == REFUSED && asker->all->requests_left != UINT64_MAX)
		asker->all->requests_left += asker->count;      /* nobody was asked */
	drop(asker);
	rest(asker, RETRY_NS);
}

static enum outcome lost_by_close(const struct asker *asker)
{
	if (asker->answer.begun)
		return asker->is_broken ? RESET : TRUNCATED;
	if (asker->is_crossed || (asker->out_sent == 0 && asker->answered_ns != 0))
		return CROSSED;         /* also one that is still on its way */
	return asker->is_broken ? RESET : UNANSWERED;
}

/* Nothing was asked, and the server closed. */
static void count_idle_close(struct asker *asker)
{
	bool was_due = asker->kept_ns > 0 && clock_now_ns() + EARLY_NS >= asker->answered_ns + asker->kept_ns;

	asker->account->outcomes[was_due ? EXPIRED : IDLE_CLOSED]++;
	if (!was_due)
		note_ending(asker, IDLE_CLOSED);
	drop(asker);
	if (asker->kind->waits && !asker->all->reopens)
		end_client(asker);
	else if (!timer_armed(&asker->next))
		rest(asker, RETRY_NS);
}

/* The server's FIN, or its reset, was noticed. */
static void ended(struct asker *asker)
{
	if (asker->ending) {
		asker->account->outcomes[RESET_AFTER] += asker->is_broken;
		if (asker->is_broken)
			note_ending(asker, RESET_AFTER);
		drop(asker);
		rest(asker, 0);
	} else if (asker->count > 0) {
		lose(asker, lost_by_close(asker));
	} else {
		count_idle_close(asker);
	}
}

static void limit_fired(struct timer *timer, uint64_t now_ns)
{
	struct asker *asker = LIST_ENTRY(timer, struct asker, limit);

	(void)now_ns;
	if (asker->count > 0) {
		lose(asker, STALLED);
		return;
	}
	drop(asker);    /* answered, but the server does not close or does not take the rest */
	rest(asker, RETRY_NS);
}

/* ---- what comes ---- */

/* The first answer is whole. */
static void answered(struct asker *asker)
{
	const struct want *want = &asker->wants[asker->first];
	uint64_t now_ns = clock_now_ns();

	account_good(asker->account,
		     (asker->kind->downloads ? asker->first_byte_ns : now_ns) - want->since_ns);
	asker->first = (asker->first + 1) % DEPTH_MAX;
	asker->count--;
	asker->answered_ns = now_ns;
	asker->kept_ns = asker->answer.kept_ns;
	asker->ending = asker->answer.closes || asker->kind->closes;
	asker->answer = (struct answer){ 0 };
	mark_in_place(asker);
	if (asker->kind->downloads && asker->count > 0)
		asker->wants[asker->first].since_ns = now_ns;   /* it waited for us */
	if (asker->ending) {
		asker->account->outcomes[BEHIND_CLOSE] += asker->count;
		asker->count = 0;
	} else if (!is_asking(asker)) {
		timer_cancel(&asker->limit);
		if (!asker->kind->waits || asker->all->stopping)
			rest(asker, 0);
	}
}

/* False: the connection is gone. */
static bool take(struct asker *asker, const char *bytes, size_t len)
{
	while (len > 0) {
		enum verdict verdict;
		size_t used;

		if (asker->count == 0) {
			asker->account->outcomes[UNASKED]++;
			drop(asker);
			rest(asker, RETRY_NS);
			return false;
		}
		if (!asker->answer.begun)
			asker->first_byte_ns = clock_now_ns();
		verdict = answer_take(&asker->answer, &asker->wants[asker->first], bytes, len, &used);
		if (verdict == ANSWER_WRONG) {
			lose(asker, WRONG);
			return false;
		}
		if (verdict == ANSWER_WHOLE)
			answered(asker);
		if (!is_open(asker))
			return false;
		bytes += used;
		len -= used;
	}
	return true;
}

/* An end was read: is it noticed now?  A distant client notices it later. */
static bool end_is_noticed(struct asker *asker)
{
	uint64_t now_ns = clock_now_ns();

	if (!asker->kind->is_distant)
		return true;
	if (asker->end_ns == 0)
		asker->end_ns = now_ns + asker->all->distance_ns;
	if (now_ns >= asker->end_ns)
		return true;
	arm(asker, &asker->arrival, asker->end_ns - now_ns);
	return false;
}

static bool is_throttled(const struct asker *asker)
{
	return asker->kind->downloads && !asker->all->stopping;
}

/* Reads all there is; of a slow download what is due to it. */
static void read_in(struct asker *asker)
{
	size_t left = is_throttled(asker) ? 1 + asker->all->download_rate * TICK_NS / CLOCK_S : SIZE_MAX;

	while (left > 0) {
		ssize_t got =
			recv(asker->source.fd, buffer, left < sizeof(buffer) ? left : sizeof(buffer), 0);

		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			asker->is_broken |= got < 0;
			if (end_is_noticed(asker))
				ended(asker);
			return;
		}
		left -= (size_t)got;
		if (asker->kind->downloads) {
			mark_in_place(asker);
			arm(asker, &asker->limit, asker->all->limit_ns);        /* there is progress */
		}
		if (!take(asker, buffer, (size_t)got))
			return;
	}
}

static void arrival_fired(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	read_in(LIST_ENTRY(timer, struct asker, arrival));
}

/* ---- what is sent ---- */

/* What a read would say now: 0 nothing, EOF the server's FIN, or the errno of a reset, which is not said
 * again. */
static int peek_end(struct asker *asker)
{
	char byte;
	ssize_t got = recv(asker->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (got == 0)
		return EOF;
	if (got > 0 || errno == EAGAIN)
		return 0;
	asker->is_broken = true;
	return errno;
}

/* A burst's first bytes were written at `sent_ns`: had the server closed by then?  Its FIN was not there
 * before, so it did so just now - or it answers these bytes with a FIN, for which it needs at least a moment.
 * EPIPE is a reset after a FIN (tcp_reset in the kernel): what was sent came to a closed socket. */
static bool meets_end(struct asker *asker, uint64_t sent_ns)
{
	int end = peek_end(asker);

	return end == EPIPE || (end == EOF && clock_now_ns() - sent_ns < REACTION_NS);
}

/* The rest of a burst that the server does not take any more is given up; what it says is read. */
static void write_failed(struct asker *asker)
{
	asker->is_broken = true;
	asker->is_crossed |= asker->out_sent == 0 && asker->answered_ns != 0;
	free(asker->out);
	asker->out = NULL;
	read_in(asker);
}

static void written(struct asker *asker)
{
	free(asker->out);
	asker->out = NULL;
	if (asker->kind->drips && asker->count > 0)
		asker->wants[asker->first].since_ns = clock_now_ns();
	if (asker->kind->downloads)
		arm(asker, &asker->next, TICK_NS);
	if (asker->kind->drips && !is_asking(asker)) {  /* answered before its body had been sent */
		timer_cancel(&asker->limit);
		rest(asker, 0);
	}
}

static void write_out(struct asker *asker)
{
	while (asker->out_sent < asker->out_allowed) {
		bool may_cross = asker->out_sent == 0 && asker->answered_ns != 0;
		uint64_t now_ns = may_cross ? clock_now_ns() : 0;
		ssize_t sent;

		asker->is_crossed |= may_cross && peek_end(asker) != 0;
		sent = send(asker->source.fd, asker->out + asker->out_sent,
			    asker->out_allowed - asker->out_sent, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) {
			write_failed(asker);
			return;
		}
		asker->out_sent += (size_t)sent;
		asker->is_crossed |= may_cross && meets_end(asker, now_ns);
	}
	if (asker->out_sent == asker->out_len) {
		written(asker);
		return;
	}
	if (!asker->kind->posts)
		mark_in_place(asker);
	arm(asker, &asker->next, asker->all->drip_ns);
}

static void departure_fired(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	write_out(LIST_ENTRY(timer, struct asker, departure));
}

static void depart(struct asker *asker)
{
	if (asker->kind->is_distant)
		arm(asker, &asker->departure, asker->all->distance_ns);
	else
		write_out(asker);
}

/* As much more as a client that drips sends at once. */
static void allow(struct asker *asker)
{
	size_t piece = asker->kind->posts ? asker->out_len / PIECES + 1 : 1;
	size_t rest_len = asker->out_len - asker->out_allowed;

	if (!asker->kind->drips || asker->all->stopping || piece > rest_len)
		piece = rest_len;
	asker->out_allowed += piece;
}

/* ---- connecting ---- */

/* Many source addresses: ports never run out, and the kernel's hash has work to do. */
static void choose_source(struct asker *asker, int fd)
{
	const struct sockaddr_in *server = &asker->all->server.in;
	struct sockaddr_in source = { .sin_family = AF_INET };
	int on = 1;

	if (server->sin_family != AF_INET || ntohl(server->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		return;
	source.sin_addr.s_addr = htonl((uint32_t)IN_LOOPBACKNET << 24 |
				       (uint32_t)(1 + askers_random(asker->all, RANDOM_HOST - 2)));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&source, sizeof(source)) < 0)
		err(1, "bind a client's socket");
}

static int make_socket(struct asker *asker)
{
	int fd = socket(asker->all->server.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, small = DOWNLOAD_BUFFER_BYTES;

	if (fd < 0)
		err(1, "socket");
	if (asker->all->server.any.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (asker->kind->downloads)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	choose_source(asker, fd);
	return fd;
}

static void connect_failed(struct asker *asker, int error)
{
	switch (error) {
	case EAGAIN:            /* a full backlog of a unix socket */
	case EADDRNOTAVAIL:     /* no port just now */
		close(asker->source.fd);
		asker->source.fd = -1;
		arm(asker, &asker->next, RETRY_NS);
		return;
	case ECONNREFUSED:
	case ENOENT:            /* a unix socket that is not there */
		lose(asker, REFUSED);
		return;
	case ECONNRESET:
	case EPIPE:
		lose(asker, RESET);
		return;
	case ETIMEDOUT:
		lose(asker, STALLED);
		return;
	default:
		errno = error;
		err(1, "connect");
	}
}

static void start_connecting(struct asker *asker)
{
	struct askers *all = asker->all;

	asker->source.fd = make_socket(asker);
	asker->connecting = true;
	if (connect(asker->source.fd, &all->server.any, all->server_len) < 0 && errno != EINPROGRESS) {
		connect_failed(asker, errno);
		return;
	}
	errno = loop_add(&all->loop, &asker->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	if (errno != 0)
		err(1, "epoll_ctl");
}

static void connected(struct asker *asker)
{
	socklen_t len = sizeof(errno);
	int error = 0;

	if (getsockopt(asker->source.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0) {
		connect_failed(asker, error);
		return;
	}
	asker->connecting = false;
	asker->account->connections++;
	depart(asker);
}

/* Something came to a distant client; it will notice it later. */
static void note_arrival(struct asker *asker, uint32_t events)
{
	uint64_t distance_ns = asker->all->distance_ns;

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) && asker->end_ns == 0)
		asker->end_ns = clock_now_ns() + distance_ns;
	if (!timer_armed(&asker->arrival))
		arm(asker, &asker->arrival, distance_ns);
}

static void handle(struct source *source, uint32_t events)
{
	struct asker *asker = LIST_ENTRY(source, struct asker, source);

	if (asker->connecting)
		connected(asker);
	else if (events & EPOLLOUT && asker->out != NULL && !timer_armed(&asker->departure))
		write_out(asker);
	if (!is_open(asker) || !(events & ~(uint32_t)EPOLLOUT) || is_throttled(asker))
		return;
	if (asker->kind->is_distant)
		note_arrival(asker, events);
	else
		read_in(asker);
}

/* ---- a client's life ---- */

/* A connection that nobody promised to keep any longer is not used again (RFC 9112, 9.3). */
static bool has_expired(const struct asker *asker)
{
	return asker->kept_ns > 0 && clock_now_ns() >= asker->answered_ns + asker->kept_ns;
}

static void begin(struct asker *asker)
{
	struct askers *all = asker->all;

	if (all->requests_left == 0 && !all->stopping)
		return;         /* client.c is about to stop */
	if (is_open(asker) && has_expired(asker))
		drop(asker);
	if (is_open(asker) && !asker->kind->is_distant)
		read_in(asker);         /* it may have been closed since, and the event is to come */
	if (asker->over || is_asking(asker))
		return;
	timer_cancel(&asker->next);
	asker->began_ns = clock_now_ns();
	asker->is_crossed = false;
	asker->out_sent = asker->out_allowed = 0;
	burst_make(asker);
	allow(asker);
	asker->account->requests += asker->count;
	if (all->requests_left != UINT64_MAX)
		all->requests_left -= asker->count < all->requests_left ? asker->count : all->requests_left;
	arm(asker, &asker->limit, all->limit_ns);
	if (is_open(asker))
		depart(asker);
	else
		start_connecting(asker);
}

static void next_fired(struct timer *timer, uint64_t now_ns)
{
	struct asker *asker = LIST_ENTRY(timer, struct asker, next);

	(void)now_ns;
	if (!is_asking(asker)) {
		begin(asker);
	} else if (!is_open(asker)) {
		start_connecting(asker);
	} else if (asker->out != NULL) {
		allow(asker);
		arm(asker, &asker->limit, asker->all->limit_ns);        /* it is us who are slow */
		write_out(asker);
	} else {
		arm(asker, &asker->next, TICK_NS);
		read_in(asker);
	}
}

static void begin_with_care(struct asker *asker)
{
	asker->all->opening++;
	begin(asker);
}

void asker_start(struct asker *asker)
{
	asker->source.handle = handle;
	asker->next.fire = next_fired;
	asker->limit.fire = limit_fired;
	asker->arrival.fire = arrival_fired;
	asker->departure.fire = departure_fired;
	asker->started = true;
	begin_with_care(asker);
}

/* The last request of one that waited: it is in place again when it is answered. */
static void ask_again(struct asker *asker)
{
	asker->in_place = false;
	asker->all->not_in_place++;
	begin_with_care(asker);
}

void asker_finish(struct asker *asker)
{
	if (asker->over)
		return;
	if (!asker->started) {
		end_client(asker);
	} else if (!is_asking(asker)) {
		if (asker->kind->waits && is_open(asker))
			ask_again(asker);
		else
			end_client(asker);
	} else if (is_open(asker) && !asker->connecting) {
		allow(asker);
		if (asker->out != NULL && !timer_armed(&asker->departure))
			write_out(asker);
		if (asker->kind->downloads && is_open(asker))
			read_in(asker);
	}
}

void asker_give_up(struct asker *asker)
{
	if (asker->over)
		return;
	if (asker->count > 0)
		lose(asker, STALLED);
	else
		end_client(asker);
}
