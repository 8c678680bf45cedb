/* base_test.c - the small parts: errors, slices, lists, memory, descriptors. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/slab.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- err ------------------------ */

START_TEST(setting_an_error_is_false)
{
	struct err err;

	ck_assert(!err_set(&err, "slot %u", 3u));
	ck_assert_str_eq(err.text, "slot 3");
}
END_TEST

START_TEST(an_error_of_the_system_ends_with_its_words)
{
	struct err err;

	ck_assert(!err_sys(&err, ENOENT, "open %s", "/x"));
	ck_assert_str_eq(err.text, "open /x: No such file or directory");
}
END_TEST

START_TEST(context_is_put_in_front)
{
	struct err err;

	err_set(&err, "bind: in use");
	ck_assert(!err_add(&err, "slot %u", 0u));
	ck_assert(!err_add(&err, "listen on %s", "[::]:80"));
	ck_assert_str_eq(err.text, "listen on [::]:80: slot 0: bind: in use");
}
END_TEST

START_TEST(an_error_that_is_too_long_is_cut_at_its_end)
{
	char text[3 * ERR_TEXT_BYTES];
	struct err err;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, "%s", text);
	ck_assert_uint_eq(strlen(err.text), ERR_TEXT_BYTES - 1);
	err_add(&err, "why");
	ck_assert_uint_eq(strlen(err.text), ERR_TEXT_BYTES - 1);
	ck_assert_msg(strncmp(err.text, "why: xxx", 8) == 0, "%s", err.text);
}
END_TEST

START_TEST(context_that_is_too_long_leaves_room_for_what_it_explains)
{
	char text[3 * ERR_TEXT_BYTES];
	struct err err;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, "the cause");
	err_add(&err, "%s", text);
	ck_assert_ptr_nonnull(strstr(err.text, "the cause"));
}
END_TEST

/* ---- str ------------------------ */

START_TEST(the_slice_of_null_is_absent)
{
	ck_assert_ptr_null(str_of(NULL).at);
	ck_assert_uint_eq(str_of(NULL).len, 0);
}
END_TEST

START_TEST(slices_are_equal_by_their_bytes)
{
	ck_assert(str_equal(str_of("abc"), (struct str){ "abcd", 3 }));
	ck_assert(!str_equal(str_of("abc"), str_of("abd")));
	ck_assert(!str_equal(str_of("abc"), str_of("ab")));
}
END_TEST

START_TEST(an_absent_slice_equals_an_empty_one)
{
	ck_assert(str_equal(str_of(NULL), str_of("")));
}
END_TEST

START_TEST(case_is_ignored_for_ascii_letters_only)
{
	ck_assert(str_equal_nocase(str_of("HoSt-1"), str_of("hOsT-1")));
	ck_assert(!str_equal_nocase(str_of("["), str_of("{")));
	ck_assert(!str_equal_nocase(str_of("@"), str_of("`")));
	ck_assert(!str_equal_nocase(str_of("\xc4"), str_of("\xe4")));
	ck_assert(!str_equal_nocase(str_of("a"), str_of("ab")));
}
END_TEST

START_TEST(a_prefix_is_no_longer_than_the_text)
{
	ck_assert(str_has_prefix(str_of("unix:/x"), str_of("unix:")));
	ck_assert(str_has_prefix(str_of("a"), str_of("")));
	ck_assert(!str_has_prefix(str_of("uni"), str_of("unix:")));
}
END_TEST

START_TEST(trimming_takes_spaces_and_tabs_at_both_ends)
{
	ck_assert(str_equal(str_trim(str_of(" \t a b\t ")), str_of("a b")));
	ck_assert_uint_eq(str_trim(str_of(" \t ")).len, 0);
	ck_assert(str_equal(str_trim(str_of("\na\r")), str_of("\na\r")));
}
END_TEST

