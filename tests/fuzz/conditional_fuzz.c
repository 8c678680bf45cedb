/* conditional_fuzz.c - preconditions: their order in the head does not matter, and what the RFC says is
 * ignored has no effect.
 *
 * Input: whether the representation is weak, the field lines. */
#include "fuzz.h"

#include "http/conditional.h"
#include "http/parse.h"

static const struct parse_limits limits = { 100, 8192, 64 };
static const time_t now = 1764072000;   /* in 2025 */

static struct validators validators = { .etag = { "\"e,1\"", 5 }, .modified = 1700000000 };

struct verdict {
	unsigned status;
	bool if_range;
};

static struct verdict judge(const struct request *request, const char *head)
{
	struct verdict verdict = { conditional_status(request, head, &validators, now),
				   conditional_if_range(request, head, &validators, now) };

	FUZZ_CHECK(verdict.status == 0 || verdict.status == 304 || verdict.status == 412);
	return verdict;
}

static bool has(const struct request *request, enum header_id id)
{
	struct header header;
	unsigned index = 0;

	return request_next(request, id, &index, &header);
}

/* The same, to be given other headers. */
static struct request without_headers(const struct request *request)
{
	struct request other = *request;

	other.header_count = 0;
	other.seen = other.again = UINT32_MAX;
	memset(other.first, 0, sizeof(other.first));
	return other;
}

/* The verdict without the fields with this id. */
static struct verdict judge_without(const struct request *request, const char *head, enum header_id id)
{
	struct header headers[64];
	struct request rest = without_headers(request);

	rest.headers = headers;
	rest.header_count = 0;
	for (unsigned i = 0; i < request->header_count; i++)
		if (request->headers[i].id != id)
			headers[rest.header_count++] = request->headers[i];
	return judge(&rest, head);
}

static struct verdict judge_reversed(const struct request *request, const char *head)
{
	struct header headers[64];
	struct request reversed = without_headers(request);

	for (unsigned i = 0; i < request->header_count; i++)
		headers[request->header_count - 1 - i] = request->headers[i];
	reversed.headers = headers;
	reversed.header_count = request->header_count;
	return judge(&reversed, head);
}

static void check(const struct request *request, const char *head)
{
	struct verdict verdict = judge(request, head), reversed = judge_reversed(request, head);

	FUZZ_CHECK(verdict.status == reversed.status && verdict.if_range == reversed.if_range);
	if (has(request, HEADER_IF_MATCH))
		FUZZ_CHECK(judge_without(request, head, HEADER_IF_UNMODIFIED_SINCE).status == verdict.status);
	if (has(request, HEADER_IF_NONE_MATCH))
		FUZZ_CHECK(judge_without(request, head, HEADER_IF_MODIFIED_SINCE).status == verdict.status);
	FUZZ_CHECK(judge_without(request, head, HEADER_IF_RANGE).status == verdict.status);
	FUZZ_CHECK(judge_without(request, head, HEADER_IF_RANGE).if_range);
	if (verdict.status == 412)
		FUZZ_CHECK(has(request, HEADER_IF_MATCH) || has(request, HEADER_IF_UNMODIFIED_SINCE));
	if (verdict.status == 304)
		FUZZ_CHECK(has(request, HEADER_IF_NONE_MATCH) || has(request, HEADER_IF_MODIFIED_SINCE));
	if (has(request, HEADER_IF_RANGE) && validators.weak)
		FUZZ_CHECK(!verdict.if_range);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char line[] = "GET / HTTP/1.1\r\nHost: a\r\n", end[] = "\r\n";
	struct input input = { data, size };
	struct parse parse;
	struct request request;
	struct arena arena = { 0 };
	unsigned status = 0;
	struct str fields;
	size_t len;
	char *head;

	validators.weak = input_byte(&input) % 2 != 0;
	validators.modified_strong = !validators.weak;
	fields = input_take(&input, input.len);
	len = strlen(line) + fields.len + strlen(end);
	head = malloc(len);
	memcpy(head, line, strlen(line));
	if (fields.len > 0)
		memcpy(head + strlen(line), fields.at, fields.len);
	memcpy(head + len - strlen(end), end, strlen(end));
	parse_begin(&parse, &request);
	if (parse_head(&parse, &request, &limits, head, len, &arena, &status) == PARSE_DONE)
		check(&request, head);
	arena_free(&arena);
	free(head);
	return 0;
}
