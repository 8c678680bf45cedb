/* state_test.c - what the master leaves to the next image, and what that makes of it. */
#include "master/control.h"
#include "master/fields.h"
#include "master/master.h"
#include "master/state.h"

#include "base/fd.h"
#include "config/canonical.h"
#include "config/diff.h"
#include "config/read.h"
#include "net/conn.h"
#include "service/registry.h"

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GENERATION = 7, SLOTS = 3, COLUMN = 5, BACKLOG = 77 };

static const char config_text[] =
	"workers = 3; control = \"off\"; listen = ( { address = \"127.0.0.1:1\"; } );\n"
	"sites = ( { routes = ( { match = \"/\"; respond = { }; } ); } );";

static const struct master_setup setup = {
	.services = service_schemas,
	.counter_names = counter_names,
	.counters = COUNTERS,
	.open = COUNT_OPEN, .levels = counter_levels,
};

static struct master *master;           /* of the image before */
static struct master *next;             /* of the one that follows */
static struct state state;
static int ends[2];                     /* the first child's channel */

/* ---- the image before -------------------------------------------------------------------------------- */

static struct generation *read_text(void)
{
	struct generation *generation = generation_new(GENERATION, service_schemas);
	struct problems problems = { 0 };

	ck_assert_msg(read_config(&(struct config_input){ .path = "/t", .text = config_text }, generation,
				  &problems),
		      "%s", problems.text);
	return generation;
}

static void commit(void)
{
	struct verdict *current = &master->current;
	struct err err;
	size_t len;
	char *text;

	current->generation = read_text();
	text = canonical_print(current->generation, &len);
	current->text = fd_sealed("text", text, len, &err);
	free(text);
	current->base = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	current->slots = master->slot_count = SLOTS;
	current->identity = (struct config_identity){
		.change = true, .uid = 65534, .gid = 65533, .name = "nobody"
	};
	current->error_log = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(current->text, 0);
	ck_assert_int_ge(current->error_log, 0);
}

static void add_listener(void)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	struct err err;

	ck_assert(addr_parse("127.0.0.1:81", &listener->addr, &err));
	listener->id = 4;
	listener->steered = STEERED_DIRECTED;
	listener->array = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listener->seated = 1;
	listener->options = (struct listener_options){ .backlog = BACKLOG, .defer_accept = true };
	listener->path = (struct listener_path){
		.device = 3, .inode = UINT64_C(1) << 40, .owner = 1, .group = 2
	};
	listener->keep = listener->shared = true;
	listener->sockets = calloc(2, sizeof(listener->sockets[0]));
	for (unsigned i = 0; i < 2; i++)
		listener->sockets[i] = (struct listen_socket){
			.serial = 10 + i,
			.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			.listening = i == 0,
			.keeper = i == 0 ? KEEPER_UNIT : KEEPER_STORE,
			.name = i == 0 ? strdup("h\xff tp") : NULL,
		};
	listener->count = 2;
	list_push_back(&master->listeners, &listener->link);
}

static struct child *add_child(pid_t pid, unsigned slot, enum child_state child_state, int channel)
{
	struct child *child = calloc(1, sizeof(*child));

	child->master = master;
	child->pid = pid;
	child->slot = slot;
	child->state = child_state;
	child->column = COLUMN + (unsigned)pid;
	child->channel.fd = channel;
	child->exit.fd = -1;
	child->generation = child->asked = child->born = GENERATION;
	child->started_ns = 12345;
	list_push_back(&master->children, &child->link);
	return child;
}

static void nothing(struct timer *timer, uint64_t now_ns)
{
	(void)timer, (void)now_ns;
}

static void add_children(void)
{
	struct err err;
	struct child *draining;

	ck_assert(channel_pair(ends, &err));
	master->slots[0].serving = add_child(1, 0, CHILD_SERVING, ends[0]);
	master->slots[0].next = add_child(2, 0, CHILD_STARTING, dup(ends[0]));
	draining = add_child(3, 2, CHILD_DRAINING, dup(ends[0]));
	draining->hands = true;
	draining->left_for = 6;
	draining->deadline.fire = nothing;
	timer_arm(&master->loop.timers, &draining->deadline, UINT64_C(1) << 50);
	master->slots[1].held = true;
	master->hold.all = true;
	master->hold.since_ns = 5678;
	master->slots[2].failures = 5;
	master->slots[2].came = true;
	master->slots[2].replace = true;
	master->slots[2].respawn.fire = nothing;
	timer_arm(&master->loop.timers, &master->slots[2].respawn, UINT64_C(1) << 51);
}

