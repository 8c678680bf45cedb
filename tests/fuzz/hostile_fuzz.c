/* hostile_fuzz.c - workers that say anything while a transition is open: it is committed only when all have
 * voted for it, nobody gets both GO and ABORT, who asked is answered once, no descriptor is lost.
 *
 * They also write what they like to the memory that is shared and into their wills, and crash: whatever the
 * master reads of it, it looks after its slots, finds heirs and shows its state.
 *
 * Input: what the transition is (a start, a reload, a replacement; how many slots), then records: which
 * worker speaks, and its message; or from 0xf0 on something else that it does. */
#include "fuzz.h"

/* The master's side of the channel as it is; what it calls is the master's own. */
#define spawn_child fuzz_spawn_child
#define spawn_ask fuzz_spawn_ask
#define spawn_kill_all fuzz_spawn_kill_all
#define spawn_watch fuzz_spawn_watch
#define child_happens fuzz_child_happens
#define child_go fuzz_child_go
#define child_unreachable fuzz_child_unreachable
#define spawn_tell_to_look fuzz_spawn_tell_to_look
#define spawn_lose fuzz_spawn_lose
#include "master/spawn.c"
#undef spawn_child
#undef spawn_ask
#undef spawn_kill_all
#undef spawn_watch
#undef child_happens
#undef child_go
#undef spawn_tell_to_look
#undef spawn_lose

#include "config/canonical.h"
#include "fuzz_message.h"
#include "ipc/will.h"
#include "master/control.h"
#include "net/conn.h"
#include "service/registry.h"

#include <jansson.h>

enum { DOES_HOT = 0xf0, DOES_BOARD = 0xf4, DOES_WILL = 0xf8, DOES_CRASH = 0xfc };

/* So much of the table is written: what is done about it is the same of each entry. */
enum { QUOTA_BYTES = 4096 };

enum { IS_START = 1, IS_REPLACEMENT = 2, MOST_WORKERS = 6, OLD = 1, NEW = 2 };

/* A child as the test sees it. */
struct puppet {
	struct child *child;
	int end;                        /* the worker's */
	int will;                       /* its end of that */
	bool votes;                     /* its vote is asked for */
	bool said_ready, got_go, got_abort;
};

struct stage {
	struct master *master;
	struct asker asker;
	unsigned answers;
	struct asker curious;           /* about generations */
	struct puppet puppets[MOST_WORKERS];
	unsigned count;
};

static struct board *board;
static struct hot hot;
static struct quota *quota;
static bool written;                    /* one of them, by an input */
static struct master_setup setup = {
	.services = service_schemas, .counter_names = counter_names, .counters = COUNTERS,
	.open = COUNT_OPEN, .levels = counter_levels,
};

/* No process of ours is a worker: a respawn fails and is tried again later. */
pid_t fork(void)
{
	errno = EAGAIN;
	return -1;
}

/* ---- the stage ---- */

static struct verdict verdict_of(uint64_t number, unsigned slots)
{
	struct generation *generation = generation_new(number, service_schemas);
	struct canonical_load load;
	bool done = false;
	struct err err;

	FUZZ_CHECK(canonical_begin(&load, generation, str_of(fuzz_message_config), &err));
	FUZZ_CHECK(canonical_step(&load, 0, &done, &err) && done);
	return (struct verdict){
		.generation = generation, .slots = slots, .base = -1, .error_log = -1, .access_log = -1,
		.text = open("/dev/null", O_RDONLY | O_CLOEXEC),
	};
}

static struct child *add_child(struct stage *stage, unsigned slot, enum child_state state, enum vote vote)
{
	struct puppet *puppet = &stage->puppets[stage->count++];
	struct master *master = stage->master;
	struct child *child = calloc(1, sizeof(*child));
	struct err err;
	int ends[2];

	FUZZ_CHECK(channel_pair(ends, &err));
	*puppet = (struct puppet){ .child = child, .end = ends[1], .votes = vote != VOTE_NONE };
	child->master = master;
	child->slot = slot;
	child->state = state;
	child->vote = vote;
	child->column = board_claim(board, &master->owners);
	child->channel = (struct source){ .fd = ends[0], .handle = on_channel };
	child->exit.fd = -1;            /* signals go nowhere */
	child->deadline.fire = on_deadline;
	child->born = child->asked = child->generation = OLD;
	if (vote != VOTE_NONE)
		child->asked = NEW;
	puppet->will = wills_make(child, &err);
	FUZZ_CHECK(puppet->will >= 0 && wills_watch(child, &err));
	FUZZ_CHECK(loop_add(&master->loop, &child->channel, EPOLLIN) == 0);
	list_push_back(&master->children, &child->link);
	return child;
}