static const struct list_row {
	const char *list, *elements;    /* separated by bars */
} lists[] = {
	{ "", "" },
	{ "a", "a" },
	{ "a,b", "a|b" },
	{ " a\t, b ", "a|b" },
	{ ",,a, ,b,", "a|b" },
	{ " , ,\t,", "" },
	{ "\"a,b\",c", "\"a,b\"|c" },
	{ "\"a\\\",b\",c", "\"a\\\",b\"|c" },
	{ "W/\"x\" , \"y\"", "W/\"x\"|\"y\"" },
	{ "\"open, b", "\"open, b" },
	{ "\"end\\", "\"end\\" },
	{ "a\\,b", "a\\|b" },           /* a backslash means something inside of quotes only */
	{ "\"a\"\"b,c\",d", "\"a\"\"b,c\"|d" },
};

START_TEST(a_list_is_taken_apart)
{
	const struct list_row *row = &lists[_i];
	struct str rest = str_of(row->list), element;
	char found[128] = "";

	while (str_next_element(&rest, &element)) {
		if (found[0] != '\0')
			strcat(found, "|");
		ck_assert_uint_lt(strlen(found) + element.len, sizeof(found) - 2);
		strncat(found, element.at, element.len);
	}
	ck_assert_str_eq(found, row->elements);
	ck_assert_uint_eq(rest.len, 0);
}
END_TEST

START_TEST(at_the_end_of_a_list_the_element_is_untouched)
{
	struct str rest = str_of(" , "), element = str_of("before");

	ck_assert(!str_next_element(&rest, &element));
	ck_assert(str_equal(element, str_of("before")));
}
END_TEST

static const struct {
	const char *text;
	bool good;
	uint64_t value;
} numbers[] = {
	{ "0", true, 0 },
	{ "007", true, 7 },
	{ "18446744073709551615", true, UINT64_MAX },
	{ "18446744073709551616", false, 0 },
	{ "18446744073709551620", false, 0 },
	{ "99999999999999999999999", false, 0 },
	{ "", false, 0 },
	{ "-1", false, 0 },
	{ "+1", false, 0 },
	{ " 1", false, 0 },
	{ "1 ", false, 0 },
	{ "0x1", false, 0 },
	{ "1/", false, 0 },
	{ "1:", false, 0 },
};

START_TEST(a_number_is_digits_and_nothing_else)
{
	uint64_t value = 4711;

	ck_assert_int_eq(str_to_u64(str_of(numbers[_i].text), &value), numbers[_i].good);
	ck_assert_uint_eq(value, numbers[_i].good ? numbers[_i].value : 4711);
}
END_TEST

START_TEST(a_number_ends_with_its_slice)
{
	uint64_t value;

	ck_assert(str_to_u64((struct str){ "123456", 3 }, &value));
	ck_assert_uint_eq(value, 123);
}
END_TEST

static const struct {
	const char *a, *b;
	size_t edits;
} distances[] = {
	{ "", "", 0 },
	{ "listen", "listen", 0 },
	{ "", "abc", 3 },
	{ "abc", "", 3 },
	{ "lisen", "listen", 1 },
	{ "listeen", "listen", 1 },
	{ "lizten", "listen", 1 },
	{ "lsiten", "listen", 1 },
	{ "ca", "abc", 3 },
	{ "kitten", "sitting", 3 },
	{ "wrokers", "workers", 1 },
	{ "ab", "ba", 1 },
	{ "abcd", "badc", 2 },
};

START_TEST(a_distance_is_the_number_of_edits)
{
	ck_assert_uint_eq(str_distance(distances[_i].a, distances[_i].b), distances[_i].edits);
	ck_assert_uint_eq(str_distance(distances[_i].b, distances[_i].a), distances[_i].edits);
}
END_TEST

START_TEST(a_word_of_64_bytes_has_a_distance_and_a_longer_one_none)
{
	char word[66];

	memset(word, 'a', 65);
	word[65] = '\0';
	ck_assert_uint_eq(str_distance(word, "a"), SIZE_MAX);
	ck_assert_uint_eq(str_distance("a", word), SIZE_MAX);
	word[64] = '\0';
	ck_assert_uint_eq(str_distance(word, "a"), 63);
	ck_assert_uint_eq(str_distance(word, word), 0);
}
END_TEST

/* ---- list ------------------------ */

