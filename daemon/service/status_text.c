/* status_text.c - a growing text.  Called by the files of the status service; fails by `bad`. */
#include "status_text.h"

#include "base/escape.h"
#include "base/list.h"
#include "base/put.h"

#include <stdlib.h>

enum { FIRST_BYTES = 8 * 1024, NUMBER_BYTES = 24 };

static void release(struct lasting *lasting)
{
	struct status_text *text = LIST_ENTRY(lasting, struct status_text, lasting);

	if (text->left != NULL)
		*text->left -= text->room;
	free(text->at);
	free(text);
}

struct status_text *status_text_new(void)
{
	struct status_text *text = calloc(1, sizeof(*text));

	if (text != NULL)
		text->lasting = (struct lasting){ .pins = 1, .release = release };
	return text;
}

void status_text_empty(struct status_text *text)
{
	text->len = 0;
	text->bad = false;
}

/* Where `len` more bytes can be written; NULL when there is no room for them. */
static char *room_for(struct status_text *text, size_t len)
{
	size_t room = text->room > 0 ? text->room : FIRST_BYTES;
	char *at;

	if (text->bad || len > STATUS_TEXT_MOST - text->len)
		return text->bad = true, NULL;
	if (text->room - text->len >= len)
		return text->at + text->len;
	while (room - text->len < len)
		room *= 2;
	at = realloc(text->at, room);
	if (at == NULL)
		return text->bad = true, NULL;
	text->at = at;
	text->room = room;
	return at + text->len;
}

/* What was written there ends at `end`. */
static void written(struct status_text *text, const char *end)
{
	text->len = (size_t)(end - text->at);
}

void status_text_put(struct status_text *text, struct str bytes)
{
	char *out = room_for(text, bytes.len);

	if (out != NULL)
		written(text, put(out, bytes));
}

void status_text_add(struct status_text *text, const char *literal)
{
	status_text_put(text, str_of(literal));
}

void status_text_number(struct status_text *text, uint64_t number)
{
	char *out = room_for(text, NUMBER_BYTES);

	if (out != NULL)
		written(text, put_number(out, number));
}

void status_text_count(struct status_text *text, uint64_t number)
{
	status_text_number(text, number < INT64_MAX ? number : INT64_MAX);
}

/* `number` / 10^digits. */
static void put_decimal(struct status_text *text, uint64_t number, unsigned digits)
{
	char fraction[NUMBER_BYTES];
	uint64_t whole = number;
	unsigned last = digits;

	for (unsigned i = digits; i > 0; i--) {
		fraction[i - 1] = (char)('0' + whole % 10);
		whole /= 10;
	}
	while (last > 0 && fraction[last - 1] == '0')
		last--;
	status_text_number(text, whole);
	if (last == 0)
		return;
	status_text_add(text, ".");
	status_text_put(text, (struct str){ fraction, last });
}

void status_text_seconds(struct status_text *text, uint64_t ns)
{
	put_decimal(text, ns, 9);
}

void status_text_micros(struct status_text *text, uint64_t ns)
{
	put_decimal(text, ns, 3);
}

void status_text_quoted(struct status_text *text, const char *bytes)
{
	struct str all = str_of(bytes);
	char *out = room_for(text, ESCAPE_JSON_MOST * all.len + 2);

	if (out == NULL)
		return;
	*out++ = '"';
	out = escape_json(out, all);
	*out++ = '"';
	written(text, out);
}

void status_text_label(struct status_text *text, const char *bytes)
{
	char escaped[ESCAPE_TEXT_MOST], *end;

	status_text_add(text, "\"");
	for (; *bytes != '\0'; bytes++) {
		end = escape_text(escaped, (struct str){ bytes, 1 });
		if (escaped[0] == '\\')         /* there is one at the beginning, or none */
			status_text_add(text, "\\");
		status_text_put(text, (struct str){ escaped, (size_t)(end - escaped) });
	}
	status_text_add(text, "\"");
}
