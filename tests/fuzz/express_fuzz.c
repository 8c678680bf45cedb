/* express_fuzz.c - whichever way a request goes, its client sees the same and the same is counted.
 *
 * What comes byte by byte always goes the general way. The same bytes in larger pieces, over a transport that
 * has fits, may go the express way; both must be answered with the same bytes but for Date.
 *
 * Input: how the transport moves bytes (three bytes), how the client's bytes are cut, what the client
 * sends. */
#include "fuzz.h"

#include "unit/fake_move.h"

#include "base/clock.h"
#include "http/date.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MOST_NS (5 * CLOCK_S)

static struct fake_server server;

/* At the end of the process: its directory goes, and nothing may be left behind. */
static void tear_down(void)
{
	server.client_count = 0;
	fake_server_close(&server);
}

/* What was written just now has a weak tag, and a strong one two seconds later. */
static void make_old(const char *name)
{
	struct timespec then[2] = { { .tv_sec = 1700000000 }, { .tv_sec = 1700000000 } };
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", server.root, name);
	utimensat(AT_FDCWD, path, then, 0);
}

static void set_up(void)
{
	static bool is_up;

	if (is_up)
		return;
	is_up = true;
	fake_server_open(&server, &protocol_http1);
	atexit(tear_down);
	fake_file(&server, "file.txt", "0123456789", 10);
	make_old("file.txt");
	server.config->request_line_bytes = 200;
	server.config->header_bytes = 400;
	server.config->headers = 8;
	fuzz_no_log();
}

/* ---- a conversation ---- */

struct outcome {
	struct str text;                /* malloc'ed */
	uint64_t counters[COUNTERS];
};

static void turn(void)
{
	fake_wait_for_nothing(&server);
	fuzz_turn(&server.loop);
}

static void send_all(struct fake_client *client, struct str bytes, struct cuts cuts)
{
	while (bytes.len > 0 && !client->eof) {
		ssize_t sent = send(client->fd, bytes.at, cuts_next(&cuts, bytes.len),
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno != EAGAIN)        /* the server has closed */
			break;
		if (sent > 0)
			str_take(&bytes, (size_t)sent);
		turn();
	}
	shutdown(client->fd, SHUT_WR);
}

static void blank_dates(char *at, size_t len)
{
	static const char name[] = "\r\nDate: ";
	char *end = at + len;

	while ((at = memmem(at, (size_t)(end - at), name, strlen(name))) != NULL) {
		at += strlen(name);
		FUZZ_CHECK(end - at >= DATE_BYTES - 1);
		memset(at, '.', DATE_BYTES - 1);
	}
}

static struct outcome converse(struct str bytes, struct cuts cuts)
{
	uint64_t until = clock_now_ns() + MOST_NS, before[COUNTERS];
	struct fake_client client;
	struct outcome outcome = { 0 };

	memcpy(before, server.counters, sizeof(before));
	server.client_count = 0;
	fake_connect(&server, &client, "");
	send_all(&client, bytes, cuts);
	while (!client.eof && clock_now_ns() < until)
		turn();
	FUZZ_CHECK(client.eof);
	fake_hang_up(&client);
	while (server.counters[COUNT_OPEN] > 0 && clock_now_ns() < until)
		turn();
	FUZZ_CHECK(server.counters[COUNT_OPEN] == 0);
	if (client.len > 0) {
		blank_dates(client.text, client.len);
		fake_mask_boundaries(&client);
	}
	outcome.text = (struct str){ client.text, client.len };
	for (unsigned i = 0; i < COUNT_FILE_CACHE_HITS; i++)    /* those from there on tell the ways apart */
		outcome.counters[i] = server.counters[i] - before[i];
	return outcome;
}

/* Those services say something else each time, take time, or break off. */
static bool varies(const uint8_t *data, size_t size)
{
	static const char *const words[] = { "/status", "/slow", "/stalls", "/later", "/breaks" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (size > 0 && memmem(data, size, words[i], strlen(words[i])) != NULL)
			return true;
	return false;
}

static struct fake_fits take_fits(struct input *input)
{
	struct fake_fits fits = { .recv_bytes = input_byte(input), .send_bytes = input_byte(input) };

	fits.again_every = input_byte(input) % 8;
	if (fits.again_every == 1)              /* every call: nothing would ever move */
		fits.again_every = 0;
	return fits;
}

static void check_same(struct str sent, struct cuts cuts, struct fake_fits fits)
{
	const struct cuts bytewise = { 0 };
	struct outcome general, express;

	fake_fits = (struct fake_fits){ 0 };
	general = converse(sent, bytewise);
	fake_fits = fits;
	express = converse(sent, cuts);
	FUZZ_CHECK(str_equal(general.text, express.text));
	for (unsigned i = 0; i < COUNTERS; i++)         /* a ready answer asks no file cache */
		FUZZ_CHECK(general.counters[i] == express.counters[i] || i == COUNT_FILE_CACHE_HITS ||
			   i == COUNT_FILE_CACHE_MISSES);
	free((char *)general.text.at);
	free((char *)express.text.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct fake_fits fits;
	struct cuts cuts;

	if (varies(data, size))
		return 0;
	set_up();
	server.engine.transport = size > 0 && data[0] % 2 == 0 ? &transport_plain : &fake_transport;
	fits = take_fits(&input);
	cuts = cuts_of(&input);
	check_same(input_take(&input, input.len), cuts, fits);
	FUZZ_CHECK(server.engine.slab.in_use == 0);
	FUZZ_CHECK(server.engine.states.in_use == 0);
	FUZZ_CHECK(server.engine.pool.in_use_bytes == 0);
	FUZZ_CHECK(server.engine.generation->pins == 1);
	return 0;
}
