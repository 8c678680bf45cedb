/* handover_test.c - batches, answers and descriptors over a real pair; what is taken for the end; the
 * window. */
#include "open_count.h"

#include "ipc/handover.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SENDER, RECEIVER, BODY_AT = offsetof(struct handover_message, body), NOBODY = 65534 };

static int ends[2];
static struct handover_message sent, received;

static void open_pair(void)
{
	struct err err;

	ck_assert_msg(channel_pair(ends, &err), "%s", err.text);
	handover_batch(&sent, 1);
}

static void close_pair(void)
{
	close(ends[0]);
	close(ends[1]);
}

/* Adds `len` bytes of `fill`. */
static bool add(size_t len, char fill, bool file)
{
	struct record record = handover_room(&sent);
	char bytes[HANDOVER_MAX_BYTES];

	memset(bytes, fill, sizeof(bytes));
	record_raw(&record, bytes, len);
	return handover_add(&sent, &record, ends[SENDER], file ? ends[RECEIVER] : -1);
}

static enum handover_result receive(void)
{
	return handover_receive(ends[RECEIVER], &received);
}

static void pass_on(void)
{
	ck_assert_int_eq(handover_send(ends[SENDER], &sent), HANDOVER_SENT);
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
}

/* ---- a batch ------------------------ */

START_TEST(the_records_of_a_batch_arrive_in_order_with_their_descriptors)
{
	struct record record;
	int fd, file_fd;

	for (unsigned i = 0; i < 5; i++)
		ck_assert(add(i * 3 + 1, (char)('a' + i), i % 2 == 1));
	pass_on();
	ck_assert_uint_eq(received.head.number, 1);
	ck_assert_uint_eq(received.head.count, 5);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert(handover_next(&received, &record, &fd, &file_fd));
		ck_assert_uint_eq(record.size, i * 3 + 1);
		ck_assert_int_eq(record.at[record.size - 1], 'a' + (int)i);
		ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(file_fd >= 0, i % 2 == 1);
		close(fd);
		if (file_fd >= 0)
			ck_assert_int_eq(close(file_fd), 0);
	}
	ck_assert(!handover_next(&received, &record, &fd, &file_fd));
	ck_assert_uint_eq(received.next_record, received.head.count);
}
END_TEST

START_TEST(a_batch_has_room_for_the_longest_record)
{
	ck_assert(add(HANDOVER_RECORD_BYTES, 'x', true));
	pass_on();
	handover_drop(&received);
}
END_TEST

START_TEST(a_record_that_has_no_room_leaves_the_batch_as_it_was)
{
	ck_assert(add(HANDOVER_RECORD_BYTES, 'x', false));
	ck_assert(!add(HANDOVER_MAX_BYTES - HANDOVER_RECORD_BYTES, 'y', false));
	ck_assert_uint_eq(sent.head.count, 1);
	ck_assert_uint_eq(sent.fd_count, 1);
	pass_on();
	ck_assert_uint_eq(received.head.count, 1);
	handover_drop(&received);
}
END_TEST

START_TEST(a_batch_without_room_for_a_single_byte_takes_no_record)
{
	while (add(1, 'x', false))
		;
	while (add(HANDOVER_MAX_BYTES / 8, 'x', false))
		;
	ck_assert_uint_le(sent.head.bytes, HANDOVER_MAX_BYTES);
}
END_TEST

/* Records of all lengths: the last one fills the batch to the byte, or not. */
START_TEST(a_batch_is_never_longer_than_the_longest)
{
	for (size_t len = 2000; len < 2020; len++) {
		handover_batch(&sent, 1);
		while (add(len, 'x', false))
			;
		while (add(100, 'x', false))
			;
		while (add(1, 'x', false))
			;
		while (add(0, 'x', false))
			;
		ck_assert_uint_le(sent.head.bytes, HANDOVER_MAX_BYTES);
		ck_assert_uint_gt(sent.head.bytes, HANDOVER_MAX_BYTES - 10);
	}
}
END_TEST

START_TEST(the_most_descriptors_go_and_not_one_more)
{
	for (unsigned i = 0; i < CHANNEL_MAX_FDS; i++)
		ck_assert(add(4, 'x', false));
	ck_assert(!add(4, 'x', false));
	pass_on();
	ck_assert_uint_eq(received.head.count, CHANNEL_MAX_FDS);
	ck_assert_uint_eq(received.fd_count, CHANNEL_MAX_FDS);
	handover_drop(&received);
}
END_TEST

