/* board_fuzz.c - the board as memory that a hostile worker writes: sums, claims and the status answer come
 * out of any bytes, and nothing outside of it is touched.
 *
 * Input: which column is a worker's, then bytes that fill the board again and again. */
#include "fuzz.h"

#include "master/master.h"
#include "net/conn.h"

#include <jansson.h>

static struct master_setup setup = {
	.counter_names = counter_names, .counters = COUNTERS, .gauge = COUNT_OPEN,
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	unsigned column = (input_byte(&input) | (unsigned)input_byte(&input) << 8) % BOARD_COLUMNS, claimed;
	struct board_owners owners = { 0 };
	struct board *board;
	struct err err;

	board = board_create(counter_names, COUNTERS, COUNT_OPEN, NULL, &err);
	FUZZ_CHECK(board != NULL);
	fill(board, input_take(&input, input.len));
	for (unsigned i = 0; i < BOARD_COUNTERS; i++)
		board_sum(board, i);
	check_status(board, column);
	board_retire(board, &owners, column);
	claimed = board_claim(board, &owners);
	FUZZ_CHECK(claimed < BOARD_COLUMNS);
	FUZZ_CHECK(claimed != 0);       /* whatever the board says of owners */
	check_status(board, claimed);
	board_destroy(board);
	return 0;
}
