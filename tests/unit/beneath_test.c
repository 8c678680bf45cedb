/* Opening below a root: openat2 and the walk must agree on every path. */
#include "service/beneath.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64];
static int root;

static void make_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", base, name);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void make_link(const char *target, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	ck_assert_int_eq(symlink(target, path), 0);
}

/* `target` is below `base`. */
static void make_absolute(const char *target, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", base, target);
	make_link(path, name);
}

static void make_dir(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	ck_assert_int_eq(mkdir(path, 0755), 0);
}

static void set_up(void)
{
	char path[128];

	strcpy(base, "/tmp/beneath.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	make_dir("root");
	make_dir("root/a");
	make_dir("root/a/b");
	make_file("secret", "secret");
	make_file("root/top", "top");
	make_file("root/a/b/deep", "deep");
	make_link("a/b/deep", "root/relative");
	make_link("../top", "root/a/up");
	make_link("../../secret", "root/a/out");
	make_link("../secret", "root/out");
	make_link("/etc/passwd", "root/absolute");
	make_link("/nowhere", "root/nowhere");
	make_link("a", "root/dir");
	make_link("loop2", "root/loop1");
	make_link("loop1", "root/loop2");
	make_link("missing", "root/dangling");
	make_link("dir/b", "root/chain");
	make_link("top/", "root/no-directory");
	make_link("top/.", "root/no-directory2");
	make_link("top/../top", "root/no-directory3");
	make_link("a/", "root/slash");
	make_link("../root/top", "root/round");
	make_link("../../root/a/../top", "root/a/round");
	make_link("../root", "root/self");
	make_link("..", "root/above");
	make_link("root", "alias");
	make_absolute("root/top", "root/inside");
	make_absolute("root/a", "root/inside-dir");
	make_absolute("root", "root/whole");
	make_absolute("alias/a/b/deep", "root/by-alias");
	make_absolute("root/../secret", "root/sly");
	make_absolute("root/../root/top", "root/twice");
	make_absolute("root/a/../../secret", "root/sly2");
	make_absolute("root/missing", "root/inside-dangling");
	make_absolute("root/inside-loop", "root/inside-loop");
	make_absolute("secret", "root/a/secret");
	make_absolute("rootless", "root/prefix");       /* "root" is a prefix of its text only */
	make_file("rootless", "secret");
	snprintf(path, sizeof(path), "%s/root/fifo", base);
	ck_assert_int_eq(mkfifo(path, 0644), 0);
	snprintf(path, sizeof(path), "%s/root", base);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(root, 0);
}

static void tear_down(void)
{
	char command[128];

	close(root);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	ck_assert_int_eq(system(command), 0);   /* NOLINT(cert-env33-c): a path of our own */
}

/* What opening gives, or the errno that it fails with. */
struct outcome {
	const char *content;
	int error;
};

#define GIVES(text) { text, 0 }
#define FAILS(error) { NULL, error }

static const struct {
	const char *path;
	struct outcome outcomes[3];     /* by policy: deny, inside, all */
} rows[] = {
	{ "top", { GIVES("top"), GIVES("top"), GIVES("top") } },
	{ "a/b/deep", { GIVES("deep"), GIVES("deep"), GIVES("deep") } },
	{ "relative", { FAILS(ELOOP), GIVES("deep"), GIVES("deep") } },
	{ "a/up", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "dir/b/deep", { FAILS(ELOOP), GIVES("deep"), GIVES("deep") } },
	{ "chain/deep", { FAILS(ELOOP), GIVES("deep"), GIVES("deep") } },
	{ "dir/up", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "slash/up", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "a/../top", { GIVES("top"), GIVES("top"), GIVES("top") } },
	{ "a/./b/deep", { GIVES("deep"), GIVES("deep"), GIVES("deep") } },
	{ "a//b/deep", { GIVES("deep"), GIVES("deep"), GIVES("deep") } },
	{ "dir/../top", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "out", { FAILS(ELOOP), FAILS(EXDEV), GIVES("secret") } },
	{ "a/out", { FAILS(ELOOP), FAILS(EXDEV), GIVES("secret") } },
	{ "../secret", { FAILS(EXDEV), FAILS(EXDEV), GIVES("secret") } },
	{ "a/../../secret", { FAILS(EXDEV), FAILS(EXDEV), GIVES("secret") } },
	{ "absolute", { FAILS(ELOOP), FAILS(EXDEV), GIVES("root:") } },
	{ "nowhere", { FAILS(ELOOP), FAILS(EXDEV), FAILS(ENOENT) } },
	{ "/etc/passwd", { FAILS(EXDEV), FAILS(EXDEV), FAILS(EXDEV) } },
	{ "loop1", { FAILS(ELOOP), FAILS(ELOOP), FAILS(ELOOP) } },
	{ "dangling", { FAILS(ELOOP), FAILS(ENOENT), FAILS(ENOENT) } },
	{ "missing", { FAILS(ENOENT), FAILS(ENOENT), FAILS(ENOENT) } },
	{ "a/missing/x", { FAILS(ENOENT), FAILS(ENOENT), FAILS(ENOENT) } },
	{ "top/x", { FAILS(ENOTDIR), FAILS(ENOTDIR), FAILS(ENOTDIR) } },
	{ "top/", { FAILS(ENOTDIR), FAILS(ENOTDIR), FAILS(ENOTDIR) } },
	{ "relative/", { FAILS(ELOOP), FAILS(ENOTDIR), FAILS(ENOTDIR) } },
	{ "relative/x", { FAILS(ELOOP), FAILS(ENOTDIR), FAILS(ENOTDIR) } },
	{ "a/b/deep/", { FAILS(ENOTDIR), FAILS(ENOTDIR), FAILS(ENOTDIR) } },
	{ "no-directory", { FAILS(ELOOP), FAILS(ENOTDIR), FAILS(ENOTDIR) } },
	{ "no-directory2", { FAILS(ELOOP), FAILS(ENOTDIR), FAILS(ENOTDIR) } },
	{ "no-directory3", { FAILS(ELOOP), FAILS(ENOTDIR), FAILS(ENOTDIR) } },
	/* out of the root and back */
	{ "inside", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "inside-dir/b/deep", { FAILS(ELOOP), GIVES("deep"), GIVES("deep") } },
	{ "inside-dir/up", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "inside-dir/out", { FAILS(ELOOP), FAILS(EXDEV), GIVES("secret") } },
	{ "inside-dangling", { FAILS(ELOOP), FAILS(ENOENT), FAILS(ENOENT) } },
	{ "inside-loop", { FAILS(ELOOP), FAILS(ELOOP), FAILS(ELOOP) } },
	{ "whole/top", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "whole/whole/whole/inside", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "by-alias", { FAILS(ELOOP), GIVES("deep"), GIVES("deep") } },
	{ "round", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "a/round", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "self/self/top", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "above/root/top", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "above/alias/a/up", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "above/secret", { FAILS(ELOOP), FAILS(EXDEV), GIVES("secret") } },
	{ "above/missing", { FAILS(ELOOP), FAILS(EXDEV), FAILS(ENOENT) } },
	{ "above/secret/x", { FAILS(ELOOP), FAILS(EXDEV), FAILS(ENOTDIR) } },
	{ "twice", { FAILS(ELOOP), GIVES("top"), GIVES("top") } },
	{ "sly", { FAILS(ELOOP), FAILS(EXDEV), GIVES("secret") } },
	{ "sly2", { FAILS(ELOOP), FAILS(EXDEV), GIVES("secret") } },
	{ "a/secret", { FAILS(ELOOP), FAILS(EXDEV), GIVES("secret") } },
	{ "prefix", { FAILS(ELOOP), FAILS(EXDEV), GIVES("secret") } },
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void expect(int (*opener)(int, const char *, enum beneath_policy), int row, enum beneath_policy policy)
{
	const struct outcome *outcome = &rows[row].outcomes[policy];
	char text[16] = "";
	int fd = opener(root, rows[row].path, policy);

	if (outcome->content == NULL) {
		ck_assert_msg(fd < 0 && errno == outcome->error, "%s, %d: fd %d, %s", rows[row].path, policy,
			      fd, strerror(errno));
		return;
	}
	ck_assert_msg(fd >= 0, "%s, %d: %s", rows[row].path, policy, strerror(errno));
	ck_assert_int_gt(read(fd, text, strlen(outcome->content)), 0);
	ck_assert_str_eq(text, outcome->content);
	close(fd);
}

START_TEST(openat2_says_so)
{
	expect(beneath_open, _i, BENEATH_DENY);
	expect(beneath_open, _i, BENEATH_INSIDE);
	expect(beneath_open, _i, BENEATH_ALL);
}
END_TEST

START_TEST(the_walk_says_the_same)
{
	expect(beneath_walk, _i, BENEATH_DENY);
	expect(beneath_walk, _i, BENEATH_INSIDE);
}
END_TEST

START_TEST(looking_says_the_same)
{
	for (enum beneath_policy policy = BENEATH_DENY; policy <= BENEATH_ALL; policy++) {
		const struct outcome *outcome = &rows[_i].outcomes[policy];
		struct stat stat;
		bool found = beneath_stat(root, rows[_i].path, policy, &stat);

		ck_assert_msg(found == (outcome->content != NULL), "%s, %d", rows[_i].path, policy);
		ck_assert_msg(found || errno == outcome->error, "%s, %d: %s", rows[_i].path, policy,
			      strerror(errno));
		ck_assert(!found || S_ISREG(stat.st_mode));
	}
}
END_TEST

START_TEST(a_directory_can_be_read)
{
	static const char *const directories[] = { "", "a", "a/", "slash/", "whole/", "inside-dir", "self" };
	int (*const openers[])(int, const char *, enum beneath_policy) = { beneath_open, beneath_walk };

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]) * 2; i++) {
		int fd = openers[i % 2](root, directories[i / 2], BENEATH_INSIDE);
		DIR *directory = fdopendir(fd);

		ck_assert_msg(directory != NULL && readdir(directory) != NULL, "\"%s\"", directories[i / 2]);
		closedir(directory);
	}
}
END_TEST

