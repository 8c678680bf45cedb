/* state.c - the master's state, written for the next image and read from the one before.
 *
 * Called by upgrade.c (writes), resume.c and candidate runs (read). What is loaded was written by an older or
 * another build of drover: it is checked, and what does not fit is an error, never a guess. */
#include "state.h"

#include "control.h"
#include "fields.h"
#include "master.h"

#include "base/fd.h"
#include "config/canonical.h"
#include "ipc/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_MAX_BYTES = CANONICAL_MAX_BYTES + 64 * 1024 * 1024 };

#define FOR_EACH(head, type, one) \
	for (struct type *one = LIST_ENTRY((head)->next, struct type, link); &one->link != (head); \
	     one = LIST_ENTRY(one->link.next, struct type, link))

/* ---- what is in it ----------------------------------------------------------------------------------- */

/* Not here: what begins anew with the process (loop, logs, signals, watchdog, checker), what is idle while a
 * state is made (transition, release, stop), and what follows from the rest (owners, uncovered). */
static const struct field master_rows[] = {
	FIELD(FIELD_FD, master, board_fd),
	FIELD(FIELD_FD, master, hot_fd),
	FIELD(FIELD_FD, master, quota_fd),
	FIELD(FIELD_CHARS, master, steer.impossible),
	FIELD(FIELD_CHARS, master, steer.said),
	FIELD(FIELD_CHARS, master, binary.path),
	FIELD(FIELD_NUMBER, master, slot_count),
	FIELD(FIELD_NUMBER, master, store_used),
	FIELD(FIELD_BOOL, master, outlive),
	FIELD(FIELD_NUMBER, master, listener_ids),
	FIELD(FIELD_NUMBER, master, socket_serials),
	FIELD(FIELD_NUMBER, master, generation_numbers),
	FIELD(FIELD_NUMBER, master, dry_numbers),
	FIELD(FIELD_NUMBER, master, fresh_since),
	FIELD(FIELD_BOOL, master, transition.again),
	FIELD(FIELD_BOOL, master, transition.again_replace),
	FIELD(FIELD_BOOL, master, reopening.again),
	FIELD(FIELD_NUMBER, master, reopening.number),
	FIELD(FIELD_NUMBER, master, release.number),
	FIELD(FIELD_NUMBER, master, handover.number),
	FIELD(FIELD_BOOL, master, hold.all),
	FIELD(FIELD_NUMBER, master, hold.since_ns),
	FIELD(FIELD_NUMBER, master, reloads_good),
	FIELD(FIELD_NUMBER, master, reloads_bad),
	FIELD(FIELD_CHARS, master, last_reload),
	FIELD(FIELD_NUMBER, master, last_reload_at.tv_sec),
	FIELD(FIELD_BOOL, master, last_reload_good),
	FIELD(FIELD_NUMBER, master, upgrade.began_ns),
	FIELD(FIELD_NUMBER, master, upgrade.good),
	FIELD(FIELD_NUMBER, master, upgrade.bad),
	FIELD(FIELD_BOOL, master, upgrade.last_good),
	FIELD(FIELD_NUMBER, master, upgrade.last_at.tv_sec),
	FIELD(FIELD_CHARS, master, upgrade.last),
	FIELD(FIELD_NUMBER, master, tell.started_ms),
	FIELD(FIELD_NUMBER, master, tell.event),
	FIELD(FIELD_TIMER, master, tuning.deadline),
	{ NULL, 0, 0, 0 },
};

static const struct field verdict_rows[] = {
	FIELD(FIELD_BOOL, verdict, identity.change),
	FIELD(FIELD_NUMBER, verdict, identity.uid),
	FIELD(FIELD_NUMBER, verdict, identity.gid),
	FIELD(FIELD_CHARS, verdict, identity.name),
	FIELD(FIELD_NUMBER, verdict, slots),
	FIELD(FIELD_FD, verdict, base),
	FIELD(FIELD_FD, verdict, error_log),
	FIELD(FIELD_FD, verdict, access_log),
	{ NULL, 0, 0, 0 },
};

