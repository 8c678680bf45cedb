/* present_test.c - what of a file is in memory: on a disk that tells, in memory, and where nobody can say. */
#include "base/present.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BYTES = 4 * PRESENT_WINDOW_BYTES };

static const uint64_t now_ns = 1000 * CLOCK_S;
static int fd;
static struct stat stat_of;

/* A file of BYTES in the tree that is built, which is on a disk; `path` ends with XXXXXX. */
static void make(char *path)
{
	static char bytes[BYTES];

	fd = mkostemp(path, O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	unlink(path);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i / 1024);
	ck_assert_int_eq(write(fd, bytes, sizeof(bytes)), BYTES);
	ck_assert_int_eq(fsync(fd), 0);
	ck_assert_int_eq(fstat(fd, &stat_of), 0);
}

static void set_up(void)
{
	char path[] = "present_test.XXXXXX";

	make(path);
}

static void tear_down(void)
{
	close(fd);
}

/* From now on the kernel reads nothing that it was not asked for. */
static void evict(void)
{
	ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
}

static size_t ahead(off_t at, uint64_t later_ns)
{
	return present_ahead(fd, &stat_of, at, (size_t)(BYTES - at), now_ns + later_ns);
}

START_TEST(what_was_just_written_is_there)
{
	ck_assert_uint_eq(ahead(0, 0), BYTES);
	ck_assert_int_eq(present_place(stat_of.st_dev, now_ns), PLACE_TOLD);
}
END_TEST

START_TEST(what_was_dropped_is_not_there_until_it_is_fetched)
{
	evict();
	ck_assert_uint_eq(ahead(0, 0), 0);
	ck_assert_int_eq(present_fetch(fd, 0, PRESENT_WINDOW_BYTES), PRESENT_WINDOW_BYTES);
	ck_assert_uint_eq(ahead(0, 0), PRESENT_WINDOW_BYTES);
}
END_TEST

START_TEST(there_is_as_much_as_comes_before_what_is_missing)
{
	evict();
	present_fetch(fd, 0, 2 * PRESENT_WINDOW_BYTES);
	present_fetch(fd, 3 * PRESENT_WINDOW_BYTES, PRESENT_WINDOW_BYTES);
	ck_assert_uint_eq(ahead(0, 0), 2 * PRESENT_WINDOW_BYTES);
	ck_assert_uint_eq(ahead(1000, 0), 2 * PRESENT_WINDOW_BYTES - 1000);
	ck_assert_uint_eq(ahead(2 * PRESENT_WINDOW_BYTES, 0), 0);
	ck_assert_uint_eq(ahead(3 * PRESENT_WINDOW_BYTES, 0), PRESENT_WINDOW_BYTES);
}
END_TEST

START_TEST(a_window_that_ends_in_what_is_missing_is_missing)
{
	evict();
	present_fetch(fd, 0, PRESENT_WINDOW_BYTES - 4096);
	ck_assert_uint_eq(ahead(0, 0), 0);
}
END_TEST

START_TEST(what_was_seen_is_trusted_for_some_time_and_no_longer)
{
	ck_assert_uint_eq(ahead(0, 0), BYTES);
	evict();
	ck_assert_uint_eq(ahead(0, PRESENT_TRUST_NS - 1), BYTES);
	ck_assert_uint_eq(ahead(0, PRESENT_TRUST_NS), 0);
}
END_TEST

START_TEST(another_file_is_not_trusted_for_it)
{
	ck_assert_uint_eq(ahead(0, 0), BYTES);
	evict();
	stat_of.st_ino++;
	ck_assert_uint_eq(ahead(0, 0), 0);
}
END_TEST

START_TEST(a_file_that_has_become_shorter_is_no_reason_to_wait)
{
	ck_assert_int_eq(ftruncate(fd, 10), 0);
	ck_assert_uint_eq(ahead(0, 0), BYTES);  /* who sends it will see */
}
END_TEST