START_TEST(a_list_gives_its_elements_in_order)
{
	struct list head, a = { 0 }, b = { 0 };

	list_init(&head);
	list_push_back(&head, &a);
	list_push_back(&head, &b);
	ck_assert_ptr_eq(list_pop_front(&head), &a);
	ck_assert_ptr_eq(list_pop_front(&head), &b);
	ck_assert_ptr_null(list_pop_front(&head));
}
END_TEST

START_TEST(an_element_knows_whether_it_is_in_a_list)
{
	struct list head, a = { 0 };

	list_init(&head);
	ck_assert(!list_linked(&a));
	list_push_back(&head, &a);
	ck_assert(list_linked(&a));
	list_remove(&a);
	ck_assert(!list_linked(&a));
}
END_TEST

START_TEST(removing_from_no_list_is_harmless)
{
	struct list a = { 0 };

	list_remove(&a);
	list_init(&a);
	list_remove(&a);
	ck_assert(list_empty(&a));
}
END_TEST

START_TEST(an_element_is_removed_from_the_middle)
{
	struct list head, a = { 0 }, b = { 0 }, c = { 0 };

	list_init(&head);
	list_push_back(&head, &a);
	list_push_back(&head, &b);
	list_push_back(&head, &c);
	list_remove(&b);
	ck_assert_ptr_eq(a.next, &c);
	ck_assert_ptr_eq(c.prev, &a);
}
END_TEST

START_TEST(moving_all_keeps_the_order_and_empties_the_source)
{
	struct list to, from, a = { 0 }, b = { 0 }, c = { 0 };

	list_init(&to);
	list_init(&from);
	list_push_back(&to, &a);
	list_push_back(&from, &b);
	list_push_back(&from, &c);
	list_move_all(&to, &from);
	ck_assert(list_empty(&from));
	ck_assert_ptr_eq(list_pop_front(&to), &a);
	ck_assert_ptr_eq(list_pop_front(&to), &b);
	ck_assert_ptr_eq(list_pop_front(&to), &c);
	ck_assert(list_empty(&to));
}
END_TEST

START_TEST(moving_nothing_changes_nothing)
{
	struct list to, from, a = { 0 };

	list_init(&to);
	list_init(&from);
	list_push_back(&to, &a);
	list_move_all(&to, &from);
	ck_assert_ptr_eq(list_pop_front(&to), &a);
	ck_assert(list_empty(&to));
}
END_TEST

/* ---- arena ------------------------ */

START_TEST(arena_memory_is_zeroed_and_aligned_also_when_it_is_reused)
{
	struct arena arena = { 0 };

	for (unsigned round = 0; round < 3; round++) {
		for (size_t len = 1; len < 300; len += 7) {
			char *at = arena_alloc(&arena, len);

			ck_assert_ptr_nonnull(at);
			ck_assert_uint_eq((uintptr_t)at % alignof(max_align_t), 0);
			for (size_t i = 0; i < len; i++)
				if (at[i] != 0)
					ck_abort_msg("byte %zu of %zu is not zero", i, len);
			memset(at, 0xff, len);
		}
		arena_reset(&arena);
	}
	arena_free(&arena);
}
END_TEST

START_TEST(joined_pieces_are_one_terminated_text)
{
	struct arena arena = { 0 };
	const struct str pieces[] = { str_of("a"), { 0 }, str_of(""), str_of("bcd"), { "ef", 1 } };

	ck_assert_str_eq(arena_join(&arena, pieces, 5), "abcde");
	ck_assert_str_eq(arena_join(&arena, NULL, 0), "");
	arena_free(&arena);
}
END_TEST

START_TEST(arena_memory_does_not_overlap)
{
	struct arena arena = { 0 };
	unsigned char *at[200];

	for (unsigned i = 0; i < 200; i++) {
		at[i] = arena_alloc(&arena, i * 11 + 1);
		memset(at[i], (int)i, i * 11 + 1);
	}
	for (unsigned i = 0; i < 200; i++)
		for (unsigned j = 0; j < i * 11 + 1; j++)
			if (at[i][j] != i)
				ck_abort_msg("%u was overwritten at %u", i, j);
	arena_free(&arena);
}
END_TEST

