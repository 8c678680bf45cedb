/* hostile.c - a service by which a worker turns against the master and its siblings, with all that it shares
 * with them, for as long as it lives:
 *
 *     ?board=HOW, ?hot=HOW, ?quota=HOW
 *                             a thread writes there again and again: zeros, ones, random, aimed
 *     ?channel=HOW            a thread sends messages to the master: random (of right lengths), notes (with
 *                             descriptors), calls (only what asks for something), broken (no messages)
 *     ?will=HOW               once: word (another's pid as that of its keeper), random, broken
 *     ?linger=PORT            sends the connection of the client with this port, whose close(2) would wait,
 *                             to the master as its only holder
 *     ?bequeath=PORT          the same by its will
 *     ?close=PORT             stops listening for everybody, with the port's sockets (shutdown(2))
 *     ?disconnect=PORT        the same by connect(2), to nobody
 *     ?deafen=PORT            lets nothing reach them, by a filter of packets
 *
 * Called through the struct, by the test build alone (tests/aids/registry.c).  The answer is the worker's
 * pid; what it does not understand is answered with 400, what it cannot do with 500. */
#include "aids/hostile.h"

#include "aids/answer.h"
#include "http/exchange.h"
#include "net/hot.h"
#include "net/quota.h"
#include "worker/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAUSE_MS = 1, DESCRIPTORS = 4096, LINGER_S = 3600, MOST_FDS = 3, BEFORE = 200 };

static const struct setting rows[] = { { 0 } };

const struct schema hostile_schema = {
	.name = "hostile",
	.settings = rows,
	.count = 0,
	.bytes = 0,
	.help = "its worker turns against the others: for tests",
};

/* What a thread does until the worker ends. */
struct assault {
	struct worker *worker;
	const char *how;
	void (*round)(struct assault *assault);
	uint64_t random;
};

static uint64_t next_random(struct assault *assault)
{
	assault->random ^= assault->random << 13;
	assault->random ^= assault->random >> 7;
	assault->random ^= assault->random << 17;
	return assault->random;
}

static bool is(const struct assault *assault, const char *how)
{
	return strcmp(assault->how, how) == 0;
}

/* ---- memory ---- */

static void fill(struct assault *assault, void *memory, size_t bytes)
{
	uint64_t *word = memory;

	if (!is(assault, "random")) {
		memset(memory, is(assault, "ones") ? 0xff : 0, bytes);
		return;
	}
	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] = next_random(assault);
}

/* Whatever might be taken for a length, an index, a pid or a time. */
static void aim_at_board(struct assault *assault, struct board *board)
{
	board->counters = board->columns = UINT32_MAX;
	memset(board->names, 'x', sizeof(board->names));
	for (unsigned i = 0; i < BOARD_COLUMNS; i++) {
		struct epitaph *epitaph = &board->epitaph[i];

		board->column[i].pid = (uint32_t)(i % 2 == 0 ? assault->worker->parent : -1);
		board->column[i].slot = UINT32_MAX;
		memset(board->column[i].counters, 0xff, sizeof(board->column[i].counters));
		memset(epitaph, '%', sizeof(*epitaph));
		epitaph->phase = EPITAPH_PHASES + i;
		epitaph->known = epitaph->request_bytes = epitaph->stack_bytes = UINT32_MAX - i;
		epitaph->client[0] = i % 2 == 0 ? AF_INET : AF_INET6;
		epitaph->client[1] = 0;
	}
}

static void write_board(struct assault *assault)
{
	struct board *board = (struct board *)assault->worker->engine.board;

	if (is(assault, "aimed"))
		aim_at_board(assault, board);
	else
		fill(assault, board, sizeof(*board));
}

/* Everybody but itself is bad, hangs, and never moves. */
static void aim_at_hot(const struct assault *assault, struct hot *hot)
{
	const struct worker *worker = assault->worker;

	hot->slots = HOT_SLOTS;
	for (unsigned i = 0; i < HOT_SLOTS; i++) {
		hot->seat[i].good = i == worker->slot;
		hot->seat[i].line = UINT32_MAX - i;
	}
	for (unsigned i = 0; i < HOT_LINES; i++)
		if (&hot->line[i] != worker->line)
			hot->line[i] = (struct hot_line){ 1, 1, 1, UINT64_MAX, UINT64_MAX, 1, { 0 } };
}