static void fill_slot(struct stage *stage, unsigned slot, uint8_t mode)
{
	struct slot *seat = &stage->master->slots[slot];
	bool fresh = (mode & (IS_START | IS_REPLACEMENT)) != 0;

	if ((mode & IS_START) == 0)
		seat->serving = add_child(stage, slot, CHILD_SERVING, fresh ? VOTE_NONE : VOTE_ASKED);
	if (!fresh)
		return;
	seat->next = add_child(stage, slot, CHILD_STARTING, VOTE_CALLED);
	seat->next->born = NEW;
	seat->next->generation = 0;
}

static void on_answer(struct asker *asker, const struct outcome *outcome)
{
	struct stage *stage = LIST_ENTRY(asker, struct stage, asker);

	FUZZ_CHECK(outcome->text[0] != '\0');
	FUZZ_CHECK(!outcome->good || stage->master->current.generation->number == NEW);
	stage->answers++;
}

/* Whatever they said they have, it can be shown. */
static void on_counted(struct asker *asker, const struct outcome *outcome)
{
	json_t *all = generations_json(LIST_ENTRY(asker, struct stage, curious)->master);

	FUZZ_CHECK(outcome->good && json_is_array(all) && json_dumpb(all, NULL, 0, JSON_COMPACT) > 0);
	json_decref(all);
}

static void open_transition(struct stage *stage, uint8_t mode, unsigned slots)
{
	struct master *master = stage->master;

	master->current = (struct verdict){ .text = -1, .base = -1, .error_log = -1, .access_log = -1 };
	if ((mode & IS_START) == 0) {
		master->current = verdict_of(OLD, slots);
		master->slot_count = slots;
	}
	master->generation_numbers = master->transition.number = NEW;
	master->transition.next = verdict_of(NEW, slots);
	master->transition.phase = PHASE_PREPARING;
	master->transition.replaces = (mode & IS_REPLACEMENT) != 0;
	stage->asker.answer = on_answer;
	list_push_back(&master->transition.askers, &stage->asker.link);
	for (unsigned slot = 0; slot < slots; slot++)
		fill_slot(stage, slot, mode);
}

static void set_stage(struct stage *stage, uint8_t mode)
{
	struct master *master = calloc(1, sizeof(*master));
	struct err err;

	*stage = (struct stage){ .master = master };
	master_init(master, &setup);
	master->board = board;
	master->hot = &hot;
	master->quota = quota;
	FUZZ_CHECK(loop_open(&master->loop, &err));
	logs_start(master);
	fuzz_no_log();
	open_transition(stage, mode, mode / 4U % 3 + 1);
	stage->curious.answer = on_counted;
	generations_ask(master, &stage->curious);
}

static void clear_stage(struct stage *stage)
{
	struct master *master = stage->master;

	for (unsigned i = 0; i < stage->count; i++) {
		release(stage->puppets[i].child);
		free(stage->puppets[i].child);
		close(stage->puppets[i].end);
		close(stage->puppets[i].will);
	}
	wills_forget(master);
	FUZZ_CHECK(list_empty(&master->children));
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++)
		timer_cancel(&master->slots[i].respawn);
	timer_cancel(&master->census.deadline);
	timer_cancel(&master->handover.retry);
	departure_forget(master);
	rescue_close(master);
	logs_end(master);
	fuzz_no_log();
	verdict_release(&master->current);
	verdict_release(&master->transition.next);
	loop_close(&master->loop);
	free(master);
}

/* ---- the play ---- */

static void listen_to_master(struct puppet *puppet)
{
	static struct message message;
	struct message_fds fds;

	while (channel_receive(puppet->end, &message, &fds) == CHANNEL_MESSAGE) {
		puppet->got_go |= message.type == MESSAGE_GO && message.generation == NEW;
		puppet->got_abort |= message.type == MESSAGE_ABORT && message.generation == NEW;
		/* a master does not speak as a worker */
		FUZZ_CHECK(message.type < MESSAGE_READY || message.type == MESSAGE_REOPEN ||
			   message.type == MESSAGE_LEAVING || message.type == MESSAGE_RELEASE ||
			   message.type == MESSAGE_LOOK || message.type == MESSAGE_HAND ||
			   message.type == MESSAGE_TAKE || message.type == MESSAGE_COUNT ||
			   message.type == MESSAGE_LIST || message.type == MESSAGE_STAYING);
		channel_drop(&fds);
	}
}

