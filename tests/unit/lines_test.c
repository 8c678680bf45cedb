/* lines_test.c - what takes usual lines takes them as parse.c does, and reads nothing else. */
#include "http/lines.h"

#include "http/header_id.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct parse_limits wide = { 8192, 65536, 100 };

enum { ROOM = 64 };

struct outcome {
	enum parse_result result;
	unsigned status;
	struct parse parse;
	struct request request;
	struct header headers[ROOM];
	struct arena arena;
};

/* Bytes that end where nothing can be read any more, and begin right behind where nothing can be either when
 * they are as many as a page has. */
struct fence {
	char *page;
	size_t page_bytes;
};

static struct fence fence;

static void build_fence(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at + page, page, PROT_READ | PROT_WRITE) < 0)
		abort();
	fence = (struct fence){ at + page, page };
}

/* A copy in front of what cannot be read. */
static char *at_the_end(struct str bytes)
{
	char *at = fence.page + fence.page_bytes - bytes.len;

	memcpy(at, bytes.at, bytes.len);
	return at;
}

/* A copy behind what cannot be read, which goes on with what would change it. */
static char *at_the_beginning(struct str bytes)
{
	memcpy(fence.page, bytes.at, bytes.len);
	memcpy(fence.page + bytes.len, "\r\nHost: b\r\n\r\n", 13);
	return fence.page;
}

static void begin(struct outcome *outcome)
{
	*outcome = (struct outcome){ .result = PARSE_MORE };
	parse_begin_with(&outcome->parse, &outcome->request, outcome->headers, ROOM);
}

static void show(struct outcome *outcome, const struct parse_limits *limits, const char *head, size_t len)
{
	outcome->result = parse_head(&outcome->parse, &outcome->request, limits, head, len, &outcome->arena,
				     &outcome->status);
}

static bool same_span(struct span a, struct span b)
{
	return a.at == b.at && a.len == b.len;
}

static bool same_headers(const struct request *a, const struct request *b)
{
	for (unsigned i = 0; i < a->header_count; i++)
		if (!same_span(a->headers[i].name, b->headers[i].name) ||
		    !same_span(a->headers[i].value, b->headers[i].value) ||
		    a->headers[i].id != b->headers[i].id)
			return false;
	return memcmp(a->first, b->first, sizeof(a->first)) == 0;
}

static bool same_request(const struct request *a, const struct request *b)
{
	return same_span(a->authority, b->authority) && same_span(a->path, b->path) &&
	       same_span(a->query, b->query) && a->header_count == b->header_count && a->seen == b->seen &&
	       a->again == b->again && a->keep_alive == b->keep_alive && same_headers(a, b);
}

static bool same(const struct outcome *a, const struct outcome *b)
{
	if (a->result != b->result || a->parse.scanned != b->parse.scanned || a->status != b->status ||
	    a->request.method != b->request.method || a->request.minor != b->request.minor ||
	    !same_span(a->request.method_name, b->request.method_name) ||
	    !same_span(a->request.target, b->request.target))
		return false;
	return a->result != PARSE_DONE || same_request(&a->request, &b->request);
}

/* By one implementation, in two pieces, at the end of what can be read, or at its beginning. */
static struct outcome parsed(const struct lines *lines, const struct parse_limits *limits, struct str bytes,
			     size_t split, char *(*place)(struct str))
{
	struct outcome outcome;

	lines_used = lines;
	begin(&outcome);
	if (split > 0) {
		struct str piece = { bytes.at, split };

		show(&outcome, limits, place(piece), split);
	}
	if (outcome.result == PARSE_MORE)
		show(&outcome, limits, place(bytes), bytes.len);
	return outcome;
}

/* Holds all implementations against what looks at each byte. */
static void compare(const struct parse_limits *limits, struct str bytes, size_t split)
{
	struct outcome plain = parsed(&lines_none, limits, bytes, split, at_the_end);

	for (const struct lines *const *lines = lines_usable(); *lines != NULL; lines++) {
		struct outcome end = parsed(*lines, limits, bytes, split, at_the_end);
		struct outcome beginning = parsed(*lines, limits, bytes, split, at_the_beginning);

		if (!same(&plain, &end) || !same(&plain, &beginning))
			ck_abort_msg("%s, %zu bytes, the first %zu alone: %.*s", (*lines)->name, bytes.len,
				     split, (int)bytes.len, bytes.at);
		arena_free(&end.arena);
		arena_free(&beginning.arena);
	}
	arena_free(&plain.arena);
}