START_TEST(a_second_descriptor_counts_too)
{
	for (unsigned i = 0; i < CHANNEL_MAX_FDS / 2; i++)
		ck_assert(add(4, 'x', true));
	ck_assert(!add(4, 'x', true));
	ck_assert(add(4, 'x', false));
}
END_TEST

START_TEST(dropping_a_batch_leaves_what_was_taken)
{
	unsigned before = open_count();
	struct record record;
	int fd, file_fd;

	for (unsigned i = 0; i < 4; i++)
		add(4, 'x', true);
	pass_on();
	ck_assert(handover_next(&received, &record, &fd, &file_fd));
	handover_drop(&received);
	ck_assert_uint_eq(open_count(), before + 2);
	close(fd);
	close(file_fd);
}
END_TEST

/* ---- a receiver that is short of descriptors ------------------------ */

/* Receives `sent` while only `room` more can be opened. */
static void receive_with_room(unsigned room)
{
	struct rlimit limit, little;
	rlim_t most = 0;

	ck_assert_int_eq(handover_send(ends[SENDER], &sent), HANDOVER_SENT);
	for (unsigned seen = 0; seen < room; most++)
		seen += fcntl((int)most, F_GETFD) < 0;
	getrlimit(RLIMIT_NOFILE, &limit);
	little = (struct rlimit){ most, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &little);
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
	setrlimit(RLIMIT_NOFILE, &limit);
}

START_TEST(records_whose_descriptors_had_no_room_come_without)
{
	unsigned before = open_count(), whole = 0;
	struct record record;
	int fd, file_fd;

	for (unsigned i = 0; i < 6; i++)
		add(4, 'x', false);
	receive_with_room((unsigned)_i);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert(handover_next(&received, &record, &fd, &file_fd));
		ck_assert_int_eq(fd >= 0, i < (unsigned)_i);
		whole += fd >= 0 && close(fd) == 0;
	}
	ck_assert_uint_eq(whole, (unsigned)_i);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

START_TEST(a_record_of_whose_descriptors_one_came_has_none)
{
	unsigned before = open_count();
	struct record record;
	int fd, file_fd;

	add(4, 'x', true);
	receive_with_room(1);
	ck_assert(handover_next(&received, &record, &fd, &file_fd));
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(file_fd, -1);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

/* ---- what is wrong with a batch ------------------------ */

/* Sends `sent` as it is, whatever it says, with `count` descriptors. */
static void send_as_it_is(size_t len, unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_MAX_FDS)];
	} control = { 0 };
	struct iovec part = { &sent, len };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		CMSG_FIRSTHDR(&header)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&header)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&header)->cmsg_len = CMSG_LEN(sizeof(int) * count);
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)) + i * sizeof(int), &ends[0], sizeof(int));
	}
	ck_assert_int_eq(sendmsg(ends[SENDER], &header, 0), (ssize_t)len);
}

/* In front of the first record. */
static void set_piece(uint32_t bytes, uint32_t fds)
{
	memcpy(sent.body.bytes, &bytes, sizeof(bytes));
	memcpy(sent.body.bytes + sizeof(bytes), &fds, sizeof(fds));
}