static const struct field slot_rows[] = {
	FIELD(FIELD_BOOL, slot, replace),
	FIELD(FIELD_BOOL, slot, held),
	FIELD(FIELD_NUMBER, slot, failures),
	FIELD(FIELD_BOOL, slot, came),
	FIELD(FIELD_BOOL, slot, bereft),
	FIELD(FIELD_TIMER, slot, respawn),
	{ NULL, 0, 0, 0 },
};

/* When a generation was committed: of those that are asked about. */
static const struct field commit_rows[] = {
	FIELD(FIELD_NUMBER, commit, number),
	FIELD(FIELD_NUMBER, commit, at_ns),
	{ NULL, 0, 0, 0 },
};

/* Its vote is none, and it is neither reopening nor releasing; a pidfd is made anew from the pid. */
static const struct field child_rows[] = {
	FIELD(FIELD_NUMBER, child, pid),
	FIELD(FIELD_FD, child, channel.fd),
	FIELD(FIELD_TIMER, child, deadline),
	FIELD(FIELD_NUMBER, child, state),
	FIELD(FIELD_BOOL, child, trial),
	FIELD(FIELD_BOOL, child, unwanted),
	FIELD(FIELD_NUMBER, child, slot),
	FIELD(FIELD_NUMBER, child, column),
	FIELD(FIELD_NUMBER, child, born),
	FIELD(FIELD_NUMBER, child, generation),
	FIELD(FIELD_NUMBER, child, asked),
	FIELD(FIELD_NUMBER, child, sockets_sent),
	FIELD(FIELD_NUMBER, child, started_ns),
	FIELD(FIELD_NUMBER, child, served_ns),
	FIELD(FIELD_NUMBER, child, left_ns),
	FIELD(FIELD_BOOL, child, hands),
	FIELD(FIELD_NUMBER, child, had),
	FIELD(FIELD_NUMBER, child, came),
	FIELD(FIELD_NUMBER, child, left_for),
	FIELD(FIELD_NUMBER, child, kills),
	{ NULL, 0, 0, 0 },
};

static const struct field listener_rows[] = {
	FIELD(FIELD_NUMBER, listener, id),
	FIELD(FIELD_CHARS, listener, addr.text),
	FIELD(FIELD_NUMBER, listener, path.device),
	FIELD(FIELD_NUMBER, listener, path.inode),
	FIELD(FIELD_NUMBER, listener, path.owner),
	FIELD(FIELD_NUMBER, listener, path.group),
	FIELD(FIELD_NUMBER, listener, options.backlog),
	FIELD(FIELD_NUMBER, listener, options.mode),
	FIELD(FIELD_NUMBER, listener, options.owner),
	FIELD(FIELD_NUMBER, listener, options.group),
	FIELD(FIELD_CHARS, listener, options.device),
	FIELD(FIELD_BOOL, listener, options.v6only),
	FIELD(FIELD_BOOL, listener, options.defer_accept),
	FIELD(FIELD_BOOL, listener, options.freebind),
	FIELD(FIELD_BOOL, listener, options.path_is_given),
	FIELD(FIELD_BOOL, listener, keep),
	FIELD(FIELD_BOOL, listener, inherited),
	FIELD(FIELD_BOOL, listener, fixed),
	FIELD(FIELD_BOOL, listener, shared),
	FIELD(FIELD_NUMBER, listener, steered),
	FIELD(FIELD_FD, listener, array),
	FIELD(FIELD_NUMBER, listener, seated),
	{ NULL, 0, 0, 0 },
};

static const struct field socket_rows[] = {
	FIELD(FIELD_NUMBER, listen_socket, serial),
	FIELD(FIELD_FD, listen_socket, fd),
	FIELD(FIELD_BOOL, listen_socket, listening),
	FIELD(FIELD_NUMBER, listen_socket, keeper),
	FIELD(FIELD_TEXT, listen_socket, name),
	{ NULL, 0, 0, 0 },
};

/* The rest of it is what its socket says. */
static const struct field inherited_rows[] = {
	FIELD(FIELD_FD, inherited, fd),
	FIELD(FIELD_TEXT, inherited, name),
	{ NULL, 0, 0, 0 },
};