static void write_hot(struct assault *assault)
{
	struct hot *hot = (struct hot *)assault->worker->hot;

	if (is(assault, "aimed"))
		aim_at_hot(assault, hot);
	else
		fill(assault, hot, sizeof(*hot));
}

/* Everybody has as many connections as can be, owes for longer than can be, and what was counted is not. */
static void aim_at_quota(struct quota *quota)
{
	atomic_fetch_add(&quota->epoch, 1);
	for (unsigned i = 0; i < QUOTA_ENTRIES; i++) {
		struct quota_entry *entry = &quota->entries[i];

		atomic_fetch_or(&entry->word, QUOTA_CONNECTIONS_MOST);
		atomic_store(&entry->due_ns[0], UINT64_MAX);
		atomic_store(&entry->due_ns[1], UINT64_MAX >> 12);
	}
}

static void write_quota(struct assault *assault)
{
	struct quota *quota = assault->worker->engine.quota;

	if (is(assault, "aimed"))
		aim_at_quota(quota);
	else
		fill(assault, quota, sizeof(*quota));
}

/* ---- the channel ---- */

static const unsigned calls[] = { MESSAGE_WAITING, MESSAGE_PARTED, MESSAGE_UNHEARD, MESSAGE_SPENT,
				  MESSAGE_COUNTED, MESSAGE_RELEASED, MESSAGE_REOPENED };

static uint32_t length_of(unsigned type)
{
	switch (type) {
	case MESSAGE_FAILED:
		return 8;
	case MESSAGE_REOPENED:
		return sizeof(struct reopened_note);
	case MESSAGE_COUNTED:
		return sizeof(struct count_note);
	case MESSAGE_PARTED:
	case MESSAGE_UNHEARD:
		return sizeof(struct hand_note);
	default:
		return 0;
	}
}

static void fill_message(struct assault *assault, struct message *message)
{
	fill(assault, &message->body, 64);
	if (is(assault, "calls"))
		message->type = calls[next_random(assault) % (sizeof(calls) / sizeof(calls[0]))];
	else
		message->type = MESSAGE_READY + (uint32_t)(next_random(assault) % 2 == 0
								   ? next_random(assault) % 3
								   : next_random(assault) % 18);
	message->generation = next_random(assault) % 16;
	message->bytes = length_of(message->type);
	if (message->type == MESSAGE_FAILED)
		message->body.text[7] = '\0';
}

static void send_messages(struct assault *assault)
{
	static struct message message;
	int fd = assault->worker->channel.fd, fds[MOST_FDS] = { STDERR_FILENO, STDERR_FILENO, STDERR_FILENO };
	struct pollfd one = { .fd = fd, .events = POLLOUT };
	struct err err;

	if (is(assault, "broken")) {
		fill(assault, &message, sizeof(message));
		send(fd, &message, next_random(assault) % sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
	} else {
		do
			fill_message(assault, &message);
		while (channel_send(fd, &message, fds, is(assault, "notes") ? MOST_FDS : 0, &err));
	}
	poll(&one, 1, -1);
}

/* ---- its will ---- */

static int find_will(const struct worker *worker)
{
	for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS; fd++) {
		int type = 0;
		socklen_t len = sizeof(type);

		if (fd != worker->channel.fd && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
		    type == SOCK_SEQPACKET)
			return fd;
	}
	return -1;
}

static bool write_will(struct assault *assault)
{
	int fd = find_will(assault->worker), fds[MOST_FDS] = { STDERR_FILENO, STDERR_FILENO, STDERR_FILENO };
	struct will_word word = { (uint32_t)assault->worker->parent };
	struct bequest bequest = { 0 };

	if (is(assault, "word"))
		return send(fd, &word, sizeof(word), MSG_NOSIGNAL) == sizeof(word);
	fill(assault, &bequest, sizeof(bequest));
	if (is(assault, "random"))
		bequest.count = MOST_FDS;
	return rights_send(fd, &bequest, is(assault, "broken") ? 9 : sizeof(bequest), fds, MOST_FDS) > 0;
}

/* ---- sockets ---- */

static bool has_port(int fd, bool peer, unsigned port)
{
	struct sockaddr_in addr = { 0 };
	socklen_t len = sizeof(addr);
	int failed = peer ? getpeername(fd, (struct sockaddr *)&addr, &len)
			  : getsockname(fd, (struct sockaddr *)&addr, &len);

	return failed == 0 && addr.sin_family == AF_INET && ntohs(addr.sin_port) == port;
}

