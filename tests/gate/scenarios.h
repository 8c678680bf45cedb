/* What replay.c asks for, and the files that are there. */
#ifndef GATE_SCENARIOS_H
#define GATE_SCENARIOS_H

#include <stdbool.h>
#include <stddef.h>

enum { MANY_FILES = 1000, MANY_BYTES = 4096 };

struct site_file {
	const char *name;
	size_t bytes;
};

static const struct site_file site_files[] = {
	{ "1k.html", 1024 },
	{ "sibling.html", 4096 },
	{ "sibling.html.gz", 1500 },
	{ "100k.html", 102400 },
	{ NULL, 0 },
};

struct scenario {
	const char *name;
	const char *target;             /* may have a %u: the number of one of many files */
	const char *fields;             /* whole lines; NULL: none */
	unsigned status;
	size_t body;                    /* bytes; 0: whatever comes */
	unsigned depth;                 /* requests sent at once on a connection; 0: one */
	bool log, one_shot, conditional, files_many;
	bool alone;                     /* a turn for each request, as where there is little to do */
};

#define BROWSER \
	"Connection: keep-alive\r\n" \
	"sec-ch-ua: \"Chromium\";v=\"142\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"142\"\r\n" \
	"sec-ch-ua-mobile: ?0\r\n" \
	"sec-ch-ua-platform: \"Linux\"\r\n" \
	"Upgrade-Insecure-Requests: 1\r\n" \
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " \
	"Chrome/142.0.0.0 Safari/537.36\r\n" \
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;" \
	"q=0.8\r\n" \
	"Sec-Fetch-Site: same-origin\r\n" \
	"Sec-Fetch-Mode: navigate\r\n" \
	"Sec-Fetch-User: ?1\r\n" \
	"Sec-Fetch-Dest: document\r\n" \
	"Referer: http://bench.example/articles/2026/11/an-article-that-links-here.html\r\n" \
	"Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n" \
	"Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=1\r\n"

#define CODINGS "Accept-Encoding: gzip, deflate, br, zstd\r\n"

static const struct scenario scenarios[] = {
	{ .name = "1k", .target = "/1k.html", .status = 200, .body = 1024 },
	{ .name = "alone", .target = "/1k.html", .status = 200, .body = 1024, .alone = true },
	{ .name = "browser", .target = "/1k.html", .fields = BROWSER CODINGS, .status = 200, .body = 1024 },
	{ .name = "404", .target = "/missing.html", .status = 404 },
	{ .name = "log", .target = "/1k.html", .fields = "User-Agent: a\r\n", .status = 200, .log = true },
	{ .name = "many", .target = "/many%04u.html", .status = 200, .body = MANY_BYTES, .files_many = true },
	{ .name = "pipelined", .target = "/1k.html", .status = 200, .body = 1024, .depth = 16 },
	{ .name = "conditional", .target = "/1k.html", .fields = BROWSER CODINGS, .status = 304,
	  .conditional = true },
	{ .name = "gzip", .target = "/sibling.html", .fields = BROWSER CODINGS, .status = 200, .body = 1500 },
	{ .name = "range", .target = "/100k.html", .fields = "Range: bytes=1000-1999\r\n", .status = 206,
	  .body = 1000 },
	{ .name = "100k", .target = "/100k.html", .status = 200, .body = 102400 },
	{ .name = "one-shot", .target = "/1k.html", .status = 200, .body = 1024, .one_shot = true },
	{ .name = NULL },
};

#endif
