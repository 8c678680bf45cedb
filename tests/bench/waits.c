/* waits.c - the client of waits.py: an open loop that says of every request how long it waited.
 *
 *     waits -a ADDRESS -p PORT -u TARGET -b BYTES -r RATE -n REQUESTS [-k CONNECTIONS] [-l MS,MS,...]
 *           [-w MS] [-x]
 *
 * RATE requests a second are due, whatever the server does, each on a connection of its own, from many
 * addresses; each must be answered with status 200 and BYTES of body. -l: how long each connection is kept
 * after its answer, in turn; 0, the default, is not at all. -k: the requests take turns on so many instead,
 * which are kept; who still waits for an answer is left out ("busy"). -w: how long is waited for answers after
 * the last request, 5 s by default. -x: in the end says "held COUNT", and keeps the connections that are open
 * until stdin ends.
 *
 * Prints a line per request, when it has an outcome: "BEGAN WAITED LATE OUTCOME SOURCE:PORT", in microseconds
 * of CLOCK_MONOTONIC. A wait begins before connect(), or before a kept connection's request is sent, and ends
 * when the kernel had the answer's last byte (SO_TIMESTAMPNS): how soon this process is scheduled is not the
 * server's. LATE is how long after its time the request began: this process's own fault. Exit status 1 when
 * it cannot work. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

enum {
	REQUESTS_MAX = 1000000,
	EVENTS = 256,
	BATCH = 16,                     /* requests that are begun before answers are looked at */
	LIFETIMES_MAX = 16,
	ANSWER_BYTES = 1000,            /* head and body */
};

/* A connection, and the request on it. */
struct client {
	int fd;                         /* -1: none */
	bool waiting;                   /* for an answer */
	bool asked;                     /* the request was sent */
	struct sockaddr_in source;
	uint64_t due_ns, began_ns, ends_ns;
	struct client *next;            /* of its lifetime */
	size_t got;
	char answer[ANSWER_BYTES];
};

/* Connections that are kept equally long, in the order in which they end. */
struct lifetime {
	uint64_t ns;
	struct client *first, **last;
};

static struct {
	struct sockaddr_in server;
	const char *target;
	size_t bytes;
	unsigned rate, requests, connections;
	uint64_t patience_ns;
	bool hold;
} options = { .bytes = SIZE_MAX, .patience_ns = 5ULL * NS_PER_S };

static struct lifetime lifetimes[LIFETIMES_MAX];
static unsigned lifetime_count;
static struct client *clients;
static unsigned begun, waiting;
static uint64_t start_ns;
static char request[1024];
static size_t request_len;
static int epoll_fd;

static uint64_t due_ns(unsigned number)
{
	return start_ns + (uint64_t)number * NS_PER_S / options.rate;
}

/* ---- outcomes ---- */

static void say(const struct client *client, const char *outcome, uint64_t ended_ns)
{
	uint64_t waited = ended_ns > client->began_ns ? ended_ns - client->began_ns : 0;

	printf("%lu %lu %lu %s %s:%u\n", client->began_ns / NS_PER_US, waited / NS_PER_US,
	       (client->began_ns - client->due_ns) / NS_PER_US, outcome, inet_ntoa(client->source.sin_addr),
	       ntohs(client->source.sin_port));
}

