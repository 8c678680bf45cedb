/* floor.c - what a request costs at the least: a bare epoll loop with a constant answer.
 *
 *     floor ADDRESS PORT STATUS LENGTH [close]
 *
 * The yardstick of bench.py. Edge-triggered, accept4, one recv, one send (of a large answer: one sendfile,
 * which copies nothing). It parses nothing but the ends of request heads, and answers each with STATUS and
 * LENGTH bytes of body. With `close` it closes after an answer. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MAX = 20480, EVENTS = 256, BACKLOG = 4096, COPIES = 16, COPIED_MAX = 32768, HEAD_MAX = 256 };

/* One per descriptor. */
struct client {
	uint64_t owed_bytes;    /* of answers that are not sent yet */
	size_t offset;          /* into `answers` */
	unsigned matched;       /* of the four bytes that end a head */
	bool watched;
};

static struct client clients[FDS_MAX];
static char *answers;           /* copies of one answer, so that small pipelined ones go in one send */
static size_t answer_bytes, copies;
static int answer_file = -1;    /* the same, if it is large */
static bool close_after;
static int epoll_fd;

static void make_answers(unsigned status, size_t length)
{
	char head[HEAD_MAX];
	FILE *file;
	int head_len = snprintf(head, sizeof(head),
				"HTTP/1.1 %u Floor\r\nServer: floor\r\nDate: Sun, 01 Nov 2026 00:00:00 GMT\r\n"
				"Content-Type: text/html\r\nContent-Length: %zu\r\n%s\r\n",
				status, length, close_after ? "Connection: close\r\n" : "");

	if (head_len < 0 || (size_t)head_len >= sizeof(head))
		errx(1, "the head is too long");
	answer_bytes = (size_t)head_len + length;
	copies = answer_bytes <= COPIED_MAX ? COPIES : 1;
	answers = calloc(copies, answer_bytes);
	if (answers == NULL)
		err(1, "answers");
	for (size_t i = 0; i < copies; i++) {
		memcpy(answers + i * answer_bytes, head, (size_t)head_len);
		memset(answers + i * answer_bytes + head_len, 'x', length);
	}
	if (answer_bytes <= COPIED_MAX)
		return;
	file = tmpfile();               /* not a memfd: its small pages cost a quarter more */
	if (file == NULL || fwrite(answers, answer_bytes, 1, file) != 1 || fflush(file) != 0)
		err(1, "temporary file");
	answer_file = fileno(file);
}

static int listen_on(const char *address, const char *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	addr.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (fd < 0 || inet_pton(AF_INET, address, &addr.sin_addr) != 1)
		errx(1, "%s is no address", address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0)
		err(1, "%s:%s", address, port);
	return fd;
}

static void watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll_ctl");
}

/* How many heads end in these bytes. */
static unsigned ends(struct client *client, const char *bytes, size_t len)
{
	static const char end[] = "\r\n\r\n";
	const char *at = bytes, *stop = bytes + len;
	unsigned count = 0;

	while (at < stop) {
		if (client->matched == 0 && (at = memchr(at, '\r', (size_t)(stop - at))) == NULL)
			break;
		if (*at == end[client->matched])
			client->matched++;
		else
			client->matched = *at == '\r';
		if (client->matched == sizeof(end) - 1) {
			client->matched = 0;
			count++;
		}
		at++;
	}
	return count;
}

static ssize_t send_some(int fd, const struct client *client, size_t len)
{
	off_t offset = (off_t)client->offset;

	if (answer_file >= 0)
		return sendfile(fd, answer_file, &offset, len);
	return send(fd, answers + client->offset, len, MSG_NOSIGNAL);
}

/* Sends what is owed; false when the connection is over. */
static bool pay(int fd, struct client *client)
{
	while (client->owed_bytes > 0) {
		size_t len = copies * answer_bytes - client->offset;
		ssize_t sent;

		if (len > client->owed_bytes)
			len = client->owed_bytes;
		sent = send_some(fd, client, len);
		if (sent < 0)
			return errno == EAGAIN;
		client->owed_bytes -= (uint64_t)sent;
		client->offset = (client->offset + (size_t)sent) % answer_bytes;
	}
	return !close_after;
}

/* Reads and answers; false when the connection is over. */
static bool serve(int fd, struct client *client)
{
	static char buffer[65536];
	ssize_t len;
	unsigned count;

	if (client->owed_bytes > 0)
		return pay(fd, client);
	len = recv(fd, buffer, sizeof(buffer), 0);
	if (len < 0)
		return errno == EAGAIN;
	count = ends(client, buffer, (size_t)len);
	client->owed_bytes += count * answer_bytes;
	return len > 0 && (count == 0 || pay(fd, client));
}

/* Serves, and watches the connection from its first wait on. */
static void turn(int fd)
{
	struct client *client = &clients[fd];

	if (!serve(fd, client)) {
		close(fd);
	} else if (!client->watched) {
		client->watched = true;
		watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	}
}

static void accept_all(int listening)
{
	int fd;

	while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= FDS_MAX)
			errx(1, "more than %d descriptors", FDS_MAX);
		clients[fd] = (struct client){ 0 };
		turn(fd);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	int listening, count;

	signal(SIGPIPE, SIG_IGN);       /* sendfile has no MSG_NOSIGNAL */
	if (argc < 5)
		errx(1, "usage: floor ADDRESS PORT STATUS LENGTH [close]");
	close_after = argc > 5;
	make_answers((unsigned)strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	listening = listen_on(argv[1], argv[2]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	watch(listening, EPOLLIN);
	while ((count = epoll_wait(epoll_fd, events, EVENTS, -1)) >= 0 || errno == EINTR) {
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listening)
				accept_all(listening);
			else
				turn(events[i].data.fd);
		}
	}
	err(1, "epoll_wait");
}
