/* listed_test.c - a walk through a slab, and files of listed connections as a worker may leave them. */
#include "base/fd.h"
#include "base/slab.h"
#include "ipc/listed.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS = 1000 };

struct object {
	uint64_t first, number, rest[6];
};

START_TEST(a_walk_finds_each_object_once_and_free_ones_as_they_were_left)
{
	struct object *made[OBJECTS], *object;
	bool found[OBJECTS + 1] = { 0 };
	struct slab_walk walk;
	struct slab slab;
	unsigned count = 0;

	slab_init(&slab, sizeof(struct object));
	for (unsigned i = 0; i < OBJECTS; i++) {
		made[i] = slab_alloc(&slab);
		*made[i] = (struct object){ .number = i + 1 };
	}
	for (unsigned i = 0; i < OBJECTS; i += 2) {
		made[i]->number = 0;
		slab_release(&slab, made[i]);
	}
	walk = slab_begin(&slab);
	while (walk.chunk != NULL) {
		object = slab_next(&slab, &walk);
		ck_assert_uint_le(object->number, OBJECTS);
		ck_assert(object->number == 0 || !found[object->number]);
		found[object->number] = true;
		count += object->number != 0;
	}
	ck_assert_uint_eq(count, OBJECTS / 2);
	ck_assert_ptr_null(slab_next(&slab, &walk));
	slab_free(&slab);
}
END_TEST

START_TEST(there_is_nothing_in_an_empty_slab)
{
	struct slab_walk walk;
	struct slab slab;

	slab_init(&slab, sizeof(struct object));
	walk = slab_begin(&slab);
	ck_assert_ptr_null(slab_next(&slab, &walk));
}
END_TEST

static void put(int fd, const struct listed_head *head, const struct listed *record)
{
	ck_assert(pwrite(fd, head, sizeof(*head), 0) == (ssize_t)sizeof(*head));
	if (record != NULL)
		ck_assert(pwrite(fd, record, sizeof(*record), (off_t)listed_bytes(0)) ==
			  (ssize_t)sizeof(*record));
}

static const struct listed_head good = { LISTED_VERSION, sizeof(struct listed), 1, 7, 9 };

START_TEST(what_was_written_is_read)
{
	int fd AUTO_CLOSE = listed_open(2);
	struct listed record = { .since_ns = 5, .served = 3, .client = "c", .request = "r" }, read;
	struct listed_head head;

	put(fd, &good, &record);
	ck_assert(listed_read_head(fd, 1, &head));
	ck_assert_uint_eq(head.matched, 7);
	ck_assert(listed_read(fd, 0, &read));
	ck_assert_mem_eq(&read, &record, sizeof(read));
}
END_TEST

START_TEST(every_text_ends)
{
	int fd AUTO_CLOSE = listed_open(1);
	struct listed record, read;

	memset(&record, 'x', sizeof(record));
	put(fd, &good, &record);
	ck_assert(listed_read(fd, 0, &read));
	ck_assert_uint_eq(strlen(read.client), LISTED_CLIENT_BYTES - 1);
	ck_assert_uint_eq(strlen(read.peer), LISTED_CLIENT_BYTES - 1);
	ck_assert_uint_eq(strlen(read.host), LISTED_HOST_BYTES - 1);
	ck_assert_uint_eq(strlen(read.request), LISTED_REQUEST_BYTES - 1);
}
END_TEST

START_TEST(a_head_that_makes_no_sense_is_none)
{
	int fd AUTO_CLOSE = listed_open(1);
	struct listed_head head, bad = good;

	ck_assert(!listed_read_head(fd, 1, &head));     /* nobody has written */
	bad.version++;
	put(fd, &bad, NULL);
	ck_assert(!listed_read_head(fd, 1, &head));
	bad = good;
	bad.record_bytes--;
	put(fd, &bad, NULL);
	ck_assert(!listed_read_head(fd, 1, &head));
	bad = good;
	bad.count = 2;
	put(fd, &bad, NULL);
	ck_assert(!listed_read_head(fd, 1, &head));
}
END_TEST

START_TEST(nobody_changes_a_files_length)
{
	int fd AUTO_CLOSE = listed_open(1);

	ck_assert_int_lt(ftruncate(fd, 0), 0);
	ck_assert_int_lt(ftruncate(fd, 1 << 20), 0);
	ck_assert_int_lt(pwrite(fd, "x", 1, (off_t)listed_bytes(1)), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("listed");
	TCase *tests = tcase_create("listed");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tests, a_walk_finds_each_object_once_and_free_ones_as_they_were_left);
	tcase_add_test(tests, there_is_nothing_in_an_empty_slab);
	tcase_add_test(tests, what_was_written_is_read);
	tcase_add_test(tests, every_text_ends);
	tcase_add_test(tests, a_head_that_makes_no_sense_is_none);
	tcase_add_test(tests, nobody_changes_a_files_length);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
