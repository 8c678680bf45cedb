/* head_fuzz.c - request heads: the same outcome whatever the split, slices inside of the head, limits kept.
 *
 * All that by each implementation of lines.h, with the same outcome.
 *
 * Input: which limits, how the bytes are cut, the bytes. */
#include "fuzz.h"

#include "http/lines.h"

static const struct parse_limits all_limits[] = {
	{ 8000, 16000, 100 }, { 60, 120, 4 }, { 20, 30, 3 }, { 1, 2, 1 },
};

struct outcome {
	enum parse_result result;
	unsigned status;
	struct parse parse;
	struct request request;
	struct arena arena;
};

/* Shows the parser the first `len` bytes, in a buffer of just that size. */
static void feed(struct outcome *outcome, const struct parse_limits *limits, struct str bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	memcpy(copy, bytes.at, len);
	outcome->result = parse_head(&outcome->parse, &outcome->request, limits, copy, len, &outcome->arena,
				     &outcome->status);
	FUZZ_CHECK(outcome->parse.scanned <= len);
	FUZZ_CHECK(outcome->result != PARSE_MORE || outcome->parse.scanned == len);
	free(copy);
}

static struct outcome in_pieces(const struct parse_limits *limits, struct str bytes, struct cuts cuts)
{
	struct outcome outcome = { .result = PARSE_MORE };
	size_t len = 0;

	parse_begin(&outcome.parse, &outcome.request);
	while (outcome.result == PARSE_MORE && len < bytes.len) {
		len += cuts_next(&cuts, bytes.len - len);
		feed(&outcome, limits, bytes, len);
	}
	return outcome;
}

static struct outcome at_once(const struct parse_limits *limits, struct str bytes)
{
	struct outcome outcome = { .result = PARSE_MORE };

	parse_begin(&outcome.parse, &outcome.request);
	feed(&outcome, limits, bytes, bytes.len);
	return outcome;
}

static bool same_span(struct span a, struct span b)
{
	return a.at == b.at && a.len == b.len;
}

static void compare_lines(const struct request *a, const struct request *b)
{
	FUZZ_CHECK(a->method == b->method);
	FUZZ_CHECK(same_span(a->method_name, b->method_name));
	FUZZ_CHECK(same_span(a->target, b->target));
	FUZZ_CHECK(a->minor == b->minor);
}

static void compare_heads(const struct request *a, const struct request *b)
{
	FUZZ_CHECK(same_span(a->authority, b->authority));
	FUZZ_CHECK(same_span(a->path, b->path));
	FUZZ_CHECK(same_span(a->query, b->query));
	FUZZ_CHECK(a->header_count == b->header_count && a->seen == b->seen && a->again == b->again);
	FUZZ_CHECK(memcmp(a->first, b->first, sizeof(a->first)) == 0);
	for (unsigned i = 0; i < a->header_count; i++) {
		FUZZ_CHECK(same_span(a->headers[i].name, b->headers[i].name));
		FUZZ_CHECK(same_span(a->headers[i].value, b->headers[i].value));
		FUZZ_CHECK(a->headers[i].id == b->headers[i].id);
	}
	FUZZ_CHECK(a->keep_alive == b->keep_alive);
	FUZZ_CHECK(a->has_body == b->has_body && a->chunked == b->chunked);
	FUZZ_CHECK(a->body_bytes == b->body_bytes);
	FUZZ_CHECK(a->expects_continue == b->expects_continue && a->expects_other == b->expects_other);
}

static void compare(const struct outcome *a, const struct outcome *b)
{
	FUZZ_CHECK(a->result == b->result);
	FUZZ_CHECK(a->parse.scanned == b->parse.scanned);
	if (a->result == PARSE_ERROR)
		FUZZ_CHECK(a->status == b->status);
	compare_lines(&a->request, &b->request);
	if (a->result == PARSE_DONE)
		compare_heads(&a->request, &b->request);
}

static bool is_inside(struct span span, size_t len)
{
	return span.at <= len && span.len <= len - span.at;
}

static void check_spans(const struct request *request, size_t len)
{
	FUZZ_CHECK(is_inside(request->method_name, len) && request->method_name.len > 0);
	FUZZ_CHECK(is_inside(request->target, len) && request->target.len > 0);
	FUZZ_CHECK(is_inside(request->authority, len));
	FUZZ_CHECK(is_inside(request->path, len));
	FUZZ_CHECK(is_inside(request->query, len));
	for (unsigned i = 0; i < request->header_count; i++) {
		FUZZ_CHECK(is_inside(request->headers[i].name, len) && request->headers[i].name.len > 0);
		FUZZ_CHECK(is_inside(request->headers[i].value, len));
	}
}

static void check_done(const struct outcome *outcome, const struct parse_limits *limits, struct str bytes)
{
	const struct parse *parse = &outcome->parse;

	check_spans(&outcome->request, parse->scanned);
	FUZZ_CHECK(memcmp(bytes.at + parse->scanned - 4, "\r\n\r\n", 4) == 0);
	FUZZ_CHECK(memchr(bytes.at, '\0', parse->scanned) == NULL);
	FUZZ_CHECK(outcome->request.header_count <= limits->headers);
	FUZZ_CHECK(parse->scanned - 2 - parse->headers_at <= limits->header_bytes);
	FUZZ_CHECK(outcome->request.method_name.len + outcome->request.target.len + strlen("  HTTP/1.1") <=
		   limits->request_line_bytes);
}

static void check_error(unsigned status)
{
	FUZZ_CHECK(status == 400 || status == 414 || status == 431 || status == 501 || status == 505);
}

static struct outcome by(const struct lines *lines, const struct parse_limits *limits, struct str bytes,
			 struct cuts cuts)
{
	struct outcome whole, pieces;

	lines_used = lines;
	whole = at_once(limits, bytes);
	pieces = in_pieces(limits, bytes, cuts);
	if (bytes.len > 0)
		compare(&whole, &pieces);
	arena_free(&pieces.arena);
	return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	const struct parse_limits *limits = &all_limits[input_byte(&input) % 4];
	struct cuts cuts = cuts_of(&input);
	struct str bytes = input_take(&input, input.len);
	struct outcome plain = by(&lines_none, limits, bytes, cuts);

	if (plain.result == PARSE_DONE)
		check_done(&plain, limits, bytes);
	if (plain.result == PARSE_ERROR)
		check_error(plain.status);
	for (const struct lines *const *lines = lines_usable(); *lines != NULL; lines++) {
		struct outcome other = by(*lines, limits, bytes, cuts);

		compare(&plain, &other);
		arena_free(&other.arena);
	}
	arena_free(&plain.arena);
	return 0;
}