START_TEST(an_arena_takes_what_is_larger_than_any_block)
{
	struct arena arena = { 0 };
	char *at = arena_alloc(&arena, 1024 * 1024);

	ck_assert_ptr_nonnull(at);
	at[1024 * 1024 - 1] = 1;
	ck_assert_uint_ge(arena.total_bytes, 1024 * 1024);
	arena_free(&arena);
	ck_assert_uint_eq(arena.total_bytes, 0);
}
END_TEST

START_TEST(an_impossible_length_is_refused)
{
	struct arena arena = { 0 };

	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
	arena_free(&arena);
}
END_TEST

START_TEST(a_reset_arena_keeps_one_block)
{
	struct arena arena = { 0 };
	size_t first;

	arena_alloc(&arena, 1);
	first = arena.total_bytes;
	for (unsigned i = 0; i < 1000; i++)
		arena_alloc(&arena, 1000);
	arena_reset(&arena);
	ck_assert_uint_eq(arena.total_bytes, first);
	arena_free(&arena);
}
END_TEST

START_TEST(copies_and_formatted_texts_are_terminated)
{
	struct arena arena = { 0 };

	ck_assert_str_eq(arena_copy(&arena, (struct str){ "abcdef", 3 }), "abc");
	ck_assert_str_eq(arena_copy(&arena, str_of(NULL)), "");
	ck_assert_str_eq(arena_printf(&arena, "%s-%d", "x", 42), "x-42");
	arena_free(&arena);
}
END_TEST

/* ---- slab and pool ------------------------ */

START_TEST(slab_objects_are_distinct_and_aligned)
{
	static unsigned char *at[3000];
	struct slab slab;

	slab_init(&slab, 41);
	for (unsigned i = 0; i < 3000; i++) {
		at[i] = slab_alloc(&slab);
		ck_assert_uint_eq((uintptr_t)at[i] % alignof(max_align_t), 0);
		memset(at[i], (int)(i % 251), 41);
	}
	for (unsigned i = 0; i < 3000; i++)
		if (at[i][0] != i % 251 || at[i][40] != i % 251)
			ck_abort_msg("object %u was overwritten", i);
	ck_assert_uint_eq(slab.in_use, 3000);
	slab_free(&slab);
}
END_TEST

START_TEST(slab_objects_that_fill_lines_of_the_cache_begin_with_one)
{
	struct slab slab;

	slab_init(&slab, 128);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_eq((uintptr_t)memset(slab_alloc(&slab), 1, 128) % 64, 0);
	slab_free(&slab);
}
END_TEST

START_TEST(what_was_reserved_is_handed_out_next_and_counts_only_then)
{
	struct slab slab;
	void *next;

	slab_init(&slab, 100);
	ck_assert(slab_reserve(&slab));
	ck_assert_uint_eq(slab.in_use, 0);
	next = slab.free;
	ck_assert(slab_reserve(&slab));
	ck_assert_ptr_eq(slab_alloc(&slab), next);
	ck_assert_uint_eq(slab.in_use, 1);
	slab_free(&slab);
}
END_TEST

START_TEST(a_released_object_is_handed_out_again)
{
	struct slab slab;
	void *a, *b;

	slab_init(&slab, 100);
	a = slab_alloc(&slab);
	slab_release(&slab, a);
	b = slab_alloc(&slab);
	ck_assert_ptr_eq(a, b);
	ck_assert_uint_eq(slab.in_use, 1);
	slab_free(&slab);
}
END_TEST

START_TEST(objects_larger_than_a_chunk_and_smaller_than_a_pointer_both_work)
{
	struct slab large, small;
	char *at;

	slab_init(&large, 100000);
	slab_init(&small, 1);
	at = slab_alloc(&large);
	at[99999] = 1;
	ck_assert_ptr_ne(slab_alloc(&small), slab_alloc(&small));
	slab_free(&large);
	slab_free(&small);
}
END_TEST

