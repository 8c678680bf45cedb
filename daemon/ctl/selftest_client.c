/* selftest_client.c - one client of selftest: it connects, asks, reads, holds
 * every byte against what is due, and accounts for whatever else happens.
 *
 * Called by selftest_crowd.c.  One request at a time, none is ever sent again.
 * Descriptors of our own that run out are a refusal, too: nothing is left out.
 */
#include "selftest.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	STALL_S = 5,
	READ_BYTES = 64 * 1024,
	SLOW_BUFFER_BYTES = 32 * 1024, /* of a slow reader's socket: the rest waits at the daemon's end */
	OPENING_MAX = 64, /* of those that idle, so many ask at a time: no storm of ours */
	LARGE_EVERY = 16, /* so many requests of a busy client are for one large file */
	PAUSE_MS = 20, /* before a client that lost its connection comes again */
};

static void set_state(struct crowd *crowd, struct client *client, enum client_state state)
{
	bool opened = client->state == CLIENT_CONNECTING || client->state == CLIENT_ASKING;
	bool opens = state == CLIENT_CONNECTING || state == CLIENT_ASKING;

	if (client->habit->idles)
		crowd->opening = crowd->opening - opened + opens;
	client->state = state;
}

static void leave(struct crowd *crowd, struct client *client, uint64_t pause_ms)
{
	fd_close(&client->fd);
	set_state(crowd, client, CLIENT_AWAY);
	client->due_ns = crowd->now_ns + pause_ms * CLOCK_MS;
	client->over = crowd->finishing;
}

static void lose(struct crowd *crowd, struct client *client, enum selftest_loss loss)
{
	crowd->account.lost[loss]++;
	client->in_place = true; /* nobody waits for it */
	leave(crowd, client, PAUSE_MS);
}

/* ---- asking ---- */

static void watch(const struct crowd *crowd, struct client *client, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = client };

	epoll_ctl(crowd->epoll_fd, operation, client->fd, &event);
}

/* Slow readers are not woken by what they do not want yet: client_turn reads
 * for them. */
static uint32_t events_of(const struct client *client)
{
	return client->state == CLIENT_ASKING && client->habit->bytes_a_turn > 0 ? 0 : EPOLLIN;
}

/* Into an empty buffer of the kernel's, so it goes at once. */
static void ask(struct crowd *crowd, struct client *client)
{
	char request[128];
	int len;

	client->file = client->habit->file;
	if (client->file == FILE_SMALL && !client->habit->idles && ++client->asked % LARGE_EVERY == 0)
		client->file = FILE_LARGE;
	len = snprintf(request, sizeof(request), "GET /%s HTTP/1.1\r\nHost: selftest\r\n%s\r\n",
		       selftest_contents[client->file].name,
		       client->habit->closes ? "Connection: close\r\n" : "");
	client->began_ns = client->progress_ns = crowd->now_ns;
	client->head_len = client->body_got = 0;
	client->head_done = client->announced = false;
	set_state(crowd, client, CLIENT_ASKING);
	if (send(client->fd, request, (size_t)len, MSG_NOSIGNAL) == len)
		watch(crowd, client, EPOLL_CTL_MOD, events_of(client));
	else
		lose(crowd, client, LOST_RESET);
}

static void begin(struct crowd *crowd, struct client *client)
{
	int small = SLOW_BUFFER_BYTES;

	crowd->account.requests++;
	client->began_ns = client->progress_ns = crowd->now_ns;
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	set_state(crowd, client, CLIENT_CONNECTING);
	if (client->fd >= 0 && client->habit->bytes_a_turn > 0)
		setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (client->fd < 0 ||
	    (connect(client->fd, (struct sockaddr *)&crowd->server, sizeof(crowd->server)) < 0 &&
	     errno != EINPROGRESS))
		lose(crowd, client, LOST_REFUSED);
	else
		watch(crowd, client, EPOLL_CTL_ADD, EPOLLOUT);
}

static void connected(struct crowd *crowd, struct client *client)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		lose(crowd, client, error == ECONNRESET ? LOST_RESET : LOST_REFUSED);
	else
		ask(crowd, client);
}

/* ---- an answer ---- */

static bool head_has(const struct client *client, const char *field)
{
	return strcasestr(client->head, field) != NULL;
}

/* Is it the head of the answer that is due? */
static bool head_is_right(struct client *client)
{
	char due[64];

	snprintf(due, sizeof(due), "\r\nContent-Length: %zu\r\n", selftest_contents[client->file].len);
	client->announced = client->habit->closes || head_has(client, "\r\nConnection: close\r\n");
	return strncmp(client->head, "HTTP/1.1 200 ", 13) == 0 && head_has(client, due);
}

/* Takes the head's part of what came; how much that was, or -1: it is wrong. */
static ssize_t take_head(struct client *client, const char *bytes, size_t len)
{
	size_t before = client->head_len, room = sizeof(client->head) - 1 - before, head;
	const char *end;

	memcpy(client->head + before, bytes, len < room ? len : room);
	client->head_len += len < room ? len : room;
	client->head[client->head_len] = '\0';
	end = strstr(client->head, "\r\n\r\n");
	if (end == NULL)
		return len < room ? (ssize_t)len : -1;
	head = (size_t)(end - client->head) + 4;
	client->head[head] = '\0';
	client->head_len = head;
	client->head_done = true;
	return head_is_right(client) ? (ssize_t)(head - before) : -1;
}

