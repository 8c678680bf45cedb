/* client.c - many clients of many habits, which account for every request and check every byte.
 *
 *     client --address HOST:PORT|[HOST]:PORT|unix:PATH --root DIRECTORY
 *            --seconds S | --until-stdin-closes | --requests MAX
 *            [--one-shot N] [--keep-alive N] [--distant N] [--download N] [--post N] [--pipelined N]
 *            [--idle N] [--partial N] [--rate REQUESTS] [--gap MS] [--lifetime N] [--distance MS] [--drip MS]
 *            [--download-rate BYTES]
 *            [--reopen 1] [--post-status STATUS] [--limit MS] [--finish S] [--ready FD] [--seed NUMBER]
 *
 * DIRECTORY has the files that the server serves at "/". N clients of each habit ask for them in one loop:
 *     one-shot    a connection for each request
 *     keep-alive  gaps of up to --gap (30 ms) between the requests of a connection
 *     distant     the same, but each direction takes --distance (20 ms)
 *     download    the largest file, at --download-rate (500,000) bytes a second; in turn the whole
 *                 file; and, with a small request behind, the whole, a range, and two ranges
 *     post        bodies in pieces, --drip (20 ms) apart; the answer is --post-status (405)
 *                 and always the same
 *     pipelined   up to 16 requests at once
 *     idle        one request at the beginning and one at the end: the connection must be open all the time
 *     partial     request heads byte by byte, --drip apart
 * --reopen 1: an idle client whose connection is closed opens another, else that was its end.
 * --rate is how many bursts all of those that ask again and again begin in a second, together; without it
 * they are as fast as they can. --lifetime: a client closes its connection after N bursts, on average. No
 * request is ever sent again. When it is told to stop, or --requests were begun (those refused not counted),
 * it begins nothing new, finishes what is under way as fast as it can, and asks on the idle connections; what
 * is not answered within --finish (20 s) is lost, and so is what is not answered, or makes no progress,
 * within --limit (20,000 ms). --ready: a byte is written to this descriptor when every client has seen its
 * first answer (a download its first bytes, a partial head was begun).
 *
 * Prints a JSON object: "endings", the connections that the server ended unasked, in the order in which that was
 * noticed (endings.h); "kinds", "total" and, by kind, the outcomes (account.h), how long it took from the
 * request (of a POST and a partial head: its last byte) to the whole answer (of a download: to its first
 * byte), and how many took longer than 200 ms and 1 s. Exit status 0, whatever the outcomes are; 1 with a
 * message when the clients themselves could not work, 2 for wrong arguments. */
#include "loss/asker.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	OPENING_MAX =
		64, /* first requests at a time, and last ones of those that wait: no storm of our own */
	CLIENTS_MAX = 1000000,
	USAGE = 2,
};

static struct askers askers;
static struct asker *clients;
static unsigned client_count, started_count, finished_count;
static uint64_t began_ns;
static int ready_fd = -1;
static struct source stdin_source;
static struct timer stop_timer, finish_timer;
static struct turn_end turn_end;

/* ---- options ---- */

static uint64_t gap_ms = 30, distance_ms = 20, drip_ms = 20, limit_ms = 20000, finish_s = 20;
static uint64_t post_status = 405, download_rate = 500000;
static uint64_t seconds, requests, rate, seed, reopen, ready = UINT64_MAX;
static uint64_t counts[KINDS];
static const char *address, *root;
static bool until_stdin_closes;

static const struct {
	const char *name;
	uint64_t *value;
	uint64_t max;
} numbers[] = {
	{ "seconds", &seconds, 1000000 },
	{ "requests", &requests, UINT32_MAX },
	{ "rate", &rate, 1000000 },
	{ "gap", &gap_ms, 1000000 },
	{ "lifetime", &askers.lifetime, 1000000 },
	{ "distance", &distance_ms, 10000 },
	{ "drip", &drip_ms, 100000 },
	{ "download-rate", &download_rate, UINT32_MAX },
	{ "reopen", &reopen, 1 },
	{ "post-status", &post_status, 599 },
	{ "limit", &limit_ms, 10000000 },
	{ "finish", &finish_s, 10000 },
	{ "ready", &ready, INT32_MAX },
	{ "seed", &seed, UINT32_MAX },
};

