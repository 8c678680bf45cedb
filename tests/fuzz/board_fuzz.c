/* board_fuzz.c - the board as memory that a hostile worker writes: sums, claims, epitaphs and the status
 * answer come out of any bytes, and nothing outside of it is touched.
 *
 * Input: which column is a worker's, then bytes that fill the board again and again. */
#include "fuzz.h"

#include "master/control.h"
#include "master/master.h"
#include "net/conn.h"

#include <jansson.h>

static struct master_setup setup = {
	.counter_names = counter_names, .counters = COUNTERS, .open = COUNT_OPEN, .levels = counter_levels,
};

static struct hot hot;

static void fill(struct board *board, struct str bytes)
{
	size_t len = bytes.len < sizeof(*board) ? bytes.len : sizeof(*board);

	if (len > 0)
		memcpy(board, bytes.at, len);
	for (size_t more; len > 0 && len < sizeof(*board); len += more) {
		more = len < sizeof(*board) - len ? len : sizeof(*board) - len;
		memcpy((char *)board + len, board, more);
	}
}

static void check_counters(const json_t *counters)
{
	FUZZ_CHECK(json_object_size(counters) == COUNTERS);
	for (unsigned i = 0; i < COUNTERS; i++)
		FUZZ_CHECK(json_is_integer(json_object_get(counters, counter_names[i])));
}

static void check_text(const char *text, size_t room)
{
	size_t len = strnlen(text, room);

	FUZZ_CHECK(len < room);
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(text[i] >= ' ' && text[i] <= '~');
}

static void check_epitaph(const struct epitaph *epitaph, bool waits)
{
	struct log_field fields[OBITUARY_FIELDS];
	struct obituary obituary;

	obituary_read(epitaph, waits, CLOCK_S, &obituary);
	check_text(obituary.client, sizeof(obituary.client));
	check_text(obituary.request, sizeof(obituary.request));
	check_text(obituary.address, sizeof(obituary.address));
	check_text(obituary.stack, sizeof(obituary.stack));
	check_text(obituary.broken, sizeof(obituary.broken));
	FUZZ_CHECK(obituary_fields(&obituary, fields, 0) < OBITUARY_FIELDS);
}

static void check_status(struct board *board, unsigned column)
{
	struct master *master = calloc(1, sizeof(*master));
	struct child child = { .master = master, .column = column };
	json_t *status, *workers;

	master_init(master, &setup);
	master->board = board;
	master->hot = &hot;
	list_push_back(&master->children, &child.link);
	status = status_json(master);
	workers = json_object_get(status, "workers");
	FUZZ_CHECK(json_array_size(workers) == 1);
	check_counters(json_object_get(json_array_get(workers, 0), "counters"));
	check_counters(json_object_get(status, "totals"));
	json_decref(status);
	free(master);
}

static void check_news(struct board *board)
{
	static struct news_event events[NEWS_EVENTS];
	size_t count = news_since(board, 0, events, NEWS_EVENTS);
	struct news news;

	for (size_t i = 0; i < count; i++) {
		FUZZ_CHECK(events[i].kind < NEWS_KINDS);
		FUZZ_CHECK(strnlen(events[i].text, NEWS_EVENT_BYTES) < NEWS_EVENT_BYTES);
	}
	FUZZ_CHECK(news_since(board, board->events.last, events, NEWS_EVENTS) == 0);
	if (news_read(board, &news)) {
		FUZZ_CHECK(strnlen(news.version, sizeof(news.version)) < sizeof(news.version));
		FUZZ_CHECK(strnlen(news.reload.text, NEWS_TEXT_BYTES) < NEWS_TEXT_BYTES);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	unsigned column = (input_byte(&input) | (unsigned)input_byte(&input) << 8) % BOARD_COLUMNS, claimed;
	struct board_owners owners = { 0 };
	struct board *board;
	struct err err;

	board = board_create(counter_names, COUNTERS, counter_levels, NULL, &err);
	FUZZ_CHECK(board != NULL);
	fill(board, input_take(&input, input.len));
	for (unsigned i = 0; i < BOARD_COUNTERS; i++)
		board_sum(board, i);
	check_status(board, column);
	check_news(board);
	check_epitaph(&board->epitaph[column], false);
	check_epitaph(&board->epitaph[column], true);
	board_retire(board, &owners, column, 0);
	claimed = board_claim(board, &owners);
	FUZZ_CHECK(claimed < BOARD_COLUMNS);
	FUZZ_CHECK(claimed != 0);       /* whatever the board says of owners */
	check_status(board, claimed);
	board_destroy(board);
	return 0;
}
