/* record.c - what is written and read of a record. Called by all who move something to another process. */
#include "record.h"

#include <string.h>

struct record record_to(char *at, size_t room)
{
	return (struct record){ .at = at, .size = room };
}

struct record record_from(char *at, size_t len)
{
	return (struct record){ .at = at, .size = len, .reading = true };
}

/* Where the next `len` bytes are; NULL: there is no room for them, or they are not there. */
static char *step(struct record *record, size_t len)
{
	char *at = record->at + record->len;

	if (record->bad || len > record->size - record->len) {
		record->bad = true;
		return NULL;
	}
	record->len += len;
	return at;
}

void record_raw(struct record *record, void *bytes, size_t len)
{
	char *at = step(record, len);

	if (len == 0)
		return;
	if (record->reading && at == NULL)
		memset(bytes, 0, len);
	else if (record->reading)
		memcpy(bytes, at, len);
	else if (at != NULL)
		memcpy(at, bytes, len);
}

void record_u64(struct record *record, uint64_t *value)
{
	record_raw(record, value, sizeof(*value));
}

void record_u32(struct record *record, uint32_t *value)
{
	record_raw(record, value, sizeof(*value));
}

void record_below(struct record *record, unsigned *value, unsigned bound)
{
	uint32_t number = record->reading ? 0 : *value;

	record_u32(record, &number);
	if (number >= bound) {
		record->bad = true;
		number = 0;
	}
	*value = number;
}

void record_bool(struct record *record, bool *value)
{
	unsigned number = !record->reading && *value ? 1 : 0;

	record_below(record, &number, 2);
	*value = number != 0;
}

void record_bytes(struct record *record, struct str *bytes, size_t most)
{
	uint32_t len = record->reading ? 0 : (uint32_t)bytes->len;
	char *at;

	if (!record->reading && bytes->len > most)
		record->bad = true;
	record_u32(record, &len);
	if (len > most)
		record->bad = true;
	at = step(record, len);
	if (record->reading)
		*bytes = at != NULL ? (struct str){ at, len } : (struct str){ "", 0 };
	else if (at != NULL && len > 0)
		memcpy(at, bytes->at, len);
}

void record_text(struct record *record, struct str *text, struct arena *arena)
{
	bool is_there = text->at != NULL;

	record_bool(record, &is_there);
	if (is_there)
		record_bytes(record, text, UINT32_MAX);
	if (!record->reading)
		return;
	*text = is_there && !record->bad ? (struct str){ arena_copy(arena, *text), text->len }
					 : (struct str){ 0 };
	if (is_there && text->at == NULL)
		record->bad = true;
}

bool record_done(const struct record *record)
{
	return !record->bad && record->len == record->size;
}
