/* slow_test.c - rings of slow requests, and files of them as anybody may leave them. */
#include "base/fd.h"
#include "ipc/slow.h"

#include <check.h>
#include <string.h>
#include <sys/mman.h>

static struct slow_ring ring;
static struct slow_entry entries[SLOW_ENTRIES];

static void reset(void)
{
	memset(&ring, 0, sizeof(ring));
}

static void put(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		slow_put(&ring, &(struct slow_entry){ .number = 77, .at_ms = i, .request = "GET /" });
}

START_TEST(nothing_is_in_a_ring_that_nobody_wrote)
{
	ck_assert_uint_eq(slow_read(&ring, 3, entries), 0);
}
END_TEST

START_TEST(what_was_put_is_read_with_its_slot)
{
	put(1);
	ck_assert_uint_eq(slow_read(&ring, 3, entries), 1);
	ck_assert_uint_eq(entries[0].slot, 3);
	ck_assert_uint_eq(entries[0].number, 1);
	ck_assert_str_eq(entries[0].request, "GET /");
}
END_TEST

START_TEST(the_newest_are_kept)
{
	bool found[3 * SLOW_ENTRIES] = { 0 };

	put(2 * SLOW_ENTRIES + 5);
	ck_assert_uint_eq(slow_read(&ring, 0, entries), SLOW_ENTRIES);
	for (unsigned i = 0; i < SLOW_ENTRIES; i++)
		found[entries[i].at_ms] = true;
	for (unsigned i = 0; i < 2 * SLOW_ENTRIES + 5; i++)
		ck_assert(found[i] == (i >= SLOW_ENTRIES + 5));
}
END_TEST

START_TEST(one_that_is_being_written_is_left_out)
{
	put(3);
	ring.at[2].number = 0;
	ck_assert_uint_eq(slow_read(&ring, 0, entries), 2);
}
END_TEST

static int file(const struct slow_head *head, const struct slow_entry *entry)
{
	int fd = memfd_create("slow", MFD_CLOEXEC);

	ck_assert(fd_write_all(fd, head, sizeof(*head)));
	if (entry != NULL)
		ck_assert(fd_write_all(fd, entry, sizeof(*entry)));
	return fd;
}

static const struct slow_head good = { SLOW_VERSION, sizeof(struct slow_entry), 1, 0 };

START_TEST(every_text_of_a_file_ends)
{
	struct slow_entry entry;
	struct slow_head head;
	int fd AUTO_CLOSE = -1;

	memset(&entry, 'x', sizeof(entry));
	fd = file(&good, &entry);
	ck_assert(slow_head_of(fd, &head));
	ck_assert(slow_entry_at(fd, &head, 0, &entry));
	ck_assert_uint_eq(strlen(entry.client), SLOW_CLIENT_BYTES - 1);
	ck_assert_uint_eq(strlen(entry.host), SLOW_HOST_BYTES - 1);
	ck_assert_uint_eq(strlen(entry.request), SLOW_REQUEST_BYTES - 1);
	ck_assert(!slow_entry_at(fd, &head, 1, &entry));
}
END_TEST

START_TEST(a_file_ends_where_it_ends)
{
	int fd AUTO_CLOSE = file(&good, NULL);
	struct slow_entry entry;
	struct slow_head head;

	ck_assert(slow_head_of(fd, &head));
	ck_assert(!slow_entry_at(fd, &head, 0, &entry));
}
END_TEST

START_TEST(a_head_that_makes_no_sense_is_none)
{
	static const struct slow_head bad[] = {
		{ SLOW_VERSION + 1, sizeof(struct slow_entry), 1, 0 },
		{ SLOW_VERSION, sizeof(struct slow_entry) - 1, 1, 0 },
		{ SLOW_VERSION, sizeof(struct slow_entry), SLOW_SLOTS * SLOW_ENTRIES + 1, 0 },
	};
	struct slow_head head;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd AUTO_CLOSE = file(&bad[i], NULL);

		ck_assert(!slow_head_of(fd, &head));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slow");
	TCase *tests = tcase_create("slow");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, reset, NULL);
	tcase_add_test(tests, nothing_is_in_a_ring_that_nobody_wrote);
	tcase_add_test(tests, what_was_put_is_read_with_its_slot);
	tcase_add_test(tests, the_newest_are_kept);
	tcase_add_test(tests, one_that_is_being_written_is_left_out);
	tcase_add_test(tests, every_text_of_a_file_ends);
	tcase_add_test(tests, a_file_ends_where_it_ends);
	tcase_add_test(tests, a_head_that_makes_no_sense_is_none);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
