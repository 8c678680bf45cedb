/* status_view.c - what there is to show, gathered.  Called by the files of the status service, in steps of
 * the loop.  Fails by view->failed, out of memory; nothing on the board can make it fail. */
#include "status_view.h"

#include "base/clock.h"
#include "net/hot.h"

#include <stdlib.h>

enum {
	COLUMNS_A_LOOK = 32,            /* between two looks at the clock, where nobody has them */
	SOCKETS_A_STEP = 32,
	BEGUN_ANEW_LEAST = 1000,
};

/* So long, and so often, it is begun anew: the master may have no turn for a while, in the middle of moving a
 * column. Then a sum may be wrong: whoever writes there is broken. */
#define PATIENCE_NS CLOCK_S

const char *const view_state_names[VIEW_STATES] = {
	[VIEW_NONE] = "none",
	[VIEW_BAD] = "bad",
	[VIEW_SERVING] = "serving",
};

const char *const view_doing_names[DOINGS] = {
	[DOING_IDLE] = "idle",	     [DOING_HEAD] = "head",	  [DOING_WAITING] = "waiting",
	[DOING_SENDING] = "sending", [DOING_LEAVING] = "leaving",
};

uint64_t view_doing(const struct view_slot *slot, enum doing doing)
{
	return slot->counters[COUNT_DOING + doing];
}

uint64_t view_ready(const struct view_slot *slot)
{
	return slot->counters[COUNT_READY];
}

struct view *view_new(void)
{
	return calloc(1, sizeof(struct view));
}

void view_free(struct view *view)
{
	if (view != NULL)
		free(view->slots);
	free(view);
}

/* ---- slots --------------------------------------------------------------------------------------- */

/* The seats say how many; without them, the one that asks. */
static unsigned count_slots(const struct engine *engine)
{
	unsigned count = engine->hot != NULL ? engine->hot->slots : 0;

	if (count <= engine->slot)
		count = engine->slot + 1;
	return count < HOT_SLOTS ? count : HOT_SLOTS;
}

static bool make_slots(struct view *view)
{
	unsigned count = count_slots(view->engine);
	struct view_slot *slots = view->slots;

	if (count > view->slot_room) {
		slots = realloc(slots, count * sizeof(*slots));
		if (slots == NULL)
			return false;
		view->slots = slots;
		view->slot_room = count;
	}
	memset(slots, 0, count * sizeof(*slots));
	for (unsigned i = 0; i < count; i++)
		slots[i].first = VIEW_NOBODY;
	view->slot_count = count;
	return true;
}

/* A seat that is good has a worker that serves; one that is not has perhaps one that hangs, or one that is
 * not ready yet. */
static void judge_slots(struct view *view)
{
	const struct hot *hot = view->engine->hot;

	for (unsigned i = 0; i < view->slot_count; i++) {
		struct view_slot *slot = &view->slots[i];
		bool good = hot == NULL || hot->seat[i].good != 0;

		if (slot->first != VIEW_NOBODY)
			slot->state = good ? VIEW_SERVING : VIEW_BAD;
	}
}

/* ---- columns ------------------------------------------------------------------------------------- */

/* Bounds of the board's that are passed over do not count. */
static unsigned merged(unsigned bucket)
{
	return (bucket + VIEW_MERGED - 1) / VIEW_MERGED;
}

static void add_buckets(uint64_t sum[VIEW_BUCKETS], const uint64_t more[METRICS_BUCKETS])
{
	for (unsigned i = 0; i < METRICS_BUCKETS; i++)
		sum[merged(i)] += more[i];
}

void view_merge(uint64_t sum[VIEW_BUCKETS], const uint64_t fine[METRICS_BUCKETS])
{
	memset(sum, 0, VIEW_BUCKETS * sizeof(sum[0]));
	add_buckets(sum, fine);
}

static void add_site(struct view *view, unsigned row, const struct tally *tally, struct view_slot *slot)
{
	struct view_site *site = &view->sites[row];

	for (unsigned i = 0; i < METRICS_CLASSES; i++)
		site->requests[i] += tally->requests[i];
	site->bytes += tally->bytes;
	site->duration_ns += tally->duration_ns;
	add_buckets(site->latency, tally->latency);
	for (unsigned i = 0; i < METRICS_BUCKETS; i++)
		view->latency[i] += tally->latency[i];
	if (slot != NULL)
		add_buckets(slot->latency, tally->latency);
}

static void add_metrics(struct view *view, const struct metrics_column *column, struct view_slot *slot)
{
	for (unsigned row = 0; row < METRICS_SITES; row++)
		if (view->sites[row].used)
			add_site(view, row, &column->site[row], slot);
	if (slot == NULL)
		return;
	slot->turns += column->turns.count;
	slot->busy_ns += column->turns.busy_ns;
	add_buckets(slot->duration, column->turns.duration);
}

static void add_counters(uint64_t *sum, const uint64_t *more)
{
	for (unsigned i = 0; i < COUNTERS; i++)
		sum[i] += more[i];
}

static void add_worker(struct view *view, struct view_slot *slot, const struct board_column *column)
{
	uint16_t number = (uint16_t)view->worker_count;

	if (column->pid == UINT32_MAX)  /* just being forked */
		return;
	view->workers[view->worker_count++] = (struct view_worker){
		.pid = column->pid, .generation = column->generation, .next = slot->first
	};
	slot->first = number;
}

