/* listing_fuzz.c - listings of directories with any names: names stay text, and lead where they should.
 *
 * Input: the query, a line; the path, a line, to which slashes are added at both ends; the cuts of the
 * output; then the entries, each a byte (odd: a directory), eight bytes for size and time, and the name up to
 * a NUL. */
#include "fuzz.h"

#include "service/listing_page.h"

#include <jansson.h>

enum { MOST_BYTES = 1 << 20 };

static char page_text[MOST_BYTES], again[MOST_BYTES];
static size_t page_len;

static uint32_t number(struct input *input)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 8 | input_byte(input);
	return value;
}

static void add_entry(struct entries *entries, struct input *input)
{
	uint8_t kind = input_byte(input);
	struct stat stat = { .st_mode = kind % 2 != 0 ? S_IFDIR : S_IFREG };
	struct str name;

	stat.st_size = (off_t)((uint64_t)number(input) << (kind >> 3) >> 1);
	stat.st_mtim.tv_sec = (time_t)((uint64_t)number(input) << (kind >> 3));
	name = input_until(input, '\0');
	if (name.len > 0 && name.len <= 255 && memchr(name.at, '/', name.len) == NULL)
		FUZZ_CHECK(entries_add(entries, name, &stat) == ENTRIES_OK);
}

static size_t render(struct listing_page *page, char *out, struct cuts *cuts)
{
	size_t len = 0, got;

	page->part = 0;
	do {
		size_t room = cuts != NULL ? cuts_next(cuts, MOST_BYTES - len) : MOST_BYTES - len;

		got = listing_page_pull(page, out + len, room);
		FUZZ_CHECK(got <= room);
		len += got;
		FUZZ_CHECK(len < MOST_BYTES);
	} while (got > 0);
	return len;
}

/* ---- what leads to an entry --------------------------------------------------------------------------- */

static unsigned hex(char c)
{
	FUZZ_CHECK((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
	return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* The link says just this name, and nothing that is more than a name. */
static void check_link(struct str link, const struct entry *entry)
{
	size_t len = 0;

	if (entry->is_directory) {
		FUZZ_CHECK(link.len > 1 && link.at[link.len - 1] == '/');
		link.len--;
	}
	for (size_t i = 0; i < link.len; i++) {
		char c = link.at[i];

		FUZZ_CHECK(strchr(":/?#\"'<>& ", c) == NULL && c > 0x20 && c < 0x7f);
		if (c == '%') {
			FUZZ_CHECK(i + 2 < link.len);
			c = (char)(hex(link.at[i + 1]) * 16 + hex(link.at[i + 2]));
			i += 2;
		}
		FUZZ_CHECK(len < entry->name_len && entry->name[len] == c);
		len++;
	}
	FUZZ_CHECK(len == entry->name_len);
}

/* ---- the forms ---------------------------------------------------------------------------------------- */

static void check_json(const struct entries *entries)
{
	json_error_t error;
	json_t *list = json_loadb(page_text, page_len, 0, &error);

	FUZZ_CHECK(json_is_array(list) && json_array_size(list) == entries->count);
	for (size_t i = 0; i < entries->count; i++) {
		json_t *one = json_array_get(list, i);
		const struct entry *entry = entries_at(entries, i);

		FUZZ_CHECK(json_string_value(json_object_get(one, "name")) != NULL);
		FUZZ_CHECK(strlen(json_string_value(json_object_get(one, "mtime"))) == 20);
		FUZZ_CHECK(entry->is_directory || (uint64_t)json_integer_value(json_object_get(
							  one, "size")) == entry->size);
		check_link(str_of(json_string_value(json_object_get(one, "href"))), entry);
	}
	json_decref(list);
}

static size_t count(const char *what)
{
	size_t found = 0;

	for (const char *at = page_text;
	     (at = memmem(at, page_len - (size_t)(at - page_text), what, strlen(what))) != NULL; at++)
		found++;
	return found;
}

/* The text between two marks behind `*at`, which is moved behind it. */
static struct str between(const char **at, const char *from, const char *to)
{
	const char *begin = strstr(*at, from), *end;

	FUZZ_CHECK(begin != NULL);
	begin += strlen(from);
	end = strstr(begin, to);
	FUZZ_CHECK(end != NULL);
	*at = end + strlen(to);
	return (struct str){ begin, (size_t)(end - begin) };
}

/* No control characters, and no bytes that are never in UTF-8. */
static void check_characters(void)
{
	for (size_t i = 0; i < page_len; i++)
		FUZZ_CHECK((unsigned char)page_text[i] >= 0x20 || page_text[i] == '\n');
	FUZZ_CHECK(count("\x7f") == 0);
	for (int byte = 0xf5; byte < 0x100; byte++)
		FUZZ_CHECK(memchr(page_text, byte, page_len) == NULL);
}

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* There are as many elements as entries and parts of the path ask for, whatever they are called. */
static void check_html(const struct listing_page *page)
{
	const char *at = strstr(page_text, "<tbody>\n");
	size_t segments = 0, rows = page->entries.count, up = page->path.len > 1 ? 1 : 0, links;

	for (size_t i = 1; i < page->path.len; i++)
		segments += page->path.at[i] == '/';
	links = segments > 16 ? 15 : min(segments, 16);
	FUZZ_CHECK(count("<tr") == 1 + rows + up && count("<a ") == 3 + rows + up + links);
	FUZZ_CHECK(count("<time ") == rows && count("<script") == 0);
	FUZZ_CHECK(count("<") == count(">"));
	if (up > 0)
		between(&at, "<a href=\"../", "</tr>\n");
	for (size_t i = 0; i < rows; i++)
		check_link(between(&at, "<td><a href=\"", "\">"), entries_at(&page->entries, i));
	FUZZ_CHECK(strcmp(page_text + page_len - 8, "</html>\n") == 0);
	check_characters();
}

static struct str path_of(struct str text, char *path)
{
	size_t len = 1;

	path[0] = '/';
	for (size_t i = 0; i < text.len && i < 4096; i++)       /* as target_resolve leaves it */
		if (text.at[i] != '\0' && (text.at[i] != '/' || path[len - 1] != '/'))
			path[len++] = text.at[i];
	if (path[len - 1] != '/')
		path[len++] = '/';
	return (struct str){ path, len };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct listing_page page = { .wish = listing_wish(input_until(&input, '\n')) };
	struct str path_text = input_until(&input, '\n');
	char *path = malloc(4099);
	struct cuts cuts = cuts_of(&input);

	page.path = path_of(path_text, path);
	for (int i = 0; i < 200 && input.len > 0; i++)
		add_entry(&page.entries, &input);
	FUZZ_CHECK(entries_seal(&page.entries, page.wish.key, page.wish.descending) == ENTRIES_OK);
	while (entries_sort_on(&page.entries))
		;
	page_len = render(&page, page_text, NULL);
	page_text[page_len] = '\0';
	FUZZ_CHECK(render(&page, again, &cuts) == page_len && memcmp(page_text, again, page_len) == 0);
	if (page.wish.form == LISTING_JSON)
		check_json(&page.entries);
	else
		check_html(&page);
	entries_free(&page.entries);
	FUZZ_CHECK(entries_total() == 0);
	free(path);
	return 0;
}