/* Full, and whoever closes it last waits for an hour that somebody reads. */
static int make_lingering(unsigned port)
{
	struct linger linger = { 1, LINGER_S };
	static const char bytes[65536];

	for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS; fd++) {
		if (!has_port(fd, true, port))
			continue;
		while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			;
		return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0 ? fd : -1;
	}
	return -1;
}

static bool give_lingering(const struct worker *worker, unsigned port, bool by_will)
{
	struct message message = { .type = MESSAGE_WAITING };
	struct bequest bequest = { 1, { 1 } };
	int fd = make_lingering(port);
	struct err err;
	bool sent;

	if (fd < 0)
		return false;
	for (unsigned i = 0; i < BEFORE; i++)   /* so that it is ours no more when the master gets there */
		if (!by_will && !channel_send(worker->channel.fd, &message, NULL, 0, &err))
			return false;
	if (by_will)
		sent = rights_send(find_will(worker), &bequest, 2 * sizeof(uint32_t), &fd, 1) > 0;
	else
		sent = channel_send(worker->channel.fd, &message, &fd, 1, &err);
	close(fd);
	fcntl(STDERR_FILENO, F_DUPFD, fd);      /* its own is gone, and what it knows of it wrong */
	return sent;
}

static bool shut(int fd)
{
	return shutdown(fd, SHUT_RDWR) == 0;
}

static bool disconnect(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	return connect(fd, &nobody, sizeof(nobody)) == 0;
}

static bool deafen(int fd)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = { 1, &nothing };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

static bool to_listeners(unsigned port, bool (*do_to)(int fd))
{
	bool done = false;

	for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS; fd++) {
		int listens = 0;
		socklen_t len = sizeof(listens);

		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0 &&
		    has_port(fd, false, port))
			done = do_to(fd);
	}
	return done;
}

/* ---- the service ---- */

static void *run(void *of)
{
	struct assault *assault = of;

	for (;;) {
		assault->round(assault);
		poll(NULL, 0, PAUSE_MS);
	}
	return NULL;
}

static bool begin(const struct assault *assault)
{
	struct assault *own = malloc(sizeof(*own));
	pthread_t thread;

	if (own == NULL)
		return false;
	*own = *assault;
	own->how = strdup(assault->how);
	if (own->how != NULL && pthread_create(&thread, NULL, run, own) == 0)
		return true;
	free((void *)(uintptr_t)own->how);
	free(own);
	return false;
}

/* 0: done; else the status of the answer. */
static unsigned act(struct worker *worker, const char *what, const char *how)
{
	struct assault assault = { worker, how, NULL, (uint64_t)getpid() << 32 | 1 };
	unsigned port = (unsigned)strtoul(how, NULL, 10);
	bool done = false;

	if (strcmp(what, "board") == 0)
		assault.round = write_board;
	else if (strcmp(what, "hot") == 0)
		assault.round = write_hot;
	else if (strcmp(what, "quota") == 0)
		assault.round = write_quota;
	else if (strcmp(what, "channel") == 0)
		assault.round = send_messages;
	else if (strcmp(what, "will") == 0)
		done = write_will(&assault);
	else if (strcmp(what, "linger") == 0 || strcmp(what, "bequeath") == 0)
		done = give_lingering(worker, port, what[0] == 'b');
	else if (strcmp(what, "close") == 0)
		done = to_listeners(port, shut);
	else if (strcmp(what, "disconnect") == 0)
		done = to_listeners(port, disconnect);
	else if (strcmp(what, "deafen") == 0)
		done = to_listeners(port, deafen);
	else
		return 400;
	return (assault.round != NULL ? begin(&assault) : done) ? 0 : 500;
}

static enum answer hostile_start(struct exchange *exchange, const void *settings)
{
	struct str query = span_str(exchange->request.query, exchange->head);
	char *what = arena_printf(&exchange->arena, "%.*s", (int)query.len, query.at);
	char *how = what == NULL ? NULL : strchr(what, '=');
	unsigned status = 400;

	(void)settings;
	if (how != NULL) {
		*how = '\0';
		status = act(LIST_ENTRY(exchange->engine, struct worker, engine), what, how + 1);
	}
	if (status == 0)
		return answer_text(exchange, arena_printf(&exchange->arena, "%d\n", (int)getpid()));
	exchange_error(exchange, status);
	return ANSWERED;
}

const struct service service_hostile = { .name = "hostile",
					 .settings = &hostile_schema,
					 .start = hostile_start };
