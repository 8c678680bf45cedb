/* listing_page_test.c - the table of entries, its order and its bounds; and what a listing looks like. */
#include "service/listing_page.h"

#include "base/escape.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct listing_page page;
static char text[256 * 1024];
static size_t text_len;

static void set_up(void)
{
	page = (struct listing_page){ .path = { "/", 1 } };
}

static void tear_down(void)
{
	entries_free(&page.entries);
	ck_assert_uint_eq(entries_total(), 0);
}

static struct stat file_of(off_t size, time_t modified)
{
	return (struct stat){ .st_mode = S_IFREG | 0644, .st_size = size, .st_mtim.tv_sec = modified };
}

static struct stat directory(time_t modified)
{
	return (struct stat){ .st_mode = S_IFDIR | 0755, .st_size = 4096, .st_mtim.tv_sec = modified };
}

static void add(const char *name, struct stat stat)
{
	ck_assert_int_eq(entries_add(&page.entries, str_of(name), &stat), ENTRIES_OK);
}

static void sort(enum entry_key key, bool descending)
{
	page.wish.key = key;
	page.wish.descending = descending;
	ck_assert_int_eq(entries_seal(&page.entries, key, descending), ENTRIES_OK);
	while (entries_sort_on(&page.entries))
		;
}

/* The names in their order, each with a space behind it. */
static const char *names(void)
{
	static char all[4096];
	size_t len = 0;

	all[0] = '\0';
	for (size_t i = 0; i < page.entries.count; i++) {
		const struct entry *entry = entries_at(&page.entries, i);

		len += (size_t)snprintf(all + len, sizeof(all) - len, "%.*s ", entry->name_len, entry->name);
	}
	return all;
}

/* ---- entries ------------------------ */

START_TEST(names_go_by_number_and_without_case)
{
	static const char *const unsorted[] = { "b", "a10", "B", "a9", "A1", "a09", "a9b", "a", "10", "9", "z-",
						"\xc3\xa4", "a009", "Z" };

	for (size_t i = 0; i < sizeof(unsorted) / sizeof(unsorted[0]); i++)
		add(unsorted[i], file_of(1, 1));
	sort(ENTRY_NAME, false);
	ck_assert_str_eq(names(), "9 10 a A1 a009 a09 a9 a9b a10 B b Z z- \xc3\xa4 ");
}
END_TEST

static void add_some(void)
{
	add("b", file_of(2, 10));
	add("z", directory(40));
	add("a", file_of(2, 30));
	add("c", file_of(1, 20));
	add("y", directory(50));
}

static const struct {
	enum entry_key key;
	bool descending;
	const char *order;
} orders[] = {
	{ ENTRY_NAME, false, "y z a b c " }, { ENTRY_NAME, true, "z y c b a " },
	{ ENTRY_SIZE, false, "y z c a b " }, { ENTRY_SIZE, true, "y z a b c " },
	{ ENTRY_TIME, false, "z y b c a " }, { ENTRY_TIME, true, "y z a c b " },
};

START_TEST(directories_first_then_the_key_then_the_name)
{
	add_some();
	sort(orders[_i].key, orders[_i].descending);
	ck_assert_str_eq(names(), orders[_i].order);
}
END_TEST

START_TEST(any_number_is_sorted)
{
	char name[16];

	for (int i = 0; i < _i; i++) {
		snprintf(name, sizeof(name), "%d", (i * 7919 + 13) % 1000003);
		add(name, file_of(1, 1));
	}
	sort(ENTRY_NAME, false);
	ck_assert_uint_eq(page.entries.count, _i);
	for (int i = 1; i < _i; i++)
		ck_assert_int_lt(strtol(entries_at(&page.entries, i - 1)->name, NULL, 10),
				 strtol(entries_at(&page.entries, i)->name, NULL, 10));
}
END_TEST