static void answered(struct crowd *crowd, struct client *client)
{
	uint64_t took_ns = crowd->now_ns - client->began_ns;

	crowd->account.good++;
	/* who was idle could have been kept: an end that is announced is one, too */
	crowd->account.lost[LOST_IDLE] += client->announced && client->habit->idles;
	if (client->habit->bytes_a_turn == 0 && took_ns > crowd->account.slowest_ns)
		crowd->account.slowest_ns = took_ns;
	client->in_place = true;
	set_state(crowd, client, client->announced ? CLIENT_ENDING : CLIENT_KEPT);
	client->due_ns = crowd->now_ns + crowd_random(crowd, client->habit->gap_ms + 1) * CLOCK_MS;
	client->progress_ns = crowd->now_ns;
	if (client->habit->bytes_a_turn > 0)
		watch(crowd, client, EPOLL_CTL_MOD, EPOLLIN);
	if (crowd->finishing && !client->announced)
		leave(crowd, client, 0);
}

/* False: it is not what is due, and that was accounted for. */
static bool take(struct crowd *crowd, struct client *client, const char *bytes, size_t len)
{
	const struct selftest_content *content = &selftest_contents[client->file];
	size_t skip = 0;

	client->progress_ns = crowd->now_ns;
	if (!client->head_done) {
		ssize_t head = take_head(client, bytes, len);

		if (head < 0)
			return lose(crowd, client, LOST_WRONG), false;
		skip = (size_t)head;
	}
	if (len - skip > content->len - client->body_got ||
	    memcmp(bytes + skip, crowd->bytes + content->offset + client->body_got, len - skip) != 0)
		return lose(crowd, client, LOST_WRONG), false;
	client->body_got += len - skip;
	/* a download is long: it is in place when it has begun */
	client->in_place |= client->habit->bytes_a_turn > 0;
	if (client->head_done && client->body_got == content->len)
		answered(crowd, client);
	return client->state == CLIENT_ASKING;
}

/* ---- events ---- */

/* The connection's end: of a reset or, with `error` 0, a close. */
static void ended(struct crowd *crowd, struct client *client, int error)
{
	if (client->state == CLIENT_ENDING && error == 0)
		leave(crowd, client, crowd_random(crowd, client->habit->gap_ms + 1));
	else if (client->state == CLIENT_KEPT)
		lose(crowd, client, LOST_IDLE);
	else
		lose(crowd, client, error != 0 ? LOST_RESET : LOST_CUT);
}

/* At most `most` bytes at a time, as long as there are any and it may have
 * more. */
static void receive(struct crowd *crowd, struct client *client, size_t most, bool once)
{
	char bytes[READ_BYTES];
	ssize_t n;

	do {
		n = recv(client->fd, bytes, most < sizeof(bytes) ? most : sizeof(bytes), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			return ended(crowd, client, n < 0 ? errno : 0);
		if (client->state != CLIENT_ASKING) /* nobody had asked for that */
			return lose(crowd, client, LOST_WRONG);
	} while (take(crowd, client, bytes, (size_t)n) && !once);
}

void client_event(struct crowd *crowd, struct client *client)
{
	if (client->state == CLIENT_CONNECTING)
		connected(crowd, client);
	else if (client->fd >= 0)
		receive(crowd, client, READ_BYTES, false);
}

/* Kept alive: those that idle ask again at the end, before they go. */
static void kept(struct crowd *crowd, struct client *client)
{
	if (client->habit->idles && (!crowd->finishing || crowd->opening >= OPENING_MAX))
		return;
	if (crowd->finishing && !client->habit->idles) {
		leave(crowd, client, 0);
	} else if (client->due_ns <= crowd->now_ns) {
		crowd->account.requests++;
		ask(crowd, client);
	}
}

static void away(struct crowd *crowd, struct client *client)
{
	client->over = crowd->finishing;
	if (crowd->finishing || client->due_ns > crowd->now_ns)
		return;
	if (!client->habit->idles || crowd->opening < OPENING_MAX)
		begin(crowd, client);
}

void client_turn(struct crowd *crowd, struct client *client)
{
	size_t slow = client->habit->bytes_a_turn;
	bool waits = client->state == CLIENT_CONNECTING || client->state == CLIENT_ASKING ||
		     client->state == CLIENT_ENDING;

	if (client->state == CLIENT_AWAY)
		away(crowd, client);
	else if (client->state == CLIENT_KEPT)
		kept(crowd, client);
	else if (client->state == CLIENT_ASKING && slow > 0)
		receive(crowd, client, crowd->finishing ? READ_BYTES : slow, !crowd->finishing);
	if (waits && client->fd >= 0 && client->state != CLIENT_KEPT &&
	    crowd->now_ns - client->progress_ns > STALL_S * CLOCK_S)
		lose(crowd, client, LOST_STALLED);
}