static uint64_t parse_number(const char *name, const char *text, uint64_t max)
{
	char *end;
	uint64_t number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || number > max)
		errx(USAGE, "--%s %s: a number from 0 to %lu was expected", name, text, max);
	return number;
}

/* Is `option` the name of the kind? */
static bool names_kind(const char *option, const char *kind)
{
	for (; *option != '\0' && (*option == *kind || (*option == '-' && *kind == '_')); option++, kind++)
		;
	return *option == *kind;
}

/* False: there is no such option. */
static bool set_option(const char *name, const char *text)
{
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(name, numbers[i].name) == 0) {
			*numbers[i].value = parse_number(name, text, numbers[i].max);
			return true;
		}
	}
	for (unsigned i = 0; i < KINDS; i++) {
		if (names_kind(name, kinds[i].name)) {
			counts[i] = parse_number(name, text, CLIENTS_MAX);
			return true;
		}
	}
	if (strcmp(name, "address") == 0)
		address = text;
	else if (strcmp(name, "root") == 0)
		root = text;
	else
		return false;
	return true;
}

static void read_options(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];

		if (strcmp(name, "--until-stdin-closes") == 0)
			until_stdin_closes = true;
		else if (i + 1 == argc || strncmp(name, "--", 2) != 0 || !set_option(name + 2, argv[++i]))
			errx(USAGE, "%s is no option, or lacks its value", name);
	}
	if (address == NULL || root == NULL)
		errx(USAGE, "--address and --root are needed");
	if (seconds == 0 && requests == 0 && !until_stdin_closes)
		errx(USAGE, "--seconds, --requests or --until-stdin-closes is needed");
}

static bool read_unix(const char *path)
{
	struct sockaddr_un *un = &askers.server.un;

	un->sun_family = AF_UNIX;
	askers.server_len = sizeof(*un);
	if (strlen(path) >= sizeof(un->sun_path))
		return false;
	strcpy(un->sun_path, path);
	return true;
}

/* HOST:PORT or [HOST]:PORT, both as numbers. */
static bool read_internet(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;
	char host[INET6_ADDRSTRLEN] = "";
	uint16_t port;
	bool is_v6 = len > 2 && text[0] == '[' && text[len - 1] == ']';

	if (len == 0 || len - 2 * is_v6 >= sizeof(host))
		return false;
	memcpy(host, text + is_v6, len - 2 * is_v6);
	port = htons((uint16_t)parse_number("address", colon + 1, UINT16_MAX));
	if (is_v6) {
		askers.server.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port };
		askers.server_len = sizeof(askers.server.in6);
		return inet_pton(AF_INET6, host, &askers.server.in6.sin6_addr) == 1;
	}
	askers.server.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
	askers.server_len = sizeof(askers.server.in);
	return inet_pton(AF_INET, host, &askers.server.in.sin_addr) == 1;
}

static void read_address(void)
{
	bool read = strncmp(address, "unix:", 5) == 0 ? read_unix(address + 5) : read_internet(address);

	if (!read)
		errx(USAGE, "--address %s: HOST:PORT, [HOST]:PORT or unix:PATH was expected", address);
}

/* ---- the run ---- */

static void say_ready(void)
{
	if (askers.not_in_place > 0 || askers.stopping || ready_fd < 0)
		return;
	if (write(ready_fd, "r", 1) != 1)
		err(1, "--ready");
	close(ready_fd);
	ready_fd = -1;
}

/* Starts clients, or ends them: at most OPENING_MAX at a time. */
static void move_on(struct askers *all)
{
	static bool at_it;      /* a client may be in place at once */

	if (at_it)
		return;
	at_it = true;
	while (!all->stopping && started_count < client_count && all->opening < OPENING_MAX)
		asker_start(&clients[started_count++]);
	while (all->stopping && finished_count < client_count && all->opening < OPENING_MAX)
		asker_finish(&clients[finished_count++]);
	at_it = false;
	say_ready();
}

static void finish_fired(struct timer *timer, uint64_t now_ns)
{
	(void)timer;
	(void)now_ns;
	for (unsigned i = 0; i < client_count; i++)
		asker_give_up(&clients[i]);
}

static void stop(void)
{
	if (askers.stopping)
		return;
	askers.stopping = true;
	loop_timer(&askers.loop, &finish_timer, finish_s * CLOCK_S);
	move_on(&askers);
}

static void stop_fired(struct timer *timer, uint64_t now_ns)
{
	(void)timer;
	(void)now_ns;
	stop();
}

