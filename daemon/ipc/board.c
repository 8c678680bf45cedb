/* board.c - the shared counters.  Written by the master (ownership) and by workers (their own column). */
#include "board.h"

#include "base/fd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { SUM_TRIES = 4 };                 /* while columns are moved */

static struct board *map(int fd, struct err *err)
{
	struct board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (board == MAP_FAILED)
		return err_sys(err, errno, "map the board"), NULL;
	return board;
}

static void name_counters(struct board *board, const char *const *names, unsigned counters,
			  const uint64_t levels[BOARD_WORDS])
{
	memcpy(board->levels, levels, sizeof(board->levels));
	board->counters = counters < BOARD_COUNTERS ? counters : BOARD_COUNTERS;
	for (unsigned i = 0; i < board->counters; i++)
		snprintf(board->names[i], BOARD_NAME_BYTES, "%s", names[i]);
}

struct board *board_create(const char *const *names, unsigned counters, const uint64_t levels[BOARD_WORDS],
			   int *fd, struct err *err)
{
	int memory AUTO_CLOSE = fd_memory("drover-board", sizeof(struct board));
	struct board *board;

	if (memory < 0)
		return err_sys(err, errno, "memory for the board"), NULL;
	board = map(memory, err);
	if (board == NULL)
		return NULL;
	board->version = BOARD_VERSION;
	board->columns = BOARD_COLUMNS;
	name_counters(board, names, counters, levels);
	if (fd != NULL)
		*fd = fd_take(&memory);
	return board;
}

struct board *board_resume(int fd, const char *const *names, unsigned counters,
			   const uint64_t levels[BOARD_WORDS], struct err *err)
{
	struct stat info;
	struct board *board;

	if (fstat(fd, &info) < 0)
		return err_sys(err, errno, "the board"), NULL;
	if (info.st_size != (off_t)sizeof(*board))
		return err_set(err, "the board has %lld bytes instead of %zu", (long long)info.st_size,
			       sizeof(*board)), NULL;
	board = map(fd, err);
	if (board != NULL)
		name_counters(board, names, counters, levels);
	return board;
}

void board_destroy(struct board *board)
{
	if (board != NULL)
		munmap(board, sizeof(*board));
}

unsigned board_claim(struct board *board, struct board_owners *owners)
{
	for (unsigned i = BOARD_RETIRED + 1; i < BOARD_COLUMNS; i++) {
		uint64_t bit = UINT64_C(1) << i % 64;

		if ((owners->taken[i / 64] & bit) != 0)
			continue;
		owners->taken[i / 64] |= bit;
		memset(&board->column[i], 0, sizeof(board->column[i]));
		memset(&board->epitaph[i], 0, sizeof(board->epitaph[i]));
		board->column[i].pid = UINT32_MAX;      /* until the pid is known */
		return i;
	}
	return 0;
}

bool board_take(struct board_owners *owners, unsigned column)
{
	uint64_t bit = UINT64_C(1) << column % 64;

	if (column <= BOARD_RETIRED || column >= BOARD_COLUMNS || (owners->taken[column / 64] & bit) != 0)
		return false;
	owners->taken[column / 64] |= bit;
	return true;
}

unsigned board_claim_of(const struct board *board, struct board_owners *owners, uint32_t pid)
{
	for (unsigned i = BOARD_RETIRED + 1; i < BOARD_COLUMNS; i++)
		if (board->column[i].pid == pid && board_take(owners, i))
			return i;
	return 0;
}

static bool is_level(const struct board *board, unsigned counter)
{
	return (board->levels[counter / 64] >> counter % 64 & 1) != 0;
}

static void retire_slot(struct board *board, const struct board_owners *owners, unsigned column,
			unsigned slot)
{
	const struct board_column *gone = &board->column[column];
	const struct metrics_column *metrics = &board->metrics[column];
	struct board_past *past;

	if (slot >= BOARD_SLOTS)
		return;
	past = &board->past[slot];
	for (unsigned site = METRICS_OTHER; site <= owners->sites; site++)
		tally_add(&past->all, &metrics->site[site]);
	for (unsigned i = 0; i < BOARD_COUNTERS; i++)
		if (!is_level(board, i))
			past->counters[i] += gone->counters[i];
	turns_add(&past->turns, &metrics->turns);
}

