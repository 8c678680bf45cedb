/* slow.c - droverctl slow: the last slow requests. They come as a file that the daemon has not read
 * (ipc/slow.h): nothing in it is trusted, and what clients sent is escaped. Fails as ctl_run does. */
#include "ctl.h"

#include "base/escape.h"
#include "base/fd.h"
#include "ipc/slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_LIMIT = 20, SHOWN_BYTES = ESCAPE_TEXT_MOST * SLOW_REQUEST_BYTES + 1, WHEN_BYTES = 24 };

#define NS_PER_MS UINT64_C(1000000)

static uint64_t limit = DEFAULT_LIMIT;

const struct option slow_options[] = {
	{ "limit", required_argument, NULL, 'l' },
	{ NULL, 0, NULL, 0 },
};

bool slow_option(int val, const char *value)
{
	(void)val;
	if (!ctl_parse_number(value, SLOW_SLOTS * SLOW_ENTRIES, &limit) || limit == 0)
		return ctl_wrong("--limit: expected a number from 1 to 32768, not ", value), false;
	return true;
}

/* ---- what came ----------------------------------------------------------------------------------------- */

struct found {
	struct slow_entry *at;
	size_t count;
	long long threshold_ms;
};

/* The newest first. */
static int by_time(const void *a, const void *b)
{
	uint64_t first = ((const struct slow_entry *)a)->at_ms;
	uint64_t second = ((const struct slow_entry *)b)->at_ms;

	return (first < second) - (first > second);
}

/* False: it is not what it should be, or out of memory. */
static bool read_file(int fd, struct found *found)
{
	struct slow_head head;

	if (!slow_head_of(fd, &head))
		return false;
	found->at = calloc(head.count + 1, sizeof(*found->at));
	while (found->at != NULL && found->count < head.count) {
		if (!slow_entry_at(fd, &head, (unsigned)found->count, &found->at[found->count]))
			return false;
		found->count++;
	}
	if (found->count > 0)
		qsort(found->at, found->count, sizeof(*found->at), by_time);
	return found->at != NULL;
}

/* ---- showing it ---------------------------------------------------------------------------------------- */

static const char *shown(const char *text, char out[SHOWN_BYTES])
{
	*escape_text(out, str_of(text)) = '\0';
	return out;
}

static const char *when(uint64_t at_ms, char out[WHEN_BYTES])
{
	time_t at = (time_t)(at_ms / 1000);
	struct tm utc;

	if (at_ms / 1000 > UINT32_MAX || gmtime_r(&at, &utc) == NULL ||
	    strftime(out, WHEN_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		strcpy(out, "?");
	return out;
}

static json_int_t ms_of(uint64_t ns)
{
	return (json_int_t)(ns / NS_PER_MS);
}

static json_t *entry_json(const struct slow_entry *entry)
{
	char client[SHOWN_BYTES], host[SHOWN_BYTES], request[SHOWN_BYTES], at[WHEN_BYTES];
	json_t *object = json_pack(
		"{s:s, s:I, s:I, s:i, s:I, s:s, s:s, s:s, s:i, s:I, s:b}", "at", when(entry->at_ms, at),
		"at_ms", (json_int_t)(entry->at_ms & INT64_MAX), "duration_ms", ms_of(entry->duration_ns),
		"slot", (int)(entry->slot & INT32_MAX), "pid", (json_int_t)entry->pid, "client",
		shown(entry->client, client), "host", shown(entry->host, host), "request",
		shown(entry->request, request), "status", (int)(entry->status & INT32_MAX), "bytes",
		(json_int_t)(entry->bytes & INT64_MAX), "cut", entry->cut != 0);

	if (entry->waited_ns > 0 && entry->waited_ns <= entry->duration_ns) {
		json_object_set_new(object, "waited_ms", json_integer(ms_of(entry->waited_ns)));
		json_object_set_new(object, "sending_ms",
				    json_integer(ms_of(entry->duration_ns - entry->waited_ns)));
	}
	return object;
}

static void show_json(const struct found *found, json_t *answer)
{
	json_t *all = json_array();

	for (size_t i = 0; i < found->count && i < limit; i++)
		json_array_append_new(all, entry_json(&found->at[i]));
	json_object_set_new(answer, "requests", all);
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
}

static void show_entry(const struct slow_entry *entry)
{
	char text[SHOWN_BYTES], at[WHEN_BYTES], took[DURATION_BYTES], part[DURATION_BYTES];
	char bytes[CTL_BYTES_BYTES];

	printf("%-20s  %7s", when(entry->at_ms, at), ctl_duration(ms_of(entry->duration_ns), took));
	if (entry->waited_ns > 0 && entry->waited_ns <= entry->duration_ns)
		printf("  %7s  %7s", ctl_duration(ms_of(entry->waited_ns), took),
		       ctl_duration(ms_of(entry->duration_ns - entry->waited_ns), part));
	else
		printf("  %7s  %7s", "-", "-");
	printf("  %4u  %6u  %7s", entry->slot, entry->status, ctl_bytes(entry->bytes, bytes));
	printf("  %-21s  %s", shown(entry->client, text), entry->cut != 0 ? "(cut) " : "");
	printf("%s", shown(entry->request, text));
	if (entry->host[0] != '\0')
		printf(" (%s)", shown(entry->host, text));
	putchar('\n');
}

static void show_table(const struct found *found)
{
	char text[DURATION_BYTES];

	if (found->count == 0)
		printf("no request took %s or longer\n", ctl_duration(found->threshold_ms, text));
	else
		printf("%-20s  %7s  %7s  %7s  %4s  %6s  %7s  %-21s  %s\n", "at", "took", "answer", "sending",
		       "slot", "status", "bytes", "client", "request");
	for (size_t i = 0; i < found->count && i < limit; i++)
		show_entry(&found->at[i]);
}

static int show(const struct ctl *ctl, json_t *answer, const struct fd_array *fds)
{
	struct found found = { .threshold_ms = ctl_number(answer, "threshold_ms") };
	bool good;

	if (!ctl_true(answer, "ok"))
		return ctl_show(ctl, answer, NULL);
	good = fds->count > 0 && read_file(fds->at[0], &found);
	if (!good)
		fputs("droverctl: the list of slow requests cannot be read\n", stderr);
	else if (ctl->json)
		show_json(&found, answer);
	else
		show_table(&found);
	free(found.at);
	return good ? STATUS_GOOD : STATUS_REFUSED;
}

int slow_run(struct ctl *ctl)
{
	struct fd_array fds AUTO_CLOSE_ALL = { 0 };
	struct err err;
	json_t *request = json_pack("{s:s}", "command", "slow");
	json_t *answer = control_ask_with(ctl->socket, request, 0, &fds, &err);
	int status = answer != NULL ? show(ctl, answer, &fds) : ctl_unreachable(&err);

	json_decref(answer);
	return status;
}