START_TEST(times_before_1970_and_huge_sizes_keep_their_order)
{
	add("a", file_of(INT64_MAX, -5));
	add("b", file_of(0, INT64_MIN));
	add("c", file_of(1, INT64_MAX));
	sort(ENTRY_TIME, false);
	ck_assert_str_eq(names(), "b a c ");
}
END_TEST

/* Adds until it says something else than OK; returns that. */
static enum entries_result fill(struct entries *entries, const char *name, size_t *count)
{
	struct stat stat = file_of(1, 1);
	enum entries_result result = ENTRIES_OK;

	for (*count = 0; result == ENTRIES_OK; *count += result == ENTRIES_OK ? 1 : 0)
		result = entries_add(entries, str_of(name), &stat);
	return result;
}

START_TEST(a_hundred_thousand_of_the_longest_names_fit_and_no_million_does)
{
	char name[256];
	size_t count;

	memset(name, 'x', 255);
	name[255] = '\0';
	ck_assert_int_eq(fill(&page.entries, name, &count), ENTRIES_TOO_LARGE);
	ck_assert_uint_ge(count, 100000);
	ck_assert_uint_eq(page.entries.count, count);
	ck_assert_uint_le(entries_total(), ENTRIES_MOST_BYTES);
	sort(ENTRY_NAME, false);
	ck_assert_uint_le(entries_total(), ENTRIES_MOST_BYTES + 8 * count + 4096);
}
END_TEST

START_TEST(all_together_have_a_bound_too)
{
	struct entries second = { 0 }, third = { 0 };
	size_t count;

	fill(&page.entries, "the first of them", &count);
	fill(&second, "another", &count);
	ck_assert_int_eq(fill(&third, "third", &count), ENTRIES_FULL);
	ck_assert_uint_le(entries_total(), ENTRIES_TOTAL_BYTES);
	entries_free(&second);
	ck_assert_int_eq(fill(&third, "third", &count), ENTRIES_TOO_LARGE);
	entries_free(&third);
}
END_TEST

START_TEST(what_was_spare_is_given_back)
{
	add("one", file_of(1, 1));
	ck_assert_uint_gt(entries_total(), 4096);
	sort(ENTRY_NAME, false);
	ck_assert_uint_eq(entries_total(), 8192);       /* a page of names, a page of order */
}
END_TEST

START_TEST(an_empty_one_has_nothing)
{
	sort(ENTRY_NAME, false);
	ck_assert_uint_eq(page.entries.count, 0);
	ck_assert_uint_eq(entries_total(), 0);
}
END_TEST

/* ---- the query ------------------------ */

static const struct {
	const char *query;
	struct listing_wish wish;
} wishes[] = {
	{ "", { .key = ENTRY_NAME } },
	{ "sort=size", { .key = ENTRY_SIZE } },
	{ "sort=time&order=desc", { .key = ENTRY_TIME, .descending = true } },
	{ "order=desc", { .descending = true } },
	{ "order=desc&order=asc", { 0 } },
	{ "format=json", { .has_form = true, .form = LISTING_JSON } },
	{ "format=html", { .has_form = true } },
	{ "format=xml", { 0 } },
	{ "format", { 0 } },
	{ "&&sort=name&x=y&=&format=json&", { .has_form = true, .form = LISTING_JSON } },
	{ "sort=SIZE", { 0 } },
	{ "sort=size2", { 0 } },
	{ "xsort=size", { 0 } },
	{ "sort=size=time", { 0 } },
	{ "sort=size&sort=nonsense", { .key = ENTRY_SIZE } },
};

START_TEST(a_query_says_what_is_wished)
{
	struct listing_wish wish = listing_wish(str_of(wishes[_i].query));

	ck_assert_int_eq(wish.key, wishes[_i].wish.key);
	ck_assert_int_eq(wish.descending, wishes[_i].wish.descending);
	ck_assert_int_eq(wish.has_form, wishes[_i].wish.has_form);
	ck_assert_int_eq(wish.form, wishes[_i].wish.form);
}
END_TEST

