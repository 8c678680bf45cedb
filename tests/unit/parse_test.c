/* parse_test.c - request heads: what is accepted, what is refused; no split of the bytes changes it. */
#include "http/lines.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A literal that may hold NULs. */
#define BYTES(text) (text), sizeof(text) - 1

static const struct parse_limits usual_limits = { 8000, 16000, 100 };
static const struct parse_limits small_limits = { 20, 30, 3 };

/* What is behind a head must not matter; it looks like the next one, with mistakes. */
#define NEXT "GET /next HTTP/1.1\r\nHost: next\r\nContent-Length: 5\r\n\r\n\n\x01"

struct outcome {
	enum parse_result result;
	unsigned status;                        /* 0 unless the result is an error */
	struct parse parse;
	struct request request;
	struct arena arena;                     /* of the headers */
};

static void outcome_free(struct outcome *outcome)
{
	arena_free(&outcome->arena);
}

/* Shows the parser the first `len` bytes, in a buffer of just that size. */
static void feed(struct outcome *outcome, const struct parse_limits *limits, const char *bytes, size_t len)
{
	char *copy = malloc(len + (len == 0));

	memcpy(copy, bytes, len);
	outcome->result = parse_head(&outcome->parse, &outcome->request, limits, copy, len, &outcome->arena,
				     &outcome->status);
	/* check writes a message for every assertion: the properties have too many cases for that */
	if (outcome->result == PARSE_MORE && outcome->parse.scanned != len)
		ck_abort_msg("%u of %zu bytes taken", outcome->parse.scanned, len);
	free(copy);
}

static void begin(struct outcome *outcome)
{
	*outcome = (struct outcome){ 0 };
	parse_begin(&outcome->parse, &outcome->request);
}

static struct outcome parse_whole(const struct parse_limits *limits, const char *bytes, size_t len)
{
	struct outcome outcome;

	begin(&outcome);
	feed(&outcome, limits, bytes, len);
	return outcome;
}

static void assert_text(const char *what, struct span span, const char *bytes, const char *expected)
{
	struct str text = span_str(span, bytes);

	ck_assert_msg(str_equal(text, str_of(expected)), "%s is \"%.*s\", not \"%s\"", what,
		      (int)text.len, text.at, expected);
}

/* --- what is accepted --- */

enum { KEEPS = 1, HAS_BODY = 2, EXPECTS = 4, EXPECTS_OTHER = 8 };

struct good {
	const char *bytes;
	size_t len;
	enum method method;
	const char *authority, *path, *query;
	unsigned minor, headers;
	unsigned flags;
};

/* With a valid Host. */
#define H(line) line "\r\nHost: h\r\n\r\n"
#define F(fields) "GET / HTTP/1.1\r\nHost: h\r\n" fields "\r\n"
#define F10(fields) "GET / HTTP/1.0\r\n" fields "\r\n"

