/* flood.c - the client of overload.py: an open loop of clients that give up, or a closed one of clients that
 * do not, and what became of them, second by second.
 *
 *     flood -a ADDRESS -p PORT -u TARGET -b BYTES -w MILLISECONDS [-k PERCENT] [-s ADDRESS]
 *           (-r RATE -t MILLISECONDS [-r RATE -t MILLISECONDS]... | -c CONNECTIONS -t MILLISECONDS)
 *
 * -r: RATE requests a second are due for that time, whatever the server does, and then those of the next -r.
 * -c: so many clients ask again as soon as they have an answer. -k: this percentage of the requests goes over
 * connections that are kept, each over one that is free just then, or a new one; every other has a connection
 * of its own ("Connection: close"). -s: all of them come from there; else from many addresses. Who has no answer -w after the request was due closes its connection, and
 * does not come again. Each answer must have status 200 and BYTES of body; a 503 or 429 counts as refused.
 *
 * Prints a line a second, when it is over, and one for what is left after the last request's time: "DUE GOOD
 * REFUSED SILENT RESET BUSY P50 P99 MAX", of those that ended in it, the times of the good ones in
 * microseconds from when they were due. BUSY: this process had no descriptor for it, or was late by as much
 * as a client waits. Exit status 1 when it cannot work. */
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

enum {
	EVENTS = 256,
	ANSWER_BYTES = 2048,            /* head and body */
	SPARE_FDS = 16,
	PHASES_MAX = 8,
	TIMES_MAX = 1 << 20,
};

/* A connection, and the request on it. In one list while it waits, in another while it is free. */
struct client {
	int fd;                         /* -1: none */
	bool waiting, asked, kept;
	uint64_t due_ns;
	struct client *next, *previous;
	size_t got;
	char answer[ANSWER_BYTES];
};

struct list {
	struct client *first, *last;
};

static struct {
	struct sockaddr_in server;
	const char *target;
	size_t bytes;
	unsigned connections, kept_percent;
	uint64_t patience_ns;
} options = { .bytes = SIZE_MAX };

static struct {
	unsigned rate;
	uint64_t duration_ns;
} phases[PHASES_MAX];
static unsigned phase, phase_count;
static uint64_t phase_ns;               /* when it began */
static unsigned long phase_begun;       /* requests */

static struct client *clients;
static unsigned client_count;
static struct list waiting;             /* oldest first: all are equally patient */
static struct list free_kept, unused;
static struct {
	unsigned long due, good, refused, silent, reset, busy;
} counts;
static uint32_t *times;                 /* of the good ones of this second */
static size_t time_count;
static char requests[2][512];           /* the connection ends, is kept */
static unsigned long begun;
static int epoll_fd;

/* ---- lists ---- */

static void push(struct list *list, struct client *client)
{
	client->next = NULL;
	client->previous = list->last;
	*(list->last != NULL ? &list->last->next : &list->first) = client;
	list->last = client;
}

static void drop(struct list *list, struct client *client)
{
	*(client->previous != NULL ? &client->previous->next : &list->first) = client->next;
	*(client->next != NULL ? &client->next->previous : &list->last) = client->previous;
}

static struct client *pop_last(struct list *list)
{
	struct client *client = list->last;

	if (client != NULL)
		drop(list, client);
	return client;
}

/* ---- outcomes ---- */

static void hang_up(struct client *client)
{
	close(client->fd);
	client->fd = -1;
	push(&unused, client);
}

/* It has no answer and will have none. */
static void fail(struct client *client, unsigned long *count)
{
	if (client->waiting) {
		(*count)++;
		drop(&waiting, client);
		client->waiting = false;
	} else {
		drop(&free_kept, client);
	}
	hang_up(client);
}

static void succeed(struct client *client, unsigned status)
{
	uint64_t took_us = (now_ns() - client->due_ns) / NS_PER_US;

	client->waiting = false;
	drop(&waiting, client);
	if (status == 200) {
		counts.good++;
		if (time_count < TIMES_MAX)
			times[time_count++] = (uint32_t)took_us;
	} else {
		counts.refused++;
	}
	if (client->kept && status == 200)
		push(&free_kept, client);
	else
		hang_up(client);
}

/* ---- answers ---- */

