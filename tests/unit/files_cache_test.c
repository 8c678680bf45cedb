/* files_cache_test.c - what is kept, for how long, and what goes when there is no room. */
#include "service/files_cache.h"
#include "service/files_outcome.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/present.h"
#include "http/exchange.h"
#include "http/route.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OLD_S = 1000000000 };

static char root[64];
static struct loop loop;
static struct engine engine;
static uint64_t counters[COUNTERS];
static struct config config;
static struct generation generation, other_generation;
static struct route route;
static struct files_settings settings;
static struct exchange exchange;
static struct header accepted = { .id = HEADER_ACCEPT_ENCODING };

static const char *path_to(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

/* An old file of so many letters. */
static void put(const char *name, char letter, size_t len)
{
	const struct timespec times[2] = { { OLD_S, 0 }, { OLD_S, 0 } };
	char *text = malloc(len + 1);
	int fd = open(path_to(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	memset(text, letter, len);
	ck_assert(fd_write_all(fd, text, len));
	fd_close(&fd);
	free(text);
	ck_assert_int_eq(utimensat(AT_FDCWD, path_to(name), times, 0), 0);
}

static void set_up(void)
{
	struct stat stats;
	struct err err;

	strcpy(root,
	       access("/dev/shm", W_OK) == 0 ? "/dev/shm/drover-kept-XXXXXX" : "/tmp/drover-kept-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert(loop_open(&loop, &err));
	memset(counters, 0, sizeof(counters));
	config = (struct config){ .cache_bytes = 1024 * 1024, .cache_largest_bytes = 1000, .cache_files = 2 };
	generation = (struct generation){ .number = 1, .config = &config };
	other_generation = (struct generation){ .number = 2, .config = &config };
	engine = (struct engine){ .loop = &loop, .generation = &generation, .counters = counters };
	list_init(&engine.parts);
	loop.now_ns = CLOCK_S;
	ck_assert_int_eq(stat(root, &stats), 0);
	present_note(stats.st_dev, PLACE_MEMORY, loop.now_ns);
	engine.watcher = watcher_open(&loop, NULL, &err);
	ck_assert_ptr_nonnull(engine.watcher);
	settings = (struct files_settings){ .root = root, .symlinks = BENEATH_INSIDE };
	route.match = str_of("");
	exchange.engine = &engine;
	exchange.generation = &generation;
	exchange.route = &route;
	exchange.head = "gzip";
}

static void close_parts(void)
{
	while (!list_empty(&engine.parts)) {
		struct engine_part *part = LIST_ENTRY(engine.parts.prev, struct engine_part, link);

		list_remove(&part->link);
		part->close(part);
	}
}

static void tear_down(void)
{
	char line[128];

	close_parts();
	ck_assert_ptr_null(engine.files_cache);
	watcher_close(engine.watcher);
	loop_close(&loop);
	arena_free(&exchange.arena);
	snprintf(line, sizeof(line), "rm -r %s", root);
	ck_assert_int_eq(system(line), 0);      /* NOLINT(cert-env33-c): a path of our own */
}

/* What is found for `target`; to be given back. */
static struct files_outcome *find(const char *target)
{
	exchange.path = str_of(target);
	return files_cache_find(&exchange, &settings);
}

static void let_go(struct files_outcome *outcome)
{
	lasting_unpin(files_outcome_lasting(outcome));
}

static bool is_hit(const char *target)
{
	uint64_t before = counters[COUNT_FILE_CACHE_HITS];
	struct files_outcome *outcome = find(target);

	if (outcome != NULL)
		let_go(outcome);
	return counters[COUNT_FILE_CACHE_HITS] > before;
}

/* Asks for it, and uses what is there: the first letter; '-': it is empty, '?': there is none. */
static char ask(const char *target)
{
	struct files_outcome *outcome = find(target);
	struct file file = { .fd = -1 };
	char letter = '?';

	if (outcome == NULL)
		return letter;
	if (files_outcome_status(outcome) == 0 &&
	    files_outcome_file(outcome, &exchange, &settings, &file) == 0) {
		letter = '-';
		if (file.bytes != NULL)
			letter = file.bytes[0];
		else if (file.fd >= 0)
			ck_assert_int_eq(pread(file.fd, &letter, 1, 0), 1);
	}
	let_go(outcome);
	return letter;
}

/* ---- what is kept  */

START_TEST(a_file_is_looked_for_once)
{
	put("f", 'a', 10);
	ck_assert_int_eq(ask("/f"), 'a');
	ck_assert_int_eq(ask("/f"), 'a');
	ck_assert_uint_eq(counters[COUNT_FILE_CACHE_HITS], 1);
	ck_assert_uint_eq(counters[COUNT_FILE_CACHE_MISSES], 1);
}
END_TEST

START_TEST(that_nothing_is_there_is_kept)
{
	struct files_outcome *outcome = find("/f");

	ck_assert_uint_eq(files_outcome_status(outcome), 404);
	ck_assert(files_outcome_is_kept(outcome));
	let_go(outcome);
	ck_assert(is_hit("/f"));
	put("f", 'a', 10);
	ck_assert_int_eq(ask("/f"), 'a');
}
END_TEST

START_TEST(an_empty_file_has_no_bytes)
{
	put("f", 'a', 0);
	ck_assert_int_eq(ask("/f"), '-');
	ck_assert_int_eq(ask("/f"), '-');
}
END_TEST

START_TEST(a_name_with_and_without_its_slash_are_two)
{
	ck_assert_int_eq(mkdir(path_to("d"), 0755), 0);
	let_go(find("/d"));
	ck_assert_int_eq(ask("/d/"), '?');
	ck_assert_uint_eq(counters[COUNT_FILE_CACHE_HITS], 0);
	ck_assert(is_hit("/d"));
}
END_TEST

/* Its listing is made anew each time, and nobody tries to keep it for a while. */
START_TEST(a_directory_that_is_listed_is_not_kept)
{
	settings.listing = true;
	ck_assert_ptr_null(find("/"));
	ck_assert_ptr_null(find("/"));
	ck_assert_uint_eq(counters[COUNT_FILE_CACHE_MISSES], 2);
}
END_TEST

START_TEST(without_memory_there_is_no_cache)
{
	config.cache_bytes = 0;
	put("f", 'a', 10);
	ck_assert_ptr_null(find("/f"));
	ck_assert_ptr_null(engine.files_cache);
}
END_TEST

/* ---- by what it is kept  */

START_TEST(it_outlives_its_generation)
{
	struct files_settings copy = settings;
	char *again = strdup(root);

	put("f", 'a', 10);
	ck_assert_int_eq(ask("/f"), 'a');
	copy.root = again;
	engine.generation = exchange.generation = &other_generation;
	exchange.path = str_of("/f");
	let_go(files_cache_find(&exchange, &copy));
	ck_assert_uint_eq(counters[COUNT_FILE_CACHE_HITS], 1);
	free(again);
}
END_TEST

static const char *first[] = { "a", "bc" }, *second[] = { "ab", "c" };

static void other_symlinks(void)
{
	settings.symlinks = BENEATH_ALL;
}

static void other_index(void)
{
	settings.index = (struct strings){ 2, first };
}

static void other_try(void)
{
	settings.try = (struct strings){ 2, second };
}

static void other_precompressed(void)
{
	static const char *suffixes[] = { "gz" };

	settings.precompressed = (struct strings){ 1, suffixes };
}

static void other_listing(void)
{
	settings.listing = true;
}

static void an_alias(void)
{
	settings.alias = settings.root;
	settings.root = NULL;
}

static void other_types(void)
{
	static const char *extensions[] = { "x" };
	static struct mime_config mime = { { 1, extensions }, "image/x" };
	static void *rows[] = { &mime };

	config.mime_types = (struct items){ 1, rows };
}

static void (*const differences[])(void) = {
	other_symlinks, other_index, other_try, other_precompressed, other_listing, an_alias, other_types,
};

START_TEST(other_settings_find_for_themselves)
{
	put("f", 'a', 10);
	ck_assert_int_eq(ask("/f"), 'a');
	differences[_i]();
	exchange.generation = engine.generation = &other_generation;
	ck_assert(!is_hit("/f"));
	ck_assert(is_hit("/f"));
}
END_TEST

/* [ "a", "bc" ] is not [ "ab", "c" ]. */
START_TEST(lists_are_compared_name_by_name)
{
	settings.index = (struct strings){ 2, first };
	let_go(find("/f"));
	settings.index = (struct strings){ 2, second };
	exchange.generation = engine.generation = &other_generation;
	ck_assert(!is_hit("/f"));
}
END_TEST

/* ---- codings  */

static void take_gzip(bool takes)
{
	accepted.value = (struct span){ 0, 4 };
	exchange.request.headers = &accepted;
	exchange.request.header_count = takes ? 1 : 0;
	exchange.request.seen = takes ? 1U << HEADER_ACCEPT_ENCODING : 0;
}

START_TEST(one_outcome_serves_every_coding)
{
	other_precompressed();
	put("f", 'a', 10);
	put("f.gz", 'z', 10);
	take_gzip(true);
	ck_assert_int_eq(ask("/f"), 'z');
	take_gzip(false);
	ck_assert_int_eq(ask("/f"), 'a');
	take_gzip(true);
	ck_assert_int_eq(ask("/f"), 'z');
	ck_assert_uint_eq(counters[COUNT_FILE_CACHE_HITS], 2);
	ck_assert_int_eq(unlink(path_to("f.gz")), 0);
	ck_assert_int_eq(ask("/f"), 'a');
	take_gzip(false);
}
END_TEST

/* ---- freshness  */

START_TEST(what_is_told_of_ends_it)
{
	struct files_outcome *outcome;

	put("f", 'a', 10);
	ck_assert_int_eq(ask("/f"), 'a');
	outcome = find("/f");
	put("f", 'b', 10);
	watch_tell();
	ck_assert(files_outcome_lasting(outcome)->over);
	ck_assert(!files_outcome_is_kept(outcome));
	let_go(outcome);
	ck_assert_int_eq(ask("/f"), 'b');
}
END_TEST

static void without_watcher(void)
{
	watcher_close(engine.watcher);
	engine.watcher = NULL;
}

START_TEST(it_vouches_for_what_it_found_while_that_is_there)
{
	struct files_outcome *outcome;

	put("f", 'a', 10);
	outcome = find("/f");
	ck_assert(files_outcome_vouches(files_outcome_lasting(outcome)));
	put("f", 'b', 10);
	ck_assert(!files_outcome_vouches(files_outcome_lasting(outcome)));
	let_go(outcome);
	ck_assert(!files_outcome_vouches(NULL));
}
END_TEST

START_TEST(it_cannot_vouch_where_nobody_tells)
{
	struct files_outcome *outcome;

	without_watcher();
	outcome = find("/f");
	ck_assert(!files_outcome_vouches(files_outcome_lasting(outcome)));
	let_go(outcome);
}
END_TEST

/* Whoever sends from it does so to the end. */
START_TEST(what_is_over_stays_while_it_is_used)
{
	struct files_outcome *outcome;
	struct file file;

	put("f", 'a', 10);
	outcome = find("/f");
	ck_assert_uint_eq(files_outcome_file(outcome, &exchange, &settings, &file), 0);
	put("f", 'b', 10);
	ck_assert_int_eq(ask("/f"), 'b');
	ck_assert_int_eq(file.bytes[9], 'a');
	close_parts();
	ck_assert_int_eq(file.bytes[9], 'a');
	let_go(outcome);
}
END_TEST

/* Young files are not kept there: their change time cannot be set, so it is waited for. */
static void ask_until_kept(const char *target)
{
	while (!is_hit(target) || ask(target) == '?') {
		loop.now_ns += CLOCK_S;
		ck_assert_int_eq(poll(NULL, 0, 50), 0);
	}
}

START_TEST(where_nobody_tells_each_use_looks)
{
	without_watcher();
	put("f", 'a', 10);
	ask_until_kept("/f");
	ck_assert_int_eq(ask("/f"), 'a');
	put("f", 'b', 10);
	ck_assert(!is_hit("/f"));
}
END_TEST

START_TEST(there_a_young_file_is_not_kept)
{
	without_watcher();
	put("f", 'a', 10);
	ck_assert_ptr_null(find("/f"));
	ck_assert(!is_hit("/f"));
}
END_TEST

START_TEST(there_it_is_trusted_as_long_as_is_set)
{
	without_watcher();
	config.cache_trust_ns = CLOCK_S;
	let_go(find("/f"));
	put("f", 'a', 10);
	ck_assert(is_hit("/f"));
	loop.now_ns += CLOCK_S;
	ck_assert(!is_hit("/f"));
}
END_TEST

/* It takes a helper thread to find that out, so something may have been kept by then. */
START_TEST(of_what_is_far_away_nothing_is_kept)
{
	struct stat stats;

	without_watcher();
	ck_assert_int_eq(stat(root, &stats), 0);
	put("f", 'a', 10);
	ask_until_kept("/f");
	present_note(stats.st_dev, PLACE_FAR, loop.now_ns);
	ck_assert_ptr_null(find("/f"));
	ck_assert_ptr_null(find("/f"));
}
END_TEST

/* Nothing tells of it: as of what is mounted there. */
START_TEST(what_is_told_of_is_looked_at_from_time_to_time)
{
	struct files_outcome *outcome;

	put("f", 'a', 10);
	ck_assert_int_eq(ask("/f"), 'a');
	outcome = find("/f");
	files_outcome_unwatch(outcome);
	let_go(outcome);
	put("f", 'b', 10);
	ck_assert_int_eq(ask("/f"), 'a');
	loop.now_ns += 5 * CLOCK_S;
	ck_assert_int_eq(ask("/f"), 'b');
}
END_TEST

/* ---- bounds  */

static void ask_for_many(unsigned from, unsigned to)
{
	char target[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(target, sizeof(target), "/%u", i);
		ask(target);
	}
}

static void put_many(unsigned count, size_t len)
{
	char name[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%u", i);
		put(name, 'a', len);
	}
}

START_TEST(files_fill_no_more_than_the_memory)
{
	config.cache_bytes = 50 * 1024;
	put_many(100, 1000);
	ask_for_many(0, 100);
	ck_assert_uint_le(engine.files_cache->bytes, config.cache_bytes);
	ck_assert_uint_gt(engine.files_cache->bytes, config.cache_bytes / 2);
	ck_assert_uint_gt(counters[COUNT_FILE_CACHE_EVICTED], 60);
	ck_assert(is_hit("/99"));
	ck_assert(!is_hit("/0"));
}
END_TEST

START_TEST(what_is_used_stays)
{
	config.cache_bytes = 50 * 1024;
	put_many(100, 1000);
	ask("/0");
	for (unsigned i = 1; i < 100; i++) {
		ck_assert(is_hit("/0"));
		ask_for_many(i, i + 1);
	}
	ck_assert(!is_hit("/1"));
}
END_TEST

/* Nobody asks the cache for what others keep ready. */
START_TEST(what_is_given_again_by_others_stays)
{
	config.cache_bytes = 50 * 1024;
	put_many(100, 1000);
	ask("/0");
	for (unsigned i = 1; i < 100; i++) {
		struct files_outcome *outcome = find("/0");

		outcome->used = false;
		files_outcome_lasting(outcome)->used = true;
		let_go(outcome);
		ask_for_many(i, i + 1);
	}
	ck_assert(is_hit("/0"));
	ck_assert(!is_hit("/1"));
}
END_TEST

/* Another coding of what is the next to go. */
START_TEST(what_is_read_later_finds_room)
{
	char target[8];

	other_precompressed();
	config.cache_bytes = 20 * 1024;
	put("f", 'a', 1000);
	put("f.gz", 'z', 1000);
	put_many(6, 1000);
	ck_assert_int_eq(ask("/f"), 'a');
	ask_for_many(0, 6);
	for (unsigned i = 0; i < 6; i++) {
		snprintf(target, sizeof(target), "/%u", i);
		ck_assert(is_hit(target));
	}
	config.cache_bytes = engine.files_cache->bytes;
	engine.generation = &other_generation;
	take_gzip(true);
	ck_assert_int_eq(ask("/f"), 'z');
	take_gzip(false);
	ck_assert(is_hit("/f"));
	ck_assert_uint_eq(counters[COUNT_FILE_CACHE_EVICTED], 1);
}
END_TEST

START_TEST(who_guesses_at_names_pushes_out_no_files)
{
	config.cache_bytes = 128 * 1024;
	put("f", 'a', 1000);
	ask("/f");
	ask_for_many(0, 1000);
	ck_assert_uint_le(engine.files_cache->nothing_bytes, config.cache_bytes / 16);
	ck_assert(is_hit("/f"));
	ck_assert(is_hit("/999"));
	ck_assert(!is_hit("/1"));
}
END_TEST

START_TEST(of_larger_files_few_descriptors_stay)
{
	struct files_outcome *outcome;
	struct file file;
	struct stat now;

	put_many(4, 5000);
	outcome = find("/0");
	ck_assert_uint_eq(files_outcome_file(outcome, &exchange, &settings, &file), 0);
	ck_assert_ptr_null(file.bytes);
	ask_for_many(1, 4);
	ck_assert_uint_eq(engine.files_cache->open_count, 2);
	ck_assert_int_eq(fstat(file.fd, &now), 0);      /* somebody may send from it */
	ck_assert_uint_eq(now.st_ino, file.stat.st_ino);
	let_go(outcome);
	ask_for_many(1, 4);
	ck_assert_uint_eq(engine.files_cache->open_count, 2);
	ck_assert_int_eq(ask("/0"), 'a');
	ck_assert_uint_eq(counters[COUNT_FILE_CACHE_MISSES], 4);
}
END_TEST

START_TEST(without_descriptors_larger_files_are_not_kept_open)
{
	struct files_outcome *outcome;
	struct file file;

	config.cache_files = 0;
	put("f", 'a', 5000);
	outcome = find("/f");
	ck_assert_uint_eq(files_outcome_file(outcome, &exchange, &settings, &file), 500);
	let_go(outcome);
}
END_TEST

START_TEST(a_reload_changes_the_bounds)
{
	put_many(10, 1000);
	ask_for_many(0, 10);
	config.cache_bytes = 8 * 1024;
	engine.generation = &other_generation;
	ck_assert(is_hit("/9"));
	ck_assert_uint_le(engine.files_cache->bytes, config.cache_bytes);
	config.cache_bytes = 0;
	engine.generation = &generation;
	ck_assert_ptr_null(find("/9"));
	ck_assert_uint_eq(engine.files_cache->alive, 0);
}
END_TEST

START_TEST(one_that_is_too_large_for_the_memory_is_answered_all_the_same)
{
	config.cache_bytes = 2048;
	config.cache_largest_bytes = 100000;
	put("f", 'a', 50000);
	ck_assert_int_eq(ask("/f"), 'a');
	ck_assert_uint_le(engine.files_cache->bytes, config.cache_bytes);
}
END_TEST

/* Clients that take their time over as many files. */
START_TEST(what_is_being_sent_takes_no_more_than_the_memory)
{
	struct files_outcome *outcomes[100];
	unsigned statuses[100];
	struct file file;
	char target[8];

	config.cache_bytes = 50 * 1024;
	put_many(100, 1000);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(target, sizeof(target), "/%u", i);
		outcomes[i] = find(target);
		statuses[i] = files_outcome_file(outcomes[i], &exchange, &settings, &file);
		if (statuses[i] == 0)           /* else it counts without its bytes */
			ck_assert_uint_le(engine.files_cache->bytes, config.cache_bytes);
	}
	ck_assert_uint_eq(statuses[0], 0);
	ck_assert_uint_eq(statuses[99], 500);
	for (unsigned i = 0; i < 100; i++)
		let_go(outcomes[i]);
	ck_assert_uint_eq(engine.files_cache->bytes, 0);
	ask("/0");
	ck_assert(is_hit("/0"));
}
END_TEST

START_TEST(no_file_takes_more_than_a_part_of_the_memory)
{
	config.cache_largest_bytes = 100000;
	config.cache_bytes = 40 * 1024;
	put("f", 'a', 11000);
	put("g", 'a', 9000);
	ask("/f");
	ask("/g");
	ck_assert_uint_eq(engine.files_cache->open_count, 1);
}
END_TEST

/* ---- holders  */

static bool was_let_go;

static void on_end(struct lasting_holder *holder)
{
	was_let_go = true;
	list_remove(&holder->link);
}

START_TEST(who_gives_it_again_is_told_when_its_memory_is_wanted)
{
	struct lasting_holder holder = { .let_go = on_end };
	struct files_outcome *outcome;

	config.cache_bytes = 20 * 1024;
	put_many(50, 1000);
	outcome = find("/0");
	was_let_go = false;
	lasting_hold(files_outcome_lasting(outcome), &holder);
	ask_for_many(1, 50);
	ck_assert(was_let_go);
	let_go(outcome);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("files_cache");
	TCase *tests = tcase_create("files_cache");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_file_is_looked_for_once);
	tcase_add_test(tests, that_nothing_is_there_is_kept);
	tcase_add_test(tests, an_empty_file_has_no_bytes);
	tcase_add_test(tests, a_name_with_and_without_its_slash_are_two);
	tcase_add_test(tests, a_directory_that_is_listed_is_not_kept);
	tcase_add_test(tests, without_memory_there_is_no_cache);
	tcase_add_test(tests, it_outlives_its_generation);
	tcase_add_loop_test(tests, other_settings_find_for_themselves, 0,
			    sizeof(differences) / sizeof(differences[0]));
	tcase_add_test(tests, lists_are_compared_name_by_name);
	tcase_add_test(tests, one_outcome_serves_every_coding);
	tcase_add_test(tests, what_is_told_of_ends_it);
	tcase_add_test(tests, it_vouches_for_what_it_found_while_that_is_there);
	tcase_add_test(tests, it_cannot_vouch_where_nobody_tells);
	tcase_add_test(tests, what_is_over_stays_while_it_is_used);
	tcase_add_test(tests, where_nobody_tells_each_use_looks);
	tcase_add_test(tests, there_a_young_file_is_not_kept);
	tcase_add_test(tests, there_it_is_trusted_as_long_as_is_set);
	tcase_add_test(tests, of_what_is_far_away_nothing_is_kept);
	tcase_add_test(tests, what_is_told_of_is_looked_at_from_time_to_time);
	tcase_add_test(tests, files_fill_no_more_than_the_memory);
	tcase_add_test(tests, what_is_used_stays);
	tcase_add_test(tests, what_is_given_again_by_others_stays);
	tcase_add_test(tests, what_is_read_later_finds_room);
	tcase_add_test(tests, who_guesses_at_names_pushes_out_no_files);
	tcase_add_test(tests, of_larger_files_few_descriptors_stay);
	tcase_add_test(tests, without_descriptors_larger_files_are_not_kept_open);
	tcase_add_test(tests, a_reload_changes_the_bounds);
	tcase_add_test(tests, one_that_is_too_large_for_the_memory_is_answered_all_the_same);
	tcase_add_test(tests, what_is_being_sent_takes_no_more_than_the_memory);
	tcase_add_test(tests, no_file_takes_more_than_a_part_of_the_memory);
	tcase_add_test(tests, who_gives_it_again_is_told_when_its_memory_is_wanted);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