/* False: it is nobody's. */
static bool add_column(struct view *view, unsigned index)
{
	const struct board_column *column = &view_board(view)->column[index];
	uint32_t number = column->slot;
	struct view_slot *slot = NULL;

	if (index != BOARD_RETIRED && column->pid == 0)
		return false;
	if (index != BOARD_RETIRED && number < view->slot_count)
		slot = &view->slots[number];
	add_counters(view->counters, column->counters);
	if (slot != NULL) {
		add_counters(slot->counters, column->counters);
		add_worker(view, slot, column);
	}
	add_metrics(view, &view_board(view)->metrics[index], slot);
	return true;
}

/* Of the workers that the slot had: no levels. */
static void add_past(struct view_slot *slot, const struct board_past *past)
{
	add_counters(slot->counters, past->counters);
	add_buckets(slot->latency, past->all.latency);
	slot->turns += past->turns.count;
	slot->busy_ns += past->turns.busy_ns;
	add_buckets(slot->duration, past->turns.duration);
}

/* True when there is none left. */
static bool step_columns(struct view *view, uint64_t until_ns)
{
	unsigned looked = 0;

	while (view->column < BOARD_COLUMNS) {
		bool is_used = add_column(view, view->column++);

		if ((is_used || ++looked % COLUMNS_A_LOOK == 0) && clock_now_ns() >= until_ns)
			return false;
	}
	return true;
}

/* ---- listening sockets --------------------------------------------------------------------------- */

static struct view_listener *listener_of(struct view *view, const char *address)
{
	struct view_listener *listener;

	for (unsigned i = 0; i < view->listener_count; i++)
		if (strcmp(view->listeners[i].address, address) == 0)
			return &view->listeners[i];
	if (view->listener_count == VIEW_LISTENERS)
		return NULL;
	listener = &view->listeners[view->listener_count++];
	*listener = (struct view_listener){ 0 };
	memccpy(listener->address, address, '\0', ADDR_TEXT_BYTES - 1);
	return listener;
}

static void add_socket(void *context, const char *address, uint64_t waiting, uint64_t dropped)
{
	struct view *view = context;
	struct view_listener *listener = listener_of(view, address);

	view->counters[COUNT_KERNEL_DROPPED] += dropped;
	if (listener == NULL)
		return;
	listener->waiting += waiting;
	listener->dropped += dropped;
}

/* True when there is none left. */
static bool step_sockets(struct view *view, uint64_t until_ns)
{
	const struct engine *engine = view->engine;

	if (engine->queues == NULL)
		return true;
	while (engine->queues(engine, view->socket, SOCKETS_A_STEP, add_socket, view)) {
		view->socket += SOCKETS_A_STEP;
		if (clock_now_ns() >= until_ns)
			return false;
	}
	return true;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

/* Of two rows of one name, which only a broken worker makes, the second one is not shown. */
static bool is_named_before(const struct view *view, unsigned row)
{
	for (unsigned i = 0; i < row; i++)
		if (view->sites[i].used && strcmp(view->sites[i].name, view->sites[row].name) == 0)
			return true;
	return false;
}

static void name_sites(struct view *view, const struct board *board)
{
	static const char other[METRICS_SITE_BYTES] = VIEW_OTHER;

	for (unsigned row = 0; row < METRICS_SITES; row++) {
		struct view_site *site = &view->sites[row];

		*site = (struct view_site){ 0 };
		memcpy(site->name, row == METRICS_OTHER ? other : board->sites[row], METRICS_SITE_BYTES - 1);
		site->used = site->name[0] != '\0' && !is_named_before(view, row);
	}
}

/* In a test an engine may have no board: then its own counters are all there is. */
static void begin_alone(struct view *view)
{
	memset(view->sites, 0, sizeof(view->sites));
	view->sites[METRICS_OTHER] = (struct view_site){ .used = true, .name = VIEW_OTHER };
	view->news = (struct news){ 0 };
	add_counters(view->counters, view->engine->counters);
	if (!view->failed)
		add_counters(view->slots[view->engine->slot].counters, view->engine->counters);
	view->column = BOARD_COLUMNS;
}

static void begin(struct view *view, const struct engine *engine)
{
	struct timespec wall = clock_wall();

	view->engine = engine;
	view->now_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / CLOCK_MS;
	view->now_mono_ns = engine->loop->now_ns;
	memset(view->counters, 0, sizeof(view->counters));
	memset(view->latency, 0, sizeof(view->latency));
	view->worker_count = view->listener_count = view->column = view->socket = 0;
	view->failed = !make_slots(view);
	if (engine->board == NULL || view->failed) {
		begin_alone(view);
		return;
	}
	view->moves = board_moves(engine->board);
	news_read(engine->board, &view->news);
	name_sites(view, engine->board);
	for (unsigned i = 0; i < view->slot_count && i < BOARD_SLOTS; i++)
		add_past(&view->slots[i], &view_board(view)->past[i]);
}

void view_begin(struct view *view, const struct engine *engine)
{
	view->begun_anew = 0;
	view->begun_ns = clock_now_ns();
	begin(view, engine);
}

/* Nothing was moved from a column to another one meanwhile: all of it was seen, and once. */
static bool is_steady(const struct view *view)
{
	const struct board *board = view_board(view);

	return board == NULL || (view->moves % 2 == 0 && board_moves(board) == view->moves);
}

static bool is_patient(const struct view *view)
{
	return view->begun_anew < BEGUN_ANEW_LEAST || clock_now_ns() - view->begun_ns < PATIENCE_NS;
}

bool view_step(struct view *view, uint64_t until_ns)
{
	if (!view->failed && (!step_columns(view, until_ns) || !step_sockets(view, until_ns)))
		return false;
	if (!view->failed && !is_steady(view) && is_patient(view)) {
		view->begun_anew++;
		begin(view, view->engine);
		return false;
	}
	judge_slots(view);
	return true;
}
