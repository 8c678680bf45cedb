/* listing_page.c - what a listing looks like: HTML for people, JSON for programs.
 *
 * Pure; called by listing.c on the loop, and fuzzed. Nothing fails: every piece has room for the longest name
 * that there is. No script is needed, nor allowed (listing.c says so to the browser); nothing is fetched. */
#include "listing_page.h"

#include "base/escape.h"
#include "base/put.h"

#include <stdio.h>
#include <time.h>

enum {
	NAME_MOST = 255,
	SEGMENTS_MOST = 16,             /* of the path that are shown, so that a page's size has a bound */
	TIME_BYTES = 64,
	SIZE_BYTES = 32,
};

/* A row is the longest piece: a name as text and as a link, and what stands around them. */
_Static_assert(LISTING_PIECE_BYTES > NAME_MOST * (ESCAPE_HTML_MOST + ESCAPE_URI_MOST) + 512, "a row fits");
/* A link up has three bytes for each segment, and the first piece has two. */
_Static_assert(LISTING_PIECE_BYTES > NAME_MOST * ESCAPE_HTML_MOST + SEGMENTS_MOST * 6 + 64, "links fit");

/* ---- the query ---------------------------------------------------------------------------------------- */

static const char *const key_words[] = {
	[ENTRY_NAME] = "name", [ENTRY_SIZE] = "size", [ENTRY_TIME] = "time",
};
static const char *const form_words[] = { [LISTING_HTML] = "html", [LISTING_JSON] = "json" };
static const char *const order_words[] = { "asc", "desc" };

enum { KEYS = 3, FORMS = 2, ORDERS = 2 };

/* The index of `value` among `words`; -1 when it is none of them. */
static int word_of(struct str value, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (str_equal(value, str_of(words[i])))
			return i;
	return -1;
}

static void take_wish(struct listing_wish *wish, struct str name, struct str value)
{
	int key = str_equal(name, str_of("sort")) ? word_of(value, key_words, KEYS) : -1;
	int order = str_equal(name, str_of("order")) ? word_of(value, order_words, ORDERS) : -1;
	int form = str_equal(name, str_of("format")) ? word_of(value, form_words, FORMS) : -1;

	if (key >= 0)
		wish->key = (enum entry_key)key;
	if (order >= 0)
		wish->descending = order == 1;
	if (form >= 0)
		wish->form = (enum listing_form)form;
	wish->has_form |= form >= 0;
}

struct listing_wish listing_wish(struct str query)
{
	struct listing_wish wish = { 0 };

	while (query.len > 0) {
		const char *end = memchr(query.at, '&', query.len);
		size_t len = end != NULL ? (size_t)(end - query.at) : query.len;
		const char *equals = memchr(query.at, '=', len);
		size_t name_len = equals != NULL ? (size_t)(equals - query.at) : len;

		if (equals != NULL)
			take_wish(&wish, (struct str){ query.at, name_len },
				  (struct str){ equals + 1, len - name_len - 1 });
		len += end != NULL ? 1 : 0;
		query = (struct str){ query.at + len, query.len - len };
	}
	return wish;
}

/* ---- numbers and times -------------------------------------------------------------------------------- */

/* "0 B", "9.8 KiB", "120 MiB": rounded to what is shown. */
static void put_size(uint64_t bytes, char text[SIZE_BYTES])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned unit = 0, shift = 0, tenths, rounded = (unsigned)bytes;

	for (; (bytes >> shift) >= 1024; shift += 10)
		unit++;
	if (unit > 0) {
		/* what the first shift takes off is too little to matter */
		tenths = (unsigned)(((bytes >> (shift - 10)) * 10 + 512) >> 10);
		rounded = (unsigned)(((bytes >> (shift - 1)) + 1) >> 1);
		if (rounded == 1024) {
			unit++;
			tenths = 10;
		}
		if (tenths < 100) {
			snprintf(text, SIZE_BYTES, "%u.%u %s", tenths / 10, tenths % 10, units[unit]);
			return;
		}
	}
	snprintf(text, SIZE_BYTES, "%u %s", rounded, units[unit]);
}

