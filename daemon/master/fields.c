/* fields.c - the one way in which structs become JSON and JSON becomes structs.
 *
 * Called by state.c and control.c. Fails for want of memory, or because the image that wrote the state is not
 * one that this one understands. */
#include "fields.h"

#include "base/timer.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- saving ------------------------------------------------------------------------------------------ */

/* Little-endian, as all that drover runs on: the low bytes are the number. */
static uint64_t number_at(const void *at, size_t bytes)
{
	uint64_t number = 0;

	memcpy(&number, at, bytes);
	return number;
}

/* Paths may be any bytes, and JSON must be UTF-8: what is not becomes a list of numbers. */
static json_t *save_text(const char *text)
{
	json_t *json;

	if (text == NULL)
		return json_null();
	json = json_string(text);
	if (json != NULL)
		return json;
	json = json_array();
	for (const char *c = text; *c != '\0'; c++)
		if (json_array_append_new(json, json_integer((unsigned char)*c)) < 0)
			return json_decref(json), NULL;
	return json;
}

static json_t *save_fd(int fd)
{
	return fd >= 0 ? json_pack("{s:i}", "fd", fd) : json_null();
}

static json_t *save_timer(const struct timer *timer)
{
	return json_integer(timer_armed(timer) ? (json_int_t)timer->due_ns : 0);
}

static json_t *save_one(const struct field *row, const void *at)
{
	switch (row->type) {
	case FIELD_NUMBER:
		return json_integer((json_int_t)number_at(at, row->bytes));
	case FIELD_BOOL:
		return json_boolean(*(const bool *)at);
	case FIELD_FD:
		return save_fd(*(const int *)at);
	case FIELD_TEXT:
		return save_text(*(char *const *)at);
	case FIELD_CHARS:
		return save_text(at);
	case FIELD_TIMER:
		return save_timer(at);
	}
	return NULL;
}

json_t *fields_save(const struct field *rows, const void *object)
{
	json_t *json = json_object();

	for (const struct field *row = rows; row->name != NULL; row++) {
		json_t *value = save_one(row, (const char *)object + row->offset);

		if (json_object_set_new(json, row->name, value) < 0)
			return json_decref(json), NULL;
	}
	return json;
}

json_t *fields_save_list(const struct field *rows, const void *first, size_t count, size_t bytes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(list, fields_save(rows, (const char *)first + i * bytes)) < 0)
			return json_decref(list), NULL;
	return list;
}

/* Into memory of our own: json_dumps that runs out of memory may leave out a key and say
 * nothing. */
char *fields_line(const json_t *json, size_t *len)
{
	size_t size = json != NULL ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
	char *text = size > 0 ? malloc(size + 1) : NULL;

	if (text == NULL || json_dumpb(json, text, size, JSON_COMPACT) != size) {
		free(text);
		return NULL;
	}
	text[size] = '\n';
	*len = size + 1;
	return text;
}

/* ---- loading ----------------------------------------------------------------------------------------- */

static bool load_number(void *at, size_t bytes, const json_t *json)
{
	uint64_t number = (uint64_t)json_integer_value(json);

	if (!json_is_integer(json) || (bytes < sizeof(number) && number >> 8 * bytes != 0))
		return false;
	memcpy(at, &number, bytes);
	return true;
}

static bool load_fd(int *fd, const json_t *json)
{
	const json_t *number = json_object_get(json, "fd");

	if (!json_is_null(json) && !json_is_integer(number))
		return false;
	*fd = json_is_null(json) ? -1 : (int)json_integer_value(number);
	return true;
}

/* The bytes of a text that was saved, malloc'ed; NULL: it is none, or there is no memory. */
static char *text_of(const json_t *json)
{
	size_t len = json_array_size(json);
	char *text;

	if (json_is_string(json))
		return strdup(json_string_value(json));
	text = json_is_array(json) ? malloc(len + 1) : NULL;
	for (size_t i = 0; text != NULL && i < len; i++)
		text[i] = (char)json_integer_value(json_array_get(json, i));
	if (text != NULL)
		text[len] = '\0';
	return text;
}

static bool load_text(char **text, const json_t *json)
{
	*text = text_of(json);
	return *text != NULL || json_is_null(json);
}

static bool load_chars(char *chars, size_t bytes, const json_t *json)
{
	char *text = text_of(json);
	bool fits = text != NULL && strlen(text) < bytes;

	if (fits)
		memcpy(chars, text, strlen(text) + 1);
	free(text);
	return fits;
}

static bool load_one(const struct field *row, void *at, const json_t *json)
{
	switch (row->type) {
	case FIELD_NUMBER:
		return load_number(at, row->bytes, json);
	case FIELD_BOOL:
		*(bool *)at = json_is_true(json);
		return json_is_boolean(json);
	case FIELD_FD:
		return load_fd(at, json);
	case FIELD_TEXT:
		return load_text(at, json);
	case FIELD_CHARS:
		return load_chars(at, row->bytes, json);
	case FIELD_TIMER:
		return load_number(&((struct timer *)at)->due_ns, sizeof(uint64_t), json);
	}
	return false;
}

bool fields_load(const struct field *rows, void *object, const json_t *json, struct err *err)
{
	for (const struct field *row = rows; row->name != NULL; row++) {
		const json_t *value = json_object_get(json, row->name);

		if (value == NULL)
			return err_set(err, "%s is missing", row->name);
		if (!load_one(row, (char *)object + row->offset, value))
			return err_set(err, "%s is not what it should be", row->name);
	}
	return true;
}

const json_t *fields_list(const json_t *json, const char *name, struct err *err)
{
	const json_t *list = json_object_get(json, name);

	return json_is_array(list) ? list : (err_set(err, "%s is missing", name), NULL);
}

/* ---- descriptors ------------------------------------------------------------------------------------- */

static bool act_on(json_t *number, bool (*act)(int *fd, struct err *err), struct err *err)
{
	int fd = (int)json_integer_value(number);

	return act(&fd, err) && (json_integer_set(number, fd) == 0 || err_set(err, "out of memory"));
}

bool fields_each_fd(json_t *json, bool (*act)(int *fd, struct err *err), struct err *err)
{
	const char *key;
	json_t *value;
	size_t index;

	json_array_foreach(json, index, value)
		if (!fields_each_fd(value, act, err))
			return false;
	json_object_foreach(json, key, value) {
		bool is_fd = strcmp(key, "fd") == 0 && json_is_integer(value);

		if (is_fd ? !act_on(value, act, err) : !fields_each_fd(value, act, err))
			return false;
	}
	return true;
}