START_TEST(releasing_no_object_is_harmless)
{
	struct slab slab;

	slab_init(&slab, 8);
	slab_release(&slab, NULL);
	ck_assert_uint_eq(slab.in_use, 0);
	slab_free(&slab);
}
END_TEST

START_TEST(a_buffer_has_the_next_power_of_two)
{
	static const size_t wanted[] = { 0, 1, 4096, 4097, 8192, 100000, POOL_LARGEST_BYTES };
	static const size_t given[] = { 4096, 4096, 4096, 8192, 8192, 131072, POOL_LARGEST_BYTES };
	struct pool pool = { 0 };

	for (unsigned i = 0; i < 7; i++) {
		size_t size = 0;
		char *buffer = pool_get(&pool, wanted[i], &size);

		ck_assert_ptr_nonnull(buffer);
		ck_assert_uint_eq(size, given[i]);
		memset(buffer, 1, size);
		pool_put(&pool, buffer, size);
	}
	pool_trim(&pool);
}
END_TEST

START_TEST(a_buffer_over_the_largest_is_refused)
{
	struct pool pool = { 0 };
	size_t size = 7;

	ck_assert_ptr_null(pool_get(&pool, POOL_LARGEST_BYTES + 1, &size));
	ck_assert_uint_eq(size, 7);
}
END_TEST

START_TEST(a_pool_counts_what_is_in_use)
{
	struct pool pool = { 0 };
	size_t size;
	char *buffer = pool_get(&pool, 5000, &size);

	ck_assert_uint_eq(pool.in_use_bytes, 8192);
	pool_put(&pool, buffer, size);
	ck_assert_uint_eq(pool.in_use_bytes, 0);
	pool_trim(&pool);
}
END_TEST

START_TEST(a_pool_keeps_a_bounded_number_of_free_buffers)
{
	struct pool pool = { 0 };
	char *buffers[100];
	size_t size = 0;

	for (unsigned i = 0; i < 100; i++)
		buffers[i] = pool_get(&pool, 4096, &size);
	for (unsigned i = 0; i < 100; i++)
		pool_put(&pool, buffers[i], size);
	ck_assert_uint_eq(pool.free_bytes[0], POOL_KEPT_BYTES);
	pool_trim(&pool);
	ck_assert_uint_eq(pool.free_bytes[0], 0);
}
END_TEST

START_TEST(giving_back_no_buffer_is_harmless)
{
	struct pool pool = { 0 };

	pool_put(&pool, NULL, 4096);
	ck_assert_uint_eq(pool.in_use_bytes, 0);
}
END_TEST

/* ---- fd ------------------------ */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(closing_forgets_the_number_and_keeps_errno)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), was = fd;

	errno = E2BIG;
	fd_close(&fd);
	ck_assert_int_eq(errno, E2BIG);
	ck_assert_int_eq(fd, -1);
	ck_assert(!is_open(was));
}
END_TEST

START_TEST(a_descriptor_is_closed_at_the_end_of_its_block_unless_it_was_taken)
{
	int closed, kept;

	{
		int a AUTO_CLOSE = open("/dev/null", O_RDONLY | O_CLOEXEC);
		int b AUTO_CLOSE = open("/dev/null", O_RDONLY | O_CLOEXEC);

		closed = a;
		kept = fd_take(&b);
	}
	ck_assert(!is_open(closed));
	ck_assert(is_open(kept));
	close(kept);
}
END_TEST

START_TEST(an_array_owns_its_descriptors)
{
	int first, last;

	{
		struct fd_array fds AUTO_CLOSE_ALL = { 0 };

		for (unsigned i = 0; i < 20; i++)
			ck_assert(fd_array_push(&fds, open("/dev/null", O_RDONLY | O_CLOEXEC)));
		first = fds.at[0];
		last = fds.at[19];
		ck_assert_uint_eq(fds.count, 20);
	}
	ck_assert(!is_open(first));
	ck_assert(!is_open(last));
}
END_TEST