/* RFC 3339 in UTC; years that it cannot say become the nearest one that it can. */
static void put_time(int64_t seconds, char text[TIME_BYTES])
{
	static const int64_t first = -62135596800, last = 253402300799; /* of the years 1 and 9999 */
	time_t when = seconds < first ? first : seconds > last ? last : seconds;
	struct tm parts;

	gmtime_r(&when, &parts);
	snprintf(text, TIME_BYTES, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(parts.tm_year + 1900) % 10000,
		 (unsigned)parts.tm_mon + 1, (unsigned)parts.tm_mday, (unsigned)parts.tm_hour,
		 (unsigned)parts.tm_min, (unsigned)parts.tm_sec);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void finish(struct listing_page *page, const char *end)
{
	page->piece = (struct str){ page->text, (size_t)(end - page->text) };
}

static void finish_static(struct listing_page *page, const char *text)
{
	page->piece = str_of(text);
}

/* The segment at `index` of the path, the last ones alone; false when there is none. `*up` is how many follow
 * it. */
static bool segment_at(struct str path, size_t index, struct str *segment, size_t *up)
{
	size_t count = 0, at = 1, skip;

	for (size_t i = 1; i < path.len; i++)
		count += path.at[i] == '/' ? 1 : 0;
	skip = count > SEGMENTS_MOST ? count - SEGMENTS_MOST : 0;
	if (index + skip >= count)
		return false;
	for (size_t passed = 0; passed < index + skip; at++)
		passed += path.at[at] == '/' ? 1 : 0;
	*segment = (struct str){ path.at + at, 0 };
	while (path.at[at + segment->len] != '/')
		segment->len++;
	*up = count - skip - index - 1;
	return true;
}

static bool is_cut(struct str path)
{
	size_t count = 0;

	for (size_t i = 1; i < path.len; i++)
		count += path.at[i] == '/' ? 1 : 0;
	return count > SEGMENTS_MOST;
}

/* ---- HTML --------------------------------------------------------------------------------------------- */

static const char opening[] = "<!doctype html>\n"
			      "<html lang=\"en\">\n"
			      "<head>\n"
			      "<meta charset=\"utf-8\">\n"
			      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
			      "<meta name=\"color-scheme\" content=\"light dark\">\n"
			      "<title>Index of /";

/* Two icons as pictures in the style itself: a folder and a sheet. */
#define FOLDER \
	"%3Cpath fill='%23d69a2d' d='M1 3.5C1 2.7 1.7 2 2.5 2H6l1.5 2h6c.8 0 1.5.7 1.5 1.5v7c0 .8-.7 1.5-" \
	"1.5 1.5h-11C1.7 14 1 13.3 1 12.5z'/%3E"
#define SHEET \
	"%3Cpath fill='none' stroke='%238792a2' stroke-width='1.3' stroke-linejoin='round' " \
	"d='M3.5 1.7h5.8l3.2 3.2v9.4h-9zM9 1.9v3.3h3.3'/%3E"
#define ICON(shape) \
	"url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E" shape \
	"%3C/svg%3E\")"

static const char style[] =
	"</title>\n"
	"<style>\n"
	":root { color-scheme: light dark; --back: #fff; --text: #1c2128; --dim: #59636e; --link: #0a58ca;\n"
	"  --line: #d8dee4; --over: #f3f6f9; }\n"
	"@media (prefers-color-scheme: dark) {\n"
	"  :root { --back: #14171c; --text: #e3e7ec; --dim: #9aa4b0; --link: #7db4ff; --line: #30363e;\n"
	"    --over: #1e232a; } }\n"
	"* { box-sizing: border-box; }\n"
	"body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 62rem; background: var(--back);\n"
	"  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }\n"
	"h1 { margin: 0 0 1rem; font-size: 1.3rem; font-weight: 600; line-height: 1.6;\n"
	"  overflow-wrap: anywhere; }\n"
	"h1 span { color: var(--dim); font-weight: 400; }\n"
	"h1 a, h1 bdi, td:first-child a { white-space: pre-wrap; unicode-bidi: isolate; }\n"
	"td:first-child a { display: block; }\n"
	"a { color: var(--link); text-decoration: none; }\n"
	"a:hover { text-decoration: underline; }\n"
	":focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px; }\n"
	"table { width: 100%; border-collapse: collapse; }\n"
	"th { padding: 0 .6rem .4rem; border-bottom: 1px solid var(--line); font-size: .85rem;\n"
	"  font-weight: 600; text-align: left; white-space: nowrap; }\n"
	"th a { color: var(--dim); }\n"
	"th[aria-sort] a { color: var(--text); }\n"
	"th[aria-sort=ascending] a::after { content: \" \\25b4\"; }\n"
	"th[aria-sort=descending] a::after { content: \" \\25be\"; }\n"
	"td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }\n"
	"td:first-child { width: 100%; padding-left: 2.1rem; overflow-wrap: anywhere;\n"
	"  background: .5rem .5rem / 1.1rem no-repeat " ICON(SHEET) "; }\n"
	".d td:first-child { background-image: " ICON(FOLDER) "; }\n"
	"th:nth-child(2), td:nth-child(2) { text-align: right; }\n"
	"td:nth-child(n+2) { color: var(--dim); white-space: nowrap; font-variant-numeric: tabular-nums; }\n"
	"tbody tr:hover { background: var(--over); }\n"
	"footer { padding: .8rem .6rem; color: var(--dim); font-size: .85rem; }\n"
	"@media (max-width: 36rem) {\n"
	"  thead, tbody { display: block; }\n"
	"  thead tr { display: flex; border-bottom: 1px solid var(--line); }\n"
	"  th { border: 0; padding: .5rem .6rem; }\n"
	"  tbody tr { display: grid; grid-template-columns: 1fr auto;\n"
	"    border-bottom: 1px solid var(--line); }\n"
	"  td { border: 0; }\n"
	"  td:first-child { grid-column: 1 / 3; padding-bottom: 0; }\n"
	"  td:nth-child(n+2) { padding-top: 0; font-size: .85rem; }\n"
	"  td:nth-child(2) { grid-area: 2 / 2; }\n"
	"  td:nth-child(3) { grid-area: 2 / 1; padding-left: 2.1rem; }\n"
	"}\n"
	"</style>\n"
	"</head>\n"
	"<body>\n"
	"<h1><span>Index of</span> ";

static bool html_opening(struct listing_page *page)
{
	finish_static(page, opening);
	return true;
}

static char *put_segment(char *out, struct str segment)
{
	out = escape_html(out, segment);
	*out++ = '/';
	return out;
}

static bool html_title(struct listing_page *page)
{
	struct str segment;
	char *out = page->text;
	size_t up;

	if (page->index == 0 && is_cut(page->path))
		out = put_text(out, "\xe2\x80\xa6/");
	if (!segment_at(page->path, page->index++, &segment, &up))
		return true;
	finish(page, put_segment(out, segment));
	return false;
}

static bool html_style(struct listing_page *page)
{
	finish_static(page, style);
	return true;
}

/* The way up to the root; relative, so that it is right behind a proxy that takes a prefix off. */
static bool html_crumbs(struct listing_page *page)
{
	struct str segment;
	char *out = page->text;
	size_t up;

	if (!segment_at(page->path, page->index, &segment, &up)) {
		finish_static(page, page->index == 0 ? "/</h1>\n" : "</h1>\n");
		return true;
	}
	if (page->index++ == 0 && is_cut(page->path)) {
		out = put_text(out, "\xe2\x80\xa6/");
	} else if (page->index == 1) {
		out = put_text(out, "<a href=\"");
		for (size_t i = 0; i <= up; i++)
			out = put_text(out, "../");
		out = put_text(out, "\" aria-label=\"Root\">/</a>");
	}
	out = put_text(out, up > 0 ? " <a href=\"" : " <bdi>");
	for (size_t i = 0; i < up; i++)
		out = put_text(out, "../");
	out = put_text(out, up > 0 ? "\">" : "");
	out = escape_html(out, segment);
	finish(page, put_text(out, up > 0 ? "</a> /" : "</bdi> /"));
	return false;
}

/* The link of a column's head asks for the other direction, or for what is looked for most in that column:
 * the largest, the newest. */
static char *put_column(char *out, const struct listing_wish *wish, enum entry_key key, const char *label)
{
	bool is_current = wish->key == key;
	bool descending = is_current ? !wish->descending : key != ENTRY_NAME;
	const char *sorted = wish->descending ? " aria-sort=\"descending\"" : " aria-sort=\"ascending\"";

	return out + sprintf(out, "<th scope=\"col\"%s><a href=\"?%ssort=%s&amp;order=%s\">%s</a></th>\n",
			     is_current ? sorted : "", wish->has_form ? "format=html&amp;" : "",
			     key_words[key], order_words[descending], label);
}

static bool html_columns(struct listing_page *page)
{
	char *out = put_text(page->text, "<table>\n<thead>\n<tr>\n");

	out = put_column(out, &page->wish, ENTRY_NAME, "Name");
	out = put_column(out, &page->wish, ENTRY_SIZE, "Size");
	out = put_column(out, &page->wish, ENTRY_TIME, "Modified (UTC)");
	out = put_text(out, "</tr>\n</thead>\n<tbody>\n");
	if (page->path.len > 1)
		out = put_text(out, "<tr class=\"d\"><td><a href=\"../\">Parent directory</a></td>"
				    "<td></td><td></td></tr>\n");
	finish(page, out);
	return true;
}

static const char *plural(size_t count, const char *one, const char *many)
{
	return count == 1 ? one : many;
}

static char *put_size_cell(char *out, const struct entry *entry)
{
	char size[SIZE_BYTES];

	if (entry->is_directory)
		return put_text(out, "<td></td>");
	put_size(entry->size, size);
	return out + sprintf(out, "<td title=\"%llu %s\">%s</td>", (unsigned long long)entry->size,
			     plural(entry->size, "byte", "bytes"), size);
}

static bool html_row(struct listing_page *page)
{
	const struct entry *entry;
	const char *slash;
	char *out = page->text, time[TIME_BYTES];
	struct str name;

	if (page->index == page->entries.count)
		return true;
	entry = entries_at(&page->entries, page->index++);
	name = (struct str){ entry->name, entry->name_len };
	slash = entry->is_directory ? "/" : "";
	out = put_text(out, entry->is_directory ? "<tr class=\"d\"><td><a href=\"" : "<tr><td><a href=\"");
	out = put_text(escape_uri(out, name), slash);
	out = put_text(out, "\">");
	out = put_text(escape_html(out, name), slash);
	out = put_text(out, "</a></td>");
	out = put_size_cell(out, entry);
	put_time(entry->modified, time);
	out += sprintf(out, "<td><time datetime=\"%s\">%.10s %.5s</time></td></tr>\n", time, time, time + 11);
	finish(page, out);
	return false;
}

static bool html_end(struct listing_page *page)
{
	const struct entries *entries = &page->entries;
	size_t files = entries->count - entries->directories;
	char *out = put_text(page->text, "</tbody>\n</table>\n<footer>"), size[SIZE_BYTES];

	put_size(entries->total_bytes, size);
	if (entries->count == 0)
		out = put_text(out, "This directory is empty.");
	if (entries->directories > 0)
		out += sprintf(out, "%zu %s", entries->directories,
			       plural(entries->directories, "directory", "directories"));
	if (files > 0)
		out += sprintf(out, "%s%zu %s, <span title=\"%llu %s\">%s</span>",
			       entries->directories > 0 ? ", " : "", files, plural(files, "file", "files"),
			       (unsigned long long)entries->total_bytes,
			       plural(entries->total_bytes, "byte", "bytes"), size);
	finish(page, put_text(out, "</footer>\n</body>\n</html>\n"));
	return true;
}

/* ---- JSON --------------------------------------------------------------------------------------------- */

/* Whether a comma belongs in front is the next row's business. */
static bool json_row(struct listing_page *page)
{
	const struct entry *entry;
	char *out = page->text, time[TIME_BYTES];
	struct str name;

	if (page->index == page->entries.count)
		return true;
	out = put_text(out, page->index > 0 ? ",\n{\"name\":\"" : "\n{\"name\":\"");
	entry = entries_at(&page->entries, page->index++);
	name = (struct str){ entry->name, entry->name_len };
	out = escape_json(out, name);
	out = put_text(out, entry->is_directory ? "\",\"type\":\"directory\"" : "\",\"type\":\"file\"");
	if (!entry->is_directory)
		out += sprintf(out, ",\"size\":%llu", (unsigned long long)entry->size);
	put_time(entry->modified, time);
	out += sprintf(out, ",\"mtime\":\"%s\",\"href\":\"", time);
	out = escape_uri(out, name);
	finish(page, put_text(out, entry->is_directory ? "/\"}" : "\"}"));
	return false;
}

static bool json_begin(struct listing_page *page)
{
	finish_static(page, "[");
	return true;
}

static bool json_end(struct listing_page *page)
{
	finish_static(page, "\n]\n");
	return true;
}

/* ---- pulling ------------------------------------------------------------------------------------------ */

/* Each makes the next piece of its part; true when the part is at its end. */
static bool (*const html_parts[])(struct listing_page *) = {
	html_opening, html_title, html_style, html_crumbs, html_columns, html_row, html_end, NULL,
};

static bool (*const json_parts[])(struct listing_page *) = { json_begin, json_row, json_end, NULL };

/* False at the end of the page. */
static bool next_piece(struct listing_page *page)
{
	bool is_json = page->wish.form == LISTING_JSON;
	bool (*const *parts)(struct listing_page *) = is_json ? json_parts : html_parts;

	if (parts[page->part] == NULL)
		return false;
	if (parts[page->part](page)) {
		page->part++;
		page->index = 0;
	}
	return true;
}

size_t listing_page_pull(struct listing_page *page, char *buffer, size_t room)
{
	size_t got = 0;

	while (got < room) {
		size_t len = page->piece.len < room - got ? page->piece.len : room - got;

		if (len == 0) {
			if (!next_piece(page))
				break;
			continue;
		}
		memcpy(buffer + got, page->piece.at, len);
		page->piece = (struct str){ page->piece.at + len, page->piece.len - len };
		got += len;
	}
	return got;
}