static const char usual[] =
	"GET /a/b-c_d/e.html?q=1&r=%20 HTTP/1.1\r\nHost: www.example.org:8080\r\nConnection: keep-alive\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0\r\n"
	"A: b\r\nAccept: */*\r\nsec-ch-ua-platform: \"Linux\"\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
	"If-Modified-Since: Sun, 01 Nov 2026 00:00:00 GMT\r\nCookie: "
	"a=1234567890123456789012345678901234\r\n\r\n";

START_TEST(a_head_of_any_length_is_the_same)
{
	for (size_t len = 0; len <= strlen(usual); len++)
		compare(&wide, (struct str){ usual, len }, 0);
}
END_TEST

START_TEST(a_head_in_two_pieces_is_the_same)
{
	for (size_t split = 1; split < strlen(usual); split++)
		compare(&wide, (struct str){ usual, strlen(usual) }, split);
}
END_TEST

/* So that each place of each line comes to stand at each place of a block. */
START_TEST(wherever_its_parts_are_it_is_the_same)
{
	char head[512];

	for (int path = 0; path < 70; path++) {
		for (int name = 1; name < 40; name++) {
			int len = sprintf(
				head, "HEAD /%.*s HTTP/1.1\r\n%.*s: x%.*s\r\nhOST: h\r\n\r\n", path,
				"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnop"
				"qrstuvwxyz",
				name, "Accept-Encoding-And-Names-That-Are-Longer", (path * 7 + name) % 67,
				"a value, that is as long as it has to be, of which some are written");

			compare(&wide, (struct str){ head, (size_t)len }, 0);
		}
	}
}
END_TEST

START_TEST(each_byte_at_each_place_is_judged_the_same)
{
	static const char short_head[] =
		"GET /path?query HTTP/1.1\r\nHost: host.example:80\r\nAccept: */*; q\r\n"
		"X: y\r\nConnection: keep-alive\r\n\r\n";
	char head[sizeof(short_head)];

	for (size_t at = 0; at < strlen(short_head); at++) {
		for (int byte = 0; byte < 256; byte++) {
			memcpy(head, short_head, sizeof(head));
			head[at] = (char)byte;
			compare(&wide, (struct str){ head, strlen(short_head) }, 0);
		}
	}
}
END_TEST

START_TEST(a_byte_too_many_or_too_few_is_judged_the_same)
{
	char head[sizeof(usual) + 1];
	static const char bytes[] = { ' ', '\t', '\r', '\n', ':', 'a', '\0', '\x7f', '\x80', '.', '%', '?' };

	for (size_t at = 0; at < strlen(usual); at++) {
		memcpy(head, usual, at);
		memcpy(head + at, usual + at + 1, sizeof(usual) - at - 1);
		compare(&wide, (struct str){ head, strlen(usual) - 1 }, 0);
		for (size_t i = 0; i < sizeof(bytes); i++) {
			head[at] = bytes[i];
			memcpy(head + at + 1, usual + at, sizeof(usual) - at);
			compare(&wide, (struct str){ head, strlen(usual) + 1 }, 0);
		}
	}
}
END_TEST

START_TEST(a_limit_is_where_it_is)
{
	for (unsigned most = 1; most < sizeof(usual); most++) {
		const struct parse_limits line = { most, 65536, 100 }, fields = { 8192, most, 100 };
		const struct parse_limits count = { 8192, 65536, most % 12 + 1 };

		compare(&line, (struct str){ usual, strlen(usual) }, 0);
		compare(&fields, (struct str){ usual, strlen(usual) }, 0);
		compare(&count, (struct str){ usual, strlen(usual) }, most);
	}
}
END_TEST