static void check(const struct stage *stage)
{
	const struct master *master = stage->master;
	const struct generation *current = master->current.generation;
	bool committed = current != NULL && current->number == NEW, go = false, aborted = false;

	for (unsigned i = 0; i < stage->count; i++) {
		const struct puppet *puppet = &stage->puppets[i];

		FUZZ_CHECK(puppet->child->state < CHILD_STATES && puppet->child->vote < VOTES);
		FUZZ_CHECK(!committed || !puppet->votes || puppet->said_ready);
		go |= puppet->got_go;
		aborted |= puppet->got_abort;
	}
	FUZZ_CHECK(!go || committed);
	FUZZ_CHECK(!go || !aborted);
	FUZZ_CHECK(master->transition.phase != PHASE_GOING || committed);
	FUZZ_CHECK(stage->answers == (master->transition.phase == PHASE_IDLE ? 1U : 0U));
}

/* ---- what is no message ---- */

static void fill(void *memory, size_t bytes, struct str with)
{
	written = true;
	for (size_t done = 0; with.len > 0 && done < bytes; done += with.len)
		memcpy((char *)memory + done, with.at, with.len < bytes - done ? with.len : bytes - done);
}

static void check_shown(const struct master *master)
{
	json_t *status = status_json(master);
	char *text = json_dumps(status, JSON_COMPACT);

	FUZZ_CHECK(text != NULL);
	free(text);
	json_decref(status);
}

static void write_will(const struct puppet *puppet, struct input *input)
{
	int fds[] = { STDIN_FILENO, puppet->end, puppet->will };
	unsigned count = input_byte(input) % 4;
	struct str bytes = input_take(input, input_byte(input));

	rights_send(puppet->will, bytes.at, bytes.len, fds, bytes.len > 0 ? count : 0);
}

static void crash(struct stage *stage, const struct puppet *puppet)
{
	fuzz_spawn_lose(stage->master, puppet->child->column);
	quota_recount(quota);
	wills_child_died(puppet->child, true);
	wills_arrange(stage->master);
	wills_sweep(stage->master);
}

/* Returns how many turns of the loop follow. */
static unsigned do_something(struct stage *stage, const struct puppet *puppet, uint8_t what,
			     struct input *input)
{
	switch (what & 0xfc) {
	case DOES_HOT:
		fill(&hot, sizeof(hot), input_take(input, input_byte(input) + 1U));
		rescue_look(stage->master);
		slots_publish(stage->master);
		return 1;
	case DOES_BOARD:
		fill(board, sizeof(*board), input_take(input, input_byte(input) + 1U));
		fill(quota, QUOTA_BYTES, (struct str){ (const char *)board, QUOTA_BYTES });
		check_shown(stage->master);
		return 0;
	case DOES_WILL:
		write_will(puppet, input);
		return 1;
	default:
		crash(stage, puppet);
		return 1;
	}
}

static unsigned act(struct stage *stage, struct input *input)
{
	uint8_t what = input_byte(input);
	struct puppet *puppet = &stage->puppets[what % stage->count];
	unsigned turns;

	if (what >= DOES_HOT)
		return do_something(stage, puppet, what, input);
	turns = fuzz_message_send(puppet->end, input);
	puppet->said_ready |= fuzz_message_last()->type == MESSAGE_READY &&
			      fuzz_message_last()->generation == NEW;
	return turns;
}

static void play(struct stage *stage, struct input *input)
{
	while (input->len > 0) {
		unsigned turns = act(stage, input);

		for (unsigned i = 0; i < turns; i++)
			fuzz_turn(&stage->master->loop);
		for (unsigned i = 0; i < stage->count; i++)
			listen_to_master(&stage->puppets[i]);
		check(stage);
	}
}

static void clean(void)
{
	if (!written)
		return;
	written = false;
	memset(board, 0, sizeof(*board));
	memset(&hot, 0, sizeof(hot));
	memset((void *)quota, 0, QUOTA_BYTES);
}

static void set_up_once(void)
{
	struct err err;
	int quota_fd;

	if (board != NULL)
		return;
	board = board_create(counter_names, COUNTERS, counter_levels, NULL, &err);
	quota = quota_create(&quota_fd, &err);
	FUZZ_CHECK(board != NULL && quota != NULL);
	fuzz_message_set_up();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t mode = input_byte(&input);
	unsigned open_before;
	struct stage stage;

	set_up_once();
	clean();
	fuzz_no_log();
	open_before = fuzz_open_count();
	set_stage(&stage, mode);
	play(&stage, &input);
	clear_stage(&stage);
	FUZZ_CHECK(fuzz_open_count() == open_before);
	return 0;
}
