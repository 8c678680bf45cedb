/* will_test.c - what is noted arrives at the other end, once; what is not a will is not taken for one. */
#include "open_count.h"

#include "base/fd.h"
#include "ipc/will.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { ROOM = 1024, OF_TWO_MESSAGES = RIGHTS_MOST + 5 };

static struct will will;
static int ends[2];
static struct bequest bequest;
static int fds[RIGHTS_MOST];
static unsigned count;

static void set_up(void)
{
	struct err err;

	ck_assert(will_pair(ends, &err) && will_make(&will, ends[1], ROOM, &err));
}

static void tear_down(void)
{
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

static int noted(uint32_t mark)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	will.notes->marks[fd] = mark;
	return fd;
}

static enum will_result receive(void)
{
	return will_receive(ends[0], &bequest, fds, &count);
}

static bool is_same(int a, int b)
{
	struct stat one, other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_ino == other.st_ino;
}

START_TEST(what_is_noted_arrives_with_its_mark_and_nothing_else)
{
	int first = noted(7), between = noted(0), second = noted(9);

	will_execute(&will);
	ck_assert_int_eq(receive(), WILL_BEQUEST);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(bequest.count, 2);
	ck_assert(is_same(fds[0], first) && is_same(fds[1], second));
	ck_assert_uint_eq(bequest.marks[0], 7);
	ck_assert_uint_eq(bequest.marks[1], 9);
	ck_assert_int_eq(receive(), WILL_EMPTY);
	close(between);
}
END_TEST

START_TEST(there_may_be_more_than_a_message_takes)
{
	int one = noted(0);

	for (unsigned i = 0; i < OF_TWO_MESSAGES; i++)
		will.notes->marks[fcntl(one, F_DUPFD_CLOEXEC, 100)] = i + 1;
	will_execute(&will);
	ck_assert_int_eq(receive(), WILL_BEQUEST);
	ck_assert_uint_eq(count, RIGHTS_MOST);
	ck_assert_int_eq(receive(), WILL_BEQUEST);
	ck_assert_uint_eq(count, OF_TWO_MESSAGES - RIGHTS_MOST);
	ck_assert_uint_eq(bequest.marks[count - 1], OF_TWO_MESSAGES);
}
END_TEST

START_TEST(nothing_is_bequeathed_twice)
{
	int fd = noted(7);

	will_execute(&will);
	ck_assert_uint_eq(will.notes->marks[fd], 0);
	will_execute(&will);            /* the keeper, after the handler */
	ck_assert_int_eq(receive(), WILL_BEQUEST);
	ck_assert_int_eq(receive(), WILL_EMPTY);
}
END_TEST

START_TEST(one_that_is_closed_costs_no_other)
{
	int closed = noted(7), open = noted(9);

	close(closed);
	will_execute(&will);
	ck_assert_int_eq(receive(), WILL_BEQUEST);
	ck_assert_uint_eq(count, 1);
	ck_assert(is_same(fds[0], open));
}
END_TEST

START_TEST(nobody_at_the_other_end_is_no_crash)
{
	noted(7);
	fd_close(&ends[0]);
	will_execute(&will);
}
END_TEST

START_TEST(the_end_is_known_when_nobody_can_write_any_more)
{
	noted(7);
	will_execute(&will);
	fd_close(&ends[1]);
	ck_assert_int_eq(receive(), WILL_BEQUEST);
	ck_assert_int_eq(receive(), WILL_END);
}
END_TEST

START_TEST(the_word_comes_first_and_is_heard_once)
{
	struct will_word word = { 0 };

	will_tell(&will, 4711);
	ck_assert_uint_ne(will.notes->told, 0);
	noted(7);
	will_execute(&will);
	ck_assert_int_eq(will_hear(ends[0], &word), WILL_WORD);
	ck_assert_uint_eq(word.keeper, 4711);
	ck_assert_int_eq(will_hear(ends[0], &word), WILL_BEQUEST);
	ck_assert_int_eq(receive(), WILL_BEQUEST);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(will_hear(ends[0], &word), WILL_EMPTY);
	fd_close(&ends[1]);
	ck_assert_int_eq(will_hear(ends[0], &word), WILL_END);
}
END_TEST

START_TEST(a_word_that_is_said_twice_is_no_bequest)
{
	will_tell(&will, 4711);
	ck_assert_int_eq(receive(), WILL_WORD);
	ck_assert_uint_eq(count, 0);
}
END_TEST

/* By one whose memory was overwritten, or who is not a worker of ours. */
static const struct {
	uint32_t count;
	unsigned marks, fds;
} nonsense[] = {
	{ 0, 0, 0 },          { 0, 1, 1 }, { 2, 1, 1 }, { 1, 2, 1 }, { 1, 1, 2 }, { RIGHTS_MOST + 1, 2, 2 },
	{ UINT32_MAX, 1, 0 },
};

START_TEST(what_is_not_understood_is_the_end_and_closed)
{
	int given[] = { ends[0], ends[0] };
	struct bequest made = { .count = nonsense[_i].count };
	unsigned before = open_count();

	ck_assert_int_gt(rights_send(ends[1], &made, (1 + nonsense[_i].marks) * sizeof(uint32_t), given,
				     nonsense[_i].fds), 0);
	ck_assert_int_eq(receive(), nonsense[_i].marks == 0 ? WILL_WORD : WILL_END);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

/* One whose client reads nothing, and that is to be closed with patience. */
static void bequeath_lingering(int listening)
{
	struct linger linger = { 1, 3600 };
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int client = socket(AF_INET, SOCK_STREAM, 0), served;
	char bytes[4096] = { 0 };

	bequest = (struct bequest){ 1, { 1 } };
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&addr, &len), 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&addr, len), 0);
	served = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
	while (send(served, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		;
	ck_assert_int_eq(setsockopt(served, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	ck_assert_int_gt(rights_send(ends[1], &bequest, 2 * sizeof(uint32_t), &served, 1), 0);
	close(served);
}

START_TEST(a_will_that_nobody_inherits_is_closed_without_patience)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listening = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(listening, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(listening, 8), 0);
	bequeath_lingering(listening);
	bequeath_lingering(listening);
	will_burn(&ends[0]);            /* check ends who waits for an hour */
	ck_assert_int_eq(ends[0], -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("will");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_add_test(all, what_is_noted_arrives_with_its_mark_and_nothing_else);
	tcase_add_test(all, there_may_be_more_than_a_message_takes);
	tcase_add_test(all, nothing_is_bequeathed_twice);
	tcase_add_test(all, one_that_is_closed_costs_no_other);
	tcase_add_test(all, nobody_at_the_other_end_is_no_crash);
	tcase_add_test(all, the_end_is_known_when_nobody_can_write_any_more);
	tcase_add_test(all, the_word_comes_first_and_is_heard_once);
	tcase_add_test(all, a_word_that_is_said_twice_is_no_bequest);
	tcase_add_loop_test(all, what_is_not_understood_is_the_end_and_closed, 0,
			    sizeof(nonsense) / sizeof(nonsense[0]));
	tcase_add_test(all, a_will_that_nobody_inherits_is_closed_without_patience);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