static void add_overrides(void)
{
	struct err err;

	ck_assert(overrides_set(&master->tuning.now, "workers", "2", false, &err));
	ck_assert(overrides_set(&master->tuning.now, "workers", "5", true, &err));
	ck_assert(overrides_set(&master->tuning.now, "log.level", "debug", false, &err));
	timer_arm(&master->loop.timers, &master->tuning.deadline, UINT64_C(1) << 52);
}

static void add_control(void)
{
	struct config config = { .control = "off" };
	struct err err;

	ck_assert(control_open(master, &config, &err));
}

static void create(void)
{
	struct err err;

	master = calloc(1, sizeof(*master));
	next = calloc(1, sizeof(*next));
	master_init(master, &setup);
	master_init(next, &setup);
	ck_assert(loop_open(&master->loop, &err));
	ck_assert(loop_open(&next->loop, &err));
	master->board =
		board_create(setup.counter_names, setup.counters, setup.levels, &master->board_fd, &err);
	master->hot = hot_create(&master->hot_fd, &err);
	master->quota_fd = fd_memory("clients", 1);
	master->generation_numbers = GENERATION;
	master->dry_numbers = UINT64_MAX;
	master->reloads_good = 3;
	master->commits[GENERATION] = (struct commit){ GENERATION, 4321 };
	master->commits[0] = (struct commit){ COMMITS_KNOWN, 1234 };
	snprintf(master->last_reload, sizeof(master->last_reload), "generation 7");
	snprintf(master->binary.path, sizeof(master->binary.path), "/usr/sbin/drover");
	commit();
	add_listener();
	add_children();
	add_overrides();
	add_control();
}

/* Gives back what was made or loaded; descriptors end with the test's process. */
static void forget(struct master *of)
{
	for (struct list *link = list_pop_front(&of->children); link != NULL;
	     link = list_pop_front(&of->children))
		free(LIST_ENTRY(link, struct child, link));
	for (struct list *link = list_pop_front(&of->listeners); link != NULL;
	     link = list_pop_front(&of->listeners)) {
		struct listener *listener = LIST_ENTRY(link, struct listener, link);

		for (unsigned i = 0; i < listener->count; i++)
			free(listener->sockets[i].name);
		free(listener->sockets);
		free(listener);
	}
	control_close(of);
	generation_unpin(of->current.generation);
}

static void destroy(void)
{
	state_release(&state);
	forget(master);
	forget(next);
	board_destroy(master->board);
	free(master);
	free(next);
}

/* ---- from one to the other --------------------------------------------------------------------------- */

static int saved(bool pass)
{
	struct err err;
	int fd = state_save(master, pass, &err);

	ck_assert_msg(fd >= 0, "%s", err.text);
	return fd;
}

static void load(void)
{
	struct err err;
	int fd = saved(true);

	ck_assert_msg(state_read(&state, fd, next, &err), "%s", err.text);
	ck_assert_msg(state_take(&state, true, &err), "%s", err.text);
	ck_assert_msg(state_load(next, &state, &err), "%s", err.text);
}

static struct child *child_of(const struct master *of, pid_t pid)
{
	for (struct list *link = of->children.next; link != &of->children; link = link->next)
		if (LIST_ENTRY(link, struct child, link)->pid == pid)
			return LIST_ENTRY(link, struct child, link);
	ck_abort_msg("no child has pid %d", (int)pid);
	return NULL;
}

static struct listener *listener_of(const struct master *of)
{
	ck_assert(!list_empty(&of->listeners));
	return LIST_ENTRY(of->listeners.next, struct listener, link);
}

/* Two descriptors of one open file. */
static bool same_file(int a, int b)
{
	struct stat first, second;

	return a != b && fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
	       first.st_ino == second.st_ino;
}