/* ---- writing ----------------------------------------------------------------------------------------- */

static json_t *save_names(const struct master_setup *setup)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < setup->counters; i++)
		json_array_append_new(names, json_string(setup->counter_names[i]));
	return names;
}

/* Of all that a worker of one image may have to do with another one. */
static const struct {
	const char *name;
	int version;
} versions[] = {
	{ "state", STATE_VERSION }, { "channel", CHANNEL_VERSION }, { "handover", HANDOVER_VERSION },
	{ "board", BOARD_VERSION }, { "hot", HOT_VERSION },
};

enum { VERSIONS = sizeof(versions) / sizeof(versions[0]) };

static json_t *save_versions(void)
{
	json_t *json = json_object();

	for (size_t i = 0; i < VERSIONS; i++)
		json_object_set_new(json, versions[i].name, json_integer(versions[i].version));
	return json;
}

static json_t *save_listener(const struct listener *listener)
{
	json_t *json = fields_save(listener_rows, listener);
	json_t *sockets = fields_save_list(socket_rows, listener->sockets, listener->count,
					   sizeof(listener->sockets[0]));

	if (json_object_set_new(json, "sockets", sockets) == 0)
		return json;
	json_decref(json);
	return NULL;
}

/* The words of `seat` in the state. */
static const char *seat_of(const struct child *child)
{
	const struct slot *slot = &child->master->slots[child->slot];

	return slot->serving == child ? "serving" : slot->next == child ? "next" : "none";
}

static json_t *save_child(const struct child *child)
{
	json_t *json = fields_save(child_rows, child);

	if (json_object_set_new(json, "seat", json_string(seat_of(child))) == 0 &&
	    json_object_set_new(json, "will", wills_save(child)) == 0)
		return json;
	json_decref(json);
	return NULL;
}

/* Puts `json` (its reference is taken) at the end; false when there is no memory. */
static bool append(json_t *array, json_t *json)
{
	return json_array_append_new(array, json) == 0;
}

static json_t *save_sites(const struct board_owners *owners)
{
	json_t *sites = json_array();

	for (unsigned i = 1; i <= owners->sites; i++)
		json_array_append_new(sites, json_string(owners->site[i]));
	return sites;
}

static bool save_lists(json_t *state, const struct master *master)
{
	json_t *listeners = json_array(), *inherited = json_array(), *children = json_array();
	json_t *slots = fields_save_list(slot_rows, master->slots, master->slot_count, sizeof(struct slot));
	json_t *commits = fields_save_list(commit_rows, master->commits, COMMITS_KNOWN,
					   sizeof(struct commit));
	bool good = true;

	FOR_EACH(&master->listeners, listener, listener)
		good = append(listeners, save_listener(listener)) && good;
	FOR_EACH(&master->inherited, inherited, one)
		good = append(inherited, fields_save(inherited_rows, one)) && good;
	FOR_EACH(&master->children, child, child)
		good = append(children, save_child(child)) && good;
	good = json_object_set_new(state, "sites", save_sites(&master->owners)) == 0 && good;
	good = json_object_set_new(state, "listeners", listeners) == 0 && good;
	good = json_object_set_new(state, "inherited", inherited) == 0 && good;
	good = json_object_set_new(state, "children", children) == 0 && good;
	good = json_object_set_new(state, "commits", commits) == 0 && good;
	good = json_object_set_new(state, "overrides", tuning_save(master)) == 0 && good;
	good = json_object_set_new(state, "wills", wills_save_dead(master)) == 0 && good;
	return json_object_set_new(state, "slots", slots) == 0 && good;
}

/* NULL: out of memory. */
static json_t *save(const struct master *master)
{
	json_t *state = json_pack("{s:s, s:o, s:o, s:I, s:o, s:o, s:o}", "drover", DROVER_VERSION, "versions",
				  save_versions(), "counters", save_names(master->setup), "generation",
				  (json_int_t)master->current.generation->number, "current",
				  fields_save(verdict_rows, &master->current), "master",
				  fields_save(master_rows, master), "control", control_save(master));

	if (state != NULL && save_lists(state, master))
		return state;
	json_decref(state);
	return NULL;
}

