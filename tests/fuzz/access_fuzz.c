/* access_fuzz.c - what a request leaves in the access log: whatever its bytes are, a record is one line of
 * printable characters, and as JSON an object.
 *
 * Input: the format and the kind of log, the user's name up to a newline, the request. */
#include "fuzz.h"

#include "http/access_format.h"
#include "http/parse.h"

#include <jansson.h>

static const enum log_kind kinds[] = { LOG_STREAM, LOG_SYSLOG, LOG_JOURNAL };

/* A reader's view: no control character but the end of a stream's line. */
static void check_line(struct str record, bool ends)
{
	FUZZ_CHECK(!ends || (record.len > 0 && record.at[record.len - 1] == '\n'));
	for (size_t i = 0; i < record.len - ends; i++)
		FUZZ_CHECK((unsigned char)record.at[i] >= ' ' && record.at[i] != 0x7f);
}

/* Quotes that are not escaped come in pairs: nobody ends a field but the writer. */
static void check_quotes(struct str record)
{
	unsigned quotes = 0;

	for (size_t i = 0; i < record.len; i++) {
		if (record.at[i] == '\\')
			i++;
		else
			quotes += record.at[i] == '"';
	}
	FUZZ_CHECK(quotes % 2 == 0);
}

static void check_json(struct str record)
{
	json_t *object = json_loadb(record.at, record.len, 0, NULL);

	FUZZ_CHECK(json_is_object(object));
	json_decref(object);
}

static void log_it(struct access_style *style, const struct exchange *exchange)
{
	struct access_entry entry;
	struct str record;
	size_t room;
	char *out;

	access_entry_fill(&entry, style, exchange, 1);
	room = access_room(style, &entry);
	out = malloc(room);
	FUZZ_CHECK(out != NULL);
	record = (struct str){ out, access_put(style, &entry, out) };
	FUZZ_CHECK(record.len <= room);
	if (style->kind != LOG_JOURNAL) {
		check_line(record, style->kind == LOG_STREAM);
		check_quotes(record);
	}
	if (style->kind == LOG_STREAM && style->format == ACCESS_JSON)
		check_json(record);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct parse_limits limits = { 8000, 16000, 100 };
	struct input input = { data, size };
	struct engine engine = { .slot = 1 };
	struct conn conn = { 0 };
	struct exchange exchange = { .engine = &engine, .conn = &conn };
	struct access_style style;
	struct parse parse;
	unsigned status;
	char *user;

	access_style_init(&style, input_byte(&input) % ACCESS_FORMATS);
	style.query = size % 2 == 0;
	style.kind = kinds[input_byte(&input) % 3];
	user = fuzz_copy(input_until(&input, '\n'));
	exchange.user = str_of(user);
	exchange.head = (const char *)input.at;
	parse_begin(&parse, &exchange.request);
	exchange.understood = parse_head(&parse, &exchange.request, &limits, exchange.head, input.len,
					 &exchange.arena, &status) == PARSE_DONE;
	log_it(&style, &exchange);
	arena_free(&exchange.arena);
	free(user);
	return 0;
}
