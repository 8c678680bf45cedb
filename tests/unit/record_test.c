/* record_test.c - a layout that is written and read by the same calls, and everything that can be wrong
 * with it. */
#include "base/record.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { BOUND = 5, MOST = 8, ROOM = 64 };

/* One of everything. */
struct things {
	uint64_t wide;
	uint32_t narrow;
	bool yes;
	unsigned choice;
	struct str text;
	uint16_t raw[2];
};

static const struct things good = {
	.wide = UINT64_C(0x1122334455667788),
	.narrow = 7,
	.yes = true,
	.choice = BOUND - 1,
	.text = { "eight ch", MOST },
	.raw = { 1, 2 },
};

static char bytes[ROOM];

static void layout(struct record *record, struct things *things)
{
	record_u64(record, &things->wide);
	record_u32(record, &things->narrow);
	record_bool(record, &things->yes);
	record_below(record, &things->choice, BOUND);
	record_bytes(record, &things->text, MOST);
	record_raw(record, things->raw, sizeof(things->raw));
}

static struct record written(size_t room)
{
	struct record record = record_to(bytes, room);
	struct things things = good;

	layout(&record, &things);
	return record;
}

START_TEST(what_was_written_is_read)
{
	struct record from = record_from(bytes, written(ROOM).len);
	struct things things = { 0 };

	layout(&from, &things);
	ck_assert(record_done(&from));
	ck_assert_uint_eq(things.wide, good.wide);
	ck_assert_uint_eq(things.narrow, good.narrow);
	ck_assert(things.yes);
	ck_assert_uint_eq(things.choice, good.choice);
	ck_assert(str_equal(things.text, good.text));
	ck_assert_mem_eq(things.raw, good.raw, sizeof(good.raw));
}
END_TEST

START_TEST(no_byte_behind_the_room_is_written)
{
	size_t whole = written(ROOM).len;

	for (size_t room = 0; room < whole; room++) {
		memset(bytes, '#', sizeof(bytes));
		ck_assert(written(room).bad);
		for (size_t i = room; i < ROOM; i++)
			ck_assert_int_eq(bytes[i], '#');
	}
	ck_assert(!written(whole).bad);
}
END_TEST

START_TEST(a_record_that_is_cut_is_bad_and_the_rest_of_it_zero)
{
	size_t whole = written(ROOM).len;

	for (size_t len = 0; len < whole; len++) {
		struct record from = record_from(bytes, len);
		struct things things = good;

		layout(&from, &things);
		ck_assert(from.bad);
		ck_assert(!record_done(&from));
		ck_assert_uint_eq(things.raw[0] | things.raw[1], 0);
	}
}
END_TEST

START_TEST(a_record_with_a_byte_too_many_is_not_done)
{
	struct record from = record_from(bytes, written(ROOM).len + 1);
	struct things things;

	layout(&from, &things);
	ck_assert(!from.bad);
	ck_assert(!record_done(&from));
}
END_TEST

START_TEST(nothing_is_read_behind_what_was_bad)
{
	uint32_t numbers[2] = { 2, 99 }, behind = 1;
	struct record from = record_from((char *)numbers, sizeof(numbers));
	bool yes = true;

	record_bool(&from, &yes);
	record_u32(&from, &behind);
	ck_assert(!yes);
	ck_assert_uint_eq(behind, 0);
}
END_TEST

START_TEST(nothing_is_written_behind_what_had_no_room)
{
	struct record to = record_to(bytes, 6);
	uint64_t wide = 1;
	uint32_t narrow = 2;

	memset(bytes, '#', sizeof(bytes));
	record_u64(&to, &wide);
	record_u32(&to, &narrow);
	ck_assert(to.bad);
	ck_assert_uint_eq(to.len, 0);
	ck_assert_int_eq(bytes[0], '#');
}
END_TEST

START_TEST(a_value_that_is_not_below_its_bound_is_bad)
{
	static const uint32_t values[] = { BOUND, BOUND + 1, UINT32_MAX };
	uint32_t number = values[_i];
	struct record from = record_from((char *)&number, sizeof(number));
	unsigned value = 3;

	record_below(&from, &value, BOUND);
	ck_assert(from.bad);
	ck_assert_uint_eq(value, 0);
}
END_TEST

