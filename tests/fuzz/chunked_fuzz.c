/* chunked_fuzz.c - chunked bodies: the same content, end and error whatever the split, never over the limits;
 * and what is accepted means what a reader of its own takes it for.
 *
 * Input: which limits, how the bytes are cut, the bytes. */
#include "fuzz.h"

#include "http/chunked.h"

static const struct chunked_limits all_limits[] = {
	{ 1 << 20, 32768, 100 },
	{ 64, 40, 2 },
	{ 5, 8, 1 },
	{ 0, 0, 0 },
};

struct outcome {
	enum chunked_result result;
	unsigned status;
	size_t taken, content_len;
	char *content;
};

/* Shows the decoder bytes in a buffer of just that size. */
static void feed(struct outcome *outcome, struct chunked *chunked, const struct chunked_limits *limits,
		 struct str bytes)
{
	char *copy = malloc(bytes.len > 0 ? bytes.len : 1);
	struct str rest = { copy, bytes.len }, data;

	memcpy(copy, bytes.at, bytes.len);
	do {
		outcome->result = chunked_next(chunked, limits, &rest, &data, &outcome->status);
		if (outcome->result != CHUNKED_DATA)
			continue;
		FUZZ_CHECK(data.len > 0 && data.at >= copy && data.at + data.len == rest.at);
		memcpy(outcome->content + outcome->content_len, data.at, data.len);
		outcome->content_len += data.len;
	} while (outcome->result == CHUNKED_DATA);
	FUZZ_CHECK(outcome->result != CHUNKED_MORE || rest.len == 0);
	outcome->taken += bytes.len - rest.len;
	free(copy);
}

static struct outcome decode(const struct chunked_limits *limits, struct str bytes, struct cuts *cuts)
{
	struct outcome outcome = { .content = malloc(bytes.len + 1), .result = CHUNKED_MORE };
	struct chunked chunked = { 0 };

	while (outcome.result == CHUNKED_MORE && bytes.len > 0) {
		size_t len = cuts != NULL ? cuts_next(cuts, bytes.len) : bytes.len;

		feed(&outcome, &chunked, limits, (struct str){ bytes.at, len });
		bytes = (struct str){ bytes.at + len, bytes.len - len };
	}
	return outcome;
}

static void compare(const struct outcome *a, const struct outcome *b)
{
	FUZZ_CHECK(a->result == b->result && a->taken == b->taken && a->status == b->status);
	FUZZ_CHECK(a->content_len == b->content_len);
	FUZZ_CHECK(memcmp(a->content, b->content, a->content_len) == 0);
}

/* A reader that trusts: sizes by strtoull, extensions up to the line's end, trailers up to the empty line. */
static void check_done(const struct outcome *outcome, struct str bytes)
{
	char *copy = fuzz_copy((struct str){ bytes.at, outcome->taken });
	const char *at = copy, *end;
	size_t content = 0;
	char *behind;

	FUZZ_CHECK(memchr(bytes.at, '\0', outcome->taken) != NULL || strlen(copy) == outcome->taken);
	while (memchr(bytes.at, '\0', outcome->taken) == NULL) {
		unsigned long long size = strtoull(at, &behind, 16);

		FUZZ_CHECK(behind > at && strchr("\r; \t", *behind) != NULL);
		end = strstr(behind, "\r\n");
		FUZZ_CHECK(end != NULL);
		at = end + 2;
		if (size == 0)
			break;
		FUZZ_CHECK(memcmp(at, outcome->content + content, size) == 0);
		content += size;
		at += size;
		FUZZ_CHECK(memcmp(at, "\r\n", 2) == 0);
		at += 2;
	}
	FUZZ_CHECK(outcome->taken >= 5 && memcmp(bytes.at + outcome->taken - 2, "\r\n", 2) == 0);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	const struct chunked_limits *limits = &all_limits[input_byte(&input) % 4];
	struct cuts cuts = cuts_of(&input);
	struct str bytes = input_take(&input, input.len);
	struct outcome whole = decode(limits, bytes, NULL), pieces = decode(limits, bytes, &cuts);

	compare(&whole, &pieces);
	FUZZ_CHECK(whole.content_len <= limits->body_bytes);
	if (whole.result == CHUNKED_DONE)
		check_done(&whole, bytes);
	if (whole.result == CHUNKED_ERROR)
		FUZZ_CHECK(whole.status == 400 || whole.status == 413 || whole.status == 431);
	free(whole.content);
	free(pieces.content);
	return 0;
}
