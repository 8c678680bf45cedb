/* watcher_test.c - what a watch is told of, what not, and what that costs. */
#include "base/watch.h"

#include "one_turn.h"

#include "base/clock.h"
#include "base/loop.h"
#include "base/offload.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop loop;
static struct watcher *watcher;
static char root[64];
static unsigned told;                   /* how often anybody was */

/* ---- a tree ------------------------ */

/* A path below root; the next calls overwrite it, the eighth this one. */
static const char *at(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *at(const char *format, ...)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];
	int len = snprintf(path, PATH_MAX, "%s/", root);
	va_list args;

	va_start(args, format);
	vsnprintf(path + len, (size_t)(PATH_MAX - len), format, args);
	va_end(args);
	return path;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void make(const char *path)
{
	ck_assert_msg(mkdir(path, 0755) == 0, "%s: %s", path, strerror(errno));
}

static void put_link(const char *target, const char *path)
{
	ck_assert_int_eq(symlink(target, path), 0);
}

static void move(const char *from, const char *to)
{
	ck_assert_msg(rename(from, to) == 0, "%s to %s: %s", from, to, strerror(errno));
}

static void run(const char *command)
{
	ck_assert_int_eq(system(command), 0);   /* NOLINT(cert-env33-c): paths of our own */
}

static void on_changed(struct watch *watch)
{
	ck_assert_ptr_null(watch->name);
	told++;
}


/* It outlives the test: the watcher is closed behind that. */
#define WATCHED(variable, path)                            \
	static struct watch variable;                      \
	(variable).changed = on_changed;                   \
	ck_assert(watch_path(watcher, &(variable), path))

static unsigned told_now(void)
{
	unsigned before = told;

	watch_tell();
	return told - before;
}

