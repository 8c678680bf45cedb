/* load.c - the client of bench.py: a closed loop that accounts for every answer.
 *
 *     load -a ADDRESS -p PORT -f TARGETS [-c CONNECTIONS] [-n REQUESTS | -t MILLISECONDS] [-d DEPTH]
 *          [-H HEADERS] [-w MILLISECONDS] [-1] [-u | -z]
 *
 * TARGETS is a file of lines "TARGET STATUS LENGTH"; HEADERS one of header lines. Each connection sends DEPTH
 * requests at once and the next ones when all were answered. -1: one request for each connection, which the
 * server closes. -u: targets at random, -z: by Zipf's law, instead of in turn. -w: how long no answer may
 * come, 10 s by default. The same arguments make the same requests.
 *
 * An answer counts when its head and its whole body came, with the status and the length that were expected.
 * Anything else ends the program with a message and status 1, so that no figure rests on wrong answers.
 * Prints "REQUESTS SECONDS". */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
	CONNECTIONS_MAX = 1024,
	DEPTH_MAX = 64,
	ORDER = 65536,                  /* requests before the sequence repeats */
	BUFFER_BYTES = 65536,
	CARRY_BYTES = 4096,             /* the longest head */
};

struct target {
	char *request;
	size_t len;
	unsigned status;
	uint64_t length;
};

struct client {
	int fd;
	unsigned waiting;               /* answers that are to come */
	unsigned next;                  /* of `expected` */
	uint32_t expected[DEPTH_MAX];   /* targets, in the order of the requests */
	uint64_t body_left;
	bool in_body;
	bool ending;                    /* all answers came; only the server's FIN is missing */
	size_t carried;
	char carry[CARRY_BYTES];        /* the begin of a head */
};

static struct {
	struct sockaddr_in server;
	unsigned connections, depth, patience_ms;
	uint64_t requests, duration_ns; /* whichever is not 0 ends the run */
	bool one_shot, uniform, zipf;
} options = { .connections = 32, .depth = 1, .patience_ms = 10000 };

static struct target *targets;
static size_t target_count;
static uint32_t order[ORDER];
static size_t position;
static uint64_t sent_count, answered, began_ns;
static unsigned active;                 /* clients with a connection */
static int epoll_fd;
static struct client clients[CONNECTIONS_MAX];
static char buffer[CARRY_BYTES + BUFFER_BYTES];

/* ---- what is asked for ---- */

static char *read_whole(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;

	if (file == NULL || (getdelim(&text, &room, '\0', file) < 0 && ferror(file)))
		err(1, "%s", path);
	fclose(file);
	return text;
}

static void add_target(const char *line, const char *headers)
{
	struct target target = { 0 };
	char path[1024];
	int len;

	/* NOLINTNEXTLINE(cert-err34-c): bench.py wrote it */
	if (sscanf(line, "%1023s %u %lu", path, &target.status, &target.length) != 3)
		errx(1, "\"%s\" is not TARGET STATUS LENGTH", line);
	len = asprintf(&target.request, "GET %s HTTP/1.1\r\nHost: bench.example\r\n%s%s\r\n", path, headers,
		       options.one_shot ? "Connection: close\r\n" : "");
	if (len < 0)
		errx(1, "out of memory");
	target.len = (size_t)len;
	targets = reallocarray(targets, target_count + 1, sizeof(*targets));
	if (targets == NULL)
		err(1, "targets");
	targets[target_count++] = target;
}

static void read_targets(const char *path, const char *headers)
{
	char *text = read_whole(path), *rest = text, *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (*line != '\0')
			add_target(line, headers);
	}
	if (target_count == 0)
		errx(1, "%s: no targets", path);
	free(text);
}

/* Rank r is asked for 1/r as often as rank 1. */
static void make_zipf_order(void)
{
	double *upto = calloc(target_count, sizeof(*upto)), sum = 0;
	unsigned short seed[3] = { 1, 2, 3 };

	if (upto == NULL)
		err(1, "order");
	for (size_t i = 0; i < target_count; i++)
		upto[i] = sum += 1.0 / (double)(i + 1);
	for (size_t i = 0; i < ORDER; i++) {
		double where = erand48(seed) * sum;
		size_t low = 0, high = target_count - 1;

		while (low < high) {
			size_t middle = (low + high) / 2;

			if (upto[middle] < where)
				low = middle + 1;
			else
				high = middle;
		}
		order[i] = (uint32_t)low;
	}
	free(upto);
}

