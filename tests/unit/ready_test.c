/* ready: what is kept, for how long, and what has to go. */
#include "http/ready.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { GENERATION = 7, NOW = 1000 };

static struct ready_table table;
static struct lasting lasting;
static unsigned released;

static void count_release(struct lasting *it)
{
	(void)it;
	released++;
}

static void set_up(void)
{
	ready_init(&table);
	released = 0;
	lasting = (struct lasting){ .pins = 1, .release = count_release };
}

static void tear_down(void)
{
	ready_free(&table);
	lasting_unpin(&lasting);
	ck_assert_uint_eq(released, 1);
	ck_assert_uint_eq(table.count, 0);
	ck_assert_uint_eq(table.bytes, 0);
}

static struct ready_key key_of(const char *authority, const char *target, unsigned codings)
{
	return (struct ready_key){ str_of(authority), str_of(target), codings, { 0 } };
}

static struct ready_terms terms_of(const char *head)
{
	return (struct ready_terms){
		.generation = GENERATION, .until_ns = UINT64_MAX, .status = 200,
		.head = str_of(head), .body = str_of("body"), .lasting = &lasting,
	};
}

static bool keep(const char *target, const char *head)
{
	struct ready_key key = key_of("a", target, 0);
	struct ready_terms terms = terms_of(head);

	return ready_keep(&table, &key, &terms);
}

static const struct ready_answer *find_for(const char *authority, const char *target, unsigned codings)
{
	struct ready_key key = key_of(authority, target, codings);

	return ready_find(&table, &key, GENERATION, NOW);
}

static const struct ready_answer *find(const char *target)
{
	return find_for("a", target, 0);
}

static const char *numbered(unsigned number)
{
	static char text[32];

	snprintf(text, sizeof(text), "/%u", number);
	return text;
}

/* ---- finding ------------------------ */

START_TEST(an_empty_table_has_nothing)
{
	ck_assert_ptr_null(find("/x"));
}
END_TEST

START_TEST(what_was_kept_is_found_with_all_that_was_said_of_it)
{
	struct ready_key key = key_of("a", "/x", 3);
	struct ready_terms terms = terms_of("head");
	const struct ready_answer *answer;

	terms.date_at = 1;
	terms.fields_at = 2;
	terms.status = 404;
	ck_assert(ready_keep(&table, &key, &terms));
	answer = find_for("a", "/x", 3);
	ck_assert_ptr_nonnull(answer);
	ck_assert(str_equal(answer->terms.head, str_of("head")));
	ck_assert(str_equal(answer->terms.body, str_of("body")));
	ck_assert_uint_eq(answer->terms.status, 404);
	ck_assert_uint_eq(answer->terms.date_at, 1);
	ck_assert_uint_eq(answer->terms.fields_at, 2);
}
END_TEST

START_TEST(every_part_of_the_key_counts)
{
	keep("/x", "head");
	ck_assert_ptr_nonnull(find("/x"));
	ck_assert_ptr_null(find("/y"));
	ck_assert_ptr_null(find("/x?"));
	ck_assert_ptr_null(find(""));
	ck_assert_ptr_null(find_for("b", "/x", 0));
	ck_assert_ptr_null(find_for("", "/x", 0));
	ck_assert_ptr_null(find_for("a", "/x", 1));
}
END_TEST

static const struct ready_answer *find_if(const char *condition)
{
	struct ready_key key = key_of("a", "/x", 0);

	key.condition = str_of(condition);
	return ready_find(&table, &key, GENERATION, NOW);
}

START_TEST(what_the_client_has_is_a_part_of_the_key)
{
	static const char *const conditions[] = { "\"a\"", "\"b\"", "\"a\", \"b\"" };

	keep("/x", "whole");
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		struct ready_key key = key_of("a", "/x", 0);
		struct ready_terms terms = terms_of(conditions[i]);

		ck_assert_ptr_null(find_if(conditions[i]));
		key.condition = str_of(conditions[i]);
		ck_assert(ready_keep(&table, &key, &terms));
	}
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
		ck_assert(str_equal(find_if(conditions[i])->terms.head, str_of(conditions[i])));
	ck_assert(str_equal(find("/x")->terms.head, str_of("whole")));
}
END_TEST

