/* forwarded_fuzz.c - X-Forwarded-For and Forwarded: whatever somebody sends, what a proxy adds to it is what
 * counts.
 *
 * Input: lines; the first letter of each says which field it is (x, p, f), the rest is its value. */
#include "fuzz.h"

#include "http/forwarded.h"

#include <arpa/inet.h>
#include <string.h>

enum { MOST_LINES = 16, TEXT_BYTES = 16 * 1024 };

static struct cidr trusted[2];
static const struct networks from = { .count = 2, .at = trusted, .local = true };
static const struct networks nobody = { 0 };

struct lines {
	char text[TEXT_BYTES];
	size_t len;
	struct header headers[MOST_LINES];
	unsigned count;
};

static void add(struct lines *lines, enum header_id id, struct str value)
{
	if (lines->count == MOST_LINES || value.len > TEXT_BYTES - lines->len)
		return;
	memcpy(lines->text + lines->len, value.at, value.len);
	lines->headers[lines->count++] = (struct header){
		.id = id,
		.value = { (uint32_t)lines->len, (uint32_t)value.len },
	};
	lines->len += value.len;
}

/* A proxy that extends the last line of the field, or makes one. */
static void extend(struct lines *lines, enum header_id id, const char *more)
{
	struct str line = { 0 };
	char text[TEXT_BYTES];
	int len;

	if (lines->count > 0 && lines->headers[lines->count - 1].id == id)
		line = span_str(lines->headers[--lines->count].value, lines->text);
	len = snprintf(text, sizeof(text), "%.*s%s%s", (int)line.len, line.at != NULL ? line.at : "",
		       line.len > 0 ? ", " : "", more);
	add(lines, id, (struct str){ text, (size_t)len });
}

static bool read_lines(const struct lines *lines, enum forwarded_header header,
		       const struct networks *networks, struct forwarded *found)
{
	struct request request = {
		.headers = (struct header *)lines->headers,
		.header_count = lines->count,
		.seen = UINT32_MAX,
		.again = UINT32_MAX,
	};

	*found = (struct forwarded){ .client.v4 = { .sin_family = AF_INET,
						    .sin_addr.s_addr = htonl(0x0a090909) } };
	return forwarded_read(&request, lines->text, header, networks, found);
}

static bool is_added(const struct forwarded *found)
{
	return found->client.family == AF_INET && found->client.v4.sin_addr.s_addr == htonl(0xc6336407);
}

/* The client that was found is one that is not trusted, or the first of the list, or nobody. */
static void check_found(const struct lines *lines, enum forwarded_header header)
{
	struct forwarded found, first;
	bool good = read_lines(lines, header, &from, &found);

	if (!good || !networks_have(&from, &found.client))
		return;
	/* by somebody who believes nobody the last is the client already */
	FUZZ_CHECK(read_lines(lines, header, &nobody, &first));
	FUZZ_CHECK(first.client.family == AF_UNSPEC || networks_have(&from, &first.client));
}

static void check_added(struct lines *lines, enum forwarded_header header)
{
	struct lines own_line = *lines;
	struct forwarded found;
	enum header_id id = header == FORWARDED_X ? HEADER_X_FORWARDED_FOR : HEADER_FORWARDED;

	add(&own_line, id, str_of(header == FORWARDED_X ? "198.51.100.7" : "for=198.51.100.7;proto=https"));
	if (own_line.count > lines->count) {
		FUZZ_CHECK(read_lines(&own_line, header, &from, &found) && is_added(&found));
		FUZZ_CHECK(header == FORWARDED_X || found.secure);
	}
	if (lines->len * 2 + 64 > TEXT_BYTES || lines->count >= MOST_LINES)
		return;
	extend(lines, id, header == FORWARDED_X ? "198.51.100.7" : "for=198.51.100.7");
	if (read_lines(lines, header, &from, &found))
		FUZZ_CHECK(is_added(&found));
	else
		FUZZ_CHECK(header == FORWARDED_RFC7239);
}

static enum header_id id_of(char letter)
{
	if (letter == 'p')
		return HEADER_X_FORWARDED_PROTO;
	return letter == 'f' ? HEADER_FORWARDED : HEADER_X_FORWARDED_FOR;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lines lines, copy;
	struct input input = { data, size };
	struct err err;

	FUZZ_CHECK(cidr_parse("10.0.0.0/8", &trusted[0], &err) && cidr_parse("fd00::/8", &trusted[1], &err));
	lines.len = lines.count = 0;
	while (input.len > 0) {
		struct str line = input_until(&input, '\n');

		if (line.len > 0)
			add(&lines, id_of(line.at[0]), str_trim((struct str){ line.at + 1, line.len - 1 }));
	}
	for (enum forwarded_header header = FORWARDED_X; header <= FORWARDED_RFC7239; header++) {
		copy = lines;
		check_found(&lines, header);
		check_added(&copy, header);
	}
	return 0;
}
