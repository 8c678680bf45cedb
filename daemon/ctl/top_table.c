/* top_table.c - droverctl top's table, as wide and as long as the terminal. Called by top.c. */
#include "top.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 320, NAME_COLUMNS = 20, TEXT_BYTES = 1024 };

#define BOLD "\x1b[1m"
#define RED "\x1b[31m"
#define PLAIN "\x1b[0m"

/* What is between a row and its cells. */
struct painter {
	FILE *out;
	const struct top_screen *screen;
	uint64_t ns;
	unsigned lines;                 /* so far */
};

/* ---- cells --------------------------------------------------------------------------------------------- */

static double per_second(uint64_t count, uint64_t ns)
{
	return ns > 0 ? (double)count * 1e9 / (double)ns : 0;
}

static void put_rate(char *cell, uint64_t count, uint64_t ns)
{
	double rate = per_second(count, ns);
	char text[CTL_BYTES_BYTES];

	if (rate > 0 && rate < 9.95)
		snprintf(cell, CELL_BYTES, "%.1f", rate);
	else
		snprintf(cell, CELL_BYTES, "%s", ctl_bytes((uint64_t)(rate + 0.5), text));
}

static void put_time(char *cell, uint64_t ns)
{
	double us = (double)ns / 1000;

	if (ns == 0)
		strcpy(cell, "-");
	else if (us < 999.5)
		snprintf(cell, CELL_BYTES, "%.0fus", us);
	else if (us < 999500)
		snprintf(cell, CELL_BYTES, us < 9950 ? "%.1fms" : "%.0fms", us / 1000);
	else
		snprintf(cell, CELL_BYTES, "%.1fs", us / 1000000);
}

static void cell_slot(char *cell, const struct top_row *row, uint64_t ns)
{
	(void)ns;
	snprintf(cell, CELL_BYTES, "%lld", row->slot);
}

static void cell_name(char *cell, const struct top_row *row, uint64_t ns)
{
	(void)ns;
	snprintf(cell, CELL_BYTES, "%.*s", NAME_COLUMNS, row->name);
}

static void cell_requests(char *cell, const struct top_row *row, uint64_t ns)
{
	put_rate(cell, row->requests, ns);
}

static void cell_errors(char *cell, const struct top_row *row, uint64_t ns)
{
	put_rate(cell, row->errors, ns);
}

static void cell_bytes(char *cell, const struct top_row *row, uint64_t ns)
{
	put_rate(cell, row->bytes, ns);
}

static void cell_p50(char *cell, const struct top_row *row, uint64_t ns)
{
	(void)ns;
	put_time(cell, metrics_percentile_ns(row->latency, 500));
}

static void cell_p99(char *cell, const struct top_row *row, uint64_t ns)
{
	(void)ns;
	put_time(cell, metrics_percentile_ns(row->latency, 990));
}

static void cell_lag(char *cell, const struct top_row *row, uint64_t ns)
{
	(void)ns;
	put_time(cell, metrics_percentile_ns(row->durations, 990));
}

static void cell_busy(char *cell, const struct top_row *row, uint64_t ns)
{
	snprintf(cell, CELL_BYTES, "%.0f%%", ns > 0 ? 100.0 * (double)row->busy_ns / (double)ns : 0);
}

static void cell_open(char *cell, const struct top_row *row, uint64_t ns)
{
	(void)ns;
	snprintf(cell, CELL_BYTES, "%llu", (unsigned long long)row->open);
}

static void cell_ready(char *cell, const struct top_row *row, uint64_t ns)
{
	(void)ns;
	snprintf(cell, CELL_BYTES, "%llu", (unsigned long long)row->ready);
}

#define STATE_CELL(name, index)                                                                        \
	static void cell_##name(char *cell, const struct top_row *row, uint64_t ns)                     \
	{                                                                                              \
		(void)ns;                                                                              \
		snprintf(cell, CELL_BYTES, "%llu", (unsigned long long)row->states[index]);            \
	}
STATE_CELL(idle, 0)
STATE_CELL(head, 1)
STATE_CELL(waiting, 2)
STATE_CELL(sending, 3)
STATE_CELL(leaving, 4)

/* ---- columns ------------------------------------------------------------------------------------------- */

struct column {
	const char *title;
	unsigned width;
	bool left;
	unsigned rank;                  /* where there is no room for all, those of a high one go first */
	void (*put)(char *cell, const struct top_row *row, uint64_t ns);
};