/* One byte makes another key, whatever the length and wherever it is. */
START_TEST(keys_of_every_length_are_told_apart)
{
	char text[64] = "";
	unsigned count = 0;

	for (size_t len = 1; len < 40; len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		keep(text, "plain");
		for (size_t at = 0; at < len; at++) {
			text[at] = 'y';
			ck_assert_msg(find(text) == NULL, "%s is taken for another", text);
			keep(text, text);
			text[at] = 'x';
			count++;
		}
		ck_assert(str_equal(find(text)->terms.head, str_of("plain")));
	}
	ck_assert_uint_eq(table.count, count + 39);
}
END_TEST

START_TEST(its_maker_can_see_that_it_is_given_again)
{
	keep("/x", "head");
	ck_assert(!lasting.used);
	find("/x");
	ck_assert(lasting.used);
}
END_TEST

START_TEST(what_is_kept_is_a_copy)
{
	char target[] = "/x", head[] = "head";

	keep(target, head);
	target[1] = head[0] = '?';
	ck_assert(str_equal(find("/x")->terms.head, str_of("head")));
}
END_TEST

START_TEST(a_body_that_lasts_is_not_copied)
{
	struct ready_key key = key_of("a", "/x", 0);
	struct ready_terms terms = terms_of("head");

	terms.body_lasts = true;
	ready_keep(&table, &key, &terms);
	ck_assert_ptr_eq(find("/x")->terms.body.at, terms.body.at);
}
END_TEST

START_TEST(what_is_kept_again_takes_the_place)
{
	keep("/x", "old");
	keep("/x", "new");
	ck_assert(str_equal(find("/x")->terms.head, str_of("new")));
	ck_assert_uint_eq(table.count, 1);
	ck_assert_uint_eq(lasting.pins, 2);
}
END_TEST

/* ---- the end of an answer ------------------------ */

START_TEST(an_answer_goes_with_its_lasting)
{
	keep("/x", "head");
	keep("/y", "head");
	lasting_end(&lasting);
	ck_assert_uint_eq(table.count, 0);
	ck_assert_uint_eq(lasting.pins, 1);
	ck_assert_ptr_null(find("/x"));
}
END_TEST

START_TEST(what_is_over_is_not_kept)
{
	lasting_end(&lasting);
	ck_assert(!keep("/x", "head"));
	ck_assert_uint_eq(table.count, 0);
}
END_TEST

static void end_it(struct lasting *it)
{
	lasting_end(it);
}

static void leave_it(struct lasting *it)
{
	(void)it;
}

START_TEST(a_lasting_is_looked_at_each_time)
{
	lasting.look = leave_it;
	keep("/x", "head");
	ck_assert_ptr_nonnull(find("/x"));
	lasting.look = end_it;
	ck_assert_ptr_null(find("/x"));
	ck_assert_uint_eq(table.count, 0);
}
END_TEST

START_TEST(another_generation_has_other_answers)
{
	struct ready_key key = key_of("a", "/x", 0);

	keep("/x", "head");
	ck_assert_ptr_null(ready_find(&table, &key, GENERATION + 1, NOW));
	ck_assert_uint_eq(table.count, 0);
}
END_TEST

START_TEST(an_answer_ends_with_its_time)
{
	struct ready_key key = key_of("a", "/x", 0);
	struct ready_terms terms = terms_of("head");

	terms.until_ns = NOW + 1;
	ready_keep(&table, &key, &terms);
	ck_assert_ptr_nonnull(ready_find(&table, &key, GENERATION, NOW));
	ck_assert_ptr_null(ready_find(&table, &key, GENERATION, NOW + 1));
}
END_TEST