START_TEST(a_record_that_cannot_be_ends_the_batch)
{
	static const struct {
		uint32_t bytes, fds;
	} rows[] = {
		{ 5, 1 }, { UINT32_MAX, 1 }, { UINT32_MAX - 7, 1 }, { 4, 0 }, { 4, 3 }, { 4, UINT32_MAX }
	};
	unsigned before = open_count();
	struct record record;
	int fd, file_fd;

	add(4, 'x', false);
	set_piece(rows[_i].bytes, rows[_i].fds);
	send_as_it_is(BODY_AT + sent.head.bytes, 3);
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
	ck_assert(!handover_next(&received, &record, &fd, &file_fd));
	ck_assert_uint_eq(received.next_record, 0);
	handover_drop(&received);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

START_TEST(records_behind_the_count_are_not_read)
{
	struct record record;
	int fd, file_fd;

	add(4, 'x', false);
	add(4, 'y', false);
	sent.head.count = 1;
	pass_on();
	ck_assert(handover_next(&received, &record, &fd, &file_fd));
	close(fd);
	ck_assert(!handover_next(&received, &record, &fd, &file_fd));
	handover_drop(&received);
}
END_TEST

/* What is added to the head of a good batch of one record. */
static const struct {
	int magic, version, type, count, bytes;
} wrong[] = {
	{ .magic = 1 },
	{ .version = 1 },
	{ .version = -1 },
	{ .type = -HANDOVER_BATCH },
	{ .type = HANDOVER_CREDIT - HANDOVER_BATCH },
	{ .type = HANDOVER_ACK - HANDOVER_BATCH },
	{ .type = HANDOVER_REFUSE - HANDOVER_BATCH },
	{ .type = HANDOVER_TYPES - HANDOVER_BATCH },
	{ .count = -1 },
	{ .count = CHANNEL_MAX_FDS },
	{ .bytes = -1 },
	{ .bytes = 1 },
	{ .bytes = INT32_MIN },
};

static void spoil_head(int row)
{
	sent.head.magic += (uint32_t)wrong[row].magic;
	sent.head.version = (uint16_t)(sent.head.version + wrong[row].version);
	sent.head.type = (uint16_t)(sent.head.type + wrong[row].type);
	sent.head.count += (uint32_t)wrong[row].count;
	sent.head.bytes += (uint32_t)wrong[row].bytes;
}

START_TEST(a_head_that_is_wrong_is_not_understood)
{
	unsigned before = open_count();
	size_t len;

	add(4, 'x', true);
	len = BODY_AT + sent.head.bytes;
	spoil_head(_i);
	send_as_it_is(len, 2);
	ck_assert_int_eq(receive(), HANDOVER_UNKNOWN);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

START_TEST(a_head_that_is_cut_is_not_understood)
{
	for (size_t len = 1; len < BODY_AT; len++) {
		send_as_it_is(len, 0);
		ck_assert_int_eq(receive(), HANDOVER_UNKNOWN);
	}
}
END_TEST

START_TEST(a_message_longer_than_any_is_not_understood)
{
	static char long_one[BODY_AT + HANDOVER_MAX_BYTES + 1];

	sent.head.count = 1;
	sent.head.bytes = HANDOVER_MAX_BYTES + 1;
	memcpy(long_one, &sent, BODY_AT);
	ck_assert_int_eq(send(ends[SENDER], long_one, sizeof(long_one), 0), sizeof(long_one));
	ck_assert_int_eq(receive(), HANDOVER_UNKNOWN);
}
END_TEST

START_TEST(what_follows_a_message_that_is_not_understood_is_received)
{
	static const struct handover_declined none;

	send_as_it_is(1, 0);
	ck_assert_int_eq(handover_answer(ends[SENDER], HANDOVER_ACK, 1, &none), HANDOVER_SENT);
	ck_assert_int_eq(receive(), HANDOVER_UNKNOWN);
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
}
END_TEST

/* ---- answers ------------------------ */

START_TEST(an_acknowledgement_says_which_records_were_declined)
{
	struct handover_declined declined = { 0 };

	handover_decline(&declined, 0);
	handover_decline(&declined, 64);
	handover_decline(&declined, CHANNEL_MAX_FDS - 1);
	ck_assert_int_eq(handover_answer(ends[SENDER], HANDOVER_ACK, 9, &declined), HANDOVER_SENT);
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
	ck_assert_uint_eq(received.head.type, HANDOVER_ACK);
	ck_assert_uint_eq(received.head.number, 9);
	for (unsigned i = 0; i < CHANNEL_MAX_FDS; i++)
		ck_assert_int_eq(handover_is_declined(&received.body.declined, i),
				 i == 0 || i == 64 || i == CHANNEL_MAX_FDS - 1);
}
END_TEST

START_TEST(answers_without_a_body_arrive)
{
	static const enum handover_type types[] = { HANDOVER_CREDIT, HANDOVER_REFUSE };

	ck_assert_int_eq(handover_answer(ends[SENDER], types[_i], UINT64_MAX, NULL), HANDOVER_SENT);
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
	ck_assert_uint_eq(received.head.type, types[_i]);
	ck_assert_uint_eq(received.head.number, UINT64_MAX);
	ck_assert_uint_eq(received.head.version, HANDOVER_VERSION);
}
END_TEST

/* ---- the other end ------------------------ */

START_TEST(an_empty_channel_is_empty)
{
	ck_assert_int_eq(receive(), HANDOVER_EMPTY);
}
END_TEST

START_TEST(an_acknowledgement_behind_a_reset_is_found)
{
	struct handover_declined none = { 0 };

	add(4, 'x', false);
	ck_assert_int_eq(handover_send(ends[SENDER], &sent), HANDOVER_SENT);
	ck_assert_int_eq(handover_send(ends[SENDER], &sent), HANDOVER_SENT);
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
	handover_drop(&received);
	ck_assert_int_eq(handover_answer(ends[RECEIVER], HANDOVER_ACK, 1, &none), HANDOVER_SENT);
	close(ends[RECEIVER]);          /* with the second batch unread: a reset */
	ends[RECEIVER] = ends[SENDER];
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
	ck_assert_uint_eq(received.head.type, HANDOVER_ACK);
	ck_assert_int_eq(receive(), HANDOVER_END);
	ends[RECEIVER] = -1;
}
END_TEST

START_TEST(sending_to_nobody_is_broken)
{
	add(4, 'x', false);
	close(ends[RECEIVER]);
	ends[RECEIVER] = -1;
	ck_assert_int_eq(handover_send(ends[SENDER], &sent), HANDOVER_BROKEN);
}
END_TEST

START_TEST(what_was_sent_before_the_end_is_received)
{
	add(4, 'x', false);
	ck_assert_int_eq(handover_send(ends[SENDER], &sent), HANDOVER_SENT);
	shutdown(ends[SENDER], SHUT_WR);
	ck_assert_int_eq(receive(), HANDOVER_MESSAGE);
	handover_drop(&received);
	ck_assert_int_eq(receive(), HANDOVER_END);
}
END_TEST

START_TEST(a_channel_that_nobody_reads_is_full_and_never_hangs)
{
	enum handover_sent result = HANDOVER_SENT;
	unsigned count;

	add(HANDOVER_RECORD_BYTES, 'x', false);
	for (count = 0; count < 1000 && result == HANDOVER_SENT; count++)
		result = handover_send(ends[SENDER], &sent);
	ck_assert_int_eq(result, HANDOVER_FULL);
	ck_assert_uint_gt(count, HANDOVER_WINDOW);      /* so that a sender in its window is never full */
}
END_TEST

START_TEST(what_nobody_received_goes_with_the_channel)
{
	unsigned before = open_count();

	for (unsigned i = 0; i < 10; i++)
		add(4, 'x', true);
	ck_assert_int_eq(handover_send(ends[SENDER], &sent), HANDOVER_SENT);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

/* As a worker is: what it has in flight is limited (unix(7), ETOOMANYREFS). */
static void send_unprivileged(void)
{
	struct rlimit few = { 40, 40 };
	enum handover_sent result = HANDOVER_SENT;

	if (setrlimit(RLIMIT_NOFILE, &few) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		_exit(2);
	for (unsigned i = 0; i < 30; i++)
		if (!add(4, 'x', false))
			_exit(3);
	for (unsigned i = 0; i < 4 && result == HANDOVER_SENT; i++)
		result = handover_send(ends[SENDER], &sent);
	if (result != HANDOVER_TOO_MANY)
		_exit(4);
	if (receive() != HANDOVER_MESSAGE)      /* makes room again */
		_exit(5);
	handover_drop(&received);
	_exit(handover_send(ends[SENDER], &sent) == HANDOVER_SENT ? 0 : 6);
}

START_TEST(too_many_in_flight_is_not_the_end)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		send_unprivileged();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- the window ------------------------ */

START_TEST(nothing_is_sent_without_credit)
{
	struct handover_window window = { 0 };

	ck_assert_uint_eq(handover_window_room(&window), 0);
	ck_assert(handover_window_credited(&window, 3));
	ck_assert_uint_eq(handover_window_room(&window), 3);
	handover_window_sent(&window, 3);
	ck_assert_uint_eq(handover_window_room(&window), 0);
}
END_TEST

START_TEST(a_batch_never_has_more_than_the_most_descriptors)
{
	struct handover_window window = { .credit = UINT64_MAX };

	ck_assert_uint_eq(handover_window_room(&window), CHANNEL_MAX_FDS);
}
END_TEST

START_TEST(a_credit_is_a_total)
{
	struct handover_window window = { 0 };

	handover_window_credited(&window, 10);
	handover_window_sent(&window, 8);
	ck_assert(handover_window_credited(&window, 11));
	ck_assert_uint_eq(handover_window_room(&window), 3);
}
END_TEST

START_TEST(a_credit_that_shrinks_is_not_believed)
{
	struct handover_window window = { .credit = 10 };

	ck_assert(!handover_window_credited(&window, 9));
	ck_assert(handover_window_credited(&window, 10));
	ck_assert_uint_eq(window.credit, 10);
}
END_TEST

START_TEST(only_so_many_batches_are_unacknowledged)
{
	struct handover_window window = { .credit = 100 };

	for (unsigned i = 0; i < HANDOVER_WINDOW; i++) {
		ck_assert_uint_gt(handover_window_room(&window), 0);
		handover_window_sent(&window, 1);
	}
	ck_assert_uint_eq(handover_window_room(&window), 0);
	ck_assert(handover_window_acked(&window, 1));
	ck_assert_uint_eq(handover_window_room(&window), 100 - HANDOVER_WINDOW);
}
END_TEST

START_TEST(an_acknowledgement_of_what_was_not_sent_is_not_believed)
{
	struct handover_window window = { .credit = 100 };

	ck_assert(!handover_window_acked(&window, 1));
	handover_window_sent(&window, 1);
	handover_window_sent(&window, 1);
	ck_assert(!handover_window_acked(&window, 0));
	ck_assert(!handover_window_acked(&window, 2));
	ck_assert(!handover_window_acked(&window, 3));
	ck_assert(handover_window_acked(&window, 1));
	ck_assert(!handover_window_acked(&window, 1));
	ck_assert(handover_window_acked(&window, 2));
	ck_assert(!handover_window_acked(&window, 3));
}
END_TEST

static void add_wire_tests(TCase *tests)
{
	tcase_add_loop_test(tests, a_record_that_cannot_be_ends_the_batch, 0, 6);
	tcase_add_test(tests, records_behind_the_count_are_not_read);
	tcase_add_loop_test(tests, a_head_that_is_wrong_is_not_understood, 0,
			    sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(tests, a_head_that_is_cut_is_not_understood);
	tcase_add_test(tests, a_message_longer_than_any_is_not_understood);
	tcase_add_test(tests, what_follows_a_message_that_is_not_understood_is_received);
	tcase_add_test(tests, an_acknowledgement_says_which_records_were_declined);
	tcase_add_loop_test(tests, answers_without_a_body_arrive, 0, 2);
	tcase_add_test(tests, an_empty_channel_is_empty);
	tcase_add_test(tests, an_acknowledgement_behind_a_reset_is_found);
	tcase_add_test(tests, sending_to_nobody_is_broken);
	tcase_add_test(tests, what_was_sent_before_the_end_is_received);
	tcase_add_test(tests, a_channel_that_nobody_reads_is_full_and_never_hangs);
	tcase_add_test(tests, what_nobody_received_goes_with_the_channel);
	tcase_add_test(tests, too_many_in_flight_is_not_the_end);
}

static void add_window_tests(TCase *tests)
{
	tcase_add_test(tests, nothing_is_sent_without_credit);
	tcase_add_test(tests, a_batch_never_has_more_than_the_most_descriptors);
	tcase_add_test(tests, a_credit_is_a_total);
	tcase_add_test(tests, a_credit_that_shrinks_is_not_believed);
	tcase_add_test(tests, only_so_many_batches_are_unacknowledged);
	tcase_add_test(tests, an_acknowledgement_of_what_was_not_sent_is_not_believed);
}

int main(void)
{
	Suite *suite = suite_create("handover");
	TCase *tests = tcase_create("handover");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, open_pair, close_pair);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, the_records_of_a_batch_arrive_in_order_with_their_descriptors);
	tcase_add_test(tests, a_batch_has_room_for_the_longest_record);
	tcase_add_test(tests, a_record_that_has_no_room_leaves_the_batch_as_it_was);
	tcase_add_test(tests, a_batch_without_room_for_a_single_byte_takes_no_record);
	tcase_add_test(tests, a_batch_is_never_longer_than_the_longest);
	tcase_add_test(tests, the_most_descriptors_go_and_not_one_more);
	tcase_add_test(tests, a_second_descriptor_counts_too);
	tcase_add_test(tests, dropping_a_batch_leaves_what_was_taken);
	tcase_add_loop_test(tests, records_whose_descriptors_had_no_room_come_without, 0, 7);
	tcase_add_test(tests, a_record_of_whose_descriptors_one_came_has_none);
	add_wire_tests(tests);
	add_window_tests(tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