START_TEST(all_others_are_closed)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {         /* not in the test's own process, which check still talks to */
		int kept[] = { 50, 20, 21 }, good;

		dup2(2, 20);
		dup2(2, 21);
		dup2(2, 22);
		dup2(2, 50);
		dup2(2, 51);
		fd_close_others(kept, 3);
		good = is_open(20) && is_open(21) && is_open(50) && !is_open(22) && !is_open(51) &&
		       !is_open(0) && !is_open(2);
		_exit(good ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_sealed_memfd_holds_its_bytes)
{
	struct err err;
	int fd = fd_sealed("test", "hello\0there", 11, &err);
	size_t len;
	char *text = fd_read_all(fd, 100, &len, &err);

	ck_assert_uint_eq(len, 11);
	ck_assert_mem_eq(text, "hello\0there", 12);
	free(text);
	close(fd);
}
END_TEST

START_TEST(nobody_can_change_a_sealed_memfd)
{
	struct err err;
	int fd = fd_sealed("test", "hello", 5, &err);

	ck_assert(fd_is_sealed(fd));
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 1), -1);
	ck_assert_int_eq(ftruncate(fd, 100), -1);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
}
END_TEST

START_TEST(what_can_still_be_changed_is_not_sealed)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING),
	    null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert(!fd_is_sealed(fd));
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL);     /* it can still grow and shrink */
	ck_assert(!fd_is_sealed(fd));
	ck_assert(!fd_is_sealed(null));
	close(fd);
	close(null);
}
END_TEST

START_TEST(a_file_of_exactly_the_limit_is_read)
{
	struct err err;
	int fd = fd_sealed("test", "12345", 5, &err);
	size_t len = 0;
	char *text = fd_read_all(fd, 5, &len, &err);

	ck_assert_str_eq(text, "12345");
	ck_assert_uint_eq(len, 5);
	free(text);
	close(fd);
}
END_TEST

START_TEST(a_file_over_the_limit_is_refused)
{
	struct err err;
	int fd = fd_sealed("test", "12345", 5, &err);
	size_t len = 77;

	ck_assert_ptr_null(fd_read_all(fd, 4, &len, &err));
	ck_assert_str_eq(err.text, "longer than 4 bytes");
	ck_assert_uint_eq(len, 77);
	close(fd);
}
END_TEST

START_TEST(a_file_is_read_from_its_start_wherever_it_stands)
{
	struct err err;
	int fd = fd_sealed("test", "12345", 5, &err);
	size_t len;
	char *text;

	lseek(fd, 3, SEEK_SET);
	text = fd_read_all(fd, 100, &len, &err);
	ck_assert_str_eq(text, "12345");
	ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 3);
	free(text);
	close(fd);
}
END_TEST

START_TEST(an_empty_file_is_an_empty_text)
{
	struct err err;
	int fd = fd_sealed("test", "", 0, &err);
	size_t len = 77;
	char *text = fd_read_all(fd, 0, &len, &err);

	ck_assert_str_eq(text, "");
	ck_assert_uint_eq(len, 0);
	free(text);
	close(fd);
}
END_TEST

START_TEST(reading_a_bad_descriptor_says_why)
{
	struct err err;
	size_t len;

	ck_assert_ptr_null(fd_read_all(-1, 10, &len, &err));
	ck_assert_str_eq(err.text, "fstat: Bad file descriptor");
}
END_TEST

