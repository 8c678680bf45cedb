/* connections.c - droverctl connections: which there are, and what is under way on them.
 *
 * The workers' lists come as files that the daemon has not read (ipc/listed.h): nothing in them is trusted,
 * and what a client sent is escaped before it is shown. A worker whose list is not there or makes no sense is
 * named. Fails as ctl_run does. */
#include "ctl.h"

#include "base/escape.h"
#include "base/fd.h"
#include "ipc/listed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_LIMIT = 50 };

#define NS_PER_MS UINT64_C(1000000)

/* In the order of enum count_state (ipc/channel.h). */
static const char *const state_names[] = { "idle", "head", "waiting", "sending", "leaving", "moving" };
static const char *const sort_names[LISTED_SORTS] = { "age", "bytes" };

enum { STATES = sizeof(state_names) / sizeof(state_names[0]) };

static struct {
	const char *peer;
	long slot;                      /* -1: all */
	unsigned states;                /* 0: all */
	uint64_t older_ms;
	unsigned limit, sort;
} wanted = { .slot = -1, .limit = DEFAULT_LIMIT };

/* ---- the command line ---------------------------------------------------------------------------------- */

const struct option connections_options[] = {
	{ "peer", required_argument, NULL, 'p' },  { "slot", required_argument, NULL, 'n' },
	{ "state", required_argument, NULL, 'S' }, { "older", required_argument, NULL, 'o' },
	{ "limit", required_argument, NULL, 'l' }, { "sort", required_argument, NULL, 'r' },
	{ NULL, 0, NULL, 0 },
};