static void open_watcher(void)
{
	struct err err;

	told = 0;
	ck_assert(loop_open(&loop, &err));
	watcher = watcher_open(&loop, NULL, &err);
	ck_assert_msg(watcher != NULL, "%s", err.text);
	snprintf(root, sizeof(root), "/dev/shm/watcher.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void close_watcher(void)
{
	char command[128];

	watcher_close(watcher);
	loop_close(&loop);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	run(command);
}

/* ---- a file ------------------------ */

static void a_file(void)
{
	open_watcher();
	make(at("d"));
	put(at("d/f"), "one");
}

START_TEST(nothing_happens_and_nobody_is_told)
{
	WATCHED(watch, at("d/f"));

	ck_assert_uint_eq(told_now(), 0);
	ck_assert_ptr_nonnull(watch.name);
}
END_TEST

START_TEST(a_file_that_is_written_to_is_told)
{
	int fd = open(at("d/f"), O_WRONLY);
	WATCHED(watch, at("d/f"));

	ck_assert_int_eq(write(fd, "x", 1), 1);
	ck_assert_uint_eq(told_now(), 1);
	close(fd);
}
END_TEST

START_TEST(a_change_is_told_once)
{
	WATCHED(watch, at("d/f"));

	put(at("d/f"), "two");
	put(at("d/f"), "three");
	ck_assert_uint_eq(told_now(), 1);
	ck_assert_uint_eq(told_now(), 0);
}
END_TEST

START_TEST(a_file_that_is_cut_is_told)
{
	WATCHED(watch, at("d/f"));

	ck_assert_int_eq(truncate(at("d/f"), 1), 0);
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_mapping_is_told_of_when_it_is_gone)
{
	int fd = open(at("d/f"), O_RDWR);
	char *bytes = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	WATCHED(watch, at("d/f"));

	close(fd);
	bytes[0] = 'x';
	ck_assert_uint_eq(told_now(), 0);       /* a limit of the kernel's */
	munmap(bytes, 3);
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_file_that_is_removed_is_told)
{
	WATCHED(watch, at("d/f"));

	ck_assert_int_eq(unlink(at("d/f")), 0);
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_file_that_is_replaced_is_told)
{
	WATCHED(watch, at("d/f"));

	put(at("new"), "two");
	ck_assert_uint_eq(told_now(), 0);
	move(at("new"), at("d/f"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_file_that_is_moved_away_is_told)
{
	WATCHED(watch, at("d/f"));

	move(at("d/f"), at("d/g"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_file_whose_mode_changes_is_told)
{
	WATCHED(watch, at("d/f"));

	ck_assert_int_eq(chmod(at("d/f"), 0600), 0);
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_file_whose_times_are_set_is_told)
{
	WATCHED(watch, at("d/f"));

	ck_assert_int_eq(utimensat(AT_FDCWD, at("d/f"), NULL, 0), 0);
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(reading_a_file_is_no_change)
{
	WATCHED(watch, at("d/f"));
	int fd = open(at("d/f"), O_RDONLY);
	char byte;

	ck_assert_int_eq(read(fd, &byte, 1), 1);
	close(fd);
	ck_assert_uint_eq(told_now(), 0);
}
END_TEST

START_TEST(all_who_watch_a_file_are_told)
{
	WATCHED(a, at("d/f"));
	WATCHED(b, at("d/f"));

	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 2);
}
END_TEST

START_TEST(other_names_of_a_directory_are_not_told_of)
{
	WATCHED(watch, at("d/f"));

	put(at("d/g"), "two");
	move(at("d/g"), at("d/ff"));
	make(at("d/sub"));
	unlink(at("d/ff"));
	put(at("elsewhere"), "");
	ck_assert_uint_eq(told_now(), 0);
}
END_TEST

START_TEST(a_watch_that_has_ended_is_not_told)
{
	WATCHED(watch, at("d/f"));
	WATCHED(other, at("d/f"));

	watch_end(&watch);
	watch_end(&watch);
	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
	ck_assert_ptr_null(other.name);
}
END_TEST

static struct watch *ends_also;

static void end_another(struct watch *watch)
{
	on_changed(watch);
	watch_end(ends_also);
}

START_TEST(who_is_told_may_end_another_that_would_be_told_next)
{
	WATCHED(a, at("d/f"));
	WATCHED(b, at("d/f"));

	a.changed = b.changed = end_another;
	ends_also = &b;                 /* a was there first */
	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_watch_can_begin_again)
{
	WATCHED(watch, at("d/f"));

	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("d/f")));
	put(at("d/f"), "three");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_watch_that_begins_again_elsewhere_has_ended_here)
{
	WATCHED(watch, at("d/f"));

	ck_assert(watch_path(watcher, &watch, at("d/g")));
	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 0);
	put(at("d/g"), "two");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_loop_that_waits_tells_by_itself)
{
	WATCHED(watch, at("d/f"));

	put(at("d/f"), "two");
	ck_assert_uint_eq(told, 0);
	one_turn(&loop);
	ck_assert_uint_eq(told, 1);
}
END_TEST

/* What changes in another process before this one hears of it has been told when watch_tell returns. */
START_TEST(who_hears_of_a_change_was_told_of_it)
{
	int ends[2], back[2], status;
	char byte = 'x';
	pid_t writes;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(pipe(back), 0);
	writes = fork();
	if (writes == 0) {
		while (read(back[0], &byte, 1) == 1 && byte == 'x') {
			chmod(at("d/f"), 0600);
			if (write(ends[1], "x", 1) != 1)
				break;
		}
		_exit(0);
	}
	for (unsigned i = 0; i < 2000; i++) {
		WATCHED(watch, at("d/f"));
		ck_assert_int_eq(write(back[1], "x", 1), 1);
		while (read(ends[0], &byte, 1) != 1)
			ck_assert_int_eq(errno, EINTR);
		ck_assert_uint_eq(told_now(), 1);
		watch_end(&watch);
	}
	ck_assert_int_eq(write(back[1], "e", 1), 1);
	waitpid(writes, &status, 0);
}
END_TEST

/* ---- the way ------------------------ */

START_TEST(a_name_that_is_missing_is_told_when_it_appears)
{
	WATCHED(watch, at("d/missing"));

	put(at("d/missing"), "");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_directory_that_is_missing_is_told_when_it_appears)
{
	WATCHED(watch, at("d/x/y/z"));

	make(at("d/y"));
	ck_assert_uint_eq(told_now(), 0);
	make(at("d/x"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_file_that_takes_the_place_of_a_directory_is_told)
{
	WATCHED(watch, at("d/f/g"));

	ck_assert_int_eq(unlink(at("d/f")), 0);
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_directory_on_the_way_that_moves_is_told)
{
	WATCHED(watch, at("d/f"));

	move(at("d"), at("e"));
	ck_assert_uint_eq(told_now(), 1);
	ck_assert_ptr_null(watch.name);
}
END_TEST

START_TEST(a_directory_that_comes_back_counts_anew)
{
	WATCHED(watch, at("d/f"));

	move(at("d"), at("e"));
	move(at("e"), at("d"));
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("d/f")));
	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(what_was_moved_away_is_not_told_of_any_more)
{
	WATCHED(watch, at("d/f"));

	move(at("d"), at("e"));
	told_now();
	ck_assert(watch_path(watcher, &watch, at("d/f")));
	put(at("e/f"), "two");
	ck_assert_uint_eq(told_now(), 0);
	make(at("d"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(directories_that_are_exchanged_are_told)
{
	make(at("e"));
	WATCHED(watch, at("d/f"));
	WATCHED(other, at("e/f"));

	ck_assert_int_eq(renameat2(AT_FDCWD, at("d"), AT_FDCWD, at("e"), RENAME_EXCHANGE), 0);
	ck_assert_uint_eq(told_now(), 2);
}
END_TEST

START_TEST(the_mode_of_a_directory_on_the_way_is_told)
{
	WATCHED(watch, at("d/f"));

	ck_assert_int_eq(chmod(at("d"), 0700), 0);
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_directory_tells_of_entries_that_come_and_go)
{
	WATCHED(watch, at("d"));

	put(at("d/g"), "");
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("d")));
	unlink(at("d/g"));
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("d/")));
	move(at("d/f"), at("d/g"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_directory_does_not_tell_what_is_written_to_its_files)
{
	int fd = open(at("d/f"), O_WRONLY);
	WATCHED(watch, at("d"));

	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	ck_assert_uint_eq(told_now(), 0);
}
END_TEST

START_TEST(the_top_can_be_watched)
{
	WATCHED(watch, "/");
	WATCHED(again, "//./");

	ck_assert_ptr_eq(watch.name, again.name);
}
END_TEST

/* ---- symlinks ------------------------ */

START_TEST(a_symlink_that_is_swapped_is_told)
{
	make(at("releases"));
	make(at("releases/1"));
	put(at("releases/1/f"), "one");
	put_link("releases/1", at("current"));
	WATCHED(watch, at("current/f"));

	put_link("releases/2", at("new"));
	ck_assert_uint_eq(told_now(), 0);
	move(at("new"), at("current"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(what_a_symlink_leads_to_is_told)
{
	put_link("d/f", at("l"));
	WATCHED(watch, at("l"));

	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("l")));
	move(at("d"), at("e"));
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("l")));
	make(at("d"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(what_is_behind_a_symlink_is_told)
{
	put_link(at("d"), at("l"));
	WATCHED(watch, at("l/f"));
	WATCHED(other, at("d/f"));

	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 2);
}
END_TEST

START_TEST(only_what_is_behind_a_symlink_is_told_of_it)
{
	put_link(at("d"), at("l"));
	WATCHED(watch, at("l/f"));
	WATCHED(other, at("d/f"));

	ck_assert_int_eq(unlink(at("l")), 0);
	ck_assert_uint_eq(told_now(), 1);
	ck_assert_ptr_nonnull(other.name);
}
END_TEST

START_TEST(symlinks_that_lead_to_symlinks_are_followed)
{
	make(at("x"));
	put_link("../d", at("x/two"));
	put_link("x/./two", at("one"));
	WATCHED(watch, at("one/f"));

	ck_assert_int_eq(unlink(at("x/two")), 0);
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("one/f")));
	put_link("../d", at("x/two"));
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("one/f")));
	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(the_directory_of_a_relative_symlink_is_where_it_really_is)
{
	make(at("x"));
	make(at("x/y"));
	put(at("x/f"), "far");
	put_link("../f", at("x/y/up"));
	put_link("x/y", at("short"));
	WATCHED(watch, at("short/up"));

	put(at("f"), "near");
	ck_assert_uint_eq(told_now(), 0);
	put(at("x/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_symlink_that_leads_nowhere_is_told)
{
	put_link("gone/away", at("l"));
	WATCHED(watch, at("l/x"));

	make(at("gone"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(symlinks_that_lead_to_themselves_cannot_be_watched)
{
	struct watch watch = { .changed = on_changed };

	put_link("b", at("a"));
	put_link("a", at("b"));
	ck_assert(!watch_path(watcher, &watch, at("a")));
	ck_assert(!watch_path(watcher, &watch, at("b/c")));
}
END_TEST

START_TEST(so_many_symlinks_as_the_kernel_follows_are_followed)
{
	struct watch watch = { .changed = on_changed };

	put(at("l0"), "");
	for (unsigned i = 1; i <= 41; i++)
		put_link(at("l%u", i - 1), at("l%u", i));
	ck_assert(watch_path(watcher, &watch, at("l40")));
	put(at("l0"), "x");
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(!watch_path(watcher, &watch, at("l41")));
}
END_TEST

/* ---- what cannot be watched ------------------------ */

START_TEST(a_way_that_goes_up_behind_a_name_cannot_be_watched)
{
	struct watch watch = { .changed = on_changed };

	ck_assert(!watch_path(watcher, &watch, at("d/../d/f")));
	put_link("d/../d", at("l"));
	ck_assert(!watch_path(watcher, &watch, at("l/f")));
}
END_TEST

START_TEST(a_relative_path_cannot_be_watched)
{
	struct watch watch = { .changed = on_changed };

	ck_assert(!watch_path(watcher, &watch, "d/f"));
}
END_TEST

START_TEST(a_file_system_that_others_may_change_cannot_be_watched)
{
	struct watch watch = { .changed = on_changed };

	ck_assert(!watch_path(watcher, &watch, "/proc/self/status"));
	ck_assert(!watch_path(watcher, &watch, "/sys/kernel"));
}
END_TEST

START_TEST(a_name_that_is_too_long_cannot_be_watched)
{
	struct watch watch = { .changed = on_changed };
	char name[NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert(!watch_path(watcher, &watch, at("d/%s", name)));
	name[sizeof(name) - 2] = '\0';
	ck_assert(watch_path(watcher, &watch, at("d/%s", name)));
	watch_end(&watch);
}
END_TEST

START_TEST(another_spelling_counts_as_the_same_name)
{
	WATCHED(watch, at("d/f"));

	put(at("d/F"), "");             /* where case does not matter, it may be */
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_file_with_several_names_cannot_be_watched)
{
	static struct watch watch = { .changed = on_changed };

	ck_assert_int_eq(link(at("d/f"), at("also")), 0);
	ck_assert(!watch_path(watcher, &watch, at("d/f")));
	unlink(at("also"));
	ck_assert(watch_path(watcher, &watch, at("d/f")));
}
END_TEST

static void be_nobody(void)
{
	ck_assert_int_eq(setegid(65534), 0);
	ck_assert_int_eq(seteuid(65534), 0);
}

START_TEST(a_directory_that_must_not_be_read_cannot_be_watched_until_it_may)
{
	static struct watch watch = { .changed = on_changed };

	ck_assert_int_eq(chmod(root, 0755), 0);
	ck_assert_int_eq(chmod(at("d"), 0711), 0);
	be_nobody();
	ck_assert(!watch_path(watcher, &watch, at("d/f")));
	ck_assert(!watch_path(watcher, &watch, at("d/f")));
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(chmod(at("d"), 0755), 0);
	be_nobody();
	ck_assert(watch_path(watcher, &watch, at("d/f")));
	ck_assert_int_eq(seteuid(0), 0);
	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_directory_that_cannot_be_watched_is_tried_again_after_a_while)
{
	static struct watch watch = { .changed = on_changed };

	ck_assert_int_eq(chmod(root, 0755), 0);
	ck_assert_int_eq(chmod(at("d"), 0700), 0);
	be_nobody();
	ck_assert(!watch_path(watcher, &watch, at("d/f")));
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert(!watch_path(watcher, &watch, at("d/f")));
	loop.now_ns += 11 * CLOCK_S;
	ck_assert(watch_path(watcher, &watch, at("d/f")));
}
END_TEST

START_TEST(a_directory_that_must_not_be_entered_hides_what_is_in_it)
{
	static struct watch watch = { .changed = on_changed };

	ck_assert_int_eq(chmod(root, 0755), 0);
	ck_assert_int_eq(chmod(at("d"), 0744), 0);
	be_nobody();
	ck_assert(watch_path(watcher, &watch, at("d/f")));
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(chmod(at("d"), 0755), 0);
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

/* The user of a name space of its own has the limits of that. */
static void limit(const char *name, const char *value)
{
	int fd;

	ck_assert_int_eq(unshare(CLONE_NEWUSER), 0);
	fd = open(name, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	close(fd);
}

START_TEST(when_the_user_may_have_no_more_watches_what_is_not_needed_makes_room)
{
	static struct watch watch = { .changed = on_changed }, other = { .changed = on_changed };
	struct err err;

	make(at("e"));
	watcher_close(watcher);
	limit("/proc/sys/user/max_inotify_watches", "5");
	watcher = watcher_open(&loop, NULL, &err);      /* the limit is its opener's */
	ck_assert_ptr_nonnull(watcher);
	ck_assert(watch_path(watcher, &watch, at("d/f")));              /* "/", dev, shm, root, d */
	ck_assert(!watch_path(watcher, &other, at("e/f")));
	watch_end(&watch);
	ck_assert(watch_path(watcher, &other, at("e/f")));
}
END_TEST

START_TEST(when_the_user_may_not_have_more_watchers_that_is_said)
{
	struct watcher *more;
	struct err err;

	limit("/proc/sys/user/max_inotify_instances", "1");
	watcher_close(watcher);
	watcher = watcher_open(&loop, NULL, &err);
	ck_assert_ptr_nonnull(watcher);
	more = watcher_open(&loop, NULL, &err);
	ck_assert_ptr_null(more);
	ck_assert_str_eq(err.text, "inotify_init1 (fs.inotify.max_user_instances): Too many open files");
}
END_TEST

START_TEST(a_watcher_has_so_many_directories_and_no_more)
{
	static struct watch each[WATCH_DIRECTORIES + 8], again = { .changed = on_changed };
	unsigned watched = 0;

	for (unsigned i = 0; i < WATCH_DIRECTORIES + 8; i++) {
		each[i].changed = on_changed;
		make(at("%u", i));
		if (watch_path(watcher, &each[i], at("%u/f", i)))
			watched++;
	}
	ck_assert_uint_eq(watched, WATCH_DIRECTORIES - 4);              /* "/", dev, shm, root */
	watch_end(&each[0]);
	ck_assert(watch_path(watcher, &again, at("%u/f", WATCH_DIRECTORIES + 7)));
	put(at("%u/f", WATCH_DIRECTORIES + 7), "");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

/* ---- mounts ------------------------ */

static void own_mounts(void)
{
	struct err err;

	watcher_close(watcher);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	watcher = watcher_open(&loop, NULL, &err);
	ck_assert_ptr_nonnull(watcher);
}

START_TEST(what_is_mounted_over_a_directory_is_told)
{
	own_mounts();
	WATCHED(watch, at("d/f"));

	ck_assert_int_eq(mount("none", at("d"), "tmpfs", 0, NULL), 0);
	one_turn(&loop);
	ck_assert_uint_eq(told, 1);
	ck_assert(watch_path(watcher, &watch, at("d/f")));
	put(at("d/f"), "another");
	ck_assert_uint_eq(told_now(), 1);
	ck_assert(watch_path(watcher, &watch, at("d/f")));
	ck_assert_int_eq(umount(at("d")), 0);
	one_turn(&loop);
	ck_assert_uint_eq(told, 3);
}
END_TEST

START_TEST(a_file_that_is_mounted_cannot_be_watched)
{
	static struct watch watch = { .changed = on_changed };

	own_mounts();
	put(at("over"), "");
	ck_assert_int_eq(mount(at("over"), at("d/f"), NULL, MS_BIND, NULL), 0);
	ck_assert(!watch_path(watcher, &watch, at("d/f")));
	ck_assert_int_eq(umount(at("d/f")), 0);
}
END_TEST

START_TEST(a_directory_that_is_in_two_places_tells_in_both)
{
	own_mounts();
	make(at("e"));
	ck_assert_int_eq(mount(at("d"), at("e"), NULL, MS_BIND, NULL), 0);
	WATCHED(watch, at("d/f"));
	WATCHED(other, at("e/f"));

	ck_assert_int_eq(chmod(at("d/f"), 0600), 0);    /* one event */
	ck_assert_uint_eq(told_now(), 2);
	ck_assert_int_eq(umount(at("e")), 0);
}
END_TEST

/* ---- many ------------------------ */

enum { DIRECTORIES = 100, FILES = 100 };

static struct watch many[DIRECTORIES][FILES];

static void watch_many(void)
{
	for (unsigned i = 0; i < DIRECTORIES; i++) {
		make(at("%u", i));
		for (unsigned j = 0; j < FILES; j++) {
			many[i][j].changed = on_changed;
			ck_assert(watch_path(watcher, &many[i][j], at("%u/file-%010u", i, j)));
		}
	}
}

START_TEST(ten_thousand_watches_take_little_memory)
{
	size_t before, each;

	make(at("before"));
	WATCHED(first, at("before/all"));
	before = mallinfo2().uordblks;
	watch_many();
	each = (mallinfo2().uordblks - before) / ((size_t)DIRECTORIES * FILES);
	ck_assert_uint_lt(each + sizeof(struct watch), 120 + 16);       /* of a name of 15 bytes */
}
END_TEST

/* How much there is when all have ended. */
static size_t left_of_many(void)
{
	for (unsigned i = 0; i < DIRECTORIES; i++)
		for (unsigned j = 0; j < FILES; j++)
			ck_assert(watch_path(watcher, &many[i][j], at("%u/file-%010u", i, j)));
	for (unsigned i = 0; i < DIRECTORIES; i++)
		for (unsigned j = 0; j < FILES; j++)
			watch_end(&many[i][j]);
	return mallinfo2().uordblks;
}

START_TEST(what_has_ended_leaves_nothing_behind)
{
	size_t before;

	watch_many();
	before = left_of_many();
	for (unsigned i = 0; i < 10; i++)       /* the allocator counts what it keeps for later */
		ck_assert_uint_le(left_of_many(), before + 4096);
}
END_TEST

START_TEST(each_of_ten_thousand_is_told_of_its_own_file)
{
	watch_many();
	for (unsigned i = 0; i < DIRECTORIES; i += 7) {
		put(at("%u/file-%010u", i, i), "");
		ck_assert_uint_eq(told_now(), 1);
		ck_assert_ptr_null(many[i][i].name);
	}
}
END_TEST

START_TEST(all_below_a_directory_are_told)
{
	watch_many();
	move(at("7"), at("seven"));
	ck_assert_uint_eq(told_now(), FILES);
}
END_TEST

static unsigned queue_room(void)
{
	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	unsigned room = 0;

	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own */
	ck_assert_int_eq(fscanf(file, "%u", &room), 1);
	fclose(file);
	return room;
}

START_TEST(when_events_are_lost_all_are_told)
{
	unsigned room = queue_room();
	WATCHED(watch, at("d/f"));
	WATCHED(other, "/");

	for (unsigned i = 0; i <= room / 2; i++) {      /* two that are not merged each */
		chmod(at("d"), 0700);
		put(at("d/g"), "");
	}
	ck_assert_uint_eq(told_now(), 2);
	ck_assert(watch_path(watcher, &watch, at("d/f")));
	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(closing_tells_nobody)
{
	WATCHED(watch, at("d/f"));

	put(at("d/f"), "two");
	watcher_close(watcher);
	watcher = NULL;
	ck_assert_uint_eq(told_now(), 0);
	ck_assert_ptr_null(watch.name);
	watch_end(&watch);
}
END_TEST

/* ---- laid by a helper ------------------------ */

static struct offload offload;
static struct watch helped;

static void with_a_helper(void)
{
	struct err err;

	a_file();
	watcher_close(watcher);
	offload_init(&offload, &loop, 1);
	watcher = watcher_open(&loop, &offload, &err);
	ck_assert_ptr_nonnull(watcher);
	helped.changed = on_changed;
}

static void without_the_helper(void)
{
	ck_assert_uint_eq(offload_close(&offload, clock_now_ns() + 10 * CLOCK_S), 0);
	close_watcher();
}

/* How many directories the kernel watches for us. */
static unsigned laid(void)
{
	char path[64], line[256];
	unsigned count = 0;

	for (int fd = 0; fd < 64; fd++) {
		FILE *info;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		info = fopen(path, "re");
		while (info != NULL && fgets(line, sizeof(line), info) != NULL)
			count += strncmp(line, "inotify wd:", 11) == 0 ? 1 : 0;
		if (info != NULL)
			fclose(info);
	}
	return count;
}

/* Each time it was told, it asks once more. */
static void watch_when_it_can_be(struct watch *watch, const char *path)
{
	while (!watch_path(watcher, watch, path)) {
		unsigned before = told;

		ck_assert(watch_waits(watch));
		while (told == before)
			one_turn(&loop);
		ck_assert(!watch_waits(watch));
	}
}

START_TEST(the_loop_lays_no_watch_where_there_is_a_helper)
{
	ck_assert(!watch_path(watcher, &helped, at("d/f")));
	ck_assert(watch_waits(&helped));
	ck_assert_uint_eq(laid(), 0);
}
END_TEST

START_TEST(what_was_laid_can_be_watched_and_tells)
{
	watch_when_it_can_be(&helped, at("d/f"));
	ck_assert_uint_eq(told, 1);             /* one wish: the whole way was laid at once */
	ck_assert(!watch_waits(&helped));
	put(at("d/f"), "two");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(what_is_laid_behind_symlinks_can_be_watched_and_tells)
{
	make(at("e"));
	put_link("../d", at("e/there"));
	put_link(at("e"), at("l"));
	watch_when_it_can_be(&helped, at("l"));
	watch_end(&helped);
	put_link("d", at("m"));
	watch_when_it_can_be(&helped, at("m/f"));
	move(at("m"), at("n"));
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(a_change_while_it_is_laid_is_seen_by_whoever_watches_then)
{
	struct stat before, now;

	ck_assert(!watch_path(watcher, &helped, at("d/f")));
	one_turn(&loop);
	move(at("d"), at("away"));
	make(at("d"));
	put(at("d/f"), "other");
	ck_assert_int_eq(stat(at("d/f"), &before), 0);
	watch_end(&helped);
	watch_when_it_can_be(&helped, at("d/f"));
	ck_assert_int_eq(stat(at("d/f"), &now), 0);
	ck_assert_uint_eq(before.st_ino, now.st_ino);
	ck_assert_uint_eq(told_now(), 0);
	put(at("away/f"), "not ours");
	ck_assert_uint_eq(told_now(), 0);
	put(at("d/f"), "more");
	ck_assert_uint_eq(told_now(), 1);
}
END_TEST

START_TEST(more_wishes_than_there_is_room_for_come_true)
{
	static struct watch each[100];

	for (unsigned i = 0; i < 100; i++) {
		make(at("%u", i));
		put(at("%u/f", i), "one");
		each[i].changed = on_changed;
		ck_assert(!watch_path(watcher, &each[i], at("%u/f", i)));
		ck_assert(watch_waits(&each[i]));
	}
	for (unsigned i = 0; i < 100; i++) {
		while (watch_waits(&each[i]))
			one_turn(&loop);
		watch_when_it_can_be(&each[i], at("%u/f", i));
	}
	told_now();
	for (unsigned i = 0; i < 100; i++) {
		put(at("%u/f", i), "two");
		ck_assert_uint_eq(told_now(), 1);
	}
}
END_TEST

START_TEST(who_waits_may_end_that_and_closing_ends_it)
{
	static struct watch other;

	other.changed = on_changed;
	ck_assert(!watch_path(watcher, &helped, at("d/f")));
	ck_assert(!watch_path(watcher, &other, at("d")));
	watch_end(&helped);
	ck_assert(!watch_waits(&helped));
	watcher_close(watcher);
	watcher = NULL;
	ck_assert(!watch_waits(&other));
	ck_assert_uint_eq(told, 0);
}
END_TEST

START_TEST(what_cannot_be_watched_waits_for_nothing_in_the_end)
{
	ck_assert(!watch_path(watcher, &helped, "/proc/self/status"));
	while (watch_waits(&helped))
		one_turn(&loop);
	ck_assert_uint_eq(told, 0);
	ck_assert(!watch_path(watcher, &helped, "/proc/self/status"));
	ck_assert(!watch_waits(&helped));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("watcher");
	TCase *tests = tcase_create("watcher");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, a_file, close_watcher);
	tcase_add_test(tests, nothing_happens_and_nobody_is_told);
	tcase_add_test(tests, a_file_that_is_written_to_is_told);
	tcase_add_test(tests, a_change_is_told_once);
	tcase_add_test(tests, a_file_that_is_cut_is_told);
	tcase_add_test(tests, a_mapping_is_told_of_when_it_is_gone);
	tcase_add_test(tests, a_file_that_is_removed_is_told);
	tcase_add_test(tests, a_file_that_is_replaced_is_told);
	tcase_add_test(tests, a_file_that_is_moved_away_is_told);
	tcase_add_test(tests, a_file_whose_mode_changes_is_told);
	tcase_add_test(tests, a_file_whose_times_are_set_is_told);
	tcase_add_test(tests, reading_a_file_is_no_change);
	tcase_add_test(tests, all_who_watch_a_file_are_told);
	tcase_add_test(tests, other_names_of_a_directory_are_not_told_of);
	tcase_add_test(tests, a_watch_that_has_ended_is_not_told);
	tcase_add_test(tests, who_is_told_may_end_another_that_would_be_told_next);
	tcase_add_test(tests, a_watch_can_begin_again);
	tcase_add_test(tests, a_watch_that_begins_again_elsewhere_has_ended_here);
	tcase_add_test(tests, a_loop_that_waits_tells_by_itself);
	tcase_add_test(tests, who_hears_of_a_change_was_told_of_it);
	tcase_add_test(tests, a_name_that_is_missing_is_told_when_it_appears);
	tcase_add_test(tests, a_directory_that_is_missing_is_told_when_it_appears);
	tcase_add_test(tests, a_file_that_takes_the_place_of_a_directory_is_told);
	tcase_add_test(tests, a_directory_on_the_way_that_moves_is_told);
	tcase_add_test(tests, a_directory_that_comes_back_counts_anew);
	tcase_add_test(tests, what_was_moved_away_is_not_told_of_any_more);
	tcase_add_test(tests, directories_that_are_exchanged_are_told);
	tcase_add_test(tests, the_mode_of_a_directory_on_the_way_is_told);
	tcase_add_test(tests, a_directory_tells_of_entries_that_come_and_go);
	tcase_add_test(tests, a_directory_does_not_tell_what_is_written_to_its_files);
	tcase_add_test(tests, the_top_can_be_watched);
	tcase_add_test(tests, a_symlink_that_is_swapped_is_told);
	tcase_add_test(tests, what_a_symlink_leads_to_is_told);
	tcase_add_test(tests, what_is_behind_a_symlink_is_told);
	tcase_add_test(tests, only_what_is_behind_a_symlink_is_told_of_it);
	tcase_add_test(tests, symlinks_that_lead_to_symlinks_are_followed);
	tcase_add_test(tests, the_directory_of_a_relative_symlink_is_where_it_really_is);
	tcase_add_test(tests, a_symlink_that_leads_nowhere_is_told);
	tcase_add_test(tests, symlinks_that_lead_to_themselves_cannot_be_watched);
	tcase_add_test(tests, so_many_symlinks_as_the_kernel_follows_are_followed);
	tcase_add_test(tests, a_way_that_goes_up_behind_a_name_cannot_be_watched);
	tcase_add_test(tests, a_relative_path_cannot_be_watched);
	tcase_add_test(tests, a_file_system_that_others_may_change_cannot_be_watched);
	tcase_add_test(tests, a_name_that_is_too_long_cannot_be_watched);
	tcase_add_test(tests, another_spelling_counts_as_the_same_name);
	tcase_add_test(tests, a_file_with_several_names_cannot_be_watched);
	tcase_add_test(tests, a_directory_that_must_not_be_read_cannot_be_watched_until_it_may);
	tcase_add_test(tests, a_directory_that_cannot_be_watched_is_tried_again_after_a_while);
	tcase_add_test(tests, a_directory_that_must_not_be_entered_hides_what_is_in_it);
	tcase_add_test(tests, when_the_user_may_have_no_more_watches_what_is_not_needed_makes_room);
	tcase_add_test(tests, when_the_user_may_not_have_more_watchers_that_is_said);
	tcase_add_test(tests, a_watcher_has_so_many_directories_and_no_more);
	tcase_add_test(tests, what_is_mounted_over_a_directory_is_told);
	tcase_add_test(tests, a_file_that_is_mounted_cannot_be_watched);
	tcase_add_test(tests, a_directory_that_is_in_two_places_tells_in_both);
	tcase_add_test(tests, ten_thousand_watches_take_little_memory);
	tcase_add_test(tests, what_has_ended_leaves_nothing_behind);
	tcase_add_test(tests, each_of_ten_thousand_is_told_of_its_own_file);
	tcase_add_test(tests, all_below_a_directory_are_told);
	tcase_add_test(tests, when_events_are_lost_all_are_told);
	tcase_add_test(tests, closing_tells_nobody);
	tests = tcase_create("a helper");
	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, with_a_helper, without_the_helper);
	tcase_add_test(tests, the_loop_lays_no_watch_where_there_is_a_helper);
	tcase_add_test(tests, what_was_laid_can_be_watched_and_tells);
	tcase_add_test(tests, what_is_laid_behind_symlinks_can_be_watched_and_tells);
	tcase_add_test(tests, a_change_while_it_is_laid_is_seen_by_whoever_watches_then);
	tcase_add_test(tests, more_wishes_than_there_is_room_for_come_true);
	tcase_add_test(tests, who_waits_may_end_that_and_closing_ends_it);
	tcase_add_test(tests, what_cannot_be_watched_waits_for_nothing_in_the_end);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
