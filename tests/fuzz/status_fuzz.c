/* status_fuzz.c - what the status service shows of a board that a hostile worker writes: always JSON, always
 * metrics; and what it makes of Accept.
 *
 * Input: a value of Accept up to a line end, then bytes that fill the part of the board that is looked at
 * again and again. */
#include "fuzz.h"

#include "net/hot.h"
#include "service/status_accept.h"
#include "service/status_json.h"
#include "service/status_metrics.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

enum { COLUMNS = 4 };

static struct board board;
static struct hot hot;
static struct loop loop;
static uint64_t counters[COUNTERS];

static void fill(void *to, size_t room, struct str bytes)
{
	for (size_t i = 0; i < room && bytes.len > 0; i++)
		((char *)to)[i] = bytes.at[i % bytes.len];
}

static void fill_board(struct str bytes)
{
	memset(&board.news, 0, sizeof(board.news));
	fill(board.column, COLUMNS * sizeof(board.column[0]), bytes);
	fill(board.metrics, COLUMNS * sizeof(board.metrics[0]), bytes);
	fill(&board.events, sizeof(board.events), bytes);
	fill(board.sites, sizeof(board.sites), bytes);
	fill(&board.news.pid, sizeof(board.news) - offsetof(struct news, pid), bytes);
	fill(hot.seat, COLUMNS * sizeof(hot.seat[0]), bytes);
	hot.slots = (uint32_t)(bytes.len % (2 * COLUMNS));     /* few, or an input would take half a second */
}

/* Terminated. */
static const char *write_with(const struct view *view, const struct status_writer *writer,
			      struct status_text *text)
{
	status_text_empty(text);
	for (unsigned i = 0; i < writer->parts(view); i++)
		writer->part(view, i, text);
	status_text_put(text, (struct str){ "", 1 });
	FUZZ_CHECK(!text->bad);
	return text->at;
}

static void check_json(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, 0, &error);

	FUZZ_CHECK(json != NULL);
	FUZZ_CHECK(json_object_size(json_object_get(json, "counters")) == COUNTERS);
	json_decref(json);
	FUZZ_CHECK(strchr(text, '\n') == text + strlen(text) - 1);      /* data of an event is one line */
}

/* name, perhaps labels, a space and a number: one of each. */
static void check_sample(const char *line, const char *end)
{
	const char *at = line + strspn(line, "abcdefghijklmnopqrstuvwxyz_");
	bool is_quoted = false;

	FUZZ_CHECK(at > line);
	for (; at < end && (is_quoted || *at != ' '); at++) {
		if (is_quoted && *at == '\\')
			at++;
		else if (*at == '"')
			is_quoted = !is_quoted;
		FUZZ_CHECK(*at >= ' ' && *at <= '~');
	}
	FUZZ_CHECK(at < end && at + 1 + strspn(at + 1, "0123456789.") == end);
}

static void check_metrics(const char *text)
{
	const char *end;

	for (; *text != '\0'; text = end + 1) {
		end = strchr(text, '\n');
		FUZZ_CHECK(end != NULL);
		if (*text != '#')
			check_sample(text, end);
		else if (end[1] == '\0')
			FUZZ_CHECK(strcmp(text, "# EOF\n") == 0);
	}
}

static void check_accept(struct str value)
{
	static const struct status_offer offers[] = { { "application/json", NULL },
						      { "application/openmetrics-text", "1.0.0" },
						      { "text/plain", "0.0.4" } };
	struct header header = { .value = { 0, (uint32_t)value.len }, .id = HEADER_ACCEPT };
	struct request request = {
		.header_count = 1, .headers = &header, .seen = UINT32_MAX, .again = UINT32_MAX
	};

	FUZZ_CHECK(status_accept(&request, value.at, offers, 3) < 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct engine engine = { .loop = &loop, .counters = counters, .board = &board, .hot = &hot };
	struct view *view = view_new();
	struct status_text *text = status_text_new();

	FUZZ_CHECK(view != NULL && text != NULL);
	check_accept(input_until(&input, '\n'));
	fill_board(input_take(&input, input.len));
	view_begin(view, &engine);
	FUZZ_CHECK(view_step(view, UINT64_MAX) && !view->failed);
	check_json(write_with(view, &status_json_whole, text));
	check_metrics(write_with(view, &status_openmetrics, text));
	view_free(view);
	lasting_unpin(&text->lasting);
	return 0;
}
