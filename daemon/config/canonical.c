/* canonical.c - the canonical text: printing it and loading it, side by side because they must agree.
 *
 * Printed by the checker; loaded by the master and by workers. The loader takes only what the printer writes
 * and fails on anything else by returning false. */
#include "canonical.h"

#include "field.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- printing ---------------------------------------------------------------------------------------- */

enum { TAB_COLUMNS = 8, ORIGIN_COLUMN = 46 };

struct printer {
	const struct schema *const *services;
	char *text;
	size_t len, room;
	unsigned depth;
	bool failed;
	bool shown;                     /* to people: without secrets */
	unsigned redacted;
};

static void put(struct printer *out, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0 || out->failed)
		return;
	if (out->len + (size_t)len + 1 > out->room) {
		size_t room = (out->len + (size_t)len + 1) * 2;
		char *grown = realloc(out->text, room);

		out->failed = grown == NULL;
		if (out->failed)
			return;
		out->text = grown;
		out->room = room;
	}
	va_start(args, format);
	vsnprintf(out->text + out->len, out->room - out->len, format, args);
	va_end(args);
	out->len += (size_t)len;
}

static void indent(struct printer *out)
{
	for (unsigned i = 0; i < out->depth; i++)
		put(out, "\t");
}

/* So that the origins of what is not too long stand in a column. */
static void pad(struct printer *out, size_t begin)
{
	size_t width = out->len - begin + out->depth * (TAB_COLUMNS - 1);

	if (!out->failed && width < ORIGIN_COLUMN)
		put(out, "%*s", (int)(ORIGIN_COLUMN - width), "");
}

static void print_instance(struct printer *out, const struct schema *schema, void *instance);

static void print_list(struct printer *out, const struct setting *row, void *instance)
{
	struct items *items = setting_field(row, instance);
	const char *dot = strchr(row->name, '.');

	if (items->count == 0)          /* the reader wants at least one element where there is a list */
		return;
	indent(out);
	put(out, "%s = (\n", dot != NULL ? dot + 1 : row->name);
	out->depth++;
	for (unsigned i = 0; i < items->count; i++) {
		indent(out);
		put(out, "{\n");
		out->depth++;
		print_instance(out, row->of, items->at[i]);
		out->depth--;
		indent(out);
		put(out, i + 1 < items->count ? "},\n" : "}\n");
	}
	out->depth--;
	indent(out);
	put(out, ");\n");
}

static void print_service(struct printer *out, const struct setting *row, void *instance)
{
	struct service_ref *ref = setting_field(row, instance);

	indent(out);
	put(out, "%s = {\n", out->services[ref->index]->name);
	out->depth++;
	print_instance(out, out->services[ref->index], ref->settings);
	out->depth--;
	indent(out);
	put(out, "};\n");
}

/* The strings "Name: value" of a row as they may be shown; in the arena. False when out of memory. */
static bool redact(struct printer *out, struct strings *fields, struct arena *arena)
{
	struct strings copy = { .count = fields->count };

	copy.at = arena_alloc(arena, (copy.count + 1) * sizeof(*copy.at));
	if (copy.at == NULL)
		return false;
	for (unsigned i = 0; i < copy.count; i++) {
		struct str name, value;

		field_split(fields->at[i], &name, &value);
		copy.at[i] = fields->at[i];
		if (!field_is_secret(name))
			continue;
		copy.at[i] = arena_printf(arena, "%.*s: (redacted)", (int)name.len, name.at);
		out->redacted++;
		if (copy.at[i] == NULL)
			return false;
	}
	*fields = copy;
	return true;
}

static const char *text_of(struct printer *out, const struct setting *row, void *instance,
			   struct arena *arena)
{
	struct strings *fields = setting_field(row, instance), kept;
	const char *text;

	if (!out->shown || !row->fields || fields->at == NULL)
		return setting_text(row, instance, arena);
	kept = *fields;
	text = redact(out, fields, arena) ? setting_text(row, instance, arena) : NULL;
	*fields = kept;
	return text;
}

