/* steering_fuzz.c - the choice of a slot over hot lines of any content: it stays among the slots and in
 * the memory, and takes nobody who is bad while somebody is good.
 *
 * Input: the packet's hash, the time, then bytes that fill the hot lines again and again, but for the
 * numbers of the slots and of the stall, which come first, lest there be no slots nearly always. */
#include "fuzz.h"

#include "net/steering_choice.h"

#include <string.h>

static uint64_t number(struct input *input, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | input_byte(input);
	return value;
}

static void fill(struct hot *hot, struct str bytes)
{
	size_t room = sizeof(*hot) - offsetof(struct hot, seat);
	size_t len = bytes.len < room ? bytes.len : room;
	char *to = (char *)hot->seat;

	if (len > 0)
		memcpy(to, bytes.at, len);
	for (size_t more; len > 0 && len < room; len += more) {
		more = len < room - len ? len : room - len;
		memcpy(to + len, to, more);
	}
}

/* As who reads hot.h understands it. */
static bool can_serve(const struct hot *hot, unsigned slot, uint64_t now_ns)
{
	const struct hot_seat *seat = &hot->seat[slot];
	const struct hot_line *line = &hot->line[seat->line % HOT_LINES];
	uint64_t since_ns = line->busy_since_ns;

	if (seat->good == 0 || line->holding != 0)
		return false;
	return since_ns == 0 || since_ns >= now_ns || now_ns - since_ns <= hot->stall_ns;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint32_t hash = (uint32_t)number(&input, 4), chosen;
	uint64_t now_ns = number(&input, 8);
	struct hot *hot = calloc(1, sizeof(*hot));
	unsigned slots;

	FUZZ_CHECK(hot != NULL);
	hot->slots = (uint32_t)number(&input, 4) >> (number(&input, 1) & 31);
	hot->stall_ns = number(&input, 8);
	fill(hot, input_take(&input, input.len));
	slots = hot->slots < HOT_SLOTS ? hot->slots : HOT_SLOTS;
	chosen = steering_choose(hot, hash, now_ns);
	if (chosen != STEERING_NOBODY) {
		FUZZ_CHECK(chosen < slots);
		FUZZ_CHECK(can_serve(hot, chosen, now_ns));
	}
	for (unsigned i = 0; chosen == STEERING_NOBODY && i < slots; i++)
		FUZZ_CHECK(!can_serve(hot, i, now_ns));
	free(hot);
	return 0;
}