/* ".." a few thousand times below a deep directory is quadratic work. */
START_TEST(a_symlink_cannot_keep_the_walk_busy)
{
	char name[512] = "root/deep", target[4000] = "";

	make_dir(name);
	for (int i = 0; i < 100; i++) {
		strcat(name, "/d");
		make_dir(name);
	}
	for (int i = 0; i < 600; i++)
		strcat(target, "../d/");
	strcat(name, "/link");
	make_link(target, name);
	ck_assert_int_lt(beneath_walk(root, name + strlen("root/"), BENEATH_INSIDE), 0);
	ck_assert_int_eq(errno, ELOOP);
}
END_TEST

/* ---- trees at random ---------------------------------------------------------------------------------- */

static uint32_t seed;

static unsigned choose(unsigned count)
{
	seed = seed * 1103515245 + 12345;
	return seed / 65536 % count;
}

/* A path of names and dots; some of the names exist.  `text` has room for 8 * 12 bytes. */
static void random_path(char *text)
{
	static const char *const pieces[] = { "a", "b", "c", "l", "m", "n", "o", "..", "..", ".", "root", "" };
	unsigned count = 1 + choose(6);

	text[0] = '\0';
	for (unsigned i = 0; i < count; i++)
		sprintf(text + strlen(text), "%s%s", i > 0 ? "/" : "", pieces[choose(12)]);
}

