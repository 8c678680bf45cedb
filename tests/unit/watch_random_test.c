/* watch_random_test.c - a random tree that changes at random: after each change every watch that was not told
 * leads to what it led to before, in the kernel's own judgement. */
#include "base/watch.h"

#include "base/loop.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCHES = 40, CHANGES = 3000, DEPTH = 5, BURST = 100, BURSTS = 100 };

/* What stat(2) says, which is all that differs between one state and another. */
struct seen {
	int error;
	ino_t ino;
	mode_t mode;
	off_t size;
	struct timespec written, changed;
};

struct probe {
	struct watch watch;
	char path[PATH_MAX];
	struct seen seen;
	unsigned told;
};

static struct loop loop;
static struct watcher *watcher;
static char root[PATH_MAX];
static struct probe probes[WATCHES];
static unsigned seed;
static char last[3 * PATH_MAX];         /* what was done */

static unsigned chance(unsigned of)
{
	return (unsigned)rand_r(&seed) % of;
}

/* Relative to root: so few names that they meet. */
static void random_path(char *path, size_t room)
{
	unsigned depth = 1 + chance(DEPTH);
	size_t len = 0;

	while (depth-- > 0)
		len += (size_t)snprintf(path + len, room - len, "/%c", 'a' + (char)chance(3));
}

static struct seen look(const char *path)
{
	struct seen seen = { 0 };
	struct stat is;

	if (stat(path, &is) < 0) {
		seen.error = errno;
		return seen;
	}
	seen.ino = is.st_ino;
	seen.mode = is.st_mode;
	seen.size = is.st_size;
	seen.written = is.st_mtim;
	seen.changed = is.st_ctim;
	return seen;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same(const struct seen *a, const struct seen *b)
{
	return a->error == b->error && a->ino == b->ino && a->mode == b->mode && a->size == b->size &&
	       same_time(a->written, b->written) && same_time(a->changed, b->changed);
}

static void on_changed(struct watch *watch)
{
	struct probe *probe = LIST_ENTRY(watch, struct probe, watch);

	ck_assert_ptr_null(watch->name);
	probe->told++;
}

/* ---- changes ------------------------ */

static void put_file(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | flags, 0644);

	if (fd < 0)
		return;
	ck_assert_int_eq(write(fd, "drover", 1 + chance(6)) > 0, 1);
	close(fd);
}

static void put_link(const char *path)
{
	char target[PATH_MAX + 8], name[PATH_MAX];

	random_path(name, sizeof(name));
	switch (chance(5)) {
	case 0:
		snprintf(target, sizeof(target), "%s", name + 1);
		break;
	case 1:
		snprintf(target, sizeof(target), "..%s", name);
		break;
	case 2:
		snprintf(target, sizeof(target), "./../..%s/", name);
		break;
	case 3:
		snprintf(target, sizeof(target), ".");
		break;
	default:
		snprintf(target, sizeof(target), "%.2000s%.2000s", root, name);
	}
	snprintf(last + strlen(last), 1000, " -> %.900s", target);
	ck_assert(symlink(target, path) == 0 || errno != EINVAL);
}

static void change(void)
{
	char path[2 * PATH_MAX], other[2 * PATH_MAX], name[PATH_MAX];
	unsigned what = chance(12);

	random_path(name, sizeof(name));
	snprintf(path, sizeof(path), "%s%s", root, name);
	random_path(name, sizeof(name));
	snprintf(other, sizeof(other), "%s%s", root, name);
	snprintf(last, sizeof(last), "%u %.3000s %.3000s", what, path, other);
	if (what <= 2)
		mkdir(path, 0755);
	else if (what == 3)
		put_file(path, O_TRUNC);
	else if (what == 4)
		put_file(path, O_APPEND);
	else if (what == 5)
		unlink(path);
	else if (what == 6)
		rmdir(path);
	else if (what <= 8)
		rename(path, other);
	else if (what == 9)
		put_link(path);
	else if (what == 10)
		chmod(path, chance(2) == 0 ? 0755 : 0700);
	else
		utimensat(AT_FDCWD, path, NULL, 0);
}

