/* replay.c - one engine and its clients in one thread: a fixed sequence of requests, to be counted.
 *
 *     replay SCENARIO [ROUNDS]     e.g. under callgrind, as tests/gate/gate does; "all" runs one after another
 *     replay --list                the scenarios
 *     replay --about               what it was built with, and for which processor it chose
 *
 * It links the daemon's own objects but for main.c and goes the way of a worker: a configuration is read from
 * its text, prepared, adopted; sockets are TCP over 127.0.0.1. In a round each connection sends, then turns
 * are run until all answers are there. Only the turns are counted (and the accept of a connection), and only
 * after some rounds that warm up. The clock moves with the rounds, so that a count does not depend on how
 * fast they are. Every answer is looked at: status and length; anything else ends the program with status 1.
 * Prints "SCENARIO REQUESTS" when it is done. */
#include "scenarios.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log_writer.h"
#include "base/offload.h"
#include "base/watch.h"
#include "config/listeners.h"
#include "config/read.h"
#include "http/access_log.h"
#include "http/http1.h"
#include "ipc/meter.h"
#include "net/clients.h"
#include "net/hot.h"
#include "service/registry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <gnu/libc-version.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT (void)0 /* without valgrind nothing is counted */
#endif

enum {
	CLIENTS = 16,                   /* connections, all of which an epoll_wait reports */
	WARM_ROUNDS = 20,
	ROUNDS = 200,
	ROUND_NS = 500000,
	LOG_JOBS = 256,
	MARKS = 4096,
	PATIENCE_MS = 10000,
	PAUSE_MS = 100,
	ANSWER_BYTES = 256 * 1024,
};

struct client {
	int fd, served;                 /* its end, and the engine's */
	unsigned owed;                  /* answers */
	size_t len;
	char bytes[ANSWER_BYTES];
};

static const struct scenario *scenario;
static struct client clients[CLIENTS];
static struct loop loop;
static struct engine engine;
static struct turn_end end_of_turn;
static struct meter meter;
static uint64_t counters[COUNTERS];
static struct epitaph epitaph;
static struct metrics_column metrics;
static struct hot_line line;
static uint32_t marks[MARKS];
static struct offload log_offload, offload;
static struct log_writers log_writers;
static struct engine_listener *listener;
static int listening;
static struct sockaddr_in address;
static char top[64];
static char etag[128];
static unsigned long requests;          /* sent so far; which file is next goes by it */
static uint64_t monotonic_ns, wall_ns;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "replay: %s: %s\n", what, why);
	exit(1);
}

static void must(bool good, const char *what)
{
	if (!good)
		die(what, strerror(errno));
}

/* ---- the clock: --wrap=clock_gettime for the daemon's objects ---- */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	uint64_t ns = clock == CLOCK_REALTIME ? wall_ns : monotonic_ns;

	if (ns == 0)
		return __real_clock_gettime(clock, now);
	/* what reading it really takes, which callgrind does not see: 78 with the call, by single steps
	 * (x86-64, TSC), of which this function takes the others */
	__asm__ volatile(".rept 54\n\tnop\n\t.endr");
	now->tv_sec = (time_t)(ns / CLOCK_S);
	now->tv_nsec = (long)(ns % CLOCK_S);
	return 0;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* From a whole second on; later than the files of this run, which are then no new ones. */
static void set_clock(void)
{
	wall_ns = ((uint64_t)clock_wall().tv_sec + 1000) * CLOCK_S;
	monotonic_ns = 1000 * CLOCK_S;
}

/* ---- files ---- */