/* The file behind the path, wherever the kernel finds it; true when it lies below the root. */
static bool kernel_finds_inside(const char *path, struct stat *stat)
{
	char link[64], place[512] = "", top[128];
	int fd = openat(root, path, O_PATH | O_CLOEXEC);
	bool found = fd >= 0 && fstat(fd, stat) == 0;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (found)
		ck_assert_int_gt(readlink(link, place, sizeof(place) - 1), 0);
	if (fd >= 0)
		close(fd);
	snprintf(top, sizeof(top), "%s/root", base);
	return found && strncmp(place, top, strlen(top)) == 0 &&
	       (place[strlen(top)] == '/' || place[strlen(top)] == '\0');
}

static void compare_with_kernel(const char *path)
{
	bool inside, opened;
	struct stat expected, found;
	int fd, walked, error, walk_error;

	if (path[0] == '/')
		return;
	inside = kernel_finds_inside(path[0] != '\0' ? path : ".", &expected);
	fd = beneath_open(root, path, BENEATH_INSIDE);
	error = fd < 0 ? errno : 0;
	walked = beneath_walk(root, path, BENEATH_INSIDE);
	walk_error = walked < 0 ? errno : 0;
	opened = fd >= 0;
	ck_assert_msg(opened == inside, "%u: \"%s\": %s", seed, path, strerror(error));
	ck_assert_msg(error == walk_error, "%u: \"%s\": %d, %d", seed, path, error, walk_error);
	for (int i = 0; i < 2 && opened; i++) {
		ck_assert_int_eq(fstat(i == 0 ? fd : walked, &found), 0);
		ck_assert_msg(found.st_ino == expected.st_ino, "%u: \"%s\"", seed, path);
		close(i == 0 ? fd : walked);
	}
}

/* Three directories, files, and four symlinks anywhere to anywhere, inside and outside of the root. */
static void make_random_tree(void)
{
	static const char *const places[] = { "root", "root/a", "root/a/b", "root/c", "" };
	static const char *const links[] = { "l", "m", "n", "o" };

	for (int i = 0; i < 4; i++) {
		char target[256], name[64];
		unsigned absolute = choose(3);
		size_t len = 0;

		if (absolute == 0)
			len = (size_t)sprintf(target, "%s/", base);
		random_path(target + len);
		snprintf(name, sizeof(name), "%s/%s", places[choose(5)], links[i]);
		if (target[0] != '\0')
			make_link(target, name);
	}
}

START_TEST(trees_at_random_are_seen_as_the_kernel_sees_them)
{
	char path[128];

	seed = (uint32_t)_i;
	make_dir("root/c");
	make_file("root/c/b", "file");
	make_random_tree();
	for (int i = 0; i < 300; i++) {
		random_path(path);
		compare_with_kernel(path);
	}
}
END_TEST