static void make_order(void)
{
	unsigned short seed[3] = { 1, 2, 3 };

	for (size_t i = 0; i < ORDER; i++) {
		size_t which = options.uniform ? (size_t)nrand48(seed) : i;

		order[i] = (uint32_t)(which % target_count);
	}
	if (options.zipf)
		make_zipf_order();
}

static bool over(void)
{
	if (options.requests > 0)
		return sent_count >= options.requests;
	return now_ns() - began_ns >= options.duration_ns;
}

/* ---- connections ---- */

static void use_reno(int fd)
{
	static const char name[] = "reno";

	/* bbr, where it is the default, paces by timers and would be measured instead */
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, sizeof(name) - 1) < 0)
		err(1, "reno");
}

static void open_client(struct client *client)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
	int on = 1;

	*client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	if (client->fd < 0)
		err(1, "socket");
	use_reno(client->fd);
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (options.one_shot)
		choose_source(client->fd);
	if (connect(client->fd, (struct sockaddr *)&options.server, sizeof(options.server)) < 0)
		err(1, "connect");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
		err(1, "epoll_ctl");
	active++;
}

static void close_client(struct client *client)
{
	close(client->fd);
	client->fd = -1;
	active--;
}

static void ask(struct client *client)
{
	char requests[DEPTH_MAX * CARRY_BYTES];
	size_t len = 0;

	client->next = 0;
	while (client->waiting < options.depth) {
		uint32_t which = order[position++ % ORDER];

		if (len + targets[which].len > sizeof(requests))
			errx(1, "too many bytes of requests at once");
		memcpy(requests + len, targets[which].request, targets[which].len);
		len += targets[which].len;
		client->expected[client->waiting++] = which;
	}
	sent_count += client->waiting;
	if (send(client->fd, requests, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		err(1, "requests do not fit into the socket");
}

/* ---- answers ---- */

static uint64_t content_length(const char *head, size_t len)
{
	static const char name[] = "\r\ncontent-length:";
	const char *end = head + len;

	for (const char *at = head; (at = memchr(at, '\r', (size_t)(end - at))) != NULL; at++) {
		if ((size_t)(end - at) > sizeof(name) && strncasecmp(at, name, sizeof(name) - 1) == 0)
			return strtoull(at + sizeof(name) - 1, NULL, 10);
	}
	errx(1, "an answer without Content-Length: %.*s", (int)len, head);
}

/* `head` is whole and ends in an empty line. */
static void begin_answer(struct client *client, const char *head, size_t len)
{
	const struct target *target;
	unsigned status;

	if (client->waiting == 0)
		errx(1, "an answer that nobody asked for: %.*s", (int)len, head);
	if (len < 13 || memcmp(head, "HTTP/1.1 ", 9) != 0)
		errx(1, "no answer: %.*s", (int)len, head);
	target = &targets[client->expected[client->next]];
	status = (unsigned)strtoul(head + 9, NULL, 10);
	client->body_left = content_length(head, len);
	if (status != target->status || client->body_left != target->length)
		errx(1, "status %u and %lu bytes, expected %u and %lu: %.*s", status, client->body_left,
		     target->status, target->length, (int)len, head);
	client->in_body = true;
}

static void end_answer(struct client *client)
{
	client->in_body = false;
	client->next++;
	client->waiting--;
	answered++;
}

/* Takes one step through the bytes; returns how many it used, 0 if a head is not whole yet. */
static size_t step(struct client *client, const char *bytes, size_t len)
{
	const char *end;
	size_t used;

	if (client->in_body) {
		used = len < client->body_left ? len : client->body_left;
		client->body_left -= used;
	} else {
		end = memmem(bytes, len, "\r\n\r\n", 4);
		if (end == NULL)
			return 0;
		used = (size_t)(end - bytes) + 4;
		begin_answer(client, bytes, used);
	}
	if (client->body_left == 0)
		end_answer(client);
	return used;
}

static void take(struct client *client, const char *bytes, size_t len)
{
	size_t used;

	while (len > 0 && (used = step(client, bytes, len)) > 0) {
		bytes += used;
		len -= used;
	}
	if (len > sizeof(client->carry))
		errx(1, "a head of more than %zu bytes", sizeof(client->carry));
	memcpy(client->carry, bytes, len);
	client->carried = len;
}

/* Reads once.  False when there is nothing to read now. */
static bool receive(struct client *client)
{
	ssize_t len;

	if (client->in_body && client->body_left > BUFFER_BYTES) {      /* counted, not copied */
		len = recv(client->fd, NULL, client->body_left, MSG_TRUNC | MSG_DONTWAIT);
		if (len > 0)
			client->body_left -= (uint64_t)len;
		if (len > 0 && client->body_left == 0)
			end_answer(client);
	} else {
		memcpy(buffer, client->carry, client->carried);
		len = recv(client->fd, buffer + client->carried, BUFFER_BYTES, MSG_DONTWAIT);
		if (len > 0)
			take(client, buffer, client->carried + (size_t)len);
	}
	if (len < 0 && errno != EAGAIN)
		err(1, "recv");
	if (len == 0 && !client->ending)
		errx(1, "closed before the answer was whole");
	if (len == 0)
		close_client(client);
	return len > 0;
}

/* After all answers: the next requests, on this connection or on a new one, or the end. */
static void go_on(struct client *client)
{
	if (client->fd >= 0 && client->waiting > 0)
		return;
	if (options.one_shot && client->fd >= 0) {
		client->ending = true;          /* the server closes */
		return;
	}
	if (over()) {
		if (client->fd >= 0)
			close_client(client);
		return;
	}
	if (client->fd < 0)
		open_client(client);
	ask(client);
}

static void run(void)
{
	struct epoll_event events[CONNECTIONS_MAX];
	int count;

	began_ns = now_ns();
	for (unsigned i = 0; i < options.connections; i++) {
		open_client(&clients[i]);
		ask(&clients[i]);
	}
	while (active > 0) {
		count = epoll_wait(epoll_fd, events, CONNECTIONS_MAX, (int)options.patience_ms);
		if (count == 0)
			errx(1, "no answer for %u ms", options.patience_ms);
		for (int i = 0; i < count; i++) {
			receive(events[i].data.ptr);
			go_on(events[i].data.ptr);
		}
	}
}

/* ---- the command line ---- */

static bool set_option(int letter, const char *value)
{
	switch (letter) {
	case 'a':
		return inet_pton(AF_INET, value, &options.server.sin_addr) == 1;
	case 'p':
		options.server.sin_port = htons((uint16_t)number(value, 1, UINT16_MAX));
		return true;
	case 'c':
		options.connections = number(value, 1, CONNECTIONS_MAX);
		return true;
	case 'n':
		options.requests = number(value, 1, UINT32_MAX);
		return true;
	case 't':
		options.duration_ns = (uint64_t)number(value, 1, UINT32_MAX) * NS_PER_MS;
		return true;
	case 'd':
		options.depth = number(value, 1, DEPTH_MAX);
		return true;
	case 'w':
		options.patience_ms = number(value, 1, INT32_MAX);
		return true;
	case '1':
		return options.one_shot = true;
	case 'u':
		return options.uniform = true;
	case 'z':
		return options.zipf = true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	const char *target_path = NULL, *headers = "";
	int letter;

	options.server.sin_family = AF_INET;
	while ((letter = getopt(argc, argv, "a:p:c:n:t:d:f:H:w:1uz")) >= 0) {
		if (letter == 'f')
			target_path = optarg;
		else if (letter == 'H')
			headers = read_whole(optarg);
		else if (!set_option(letter, optarg))
			errx(1, "-%c: cannot be", letter);
	}
	if (target_path == NULL || (options.requests == 0) == (options.duration_ns == 0))
		errx(1, "-f, and one of -n and -t, are needed");
	if (options.one_shot && options.depth > 1)
		errx(1, "-1 and -d exclude each other");
	read_targets(target_path, headers);
	make_order();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	run();
	printf("%lu %.6f\n", answered, (double)(now_ns() - began_ns) / 1e9);
	return 0;
}