static void let_go(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

static void fail(struct client *client, const char *outcome)
{
	if (client->waiting) {
		say(client, outcome, now_ns());
		client->waiting = false;
		waiting--;
	}
	let_go(client);
}

static void keep(struct client *client)
{
	unsigned number = (unsigned)(client - clients);
	struct lifetime *lifetime = &lifetimes[number % lifetime_count];

	if (lifetime->ns == 0) {
		let_go(client);
		return;
	}
	client->ends_ns = now_ns() + lifetime->ns;
	client->next = NULL;
	*lifetime->last = client;
	lifetime->last = &client->next;
}

static void succeed(struct client *client, uint64_t ended_ns)
{
	say(client, "good", ended_ns);
	client->waiting = false;
	client->got = 0;
	waiting--;
	if (options.connections == 0)
		keep(client);
}

/* Those whose time is over. */
static void end_lifetimes(void)
{
	uint64_t now = now_ns();

	for (unsigned i = 0; i < lifetime_count; i++) {
		struct lifetime *lifetime = &lifetimes[i];

		while (lifetime->first != NULL && lifetime->first->ends_ns <= now) {
			if (lifetime->first->fd >= 0)
				let_go(lifetime->first);
			lifetime->first = lifetime->first->next;
			if (lifetime->first == NULL)
				lifetime->last = &lifetime->first;
		}
	}
}

/* ---- answers ---- */

/* What is wrong with the answer, "" while it is not whole, NULL when it is right. */
static const char *judge(const struct client *client)
{
	static const char status[] = "HTTP/1.1 200 ", length[] = "\r\ncontent-length:";
	const char *end = memmem(client->answer, client->got, "\r\n\r\n", 4), *at;
	size_t body, head;

	if (end == NULL)
		return client->got < ANSWER_BYTES ? "" : "wrong";
	head = (size_t)(end - client->answer) + 4;
	if (memcmp(client->answer, status, sizeof(status) - 1) != 0)
		return "wrong";
	for (at = client->answer; at < end && strncasecmp(at, length, sizeof(length) - 1) != 0; at++)
		;
	body = at < end ? strtoul(at + sizeof(length) - 1, NULL, 10) : SIZE_MAX;
	if (body != options.bytes || client->got > head + body)
		return "wrong";
	return client->got < head + body ? "" : NULL;
}

/* When the kernel had what was just received, by CLOCK_MONOTONIC. */
static uint64_t arrived_ns(struct msghdr *message)
{
	uint64_t now = now_ns(), real = clock_ns(CLOCK_REALTIME), stamp;
	struct timespec when;

	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&when, CMSG_DATA(part), sizeof(when));
		stamp = (uint64_t)when.tv_sec * NS_PER_S + (uint64_t)when.tv_nsec;
		return stamp < real ? now - (real - stamp) : now;
	}
	return now;
}

/* One piece.  False when there is nothing more, now or for ever. */
static bool receive(struct client *client)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(struct timespec))];
	} control;
	struct iovec to = { client->answer + client->got, ANSWER_BYTES - client->got };
	struct msghdr message = {
		.msg_iov = &to, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t len = recvmsg(client->fd, &message, MSG_DONTWAIT);
	const char *wrong;

	if (len < 0 && errno == EAGAIN)
		return false;
	if (len <= 0) {
		fail(client, len == 0 ? "closed" : errno == ECONNREFUSED ? "refused" : "reset");
		return false;
	}
	client->got += (size_t)len;
	wrong = client->waiting ? judge(client) : "wrong";
	if (wrong == NULL)
		succeed(client, arrived_ns(&message));
	else if (*wrong != '\0')
		fail(client, wrong);
	return client->fd >= 0;
}

/* ---- requests ---- */

/* On loopback connect() returns with a connection, unless the backlog is full: then EPOLLOUT comes. */
static void ask(struct client *client)
{
	ssize_t len = send(client->fd, request, request_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (len == (ssize_t)request_len)
		client->asked = true;
	else if (len >= 0 || (errno != EAGAIN && errno != ENOTCONN))
		fail(client, errno == ECONNREFUSED ? "refused" : "reset");
}

static void connect_client(struct client *client)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client };
	socklen_t len = sizeof(client->source);
	int on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		err(1, "socket");
	setsockopt(client->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	choose_source(client->fd);
	client->began_ns = now_ns();
	if (connect(client->fd, (struct sockaddr *)&options.server, sizeof(options.server)) < 0 &&
	    errno != EINPROGRESS && errno != ECONNREFUSED)
		err(1, "connect");
	getsockname(client->fd, (struct sockaddr *)&client->source, &len);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
		err(1, "epoll_ctl");
}

static void begin(unsigned number)
{
	struct client *client = &clients[options.connections > 0 ? number % options.connections : number];

	if (client->waiting) {
		say(client, "busy", client->began_ns);
		return;
	}
	client->waiting = true;
	client->asked = false;
	client->due_ns = due_ns(number);
	waiting++;
	if (client->fd < 0)
		connect_client(client);
	else
		client->began_ns = now_ns();
	ask(client);
}

static void handle(struct client *client, uint32_t events)
{
	if (client->fd >= 0 && client->waiting && !client->asked && (events & EPOLLOUT))
		ask(client);
	if (client->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		while (receive(client))
			;
	}
}

