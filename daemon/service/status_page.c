/* status_page.c - the page of the status service.
 *
 * Called through the writer, by status_desk.c. Numbers come from anywhere and names from a configuration: all
 * text is escaped. Fails as status_text.h says. */
#include "status_page.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { EVENTS_SHOWN = 20, SLOTS_A_PART = 16 };

static void escaped(struct status_text *out, const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '<')
			status_text_add(out, "&lt;");
		else if (*c == '&')
			status_text_add(out, "&amp;");
		else if (*c == '>')
			status_text_add(out, "&gt;");
		else if (*c == '"')
			status_text_add(out, "&quot;");
		else if (*c < ' ' || *c > '~')
			status_text_add(out, "?");
		else
			status_text_put(out, (struct str){ c, 1 });
	}
}

/* ---- cells ------------------------------------------------------------------------------------------- */

/* 1,234,567 */
static void grouped(struct status_text *out, uint64_t value)
{
	char digits[24], text[32];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value), at = 0;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	status_text_put(out, (struct str){ text, at });
}

static void number(struct status_text *out, uint64_t value)
{
	status_text_add(out, "<td class=\"n\">");
	grouped(out, value);
}

static void text_cell(struct status_text *out, const char *text)
{
	status_text_add(out, "<td>");
	escaped(out, text);
}

static void head_cell(struct status_text *out, const char *text)
{
	status_text_add(out, "<tr><th scope=\"row\">");
	escaped(out, text);
}

/* 12.345 ms */
static void duration(struct status_text *out, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu.%03u ms", (unsigned long long)(ns / CLOCK_MS),
		 (unsigned)(ns / (CLOCK_MS / 1000) % 1000));
	status_text_add(out, ns == 0 ? "-" : text);
}

