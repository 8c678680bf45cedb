/* state_fuzz.c - the state that another image of the master left: whatever it says, it is refused with a
 * reason, or loaded within all bounds; and what was loaded can be shown, and says the same when it is saved
 * and loaded again.
 *
 * Input: the state as it is (a line of JSON, the configuration), but where "versions" or "counters" are
 * missing those of this build are put in: corpora outlive versions. It has no descriptors: all are -1, as
 * for a candidate. */
#include "fuzz.h"

#include "base/fd.h"
#include "ipc/handover.h"
#include "master/control.h"
#include "master/inherit.h"
#include "master/master.h"
#include "master/state.h"
#include "net/conn.h"
#include "service/registry.h"

#include <jansson.h>
#include <string.h>

static struct master_setup setup = {
	.services = service_schemas, .counter_names = counter_names, .counters = COUNTERS,
	.open = COUNT_OPEN, .levels = counter_levels,
};

static struct board *board;
static struct hot hot;
static json_t *own;                     /* a state of this build, without anything in it */

/* ---- a master ---------------------------------------------------------------------------------------- */

static struct master *new_master(void)
{
	struct master *master = calloc(1, sizeof(*master));
	struct err err;

	FUZZ_CHECK(master != NULL);
	master_init(master, &setup);
	FUZZ_CHECK(loop_open(&master->loop, &err));
	master->board = board;
	master->hot = &hot;
	master->current = (struct verdict){ .text = -1, .base = -1, .error_log = -1, .access_log = -1 };
	return master;
}

static void free_children(struct master *master)
{
	for (struct list *link = list_pop_front(&master->children); link != NULL;
	     link = list_pop_front(&master->children))
		free(LIST_ENTRY(link, struct child, link));
}

static void free_listeners(struct master *master)
{
	for (struct list *link = list_pop_front(&master->listeners); link != NULL;
	     link = list_pop_front(&master->listeners)) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		for (unsigned i = 0; i < listener->count; i++)
			free(listener->sockets[i].name);
		free(listener->sockets);
		free(listener);
	}
	for (struct list *link = list_pop_front(&master->inherited); link != NULL;
	     link = list_pop_front(&master->inherited)) {
		struct inherited *one = LIST_ENTRY(link, struct inherited, link);

		free(one->name);
		free(one);
	}
}

static void free_master(struct master *master)
{
	control_close(master);
	control_sweep(master);
	wills_forget(master);
	free_children(master);
	free_listeners(master);
	verdict_release(&master->current);
	loop_close(&master->loop);
	free(master);
}

/* ---- the input --------------------------------------------------------------------------------------- */

static void put_in(json_t *state, const char *name)
{
	if (json_object_get(state, name) == NULL)
		json_object_set(state, name, json_object_get(own, name));
}

/* As the image before would have written it; what is no JSON stays what it is. */
static int state_of(struct str line, struct str text)
{
	json_t *state = json_loadb(line.len > 0 ? line.at : "", line.len, 0, NULL);
	char *written = NULL, *whole;
	struct err err;
	size_t len;
	int fd;

	if (json_is_object(state)) {
		put_in(state, "versions");
		put_in(state, "counters");
		written = json_dumps(state, JSON_COMPACT | JSON_ENSURE_ASCII);
	}
	if (written == NULL)
		written = fuzz_copy(line);
	len = strlen(written);
	whole = malloc(len + 1 + text.len);
	memcpy(whole, written, len);
	whole[len] = '\n';
	if (text.len > 0)
		memcpy(whole + len + 1, text.at, text.len);
	fd = fd_sealed("state", whole, len + 1 + text.len, &err);
	FUZZ_CHECK(fd >= 0);
	json_decref(state);
	free(written);
	free(whole);
	return fd;
}

/* ---- what must hold ---------------------------------------------------------------------------------- */

static void check_seats(const struct master *master)
{
	FUZZ_CHECK(master->slot_count <= CONFIG_MAX_WORKERS);
	FUZZ_CHECK(master->current.generation != NULL);
	FOR_EACH_CHILD(master, child) {
		FUZZ_CHECK(child->pid > 0 && child->slot < CONFIG_MAX_WORKERS);
		FUZZ_CHECK(child->state > CHILD_GONE && child->state < CHILD_STATES);
		FUZZ_CHECK(child->column > BOARD_RETIRED && child->column < BOARD_COLUMNS);
		FUZZ_CHECK(child->channel.fd == -1);
	}
}

static void check_shown(const struct master *master)
{
	json_t *status = status_json(master);
	char *text = json_dumps(status, JSON_COMPACT);

	FUZZ_CHECK(text != NULL);
	free(text);
	json_decref(status);
}

static bool load(struct master *master, struct state *state, int fd, struct err *err)
{
	*err = (struct err){ "" };
	if (!state_read(state, fd, master, err))
		return false;
	state_leave_out_fds(state);
	return state_load(master, state, err);
}

/* The next image of the next image knows the same. */
static void check_again(struct master *first)
{
	struct master *second = new_master();
	struct state again = { 0 }, last = { 0 };
	struct err err;
	int fd, other;

	first->current.text = fd_sealed("text", first->upgrade.state.text.at, first->upgrade.state.text.len, &err);
	FUZZ_CHECK(first->current.text >= 0);
	fd = state_save(first, false, &err);
	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(load(second, &second->upgrade.state, fd, &err));
	second->current.text = first->current.text;
	other = state_save(second, false, &err);
	FUZZ_CHECK(other >= 0);
	second->current.text = -1;
	FUZZ_CHECK(state_read(&again, fd, first, &err) && state_read(&last, other, second, &err));
	state_leave_out_fds(&again);    /* the text's own is in none of them */
	state_leave_out_fds(&last);
	FUZZ_CHECK(json_equal(again.json, last.json));
	state_release(&again);
	state_release(&last);
	state_release(&second->upgrade.state);
	close(fd);
	close(other);
	free_master(second);
}

static void set_up_once(void)
{
	static const char *const names[] = { "state", "channel", "handover", "board", "hot" };
	static const int numbers[] = { STATE_VERSION, CHANNEL_VERSION, HANDOVER_VERSION, BOARD_VERSION,
				       HOT_VERSION };
	json_t *versions, *counters;
	struct err err;

	if (board != NULL)
		return;
	board = board_create(counter_names, COUNTERS, counter_levels, NULL, &err);
	FUZZ_CHECK(board != NULL);
	versions = json_object();
	counters = json_array();
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_object_set_new(versions, names[i], json_integer(numbers[i]));
	for (unsigned i = 0; i < COUNTERS; i++)
		json_array_append_new(counters, json_string(counter_names[i]));
	own = json_pack("{s:o, s:o}", "versions", versions, "counters", counters);
	FUZZ_CHECK(own != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	unsigned open_before;
	struct str line, text;
	struct master *master;
	struct err err;
	int fd;

	set_up_once();
	fuzz_no_log();
	open_before = fuzz_open_count();
	line = input_until(&input, '\n');
	text = input_take(&input, input.len);
	master = new_master();
	fd = state_of(line, text);
	if (load(master, &master->upgrade.state, fd, &err)) {
		check_seats(master);
		check_shown(master);
		check_again(master);
	} else {
		FUZZ_CHECK(err.text[0] != '\0');
	}
	close(fd);
	state_release(&master->upgrade.state);
	free_master(master);
	FUZZ_CHECK(fuzz_open_count() == open_before);
	return 0;
}