static bool is_cloexec(int fd)
{
	return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

START_TEST(the_masters_numbers_come_back)
{
	load();
	ck_assert_uint_eq(next->generation_numbers, GENERATION);
	ck_assert_uint_eq(next->dry_numbers, UINT64_MAX);
	ck_assert_uint_eq(next->slot_count, SLOTS);
	ck_assert_uint_eq(next->reloads_good, 3);
	ck_assert_uint_eq(next->commits[GENERATION].number, GENERATION);
	ck_assert_uint_eq(next->commits[GENERATION].at_ns, 4321);
	ck_assert_uint_eq(next->commits[0].number, COMMITS_KNOWN);
	ck_assert_str_eq(next->last_reload, "generation 7");
	ck_assert_str_eq(next->binary.path, "/usr/sbin/drover");
	ck_assert(same_file(next->board_fd, master->board_fd));
	ck_assert(same_file(next->quota_fd, master->quota_fd));
}
END_TEST

START_TEST(the_configuration_comes_back_as_it_was_served)
{
	struct config_diff diff;

	load();
	ck_assert_uint_eq(next->current.generation->number, GENERATION);
	diff = config_compare(master->current.generation->config, next->current.generation->config);
	ck_assert(!diff.replace && diff.restart == NULL);
	ck_assert_uint_eq(next->current.slots, SLOTS);
	ck_assert(next->current.identity.change);
	ck_assert_uint_eq(next->current.identity.gid, 65533);
	ck_assert_str_eq(next->current.identity.name, "nobody");
	ck_assert(same_file(next->current.error_log, master->current.error_log));
	ck_assert_int_eq(next->current.access_log, -1);
	ck_assert(same_file(next->current.base, master->current.base));
}
END_TEST

START_TEST(what_was_set_comes_back_with_its_deadline)
{
	char text[256];

	load();
	overrides_list(&next->tuning.now, false, text, sizeof(text));
	ck_assert_str_eq(text, "workers = 5, log.level = debug");
	ck_assert_uint_eq(next->tuning.deadline.due_ns, UINT64_C(1) << 52);
	tuning_resume(next);
	ck_assert(timer_armed(&next->tuning.deadline));
	overrides_roll_back(&next->tuning.now);
	overrides_list(&next->tuning.now, false, text, sizeof(text));
	ck_assert_str_eq(text, "workers = 2, log.level = debug");
}
END_TEST

/* The image before had begun to roll back, and no timer was armed any more. */
START_TEST(a_deadline_that_was_over_is_over)
{
	timer_cancel(&master->tuning.deadline);
	load();
	next->loop.now_ns = 17;
	tuning_resume(next);
	ck_assert(timer_armed(&next->tuning.deadline));
	ck_assert_uint_le(next->tuning.deadline.due_ns, 17);
}
END_TEST

START_TEST(without_anything_unconfirmed_there_is_no_deadline)
{
	overrides_confirm(&master->tuning.now);
	timer_cancel(&master->tuning.deadline);
	load();
	tuning_resume(next);
	ck_assert(!timer_armed(&next->tuning.deadline));
}
END_TEST

START_TEST(listeners_come_back_with_their_sockets)
{
	const struct listener *before = listener_of(master), *after;

	load();
	after = listener_of(next);
	ck_assert_str_eq(after->addr.text, "127.0.0.1:81");
	ck_assert_uint_eq(after->addr.len, before->addr.len);
	ck_assert_uint_eq(after->id, 4);
	ck_assert_uint_eq(after->options.backlog, BACKLOG);
	ck_assert(after->options.defer_accept && !after->options.v6only);
	ck_assert_mem_eq(&after->wanted, &after->options, sizeof(after->options));
	ck_assert_uint_eq(after->path.inode, UINT64_C(1) << 40);
	ck_assert(after->keep && after->shared && !after->fixed && !after->fresh);
	ck_assert_uint_eq(after->count, 2);
	ck_assert_int_eq(after->steered, STEERED_DIRECTED);
	ck_assert(!after->steered_here);
	ck_assert(same_file(after->array, before->array));
	ck_assert_uint_eq(after->seated, 1);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(after->sockets[i].serial, 10 + i);
		ck_assert(same_file(after->sockets[i].fd, before->sockets[i].fd));
		ck_assert_int_eq(after->sockets[i].listening, i == 0);
	}
	ck_assert_str_eq(after->sockets[0].name, "h\xff tp");
	ck_assert_ptr_null(after->sockets[1].name);
	ck_assert_int_eq(after->sockets[1].keeper, KEEPER_STORE);
}
END_TEST