/* The status of a whole answer; 0 while it is not whole. */
static unsigned judge(const struct client *client)
{
	static const char length[] = "\r\nContent-Length:";
	const char *end = memmem(client->answer, client->got, "\r\n\r\n", 4), *at;
	size_t body, head;
	unsigned status;

	if (end == NULL)
		return 0;
	head = (size_t)(end - client->answer) + 4;
	at = memmem(client->answer, head, length, sizeof(length) - 1);
	body = at != NULL ? strtoul(at + sizeof(length) - 1, NULL, 10) : SIZE_MAX;
	status = (unsigned)strtoul(client->answer + sizeof("HTTP/1.1"), NULL, 10);
	if (client->got < head + body && body != SIZE_MAX)
		return 0;
	if (client->got != head + body ||
	    (status != 503 && status != 429 && (status != 200 || body != options.bytes)))
		errx(1, "a wrong answer: %.*s", (int)client->got, client->answer);
	return status;
}

static void receive(struct client *client)
{
	ssize_t len =
		recv(client->fd, client->answer + client->got, ANSWER_BYTES - client->got, MSG_DONTWAIT);
	unsigned status;

	if (len < 0 && errno == EAGAIN)
		return;
	if (len <= 0) {
		fail(client, &counts.reset);
		return;
	}
	client->got += (size_t)len;
	if (!client->waiting)
		errx(1, "an answer that nobody asked for");
	status = judge(client);
	if (status != 0)
		succeed(client, status);
}

/* ---- requests ---- */

static void ask(struct client *client)
{
	const char *request = requests[client->kept];
	size_t len = strlen(request);
	ssize_t sent = send(client->fd, request, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent == (ssize_t)len)
		client->asked = true;
	else if (sent >= 0 || (errno != EAGAIN && errno != ENOTCONN))
		fail(client, &counts.reset);
}

static void connect_client(struct client *client)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client };

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		err(1, "socket");
	choose_source(client->fd);
	if (connect(client->fd, (struct sockaddr *)&options.server, sizeof(options.server)) < 0 &&
	    errno != EINPROGRESS && errno != ECONNREFUSED)
		err(1, "connect");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
		err(1, "epoll_ctl");
}

/* A kept one that is free is the one that was used last: who has many is no further ahead. */
static void begin(uint64_t due_ns)
{
	bool kept = begun++ % 100 < options.kept_percent;
	struct client *client = kept ? pop_last(&free_kept) : NULL;

	counts.due++;
	if (client == NULL)
		client = pop_last(&unused);
	if (client == NULL || now_ns() - due_ns >= options.patience_ns) {
		counts.busy++;
		if (client != NULL)
			push(client->fd >= 0 ? &free_kept : &unused, client);
		return;
	}
	client->kept = kept;
	client->asked = false;
	client->got = 0;
	client->due_ns = due_ns;
	client->waiting = true;
	push(&waiting, client);
	if (client->fd < 0)
		connect_client(client);
	ask(client);
}

