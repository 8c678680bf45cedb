/* Opening below a root: openat2 and the walk must agree on every path. */
#include "service/beneath.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
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
	make_link("a", "root/dir");
	make_link("loop2", "root/loop1");
	make_link("loop1", "root/loop2");
	make_link("missing", "root/dangling");
	make_link("dir/b", "root/chain");
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

static const struct {
	const char *path;
	const char *content;            /* NULL: it must fail with `error` */
	int error;
} rows[] = {
	{ "top", "top", 0 },
	{ "a/b/deep", "deep", 0 },
	{ "relative", "deep", 0 },
	{ "a/up", "top", 0 },
	{ "dir/b/deep", "deep", 0 },
	{ "chain/deep", "deep", 0 },
	{ "dir/up", "top", 0 },
	{ "a/../top", "top", 0 },
	{ "a/./b/deep", "deep", 0 },
	{ "a//b/deep", "deep", 0 },
	{ "dir/../top", "top", 0 },
	{ "out", NULL, EXDEV },
	{ "a/out", NULL, EXDEV },
	{ "../secret", NULL, EXDEV },
	{ "a/../../secret", NULL, EXDEV },
	{ "absolute", NULL, EXDEV },
	{ "/etc/passwd", NULL, EXDEV },
	{ "loop1", NULL, ELOOP },
	{ "dangling", NULL, ENOENT },
	{ "missing", NULL, ENOENT },
	{ "a/missing/x", NULL, ENOENT },
	{ "top/x", NULL, ENOTDIR },
	{ "top/", NULL, ENOTDIR },
	{ "a/b/deep/", NULL, ENOTDIR },
};

static void expect(int (*opener)(int, const char *), int row)
{
	char text[16] = "";
	int fd = opener(root, rows[row].path);

	if (rows[row].content == NULL) {
		ck_assert_msg(fd < 0 && errno == rows[row].error, "%s: fd %d, %s", rows[row].path, fd,
			      strerror(errno));
		return;
	}
	ck_assert_msg(fd >= 0, "%s: %s", rows[row].path, strerror(errno));
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, rows[row].content);
	close(fd);
}

START_TEST(openat2_says_so)
{
	expect(beneath_open, _i);
}
END_TEST

START_TEST(the_walk_says_the_same)
{
	expect(beneath_walk, _i);
}
END_TEST

START_TEST(the_walk_opens_the_root_itself)
{
	int fd = beneath_walk(root, "");

	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

START_TEST(the_walk_does_not_wait_for_a_fifo)
{
	int fd = beneath_walk(root, "fifo");

	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

START_TEST(the_walk_leaves_no_descriptor_behind)
{
	int before = dup(root), after;

	close(before);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = beneath_walk(root, rows[i].path);

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
	int failed, count = sizeof(rows) / sizeof(rows[0]);

	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_add_loop_test(cases, openat2_says_so, 0, count);
	tcase_add_loop_test(cases, the_walk_says_the_same, 0, count);
	tcase_add_test(cases, the_walk_opens_the_root_itself);
	tcase_add_test(cases, the_walk_does_not_wait_for_a_fifo);
	tcase_add_test(cases, the_walk_leaves_no_descriptor_behind);
	suite_add_tcase(suite, cases);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