static void print_scalar(struct printer *out, const struct schema *schema, void *instance, unsigned index)
{
	const struct setting *row = &schema->settings[index];
	const char *dot = strchr(row->name, '.'), *origin = *setting_origin(schema, instance, index);
	struct arena arena = { 0 };
	const char *text = text_of(out, row, instance, &arena);

	/* out of memory must never look like absent: an allow list would be gone */
	out->failed |= text == NULL;
	if (text != NULL) {
		size_t begin = out->len;

		indent(out);
		put(out, "%s = %s;", dot != NULL ? dot + 1 : row->name, text);
		pad(out, begin);
		put(out, "  # %s\n", origin != NULL ? origin : "default");
	}
	arena_free(&arena);
}

/* Opens and closes groups as the rows go by: rows of one group stand together in the tables. */
static void print_group_edge(struct printer *out, const char **open, const struct setting *row)
{
	const char *name = row != NULL && strchr(row->name, '.') != NULL ? row->name : NULL;
	size_t len = name != NULL ? (size_t)(strchr(name, '.') - name) : 0;

	if (*open != NULL && (name == NULL || strncmp(*open, name, len + 1) != 0)) {
		out->depth--;
		indent(out);
		put(out, "};\n");
		*open = NULL;
	}
	if (*open == NULL && name != NULL) {
		indent(out);
		put(out, "%.*s = {\n", (int)len, name);
		out->depth++;
		*open = name;
	}
}

/* Nothing of it is printed, not even the group that it would be in. */
static bool is_absent(const struct setting *row, void *instance)
{
	if (row->type == SETTING_LIST)
		return !row->required && ((struct items *)setting_field(row, instance))->count == 0;
	return row->type != SETTING_SERVICE && setting_absent(row, instance);
}

static void print_instance(struct printer *out, const struct schema *schema, void *instance)
{
	const char *open = NULL;

	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];

		if (is_absent(row, instance))
			continue;
		print_group_edge(out, &open, row);
		if (row->type == SETTING_LIST)
			print_list(out, row, instance);
		else if (row->type == SETTING_SERVICE)
			print_service(out, row, instance);
		else
			print_scalar(out, schema, instance, i);
	}
	print_group_edge(out, &open, NULL);
}

static char *print(const struct generation *generation, struct printer *out, size_t *len)
{
	put(out, "# drover %s, effective configuration\n", DROVER_VERSION);
	print_instance(out, &config_schema, (void *)(uintptr_t)generation->config);
	if (out->failed) {
		free(out->text);
		return NULL;
	}
	*len = out->len;
	return out->text;
}

char *canonical_print(const struct generation *generation, size_t *len)
{
	struct printer out = { .services = generation->services };

	return print(generation, &out, len);
}

char *canonical_show(const struct generation *generation, size_t *len, unsigned *redacted)
{
	struct printer out = { .services = generation->services, .shown = true };
	char *text = print(generation, &out, len);

	*redacted = out.redacted;
	return text;
}

/* ---- loading ----------------------------------------------------------------------------------------- */

static struct canonical_frame *top(struct canonical_load *load)
{
	return &load->frames[load->depth - 1];
}

static bool push(struct canonical_load *load, struct canonical_frame frame, struct err *err)
{
	if (load->depth == CANONICAL_DEPTH)
		return err_set(err, "nested too deep");
	load->frames[load->depth++] = frame;
	return true;
}

static void *new_instance(struct canonical_load *load, const struct schema *schema, struct err *err)
{
	struct arena *arena = &load->generation->arena;
	void *instance = setting_instance(schema, arena);

	if (instance == NULL)
		return err_set(err, "out of memory"), NULL;
	return setting_store_defaults(schema, instance, arena, err) ? instance : NULL;
}

