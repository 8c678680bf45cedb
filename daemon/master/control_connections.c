/* control_connections.c - droverctl connections: what the workers have, written by themselves.
 *
 * Each worker gets a memfd and writes its connections there (ipc/listed.h); the memfds go on to the caller
 * unread. One list is made at a time. A worker that has not written within the deadline is named, and not
 * asked again before it has: nobody fills a hung worker's channel, and it is waited for once. Called by
 * control.c and spawn.c. Fails by saying why at the worker's row.
 */
#include "client.h"
#include "listing.h"
#include "master.h"

#include "base/fd.h"
#include "ipc/listed.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LIST_NS CLOCK_S

/* A worker, as it was when the list was begun. */
struct listing_row {
	unsigned slot;
	pid_t pid;
	enum child_state state;
	int fd;                         /* of its memfd */
	bool asked, listed;
	const char *why;                /* it is not asked, or will not answer; NULL: it may */
};

/* ---- what is wanted ------------------------------------------------------------------------------------ */

static uint64_t number_in(const json_t *request, const char *key, uint64_t otherwise, uint64_t most)
{
	const json_t *value = json_object_get(request, key);
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return otherwise;
	return number < 0 ? 0 : (uint64_t)number < most ? (uint64_t)number : most;
}

/* False: it is no network. */
static bool read_network(const json_t *request, struct list_note *wanted)
{
	const char *text = json_string_value(json_object_get(request, "peer"));
	struct cidr network;
	struct err err;

	if (text == NULL)
		return true;
	if (!cidr_parse(text, &network, &err))
		return false;
	wanted->family = (uint32_t)network.family;
	wanted->bits = network.bits;
	memcpy(wanted->network, network.bytes, sizeof(wanted->network));
	return true;
}

static bool read_wanted(const json_t *request, struct list_note *wanted)
{
	*wanted = (struct list_note){
		.version = LISTED_VERSION,
		.limit = (uint32_t)number_in(request, "limit", 100, LISTED_MOST),
		.states = (uint32_t)number_in(request, "states", UINT32_MAX, UINT32_MAX),
		.sort = (uint32_t)number_in(request, "sort", LISTED_BY_AGE, LISTED_SORTS - 1),
		.older_ns = number_in(request, "older_ms", 0, UINT32_MAX) * CLOCK_MS,
	};
	return read_network(request, wanted);
}