START_TEST(children_come_back_in_their_seats)
{
	const struct child *serving, *draining;

	load();
	serving = child_of(next, 1);
	draining = child_of(next, 3);
	ck_assert_ptr_eq(next->slots[0].serving, serving);
	ck_assert_ptr_eq(next->slots[0].next, child_of(next, 2));
	ck_assert_ptr_null(next->slots[2].serving);
	ck_assert_ptr_eq(serving->master, next);
	ck_assert_int_eq(serving->state, CHILD_SERVING);
	ck_assert_uint_eq(serving->started_ns, 12345);
	ck_assert(same_file(serving->channel.fd, ends[0]));
	ck_assert(draining->hands);
	ck_assert_uint_eq(draining->left_for, 6);
	ck_assert_uint_eq(draining->deadline.due_ns, UINT64_C(1) << 50);
	ck_assert(!timer_armed(&draining->deadline));
	ck_assert_uint_eq(serving->deadline.due_ns, 0);
}
END_TEST

START_TEST(nobody_gets_a_column_that_a_child_has)
{
	load();
	ck_assert(!board_take(&next->owners, child_of(next, 1)->column));
	ck_assert(board_take(&next->owners, COLUMN));
}
END_TEST

START_TEST(a_slot_keeps_its_back_off)
{
	load();
	ck_assert_uint_eq(next->slots[2].failures, 5);
	ck_assert(next->slots[2].came);
	ck_assert(next->slots[2].replace);
	ck_assert_uint_eq(next->slots[2].respawn.due_ns, UINT64_C(1) << 51);
	ck_assert_uint_eq(next->slots[0].respawn.due_ns, 0);
}
END_TEST

START_TEST(what_is_out_of_service_stays_so)
{
	load();
	ck_assert(next->slots[1].held);
	ck_assert(!next->slots[0].held && !next->slots[2].held);
	ck_assert_uint_eq(hold_since_ns(next), 5678);
}
END_TEST

/* ---- descriptors ------------------------------------------------------------------------------------- */

START_TEST(what_is_listed_is_inheritable_and_nothing_else)
{
	struct listener *listener = listener_of(master);

	saved(true);
	ck_assert(!is_cloexec(ends[0]));
	ck_assert(!is_cloexec(listener->sockets[0].fd));
	ck_assert(!is_cloexec(listener->sockets[1].fd));
	ck_assert(!is_cloexec(master->board_fd));
	ck_assert(!is_cloexec(master->current.error_log));
	ck_assert(is_cloexec(ends[1]));
	ck_assert(is_cloexec(master->loop.epoll_fd));
	ck_assert(is_cloexec(master->current.text));    /* it is in the state itself */
}
END_TEST

START_TEST(a_copy_for_a_candidate_passes_nothing_on)
{
	saved(false);
	ck_assert(is_cloexec(ends[0]));
	ck_assert(is_cloexec(master->board_fd));
}
END_TEST

START_TEST(the_originals_stay_until_there_is_no_way_back)
{
	int mine;

	load();
	mine = child_of(next, 1)->channel.fd;
	ck_assert(is_cloexec(mine));
	fd_close(&mine);                /* the worker has died, say */
	ck_assert_int_ge(fcntl(ends[0], F_GETFD), 0);
	state_settle(&state);
	ck_assert_int_lt(fcntl(ends[0], F_GETFD), 0);
	ck_assert_int_lt(fcntl(master->board_fd, F_GETFD), 0);
	ck_assert_int_ge(fcntl(next->board_fd, F_GETFD), 0);
}
END_TEST

/* That there were too few may be why it is taken. */
START_TEST(the_way_back_needs_no_more_descriptors)
{
	struct err err;
	int fd = saved(true);

	ck_assert(state_read(&state, fd, next, &err));
	ck_assert(state_take(&state, false, &err));
	ck_assert(state_load(next, &state, &err));
	ck_assert_int_eq(child_of(next, 1)->channel.fd, ends[0]);
	ck_assert_int_eq(next->board_fd, master->board_fd);
	state_settle(&state);
	ck_assert(is_cloexec(ends[0]));
	ck_assert(is_cloexec(master->board_fd));
}
END_TEST

START_TEST(a_descriptor_that_is_not_there_is_named)
{
	struct err err;
	char name[32];
	int fd = saved(true);

	snprintf(name, sizeof(name), "descriptor %d: ", ends[0]);
	close(ends[0]);
	ck_assert(state_read(&state, fd, next, &err));
	ck_assert(!state_take(&state, true, &err));
	ck_assert_ptr_nonnull(strstr(err.text, name));
}
END_TEST