/* ---- pages ------------------------ */

static const char *render_in(size_t room)
{
	size_t got;

	text_len = 0;
	do {
		got = listing_page_pull(&page, text + text_len, room);
		text_len += got;
		ck_assert_uint_lt(text_len + room, sizeof(text));
	} while (got > 0);
	text[text_len] = '\0';
	return text;
}

static const char *render(enum listing_form form)
{
	page.wish.form = form;
	sort(page.wish.key, page.wish.descending);
	return render_in(1000);
}

static bool says(const char *what)
{
	return strstr(text, what) != NULL;
}

START_TEST(json_is_an_array_of_objects)
{
	add("d", directory(0));
	add("f \"x\"", file_of(1234567890123, 1700000000));
	ck_assert_str_eq(render(LISTING_JSON),
			 "[\n{\"name\":\"d\",\"type\":\"directory\",\"mtime\":\"1970-01-01T00:00:00Z\","
			 "\"href\":\"d/\"},\n"
			 "{\"name\":\"f \\\"x\\\"\",\"type\":\"file\",\"size\":1234567890123,"
			 "\"mtime\":\"2023-11-14T22:13:20Z\",\"href\":\"f%20%22x%22\"}\n]\n");
}
END_TEST

START_TEST(json_of_nothing_is_an_empty_array)
{
	ck_assert_str_eq(render(LISTING_JSON), "[\n]\n");
}
END_TEST

static const struct {
	off_t bytes;
	const char *size;
} sizes[] = {
	{ 0, "0 B" },
	{ 1, "1 B" },
	{ 1023, "1023 B" },
	{ 1024, "1.0 KiB" },
	{ 1536, "1.5 KiB" },
	{ 10188, "9.9 KiB" },
	{ 10200, "10 KiB" },
	{ 1048063, "1023 KiB" },
	{ 1048064, "1.0 MiB" },
	{ 1048575, "1.0 MiB" },
	{ 1048576, "1.0 MiB" },
	{ 4700372992, "4.4 GiB" },
	{ 1099511627776, "1.0 TiB" },
	{ INT64_MAX, "8.0 EiB" },
};

START_TEST(sizes_are_for_people)
{
	char cell[96];

	add("f", file_of(sizes[_i].bytes, 0));
	render(LISTING_HTML);
	snprintf(cell, sizeof(cell), "<td title=\"%lld byte%s\">%s</td>", (long long)sizes[_i].bytes,
		 sizes[_i].bytes == 1 ? "" : "s", sizes[_i].size);
	ck_assert_msg(says(cell), "%s in %s", cell, strstr(text, "<tbody>"));
}
END_TEST

static const struct {
	time_t when;
	const char *text;
} times[] = {
	{ 0, "1970-01-01T00:00:00Z" },
	{ -1, "1969-12-31T23:59:59Z" },
	{ 4102444800, "2100-01-01T00:00:00Z" },
	{ 951782400, "2000-02-29T00:00:00Z" },
	{ -61000000000, "0036-12-26T11:33:20Z" },
	{ INT64_MAX, "9999-12-31T23:59:59Z" },
	{ INT64_MIN, "0001-01-01T00:00:00Z" },
};

START_TEST(times_are_utc)
{
	char cell[128];

	add("f", file_of(1, times[_i].when));
	render(LISTING_HTML);
	snprintf(cell, sizeof(cell), "<time datetime=\"%s\">%.10s %.5s</time>", times[_i].text, times[_i].text,
		 times[_i].text + 11);
	ck_assert_msg(says(cell), "%s in %s", cell, strstr(text, "<tbody>"));
}
END_TEST

START_TEST(a_name_is_a_link_and_a_text)
{
	add("<a&b>:'\"", file_of(1, 0));
	render(LISTING_HTML);
	ck_assert(says("<a href=\"%3Ca%26b%3E%3A%27%22\">&lt;a&amp;b&gt;:&#39;&quot;</a>"));
}
END_TEST