/* The line, and the text behind it. */
static int write_state(json_t *state, const struct master *master, struct err *err)
{
	size_t line_len, text_len = 0;
	char *line = fields_line(state, &line_len), *both = NULL;
	char *text = fd_read_all(master->current.text, CANONICAL_MAX_BYTES, &text_len, err);
	int fd = -1;

	if (line != NULL && text != NULL)
		both = realloc(line, line_len + text_len);
	if (both != NULL) {
		memcpy(both + line_len, text, text_len);
		fd = fd_sealed("drover-state", both, line_len + text_len, err);
	} else {
		free(line);
		if (text != NULL)
			err_set(err, "out of memory");
	}
	free(both);
	free(text);
	return fd;
}

static bool pass_on(int *fd, struct err *err)
{
	return fcntl(*fd, F_SETFD, 0) == 0 || err_sys(err, errno, "descriptor %d", *fd);
}

int state_save(const struct master *master, bool pass, struct err *err)
{
	json_t *state = save(master);
	int fd;

	if (state == NULL)
		return err_set(err, "out of memory"), -1;
	fd = write_state(state, master, err);
	if (fd >= 0 && pass && !fields_each_fd(state, pass_on, err))
		fd_close(&fd);
	json_decref(state);
	return fd;
}

/* ---- do we understand it? ---------------------------------------------------------------------------- */

static bool check_versions(const json_t *state, struct err *err)
{
	const json_t *theirs = json_object_get(state, "versions");

	for (size_t i = 0; i < VERSIONS; i++) {
		json_int_t version = json_integer_value(json_object_get(theirs, versions[i].name));

		if (version != versions[i].version)
			return err_set(err, "the running drover has version %lld of the %s, this one has %d",
				       (long long)version, versions[i].name, versions[i].version);
	}
	return true;
}

/* New ones are at the end, or the workers of before would count something else. */
static bool check_counters(const json_t *state, const struct master_setup *setup, struct err *err)
{
	const json_t *names = json_object_get(state, "counters");
	size_t count = json_array_size(names);

	if (count > setup->counters)
		return err_set(err, "the running drover has %zu counters, this one has %u", count,
			       setup->counters);
	for (size_t i = 0; i < count; i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (name == NULL || strcmp(name, setup->counter_names[i]) != 0)
			return err_set(err, "counter %zu is \"%s\" there and \"%s\" here", i,
				       name != NULL ? name : "", setup->counter_names[i]);
	}
	return true;
}

bool state_read(struct state *state, int fd, const struct master *master, struct err *err)
{
	json_error_t error;
	const char *end;
	size_t len;

	*state = (struct state){ 0 };
	state->bytes = fd_read_all(fd, STATE_MAX_BYTES, &len, err);
	if (state->bytes == NULL)
		return err_add(err, "state");
	end = memchr(state->bytes, '\n', len);
	if (end == NULL)
		return err_set(err, "state: it has no end of line");
	state->text = (struct str){ end + 1, len - (size_t)(end + 1 - state->bytes) };
	state->json = json_loadb(state->bytes, (size_t)(end - state->bytes), JSON_REJECT_DUPLICATES, &error);
	if (state->json == NULL)
		return err_set(err, "state: %s", error.text);
	return check_versions(state->json, err) && check_counters(state->json, master->setup, err);
}

/* ---- descriptors ------------------------------------------------------------------------------------- */

static bool duplicate(int *fd, struct err *err)
{
	int mine = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (mine < 0)
		return err_sys(err, errno, "descriptor %d", *fd);
	*fd = mine;
	return true;
}

static bool leave_out(int *fd, struct err *err)
{
	(void)err;
	*fd = -1;
	return true;
}

void state_leave_out_fds(struct state *state)
{
	struct err err;

	fields_each_fd(state->json, leave_out, &err);
}

static bool look_at(int *fd, struct err *err)
{
	return fcntl(*fd, F_GETFD) >= 0 || err_sys(err, errno, "descriptor %d", *fd);
}