/* Moves what was measured to the column that stays. */
static void retire_metrics(struct board *board, const struct board_owners *owners, unsigned column)
{
	struct metrics_column *gone = &board->metrics[column], *kept = &board->metrics[BOARD_RETIRED];

	for (unsigned site = METRICS_OTHER; site <= owners->sites; site++) {
		tally_add(&kept->site[site], &gone->site[site]);
		memset(&gone->site[site], 0, sizeof(gone->site[site]));
	}
	turns_add(&kept->turns, &gone->turns);
	memset(&gone->turns, 0, sizeof(gone->turns));
}

void board_retire(struct board *board, struct board_owners *owners, unsigned column, unsigned slot)
{
	struct board_column *gone = &board->column[column], *kept = &board->column[BOARD_RETIRED];

	uint32_t moves = board->moves;

	if (column == BOARD_RETIRED)
		return;
	__atomic_store_n(&board->moves, moves | 1, __ATOMIC_SEQ_CST);
	/* all that there is room for: a broken worker may have written board->counters */
	for (unsigned i = 0; i < BOARD_COUNTERS; i++)
		if (!is_level(board, i))
			kept->counters[i] += gone->counters[i];
	retire_slot(board, owners, column, slot);
	retire_metrics(board, owners, column);
	memset(gone, 0, sizeof(*gone));
	__atomic_store_n(&board->moves, (moves | 1) + 1, __ATOMIC_SEQ_CST);
	owners->taken[column / 64] &= ~(UINT64_C(1) << column % 64);
}

static unsigned row_of(const char rows[METRICS_SITES][METRICS_SITE_BYTES], const char *name)
{
	for (unsigned i = METRICS_OTHER + 1; i < METRICS_SITES; i++)
		if (rows[i][0] != '\0' && strncmp(rows[i], name, METRICS_SITE_BYTES - 1) == 0)
			return i;
	return METRICS_OTHER;
}

unsigned board_site(const struct board *board, const char *name)
{
	return row_of(board->sites, name);
}

bool board_site_add(struct board_owners *owners, const char *name)
{
	if (row_of(owners->site, name) != METRICS_OTHER)
		return true;
	if (owners->sites == METRICS_SITES - 1)
		return false;
	snprintf(owners->site[++owners->sites], METRICS_SITE_BYTES, "%s", name);
	return true;
}

void board_sites_trim(struct board_owners *owners, unsigned sites)
{
	while (owners->sites > sites)
		owners->site[owners->sites--][0] = '\0';
}

void board_sites_publish(struct board *board, const struct board_owners *owners)
{
	memcpy(board->sites, owners->site, sizeof(board->sites));
}

/* A row that is nobody's is not read: that alone would take memory. */
static bool is_used(const struct board *board, unsigned site)
{
	return site == METRICS_OTHER || board->sites[site][0] != '\0';
}

static void sum_site(const struct board *board, unsigned site, struct tally *sum)
{
	*sum = (struct tally){ 0 };
	for (unsigned i = 0; i < BOARD_COLUMNS; i++)
		if ((i == BOARD_RETIRED || board->column[i].pid != 0) && is_used(board, site))
			tally_add(sum, &board->metrics[i].site[site]);
}

void board_site_sum(const struct board *board, unsigned site, struct tally *sum)
{
	uint32_t moves;

	for (unsigned i = 0; i < SUM_TRIES; i++) {
		moves = board_moves(board);
		sum_site(board, site, sum);
		if (moves % 2 == 0 && board_moves(board) == moves)
			return;
	}
}

void board_slot_sum(const struct board *board, unsigned slot, struct tally *sum, struct turns *turns)
{
	const struct board_past *past = &board->past[slot < BOARD_SLOTS ? slot : 0];

	*sum = past->all;
	*turns = past->turns;
	for (unsigned i = BOARD_RETIRED + 1; i < BOARD_COLUMNS; i++) {
		if (board->column[i].pid == 0 || board->column[i].slot != slot)
			continue;
		turns_add(turns, &board->metrics[i].turns);
		for (unsigned site = 0; site < METRICS_SITES; site++)
			if (is_used(board, site))
				tally_add(sum, &board->metrics[i].site[site]);
	}
}

static uint64_t sum_counter(const struct board *board, unsigned counter)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < BOARD_COLUMNS; i++)
		if (i == BOARD_RETIRED || board->column[i].pid != 0)
			sum += board->column[i].counters[counter];
	return sum;
}

uint64_t board_sum(const struct board *board, unsigned counter)
{
	uint64_t sum = 0;
	uint32_t moves;

	for (unsigned i = 0; i < SUM_TRIES; i++) {
		moves = board_moves(board);
		sum = sum_counter(board, counter);
		if (moves % 2 == 0 && board_moves(board) == moves)
			break;
	}
	return sum;
}
