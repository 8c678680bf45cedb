/* answer.c - is the answer right?  Called by asker.c with what came.
 *
 * It understands what servers of files answer: a Content-Length, whole files, ranges, and parts of a
 * multipart/byteranges.  Anything else is wrong. */
#include "loss/answer.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 200, PARTIAL_CONTENT = 206 };

static const uint32_t fnv_start = 2166136261, fnv_prime = 16777619;

unsigned answer_post_status;

/* The first answer to a POST. */
static struct {
	bool known;
	uint32_t hash;
} reference;

/* The value of a field, up to the line's end; NULL: there is none. */
static const char *field(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
			return line + 3 + len + strspn(line + 3 + len, " \t");
	return NULL;
}

/* Is `word` in the line that begins at `value`? */
static bool mentions(const char *value, const char *word)
{
	const char *end = value != NULL ? strstr(value, "\r\n") : NULL;
	const char *found = value != NULL ? strcasestr(value, word) : NULL;

	return found != NULL && found < end;
}

static void read_persistence(struct answer *answer)
{
	const char *timeout = field(answer->head, "Keep-Alive");

	answer->closes = mentions(field(answer->head, "Connection"), "close");
	if (mentions(timeout, "timeout="))
		answer->kept_ns =
			strtoull(strcasestr(timeout, "timeout=") + strlen("timeout="), NULL, 10) * CLOCK_S;
}

static void expect(struct answer *answer, enum answer_stage stage, const char *piece, uint64_t len)
{
	answer->stage = stage;
	answer->piece = piece;
	answer->piece_left = len;
}

static void expect_range(struct answer *answer, const struct want *want, unsigned range)
{
	uint64_t from = want->ranges[range].from, to = want->ranges[range].to;

	expect(answer, ANSWER_BODY, want->file->bytes + from, to - from);
}

/* "bytes FROM-LAST/SIZE", as it must be said of `range`. */
static bool is_range(const char *value, const struct want *want, unsigned range)
{
	char expected[80];

	snprintf(expected, sizeof(expected), "bytes %lu-%lu/%lu\r\n", want->ranges[range].from,
		 want->ranges[range].to - 1, want->file->size);
	return value != NULL && strncmp(value, expected, strlen(expected)) == 0;
}

static void expect_part_head(struct answer *answer)
{
	answer->stage = ANSWER_PART_HEAD;
	answer->head_len = 0;
}

static bool begin_multipart(struct answer *answer)
{
	const char *type = field(answer->head, "Content-Type");
	const char *boundary =
		mentions(type, "boundary=") ? strcasestr(type, "boundary=") + strlen("boundary=") : "";
	size_t len;

	boundary += *boundary == '"';
	len = strcspn(boundary, "\";\r\n");
	if (!mentions(type, "multipart/byteranges") || len == 0 || len > BOUNDARY_MAX)
		return false;
	memcpy(answer->boundary, boundary, len);
	answer->multipart = true;
	expect_part_head(answer);
	return true;
}

/* The head is whole: what must follow it?  False: it is wrong. */
static bool begin_body(struct answer *answer, const struct want *want)
{
	const char *length = field(answer->head, "Content-Length");
	unsigned status = 0;

	/* NOLINTNEXTLINE(cert-err34-c): what is no number leaves 0, which is no status */
	sscanf(answer->head, "HTTP/1.1 %u", &status);
	if (length == NULL)
		return false;
	answer->body_left = strtoull(length, NULL, 10);
	read_persistence(answer);
	if (want->post) {
		answer->hash = fnv_start;
		expect(answer, ANSWER_BODY, NULL, answer->body_left);
		return status == answer_post_status;
	}
	if (status == PARTIAL_CONTENT && want->range_count > 1)
		return begin_multipart(answer);
	if (status == PARTIAL_CONTENT && want->range_count == 1) {
		expect_range(answer, want, 0);
		return answer->piece_left == answer->body_left &&
		       is_range(field(answer->head, "Content-Range"), want, 0);
	}
	expect(answer, ANSWER_BODY, want->file->bytes, want->file->size);   /* a server may ignore ranges */
	return status == OK && answer->piece_left == answer->body_left;
}