START_TEST(what_is_there_is_read_and_what_is_not_says_so)
{
	char bytes[4096];

	ck_assert_int_eq(present_read(fd, &stat_of, bytes, sizeof(bytes), 8192, now_ns), 4096);
	ck_assert_int_eq(bytes[0], 8);
	ck_assert_int_eq(bytes[4095], 11);
	ck_assert_int_eq(present_read(fd, &stat_of, bytes, sizeof(bytes), BYTES, now_ns), 0);
	evict();
	errno = 0;
	ck_assert_int_eq(present_read(fd, &stat_of, bytes, sizeof(bytes), 8192, now_ns), -1);
	ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(a_file_in_memory_is_always_there)
{
	char path[] = "/dev/shm/present_test.XXXXXX", byte;

	close(fd);
	make(path);
	present_note(stat_of.st_dev, present_look(fd), now_ns);
	ck_assert_int_eq(present_place(stat_of.st_dev, now_ns), PLACE_MEMORY);
	ck_assert_uint_eq(ahead(0, 0), BYTES);
	ck_assert_int_eq(present_read(fd, &stat_of, &byte, 1, 0, now_ns), 1);
}
END_TEST

START_TEST(before_anybody_looked_nothing_is_known_of_it)
{
	char path[] = "/dev/shm/present_test.XXXXXX";

	close(fd);
	make(path);
	ck_assert_uint_eq(ahead(0, 0), 0);
	ck_assert_int_eq(present_place(stat_of.st_dev, now_ns), PLACE_UNKNOWN);
}
END_TEST

START_TEST(where_the_kernel_does_not_tell_only_what_was_fetched_is_there)
{
	char bytes[2 * PRESENT_WINDOW_BYTES];

	present_note(stat_of.st_dev, PLACE_BLIND, now_ns);
	ck_assert_uint_eq(ahead(0, 0), 0);
	ck_assert_int_eq(present_read(fd, &stat_of, bytes, 1, 0, now_ns), -1);
	present_fetched(&stat_of, 0, PRESENT_WINDOW_BYTES, now_ns);
	ck_assert_uint_eq(ahead(0, 0), PRESENT_WINDOW_BYTES);
	ck_assert_int_eq(present_read(fd, &stat_of, bytes, sizeof(bytes), 1024, now_ns),
			 PRESENT_WINDOW_BYTES - 1024);
	ck_assert_uint_eq(ahead(0, PRESENT_TRUST_NS), 0);
}
END_TEST

START_TEST(half_a_window_that_was_fetched_says_nothing_of_the_whole)
{
	present_note(stat_of.st_dev, PLACE_BLIND, now_ns);
	present_fetched(&stat_of, 4096, PRESENT_WINDOW_BYTES - 4096, now_ns);
	ck_assert_uint_eq(ahead(0, 0), 0);
}
END_TEST

START_TEST(nothing_of_a_far_file_is_read)
{
	char byte;

	present_fetched(&stat_of, 0, PRESENT_WINDOW_BYTES, now_ns);
	present_note(stat_of.st_dev, PLACE_FAR, now_ns);
	ck_assert_int_eq(present_read(fd, &stat_of, &byte, 1, 0, now_ns), -1);
	ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(what_the_kernel_has_told_stands_and_what_is_far_is_far)
{
	ck_assert_uint_eq(ahead(0, 0), BYTES);
	present_note(stat_of.st_dev, PLACE_BLIND, now_ns);
	ck_assert_int_eq(present_place(stat_of.st_dev, now_ns), PLACE_TOLD);
	present_note(stat_of.st_dev, PLACE_FAR, now_ns);
	ck_assert_int_eq(present_place(stat_of.st_dev, now_ns), PLACE_FAR);
}
END_TEST

START_TEST(a_device_is_known_for_a_minute)
{
	present_note(1, PLACE_FAR, now_ns);
	ck_assert_int_eq(present_place(1, now_ns + 60 * CLOCK_S - 1), PLACE_FAR);
	ck_assert_int_eq(present_place(1, now_ns + 60 * CLOCK_S), PLACE_UNKNOWN);
}
END_TEST

START_TEST(of_more_devices_than_there_is_room_for_the_oldest_is_forgotten)
{
	for (dev_t device = 1; device <= 17; device++)
		present_note(device, PLACE_MEMORY, now_ns + device);
	ck_assert_int_eq(present_place(1, now_ns + 20), PLACE_UNKNOWN);
	for (dev_t device = 2; device <= 17; device++)
		ck_assert_int_eq(present_place(device, now_ns + 20), PLACE_MEMORY);
}
END_TEST

START_TEST(looking_knows_a_disk_from_memory_and_what_is_neither)
{
	int pipes[2];

	ck_assert_int_eq(present_look(fd), PLACE_TOLD);
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	ck_assert_int_eq(present_look(pipes[0]), PLACE_FAR);    /* nobody has heard of it */
	close(pipes[0]);
	close(pipes[1]);
	ck_assert_int_eq(present_look(-1), PLACE_UNKNOWN);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("present");
	TCase *disk = tcase_create("disk");

	tcase_add_checked_fixture(disk, set_up, tear_down);
	tcase_add_test(disk, what_was_just_written_is_there);
	tcase_add_test(disk, what_was_dropped_is_not_there_until_it_is_fetched);
	tcase_add_test(disk, there_is_as_much_as_comes_before_what_is_missing);
	tcase_add_test(disk, a_window_that_ends_in_what_is_missing_is_missing);
	tcase_add_test(disk, what_was_seen_is_trusted_for_some_time_and_no_longer);
	tcase_add_test(disk, another_file_is_not_trusted_for_it);
	tcase_add_test(disk, a_file_that_has_become_shorter_is_no_reason_to_wait);
	tcase_add_test(disk, what_is_there_is_read_and_what_is_not_says_so);
	tcase_add_test(disk, a_file_in_memory_is_always_there);
	tcase_add_test(disk, before_anybody_looked_nothing_is_known_of_it);
	tcase_add_test(disk, where_the_kernel_does_not_tell_only_what_was_fetched_is_there);
	tcase_add_test(disk, half_a_window_that_was_fetched_says_nothing_of_the_whole);
	tcase_add_test(disk, nothing_of_a_far_file_is_read);
	tcase_add_test(disk, what_the_kernel_has_told_stands_and_what_is_far_is_far);
	tcase_add_test(disk, a_device_is_known_for_a_minute);
	tcase_add_test(disk, of_more_devices_than_there_is_room_for_the_oldest_is_forgotten);
	tcase_add_test(disk, looking_knows_a_disk_from_memory_and_what_is_neither);
	suite_add_tcase(all, disk);
	return all;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