static void wall(struct status_text *out, uint64_t at_ms)
{
	time_t at = (time_t)(at_ms / 1000 < UINT32_MAX ? at_ms / 1000 : 0);
	char text[32] = "";
	struct tm parts;

	if (gmtime_r(&at, &parts) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
	text_cell(out, text);
}

static void fact(struct status_text *out, const char *name, uint64_t value)
{
	head_cell(out, name);
	status_text_add(out, "<td>");
	grouped(out, value);
}

/* ---- tables ------------------------------------------------------------------------------------------ */

/* As drover_connections_lost_total. */
static uint64_t lost(const struct view *view)
{
	static const enum counter counters[] = {
		COUNT_LOST_STOP,    COUNT_LOST_CRASHED, COUNT_LOST_ADDRESS_REMOVED, COUNT_KERNEL_DROPPED,
		COUNT_FILE_SHRANK,  COUNT_FILE_CHANGED, COUNT_CUT_HEAD,             COUNT_CUT_WAITING,
		COUNT_CUT_SENDING,
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		sum += view->counters[counters[i]];
	return sum;
}

static void summary(const struct view *view, struct status_text *out)
{
	static const struct {
		const char *name;
		unsigned permille;
	} shares[] = { { "Latency, p50", 500 }, { "Latency, p90", 900 }, { "Latency, p99", 990 } };

	status_text_add(out, "<h2>Since the start</h2><div class=\"scroll\"><table><tbody>");
	head_cell(out, "Version");
	text_cell(out, view->news.version);
	head_cell(out, "Started");
	wall(out, view->news.started_ms);
	fact(out, "Generation", view->news.generation);
	head_cell(out, "Last reload");
	text_cell(out, view->news.reload.text);
	head_cell(out, "Connections are given out");
	text_cell(out, view->news.accept_effective);
	fact(out, "Open connections", view->counters[COUNT_OPEN]);
	fact(out, "Connections accepted", view->counters[COUNT_ACCEPTED]);
	fact(out, "Requests", view->counters[COUNT_REQUESTS]);
	fact(out, "Bytes sent", view->counters[COUNT_BYTES_SENT]);
	fact(out, "Lost connections", lost(view));
	for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		head_cell(out, shares[i].name);
		status_text_add(out, "<td>");
		duration(out, metrics_percentile_ns(view->latency, shares[i].permille));
	}
	status_text_add(out, "</table></div>");
}

static void slot(const struct view *view, unsigned index, struct status_text *out)
{
	const struct view_slot *one = &view->slots[index];
	char name[32];

	snprintf(name, sizeof(name), "%u", index);
	head_cell(out, name);
	text_cell(out, view_state_names[one->state]);
	status_text_add(out, "<td class=\"n\">");
	status_text_count(out, one->first != VIEW_NOBODY ? view->workers[one->first].pid : 0);
	number(out, one->counters[COUNT_OPEN]);
	number(out, one->counters[COUNT_REQUESTS]);
	status_text_add(out, "<td class=\"n\">");
	duration(out, one->busy_ns);
}

static const char slots_head[] =
	"<h2>Workers</h2><div class=\"scroll\"><table><thead><tr><th>Slot<th>State<th class=\"n\">Process"
	"<th class=\"n\">Open<th class=\"n\">Requests<th class=\"n\">Busy</thead><tbody>";

static void slots(const struct view *view, unsigned first, struct status_text *out)
{
	if (first == 0)
		status_text_add(out, slots_head);
	for (unsigned i = first; i < view->slot_count && i < first + SLOTS_A_PART; i++)
		slot(view, i, out);
	if (first + SLOTS_A_PART >= view->slot_count)
		status_text_add(out, "</table></div>");
}

static const char sites_head[] =
	"<h2>Sites</h2><div class=\"scroll\"><table><thead><tr><th>Site<th class=\"n\">2xx<th class=\"n\">3xx"
	"<th class=\"n\">4xx<th class=\"n\">5xx<th class=\"n\">Bytes</thead><tbody>";

static void sites(const struct view *view, struct status_text *out)
{
	status_text_add(out, sites_head);
	for (unsigned i = 0; i < METRICS_SITES; i++) {
		const struct view_site *site = &view->sites[i];

		if (!site->used)
			continue;
		head_cell(out, site->name);
		for (unsigned class = 1; class < METRICS_CLASSES; class++)
			number(out, site->requests[class]);
		number(out, site->bytes);
	}
	status_text_add(out, "</table></div>");
}

static void listeners(const struct view *view, struct status_text *out)
{
	status_text_add(out, "<h2>Listeners</h2><div class=\"scroll\"><table><thead><tr><th>Address"
			     "<th class=\"n\">Waiting<th class=\"n\">Dropped</thead><tbody>");
	for (unsigned i = 0; i < view->listener_count; i++) {
		head_cell(out, view->listeners[i].address);
		number(out, view->listeners[i].waiting);
		number(out, view->listeners[i].dropped);
	}
	status_text_add(out, "</table></div>");
}

/* Newest first. */
static void events(const struct view *view, struct status_text *out)
{
	const struct board *board = view_board(view);
	struct news_event last[EVENTS_SHOWN];
	uint64_t newest = board != NULL ? __atomic_load_n(&board->events.last, __ATOMIC_RELAXED) : 0;
	size_t count = board != NULL ? news_since(board, newest > EVENTS_SHOWN ? newest - EVENTS_SHOWN : 0,
						  last, EVENTS_SHOWN)
				     : 0;

	status_text_add(out, "<h2>What happened</h2><div class=\"scroll\"><table><tbody>");
	for (size_t i = count; i-- > 0;) {
		head_cell(out, news_event_names[last[i].kind]);
		wall(out, last[i].at_ms);
		text_cell(out, last[i].text);
	}
	status_text_add(out, "</table></div>");
}

/* ---- the document ------------------------------------------------------------------------------------ */

enum { BEFORE_SLOTS = 2, BEHIND_SLOTS = 3 };

static unsigned slot_parts(const struct view *view)
{
	return view->slot_count > 0 ? (view->slot_count + SLOTS_A_PART - 1) / SLOTS_A_PART : 1;
}

static unsigned parts(const struct view *view)
{
	return BEFORE_SLOTS + slot_parts(view) + BEHIND_SLOTS;
}

static void part(const struct view *view, unsigned index, struct status_text *out)
{
	unsigned behind = BEFORE_SLOTS + slot_parts(view);

	if (index == 0) {
		status_text_add(out, status_page_head);
	} else if (index == 1) {
		summary(view, out);
	} else if (index < behind) {
		slots(view, (index - BEFORE_SLOTS) * SLOTS_A_PART, out);
	} else if (index == behind) {
		sites(view, out);
		listeners(view, out);
	} else if (index == behind + 1) {
		events(view, out);
	} else {
		status_text_add(out, status_page_tail);
	}
}

const struct status_writer status_page = { parts, part };