static const struct good good[] = {
	/* the request line */
	{ BYTES(H("GET / HTTP/1.1")), METHOD_GET, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("HEAD / HTTP/1.1")), METHOD_HEAD, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("POST / HTTP/1.1")), METHOD_POST, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("PUT / HTTP/1.1")), METHOD_PUT, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("DELETE / HTTP/1.1")), METHOD_DELETE, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("OPTIONS / HTTP/1.1")), METHOD_OPTIONS, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("PATCH / HTTP/1.1")), METHOD_PATCH, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("TRACE / HTTP/1.1")), METHOD_TRACE, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("get / HTTP/1.1")), METHOD_OTHER, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("GETT / HTTP/1.1")), METHOD_OTHER, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("GE / HTTP/1.1")), METHOD_OTHER, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1")), METHOD_OTHER, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("GET / HTTP/1.2")), METHOD_GET, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("GET / HTTP/1.9")), METHOD_GET, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("GET / HTTP/1.0")), METHOD_GET, "h", "/", "", 0, 1, 0 },
	{ BYTES("\r\n" H("GET / HTTP/1.1")), METHOD_GET, "h", "/", "", 1, 1, KEEPS },
	{ BYTES("\r\n\r\n\r\n\r\n" H("GET /x HTTP/1.1")), METHOD_GET, "h", "/x", "", 1, 1, KEEPS },
	/* targets */
	{ BYTES(H("GET /a/b.html?x=1&y=%20 HTTP/1.1")), METHOD_GET, "h", "/a/b.html", "x=1&y=%20", 1, 1,
	  KEEPS },
	{ BYTES(H("GET /? HTTP/1.1")), METHOD_GET, "h", "/", "", 1, 1, KEEPS },
	{ BYTES(H("GET /?a?b/c HTTP/1.1")), METHOD_GET, "h", "/", "a?b/c", 1, 1, KEEPS },
	{ BYTES(H("GET //x//y/../. HTTP/1.1")), METHOD_GET, "h", "//x//y/../.", "", 1, 1, KEEPS },
	{ BYTES(H("GET /-._~!$&'()*+,;=:@09azAZ%aF HTTP/1.1")), METHOD_GET, "h",
	  "/-._~!$&'()*+,;=:@09azAZ%aF", "", 1, 1, KEEPS },
	{ BYTES(H("GET /http://x/ HTTP/1.1")), METHOD_GET, "h", "/http://x/", "", 1, 1, KEEPS },
	{ BYTES(H("GET http://a.example/b?c HTTP/1.1")), METHOD_GET, "a.example", "/b", "c", 1, 1, KEEPS },
	{ BYTES(H("GET HtTpS://A.example:443/ HTTP/1.1")), METHOD_GET, "A.example:443", "/", "", 1, 1,
	  KEEPS },
	{ BYTES(H("GET http://a.example HTTP/1.1")), METHOD_GET, "a.example", "/", "", 1, 1, KEEPS },
	{ BYTES(H("GET http://a.example?q HTTP/1.1")), METHOD_GET, "a.example", "/", "q", 1, 1, KEEPS },
	{ BYTES(H("GET /a[1]|b HTTP/1.1")), METHOD_GET, "h", "/a[1]|b", "", 1, 1, KEEPS },
	{ BYTES(H("GET http://[::1]:80/x HTTP/1.1")), METHOD_GET, "[::1]:80", "/x", "", 1, 1, KEEPS },
	{ BYTES("GET http://a.example/ HTTP/1.0\r\n\r\n"), METHOD_GET, "a.example", "/", "", 0, 0, 0 },
	{ BYTES("GET http://a.example/ HTTP/1.1\r\nHost:\r\n\r\n"), METHOD_GET, "a.example", "/", "", 1, 1,
	  KEEPS },
	{ BYTES(H("OPTIONS * HTTP/1.1")), METHOD_OPTIONS, "h", "*", "", 1, 1, KEEPS },
	{ BYTES(H("OPTIONS http://a.example HTTP/1.1")), METHOD_OPTIONS, "a.example", "/", "", 1, 1, KEEPS },
	{ BYTES(H("CONNECT a.example:443 HTTP/1.1")), METHOD_CONNECT, "a.example:443", "", "", 1, 1, KEEPS },
	{ BYTES(H("CONNECT [::1]:443 HTTP/1.1")), METHOD_CONNECT, "[::1]:443", "", "", 1, 1, KEEPS },
	{ BYTES(H("CONNECT 127.0.0.1:1 HTTP/1.1")), METHOD_CONNECT, "127.0.0.1:1", "", "", 1, 1, KEEPS },
	/* fields */
	{ BYTES("GET / HTTP/1.0\r\n\r\n"), METHOD_GET, "", "/", "", 0, 0, 0 },
	{ BYTES(F("a:\r\nb: \t \r\nc:  x  y\t\r\nd:\x80\xff\r\n!#$%&'*+-.^_`|~: x\r\n")), METHOD_GET, "h",
	  "/", "", 1, 6, KEEPS },
	{ BYTES(F("a: b: c\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS },
	{ BYTES("GET / HTTP/1.1\r\nhOST:\t a.example:80 \r\n\r\n"), METHOD_GET, "a.example:80", "/", "", 1, 1,
	  KEEPS },
	{ BYTES("GET / HTTP/1.1\r\nHost: \r\n\r\n"), METHOD_GET, "", "/", "", 1, 1, KEEPS },
	/* the body */
	{ BYTES(F("Content-Length: 0\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS },
	{ BYTES(F("content-length:5\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS | HAS_BODY },
	{ BYTES(F("Content-Length: 007\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS | HAS_BODY },
	{ BYTES(F("Content-Length: 9223372036854775807\r\n")), METHOD_GET, "h", "/", "", 1, 2,
	  KEEPS | HAS_BODY },
	{ BYTES(F10("Content-Length: 5\r\n")), METHOD_GET, "", "/", "", 0, 1, HAS_BODY },
	{ BYTES(F("Transfer-Encoding: chunked\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS | HAS_BODY },
	{ BYTES(F("transfer-encoding: , CHUNKED ,\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS | HAS_BODY },
	{ BYTES(F("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n")), METHOD_GET, "h", "/", "", 1, 3,
	  KEEPS | HAS_BODY },
	/* the connection */
	{ BYTES(F("Connection: close\r\n")), METHOD_GET, "h", "/", "", 1, 2, 0 },
	{ BYTES(F("Connection: CLOSE\r\n")), METHOD_GET, "h", "/", "", 1, 2, 0 },
	{ BYTES(F("Connection: upgrade,close , x\r\n")), METHOD_GET, "h", "/", "", 1, 2, 0 },
	{ BYTES(F("Connection: keep-alive\r\nConnection: close\r\n")), METHOD_GET, "h", "/", "", 1, 3, 0 },
	{ BYTES(F("Connection: closed\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS },
	{ BYTES(F("Connection: x close\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS },
	{ BYTES(F("Connection:\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS },
	{ BYTES(F10("Connection: Keep-Alive\r\n")), METHOD_GET, "", "/", "", 0, 1, KEEPS },
	{ BYTES(F10("Connection: x\r\nConnection: y,keep-alive\r\n")), METHOD_GET, "", "/", "", 0, 2, KEEPS },
	{ BYTES(F10("Connection: keep-alive, close\r\n")), METHOD_GET, "", "/", "", 0, 1, 0 },
	{ BYTES(F10("Connection: keep-alives\r\n")), METHOD_GET, "", "/", "", 0, 1, 0 },
	{ BYTES(F10("Keep-Alive: 300\r\nProxy-Connection: keep-alive\r\n")), METHOD_GET, "", "/", "", 0, 2,
	  0 },
	/* expectations */
	{ BYTES(F("Expect: 100-continue\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS | EXPECTS },
	{ BYTES(F("EXPECT: 100-CONTINUE\r\nContent-Length: 1\r\n")), METHOD_GET, "h", "/", "", 1, 3,
	  KEEPS | EXPECTS | HAS_BODY },
	{ BYTES(F("Expect: x, 100-continue\r\n")), METHOD_GET, "h", "/", "", 1, 2,
	  KEEPS | EXPECTS | EXPECTS_OTHER },
	{ BYTES(F("Expect: 100-continue\r\nExpect: y=\"a,b\"\r\n")), METHOD_GET, "h", "/", "", 1, 3,
	  KEEPS | EXPECTS | EXPECTS_OTHER },
	{ BYTES(F("Expect: 100-continued\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS | EXPECTS_OTHER },
	{ BYTES(F("Expect: 200-ok\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS | EXPECTS_OTHER },
	{ BYTES(F("Expect: 100-continue;x\r\n")), METHOD_GET, "h", "/", "", 1, 2, KEEPS | EXPECTS_OTHER },
	{ BYTES(F("Expect:\r\nExpect: ,\r\n")), METHOD_GET, "h", "/", "", 1, 3, KEEPS },
	{ BYTES(F10("Expect: 100-continue\r\n")), METHOD_GET, "", "/", "", 0, 1, 0 },
	{ BYTES(F10("Expect: x\r\n")), METHOD_GET, "", "/", "", 0, 1, 0 },
};

static unsigned flags_of(const struct request *request)
{
	return (request->keep_alive ? KEEPS : 0u) | (request->has_body ? HAS_BODY : 0u) |
	       (request->expects_continue ? EXPECTS : 0u) | (request->expects_other ? EXPECTS_OTHER : 0u);
}

START_TEST(a_good_head_says_what_its_row_says)
{
	const struct good *row = &good[_i];
	struct outcome outcome = parse_whole(&usual_limits, row->bytes, row->len);
	const struct request *request = &outcome.request;

	ck_assert_int_eq(outcome.result, PARSE_DONE);
	ck_assert_uint_eq(outcome.parse.scanned, row->len);
	ck_assert_int_eq(request->method, row->method);
	assert_text("authority", request->authority, row->bytes, row->authority);
	assert_text("path", request->path, row->bytes, row->path);
	assert_text("query", request->query, row->bytes, row->query);
	ck_assert_uint_eq(request->minor, row->minor);
	ck_assert_uint_eq(request->header_count, row->headers);
	ck_assert_uint_eq(flags_of(request), row->flags);
	outcome_free(&outcome);
}
END_TEST

START_TEST(no_proper_prefix_of_a_good_head_is_complete)
{
	const struct good *row = &good[_i];

	for (size_t len = 0; len < row->len; len++) {
		struct outcome outcome = parse_whole(&usual_limits, row->bytes, len);

		ck_assert_int_eq(outcome.result, PARSE_MORE);
		outcome_free(&outcome);
	}
}
END_TEST

/* --- what is refused --- */

struct bad {
	const char *bytes;
	size_t len;
	unsigned status;
};

static const struct bad bad[] = {
	/* the request line */
	{ BYTES("\n"), 400 },
	{ BYTES("\r\r"), 400 },
	{ BYTES("\rG"), 400 },
	{ BYTES("\r\n\n"), 400 },
	{ BYTES("\r\n\r\n\r\n\r\n\r\n"), 400 },
	{ BYTES(" " H("GET / HTTP/1.1")), 400 },
	{ BYTES(H("GET  / HTTP/1.1")), 400 },
	{ BYTES(H("GET /  HTTP/1.1")), 400 },
	{ BYTES(H("GET / HTTP/1.1 ")), 400 },
	{ BYTES(H("GET / x HTTP/1.1")), 400 },
	{ BYTES("GET\t"), 400 },
	{ BYTES(H("GET /")), 400 },
	{ BYTES(H("GET")), 400 },
	{ BYTES(H("GET ")), 400 },
	{ BYTES(H("GET / ")), 400 },
	{ BYTES(H(" / HTTP/1.1")), 400 },
	{ BYTES(H("G(T / HTTP/1.1")), 400 },
	{ BYTES(H("G\"T / HTTP/1.1")), 400 },
	{ BYTES(H("G/T / HTTP/1.1")), 400 },
	{ BYTES(H("GET: / HTTP/1.1")), 400 },
	{ BYTES(H("{GET} / HTTP/1.1")), 400 },
	{ BYTES("G\0"), 400 },
	{ BYTES("G\x80"), 400 },
	{ BYTES("GET /\x7f"), 400 },
	{ BYTES("GET /\xc3"), 400 },
	{ BYTES("GET /\x01"), 400 },
	{ BYTES("\x16\x03\x01"), 400 },         /* TLS */
	{ BYTES("GET / HTTP/1.1\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\r"), 400 },
	{ BYTES("GET / HTTP/1.1\rH"), 400 },
	/* versions */
	{ BYTES(H("GET / HTTP/2.0")), 505 },
	{ BYTES(H("GET / HTTP/0.9")), 505 },
	{ BYTES(H("GET / HTTP/9.1")), 505 },
	{ BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505 },
	{ BYTES("GET /# HTTP/2.0\r\n"), 505 },
	{ BYTES(H("GET / HTTP/1")), 400 },
	{ BYTES(H("GET / HTTP/1.")), 400 },
	{ BYTES(H("GET / HTTP/.1")), 400 },
	{ BYTES(H("GET / HTTP/11")), 400 },
	{ BYTES(H("GET / HTTP/1,1")), 400 },
	{ BYTES(H("GET / HTTP/1.10")), 400 },
	{ BYTES(H("GET / HTTP/1.x")), 400 },
	{ BYTES(H("GET / HTTP/x.1")), 400 },
	{ BYTES(H("GET / HTTP/10.1")), 400 },
	{ BYTES(H("GET / HTTP/+1.1")), 400 },
	{ BYTES(H("GET / http/1.1")), 400 },
	{ BYTES(H("GET / HTTPS/1.1")), 400 },
	{ BYTES(H("GET / HTTP 1.1")), 400 },
	{ BYTES(H("GET / XTTP/1.1")), 400 },
	/* targets */
	{ BYTES(H("GET /# HTTP/1.1")), 400 },
	{ BYTES(H("GET /a?b#c HTTP/1.1")), 400 },
	{ BYTES(H("GET /\" HTTP/1.1")), 400 },
	{ BYTES(H("GET /< HTTP/1.1")), 400 },
	{ BYTES(H("GET /> HTTP/1.1")), 400 },
	{ BYTES(H("GET /\\ HTTP/1.1")), 400 },
	{ BYTES(H("GET /^ HTTP/1.1")), 400 },
	{ BYTES(H("GET /` HTTP/1.1")), 400 },
	{ BYTES(H("GET /{ HTTP/1.1")), 400 },
	{ BYTES(H("GET /} HTTP/1.1")), 400 },
	{ BYTES(H("GET /% HTTP/1.1")), 400 },
	{ BYTES(H("GET /%4 HTTP/1.1")), 400 },
	{ BYTES(H("GET /%4g HTTP/1.1")), 400 },
	{ BYTES(H("GET /%g4 HTTP/1.1")), 400 },
	{ BYTES(H("GET /a?<b> HTTP/1.1")), 400 },
	{ BYTES(H("GET /a?b#c HTTP/1.1")), 400 },
	{ BYTES(H("GET /%zz?b HTTP/1.1")), 400 },
	{ BYTES(H("GET a HTTP/1.1")), 400 },
	{ BYTES(H("GET ?a HTTP/1.1")), 400 },
	{ BYTES(H("GET a.example:80 HTTP/1.1")), 400 },
	{ BYTES(H("GET * HTTP/1.1")), 400 },
	{ BYTES(H("OPTIONS ** HTTP/1.1")), 400 },
	{ BYTES(H("OPTIONS *?a HTTP/1.1")), 400 },
	{ BYTES(H("options * HTTP/1.1")), 400 },
	{ BYTES(H("GET http: HTTP/1.1")), 400 },
	{ BYTES(H("GET http:/a HTTP/1.1")), 400 },
	{ BYTES(H("GET http:// HTTP/1.1")), 400 },
	{ BYTES(H("GET http:///a HTTP/1.1")), 400 },
	{ BYTES(H("GET http://?a HTTP/1.1")), 400 },
	{ BYTES(H("GET http://:80/ HTTP/1.1")), 400 },
	{ BYTES(H("GET http://u@a.example/ HTTP/1.1")), 400 },
	{ BYTES(H("GET http://u:p@a.example/ HTTP/1.1")), 400 },
	{ BYTES(H("GET http://a.example:x/ HTTP/1.1")), 400 },
	{ BYTES(H("GET http://a.example#x HTTP/1.1")), 400 },
	{ BYTES(H("GET http://a.example/#x HTTP/1.1")), 400 },
	{ BYTES(H("GET http://a.example/%x HTTP/1.1")), 400 },
	{ BYTES(H("GET http://[::1/ HTTP/1.1")), 400 },
	{ BYTES(H("GET httpx://a.example/ HTTP/1.1")), 400 },
	{ BYTES(H("GET ftp://a.example/ HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT / HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT * HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT  HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT a.example HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT a.example: HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT a.example:65536 HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT :80 HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT 80 HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT [::1] HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT u@a.example:80 HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT a.example:80/ HTTP/1.1")), 400 },
	{ BYTES(H("CONNECT http://a.example:80 HTTP/1.1")), 400 },
	/* field lines */
	{ BYTES("GET / HTTP/1.1\r\nHost: h\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: h\r\n\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: h\r\n\rX"), 400 },
	{ BYTES(F("a: \0\r\n")), 400 },
	{ BYTES(F("a: \x01\r\n")), 400 },
	{ BYTES(F("a: \x0b\r\n")), 400 },
	{ BYTES(F("a: \x1f\r\n")), 400 },
	{ BYTES(F("a: \x7f\r\n")), 400 },
	{ BYTES(F("a: b\r\n c\r\n")), 400 },
	{ BYTES(F("a: b\r\n\tc: d\r\n")), 400 },
	{ BYTES("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400 },
	{ BYTES(F(" \r\n")), 400 },
	{ BYTES(F("a : b\r\n")), 400 },
	{ BYTES(F("a\t: b\r\n")), 400 },
	{ BYTES(F(": b\r\n")), 400 },
	{ BYTES(F(":\r\n")), 400 },
	{ BYTES(F("a\r\n")), 400 },
	{ BYTES(F("a b: c\r\n")), 400 },
	{ BYTES(F("a(): c\r\n")), 400 },
	{ BYTES(F("a\xe4: c\r\n")), 400 },
	{ BYTES(F("a@: c\r\n")), 400 },
	/* Host */
	{ BYTES("GET / HTTP/1.1\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHosts: h\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.2\r\n\r\n"), 400 },
	{ BYTES("GET http://a.example/ HTTP/1.1\r\n\r\n"), 400 },
	{ BYTES(F("Host: h\r\n")), 400 },
	{ BYTES(F("host: other\r\n")), 400 },
	{ BYTES(F("Host:\r\n")), 400 },
	{ BYTES(F10("Host: h\r\nHost: h\r\n")), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n"), 400 },
	{ BYTES("GET http://a.example/ HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400 },
	{ BYTES(F10("Host: a/b\r\n")), 400 },
	/* the body */
	{ BYTES(F("Content-Length:\r\n")), 400 },
	{ BYTES(F("Content-Length: x\r\n")), 400 },
	{ BYTES(F("Content-Length: -1\r\n")), 400 },
	{ BYTES(F("Content-Length: +1\r\n")), 400 },
	{ BYTES(F("Content-Length: 1 1\r\n")), 400 },
	{ BYTES(F("Content-Length: 0x1\r\n")), 400 },
	{ BYTES(F("Content-Length: 1.0\r\n")), 400 },
	{ BYTES(F("Content-Length: 1,1\r\n")), 400 },
	{ BYTES(F("Content-Length: 1,\r\n")), 400 },
	{ BYTES(F("Content-Length: \"1\"\r\n")), 400 },
	{ BYTES(F("Content-Length: 1\r\nContent-Length: 1\r\n")), 400 },
	{ BYTES(F("Content-Length: 0\r\nContent-Length: 0\r\n")), 400 },
	{ BYTES(F("Content-Length: 1\r\nContent-Length: 2\r\n")), 400 },
	{ BYTES(F("Content-Length: 1\r\nContent-Length:\r\n")), 400 },
	{ BYTES(F("Content-Length: 9223372036854775808\r\n")), 400 },
	{ BYTES(F("Content-Length: 18446744073709551616\r\n")), 400 },
	{ BYTES(F("Content-Length: 18446744073709551621\r\n")), 400 },
	{ BYTES(F10("Transfer-Encoding: chunked\r\n")), 400 },
	{ BYTES(F10("Transfer-Encoding: gzip, chunked\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")), 400 },
	{ BYTES(F("Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n")), 400 },
	{ BYTES(F("Content-Length: 0\r\nTransfer-Encoding:\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding:\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: ,\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: gzip\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: identity\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked, gzip\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked, chunked\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked, gzip, chunked\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: xchunked\r\n")), 501 },
	{ BYTES(F("Transfer-Encoding: a\r\nTransfer-Encoding: b;c=d\r\n")), 501 },
	{ BYTES(F("Transfer-Encoding: a, gzip\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: a, chunked, b\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked ; x\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked;\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked;x, chunked\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: chunked;x=y\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: \"chunked\"\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: \", chunked\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: x chunked\r\n")), 400 },
	{ BYTES(F("Transfer-Encoding: gzip, chunked\r\n")), 501 },
	{ BYTES(F("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")), 501 },
	{ BYTES(F("Transfer-Encoding: x;y=\",\", Chunked\r\n")), 501 },
	/* the first mistake decides */
	{ BYTES("GET / HTTP/2.0\r\na b: c\r\n\r\n"), 505 },
	{ BYTES("GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\na b: c\r\n\r\n"), 400 },
	{ BYTES("GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), 400 },
};

START_TEST(a_bad_head_gets_its_status)
{
	struct outcome outcome = parse_whole(&usual_limits, bad[_i].bytes, bad[_i].len);

	ck_assert_int_eq(outcome.result, PARSE_ERROR);
	ck_assert_uint_eq(outcome.status, bad[_i].status);
	outcome_free(&outcome);
}
END_TEST

/* --- limits: small_limits allow 20 bytes of request line, and 30 bytes in 3 field lines --- */

struct limited {
	const char *bytes;
	enum parse_result result;
	unsigned status;
	uint32_t scanned;       /* where it was found */
};

static const struct limited limited[] = {
	{ "GET /45678 HTTP/1.1\r\n", PARSE_MORE, 0, 21 },
	{ "GET /456789 HTTP/1.1\r\n", PARSE_MORE, 0, 22 },
	{ "GET /456789 HTTP/1.1\r", PARSE_MORE, 0, 21 },
	{ "GET /456789x HTTP/1.1", PARSE_ERROR, 414, 20 },
	{ "GETTTTTTTTTTTTTTTTTTTTTTTTT", PARSE_ERROR, 501, 20 },
	{ "GET/(45678901234567890", PARSE_ERROR, 400, 20 },
	{ "GET /456789012345678", PARSE_MORE, 0, 20 },
	{ "GET /4567890123456789", PARSE_ERROR, 414, 20 },
	{ "GET /45678901234567 x\r\n", PARSE_ERROR, 414, 20 },
	{ "GET /456789012345678\x01", PARSE_ERROR, 400, 20 },
	{ "GET /456789012345678\n", PARSE_ERROR, 400, 20 },
	{ "GET /456789012345678\r\n", PARSE_ERROR, 400, 22 },
	{ "GET /456789012345678\rx", PARSE_ERROR, 400, 21 },
	{ "                    ", PARSE_MORE, 0, 20 },
	{ "                     ", PARSE_ERROR, 414, 20 },
	{ "\r\n\r\n\r\n\r\nGET /456789 HTTP/1.1\r\n", PARSE_MORE, 0, 30 },
	{ "\r\nGET /456789x HTTP/1.1", PARSE_ERROR, 414, 22 },
	/* 16 bytes of request line in front */
	{ "GET / HTTP/1.1\r\nHost: h\r\nabc: 678901234567\r\n\r\n", PARSE_DONE, 0, 46 },
	{ "GET / HTTP/1.1\r\nHost: h\r\nabc: 67890123456789\r\n\r\n", PARSE_DONE, 0, 48 },
	{ "GET / HTTP/1.1\r\nHost: h\r\nabc: 678901234567890\r\n\r\n", PARSE_ERROR, 431, 46 },
	{ "GET / HTTP/1.1\r\nHost: h\r\nabc: 6789012345678901\r\n\r\n", PARSE_ERROR, 431, 46 },
	{ "GET / HTTP/1.1\r\nHost: h\r\nabc: 67890123456789012", PARSE_ERROR, 431, 46 },
	{ "GET / HTTP/1.1\r\nHost: h\r\nabc: 6789012345678901\x01", PARSE_ERROR, 400, 46 },
	{ "GET / HTTP/1.1\r\nHost: h\r\nabc: 6789012345678901\n", PARSE_ERROR, 400, 46 },
	{ "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\n\r\n", PARSE_DONE, 0, 35 },
	{ "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\nc", PARSE_ERROR, 431, 33 },
	{ "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\n ", PARSE_ERROR, 431, 33 },
	{ "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\n\x01", PARSE_ERROR, 400, 33 },
	{ "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\n\n", PARSE_ERROR, 400, 33 },
	{ "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\n\rx", PARSE_ERROR, 400, 34 },
	{ "GET / HTTP/1.1\r\na:                            ", PARSE_MORE, 0, 46 },
	{ "GET / HTTP/1.1\r\na:                             ", PARSE_ERROR, 431, 46 },
};

START_TEST(an_error_to_a_head_that_is_too_long_knows_its_method)
{
	struct outcome outcome = parse_whole(&small_limits, BYTES("HEAD /45678901234567890"));

	ck_assert_uint_eq(outcome.status, 414);
	ck_assert_int_eq(outcome.request.method, METHOD_HEAD);
	outcome_free(&outcome);
}
END_TEST

START_TEST(a_limit_is_found_where_it_is_passed)
{
	const struct limited *row = &limited[_i];
	struct outcome outcome = parse_whole(&small_limits, row->bytes, strlen(row->bytes));

	ck_assert_int_eq(outcome.result, row->result);
	ck_assert_uint_eq(outcome.status, row->status);
	ck_assert_uint_eq(outcome.parse.scanned, row->scanned);
	outcome_free(&outcome);
}
END_TEST

START_TEST(no_header_at_all_may_be_allowed)
{
	struct parse_limits none = { 100, 0, 0 };
	struct outcome outcome = parse_whole(&none, BYTES("GET / HTTP/1.0\r\n\r\n"));

	ck_assert_int_eq(outcome.result, PARSE_DONE);
	outcome_free(&outcome);
}
END_TEST

START_TEST(many_headers_keep_their_order)
{
	struct parse_limits limits = { 8000, 100000, 1000 };
	struct outcome outcome;
	char head[20000] = "GET / HTTP/1.0\r\n";
	size_t len = strlen(head);

	for (int i = 0; i < 1000; i++)
		len += (size_t)sprintf(head + len, "n%03d: v%03d\r\n", i, i);
	len += (size_t)sprintf(head + len, "\r\n");
	outcome = parse_whole(&limits, head, len);
	ck_assert_int_eq(outcome.result, PARSE_DONE);
	ck_assert_uint_eq(outcome.request.header_count, 1000);
	for (unsigned i = 0; i < 1000; i++) {
		char name[8], value[8];

		sprintf(name, "n%03u", i % 1000);
		sprintf(value, "v%03u", i % 1000);
		assert_text("name", outcome.request.headers[i].name, head, name);
		assert_text("value", outcome.request.headers[i].value, head, value);
	}
	outcome_free(&outcome);
}
END_TEST

/* --- what the caller finds in the request --- */

static const struct {
	const char *name;
	enum header_id id;
} ids[] = {
	{ "Host", HEADER_HOST },
	{ "CONNECTION", HEADER_CONNECTION },
	{ "content-length", HEADER_CONTENT_LENGTH },
	{ "Transfer-encoding", HEADER_TRANSFER_ENCODING },
	{ "eXpect", HEADER_EXPECT },
	{ "If-None-Match", HEADER_IF_NONE_MATCH },
	{ "if-modified-since", HEADER_IF_MODIFIED_SINCE },
	{ "If-Match", HEADER_IF_MATCH },
	{ "if-unmodified-since", HEADER_IF_UNMODIFIED_SINCE },
	{ "if-range", HEADER_IF_RANGE },
	{ "RANGE", HEADER_RANGE },
	{ "Accept", HEADER_ACCEPT },
	{ "accept-Encoding", HEADER_ACCEPT_ENCODING },
	{ "Authorization", HEADER_AUTHORIZATION },
	{ "forwarded", HEADER_FORWARDED },
	{ "X-Forwarded-For", HEADER_X_FORWARDED_FOR },
	{ "x-forwarded-proto", HEADER_X_FORWARDED_PROTO },
	{ "keep-alive", HEADER_KEEP_ALIVE },
	{ "referer", HEADER_REFERER },
	{ "user-agent", HEADER_USER_AGENT },
	{ "Hos", HEADER_OTHER },
	{ "Host-", HEADER_OTHER },
	{ "Ranges", HEADER_OTHER },
	{ "Cookie", HEADER_OTHER },
	{ "If-Unmodified-Sinc", HEADER_OTHER },
	{ "If-Unmodified-Since-", HEADER_OTHER },
	{ "X-Forwarded-Proto-And-More", HEADER_OTHER },
	{ "a", HEADER_OTHER },
};

START_TEST(a_field_has_its_id)
{
	char head[100] = "GET / HTTP/1.0\r\n";
	struct outcome outcome;

	strcat(head, ids[_i].name);
	strcat(head, ": 1\r\n");
	outcome = parse_whole(&usual_limits, head, strlen(head));
	ck_assert_uint_eq(outcome.request.header_count, 1);
	ck_assert_int_eq(outcome.request.headers[0].id, ids[_i].id);
	outcome_free(&outcome);
}
END_TEST

static const struct {
	const char *line, *value;
} values[] = {
	{ "a:", "" }, { "a: ", "" }, { "a: \t ", "" }, { "a:b", "b" }, { "a:  b\t ", "b" },
	{ "a: b  c ", "b  c" },
	{ "a::", ":" }, { "a: \"x\" ", "\"x\"" }, { "a: \xff", "\xff" },
};

START_TEST(a_value_has_no_white_space_around_it)
{
	char head[100] = "GET / HTTP/1.0\r\n";
	struct outcome outcome;

	strcat(head, values[_i].line);
	strcat(head, "\r\n");
	outcome = parse_whole(&usual_limits, head, strlen(head));
	ck_assert_uint_eq(outcome.request.header_count, 1);
	assert_text("name", outcome.request.headers[0].name, head, "a");
	assert_text("value", outcome.request.headers[0].value, head, values[_i].value);
	outcome_free(&outcome);
}
END_TEST

START_TEST(method_and_target_are_kept_as_they_were_sent)
{
	static const char head[] = "\r\nFETCH HTTP://H?%41 HTTP/1.1\r\nHost: h\r\n\r\n";
	struct outcome outcome = parse_whole(&usual_limits, head, strlen(head));

	ck_assert_int_eq(outcome.result, PARSE_DONE);
	assert_text("method", outcome.request.method_name, head, "FETCH");
	assert_text("target", outcome.request.target, head, "HTTP://H?%41");
	outcome_free(&outcome);
}
END_TEST

START_TEST(an_error_in_the_fields_leaves_the_request_line)
{
	static const char head[] = "HEAD /x HTTP/1.1\r\nHost : h\r\n\r\n";
	struct outcome outcome = parse_whole(&usual_limits, head, strlen(head));

	ck_assert_int_eq(outcome.result, PARSE_ERROR);
	ck_assert_int_eq(outcome.request.method, METHOD_HEAD);
	ck_assert_uint_eq(outcome.request.minor, 1);
	assert_text("method", outcome.request.method_name, head, "HEAD");
	assert_text("target", outcome.request.target, head, "/x");
	outcome_free(&outcome);
}
END_TEST

START_TEST(a_refused_target_can_be_logged)
{
	static const char head[] = "HEAD /x{} HTTP/1.1\r\n";
	struct outcome outcome = parse_whole(&usual_limits, head, strlen(head));

	ck_assert_int_eq(outcome.result, PARSE_ERROR);
	ck_assert_int_eq(outcome.request.method, METHOD_HEAD);
	assert_text("target", outcome.request.target, head, "/x{}");
	outcome_free(&outcome);
}
END_TEST

/* The method all the same: an answer to HEAD has no content. */
START_TEST(an_error_before_the_end_of_the_request_line_leaves_nothing)
{
	static const char *const lines[] = { "HEAD /x HTTP/1.1\n", "HEAD /x\r\n", "HEAD /\x01", "HEAD /x y\rz" };
	struct outcome outcome = parse_whole(&usual_limits, lines[_i], strlen(lines[_i]));

	ck_assert_int_eq(outcome.result, PARSE_ERROR);
	ck_assert_int_eq(outcome.request.method, METHOD_HEAD);
	ck_assert_uint_eq(outcome.request.method_name.len, 0);
	ck_assert_uint_eq(outcome.request.target.len, 0);
	outcome_free(&outcome);
}
END_TEST

/* Every byte at a place in the request line or in a value: allowed or not, and nothing else. */
static unsigned status_with_byte(const char *before, int byte, const char *after)
{
	char head[100];
	size_t len = (size_t)sprintf(head, "%s", before);
	struct outcome outcome;
	unsigned status;

	head[len++] = (char)byte;
	len += (size_t)sprintf(head + len, "%s", after);
	outcome = parse_whole(&usual_limits, head, len);
	ck_assert_int_ne(outcome.result, PARSE_MORE);
	status = outcome.status;
	outcome_free(&outcome);
	return status;
}

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

START_TEST(a_path_takes_the_bytes_of_rfc_3986_and_of_names)
{
	static const char allowed[] = LETTERS_AND_DIGITS "-._~!$&'()*+,;=:@/?[]|";

	for (int byte = 0; byte < 256; byte++) {
		bool good_byte = byte != 0 && strchr(allowed, byte) != NULL;
		bool in_path = status_with_byte("GET /a", byte, "b HTTP/1.0\r\n\r\n") == 0;

		ck_assert_msg(in_path == good_byte, "%02x", byte);
	}
}
END_TEST

/* A browser sends "?q=100%" and "?a[]={1|2}" as they were typed. */
START_TEST(a_query_takes_what_browsers_send)
{
	static const char allowed[] = LETTERS_AND_DIGITS "-._~!$&'()*+,;=:@/?[]{}|\\^`%";

	for (int byte = 0; byte < 256; byte++) {
		bool good_byte = byte != 0 && strchr(allowed, byte) != NULL;
		bool in_query = status_with_byte("GET /?", byte, "b HTTP/1.0\r\n\r\n") == 0;

		ck_assert_msg(in_query == good_byte, "%02x", byte);
	}
}
END_TEST

START_TEST(a_method_and_a_field_name_take_the_bytes_of_a_token)
{
	static const char allowed[] = LETTERS_AND_DIGITS "!#$%&'*+-.^_`|~";

	for (int byte = 0; byte < 256; byte++) {
		bool good_byte = byte != 0 && strchr(allowed, byte) != NULL;
		bool in_method = status_with_byte("G", byte, "T / HTTP/1.0\r\n\r\n") == 0;
		bool in_name = status_with_byte("GET / HTTP/1.0\r\na", byte, "b: c\r\n\r\n") == 0;

		ck_assert_msg(in_method == good_byte && in_name == (good_byte || byte == ':'), "%02x", byte);
	}
}
END_TEST

START_TEST(a_value_takes_all_but_controls)
{
	for (int byte = 0; byte < 256; byte++) {
		bool good_byte = byte == '\t' || (byte >= ' ' && byte != 0x7f);
		bool in_value = status_with_byte("GET / HTTP/1.0\r\na: b", byte, "c\r\n\r\n") == 0;

		ck_assert_msg(in_value == good_byte, "%02x", byte);
	}
}
END_TEST

START_TEST(a_bad_byte_is_refused_at_once)
{
	struct outcome outcome = parse_whole(&usual_limits, BYTES("GET /\x01"));

	ck_assert_int_eq(outcome.result, PARSE_ERROR);
	outcome_free(&outcome);
}
END_TEST

START_TEST(no_bytes_are_no_answer)
{
	struct outcome outcome;

	begin(&outcome);
	for (int i = 0; i < 3; i++)
		feed(&outcome, &usual_limits, "", 0);
	ck_assert_int_eq(outcome.result, PARSE_MORE);
	outcome_free(&outcome);
}
END_TEST

/* --- the property: no split of the bytes changes the answer --- */

static bool same_span(struct span a, struct span b)
{
	return a.at == b.at && a.len == b.len;
}

static bool same_headers(const struct request *a, const struct request *b)
{
	if (a->header_count != b->header_count)
		return false;
	for (unsigned i = 0; i < a->header_count; i++)
		if (!same_span(a->headers[i].name, b->headers[i].name) ||
		    !same_span(a->headers[i].value, b->headers[i].value) ||
		    a->headers[i].id != b->headers[i].id)
			return false;
	return true;
}

static bool same_outcome(const struct outcome *a, const struct outcome *b)
{
	const struct request *x = &a->request, *y = &b->request;

	if (a->result != b->result || a->status != b->status || a->parse.scanned != b->parse.scanned)
		return false;
	if (x->method != y->method || x->minor != y->minor || !same_span(x->method_name, y->method_name) ||
	    !same_span(x->target, y->target))
		return false;
	return a->result != PARSE_DONE ||
	       (same_span(x->authority, y->authority) && same_span(x->path, y->path) &&
		same_span(x->query, y->query) && flags_of(x) == flags_of(y) && same_headers(x, y));
}

/* A row of any table with what comes behind it. */
struct input {
	const struct parse_limits *limits;
	char bytes[512];
	size_t len;
	struct outcome whole;
};

static uint32_t random_state;

static uint32_t random_below(size_t limit)
{
	random_state = random_state * 1664525 + 1013904223;
	return (uint32_t)((random_state >> 8) % limit);
}

/* Parses in pieces of `piece` bytes, or of random sizes when it is 0; the first has `first` bytes. */
static void check_split(const struct input *input, size_t first, size_t piece)
{
	struct outcome outcome;
	size_t len = first;

	begin(&outcome);
	feed(&outcome, input->limits, input->bytes, len);
	while (outcome.result == PARSE_MORE && len < input->len) {
		len += piece != 0 ? piece : 1 + random_below(12);
		if (len > input->len)
			len = input->len;
		feed(&outcome, input->limits, input->bytes, len);
	}
	if (!same_outcome(&input->whole, &outcome))
		ck_abort_msg("split at %zu, then by %zu: %.*s", first, piece, (int)input->len, input->bytes);
	outcome_free(&outcome);
}

static void check_all_splits(struct input *input)
{
	input->whole = parse_whole(input->limits, input->bytes, input->len);
	for (size_t first = 0; first <= input->len; first++)
		check_split(input, first, input->len);
	check_split(input, 0, 1);
	for (int round = 0; round < 300; round++)
		check_split(input, random_below(input->len + 1), 0);
	outcome_free(&input->whole);
}

static void check_row(const struct parse_limits *limits, const char *bytes, size_t len, const char *behind)
{
	struct input input = { .limits = limits, .len = len + strlen(behind) };

	ck_assert_uint_le(input.len, sizeof(input.bytes));
	memcpy(input.bytes, bytes, len);
	memcpy(input.bytes + len, behind, strlen(behind));
	random_state = (uint32_t)len;
	check_all_splits(&input);
}

START_TEST(no_split_changes_a_good_head)
{
	check_row(&usual_limits, good[_i].bytes, good[_i].len, "");
	check_row(&usual_limits, good[_i].bytes, good[_i].len, NEXT);
	check_row(&small_limits, good[_i].bytes, good[_i].len, NEXT);
}
END_TEST

START_TEST(no_split_changes_a_bad_head)
{
	check_row(&usual_limits, bad[_i].bytes, bad[_i].len, "");
	check_row(&usual_limits, bad[_i].bytes, bad[_i].len, NEXT);
	check_row(&small_limits, bad[_i].bytes, bad[_i].len, NEXT);
}
END_TEST

START_TEST(no_split_changes_where_a_limit_is_found)
{
	check_row(&small_limits, limited[_i].bytes, strlen(limited[_i].bytes), "");
	check_row(&small_limits, limited[_i].bytes, strlen(limited[_i].bytes), NEXT);
}
END_TEST

START_TEST(what_is_behind_a_head_does_not_change_it)
{
	struct input input = { .limits = &usual_limits, .len = good[_i].len };

	memcpy(input.bytes, good[_i].bytes, good[_i].len);
	memcpy(input.bytes + good[_i].len, NEXT, strlen(NEXT));
	input.whole = parse_whole(&usual_limits, good[_i].bytes, good[_i].len);
	input.len += strlen(NEXT);
	check_split(&input, input.len, 1);
	outcome_free(&input.whole);
}
END_TEST

/* Heads with a few bytes changed: whatever the answer is, no split may change it. */
START_TEST(no_split_changes_a_damaged_head)
{
	static const char damage[] = "\r\n\r\n :\t,/?%#*0129\x01\x7f\x80" "Aa";

	random_state = (uint32_t)_i;
	for (int round = 0; round < 200; round++) {
		const struct parse_limits *limits = round % 2 == 0 ? &usual_limits : &small_limits;
		struct input input = { .limits = limits, .len = good[_i].len };

		memcpy(input.bytes, good[_i].bytes, good[_i].len);
		for (uint32_t changes = 1 + random_below(3); changes > 0; changes--)
			input.bytes[random_below(input.len)] = damage[random_below(sizeof(damage))];
		input.whole = parse_whole(input.limits, input.bytes, input.len);
		check_split(&input, 0, 1);
		for (int splits = 0; splits < 10; splits++)
			check_split(&input, random_below(input.len + 1), 0);
		outcome_free(&input.whole);
	}
}
END_TEST

static TCase *answers(void)
{
	TCase *tests = tcase_create("answers");

	tcase_add_loop_test(tests, a_good_head_says_what_its_row_says, 0, COUNT(good));
	tcase_add_loop_test(tests, no_proper_prefix_of_a_good_head_is_complete, 0, COUNT(good));
	tcase_add_loop_test(tests, a_bad_head_gets_its_status, 0, COUNT(bad));
	tcase_add_test(tests, an_error_to_a_head_that_is_too_long_knows_its_method);
	tcase_add_loop_test(tests, a_limit_is_found_where_it_is_passed, 0, COUNT(limited));
	tcase_add_test(tests, no_header_at_all_may_be_allowed);
	tcase_add_test(tests, many_headers_keep_their_order);
	tcase_add_loop_test(tests, a_field_has_its_id, 0, COUNT(ids));
	tcase_add_loop_test(tests, a_value_has_no_white_space_around_it, 0, COUNT(values));
	tcase_add_test(tests, method_and_target_are_kept_as_they_were_sent);
	tcase_add_test(tests, an_error_in_the_fields_leaves_the_request_line);
	tcase_add_test(tests, a_refused_target_can_be_logged);
	tcase_add_loop_test(tests, an_error_before_the_end_of_the_request_line_leaves_nothing, 0, 4);
	tcase_add_test(tests, a_path_takes_the_bytes_of_rfc_3986_and_of_names);
	tcase_add_test(tests, a_query_takes_what_browsers_send);
	tcase_add_test(tests, a_method_and_a_field_name_take_the_bytes_of_a_token);
	tcase_add_test(tests, a_value_takes_all_but_controls);
	tcase_add_test(tests, a_bad_byte_is_refused_at_once);
	tcase_add_test(tests, no_bytes_are_no_answer);
	return tests;
}

static TCase *splits(void)
{
	TCase *tests = tcase_create("splits");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, no_split_changes_a_good_head, 0, COUNT(good));
	tcase_add_loop_test(tests, no_split_changes_a_bad_head, 0, COUNT(bad));
	tcase_add_loop_test(tests, no_split_changes_where_a_limit_is_found, 0, COUNT(limited));
	tcase_add_loop_test(tests, what_is_behind_a_head_does_not_change_it, 0, COUNT(good));
	tcase_add_loop_test(tests, no_split_changes_a_damaged_head, 0, COUNT(good));
	return tests;
}

static int run(const struct lines *lines)
{
	Suite *suite = suite_create(lines->name);
	SRunner *runner = srunner_create(suite);
	int failed;

	lines_used = lines;
	suite_add_tcase(suite, answers());
	suite_add_tcase(suite, splits());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed;
}

/* By everything that this machine can run: what it is must not be seen. */
int main(void)
{
	int failed = 0;

	for (const struct lines *const *lines = lines_usable(); *lines != NULL; lines++)
		failed += run(*lines);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