START_TEST(a_candidate_needs_no_descriptor)
{
	struct err err;
	int fd = saved(false);

	ck_assert(state_read(&state, fd, next, &err));
	state_leave_out_fds(&state);
	ck_assert_msg(state_load(next, &state, &err), "%s", err.text);
	ck_assert_int_eq(child_of(next, 1)->channel.fd, -1);
	ck_assert_int_eq(listener_of(next)->sockets[0].fd, -1);
	ck_assert_int_eq(next->board_fd, -1);
}
END_TEST

/* ---- what cannot be understood ----------------------------------------------------------------------- */

/* Reads what the image before would have written, had it been `line`. */
static bool read_line(json_t *line, struct err *err)
{
	size_t len;
	char *bytes = fields_line(line, &len);
	int fd = fd_sealed("state", bytes, len, err);

	free(bytes);
	state_release(&state);
	return state_read(&state, fd, next, err);
}

static json_t *line(void)
{
	struct err err;

	ck_assert(state_read(&state, saved(false), next, &err));
	return json_deep_copy(state.json);
}

START_TEST(another_version_is_refused)
{
	static const char *const names[] = { "state", "channel", "handover", "board" };
	json_t *json = line();
	char says[64];
	struct err err;

	snprintf(says, sizeof(says), "has version 99 of the %s, this one has ", names[_i]);
	json_object_set_new(json_object_get(json, "versions"), names[_i], json_integer(99));
	ck_assert(!read_line(json, &err));
	ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text);
	json_decref(json);
}
END_TEST

START_TEST(a_counter_in_another_place_is_refused)
{
	json_t *json = line();
	struct err err;

	json_array_insert_new(json_object_get(json, "counters"), 1, json_string("other"));
	json_array_remove(json_object_get(json, "counters"), COUNTERS);
	ck_assert(!read_line(json, &err));
	ck_assert_str_eq(err.text, "counter 1 is \"other\" there and \"open\" here");
	json_decref(json);
}
END_TEST

START_TEST(counters_may_be_added_and_not_taken_away)
{
	json_t *json = line(), *counters = json_object_get(json, "counters");
	struct err err;

	json_array_remove(counters, COUNTERS - 1);
	ck_assert_msg(read_line(json, &err), "%s", err.text);
	json_array_append_new(counters, json_string(counter_names[COUNTERS - 1]));
	json_array_append_new(counters, json_string("more"));
	ck_assert(!read_line(json, &err));
	json_decref(json);
}
END_TEST

START_TEST(what_is_no_state_is_refused)
{
	static const char *const texts[] = { "", "{", "{\n", "[]\n", "{\"versions\":1}\n" };
	struct err err;
	int fd = fd_sealed("state", texts[_i], strlen(texts[_i]), &err);

	ck_assert(!state_read(&state, fd, next, &err));
	ck_assert_str_ne(err.text, "");
}
END_TEST

/* Loads the state without the descriptors, after `json` was changed. */
static bool load_changed(json_t *json, struct err *err)
{
	json_t *before = state.json;
	bool good;

	forget(next);
	memset(next, 0, sizeof(*next));
	master_init(next, &setup);
	state.json = json;
	good = state_load(next, &state, err);
	state.json = before;
	return good;
}

/* Removes each member of `object`, which is somewhere in `whole`, one after the other: the first one, that
 * comes back as the last. */
static size_t try_without(json_t *whole, json_t *object)
{
	size_t count = json_object_size(object);
	struct err err;

	for (size_t i = 0; i < count; i++) {
		json_t *value = json_incref(json_object_iter_value(json_object_iter(object)));
		char name[64];

		snprintf(name, sizeof(name), "%s", json_object_iter_key(json_object_iter(object)));
		json_object_del(object, name);
		ck_assert_msg(!load_changed(whole, &err), "without %s", name);
		ck_assert_msg(strstr(err.text, name) != NULL, "without %s: %s", name, err.text);
		json_object_set_new(object, name, value);
	}
	return count;
}