static bool keep_it(int *fd, struct err *err)
{
	return fcntl(*fd, F_SETFD, FD_CLOEXEC) == 0 || err_sys(err, errno, "descriptor %d", *fd);
}

/* Looks at all of them first: a duplicate might get the number of one that is missing. The way back needs no
 * more of them than there were: that there were too few may be why it is taken. */
bool state_take(struct state *state, bool may_go_back, struct err *err)
{
	if (!may_go_back)
		return fields_each_fd(state->json, keep_it, err);
	if (!fields_each_fd(state->json, look_at, err))
		return false;
	state->originals = json_deep_copy(state->json);
	if (state->originals == NULL)
		return err_set(err, "out of memory");
	return fields_each_fd(state->json, duplicate, err);
}

static bool close_it(int *fd, struct err *err)
{
	(void)err;
	fd_close(fd);
	return true;
}

void state_settle(struct state *state)
{
	struct err err;

	fields_each_fd(state->originals, close_it, &err);
	json_decref(state->originals);
	state->originals = NULL;
}

void state_release(struct state *state)
{
	json_decref(state->json);
	json_decref(state->originals);
	free(state->bytes);
	*state = (struct state){ 0 };
}

/* ---- reading ----------------------------------------------------------------------------------------- */

struct generation *state_config(const struct state *state, const struct master_setup *setup, struct err *err)
{
	struct generation *generation = generation_new(0, setup->services);
	struct canonical_load load;
	bool done = false;

	if (generation == NULL)
		return err_set(err, "out of memory"), NULL;
	if (canonical_begin(&load, generation, state->text, err)) {
		load.origins = true;
		if (canonical_step(&load, 0, &done, err))
			return generation;
	}
	err_add(err, "the running configuration");
	generation_unpin(generation);
	return NULL;
}

static bool load_current(struct master *master, const struct state *state, struct err *err)
{
	const json_t *number = json_object_get(state->json, "generation");
	struct verdict *current = &master->current;

	if (!json_is_integer(number))
		return err_set(err, "generation is missing");
	if (!fields_load(verdict_rows, current, json_object_get(state->json, "current"), err))
		return false;
	current->generation = state_config(state, master->setup, err);
	if (current->generation == NULL)
		return false;
	current->generation->number = (uint64_t)json_integer_value(number);
	return true;
}

static bool load_socket(struct listener *listener, const json_t *json, struct err *err)
{
	struct listen_socket *one = &listener->sockets[listener->count];

	*one = (struct listen_socket){ .fd = -1 };
	if (!fields_load(socket_rows, one, json, err))
		return false;
	listener->count++;
	return one->keeper <= KEEPER_STORE || err_set(err, "keeper %u is not known", one->keeper);
}

static bool load_sockets(struct listener *listener, const json_t *sockets, struct err *err)
{
	const json_t *json;
	size_t index;

	if (sockets == NULL)
		return false;
	listener->sockets = calloc(json_array_size(sockets) + 1, sizeof(listener->sockets[0]));
	if (listener->sockets == NULL)
		return err_set(err, "out of memory");
	json_array_foreach(sockets, index, json)
		if (!load_socket(listener, json, err))
			return err_add(err, "socket %zu of %s", index, listener->addr.text);
	return true;
}

static bool check_steering(const struct listener *listener, struct err *err)
{
	return (listener->steered <= STEERED_CPU && listener->seated <= listener->count) ||
	       err_set(err, "%s is steered in an unknown way", listener->addr.text);
}

static bool load_listener(struct master *master, const json_t *json, struct err *err)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	char text[ADDR_TEXT_BYTES];

	if (listener == NULL)
		return err_set(err, "out of memory");
	list_push_back(&master->listeners, &listener->link);
	if (!fields_load(listener_rows, listener, json, err))
		return false;
	memcpy(text, listener->addr.text, sizeof(text));
	listener->wanted = listener->options;
	return addr_parse(text, &listener->addr, err) &&
	       load_sockets(listener, fields_list(json, "sockets", err), err) &&
	       check_steering(listener, err);
}