static void stdin_event(struct source *source, uint32_t events)
{
	char bytes[256];

	(void)events;
	if (read(source->fd, bytes, sizeof(bytes)) > 0)
		return;
	loop_remove(&askers.loop, source);
	stop();
}

static void turn_ended(struct turn_end *hook)
{
	(void)hook;
	if (askers.requests_left == 0)
		stop();
}

/* Every client has a descriptor, perhaps. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "setrlimit");
}

static void make_clients(void)
{
	uint64_t asking = 0;    /* again and again */
	unsigned next = 0;

	for (unsigned i = 0; i < KINDS; i++) {
		client_count += (unsigned)counts[i];
		asking += kinds[i].waits || kinds[i].downloads ? 0 : counts[i];
	}
	if (client_count == 0)
		errx(USAGE, "no clients");
	clients = calloc(client_count, sizeof(*clients));
	if (clients == NULL)
		err(1, "%u clients", client_count);
	for (unsigned i = 0; i < KINDS; i++)
		for (uint64_t j = 0; j < counts[i]; j++)
			clients[next++] = (struct asker){ .source = { .fd = -1 },
							  .all = &askers,
							  .kind = &kinds[i],
							  .account = &askers.accounts[i] };
	askers.active = askers.not_in_place = client_count;
	askers.pace_ns = rate > 0 ? asking * CLOCK_S / rate : 0;
}

static void prepare(void)
{
	struct err error;

	if (!files_load(&askers.files, root, &error) || !loop_open(&askers.loop, &error))
		errx(1, "%s", error.text);
	answer_post_status = (unsigned)post_status;
	ready_fd = ready <= INT32_MAX ? (int)ready : -1;
	askers.gap_ns = gap_ms * CLOCK_MS;
	askers.distance_ns = distance_ms * CLOCK_MS;
	askers.drip_ns = drip_ms * CLOCK_MS;
	askers.limit_ns = limit_ms * CLOCK_MS;
	askers.download_rate = download_rate;
	askers.reopens = reopen != 0;
	askers.requests_left = requests > 0 ? requests : UINT64_MAX;
	seed = seed > 0 ? seed : clock_now_ns() % UINT32_MAX;
	askers.random = seed + 1;
	askers.room = move_on;
	finish_timer.fire = finish_fired;
	stop_timer.fire = stop_fired;
	turn_end.run = turn_ended;
	loop_at_turn_end(&askers.loop, &turn_end);
	if (seconds > 0)
		loop_timer(&askers.loop, &stop_timer, seconds * CLOCK_S);
	stdin_source = (struct source){ .fd = STDIN_FILENO, .handle = stdin_event };
	errno = until_stdin_closes ? loop_add(&askers.loop, &stdin_source, EPOLLIN) : 0;
	if (errno != 0)
		err(1, "--until-stdin-closes: stdin is no pipe");
}

static void report(void)
{
	struct account total = { 0 };
	json_t *by_kind = json_object(), *object;

	for (unsigned i = 0; i < KINDS; i++) {
		const struct account *account = &askers.accounts[i];

		if (!account_balanced(account))
			errx(1, "a bug: the outcomes of %s are not as many as its requests", kinds[i].name);
		account_add(&total, account);
		if (counts[i] == 0)
			continue;
		object = account_json(account);
		json_object_set_new(object, "clients", json_integer((json_int_t)counts[i]));
		json_object_set_new(by_kind, kinds[i].name, object);
	}
	object = json_pack("{s:o, s:o, s:o, s:I, s:f, s:I}", "kinds", by_kind, "total", account_json(&total),
			   "endings", endings_json(&askers.endings), "more_endings",
			   (json_int_t)askers.endings.more, "seconds",
			   (double)(clock_now_ns() - began_ns) / CLOCK_S, "seed", (json_int_t)seed);
	if (json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15)) < 0 || putchar('\n') == EOF ||
	    fflush(stdout) != 0)
		err(1, "the report");
	json_decref(object);
}

int main(int argc, char **argv)
{
	struct err error;

	read_options(argc, argv);
	read_address();
	raise_limit();
	prepare();
	make_clients();
	began_ns = clock_now_ns();
	move_on(&askers);
	if (!loop_run(&askers.loop, &error))
		errx(1, "%s", error.text);
	report();
	free(clients);
	free(askers.endings.list);
	return 0;
}