START_TEST(a_member_that_is_missing_is_named)
{
	static const char *const lists[] = { "slots", "children", "listeners", "commits" };
	json_t *json = line(), *listener = json_array_get(json_object_get(json, "listeners"), 0);
	size_t tried = 0;
	struct err err;

	ck_assert_msg(load_changed(json, &err), "%s", err.text);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		tried += try_without(json, json_array_get(json_object_get(json, lists[i]), 0));
	tried += try_without(json, json_object_get(json, "control"));
	tried += try_without(json, json_object_get(json, "master"));
	tried += try_without(json, json_object_get(json, "current"));
	tried += try_without(json, json_array_get(json_object_get(listener, "sockets"), 0));
	ck_assert_uint_gt(tried, 80);
	json_decref(json);
}
END_TEST

static const char *const sections[] = {
	"master",    "current",   "generation", "slots",   "children",
	"listeners", "inherited", "commits",    "control", "wills",
};

START_TEST(a_section_that_is_missing_is_an_error)
{
	json_t *json = line();
	struct err err;

	json_object_del(json, sections[_i]);
	ck_assert_msg(!load_changed(json, &err), "without %s", sections[_i]);
	json_decref(json);
}
END_TEST

static const struct {
	const char *where, *key;
	json_int_t value;
} impossible[] = {
	{ "children", "slot", CONFIG_MAX_WORKERS }, { "children", "slot", -1 },
	{ "children", "state", CHILD_STATES },      { "children", "state", CHILD_GONE },
	{ "children", "pid", 0 },                   { "children", "column", 0 },
	{ "children", "column", BOARD_COLUMNS },    { "children", "column", COLUMN + 2 },
	{ "listeners", "options.backlog", INT64_MAX },
};

START_TEST(a_number_that_cannot_be_is_refused)
{
	json_t *json = line(), *first = json_array_get(json_object_get(json, impossible[_i].where), 0);
	struct err err;

	json_object_set_new(first, impossible[_i].key, json_integer(impossible[_i].value));
	ck_assert(!load_changed(json, &err));
	ck_assert_msg(strstr(err.text, impossible[_i].where) != NULL, "%s", err.text);
	json_decref(json);
}
END_TEST

START_TEST(as_many_slots_as_the_master_says)
{
	json_t *json = line();
	struct err err;

	json_array_remove(json_object_get(json, "slots"), 0);
	ck_assert(!load_changed(json, &err));
	ck_assert_str_eq(err.text, "state: 3 slots cannot be");
	json_decref(json);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state");
	TCase *tests = tcase_create("state");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, create, destroy);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, the_masters_numbers_come_back);
	tcase_add_test(tests, the_configuration_comes_back_as_it_was_served);
	tcase_add_test(tests, what_was_set_comes_back_with_its_deadline);
	tcase_add_test(tests, a_deadline_that_was_over_is_over);
	tcase_add_test(tests, without_anything_unconfirmed_there_is_no_deadline);
	tcase_add_test(tests, listeners_come_back_with_their_sockets);
	tcase_add_test(tests, children_come_back_in_their_seats);
	tcase_add_test(tests, nobody_gets_a_column_that_a_child_has);
	tcase_add_test(tests, a_slot_keeps_its_back_off);
	tcase_add_test(tests, what_is_out_of_service_stays_so);
	tcase_add_test(tests, what_is_listed_is_inheritable_and_nothing_else);
	tcase_add_test(tests, a_copy_for_a_candidate_passes_nothing_on);
	tcase_add_test(tests, the_originals_stay_until_there_is_no_way_back);
	tcase_add_test(tests, the_way_back_needs_no_more_descriptors);
	tcase_add_test(tests, a_descriptor_that_is_not_there_is_named);
	tcase_add_test(tests, a_candidate_needs_no_descriptor);
	tcase_add_loop_test(tests, another_version_is_refused, 0, 4);
	tcase_add_test(tests, a_counter_in_another_place_is_refused);
	tcase_add_test(tests, counters_may_be_added_and_not_taken_away);
	tcase_add_loop_test(tests, what_is_no_state_is_refused, 0, 5);
	tcase_add_test(tests, a_member_that_is_missing_is_named);
	tcase_add_loop_test(tests, a_section_that_is_missing_is_an_error, 0,
			    sizeof(sections) / sizeof(sections[0]));
	tcase_add_loop_test(tests, a_number_that_cannot_be_is_refused, 0,
			    sizeof(impossible) / sizeof(impossible[0]));
	tcase_add_test(tests, as_many_slots_as_the_master_says);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