static const struct column slot_columns[] = {
	{ "slot", 4, false, 0, cell_slot },       { "state", 8, true, 1, cell_name },
	{ "req/s", 7, false, 0, cell_requests },  { "bytes/s", 7, false, 3, cell_bytes },
	{ "p50", 6, false, 4, cell_p50 },         { "p99", 6, false, 1, cell_p99 },
	{ "busy", 5, false, 1, cell_busy },       { "lag99", 6, false, 2, cell_lag },
	{ "open", 7, false, 2, cell_open },       { "idle", 7, false, 5, cell_idle },
	{ "head", 6, false, 6, cell_head },       { "waiting", 7, false, 5, cell_waiting },
	{ "sending", 7, false, 5, cell_sending }, { "leaving", 7, false, 7, cell_leaving },
	{ "ready", 6, false, 6, cell_ready },     { NULL, 0, false, 0, NULL },
};

static const struct column site_columns[] = {
	{ "site", NAME_COLUMNS, true, 0, cell_name }, { "req/s", 7, false, 0, cell_requests },
	{ "bytes/s", 7, false, 2, cell_bytes },       { "p50", 6, false, 3, cell_p50 },
	{ "p99", 6, false, 1, cell_p99 },             { "5xx/s", 6, false, 1, cell_errors },
	{ NULL, 0, false, 0, NULL },
};

static unsigned width_of(const struct column *columns, unsigned rank)
{
	unsigned width = 0;

	for (; columns->title != NULL; columns++)
		if (columns->rank <= rank)
			width += columns->width + 2;
	return width;
}

/* Columns of this rank and lower have room. */
static unsigned rank_for(const struct column *columns, unsigned room)
{
	unsigned rank = 9;

	while (rank > 0 && width_of(columns, rank) > room + 2)
		rank--;
	return rank;
}

/* ---- lines --------------------------------------------------------------------------------------------- */

static bool has_room(const struct painter *painter)
{
	return painter->screen->rows == 0 || painter->lines + 1 < painter->screen->rows;
}

/* A line of text, cut at the edge; what is not plain is not for a terminal. Color: an escape sequence, or
 * NULL. */