START_TEST(a_directory_is_shown_with_its_slash)
{
	add("d e", directory(0));
	render(LISTING_HTML);
	ck_assert(says("<tr class=\"d\"><td><a href=\"d%20e/\">d e/</a></td><td></td>"));
}
END_TEST

START_TEST(the_root_has_no_way_up)
{
	render(LISTING_HTML);
	ck_assert(says("<title>Index of /</title>"));
	ck_assert(says("<h1><span>Index of</span> /</h1>"));
	ck_assert(!says("../"));
	ck_assert(says("This directory is empty."));
}
END_TEST

START_TEST(a_path_leads_up_step_by_step)
{
	page.path = str_of("/a/<b>/c/");
	render(LISTING_HTML);
	ck_assert(says("<title>Index of /a/&lt;b&gt;/c/</title>"));
	ck_assert(says("<h1><span>Index of</span> <a href=\"../../../\" aria-label=\"Root\">/</a>"
		       " <a href=\"../../\">a</a> / <a href=\"../\">&lt;b&gt;</a> / <bdi>c</bdi> /</h1>"));
	ck_assert(says("<a href=\"../\">Parent directory</a>"));
}
END_TEST

START_TEST(of_a_deep_path_the_end_is_shown)
{
	char deep[2 * 1000 + 2] = "/";

	for (int i = 0; i < 1000; i++)
		strcat(deep, i < 984 ? "x/" : "y/");
	page.path = str_of(deep);
	render(LISTING_HTML);
	ck_assert(says("<title>Index of /\xe2\x80\xa6/y/y/y/y/y/y/y/y/y/y/y/y/y/y/y/y/</title>"));
	ck_assert(!says(">x<"));
}
END_TEST

START_TEST(the_column_that_sorts_says_so)
{
	page.wish.key = ENTRY_SIZE;
	page.wish.descending = true;
	render(LISTING_HTML);
	ck_assert(says("<th scope=\"col\" aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\">"));
	ck_assert(says("<th scope=\"col\"><a href=\"?sort=name&amp;order=asc\">"));
	ck_assert(says("<th scope=\"col\"><a href=\"?sort=time&amp;order=desc\">"));
}
END_TEST

START_TEST(the_end_sums_up)
{
	add_some();
	render(LISTING_HTML);
	ck_assert(says("<footer>2 directories, 3 files, <span title=\"5 bytes\">5 B</span></footer>"));
}
END_TEST

START_TEST(the_longest_names_fit)
{
	char name[256] = { 0 };

	page.path = str_of("/x/");
	for (int byte = 1; byte < 256; byte++) {
		memset(name, byte, 255);
		add(name, file_of(INT64_MAX, INT64_MAX));
		render(LISTING_HTML);
		ck_assert(says("</html>\n"));
		page.part = 0;
		page.wish.form = LISTING_JSON;
		ck_assert_int_eq(render_in(7)[text_len - 2], ']');
		entries_free(&page.entries);
		page.part = 0;
	}
}
END_TEST

START_TEST(the_room_makes_no_difference)
{
	static char once[sizeof(text)];

	page.path = str_of("/a/b/");
	add_some();
	strcpy(once, render(_i % 2 == 0 ? LISTING_HTML : LISTING_JSON));
	page.part = 0;
	ck_assert_str_eq(render_in((size_t)_i), once);
}
END_TEST

/* ---- escaping ------------------------ */