START_TEST(writing_to_a_bad_descriptor_is_false)
{
	ck_assert(!fd_write_all(-1, "x", 1));
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base");
	TCase *err = tcase_create("err"), *str = tcase_create("str"), *list = tcase_create("list");
	TCase *memory = tcase_create("memory"), *fd = tcase_create("fd");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, err);
	tcase_add_test(err, setting_an_error_is_false);
	tcase_add_test(err, an_error_of_the_system_ends_with_its_words);
	tcase_add_test(err, context_is_put_in_front);
	tcase_add_test(err, an_error_that_is_too_long_is_cut_at_its_end);
	tcase_add_test(err, context_that_is_too_long_leaves_room_for_what_it_explains);
	suite_add_tcase(suite, str);
	tcase_add_test(str, the_slice_of_null_is_absent);
	tcase_add_test(str, slices_are_equal_by_their_bytes);
	tcase_add_test(str, an_absent_slice_equals_an_empty_one);
	tcase_add_test(str, case_is_ignored_for_ascii_letters_only);
	tcase_add_test(str, a_prefix_is_no_longer_than_the_text);
	tcase_add_test(str, trimming_takes_spaces_and_tabs_at_both_ends);
	tcase_add_loop_test(str, a_list_is_taken_apart, 0, sizeof(lists) / sizeof(lists[0]));
	tcase_add_test(str, at_the_end_of_a_list_the_element_is_untouched);
	tcase_add_loop_test(str, a_number_is_digits_and_nothing_else, 0,
			    sizeof(numbers) / sizeof(numbers[0]));
	tcase_add_test(str, a_number_ends_with_its_slice);
	tcase_add_loop_test(str, a_distance_is_the_number_of_edits, 0,
			    sizeof(distances) / sizeof(distances[0]));
	tcase_add_test(str, a_word_of_64_bytes_has_a_distance_and_a_longer_one_none);
	suite_add_tcase(suite, list);
	tcase_add_test(list, a_list_gives_its_elements_in_order);
	tcase_add_test(list, an_element_knows_whether_it_is_in_a_list);
	tcase_add_test(list, removing_from_no_list_is_harmless);
	tcase_add_test(list, an_element_is_removed_from_the_middle);
	tcase_add_test(list, moving_all_keeps_the_order_and_empties_the_source);
	tcase_add_test(list, moving_nothing_changes_nothing);
	suite_add_tcase(suite, memory);
	tcase_add_test(memory, arena_memory_is_zeroed_and_aligned_also_when_it_is_reused);
	tcase_add_test(memory, joined_pieces_are_one_terminated_text);
	tcase_add_test(memory, arena_memory_does_not_overlap);
	tcase_add_test(memory, an_arena_takes_what_is_larger_than_any_block);
	tcase_add_test(memory, an_impossible_length_is_refused);
	tcase_add_test(memory, a_reset_arena_keeps_one_block);
	tcase_add_test(memory, copies_and_formatted_texts_are_terminated);
	tcase_add_test(memory, slab_objects_are_distinct_and_aligned);
	tcase_add_test(memory, slab_objects_that_fill_lines_of_the_cache_begin_with_one);
	tcase_add_test(memory, what_was_reserved_is_handed_out_next_and_counts_only_then);
	tcase_add_test(memory, a_released_object_is_handed_out_again);
	tcase_add_test(memory, objects_larger_than_a_chunk_and_smaller_than_a_pointer_both_work);
	tcase_add_test(memory, releasing_no_object_is_harmless);
	tcase_add_test(memory, a_buffer_has_the_next_power_of_two);
	tcase_add_test(memory, a_buffer_over_the_largest_is_refused);
	tcase_add_test(memory, a_pool_counts_what_is_in_use);
	tcase_add_test(memory, a_pool_keeps_a_bounded_number_of_free_buffers);
	tcase_add_test(memory, giving_back_no_buffer_is_harmless);
	suite_add_tcase(suite, fd);
	tcase_add_test(fd, closing_forgets_the_number_and_keeps_errno);
	tcase_add_test(fd, a_descriptor_is_closed_at_the_end_of_its_block_unless_it_was_taken);
	tcase_add_test(fd, an_array_owns_its_descriptors);
	tcase_add_test(fd, all_others_are_closed);
	tcase_add_test(fd, a_sealed_memfd_holds_its_bytes);
	tcase_add_test(fd, nobody_can_change_a_sealed_memfd);
	tcase_add_test(fd, what_can_still_be_changed_is_not_sealed);
	tcase_add_test(fd, a_file_of_exactly_the_limit_is_read);
	tcase_add_test(fd, a_file_over_the_limit_is_refused);
	tcase_add_test(fd, a_file_is_read_from_its_start_wherever_it_stands);
	tcase_add_test(fd, an_empty_file_is_an_empty_text);
	tcase_add_test(fd, reading_a_bad_descriptor_says_why);
	tcase_add_test(fd, writing_to_a_bad_descriptor_is_false);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
