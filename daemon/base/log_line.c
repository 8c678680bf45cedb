/* log_line.c - how an event looks.  Called by log.c; cuts what is too long. */
#include "log_line.h"

#include "escape.h"
#include "log_record.h"

#include <stdio.h>

enum {
	VALUE_BYTES = 16 * 1024,        /* of a journal field; a list of mistakes can be long */
	CLOSING_BYTES = 8,              /* "..." and what closes a string and the object */
};

const char *const log_level_names[] = { "error", "warning", "notice", "info", "debug", NULL };
const char *const log_format_names[] = { "text", "json", NULL };

int log_line_priority(enum log_level level)
{
	static const int priorities[LEVELS] = { 3, 4, 5, 6, 7 };        /* sd-daemon(3) */

	return priorities[level];
}

/* Bytes with a bound. */
struct out {
	char *text;
	size_t len, room;
};

static void put(struct out *out, const char *text)
{
	for (; *text != '\0' && out->len < out->room; text++)
		out->text[out->len++] = *text;
}

static void put_time(struct out *out, struct timespec now)
{
	char text[32];
	struct tm parts = { 0 };

	gmtime_r(&now.tv_sec, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
	put(out, text);
	snprintf(text, sizeof(text), ".%03uZ", (unsigned)(now.tv_nsec / 1000000) % 1000);
	put(out, text);
}

static const char *number_text(uint64_t number, char text[24])
{
	snprintf(text, 24, "%llu", (unsigned long long)number);
	return text;
}

/* ---- text -------------------------------------------------------------------------------------------- */

static bool needs_quotes(const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c == 0x7f)
			return true;
	return *text == '\0';
}

/* Bytes above 0x7f stay: names of files and of the system's errors have them. */
static void put_quoted(struct out *out, const char *text)
{
	char code[8];

	put(out, "\"");
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			snprintf(code, sizeof(code), "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			snprintf(code, sizeof(code), "\\x%02x", c);
		else
			snprintf(code, sizeof(code), "%c", c);
		put(out, code);
	}
	put(out, "\"");
}

static void put_field(struct out *out, const struct log_field *field)
{
	char number[24];

	put(out, " ");
	put(out, field->key);
	put(out, "=");
	if (field->text == NULL)
		put(out, number_text(field->number, number));
	else if (needs_quotes(field->text))
		put_quoted(out, field->text);
	else
		put(out, field->text);
}

size_t log_line_text(const struct log_line *line, bool head, char *text, size_t room)
{
	struct out out = { text, 0, room };

	if (head) {
		put_time(&out, line->now);
		put(&out, " ");
		put(&out, log_level_names[line->level]);
		put(&out, " ");
	}
	put(&out, line->role);
	put(&out, " ");
	put(&out, line->event);
	for (const struct log_field *field = line->fields; field->key != NULL; field++)
		put_field(&out, field);
	return out.len;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

/* `,"key":"` and the value, cut so that what closes it still fits. */
static void put_member(struct out *out, const char *key, const char *value)
{
	size_t room = out->room - out->len, fixed = strlen(key) + 5, most;
	struct str text = str_of(value);

	if (room < fixed + CLOSING_BYTES + ESCAPE_JSON_MOST)
		return;
	most = (room - fixed - CLOSING_BYTES) / ESCAPE_JSON_MOST;
	out->len += (size_t)sprintf(out->text + out->len, ",\"%s\":\"", key);
	out->len = (size_t)(escape_json(out->text + out->len,
					(struct str){ text.at, text.len < most ? text.len : most }) -
			    out->text);
	put(out, text.len > most ? "...\"" : "\"");
}

static void put_number_member(struct out *out, const struct log_field *field)
{
	char text[128], number[24];
	int len = snprintf(text, sizeof(text), ",\"%s\":%s", field->key,
			   number_text(field->number, number));

	if (len > 0 && out->room - out->len > (size_t)len + CLOSING_BYTES)
		put(out, text);
}

size_t log_line_json(const struct log_line *line, char *text, size_t room)
{
	struct out out = { text, 0, room };

	put(&out, "{\"time\":\"");
	put_time(&out, line->now);
	put(&out, "\"");
	put_member(&out, "level", log_level_names[line->level]);
	put_member(&out, "role", line->role);
	put_member(&out, "event", line->event);
	for (const struct log_field *field = line->fields; field->key != NULL; field++) {
		if (field->text != NULL)
			put_member(&out, field->key, field->text);
		else
			put_number_member(&out, field);
	}
	put(&out, "}");
	return out.len;
}

/* ---- the journal ------------------------------------------------------------------------------------- */

static char *put_journal(char *out, const char *name, const char *value)
{
	return log_record_field(out, str_of(name), str_of(value));
}

/* DROVER_ and the key in capital letters; nothing when there is no room left for it. */
static char *put_journal_field(char *out, const char *end, const struct log_field *field)
{
	char name[64] = "DROVER_", number[24];
	struct str value = str_of(field->text != NULL ? field->text : number_text(field->number, number));
	size_t at = strlen(name);

	for (const char *c = field->key; *c != '\0' && at < sizeof(name) - 1; c++)
		name[at++] = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
	name[at] = '\0';
	if (value.len > VALUE_BYTES)
		value.len = VALUE_BYTES;
	if ((size_t)(end - out) < at + value.len + LOG_RECORD_FIELD_BYTES)
		return out;
	return log_record_field(out, str_of(name), value);
}

size_t log_line_journal(const struct log_line *line, char *text)
{
	char message[LOG_LINE_BYTES], id[LOG_RECORD_ID_BYTES], priority[2] = "3", *out = text;
	const char *end = text + LOG_LINE_RECORD_BYTES;
	size_t len = log_line_text(line, false, message, sizeof(message));

	log_record_id(line->event, id);
	priority[0] = (char)('0' + log_line_priority(line->level));
	out = log_record_field(out, str_of("MESSAGE"), (struct str){ message, len });
	out = put_journal(out, "PRIORITY", priority);
	out = put_journal(out, "SYSLOG_IDENTIFIER", "drover");
	out = put_journal(out, "MESSAGE_ID", id);
	out = put_journal(out, "DROVER_EVENT", line->event);
	out = put_journal(out, "DROVER_ROLE", line->role);
	for (const struct log_field *field = line->fields; field->key != NULL; field++)
		out = put_journal_field(out, end, field);
	return (size_t)(out - text);
}