static void handle(struct client *client, uint32_t events)
{
	if (client->fd >= 0 && client->waiting && !client->asked && (events & EPOLLOUT))
		ask(client);
	if (client->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		receive(client);
}

static void give_up(uint64_t now)
{
	while (waiting.first != NULL && now - waiting.first->due_ns >= options.patience_ns)
		fail(waiting.first, &counts.silent);
}

/* ---- what is said ---- */

static int compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static uint32_t percentile(size_t percent)
{
	return time_count > 0 ? times[(time_count - 1) * percent / 100] : 0;
}

static void say(void)
{
	qsort(times, time_count, sizeof(*times), compare);
	printf("%lu %lu %lu %lu %lu %lu %u %u %u\n", counts.due, counts.good, counts.refused, counts.silent,
	       counts.reset, counts.busy, percentile(50), percentile(99), percentile(100));
	fflush(stdout);
	memset(&counts, 0, sizeof(counts));
	time_count = 0;
}

/* ---- the loop ---- */

static uint64_t due_ns(void)
{
	return phase_ns + phase_begun * NS_PER_S / phases[phase].rate;
}

static void begin_due_until(uint64_t now)
{
	while (phases[phase].rate > 0 && due_ns() < now) {
		begin(due_ns());
		phase_begun++;
	}
}

/* False: all phases are over. */
static bool begin_what_is_due(uint64_t now)
{
	while (phase < phase_count && now - phase_ns >= phases[phase].duration_ns) {
		begin_due_until(phase_ns + phases[phase].duration_ns);
		phase_ns += phases[phase++].duration_ns;
		phase_begun = 0;
	}
	if (phase == phase_count)
		return false;
	begin_due_until(now);
	return true;
}

static void wait_for_events(uint64_t now)
{
	struct epoll_event events[EVENTS];
	uint64_t next = phases[phase].rate > 0 ? due_ns() : now + NS_PER_MS;
	struct timespec patience = { 0, next > now ? (long)(next - now) : 0 };
	int count;

	if (patience.tv_nsec > NS_PER_MS)
		patience.tv_nsec = NS_PER_MS;
	count = epoll_pwait2(epoll_fd, events, EVENTS, &patience, NULL);
	for (int i = 0; i < count; i++)
		handle(events[i].data.ptr, events[i].events);
}

static void begin_again(unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		begin(now_ns());
}

static unsigned long ended(void)
{
	return counts.good + counts.refused + counts.silent + counts.reset;
}

static void run(void)
{
	uint64_t now = phase_ns = now_ns(), second_ns = phase_ns + NS_PER_S;
	unsigned long before;
	bool going = true;

	begin_again(options.connections);
	while (going || waiting.first != NULL) {
		going = begin_what_is_due(now);
		before = ended();
		wait_for_events(now);
		now = now_ns();
		give_up(now);
		if (going && options.connections > 0)
			begin_again(ended() - before);
		if (now >= second_ns) {
			second_ns += NS_PER_S;
			say();
		}
	}
	say();
}

/* ---- the command line ---- */

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
	case 's':
		return inet_pton(AF_INET, value, &only_source) == 1;
	case 'r':
		phases[phase_count].rate = number(value, 0, UINT32_MAX);
		return true;
	case 'c':
		options.connections = number(value, 0, UINT32_MAX);
		return true;
	case 'k':
		options.kept_percent = number(value, 0, 100);
		return true;
	case 't':
		phases[phase_count++].duration_ns = (uint64_t)number(value, 0, UINT32_MAX) * NS_PER_MS;
		return true;
	case 'w':
		options.patience_ns = (uint64_t)number(value, 0, UINT32_MAX) * NS_PER_MS;
		return true;
	default:
		return false;
	}
}

static void write_request(char *to, size_t room, const char *connection)
{
	int len = snprintf(to, room, "GET %s HTTP/1.1\r\nHost: flood.example\r\n%s\r\n", options.target,
			   connection);

	if (len < 0 || (size_t)len >= room)
		errx(1, "-u is too long");
}

static void prepare(void)
{
	struct rlimit files;

	write_request(requests[0], sizeof(requests[0]), "Connection: close\r\n");
	write_request(requests[1], sizeof(requests[1]), "");
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		err(1, "RLIMIT_NOFILE");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	client_count = files.rlim_cur > 1 << 17 ? 1 << 17 : (unsigned)files.rlim_cur - SPARE_FDS;
	clients = calloc(client_count, sizeof(*clients));
	times = calloc(TIMES_MAX, sizeof(*times));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (clients == NULL || times == NULL || epoll_fd < 0)
		err(1, "clients");
	for (unsigned i = client_count; i-- > 0;) {
		clients[i].fd = -1;
		push(&unused, &clients[i]);
	}
}

int main(int argc, char **argv)
{
	int letter;

	options.server.sin_family = AF_INET;
	while ((letter = getopt(argc, argv, "a:p:u:b:r:c:k:s:t:w:")) >= 0) {
		if (phase_count == PHASES_MAX || !set_option(letter, optarg))
			errx(1, "-%c: cannot be", letter);
	}
	if (options.server.sin_port == 0 || options.target == NULL || options.bytes == SIZE_MAX ||
	    phase_count == 0 || (phases[0].rate == 0) == (options.connections == 0) ||
	    options.patience_ns == 0)
		errx(1, "-a, -p, -u, -b, -t, -w, and one of -r and -c, are needed");
	prepare();
	run();
	return 0;
}
