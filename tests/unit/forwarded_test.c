/* forwarded_test.c - the client behind proxies: X-Forwarded-For and Forwarded. */
#include "http/forwarded.h"

#include "http/parse.h"

#include "base/err.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Proxies: 10.0.0.0/8, fd00::/8 and whoever comes by a unix socket. */
static struct cidr trusted[2];
static const struct networks from = { .count = 2, .at = trusted, .local = true };

static void set_up(void)
{
	struct err err;

	ck_assert(cidr_parse("10.0.0.0/8", &trusted[0], &err));
	ck_assert(cidr_parse("fd00::/8", &trusted[1], &err));
}

/* The address and the scheme found in a request with these field lines, for one that 10.9.9.9 sent; "bad". */
static const char *found_in(const char *lines, enum forwarded_header header)
{
	struct parse_limits limits = { 8192, 32768, 100 };
	struct forwarded found = { 0 };
	static char text[ADDR_TEXT_BYTES + 16], head[4096];
	struct request request;
	struct arena arena = { 0 };
	struct parse parse;
	struct addr addr;
	unsigned status;
	bool good;

	snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
	parse_begin(&parse, &request);
	ck_assert_int_eq(parse_head(&parse, &request, &limits, head, strlen(head), &arena, &status),
			 PARSE_DONE);
	found.client.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a090909) };
	good = forwarded_read(&request, head, header, &from, &found);
	arena_free(&arena);
	if (!good)
		return "bad";
	peer_describe(&found.client, &addr);
	snprintf(text, sizeof(text), "%s%s", found.client.family == AF_UNSPEC ? "unknown" : addr.text,
		 found.secure ? " https" : "");
	return text;
}

struct sample {
	const char *lines, *found;
};