/* ---- while somebody changes the tree ------------------------------------------------------------------ */

static atomic_bool stop;

static void swap_link(const char *name, const char *target)
{
	char path[256], fresh[256];

	snprintf(path, sizeof(path), "%s/root/%s", base, name);
	snprintf(fresh, sizeof(fresh), "%s/fresh", base);
	if (symlink(target, fresh) == 0)
		rename(fresh, path);
}

static void *swap_links(void *nothing)
{
	char inside[256], outside[256];

	snprintf(inside, sizeof(inside), "%s/root/top", base);
	snprintf(outside, sizeof(outside), "%s/secret", base);
	while (!stop) {
		swap_link("race", "top");
		swap_link("race", "../secret");
		swap_link("race", inside);
		swap_link("race", outside);
		swap_link("race-dir", "a");
		swap_link("race-dir", "..");
	}
	return nothing;
}

static void race(int (*opener)(int, const char *, enum beneath_policy), const char *path)
{
	char text[16] = "";
	int fd = opener(root, path, BENEATH_INSIDE);

	if (fd < 0)
		return;
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	ck_assert_msg(strcmp(text, "secret") != 0, "%s", path);
	close(fd);
}

START_TEST(a_race_leads_nowhere_else)
{
	enum { ROUNDS = 3000 };
	pthread_t thread;

	make_file("root/a/secret2", "harmless");
	make_file("secret2", "secret");
	make_link("top", "root/race");
	make_link("a", "root/race-dir");
	stop = false;
	ck_assert_int_eq(pthread_create(&thread, NULL, swap_links, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		race(beneath_open, "race");
		race(beneath_walk, "race");
		race(beneath_open, "race-dir/secret2");
		race(beneath_walk, "race-dir/secret2");
	}
	stop = true;
	pthread_join(thread, NULL);
}
END_TEST

/* Two directories in turn; the one of before is removed as soon as the symlink leads to the other. */
static void *deploy(void *nothing)
{
	char directory[2][128], file[2][160];

	for (int i = 0; i < 2; i++) {
		snprintf(directory[i], sizeof(directory[i]), "%s/root/release%d", base, i);
		snprintf(file[i], sizeof(file[i]), "%s/root/release%d/f", base, i);
	}
	for (int i = 0; !stop; i = 1 - i) {
		mkdir(directory[i], 0755);
		close(open(file[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
		swap_link("current", directory[i]);
		unlink(file[1 - i]);
		rmdir(directory[1 - i]);
	}
	return nothing;
}

static bool is_deployed(void)
{
	int fd = beneath_walk(root, "current/f", BENEATH_INSIDE);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

START_TEST(a_symlink_that_is_swapped_leads_somewhere)
{
	enum { ROUNDS = 5000 };
	pthread_t thread;
	int missed = 0;

	stop = false;
	ck_assert_int_eq(pthread_create(&thread, NULL, deploy, NULL), 0);
	while (!is_deployed())
		;
	for (int i = 0; i < ROUNDS; i++)
		missed += is_deployed() ? 0 : 1;
	stop = true;
	pthread_join(thread, NULL);
	ck_assert_int_eq(missed, 0);
}
END_TEST

START_TEST(the_walk_opens_the_root_itself)
{
	int fd = beneath_walk(root, "", BENEATH_INSIDE);

	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

START_TEST(the_walk_does_not_wait_for_a_fifo)
{
	int fd = beneath_walk(root, "fifo", BENEATH_INSIDE);

	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

START_TEST(the_walk_leaves_no_descriptor_behind)
{
	int before = dup(root), after;

	close(before);
	for (int i = 0; i < ROWS; i++) {
		int fd = beneath_walk(root, rows[i].path, BENEATH_INSIDE);

		if (fd >= 0)
			close(fd);
	}
	after = dup(root);
	close(after);
	ck_assert_int_eq(before, after);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("beneath");
	TCase *cases = tcase_create("paths");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_add_loop_test(cases, openat2_says_so, 0, ROWS);
	tcase_add_loop_test(cases, the_walk_says_the_same, 0, ROWS);
	tcase_add_loop_test(cases, looking_says_the_same, 0, ROWS);
	tcase_add_test(cases, a_directory_can_be_read);
	tcase_add_test(cases, a_symlink_cannot_keep_the_walk_busy);
	tcase_add_loop_test(cases, trees_at_random_are_seen_as_the_kernel_sees_them, 0, 30);
	tcase_add_test(cases, a_race_leads_nowhere_else);
	tcase_add_test(cases, a_symlink_that_is_swapped_leads_somewhere);
	tcase_add_test(cases, the_walk_opens_the_root_itself);
	tcase_add_test(cases, the_walk_does_not_wait_for_a_fifo);
	tcase_add_test(cases, the_walk_leaves_no_descriptor_behind);
	suite_add_tcase(suite, cases);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