/* Otherwise all of this would be true of what takes nothing. */
START_TEST(what_is_usual_is_taken_at_once)
{
	static const char *const heads[] = {
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /kib.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
		"HEAD /a/b?c=d HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n\r\n",
		usual,
	};

	for (const struct lines *const *lines = lines_usable(); *lines != &lines_none; lines++) {
		for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
			struct outcome outcome;

			lines_used = *lines;
			begin(&outcome);
			ck_assert_msg(parse_usual(&outcome.parse, &outcome.request, &wide,
						  at_the_end(str_of(heads[i])), strlen(heads[i])),
				      "%s: %s", (*lines)->name, heads[i]);
			ck_assert(outcome.request.host_is_plain);
			ck_assert_uint_eq(outcome.parse.scanned, strlen(heads[i]));
		}
	}
}
END_TEST

START_TEST(what_is_given_up_is_found_again)
{
	static const char bad[] = "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";

	for (const struct lines *const *lines = lines_usable(); *lines != NULL; lines++) {
		struct outcome outcome;

		lines_used = *lines;
		begin(&outcome);
		ck_assert(!parse_usual(&outcome.parse, &outcome.request, &wide, bad, strlen(bad)));
		ck_assert(!parse_usual(&outcome.parse, &outcome.request, &wide, bad, strlen(bad)));
		show(&outcome, &wide, bad, strlen(bad));
		ck_assert_int_eq(outcome.result, PARSE_ERROR);
		ck_assert_uint_eq(outcome.status, 400);
	}
}
END_TEST

static const char *const hosts[] = {
	"a",
	"A.b-c.9",
	".",
	"..",
	"a.",
	".a",
	"-",
	"a:",
	"a:0",
	"a:1",
	"a:80",
	"a:65535",
	"a:65536",
	"a:99999",
	"a:000080",
	"a:8080808080",
	":80",
	"a:b",
	"a:8 0",
	"a_b",
	"[::1]",
	"[::1]:80",
	"a/b",
	"a@b",
	"a%41",
	"a b",
	"abcdefghijklmnopqrstuvwxy",
	"abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz",
	"a,b",
	"a:12345",
	"a:123456",
	"a\x80",
	"*",
};

START_TEST(a_host_is_judged_the_same)
{
	char head[256];
	int len = sprintf(head, "GET / HTTP/1.1\r\nHost: %s\r\nA: b\r\nAccept: text/html, text/plain\r\n\r\n",
			  hosts[_i]);

	compare(&wide, (struct str){ head, (size_t)len }, 0);
}
END_TEST

/* The names that are known, by what looks at each of them. */
START_TEST(names_are_known_in_capitals_or_not)
{
	for (unsigned id = HEADER_OTHER + 1; id < HEADER_IDS; id++) {
		char name[HEADER_NAME_BYTES] = "";
		size_t len = strlen(header_names[id].text) - 1;

		memcpy(name, header_names[id].text, len);
		ck_assert_uint_eq(header_id_of((struct str){ name, len }), id);
		ck_assert_uint_eq(header_id_of((struct str){ name, len - 1 }), HEADER_OTHER);
		for (size_t i = 0; i < len; i++) {
			name[i] = (char)(name[i] == '-' ? '-' : name[i] - 'a' + 'A');
			ck_assert_uint_eq(header_id_of((struct str){ name, len }), id);
			name[i] ^= 0x01;
			ck_assert_uint_eq(header_id_of((struct str){ name, len }), HEADER_OTHER);
			name[i] ^= 0x01;
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lines");
	TCase *tests = tcase_create("lines");
	SRunner *runner = srunner_create(suite);
	int failed;

	build_fence();
	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_head_of_any_length_is_the_same);
	tcase_add_test(tests, a_head_in_two_pieces_is_the_same);
	tcase_add_test(tests, wherever_its_parts_are_it_is_the_same);
	tcase_add_test(tests, each_byte_at_each_place_is_judged_the_same);
	tcase_add_test(tests, a_byte_too_many_or_too_few_is_judged_the_same);
	tcase_add_test(tests, a_limit_is_where_it_is);
	tcase_add_test(tests, what_is_usual_is_taken_at_once);
	tcase_add_test(tests, what_is_given_up_is_found_again);
	tcase_add_loop_test(tests, a_host_is_judged_the_same, 0, sizeof(hosts) / sizeof(hosts[0]));
	tcase_add_test(tests, names_are_known_in_capitals_or_not);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