static bool begin_part(struct answer *answer, const struct want *want)
{
	const char *head = answer->head;
	size_t len = strlen(answer->boundary);

	head += strncmp(head, "\r\n", 2) == 0 ? 2 : 0;
	if (strncmp(head, "--", 2) != 0 || strncmp(head + 2, answer->boundary, len) != 0 ||
	    strncmp(head + 2 + len, "\r\n", 2) != 0 ||
	    !is_range(field(head, "Content-Range"), want, answer->part))
		return false;
	expect_range(answer, want, answer->part++);
	return true;
}

/* A piece came whole: the next one, or the verdict. */
static enum verdict next_piece(struct answer *answer, const struct want *want)
{
	if (answer->multipart && answer->stage == ANSWER_BODY) {
		if (answer->part < want->range_count) {
			expect_part_head(answer);
			return ANSWER_MORE;
		}
		snprintf(answer->tail, sizeof(answer->tail), "\r\n--%s--\r\n", answer->boundary);
		expect(answer, ANSWER_TAIL, answer->tail, strlen(answer->tail));
		return ANSWER_MORE;
	}
	if (answer->body_left > 0)
		return ANSWER_WRONG;
	if (!want->post)
		return ANSWER_WHOLE;
	if (!reference.known) {
		reference.known = true;
		reference.hash = answer->hash;
	}
	return answer->hash == reference.hash ? ANSWER_WHOLE : ANSWER_WRONG;
}

/* Collects bytes up to an empty line; how many of them belong to the head. */
static size_t take_head(struct answer *answer, const char *bytes, size_t len)
{
	size_t room = HEAD_MAX - answer->head_len, take = len < room ? len : room;
	size_t old = answer->head_len > 3 ? answer->head_len - 3 : 0;
	const char *end;

	memcpy(answer->head + answer->head_len, bytes, take);
	end = memmem(answer->head + old, answer->head_len + take - old, "\r\n\r\n", 4);
	if (end != NULL)
		take = (size_t)(end + 4 - answer->head) - answer->head_len;
	answer->head_len += take;
	answer->head[answer->head_len] = '\0';
	return take;
}

static bool head_is_whole(const struct answer *answer)
{
	return answer->head_len >= 4 && memcmp(answer->head + answer->head_len - 4, "\r\n\r\n", 4) == 0;
}

/* Bytes of a head: ANSWER_WRONG when it is too long or not what was expected. */
static enum verdict head_step(struct answer *answer, const struct want *want, const char *bytes, size_t *len)
{
	bool part = answer->stage == ANSWER_PART_HEAD;

	*len = take_head(answer, bytes, *len);
	if (part && *len > answer->body_left)
		return ANSWER_WRONG;
	answer->body_left -= part ? *len : 0;
	if (!head_is_whole(answer))
		return answer->head_len < HEAD_MAX ? ANSWER_MORE : ANSWER_WRONG;
	return (part ? begin_part(answer, want) : begin_body(answer, want)) ? ANSWER_MORE : ANSWER_WRONG;
}

static enum verdict body_step(struct answer *answer, const char *bytes, size_t *len)
{
	if (*len > answer->piece_left)
		*len = answer->piece_left;
	if (*len > answer->body_left)
		return ANSWER_WRONG;
	if (answer->piece != NULL) {
		if (memcmp(answer->piece, bytes, *len) != 0)
			return ANSWER_WRONG;
		answer->piece += *len;
	} else {
		for (size_t i = 0; i < *len; i++)
			answer->hash = (answer->hash ^ (unsigned char)bytes[i]) * fnv_prime;
	}
	answer->piece_left -= *len;
	answer->body_left -= *len;
	return ANSWER_MORE;
}

static bool in_head(const struct answer *answer)
{
	return answer->stage == ANSWER_HEAD || answer->stage == ANSWER_PART_HEAD;
}

enum verdict answer_take(struct answer *answer, const struct want *want, const char *bytes, size_t len,
			 size_t *used)
{
	enum verdict verdict = ANSWER_MORE;

	*used = 0;
	answer->begun = true;
	while (verdict == ANSWER_MORE && *used < len) {
		size_t step = len - *used;

		verdict = in_head(answer) ? head_step(answer, want, bytes + *used, &step)
					  : body_step(answer, bytes + *used, &step);
		*used += step;
		/* an empty body is whole with its head */
		if (verdict == ANSWER_MORE && !in_head(answer) && answer->piece_left == 0)
			verdict = next_piece(answer, want);
	}
	return verdict;
}
