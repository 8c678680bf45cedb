/* multipart.c - what is between the ranges of a multipart/byteranges content (RFC 9110, 14.6; RFC 2046, 5.1).
 *
 * Pure; called by services that answer with several ranges. Fails only for want of memory. */
#include "multipart.h"

/* Everything but the boundary, the type and the numbers. */
#define DELIMITER "\r\n--"
#define TYPE "\r\nContent-Type: "
#define RANGE "\r\nContent-Range: bytes "
#define END_OF_HEAD "\r\n\r\n"
#define END_OF_ALL "--\r\n"

struct str multipart_content_range(struct range range, uint64_t length, struct arena *arena)
{
	return str_of(arena_printf(arena, "bytes %llu-%llu/%llu", (unsigned long long)range.first,
				   (unsigned long long)(range.first + range.len - 1),
				   (unsigned long long)length));
}

/* The line end in front of a boundary belongs to it. In front of the first there is nothing to end but an
 * empty preamble, and it is there all the same, as from other servers: zsync 0.6.2 finds no boundary without
 * it. */
struct str multipart_head(const struct multipart *multipart, struct range range, struct arena *arena)
{
	const char *text = arena_printf(
		arena, DELIMITER "%.*s" TYPE "%.*s" RANGE "%llu-%llu/%llu" END_OF_HEAD,
		(int)multipart->boundary.len, multipart->boundary.at, (int)multipart->type.len,
		multipart->type.at, (unsigned long long)range.first,
		(unsigned long long)(range.first + range.len - 1), (unsigned long long)multipart->length);

	return str_of(text);
}

struct str multipart_tail(const struct multipart *multipart, struct arena *arena)
{
	return str_of(arena_printf(arena, DELIMITER "%.*s" END_OF_ALL, (int)multipart->boundary.len,
				   multipart->boundary.at));
}

static uint64_t digits_of(uint64_t number)
{
	uint64_t digits = 1;

	for (; number >= 10; number /= 10)
		digits++;
	return digits;
}

uint64_t multipart_length(const struct multipart *multipart, const struct ranges *ranges)
{
	uint64_t fixed = strlen(DELIMITER TYPE RANGE "-/" END_OF_HEAD) + multipart->boundary.len +
			 multipart->type.len + digits_of(multipart->length);
	uint64_t length = strlen(DELIMITER END_OF_ALL) + multipart->boundary.len;

	for (unsigned i = 0; i < ranges->count; i++) {
		struct range range = ranges->at[i];

		length += fixed + digits_of(range.first) + digits_of(range.first + range.len - 1) + range.len;
	}
	return length;
}