/* ---- bounds ------------------------ */

START_TEST(there_are_never_more_than_the_most)
{
	for (unsigned i = 0; i < READY_MOST + 100; i++)
		ck_assert(keep(numbered(i), "head"));
	ck_assert_uint_le(table.count, READY_MOST);
	ck_assert_ptr_nonnull(find(numbered(READY_MOST + 99)));
}
END_TEST

START_TEST(all_together_are_bounded)
{
	static char head[READY_ANSWER_BYTES / 2];

	memset(head, 'x', sizeof(head) - 1);
	for (unsigned i = 0; i < 2 * READY_BYTES / sizeof(head) + 10; i++) {
		ck_assert(keep(numbered(i), head));
		ck_assert_uint_le(table.bytes, READY_BYTES);
	}
	ck_assert_uint_gt(table.bytes, READY_BYTES / 2);
}
END_TEST

START_TEST(one_that_is_too_large_is_not_kept)
{
	static char head[READY_ANSWER_BYTES + 1];

	memset(head, 'x', sizeof(head) - 1);
	ck_assert(!keep("/x", head));
}
END_TEST

/* Who asks for a name after another once each does not push out what everybody wants. */
START_TEST(what_is_asked_for_again_stays)
{
	static char head[READY_ANSWER_BYTES / 2];

	memset(head, 'x', sizeof(head) - 1);
	keep("/wanted", "head");
	for (unsigned i = 0; i < 2 * READY_BYTES / sizeof(head); i++) {
		ck_assert_ptr_nonnull(find("/wanted"));
		keep(numbered(i), head);
	}
	ck_assert_ptr_null(find(numbered(0)));
}
END_TEST

START_TEST(a_bucket_is_never_long)
{
	unsigned longest = 0;

	for (unsigned i = 0; i < READY_MOST; i++)
		keep(numbered(i), "head");
	for (unsigned i = 0; i < READY_MOST; i++) {
		unsigned count = 0;

		for (const struct ready_answer *at = table.buckets[i]; at != NULL; at = at->next)
			count++;
		longest = count > longest ? count : longest;
	}
	ck_assert_uint_le(longest, READY_CHAIN);
	ck_assert_uint_gt(table.count, READY_MOST * 95 / 100);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("ready");
	TCase *finding = tcase_create("finding"), *ending = tcase_create("ending"),
	      *bounds = tcase_create("bounds");
	TCase *cases[] = { finding, ending, bounds };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tcase_add_checked_fixture(cases[i], set_up, tear_down);
		suite_add_tcase(all, cases[i]);
	}
	tcase_add_test(finding, an_empty_table_has_nothing);
	tcase_add_test(finding, what_was_kept_is_found_with_all_that_was_said_of_it);
	tcase_add_test(finding, every_part_of_the_key_counts);
	tcase_add_test(finding, what_the_client_has_is_a_part_of_the_key);
	tcase_add_test(finding, keys_of_every_length_are_told_apart);
	tcase_add_test(finding, its_maker_can_see_that_it_is_given_again);
	tcase_add_test(finding, what_is_kept_is_a_copy);
	tcase_add_test(finding, a_body_that_lasts_is_not_copied);
	tcase_add_test(finding, what_is_kept_again_takes_the_place);
	tcase_add_test(ending, an_answer_goes_with_its_lasting);
	tcase_add_test(ending, what_is_over_is_not_kept);
	tcase_add_test(ending, a_lasting_is_looked_at_each_time);
	tcase_add_test(ending, another_generation_has_other_answers);
	tcase_add_test(ending, an_answer_ends_with_its_time);
	tcase_add_test(bounds, there_are_never_more_than_the_most);
	tcase_add_test(bounds, all_together_are_bounded);
	tcase_add_test(bounds, one_that_is_too_large_is_not_kept);
	tcase_add_test(bounds, what_is_asked_for_again_stays);
	tcase_add_test(bounds, a_bucket_is_never_long);
	return all;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