/* "{": the next element of the list. */
static bool load_element(struct canonical_load *load, struct err *err)
{
	struct canonical_frame *list = top(load);
	struct canonical_frame frame = { 0 };
	struct items *items;

	if (list->list == NULL)
		return err_set(err, "an element outside of a list");
	items = setting_field(list->list, list->instance);
	frame.schema = list->list->of;
	frame.instance = new_instance(load, frame.schema, err);
	if (frame.instance == NULL)
		return false;
	if (items->count == list->room) { /* doubled in the arena: at most as much again is left behind */
		unsigned room = list->room == 0 ? 8 : list->room * 2;
		void **grown = arena_alloc(&load->generation->arena, room * sizeof(void *));

		if (grown == NULL)
			return err_set(err, "out of memory");
		if (items->count > 0)
			memcpy(grown, items->at, items->count * sizeof(void *));
		items->at = grown;
		list->room = room;
	}
	items->at[items->count++] = frame.instance;
	return push(load, frame, err);
}

/* True when the line is one that ends a list, or a group or an element. */
static bool closes(const char *line, bool list)
{
	static const char *const group_ends[] = { "};", "},", "}", NULL };
	static const char *const list_ends[] = { ");", NULL };
	const char *const *end = list ? list_ends : group_ends;

	while (*end != NULL && strcmp(*end, line) != 0)
		end++;
	return *end != NULL;
}

static bool is_there(const struct schema *schema, const char *name, void *instance)
{
	const struct setting *row = name != NULL ? setting_find(schema, NULL, name) : NULL;

	return row != NULL && !setting_absent(row, instance);
}

/* What every reader of a configuration relies on: what is required is there. What is in it was looked at when
 * it was closed. */
static bool is_whole(const struct schema *schema, void *instance)
{
	for (unsigned i = 0; i < schema->count; i++) {
		const struct setting *row = &schema->settings[i];
		const void *field = setting_field(row, instance);

		if (!row->required || is_there(schema, row->instead, instance))
			continue;
		if ((row->type == SETTING_LIST && ((const struct items *)field)->count == 0) ||
		    (row->type == SETTING_SERVICE && ((const struct service_ref *)field)->settings == NULL) ||
		    setting_absent(row, instance))
			return false;
	}
	return true;
}

static bool load_close(struct canonical_load *load, const char *line, struct err *err)
{
	const struct canonical_frame *frame = top(load);

	if (load->depth <= 1 || !closes(line, frame->list != NULL))
		return err_set(err, "a closing bracket without its opening one");
	if (frame->list == NULL && frame->group == NULL && !is_whole(frame->schema, frame->instance))
		return err_set(err, "%s is not whole", frame->schema->name);
	if (frame->list != NULL && ((struct items *)setting_field(frame->list, frame->instance))->count == 0)
		return err_set(err, "an empty list");
	load->depth--;
	return true;
}

/* "NAME = {" of a service of the route under way. */
static bool load_service(struct canonical_load *load, const char *name, struct err *err)
{
	const struct schema *const *services = load->generation->services;
	struct canonical_frame *frame = top(load), inner = { 0 };

	for (unsigned i = 0; i < frame->schema->count; i++) {
		const struct setting *row = &frame->schema->settings[i];
		unsigned index = 0;

		if (row->type != SETTING_SERVICE)
			continue;
		while (services[index] != NULL && strcmp(services[index]->name, name) != 0)
			index++;
		if (services[index] == NULL)
			break;
		inner.schema = services[index];
		inner.instance = new_instance(load, inner.schema, err);
		if (inner.instance == NULL)
			return false;
		*(struct service_ref *)setting_field(row, frame->instance) =
			(struct service_ref){ index, inner.instance };
		return push(load, inner, err);
	}
	return err_set(err, "unknown group \"%s\"", name);
}