static bool load_inherited(struct master *master, const json_t *json, struct err *err)
{
	struct inherited one = { .fd = -1 };

	return fields_load(inherited_rows, &one, json, err) &&
	       (inherit_return(master, one.fd, one.name) || err_set(err, "out of memory"));
}

static bool load_slots(struct master *master, const json_t *slots, struct err *err)
{
	const json_t *json;
	size_t index;

	if (master->slot_count > CONFIG_MAX_WORKERS || json_array_size(slots) != master->slot_count)
		return err_set(err, "%u slots cannot be", master->slot_count);
	json_array_foreach(slots, index, json)
		if (!fields_load(slot_rows, &master->slots[index], json, err))
			return err_add(err, "slot %zu", index);
	return true;
}

static bool check_child(const struct child *child, struct board_owners *owners, struct err *err)
{
	if (child->pid <= 0 || child->state == CHILD_GONE || child->state >= CHILD_STATES ||
	    child->slot >= CONFIG_MAX_WORKERS)
		return err_set(err, "pid %d in state %u of slot %u cannot be", (int)child->pid, child->state,
			       child->slot);
	return board_take(owners, child->column) || err_set(err, "column %u cannot be", child->column);
}

static bool take_seat(struct child *child, const char *seat, struct err *err)
{
	struct slot *slot = &child->master->slots[child->slot];

	if (seat == NULL)
		return err_set(err, "seat is missing");
	if (strcmp(seat, "serving") == 0)
		slot->serving = child;
	if (strcmp(seat, "next") == 0)
		slot->next = child;
	return true;
}

static bool load_child(struct master *master, const json_t *json, struct err *err)
{
	struct child *child = calloc(1, sizeof(*child));

	if (child == NULL)
		return err_set(err, "out of memory");
	child->master = master;
	child->exit.fd = child->channel.fd = -1;
	list_push_back(&master->children, &child->link);
	return fields_load(child_rows, child, json, err) && check_child(child, &master->owners, err) &&
	       wills_load(child, json_object_get(json, "will"), err) &&
	       take_seat(child, json_string_value(json_object_get(json, "seat")), err);
}

/* In the order of their rows. */
static bool load_site(struct master *master, const json_t *json, struct err *err)
{
	const char *name = json_string_value(json);
	unsigned before = master->owners.sites;

	if (name != NULL && name[0] != '\0' && strlen(name) < METRICS_SITE_BYTES &&
	    board_site_add(&master->owners, name) && master->owners.sites > before)
		return true;
	return err_set(err, "it cannot have a row");
}

static bool load_commit(struct master *master, const json_t *json, struct err *err)
{
	struct commit commit = { 0 };

	if (!fields_load(commit_rows, &commit, json, err))
		return false;
	if (commit.number != 0)         /* else the place was free */
		master->commits[commit.number % COMMITS_KNOWN] = commit;
	return true;
}

static bool load_list(struct master *master, const struct state *state, const char *name,
		      bool (*load)(struct master *master, const json_t *json, struct err *err),
		      struct err *err)
{
	const json_t *list = fields_list(state->json, name, err), *json;
	size_t index;

	if (list == NULL)
		return false;
	json_array_foreach(list, index, json)
		if (!load(master, json, err))
			return err_add(err, "%s %zu", name, index);
	return true;
}

bool state_load(struct master *master, const struct state *state, struct err *err)
{
	bool good = fields_load(master_rows, master, json_object_get(state->json, "master"), err) &&
		    load_slots(master, json_object_get(state->json, "slots"), err) &&
		    load_current(master, state, err) &&
		    load_list(master, state, "sites", load_site, err) &&
		    load_list(master, state, "commits", load_commit, err) &&
		    load_list(master, state, "overrides", tuning_load, err) &&
		    load_list(master, state, "listeners", load_listener, err) &&
		    load_list(master, state, "inherited", load_inherited, err) &&
		    load_list(master, state, "children", load_child, err) &&
		    load_list(master, state, "wills", wills_load_dead, err) &&
		    control_load(master, json_object_get(state->json, "control"), err);

	return good || err_add(err, "state");
}
