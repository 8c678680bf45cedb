/* files_find_test.c - what a change between two looks at the tree does. */
#include "service/files_find.h"

#include "base/fd.h"
#include "http/exchange.h"
#include "http/route.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char base[64], current[80];
static struct generation generation;
static struct route route;
static struct files_settings settings;
static struct exchange exchange;
static struct files_place place;
static struct file file;

static void run(const char *command)
{
	char line[256];

	snprintf(line, sizeof(line), "cd %s && %s", base, command);
	ck_assert_int_eq(system(line), 0);      /* NOLINT(cert-env33-c): a path of our own */
}

static void set_up(void)
{
	strcpy(base, access("/dev/shm", W_OK) == 0 ? "/dev/shm/drover-find-XXXXXX" : "/tmp/drover-find-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	run("mkdir old new && echo old >old/f && echo new >new/f && ln -s old current && echo all >new/all");
	snprintf(current, sizeof(current), "%s/current", base);
	settings = (struct files_settings){ .root = current, .symlinks = BENEATH_INSIDE };
	route.match = str_of("");
	exchange.generation = &generation;
	exchange.route = &route;
	exchange.path = str_of("/f");
	place.root = file.fd = -1;
	ck_assert_uint_eq(files_locate(&exchange, &settings, &place), 0);
}

static void tear_down(void)
{
	fd_close(&place.root);
	fd_close(&file.fd);
	arena_free(&exchange.arena);
	run("rm -r ../${PWD##*/}");
}

static void expect(const char *text)
{
	char content[8] = "";

	ck_assert_uint_eq(files_find(&exchange, &settings, &place, &file), 0);
	ck_assert_int_gt(read(file.fd, content, sizeof(content) - 1), 0);
	ck_assert_str_eq(content, text);
}

START_TEST(the_old_root_answers_while_it_is_there)
{
	run("ln -s new next && mv -T next current");
	expect("old\n");
}
END_TEST

START_TEST(the_old_root_was_removed_behind_the_swap)
{
	run("ln -s new next && mv -T next current && rm -r old");
	expect("new\n");
}
END_TEST

START_TEST(no_fallback_stands_in_for_what_is_in_the_new_root)
{
	static const char *paths[] = { "/all" };

	settings.try = (struct strings){ 1, paths };
	run("cp new/all old/all && ln -s new next && mv -T next current && rm old/f");
	expect("new\n");
}
END_TEST

START_TEST(what_is_not_there_is_not_there)
{
	run("rm old/f");
	ck_assert_uint_eq(files_find(&exchange, &settings, &place, &file), 404);
	run("rm current");
	ck_assert_uint_eq(files_find(&exchange, &settings, &place, &file), 404);
}
END_TEST

/* Who keeps what was found asks afterwards whether it is still the same root that was looked into. */
START_TEST(the_root_is_compared_when_all_was_found)
{
	expect("old\n");
	ck_assert(files_is_there(&settings, &place, &file));
	run("ln -s new next && mv -T next current");
	ck_assert(!files_is_there(&settings, &place, &file));
	run("rm current");
	ck_assert(!files_is_there(&settings, &place, &file));
}
END_TEST

START_TEST(an_alias_that_is_a_file_is_compared_itself)
{
	static char alias[96];

	fd_close(&place.root);
	snprintf(alias, sizeof(alias), "%s/f", current);
	settings = (struct files_settings){ .alias = alias };
	exchange.path = str_of("/");
	ck_assert_uint_eq(files_locate(&exchange, &settings, &place), 0);
	expect("old\n");
	ck_assert(files_is_there(&settings, &place, &file));
	run("ln -s new next && mv -T next current");
	ck_assert(!files_is_there(&settings, &place, &file));
}
END_TEST

static void set_time(const char *name, time_t seconds)
{
	const struct timespec times[2] = { { seconds, 0 }, { seconds, 0 } };
	char path[128];

	snprintf(path, sizeof(path), "%s/old/%s", base, name);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* A file system may well have all of time_t, as that in memory does. */
START_TEST(times_that_are_far_apart)
{
	static const char *suffixes[] = { "gz" };
	static const struct {
		time_t file, sibling;
		bool taken;
	} rows[] = {
		{ INT64_MIN, 1, true },         { INT64_MIN, INT64_MAX, true },
		{ INT64_MAX, INT64_MIN, false }, { INT64_MAX, INT64_MAX, true },
		{ 1002, 1000, true },           { 1003, 1000, false },
	};
	static struct header accepted = { .id = HEADER_ACCEPT_ENCODING, .value = { 0, 4 } };

	settings.precompressed = (struct strings){ 1, suffixes };
	exchange.head = "gzip";
	exchange.request.header_count = 1;
	exchange.request.seen = exchange.request.again = UINT32_MAX;
	exchange.request.headers = &accepted;
	run("echo packed >old/f.gz");
	set_time("f", rows[_i].file);
	set_time("f.gz", rows[_i].sibling);
	expect(rows[_i].taken ? "packed\n" : "old\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("files_find");
	TCase *tests = tcase_create("files_find");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, the_old_root_answers_while_it_is_there);
	tcase_add_test(tests, the_old_root_was_removed_behind_the_swap);
	tcase_add_test(tests, no_fallback_stands_in_for_what_is_in_the_new_root);
	tcase_add_test(tests, what_is_not_there_is_not_there);
	tcase_add_test(tests, the_root_is_compared_when_all_was_found);
	tcase_add_test(tests, an_alias_that_is_a_file_is_compared_itself);
	tcase_add_loop_test(tests, times_that_are_far_apart, 0, 6);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