/* ---- watching ------------------------ */

/* False where it is refused. */
static bool begin(struct probe *probe)
{
	char name[PATH_MAX];
	bool watched;

	random_path(name, sizeof(name));
	snprintf(probe->path, sizeof(probe->path), "%.2000s%.2000s%s", root, name, chance(8) == 0 ? "/" : "");
	probe->told = 0;
	watched = watch_path(watcher, &probe->watch, probe->path);
	probe->seen = look(probe->path);
	return watched;
}

static void see(struct probe *probe)
{
	struct seen now = look(probe->path);

	ck_assert_uint_le(probe->told, 1);
	ck_assert_msg(same(&now, &probe->seen), "%s: another one after %s", probe->path, last);
}

static void renew(struct probe *probe)
{
	if (probe->watch.name != NULL && chance(10) > 0) {
		see(probe);
		return;
	}
	watch_end(&probe->watch);
	if (!begin(probe))
		ck_assert_msg(probe->seen.error == ELOOP, "%s is refused", probe->path);
}

static void open_watcher(void)
{
	struct err err;

	ck_assert(loop_open(&loop, &err));
	watcher = watcher_open(&loop, NULL, &err);
	ck_assert_msg(watcher != NULL, "%s", err.text);
	snprintf(root, sizeof(root), "/dev/shm/watch.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void close_watcher(void)
{
	char command[PATH_MAX + 32];

	watcher_close(watcher);
	loop_close(&loop);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);   /* NOLINT(cert-env33-c): a path of our own */
}

START_TEST(who_was_not_told_of_a_change_leads_to_what_was_there)
{
	seed = (unsigned)_i + 1;
	for (unsigned i = 0; i < WATCHES; i++)
		probes[i].watch.changed = on_changed;
	for (unsigned i = 0; i < CHANGES; i++) {
		change();
		watch_tell();
		for (unsigned j = 0; j < WATCHES; j++)
			renew(&probes[j]);
	}
	for (unsigned i = 0; i < WATCHES; i++)
		watch_end(&probes[i].watch);
}
END_TEST

/* Changes in bursts, each when it is told to, and says when it is over. */
static pid_t fork_changer(int *orders, int *answers)
{
	int order[2], answer[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(order), 0);
	ck_assert_int_eq(pipe(answer), 0);
	pid = fork();
	if (pid == 0) {
		while (read(order[0], &byte, 1) == 1 && byte != 'e') {
			for (unsigned i = 0; i < BURST; i++)
				change();
			if (write(answer[1], "d", 1) != 1)
				break;
		}
		_exit(0);
	}
	*orders = order[1];
	*answers = answer[0];
	ck_assert_int_eq(fcntl(*answers, F_SETFL, O_NONBLOCK), 0);
	return pid;
}

START_TEST(what_changes_while_it_is_looked_up_is_told)
{
	int orders, answers;
	pid_t changer;
	char byte;

	seed = (unsigned)_i + 100;
	changer = fork_changer(&orders, &answers);
	for (unsigned i = 0; i < WATCHES; i++)
		probes[i].watch.changed = on_changed;
	snprintf(last, sizeof(last), "a burst");
	for (unsigned i = 0; i < BURSTS; i++) {
		ck_assert_int_eq(write(orders, "b", 1), 1);
		for (unsigned j = 0; read(answers, &byte, 1) != 1; j++)
			begin(&probes[j % WATCHES]);
		watch_tell();
		for (unsigned j = 0; j < WATCHES; j++)
			if (probes[j].watch.name != NULL)
				see(&probes[j]);
	}
	ck_assert_int_eq(write(orders, "e", 1), 1);
	waitpid(changer, NULL, 0);
	for (unsigned i = 0; i < WATCHES; i++)
		watch_end(&probes[i].watch);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("watch_random");
	TCase *tests = tcase_create("watch_random");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, open_watcher, close_watcher);
	tcase_add_loop_test(tests, who_was_not_told_of_a_change_leads_to_what_was_there, 0, 4);
	tcase_add_loop_test(tests, what_changes_while_it_is_looked_up_is_told, 0, 4);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
