/* control_fuzz.c - what a caller says on the control socket: at most one line of JSON comes back, the same
 * for every split of the bytes, and nothing stays behind.
 *
 * Input: what the master is doing, how the bytes are cut, what the caller says. */
#include "fuzz.h"

#include "base/fd.h"
#include "ipc/control.h"
#include "master/control.h"
#include "master/master.h"
#include "net/conn.h"

#include <errno.h>
#include <jansson.h>
#include <sys/socket.h>

enum { ANSWERED_TURNS = 8, IS_STOPPING = 1, RELOAD_GOES_WELL = 2 };

static struct master *master;
static struct hot hot;
static char path[CONTROL_PATH_BYTES];

static void set_up(void)
{
	static struct master_setup setup = {
		.counter_names = counter_names, .counters = COUNTERS, .open = COUNT_OPEN,
		.levels = counter_levels,
	};
	struct config config = { .control = path };
	struct err err;

	if (master != NULL)
		return;
	snprintf(path, sizeof(path), "%s/control.sock", fuzz_directory());
	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	master->transition.phase = PHASE_PREPARING;     /* callers of reload and check wait */
	master->hot = &hot;
	master->board = board_create(setup.counter_names, setup.counters, setup.levels, NULL, &err);
	FUZZ_CHECK(master->board != NULL && loop_open(&master->loop, &err));
	FUZZ_CHECK(control_open(master, &config, &err));
	fuzz_no_log();
}

static void turn(void)
{
	fuzz_turn(&master->loop);
	control_sweep(master);
}

static void answer_all(struct list *askers, bool good)
{
	const struct outcome outcome = { .good = good,
					 .text = good ? "generation 2 \xff" : "failed at check: why" };
	struct list *link;

	while ((link = list_pop_front(askers)) != NULL) {
		struct asker *asker = LIST_ENTRY(link, struct asker, link);

		asker->answer(asker, &outcome);
	}
}

static void say(int fd, struct str bytes, struct cuts cuts)
{
	while (bytes.len > 0) {
		size_t len = cuts_next(&cuts, bytes.len);
		ssize_t sent = send(fd, bytes.at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0)
			break;
		bytes = (struct str){ bytes.at + sent, bytes.len - (size_t)sent };
		turn();
	}
}

/* All that comes back, in an arena. */
static struct str converse(struct str bytes, struct cuts cuts, uint8_t mode, struct arena *arena)
{
	char *answer = arena_alloc(arena, 64 * 1024);
	struct err err;
	int fd = control_connect(path, 0, &err);
	size_t len = 0;
	ssize_t n = 1;

	FUZZ_CHECK(fd >= 0);
	turn();
	say(fd, bytes, cuts);
	for (unsigned i = 0; i < ANSWERED_TURNS; i++)
		turn();
	answer_all(&master->transition.later, (mode & RELOAD_GOES_WELL) != 0);
	answer_all(&master->transition.checks, (mode & RELOAD_GOES_WELL) != 0);
	answer_all(&master->transition.changes, (mode & RELOAD_GOES_WELL) != 0);
	answer_all(&master->reopening.later, (mode & RELOAD_GOES_WELL) != 0);
	answer_all(&master->hold.later, (mode & RELOAD_GOES_WELL) != 0);
	answer_all(&master->upgrade.askers, (mode & RELOAD_GOES_WELL) != 0);
	master->upgrade.wanted = false;
	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < ANSWERED_TURNS; i++)
		turn();
	while (n > 0) {
		n = recv(fd, answer + len, 64 * 1024 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
	}
	FUZZ_CHECK(n == 0 || errno == ECONNRESET);      /* the end, and not EAGAIN: nobody waits for ever */
	close(fd);
	turn();
	return (struct str){ answer, len };
}

static void check_answer(struct str answer)
{
	json_t *object = json_loadb(answer.at, answer.len, JSON_REJECT_DUPLICATES, NULL);

	FUZZ_CHECK(answer.len > 0 && memchr(answer.at, '\n', answer.len) == answer.at + answer.len - 1);
	FUZZ_CHECK(json_is_object(object) && json_is_boolean(json_object_get(object, "ok")));
	FUZZ_CHECK(json_is_object(json_object_get(object, "status")) ||
		   json_is_string(json_object_get(object, "text")) ||
		   json_is_array(json_object_get(object, "workers")) ||
		   json_is_array(json_object_get(object, "generations")) ||
		   json_is_integer(json_object_get(object, "threshold_ms")));
	json_decref(object);
}

static bool says_the_time(struct str answer)
{
	static const char name[] = "\"now_ns\":";

	return answer.len > 0 && memmem(answer.at, answer.len, name, sizeof(name) - 1) != NULL;
}

/* One that says what time it is says something else the next time. */
static bool is_same(struct str a, struct str b)
{
	return str_equal(a, b) || (says_the_time(a) && says_the_time(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cuts at_once = { .count = 1, .sizes = { 255 } }, cuts;
	struct input input = { data, size };
	uint8_t mode = input_byte(&input);
	struct arena arena = { 0 };
	struct str bytes, line, whole, pieces;
	unsigned open_before;

	set_up();
	cuts = cuts_of(&input);
	bytes = input_take(&input, input.len);
	line = bytes;
	if (bytes.len > 0 && memchr(bytes.at, '\n', bytes.len) != NULL)
		line.len = (size_t)((char *)memchr(bytes.at, '\n', bytes.len) - bytes.at) + 1;
	master->stopping = (mode & IS_STOPPING) != 0;
	master->hold.all = false;       /* how long it has been so is in the status */
	open_before = fuzz_open_count();
	whole = converse(line, at_once, mode, &arena);
	pieces = converse(line, cuts, mode, &arena);
	FUZZ_CHECK(is_same(whole, pieces));
	if (whole.len > 0 || line.len < bytes.len)
		check_answer(whole);
	converse(bytes, cuts, mode, &arena);
	if (bytes.len <= 256)           /* what comes with the line changes nothing */
		FUZZ_CHECK(is_same(whole, converse(bytes, at_once, mode, &arena)));
	FUZZ_CHECK(fuzz_open_count() == open_before);
	FUZZ_CHECK(list_empty(&master->transition.later));
	FUZZ_CHECK(list_empty(&master->transition.changes));
	arena_free(&arena);
	return 0;
}