static const struct sample x_samples[] = {
	{ "", "10.9.9.9:0" },
	{ "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1:4711" },
	{ "X-Forwarded-For: 2001:db8::1\r\n", "[2001:db8::1]:0" },
	{ "X-Forwarded-For: [2001:db8::1]\r\n", "[2001:db8::1]:0" },
	{ "X-Forwarded-For: [2001:db8::1]:80\r\n", "[2001:db8::1]:80" },
	{ "X-Forwarded-For: ::ffff:192.0.2.1\r\n", "[::ffff:192.0.2.1]:0" },
	/* from the end, past those that are trusted; what is before the client is its own invention */
	{ "X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.0.0.1\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.0.0.1, fd00::1, unix:\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1, ::ffff:10.0.0.1\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 10.0.0.3, 10.0.0.2, 10.0.0.1\r\n", "10.0.0.3:0" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Other: 1\r\nX-Forwarded-For: 10.0.0.1\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n", "192.0.2.2:0" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For:\r\n", "192.0.2.1:0" },
	{ "x-forwarded-for:192.0.2.1,10.0.0.1\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: , 192.0.2.1 ,\t, 10.0.0.1 ,,\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: \r\n", "10.9.9.9:0" },
	{ "X-Forwarded-For: ,, ,\r\n", "10.9.9.9:0" },
	/* a quote opens nothing: it would hide what the proxy has added */
	{ "X-Forwarded-For: \"192.0.2.9, 192.0.2.1\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1, 10.0.0.1\"\r\n", "unknown" },
	/* who does not say by whom it was asked */
	{ "X-Forwarded-For: unknown\r\n", "unknown" },
	{ "X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1\r\n", "unknown" },
	{ "X-Forwarded-For: 192.0.2.256\r\n", "unknown" },
	{ "X-Forwarded-For: 192.0.2.01\r\n", "unknown" },
	{ "X-Forwarded-For: 192.0.2.1:\r\n", "unknown" },
	{ "X-Forwarded-For: 192.0.2.1:65536\r\n", "unknown" },
	{ "X-Forwarded-For: [2001:db8::1\r\n", "unknown" },
	{ "X-Forwarded-For: [2001:db8::1]80\r\n", "unknown" },
	{ "X-Forwarded-For: [192.0.2.1]\r\n", "unknown" },
	{ "X-Forwarded-For: []\r\n", "unknown" },
	{ "X-Forwarded-For: [\r\n", "unknown" },
	{ "X-Forwarded-For: fe80::1%eth0\r\n", "unknown" },
	{ "X-Forwarded-For: 192.0.2.1 192.0.2.2\r\n", "unknown" },
	/* the scheme */
	{ "X-Forwarded-Proto: https\r\n", "10.9.9.9:0 https" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n", "192.0.2.1:0 https" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: HTTPS\r\n", "192.0.2.1:0 https" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: httpsx\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto:\r\n", "192.0.2.1:0" },
	/* one for each hop: that of the client; not what it says of itself in front of it */
	{ "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Proto: https, http\r\n", "192.0.2.1:0 https" },
	{ "X-Forwarded-For: 192.0.2.9, 192.0.2.1\r\nX-Forwarded-Proto: https, http\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n", "192.0.2.1:0 https" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https, http\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n",
	  "192.0.2.1:0 https" },
	/* what this setting does not name means nothing */
	{ "Forwarded: for=192.0.2.1;proto=https\r\n", "10.9.9.9:0" },
};

START_TEST(x_forwarded_for)
{
	ck_assert_str_eq(found_in(x_samples[_i].lines, FORWARDED_X), x_samples[_i].found);
}
END_TEST

static const struct sample rfc7239_samples[] = {
	{ "", "10.9.9.9:0" },
	{ "Forwarded: for=192.0.2.1\r\n", "192.0.2.1:0" },
	{ "Forwarded: For=\"192.0.2.1:4711\"\r\n", "192.0.2.1:4711" },
	{ "Forwarded: for=\"[2001:db8:cafe::17]:4711\"\r\n", "[2001:db8:cafe::17]:4711" },
	{ "Forwarded: for=\"[2001:db8:cafe::17]\"\r\n", "[2001:db8:cafe::17]:0" },
	{ "Forwarded: for=\"192.0.2.1:_a-Z.9_\"\r\n", "192.0.2.1:0" },
	{ "Forwarded: for=\"[2001:db8:cafe::17]:_x\"\r\n", "[2001:db8:cafe::17]:0" },
	{ "Forwarded: for=\"192.0.2.1:_\"\r\n", "unknown" },
	{ "Forwarded: for=\"192.0.2.1:_a!\"\r\n", "unknown" },
	{ "Forwarded: for=\"192.0.2.1:x\"\r\n", "unknown" },
	{ "Forwarded: for=[2001:db8:cafe::17]\r\n", "[2001:db8:cafe::17]:0" },
	{ "Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\r\n", "192.0.2.60:0" },
	{ "Forwarded: by=203.0.113.43;proto=https;for=192.0.2.60\r\n", "192.0.2.60:0 https" },
	{ "Forwarded: for=192.0.2.60; proto=\"HTTPS\" ; host=\"a, b;c\"\r\n", "192.0.2.60:0 https" },
	{ "Forwarded: for=203.0.113.9, for=192.0.2.1, for=10.0.0.1\r\n", "192.0.2.1:0" },
	{ "Forwarded: for=203.0.113.9,for=192.0.2.1;proto=https,for=10.0.0.1;proto=http\r\n",
	  "192.0.2.1:0 https" },
	{ "Forwarded: for=192.0.2.1;proto=http, for=10.0.0.1;proto=https\r\n", "192.0.2.1:0" },
	{ "Forwarded: for=192.0.2.1\r\nForwarded: for=10.0.0.1\r\n", "192.0.2.1:0" },
	{ "Forwarded: for=10.0.0.2, for=10.0.0.1\r\n", "10.0.0.2:0" },
	{ "Forwarded: ,, for=192.0.2.1 ,\r\n", "192.0.2.1:0" },
	{ "Forwarded: for=192.0.2.1;\r\n", "192.0.2.1:0" },
	{ "Forwarded: for=192.0.2.1;, for=10.0.0.1\r\n", "192.0.2.1:0" },
	{ "Forwarded:\r\n", "10.9.9.9:0" },
	{ "Forwarded: proto=https\r\n", "10.9.9.9:0 https" },
	{ "Forwarded: for=192.0.2.1, by=10.0.0.1\r\n", "10.9.9.9:0" },
	{ "Forwarded: for=unknown\r\n", "unknown" },
	{ "Forwarded: for=_hidden;proto=https\r\n", "unknown https" },
	{ "Forwarded: for=\"\"\r\n", "unknown" },
	{ "Forwarded: for=\"192.0.2.1\\\"\"\r\n", "unknown" },
	{ "Forwarded: for=192.0.2.1;ext=\"\\\\\\\"\", for=10.0.0.1\r\n", "192.0.2.1:0" },
	{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n", "10.9.9.9:0" },
	/* a mistake: what the proxy has added may be inside of it */
	{ "Forwarded: for=\"192.0.2.9, for=192.0.2.1\r\n", "bad" },
	{ "Forwarded: for=\"192.0.2.9\\, for=192.0.2.1\"\r\n", "unknown" },
	{ "Forwarded: for=\"192.0.2.9\\\r\n", "bad" },
	{ "Forwarded: for\r\n", "bad" },
	{ "Forwarded: for=\r\n", "bad" },
	{ "Forwarded: =192.0.2.1\r\n", "bad" },
	{ "Forwarded: for =192.0.2.1\r\n", "bad" },
	{ "Forwarded: for= 192.0.2.1\r\n", "bad" },
	{ "Forwarded: \"for\"=192.0.2.1\r\n", "bad" },
	{ "Forwarded: for=192.0.2.1 for=192.0.2.2\r\n", "bad" },
	{ "Forwarded: for=\"192.0.2.1\"x\r\n", "bad" },
	{ "Forwarded: for=192.0.2.1;for=192.0.2.2\r\n", "bad" },
	{ "Forwarded: for=192.0.2.1;proto=http;proto=https\r\n", "bad" },
	{ "Forwarded: ;for=192.0.2.1\r\n", "bad" },
	{ "Forwarded: for=192.0.2.1;;proto=http\r\n", "bad" },
	/* in front of the client's line it is the client's */
	{ "Forwarded: for=\"\r\nForwarded: for=192.0.2.1\r\n", "192.0.2.1:0" },
	{ "Forwarded: for=\"\r\nForwarded: for=10.0.0.1\r\n", "bad" },
};

START_TEST(forwarded)
{
	ck_assert_str_eq(found_in(rfc7239_samples[_i].lines, FORWARDED_RFC7239), rfc7239_samples[_i].found);
}
END_TEST

START_TEST(off_is_off)
{
	ck_assert_str_eq(found_in("X-Forwarded-For: 192.0.2.1\r\nForwarded: for=\"\r\n", FORWARDED_OFF), "10.9.9.9:0");
}
END_TEST

/* Nobody has so many proxies; somebody may pretend to. */
START_TEST(hops_are_bounded)
{
	static char x[4000], rfc7239[4000];

	strcpy(x, "X-Forwarded-For: 192.0.2.1");
	strcpy(rfc7239, "Forwarded: for=192.0.2.1");
	for (unsigned i = 0; i < FORWARDED_MOST_HOPS - 1; i++) {
		strcat(x, ", 10.0.0.1");
		strcat(rfc7239, ", for=10.0.0.1");
	}
	ck_assert_str_eq(found_in(strcat(x, "\r\n"), FORWARDED_X), "192.0.2.1:0");
	ck_assert_str_eq(found_in(strcat(rfc7239, "\r\n"), FORWARDED_RFC7239), "192.0.2.1:0");
	x[strlen(x) - 2] = rfc7239[strlen(rfc7239) - 2] = '\0';
	ck_assert_str_eq(found_in(strcat(x, ", 10.0.0.2\r\n"), FORWARDED_X), "10.0.0.1:0");
	ck_assert_str_eq(found_in(strcat(rfc7239, ", for=10.0.0.2\r\n"), FORWARDED_RFC7239), "10.0.0.1:0");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarded");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, set_up, NULL);
	tcase_add_loop_test(all, x_forwarded_for, 0, sizeof(x_samples) / sizeof(x_samples[0]));
	tcase_add_loop_test(all, forwarded, 0, sizeof(rfc7239_samples) / sizeof(rfc7239_samples[0]));
	tcase_add_test(all, off_is_off);
	tcase_add_test(all, hops_are_bounded);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