static void put_line(struct painter *painter, const char *color, const char *text)
{
	bool colored = color != NULL && painter->screen->color;
	unsigned most = painter->screen->columns > 0 ? painter->screen->columns : TEXT_BYTES;

	if (!has_room(painter))
		return;
	painter->lines++;
	if (colored)
		fputs(color, painter->out);
	for (unsigned i = 0; i < most && text[i] != '\0'; i++)
		putc(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?', painter->out);
	fputs(colored ? PLAIN "\n" : "\n", painter->out);
}

__attribute__((format(printf, 3, 4)))
static void say(struct painter *painter, const char *color, const char *format, ...)
{
	char text[TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put_line(painter, color, text);
}

static void add_cell(char *line, const struct column *column, const char *cell)
{
	size_t len = strlen(line);
	const char *between = len > 0 ? "  " : "";

	snprintf(line + len, TEXT_BYTES - len, column->left ? "%s%-*s" : "%s%*s", between,
		 (int)column->width, cell);
}

/* NULL: the titles. */
static void put_row(struct painter *painter, const struct column *columns, const struct top_row *row)
{
	unsigned room = painter->screen->columns > 0 ? painter->screen->columns : TEXT_BYTES;
	unsigned rank = rank_for(columns, room);
	char line[TEXT_BYTES] = "", cell[CELL_BYTES];

	for (; columns->title != NULL; columns++) {
		if (columns->rank > rank)
			continue;
		if (row != NULL)
			columns->put(cell, row, painter->ns);
		add_cell(line, columns, row != NULL ? cell : columns->title);
	}
	put_line(painter, row == NULL ? BOLD : row->bad || row->errors > 0 ? RED : NULL, line);
}

/* ---- in front ------------------------------------------------------------------------------------------ */

static void put_head(struct painter *painter, const struct top_look *view)
{
	const json_t *status = view->status;
	char requests[CELL_BYTES], bytes[CELL_BYTES], accepted[CELL_BYTES], died[CELL_BYTES] = "";

	put_rate(requests, view->requests, painter->ns);
	put_rate(bytes, view->bytes, painter->ns);
	put_rate(accepted, view->accepted, painter->ns);
	say(painter, BOLD, "drover %s, pid %lld, generation %lld%s", ctl_text(status, "version"),
	    ctl_number(status, "pid"), ctl_number(status, "generation"),
	    ctl_true(status, "stopping") ? ", stopping" : "");
	if (view->died > 0)
		snprintf(died, sizeof(died), ", %llu worker%s died", (unsigned long long)view->died,
			 view->died == 1 ? "" : "s");
	say(painter, NULL, "%s requests/s, %s bytes/s, %s new/s, %llu open, %llu waiting, %llu lost%s",
	    requests, bytes, accepted, (unsigned long long)view->open, (unsigned long long)view->waiting,
	    (unsigned long long)view->lost, died);
	if (painter->screen->trouble != NULL)
		put_line(painter, RED, painter->screen->trouble);
}

static void put_reload(struct painter *painter, const struct top_look *view)
{
	const json_t *reload = json_object_get(view->status, "last_reload");
	const json_t *upgrade = json_object_get(view->status, "upgrade");
	bool good = ctl_true(reload, "good");

	say(painter, good ? NULL : RED, "last reload %s: %s", good ? "succeeded" : "failed",
	    ctl_text(reload, "text"));
	if (ctl_true(upgrade, "open"))
		put_line(painter, NULL, "an upgrade is under way");
	else if (ctl_number(upgrade, "succeeded") + ctl_number(upgrade, "failed") > 0)
		say(painter, ctl_true(upgrade, "good") ? NULL : RED, "last upgrade %s: %s",
		    ctl_true(upgrade, "good") ? "succeeded" : "failed", ctl_text(upgrade, "text"));
}

/* Slots whose worker died last, or hangs. */
static void put_events(struct painter *painter, const struct top_look *view)
{
	const json_t *slot, *death;
	size_t index;

	json_array_foreach(json_object_get(view->status, "slots"), index, slot) {
		death = json_object_get(slot, "last_death");
		if (ctl_true(slot, "bad"))
			say(painter, RED, "slot %lld: its worker has not got on for %lld ms",
			    ctl_number(slot, "slot"), ctl_number(slot, "bad_ms"));
		if (death != NULL)
			say(painter, NULL, "slot %lld: a worker ended%s%s, %s %s", ctl_number(slot, "slot"),
			    ctl_text(death, "signal")[0] != '\0' ? " by " : "", ctl_text(death, "signal"),
			    ctl_text(death, "phase"), ctl_text(death, "request"));
	}
}

/* ---- the order of sites -------------------------------------------------------------------------------- */

static int compare(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static int by_requests(const void *a, const void *b)
{
	return compare(((const struct top_row *)a)->requests, ((const struct top_row *)b)->requests);
}

static int by_bytes(const void *a, const void *b)
{
	return compare(((const struct top_row *)a)->bytes, ((const struct top_row *)b)->bytes);
}

static int by_latency(const void *a, const void *b)
{
	return compare(metrics_percentile_ns(((const struct top_row *)a)->latency, 990),
		       metrics_percentile_ns(((const struct top_row *)b)->latency, 990));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct top_row *)a)->name, ((const struct top_row *)b)->name);
}

static void order(struct top_row *sites, size_t count, const struct top_screen *screen)
{
	static int (*const orders[TOP_SORTS])(const void *, const void *) = {
		[TOP_BY_REQUESTS] = by_requests, [TOP_BY_BYTES] = by_bytes,
		[TOP_BY_LATENCY] = by_latency, [TOP_BY_NAME] = by_name,
	};

	if (count > 0)
		qsort(sites, count, sizeof(*sites), orders[screen->sort % TOP_SORTS]);
	for (size_t i = 0; screen->reverse && i < count / 2; i++) {
		struct top_row kept = sites[i];

		sites[i] = sites[count - 1 - i];
		sites[count - 1 - i] = kept;
	}
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

void top_table(FILE *out, struct top_look *view, uint64_t ns, const struct top_screen *screen)
{
	struct painter painter = { out, screen, ns, 0 };

	order(view->rows + view->slot_count, view->row_count - view->slot_count, screen);
	put_head(&painter, view);
	put_reload(&painter, view);
	put_events(&painter, view);
	put_line(&painter, NULL, "");
	put_row(&painter, slot_columns, NULL);
	for (size_t i = 0; i < view->slot_count; i++)
		put_row(&painter, slot_columns, &view->rows[i]);
	put_line(&painter, NULL, "");
	put_row(&painter, site_columns, NULL);
	for (size_t i = view->slot_count; i < view->row_count; i++)
		put_row(&painter, site_columns, &view->rows[i]);
}