static const struct {
	const char *text, *html, *uri;
} escapes[] = {
	{ "", "", "" },
	{ "plain-._~09AZaz", "plain-._~09AZaz", "plain-._~09AZaz" },
	{ "<&>\"'", "&lt;&amp;&gt;&quot;&#39;", "%3C%26%3E%22%27" },
	{ "a b/c?d#e%f:g", "a b/c?d#e%f:g", "a%20b%2Fc%3Fd%23e%25f%3Ag" },
	{ "\x01\n\x7f", "\xe2\x90\x81\xe2\x90\x8a\xe2\x90\xa1", "%01%0A%7F" },
	{ "\xc3\xbc\xe6\x97\xa5\xf0\x9f\x90\x82", "\xc3\xbc\xe6\x97\xa5\xf0\x9f\x90\x82",
	  "%C3%BC%E6%97%A5%F0%9F%90%82" },
	{ "\xff", "\xef\xbf\xbd", "%FF" },
	{ "\xc3", "\xef\xbf\xbd", "%C3" },
	{ "\xc3<", "\xef\xbf\xbd&lt;", "%C3%3C" },
	{ "\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd", "%C0%BC" },                   /* an overlong "<" */
	{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "%ED%A0%80" },       /* a surrogate */
	/* NOLINTNEXTLINE(misc-misleading-bidirectional): just that is to be harmless */
	{ "\xe2\x80\xaegpj.exe", "\xef\xbf\xbdgpj.exe", "%E2%80%AEgpj.exe" },
	{ "\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xe2\x80\xaf",
	  "%E2%81%A6%E2%81%A9%E2%80%AF" },
	{ "\xc2\x9b" "31m", "\xef\xbf\xbd" "31m", "%C2%9B31m" },
};

START_TEST(bytes_stay_text)
{
	char out[128];

	*escape_html(out, str_of(escapes[_i].text)) = '\0';
	ck_assert_str_eq(out, escapes[_i].html);
	*escape_uri(out, str_of(escapes[_i].text)) = '\0';
	ck_assert_str_eq(out, escapes[_i].uri);
}
END_TEST

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

static Suite *suite(void)
{
	Suite *all = suite_create("listing_page");
	TCase *entries = tcase_create("entries"), *look = tcase_create("page");
	TCase *const cases[] = { entries, look };

	for (unsigned i = 0; i < 2; i++) {
		tcase_add_checked_fixture(cases[i], set_up, tear_down);
		suite_add_tcase(all, cases[i]);
	}
	tcase_add_test(entries, names_go_by_number_and_without_case);
	tcase_add_loop_test(entries, directories_first_then_the_key_then_the_name, 0, COUNT(orders));
	tcase_add_loop_test(entries, any_number_is_sorted, 1, 40);
	tcase_add_loop_test(entries, any_number_is_sorted, 1000, 1001);
	tcase_add_test(entries, times_before_1970_and_huge_sizes_keep_their_order);
	tcase_add_test(entries, a_hundred_thousand_of_the_longest_names_fit_and_no_million_does);
	tcase_add_test(entries, all_together_have_a_bound_too);
	tcase_add_test(entries, what_was_spare_is_given_back);
	tcase_add_test(entries, an_empty_one_has_nothing);
	tcase_add_loop_test(look, a_query_says_what_is_wished, 0, COUNT(wishes));
	tcase_add_test(look, json_is_an_array_of_objects);
	tcase_add_test(look, json_of_nothing_is_an_empty_array);
	tcase_add_loop_test(look, sizes_are_for_people, 0, COUNT(sizes));
	tcase_add_loop_test(look, times_are_utc, 0, COUNT(times));
	tcase_add_test(look, a_name_is_a_link_and_a_text);
	tcase_add_test(look, a_directory_is_shown_with_its_slash);
	tcase_add_test(look, the_root_has_no_way_up);
	tcase_add_test(look, a_path_leads_up_step_by_step);
	tcase_add_test(look, of_a_deep_path_the_end_is_shown);
	tcase_add_test(look, the_column_that_sorts_says_so);
	tcase_add_test(look, the_end_sums_up);
	tcase_add_test(look, the_longest_names_fit);
	tcase_add_loop_test(look, the_room_makes_no_difference, 1, 20);
	tcase_add_loop_test(look, bytes_stay_text, 0, COUNT(escapes));
	return all;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