static bool load_open(struct canonical_load *load, const char *name, char bracket, struct err *err)
{
	struct canonical_frame inner = *top(load);
	const struct setting *row = setting_find(inner.schema, inner.group, name);

	if (inner.list != NULL)         /* the frame alone knows how much room its items have */
		return err_set(err, "\"%s\" where an element belongs", name);
	if (bracket == '(') {
		if (row == NULL || row->type != SETTING_LIST)
			return err_set(err, "\"%s\" is no list", name);
		if (((struct items *)setting_field(row, inner.instance))->at != NULL)
			return err_set(err, "\"%s\" is there already", name);
		inner.list = row;
		inner.room = 0;
		return push(load, inner, err);
	}
	if (inner.group != NULL || !setting_is_group(inner.schema, name))
		return load_service(load, name, err);
	inner.group = arena_copy(&load->generation->arena, str_of(name));
	return inner.group != NULL ? push(load, inner, err) : err_set(err, "out of memory");
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* Reads a quoted string at `*at` and moves behind it; NULL when it is none or memory is out. */
static char *load_string(const char **at, struct arena *arena)
{
	const char *in = *at;
	char *out, *end;
	size_t len = 0;

	if (*in++ != '"')
		return NULL;
	/* as written it is at least as long as what it means */
	while (in[len] != '"' && in[len] != '\0')
		len += in[len] == '\\' && in[len + 1] != '\0' ? 2 : 1;
	out = end = arena_alloc(arena, len + 1);
	if (out == NULL)
		return NULL;
	for (; *in != '"'; in++) {
		if (*in == '\0')
			return NULL;
		if (*in != '\\') {
			*end++ = *in;
		} else if (*++in != 'x') {      /* a quote or a backslash */
			if (*in == '\0')
				return NULL;
			*end++ = *in;
		} else {
			if (hex_digit(in[1]) < 0 || hex_digit(in[2]) < 0)
				return NULL;
			*end++ = (char)(hex_digit(in[1]) * 16 + hex_digit(in[2]));
			in += 2;
		}
	}
	*end = '\0';
	*at = in + 1;
	return out;
}

static bool load_strings(const char **text, struct raw *raw, struct arena *arena)
{
	const char *at = *text;

	raw->kind = RAW_STRINGS;
	raw->strings.at = arena_alloc(arena, (strlen(at) / 2 + 1) * sizeof(char *));
	if (raw->strings.at == NULL)
		return false;
	for (at++; *at == ' ' || *at == ','; ) {
		at++;
		if (*at == ']' || *at == ' ')
			continue;
		raw->strings.at[raw->strings.count] = load_string(&at, arena);
		if (raw->strings.at[raw->strings.count++] == NULL)
			return false;
	}
	*text = at + 1;
	return *at == ']';
}

static bool load_bool(const char **at, struct raw *raw)
{
	bool is_true = strncmp(*at, "true", 4) == 0, is_false = strncmp(*at, "false", 5) == 0;

	*raw = (struct raw){ .kind = RAW_BOOL, .truth = is_true };
	*at += is_true ? 4 : 5;
	return is_true || is_false;
}

/* Reads the value at `*at` and moves behind it. */
static bool load_raw(const char **at, struct raw *raw, struct arena *arena)
{
	char *end;

	if (**at == '"') {
		*raw = (struct raw){ .kind = RAW_STRING, .text = load_string(at, arena) };
		return raw->text != NULL;
	}
	if (**at == '[')
		return load_strings(at, raw, arena);
	if (**at < '0' || **at > '9')
		return load_bool(at, raw);
	*raw = (struct raw){ .kind = RAW_NUMBER, .number = strtoll(*at, &end, 10) };
	*at = end;
	return true;
}

/* What is behind a value: its semicolon, and where it came from. */
static bool is_end(const char *at)
{
	size_t blanks = at[0] == ';' ? strspn(at + 1, " ") : 0;

	return at[0] == ';' && (at[1] == '\0' || (blanks >= 2 && strncmp(at + 1 + blanks, "# ", 2) == 0));
}

/* Where a setting was written: only of those that stand outside of lists, which is what a master can still
 * complain about, unless all are wanted. */
static bool load_origin(struct canonical_load *load, const struct setting *row, const char *end,
			struct err *err)
{
	const struct canonical_frame *frame = top(load);
	char *origin;

	if ((frame->schema != &config_schema && !load->origins) || end[1] == '\0')
		return true;
	end += strspn(end, "; ");        /* see is_end */
	end += strspn(end, "# ");
	if (end[0] == '\0' || strcmp(end, "default") == 0)
		return true;
	origin = arena_copy(&load->generation->arena, str_of(end));
	if (origin == NULL)
		return err_set(err, "out of memory");
	*setting_origin(frame->schema, frame->instance, (unsigned)(row - frame->schema->settings)) = origin;
	return true;
}

static bool load_value(struct canonical_load *load, const char *name, const char *value, struct err *err)
{
	struct canonical_frame *frame = top(load);
	const struct setting *row = setting_find(frame->schema, frame->group, name);
	struct raw raw = { 0 };

	if (row == NULL || frame->list != NULL)
		return err_set(err, "unknown setting \"%s\"", name);
	if (!load_raw(&value, &raw, &load->generation->arena) || !is_end(value))
		return err_set(err, "%s: unreadable value", name);
	return setting_store(row, &raw, NULL, frame->instance, &load->generation->arena, err) &&
	       load_origin(load, row, value, err);
}

static bool load_line(struct canonical_load *load, struct str line, struct err *err)
{
	char stack[512],
		*copy = line.len < sizeof(stack) ? stack : arena_copy(&load->generation->arena, line);
	char *equals, *value;

	if (copy == NULL)
		return err_set(err, "out of memory");
	if (memchr(line.at, '\0', line.len) != NULL)    /* what is behind it would not be looked at */
		return err_set(err, "a NUL byte");
	if (copy == stack) {
		memcpy(stack, line.at, line.len);
		stack[line.len] = '\0';
	}
	if (copy[0] == '#' || copy[0] == '\0')
		return true;
	if (strcmp(copy, "{") == 0)
		return load_element(load, err);
	if (copy[0] == '}' || copy[0] == ')')
		return load_close(load, copy, err);
	equals = strstr(copy, " = ");
	if (equals == NULL)
		return err_set(err, "no setting");
	*equals = '\0';
	value = equals + 3;
	if ((value[0] == '(' || value[0] == '{') && value[1] == '\0')
		return load_open(load, copy, value[0], err);
	return load_value(load, copy, value, err);
}

bool canonical_begin(struct canonical_load *load, struct generation *generation, struct str text,
		     struct err *err)
{
	void *config;

	*load = (struct canonical_load){ .generation = generation, .rest = text };
	config = new_instance(load, &config_schema, err);
	if (config == NULL)
		return false;
	return push(load, (struct canonical_frame){ .schema = &config_schema, .instance = config }, err);
}

bool canonical_step(struct canonical_load *load, uint64_t budget_ns, bool *done, struct err *err)
{
	uint64_t until = budget_ns > 0 ? clock_now_ns() + budget_ns : UINT64_MAX;

	while (load->rest.len > 0) {
		const char *end = memchr(load->rest.at, '\n', load->rest.len);
		struct str line = { load->rest.at,
				    end != NULL ? (size_t)(end - load->rest.at) : load->rest.len };

		load->rest.at += line.len + (end != NULL);
		load->rest.len -= line.len + (end != NULL);
		load->line++;
		if (!load_line(load, str_trim(line), err))
			return err_add(err, "canonical text, line %u", load->line);
		if (load->line % 16 == 0 && clock_now_ns() >= until)
			break;
	}
	*done = load->rest.len == 0;
	if (!*done)
		return true;
	if (load->depth != 1)
		return err_set(err, "canonical text ends inside a group");
	if (!is_whole(&config_schema, load->frames[0].instance))
		return err_set(err, "canonical text is not whole");
	load->generation->config = load->frames[0].instance;
	return true;
}