/* Until when there is nothing to do but events: the next request, or the next end of a lifetime. */
static uint64_t next_ns(uint64_t last_ns)
{
	uint64_t next = begun < options.requests ? due_ns(begun) : waiting > 0 ? last_ns : 0;

	for (unsigned i = 0; i < lifetime_count; i++) {
		if (lifetimes[i].first != NULL && lifetimes[i].first->ends_ns < next)
			next = lifetimes[i].first->ends_ns;
	}
	return next;
}

static void wait_for_events(uint64_t until_ns)
{
	struct epoll_event events[EVENTS];
	uint64_t now = now_ns(), rest = until_ns > now ? until_ns - now : 0;
	struct timespec patience = { (time_t)(rest / NS_PER_S), (long)(rest % NS_PER_S) };
	int count = epoll_pwait2(epoll_fd, events, EVENTS, &patience, NULL);

	for (int i = 0; i < count; i++)
		handle(events[i].data.ptr, events[i].events);
}

static void run(void)
{
	uint64_t last_ns;

	last_ns = start_ns = now_ns();
	while (begun < options.requests || (waiting > 0 && now_ns() < last_ns)) {
		for (unsigned i = 0; i < BATCH && begun < options.requests; i++) {
			if (due_ns(begun) > now_ns())
				break;
			begin(begun++);
			last_ns = now_ns() + options.patience_ns;
		}
		end_lifetimes();
		wait_for_events(next_ns(last_ns));
	}
	for (unsigned i = 0; i < options.requests && waiting > 0; i++) {
		if (clients[i].waiting)
			fail(&clients[i], "silent");
	}
}

static void hold(void)
{
	char rest[64];
	unsigned held = 0;

	for (unsigned i = 0; i < options.requests; i++)
		held += clients[i].fd >= 0;
	printf("held %u\n", held);
	fflush(stdout);
	while (read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
}

/* ---- the command line ---- */

static void read_lifetimes(char *text)
{
	char *word;

	while ((word = strsep(&text, ",")) != NULL) {
		if (lifetime_count == LIFETIMES_MAX)
			errx(1, "more than %d lifetimes", LIFETIMES_MAX);
		lifetimes[lifetime_count++].ns = (uint64_t)number(word, 0, UINT32_MAX) * NS_PER_MS;
	}
}

static bool set_option(int letter, char *value)
{
	switch (letter) {
	case 'a':
		return inet_pton(AF_INET, value, &options.server.sin_addr) == 1;
	case 'p':
		options.server.sin_port = htons((uint16_t)number(value, 0, UINT16_MAX));
		return true;
	case 'u':
		options.target = value;
		return true;
	case 'b':
		options.bytes = number(value, 0, ANSWER_BYTES);
		return true;
	case 'r':
		options.rate = number(value, 0, UINT32_MAX);
		return true;
	case 'n':
		options.requests = number(value, 0, REQUESTS_MAX);
		return true;
	case 'k':
		options.connections = number(value, 0, REQUESTS_MAX);
		return true;
	case 'l':
		read_lifetimes(value);
		return true;
	case 'w':
		options.patience_ns = (uint64_t)number(value, 0, UINT32_MAX) * NS_PER_MS;
		return true;
	case 'x':
		return options.hold = true;
	default:
		return false;
	}
}

static void prepare(void)
{
	int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: waits.example\r\n\r\n",
			   options.target);

	if (len < 0 || (size_t)len >= sizeof(request))
		errx(1, "-u is too long");
	request_len = (size_t)len;
	if (lifetime_count == 0)
		lifetime_count = 1;
	for (unsigned i = 0; i < lifetime_count; i++)
		lifetimes[i].last = &lifetimes[i].first;
	clients = calloc(options.requests, sizeof(*clients));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (clients == NULL || epoll_fd < 0)
		err(1, "clients");
	for (unsigned i = 0; i < options.requests; i++)
		clients[i].fd = -1;
}

int main(int argc, char **argv)
{
	int letter;

	options.server.sin_family = AF_INET;
	while ((letter = getopt(argc, argv, "a:p:u:b:r:n:k:l:w:x")) >= 0) {
		if (!set_option(letter, optarg))
			errx(1, "-%c: cannot be", letter);
	}
	if (options.server.sin_port == 0 || options.target == NULL || options.bytes == SIZE_MAX ||
	    options.rate == 0 || options.requests == 0 || options.connections > options.requests)
		errx(1, "-a, -p, -u, -b, -r and -n are needed, and no more connections than requests");
	prepare();
	run();
	if (options.hold)
		hold();
	return 0;
}
