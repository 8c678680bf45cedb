/* layers_test.c - a layer that fails later is not taken for one that the kernel does not have. */
#include "config/layers.h"

#include "base/landlock.h"

#include <check.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LANDLOCK_CREATE_RULESET = 444 };

/* As if the kernel had no Landlock, from now on, in this process. */
static bool lose_landlock(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LANDLOCK_CREATE_RULESET, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(rules) / sizeof(rules[0]), rules };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Each in a process of its own; true when it ends well. */
static bool holds_in_child(bool (*what)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(what() ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool fails_loudly(void)
{
	const char *const paths[] = { "/" };
	struct err err;

	layers_look();
	return lose_landlock() && landlock_version(&err) == 0 && layer_is_there(LAYER_LANDLOCK, &err) &&
	       !landlock_confine(paths, 1, &err) && strstr(err.text, "Landlock") != NULL;
}

START_TEST(what_was_there_and_fails_is_not_missing)
{
	ck_assert(holds_in_child(fails_loudly));
}
END_TEST

static bool is_missing(void)
{
	struct config config = { .landlock = true };
	struct err err;

	return lose_landlock() && !layer_is_there(LAYER_LANDLOCK, &err) &&
	       layer_is_missing(&layers[LAYER_LANDLOCK], &config, &err) &&
	       strstr(err.text, "no Landlock") != NULL;
}

START_TEST(what_was_not_there_at_the_first_look_is_missing)
{
	ck_assert(holds_in_child(is_missing));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("layers");
	TCase *tests = tcase_create("layers");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tests, what_was_there_and_fails_is_not_missing);
	tcase_add_test(tests, what_was_not_there_at_the_first_look_is_missing);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