void command_connections(struct client *client, const json_t *request)
{
	struct list_note wanted;

	if (read_wanted(request, &wanted))
		client_wait(client, WAIT_CONNECTIONS);
	else
		client_reply_text(client, false,
				  "peer: expected an address or a network, such as 10.0.0.0/8");
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

static const char *why_not(const struct listing_row *row)
{
	if (row->listed)
		return "";
	return row->why != NULL ? row->why : "does not answer";
}

/* Its memfd is the next one, if it was written. */
static json_t *row_json(struct listing_row *row, struct fd_array *fds)
{
	bool listed = row->listed && fd_array_push(fds, fd_take(&row->fd));

	return json_pack("{s:i, s:i, s:s, s:b, s:s}", "slot", (int)row->slot, "pid", (int)row->pid, "state",
			 child_state_names[row->state], "listed", (int)listed, "why", why_not(row));
}

static void reply(struct listings *listing, struct client *client, uint64_t now_ns)
{
	struct fd_array fds AUTO_CLOSE_ALL = { 0 };
	json_t *workers = json_array();

	for (unsigned i = 0; i < listing->count; i++)
		json_array_append_new(workers, row_json(&listing->rows[i], &fds));
	client->wait = WAIT_NOT;
	client_reply_with(client, json_pack("{s:b, s:I, s:o}", "ok", 1, "now_ns", (json_int_t)now_ns,
					    "workers", workers),
			  &fds);
}

static void forget_rows(struct listings *listing)
{
	for (unsigned i = 0; i < listing->count; i++)
		fd_close(&listing->rows[i].fd);
	free(listing->rows);
	listing->rows = NULL;
	listing->count = 0;
}

/* Whoever asked may have left meanwhile. */
static void answer(struct master *master)
{
	struct listings *listing = &master->listing;
	struct list *link = list_pop_front(&listing->asking);

	timer_cancel(&listing->deadline);
	if (link != NULL)
		reply(listing, LIST_ENTRY(LIST_ENTRY(link, struct asker, link), struct client, asker),
		      master->loop.now_ns);
	forget_rows(listing);
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static const char *tell(struct child *child, int fd, const struct list_note *wanted, uint64_t number)
{
	struct message message = { .type = MESSAGE_LIST, .generation = number,
				   .bytes = sizeof(struct list_note), .body.list = *wanted };
	struct err err;

	if (child->master->board->column[child->column].messages <= MESSAGE_LISTED)
		return "it is of a drover that cannot list its connections";
	if (child->listing != 0)
		return "does not answer";
	if (fd < 0)
		return "no memory or no descriptor for its list";
	if (!channel_send(child->channel.fd, &message, &fd, 1, &err))
		return "its channel is full or has ended";
	child->listing = number;
	return NULL;
}

static void add_row(struct master *master, struct child *child, const struct list_note *wanted)
{
	struct listings *listing = &master->listing;
	struct listing_row *row = &listing->rows[listing->count++];

	*row = (struct listing_row){
		.slot = child->slot, .pid = child->pid, .state = child->state,
		.fd = listed_open(wanted->limit),
	};
	row->why = tell(child, row->fd, wanted, listing->number);
	row->asked = row->why == NULL;
}

static bool is_asked(const struct child *child, uint64_t slot)
{
	return (child->state == CHILD_SERVING || child->state == CHILD_DRAINING) &&
	       (slot == UINT32_MAX || child->slot == slot);
}

static void ask_all(struct master *master, const struct list_note *wanted, uint64_t slot)
{
	unsigned count = 0;

	FOR_EACH_CHILD(master, child)
		count += is_asked(child, slot);
	/* no other number: not one that the image before this one has used, either */
	master->listing.number = clock_now_ns();
	master->listing.rows = calloc(count + 1, sizeof(struct listing_row));
	if (master->listing.rows == NULL)
		return;
	FOR_EACH_CHILD(master, child)
		if (is_asked(child, slot))
			add_row(master, child, wanted);
}

static bool is_done(const struct listings *listing)
{
	for (unsigned i = 0; i < listing->count; i++)
		if (listing->rows[i].asked && !listing->rows[i].listed && listing->rows[i].why == NULL)
			return false;
	return true;
}

static void begin(struct master *master, struct asker *asker)
{
	json_t *request = client_request(LIST_ENTRY(asker, struct client, asker));
	struct list_note wanted;

	list_push_back(&master->listing.asking, &asker->link);
	if (read_wanted(request, &wanted))
		ask_all(master, &wanted, number_in(request, "slot", UINT32_MAX, UINT32_MAX));
	json_decref(request);
}

static void go_on(struct master *master);

static void too_late(struct timer *timer, uint64_t now_ns)
{
	struct master *master =
		LIST_ENTRY(LIST_ENTRY(timer, struct listings, deadline), struct master, listing);

	(void)now_ns;
	answer(master);
	go_on(master);
}

/* Makes lists until one has to be waited for. */
static void go_on(struct master *master)
{
	struct listings *listing = &master->listing;
	struct list *link;

	while (!timer_armed(&listing->deadline) && (link = list_pop_front(&listing->waiting)) != NULL) {
		begin(master, LIST_ENTRY(link, struct asker, link));
		listing->deadline.fire = too_late;
		if (is_done(listing))
			answer(master);
		else
			loop_timer(&master->loop, &listing->deadline, LIST_NS);
	}
}

void connections_ask(struct master *master, struct asker *asker)
{
	list_push_back(&master->listing.waiting, &asker->link);
	go_on(master);
}

static void settle(struct master *master)
{
	if (timer_armed(&master->listing.deadline) && is_done(&master->listing)) {
		answer(master);
		go_on(master);
	}
}

static struct listing_row *row_of(const struct child *child)
{
	struct listings *listing = &child->master->listing;

	for (unsigned i = 0; i < listing->count; i++)
		if (listing->rows[i].pid == child->pid)
			return &listing->rows[i];
	return NULL;
}

void listing_child_listed(struct child *child, uint64_t number)
{
	struct listing_row *row = row_of(child);

	if (child->listing == 0 || child->listing != number)
		return;                 /* nobody has asked it, or did so before an upgrade */
	child->listing = 0;
	if (row != NULL && row->asked && number == child->master->listing.number)
		row->listed = true;
	settle(child->master);
}

void listing_child_died(struct child *child)
{
	struct listing_row *row = row_of(child);

	if (row != NULL && !row->listed)
		row->why = "it has ended";
	settle(child->master);
}