static void make_file(const char *name, size_t bytes)
{
	const struct timespec old[2] = { { .tv_sec = 1700000000 }, { .tv_sec = 1700000000 } };
	char path[160], *content = malloc(bytes);
	int fd;

	snprintf(path, sizeof(path), "%s/site/%s", top, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	must(fd >= 0 && content != NULL, path);
	for (size_t i = 0; i < bytes; i++)
		content[i] = (char)('a' + i % 23);
	must(fd_write_all(fd, content, bytes) && futimens(fd, old) == 0, path);
	close(fd);
	free(content);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

static void remove_all(void)
{
	nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Where the kernel tells of changes, whatever file system the build is on. */
static void make_site(void)
{
	char path[160];

	strcpy(top, access("/dev/shm", W_OK) == 0 ? "/dev/shm/drover-gate-XXXXXX" : "/tmp/drover-gate-XXXXXX");
	must(mkdtemp(top) != NULL, top);
	atexit(remove_all);
	snprintf(path, sizeof(path), "%s/site", top);
	must(mkdir(path, 0755) == 0, path);
	for (const struct site_file *file = site_files; file->name != NULL; file++)
		make_file(file->name, file->bytes);
	for (unsigned i = 0; i < MANY_FILES; i++) {
		snprintf(path, sizeof(path), "many%04u.html", i);
		make_file(path, MANY_BYTES);
	}
}

/* ---- the server ---- */

static void listen_somewhere(void)
{
	socklen_t len = sizeof(address);

	address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(listening, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
	must(listen(listening, CLIENTS) == 0, "listen");
	must(getsockname(listening, (struct sockaddr *)&address, &len) == 0, "getsockname");
}

/* All else as shipped. */
static struct generation *read_generation(bool log)
{
	static const char form[] = "listen = ( { address = \"127.0.0.1:%u\"; } );\n"
				   "sites = ( { routes = ( { match = \"/\";"
				   " files = { root = \"%s/site\"; }; } ); } );\n"
				   "log = { access = \"%s%s\"; access_format = \"combined\"; };\n";
	struct generation *generation = generation_new(1, service_schemas);
	struct problems problems = { 0 };
	char text[1024];
	struct config_input input = { .path = "gate", .text = text };

	snprintf(text, sizeof(text), form, ntohs(address.sin_port), top, log ? top : "", log ? "/log" : "off");
	if (generation == NULL || !read_config(&input, generation, &problems))
		die("configuration", problems.text);
	problems_release(&problems);
	return generation;
}

static void prepare(struct generation *generation)
{
	bool done = false;
	struct err err;

	if (!listeners_prepare(generation, &err))
		die("listeners", err.text);
	while (!done)
		if (!protocol_http1.prepare(generation, 0, &done, &err))
			die("prepare", err.text);
}

static void stop_turning(struct turn_end *hook)
{
	(void)hook;
	loop.stopped = true;
}

/* As worker.c does. */
static void make_engine(void)
{
	struct err err;
	int memory;

	if (!loop_open(&loop, &err))
		die("loop", err.text);
	loop.busy_since_ns = &line.busy_since_ns;
	loop.turn_ns = &line.turn_ns;
	engine_init(&engine, &loop, &protocol_http1, counters);
	engine.epitaph = &epitaph;
	engine.metrics = &metrics;
	offload_init(&log_offload, &loop, LOG_JOBS);
	offload_init(&offload, &loop, LOG_JOBS);
	log_writers_init(&log_writers, &loop, &log_offload);
	engine.log_writers = &log_writers;
	engine.offload = &offload;
	engine.quota = quota_create(&memory, &err);
	if (engine.quota == NULL)
		die("quota", err.text);
	engine.quota_epoch = quota_epoch(engine.quota);
	engine.marks = marks;
	engine.marks_room = MARKS;
	engine.watcher = watcher_open(&loop, NULL, &err);
	if (engine.watcher == NULL)
		die("watcher", err.text);
	end_of_turn.run = stop_turning;
	loop_at_turn_end(&loop, &end_of_turn);
	meter_begin(&meter, &loop, &metrics.turns, &counters[COUNT_READY]);
}

static void adopt(struct generation *generation)
{
	char log[96];
	int fd = -1;

	snprintf(log, sizeof(log), "%s/log", top);
	if (scenario->log) {
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		must(fd >= 0, log);
	}
	access_log_open(&engine, generation->config, fd);
	listener = engine_listener_find(&engine, generation->listeners[0].address);
	must(listener != NULL, "listener");
	listener->sockets++;
	listener->number = 1;
	listener->rules = &generation->listeners[0];
	clients_adopt(&engine, &generation->quota);
	generation_unpin(engine_adopt(&engine, generation));
}

/* ---- what is counted ---- */

static bool counting;

static inline void toggle(void)
{
	if (counting)
		CALLGRIND_TOGGLE_COLLECT;
}

static void turn(void)
{
	struct err err;
	bool good;

	loop.stopped = false;
	toggle();
	good = loop_run(&loop, &err);
	toggle();
	if (!good)
		die("turn", err.text);
}

static void serve_new(int fd, const struct sockaddr_storage *peer)
{
	bool good;

	toggle();
	good = engine_accept(&engine, fd, peer, listener);
	toggle();
	must(good, "accept");
}

/* ---- clients ---- */

static void wait_for(int fd, short events)
{
	struct pollfd one = { .fd = fd, .events = events };

	if (poll(&one, 1, PATIENCE_MS) != 1)
		die(scenario->name, "nothing comes");
}

/* It sends before it is accepted, as most do. */
static void client_connect(struct client *client)
{
	client->len = 0;
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(client->fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
}

static void client_accept(struct client *client)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);

	client->served = accept4(listening, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	must(client->served >= 0, "accept4");
	wait_for(client->served, POLLIN);
	serve_new(client->served, &peer);
}

static unsigned depth(void)
{
	return scenario->depth > 0 ? scenario->depth : 1;
}

static size_t put_request(char *to, size_t room)
{
	char target[64];
	int len;

	snprintf(target, sizeof(target), scenario->target, (unsigned)(requests++ * 7 % MANY_FILES));
	len = snprintf(to, room, "GET %s HTTP/1.1\r\nHost: bench.example\r\n%s%s%s%s%s\r\n", target,
		       scenario->fields != NULL ? scenario->fields : "",
		       scenario->conditional ? "If-None-Match: " : "", scenario->conditional ? etag : "",
		       scenario->conditional ? "\r\n" : "", scenario->one_shot ? "Connection: close\r\n" : "");
	must(len > 0 && (size_t)len < room, "request");
	return (size_t)len;
}

static void client_send(struct client *client)
{
	static char text[32 * 1024];
	size_t len = 0;

	for (unsigned i = 0; i < depth(); i++)
		len += put_request(text + len, sizeof(text) - len);
	must(send(client->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len, "send");
	client->owed = depth();
}

static void note_etag(const char *head)
{
	/* NOLINTNEXTLINE(cert-err34-c): without one it stays empty */
	sscanf(head, "\r\nETag: %127[^\r]", etag);
}

/* Takes one whole answer off; false: it is not all there yet. */
static bool take_answer(struct client *client)
{
	char *end = memmem(client->bytes, client->len, "\r\n\r\n", 4), *field;
	size_t len, body = 0;

	if (end == NULL)
		return false;
	if (strtoul(client->bytes + 9, NULL, 10) != scenario->status)
		die(scenario->name, client->bytes);
	field = memmem(client->bytes, (size_t)(end - client->bytes), "\r\nETag: ", 8);
	if (field != NULL && etag[0] == '\0')
		note_etag(field);
	field = memmem(client->bytes, (size_t)(end - client->bytes), "\r\nContent-Length: ", 18);
	if (field != NULL && scenario->status != 304)
		body = strtoul(field + 18, NULL, 10);
	len = (size_t)(end + 4 - client->bytes) + body;
	if (client->len < len)
		return false;
	if (scenario->body != 0 && body != scenario->body)
		die(scenario->name, "another length");
	client->owed--;
	client->len -= len;
	memmove(client->bytes, client->bytes + len, client->len);
	return true;
}

/* What is there, without waiting. */
static void client_receive(struct client *client)
{
	ssize_t len;

	do {
		len = recv(client->fd, client->bytes + client->len, ANSWER_BYTES - client->len - 1,
			   MSG_DONTWAIT);
		if (len < 0)
			must(errno == EAGAIN, "recv");
		if (len > 0)
			client->len += (size_t)len;
		client->bytes[client->len] = '\0';
		while (client->owed > 0 && take_answer(client))
			;
	} while (len > 0);
	if (len == 0 && client->owed > 0)
		die(scenario->name, "closed");
}

static bool all_answered(void)
{
	unsigned owed = 0;

	for (unsigned i = 0; i < CLIENTS; i++) {
		if (clients[i].owed > 0)
			client_receive(&clients[i]);
		owed += clients[i].owed;
	}
	return owed == 0;
}

/* True when the engine has something to do; false when a client has something to receive. */
static bool engine_is_next(void)
{
	static unsigned pauses;
	struct pollfd fds[CLIENTS + 1] = { { .fd = loop.epoll_fd, .events = POLLIN } };

	if (!list_empty(&loop.ready) || !list_empty(&loop.ready_lean) ||
	    timers_next_ns(&loop.timers) <= loop.now_ns)
		return true;
	for (unsigned i = 0; i < CLIENTS; i++)
		fds[i + 1] = (struct pollfd){ clients[i].owed > 0 ? clients[i].fd : -1, POLLIN, 0 };
	if (poll(fds, CLIENTS + 1, PAUSE_MS) > 0) {
		pauses = 0;
		return fds[0].revents != 0;
	}
	if (++pauses * PAUSE_MS > PATIENCE_MS)
		die(scenario->name, "nothing comes");
	monotonic_ns += PAUSE_MS * CLOCK_MS;    /* it waits for a timer */
	return true;
}

static void until_answered(void)
{
	while (!all_answered())
		if (engine_is_next())
			turn();
}

/* `count` connections have a request each in the same turn. */
static void keep_alive_turn(unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		client_send(&clients[i]);
	for (unsigned i = first; i < first + count; i++)
		wait_for(clients[i].served, POLLIN);
	until_answered();
}

static void keep_alive_round(void)
{
	unsigned count = scenario->alone ? 1 : CLIENTS;

	for (unsigned first = 0; first < CLIENTS; first += count)
		keep_alive_turn(first, count);
}

/* The client closes when it has seen the end, and the engine hears of it in the next turn. */
static void do_nothing(struct ready *ready)
{
	(void)ready;
}

static struct ready nothing = { .serve = do_nothing };

static void one_shot_round(void)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_connect(&clients[i]);
		client_send(&clients[i]);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		client_accept(&clients[i]);
	until_answered();
	for (unsigned i = 0; i < CLIENTS; i++)
		fd_close(&clients[i].fd);
	loop_ready(&loop, &nothing);    /* at least one turn: its end sweeps up those that are closed */
	do
		turn();
	while (engine.count > 0);
}

/* ---- a run ---- */

static void connect_all(void)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		client_connect(&clients[i]);
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_send(&clients[i]);
		client_accept(&clients[i]);
	}
	until_answered();
}

/* As a client learns it. */
static void learn_etag(const struct scenario *wanted)
{
	static const struct scenario once = {
		.name = "etag", .target = "/1k.html", .status = 200, .one_shot = true,
	};

	scenario = &once;
	client_connect(&clients[0]);
	client_send(&clients[0]);
	client_accept(&clients[0]);
	until_answered();
	must(etag[0] != '\0', "etag");
	fd_close(&clients[0].fd);
	while (engine.count > 0)
		turn();
	scenario = wanted;
}

static void run_rounds(unsigned rounds)
{
	while (rounds-- > 0) {
		monotonic_ns += ROUND_NS;
		wall_ns += ROUND_NS;
		if (scenario->one_shot)
			one_shot_round();
		else
			keep_alive_round();
	}
}

static void hang_up(void)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		fd_close(&clients[i].fd);
	while (engine.count > 0)
		turn();
}

static void run(unsigned rounds)
{
	struct generation *generation = read_generation(scenario->log);

	prepare(generation);
	adopt(generation);
	learn_etag(scenario);
	if (!scenario->one_shot)
		connect_all();
	run_rounds(scenario->files_many ? MANY_FILES / CLIENTS + WARM_ROUNDS : WARM_ROUNDS);
	counting = true;
	run_rounds(rounds);
	counting = false;
	hang_up();
	printf("%s %lu\n", scenario->name, (unsigned long)rounds * CLIENTS * depth());
	fflush(stdout);
}

static void about(void)
{
#ifdef __clang__
	printf("clang %d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
	printf("gcc %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
	printf(", glibc %s, %s, %s\n", gnu_get_libc_version(),
#ifdef __x86_64__
	       __builtin_cpu_supports("avx2") ? "x86-64 avx2" : "x86-64",
#else
	       "another processor",
#endif
	       GATE_FLAGS);
}

static void run_named(const char *name, unsigned rounds)
{
	bool all = strcmp(name, "all") == 0;

	listen_somewhere();
	make_site();
	set_clock();
	make_engine();
	for (scenario = scenarios; scenario->name != NULL; scenario++)
		if (all || strcmp(name, scenario->name) == 0) {
			run(rounds);
			if (!all)
				return;
		}
	if (!all)
		die(name, "there is no such scenario");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--about") == 0) {
		about();
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (scenario = scenarios; scenario->name != NULL; scenario++)
			puts(scenario->name);
		return 0;
	}
	if (argc < 2)
		die("usage", "replay SCENARIO [ROUNDS] | --list | --about");
	run_named(argv[1], argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : ROUNDS);
	return 0;
}