static int index_of(const char *name, const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static bool take_state(const char *value)
{
	int state = index_of(value, state_names, STATES);

	if (state < 0)
		return ctl_wrong("--state: expected idle, head, waiting, sending, leaving or moving, not ",
				 value), false;
	wanted.states |= 1U << state;
	return true;
}

static bool take_sort(const char *value)
{
	int sort = index_of(value, sort_names, LISTED_SORTS);

	if (sort < 0)
		return ctl_wrong("--sort: expected age or bytes, not ", value), false;
	wanted.sort = (unsigned)sort;
	return true;
}

static bool take_slot(const char *value)
{
	uint64_t slot;

	if (!ctl_parse_number(value, 1023, &slot))
		return ctl_wrong("--slot: expected the number of a slot, not ", value), false;
	wanted.slot = (long)slot;
	return true;
}

static bool take_limit(const char *value)
{
	uint64_t limit;

	if (!ctl_parse_number(value, LISTED_MOST, &limit) || limit == 0)
		return ctl_wrong("--limit: expected a number from 1 to 4096, not ", value), false;
	wanted.limit = (unsigned)limit;
	return true;
}

static bool take_older(const char *value)
{
	if (!ctl_parse_duration(value, &wanted.older_ms))
		return ctl_wrong("--older: expected a duration such as 10s, not ", value), false;
	return true;
}

bool connections_option(int val, const char *value)
{
	switch (val) {
	case 'p':
		wanted.peer = value;
		return true;
	case 'n':
		return take_slot(value);
	case 'S':
		return take_state(value);
	case 'o':
		return take_older(value);
	case 'l':
		return take_limit(value);
	default:
		return take_sort(value);
	}
}

static json_t *make_request(void)
{
	json_t *request = json_pack("{s:s, s:i, s:i, s:I}", "command", "connections", "limit",
				    (int)wanted.limit, "sort", (int)wanted.sort, "older_ms",
				    (json_int_t)wanted.older_ms);

	if (wanted.peer != NULL)        /* what is no UTF-8 is no address, and the daemon says so */
		json_object_set_new(request, "peer", json_string_nocheck(wanted.peer));
	if (wanted.slot >= 0)
		json_object_set_new(request, "slot", json_integer(wanted.slot));
	if (wanted.states != 0)
		json_object_set_new(request, "states", json_integer(wanted.states));
	return request;
}

/* ---- what the workers wrote ---------------------------------------------------------------------------- */

struct row {
	long long slot, pid;
	struct listed listed;
};

struct rows {
	struct row *at;
	size_t count, room;
	uint64_t matched, open;
	uint64_t now_ns;
};

static bool add_row(struct rows *rows, const struct row *row)
{
	if (rows->count == rows->room) {
		size_t room = rows->room == 0 ? 64 : 2 * rows->room;
		struct row *grown = reallocarray(rows->at, room, sizeof(*grown));

		if (grown == NULL)
			return false;
		rows->at = grown;
		rows->room = room;
	}
	rows->at[rows->count++] = *row;
	return true;
}

/* False: the file is not what it should be. */
static bool read_file(struct rows *rows, int fd, const json_t *worker)
{
	struct row row = { .slot = ctl_number(worker, "slot"), .pid = ctl_number(worker, "pid") };
	struct listed_head head;

	if (!listed_read_head(fd, wanted.limit, &head))
		return false;
	rows->matched += head.matched;
	rows->open += head.open;
	for (unsigned i = 0; i < head.count; i++)
		if (!listed_read(fd, i, &row.listed) || !add_row(rows, &row))
			return false;
	return true;
}

/* Files come in the order of the workers that have one. */
static void read_files(struct rows *rows, const json_t *answer, const struct fd_array *fds)
{
	json_t *worker;
	size_t index;
	unsigned used = 0;

	rows->now_ns = (uint64_t)ctl_number(answer, "now_ns");
	json_array_foreach(json_object_get(answer, "workers"), index, worker) {
		if (!ctl_true(worker, "listed"))
			continue;
		if (used < fds->count && read_file(rows, fds->at[used++], worker))
			continue;
		json_object_set_new(worker, "listed", json_false());
		json_object_set_new(worker, "why", json_string("its list cannot be read"));
	}
}

static int by_age(const void *a, const void *b)
{
	uint64_t first = ((const struct row *)a)->listed.since_ns;
	uint64_t second = ((const struct row *)b)->listed.since_ns;

	return (first > second) - (first < second);
}

static int by_bytes(const void *a, const void *b)
{
	uint64_t first = ((const struct row *)a)->listed.bytes_out;
	uint64_t second = ((const struct row *)b)->listed.bytes_out;

	return (first < second) - (first > second);
}

static void order(struct rows *rows)
{
	if (rows->count > 0)
		qsort(rows->at, rows->count, sizeof(*rows->at),
		      wanted.sort == LISTED_BY_BYTES ? by_bytes : by_age);
	if (rows->count > wanted.limit)
		rows->count = wanted.limit;
}

/* ---- showing them -------------------------------------------------------------------------------------- */

enum { SHOWN_BYTES = ESCAPE_TEXT_MOST * LISTED_REQUEST_BYTES + 1 };

/* ASCII, without what drives a terminal; as much as there is room for. */
static const char *shown(const char *text, char out[SHOWN_BYTES])
{
	*escape_text(out, (struct str){ text, strnlen(text, LISTED_REQUEST_BYTES) }) = '\0';
	return out;
}

static const char *state_name(const struct listed *listed)
{
	return listed->state < STATES ? state_names[listed->state] : "?";
}

static long long age_ms(const struct rows *rows, uint64_t since_ns)
{
	return rows->now_ns > since_ns ? (long long)((rows->now_ns - since_ns) / NS_PER_MS) : 0;
}

static json_int_t number_of(uint64_t number)
{
	return (json_int_t)(number & INT64_MAX);
}

static json_t *row_json(const struct rows *rows, const struct row *row)
{
	const struct listed *listed = &row->listed;
	char client[SHOWN_BYTES], peer[SHOWN_BYTES], host[SHOWN_BYTES], request[SHOWN_BYTES];
	json_t *object = json_pack("{s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "client",
				   shown(listed->client, client), "slot", (json_int_t)row->slot, "pid",
				   (json_int_t)row->pid, "state", state_name(listed), "age_ms",
				   (json_int_t)age_ms(rows, listed->since_ns), "served",
				   (json_int_t)listed->served, "bytes_out", number_of(listed->bytes_out),
				   "bytes_in", number_of(listed->bytes_in));

	if (listed->peer[0] != '\0')
		json_object_set_new(object, "peer", json_string(shown(listed->peer, peer)));
	if (listed->begun_ns == 0)
		return object;
	json_object_set_new(object, "request", json_string(shown(listed->request, request)));
	json_object_set_new(object, "host", json_string(shown(listed->host, host)));
	json_object_set_new(object, "request_ms", json_integer(age_ms(rows, listed->begun_ns)));
	json_object_set_new(object, "answer_bytes", json_integer(number_of(listed->answer_bytes)));
	return object;
}

static void show_json(const struct rows *rows, json_t *answer)
{
	json_t *all = json_array();

	for (size_t i = 0; i < rows->count; i++)
		json_array_append_new(all, row_json(rows, &rows->at[i]));
	json_object_set_new(answer, "open", json_integer(number_of(rows->open)));
	json_object_set_new(answer, "matched", json_integer(number_of(rows->matched)));
	json_object_set_new(answer, "connections", all);
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
}

static void show_row(const struct rows *rows, const struct row *row)
{
	const struct listed *listed = &row->listed;
	char text[SHOWN_BYTES], age[DURATION_BYTES], bytes[CTL_BYTES_BYTES];

	printf("%-23s  %4lld  %7lld  %-7s  %7s  %6u  %7s", shown(listed->client, text), row->slot, row->pid,
	       state_name(listed), ctl_duration(age_ms(rows, listed->since_ns), age), listed->served,
	       ctl_bytes(listed->bytes_out, bytes));
	if (listed->begun_ns != 0) {
		printf("  %7s", ctl_duration(age_ms(rows, listed->begun_ns), age));
		printf("  %s", shown(listed->request, text));
		if (listed->host[0] != '\0')
			printf(" (%s)", shown(listed->host, text));
	}
	if (listed->peer[0] != '\0')
		printf("  by %s", shown(listed->peer, text));
	putchar('\n');
}

static void show_missing(const json_t *answer)
{
	char why[SHOWN_BYTES];
	const json_t *worker;
	size_t index;

	json_array_foreach(json_object_get(answer, "workers"), index, worker)
		if (!ctl_true(worker, "listed"))
			printf("slot %lld, pid %lld: %s\n", ctl_number(worker, "slot"),
			       ctl_number(worker, "pid"), shown(ctl_text(worker, "why"), why));
}

static void show_table(const struct rows *rows, const json_t *answer)
{
	if (rows->count > 0)
		printf("%-23s  %4s  %7s  %-7s  %7s  %6s  %7s  %7s  %s\n", "client", "slot", "pid", "state",
		       "age", "served", "sent", "request", "");
	for (size_t i = 0; i < rows->count; i++)
		show_row(rows, &rows->at[i]);
	printf("%zu of %llu that match, of %llu open\n", rows->count, (unsigned long long)rows->matched,
	       (unsigned long long)rows->open);
	show_missing(answer);
}

static int show(const struct ctl *ctl, json_t *answer, const struct fd_array *fds)
{
	struct rows rows = { 0 };

	if (!ctl_true(answer, "ok"))
		return ctl_show(ctl, answer, NULL);
	read_files(&rows, answer, fds);
	order(&rows);
	if (ctl->json)
		show_json(&rows, answer);
	else
		show_table(&rows, answer);
	free(rows.at);
	return STATUS_GOOD;
}

int connections_run(struct ctl *ctl)
{
	struct fd_array fds AUTO_CLOSE_ALL = { 0 };
	struct err err;
	json_t *answer = control_ask_with(ctl->socket, make_request(), 0, &fds, &err);
	int status = answer != NULL ? show(ctl, answer, &fds) : ctl_unreachable(&err);

	json_decref(answer);
	return status;
}