START_TEST(bytes_that_are_more_than_the_most_are_not_written)
{
	struct record to = record_to(bytes, ROOM);
	struct str text = { "nine char", MOST + 1 };

	record_bytes(&to, &text, MOST);
	ck_assert(to.bad);
}
END_TEST

/* How long it says that it is; MOST + 1 bytes are there. */
START_TEST(a_length_that_lies_is_bad_and_gives_no_bytes)
{
	static const uint32_t lengths[] = { MOST + 1, MOST + 2, INT32_MAX, UINT32_MAX };
	struct record from = record_from(bytes, sizeof(uint32_t) + MOST + 1);
	struct str text = { "x", 1 };

	memcpy(bytes, &lengths[_i], sizeof(lengths[_i]));
	record_bytes(&from, &text, MOST);
	ck_assert(from.bad);
	ck_assert_uint_eq(text.len, 0);
	ck_assert_ptr_nonnull(text.at);
}
END_TEST

START_TEST(a_length_within_the_most_but_behind_the_end_is_bad)
{
	uint32_t len = MOST;
	struct record from = record_from(bytes, sizeof(len) + MOST - 1);
	struct str text;

	memcpy(bytes, &len, sizeof(len));
	record_bytes(&from, &text, MOST);
	ck_assert(from.bad);
	ck_assert_uint_eq(text.len, 0);
}
END_TEST

START_TEST(no_bytes_at_all_are_bytes_too)
{
	struct record to = record_to(bytes, ROOM), from;
	struct str text = { NULL, 0 };

	record_bytes(&to, &text, MOST);
	from = record_from(bytes, to.len);
	record_bytes(&from, &text, MOST);
	ck_assert(record_done(&from));
	ck_assert_uint_eq(text.len, 0);
}
END_TEST

START_TEST(a_text_is_read_into_the_arena_and_an_absent_one_stays_absent)
{
	static const struct str texts[] = { { "some", 4 }, { "", 0 }, { NULL, 0 } };
	struct record to = record_to(bytes, ROOM), from;
	struct str text = texts[_i];
	struct arena arena = { 0 };

	record_text(&to, &text, NULL);
	from = record_from(bytes, to.len);
	record_text(&from, &text, &arena);
	ck_assert(record_done(&from));
	memset(bytes, '#', sizeof(bytes));
	ck_assert_int_eq(text.at == NULL, texts[_i].at == NULL);
	ck_assert(str_equal(text, texts[_i]));
	arena_free(&arena);
}
END_TEST

START_TEST(a_text_that_is_cut_is_bad_and_absent)
{
	struct record to = record_to(bytes, ROOM), from;
	struct str text = { "some", 4 };
	struct arena arena = { 0 };

	record_text(&to, &text, NULL);
	from = record_from(bytes, to.len - 1);
	record_text(&from, &text, &arena);
	ck_assert(from.bad);
	ck_assert_ptr_null(text.at);
	ck_assert_uint_eq(text.len, 0);
	arena_free(&arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("record");
	TCase *tests = tcase_create("record");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_test(tests, what_was_written_is_read);
	tcase_add_test(tests, no_byte_behind_the_room_is_written);
	tcase_add_test(tests, a_record_that_is_cut_is_bad_and_the_rest_of_it_zero);
	tcase_add_test(tests, a_record_with_a_byte_too_many_is_not_done);
	tcase_add_test(tests, nothing_is_read_behind_what_was_bad);
	tcase_add_test(tests, nothing_is_written_behind_what_had_no_room);
	tcase_add_loop_test(tests, a_value_that_is_not_below_its_bound_is_bad, 0, 3);
	tcase_add_test(tests, bytes_that_are_more_than_the_most_are_not_written);
	tcase_add_loop_test(tests, a_length_that_lies_is_bad_and_gives_no_bytes, 0, 4);
	tcase_add_test(tests, a_length_within_the_most_but_behind_the_end_is_bad);
	tcase_add_test(tests, no_bytes_at_all_are_bytes_too);
	tcase_add_loop_test(tests, a_text_is_read_into_the_arena_and_an_absent_one_stays_absent, 0, 3);
	tcase_add_test(tests, a_text_that_is_cut_is_bad_and_absent);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
