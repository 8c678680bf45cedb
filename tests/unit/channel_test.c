/* channel_test.c - messages with descriptors over a pair, and what is taken for the end. */
#include "open_count.h"

#include "ipc/channel.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_AT = offsetof(struct message, body) };

static int ends[2];
static struct message sent, received;
static struct message_fds fds;

static void open_pair(void)
{
	struct err err;

	ck_assert_msg(channel_pair(ends, &err), "%s", err.text);
	memset(&sent, 0, sizeof(sent));
}

static void close_pair(void)
{
	close(ends[0]);
	close(ends[1]);
}

/* Sends the first `len` bytes of `sent`, past channel_send, with `count` copies of a descriptor. */
static void send_raw(size_t len, unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_MAX_FDS)];
	} control = { 0 };
	char bytes[sizeof(sent) + 1] = { 0 };   /* a byte more than any message has */
	struct iovec part = { bytes, len };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

	memcpy(bytes, &sent, len < sizeof(sent) ? len : sizeof(sent));
	if (count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		CMSG_FIRSTHDR(&header)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&header)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&header)->cmsg_len = CMSG_LEN(sizeof(int) * count);
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)) + i * sizeof(int), &ends[0], sizeof(int));
	}
	ck_assert_int_eq(sendmsg(ends[0], &header, 0), (ssize_t)len);
}

static enum channel_result receive(void)
{
	return channel_receive(ends[1], &received, &fds);
}

START_TEST(an_empty_channel_is_empty)
{
	ck_assert_int_eq(receive(), CHANNEL_EMPTY);
}
END_TEST

START_TEST(both_ends_are_closed_on_exec)
{
	ck_assert_int_eq(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
}
END_TEST

static const enum message_type bodiless[] = {
	MESSAGE_CONFIG,  MESSAGE_GO,       MESSAGE_ABORT, MESSAGE_READY,
	MESSAGE_ADOPTED, MESSAGE_LEAVING, MESSAGE_RELEASED, MESSAGE_SPENT,
	MESSAGE_WAITING, MESSAGE_LOOK, MESSAGE_COUNT, MESSAGE_LISTED, MESSAGE_STAYING,
};

START_TEST(a_message_without_a_body_arrives_with_its_generation)
{
	struct err err;

	ck_assert(channel_tell(ends[0], bodiless[_i], 7, &err));
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	ck_assert_uint_eq(received.type, bodiless[_i]);
	ck_assert_uint_eq(received.generation, 7);
	ck_assert_uint_eq(fds.count, 0);
}
END_TEST

static const struct {
	enum message_type type;
	size_t bytes;
} bodied[] = {
	{ MESSAGE_SOCKETS, sizeof(struct socket_note) },
	{ MESSAGE_SOCKETS, CHANNEL_MAX_FDS * sizeof(struct socket_note) },
	{ MESSAGE_PREPARE, sizeof(struct prepare_note) },
	{ MESSAGE_COVER, sizeof(struct slot_set) },
	{ MESSAGE_DRAIN, sizeof(struct drain_note) },
	{ MESSAGE_LOGS, sizeof(struct logs_note) },
	{ MESSAGE_REOPEN, sizeof(struct logs_note) },
	{ MESSAGE_REOPENED, sizeof(struct reopened_note) },
	{ MESSAGE_RELEASE, sizeof(struct release_note) },
	{ MESSAGE_HAND, sizeof(struct hand_note) },
	{ MESSAGE_TAKE, sizeof(struct hand_note) },
	{ MESSAGE_PARTED, sizeof(struct hand_note) },
	{ MESSAGE_UNHEARD, sizeof(struct hand_note) },
	{ MESSAGE_WILL, sizeof(struct hand_note) },
	{ MESSAGE_COUNTED, sizeof(struct count_note) },
	{ MESSAGE_LIST, sizeof(struct list_note) },
	{ MESSAGE_FAILED, 1 },
	{ MESSAGE_FAILED, ERR_TEXT_BYTES },
	{ MESSAGE_CONFINED, 1 },
	{ MESSAGE_CONFINED, ERR_TEXT_BYTES },
};

static bool has_text(enum message_type type)
{
	return type == MESSAGE_FAILED || type == MESSAGE_CONFINED;
}

START_TEST(a_message_with_a_body_arrives_whole)
{
	struct err err;

	memset(&sent.body, 0x5a, sizeof(sent.body));
	sent.type = bodied[_i].type;
	sent.bytes = (uint32_t)bodied[_i].bytes;
	if (has_text(sent.type))
		sent.body.text[sent.bytes - 1] = '\0';
	ck_assert(channel_send(ends[0], &sent, NULL, 0, &err));
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	ck_assert_uint_eq(received.bytes, sent.bytes);
	ck_assert_mem_eq(&received.body, &sent.body, sent.bytes);
}
END_TEST

START_TEST(every_type_is_in_one_of_the_two_tables)
{
	unsigned found[MESSAGE_TYPES] = { 0 };

	for (size_t i = 0; i < sizeof(bodiless) / sizeof(bodiless[0]); i++)
		found[bodiless[i]] = 1;
	for (size_t i = 0; i < sizeof(bodied) / sizeof(bodied[0]); i++)
		found[bodied[i].type] |= 2;
	for (unsigned type = 1; type < MESSAGE_TYPES; type++)
		ck_assert_msg(found[type] == 1 || found[type] == 2, "type %u", type);
}
END_TEST

START_TEST(a_body_that_is_a_byte_longer_counts_as_the_end)
{
	sent.type = bodied[_i].type;
	sent.bytes = (uint32_t)bodied[_i].bytes + 1;
	if (has_text(sent.type) && bodied[_i].bytes == 1)
		sent.bytes = ERR_TEXT_BYTES + 1;
	send_raw(BODY_AT + sent.bytes, 0);
	ck_assert_int_eq(receive(), CHANNEL_END);
}
END_TEST

START_TEST(a_body_that_is_a_byte_shorter_counts_as_the_end)
{
	sent.type = bodied[_i].type;
	sent.bytes = (uint32_t)bodied[_i].bytes - 1;
	if (has_text(sent.type))
		sent.bytes = 0;
	send_raw(BODY_AT + sent.bytes, 0);
	ck_assert_int_eq(receive(), CHANNEL_END);
}
END_TEST

START_TEST(a_length_that_lies_counts_as_the_end)
{
	sent.type = bodied[_i].type;
	sent.bytes = (uint32_t)bodied[_i].bytes;
	send_raw(BODY_AT + bodied[_i].bytes - 1, 0);
	ck_assert_int_eq(receive(), CHANNEL_END);
}
END_TEST

START_TEST(a_body_where_none_belongs_counts_as_the_end)
{
	sent.type = bodiless[_i];
	sent.bytes = 8;
	send_raw(BODY_AT + 8, 0);
	ck_assert_int_eq(receive(), CHANNEL_END);
}
END_TEST

START_TEST(a_truncated_head_counts_as_the_end)
{
	sent.type = MESSAGE_GO;
	for (size_t len = 1; len < BODY_AT; len++) {
		send_raw(len, 0);
		ck_assert_int_eq(receive(), CHANNEL_END);
	}
}
END_TEST

START_TEST(an_unknown_type_counts_as_the_end)
{
	static const uint32_t unknown[] = { 0, MESSAGE_TYPES, UINT32_MAX };

	for (unsigned i = 0; i < 3; i++) {
		sent.type = unknown[i];
		send_raw(BODY_AT, 0);
		ck_assert_int_eq(receive(), CHANNEL_END);
	}
}
END_TEST

START_TEST(a_message_longer_than_any_counts_as_the_end)
{
	static char long_one[sizeof(struct message) + 1];
	struct message head = { .type = MESSAGE_SOCKETS, .bytes = sizeof(struct message) + 1 - BODY_AT };

	memcpy(long_one, &head, BODY_AT);
	ck_assert_int_eq(send(ends[0], long_one, sizeof(long_one), 0), sizeof(long_one));
	ck_assert_int_eq(receive(), CHANNEL_END);
}
END_TEST

START_TEST(a_closed_channel_is_at_its_end)
{
	close(ends[0]);
	ck_assert_int_eq(receive(), CHANNEL_END);
	ends[0] = -1;
}
END_TEST

START_TEST(what_was_sent_before_the_end_is_still_received)
{
	struct err err;

	ck_assert(channel_tell(ends[0], MESSAGE_READY, 3, &err));
	close(ends[0]);
	ends[0] = -1;
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	ck_assert_int_eq(receive(), CHANNEL_END);
}
END_TEST

START_TEST(sending_to_nobody_says_why)
{
	struct err err;

	close(ends[1]);
	ends[1] = -1;
	ck_assert(!channel_tell(ends[0], MESSAGE_READY, 3, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "Broken pipe"));
}
END_TEST

START_TEST(a_reader_that_does_not_read_is_an_error_and_no_hang)
{
	struct err err;
	unsigned sent_count = 0;

	while (sent_count < 1000000 && channel_tell(ends[0], MESSAGE_GO, 1, &err))
		sent_count++;
	ck_assert_uint_gt(sent_count, 0);
	ck_assert_uint_lt(sent_count, 1000000);
}
END_TEST

START_TEST(a_hint_is_sent_once_until_all_was_read)
{
	for (int i = 0; i < 3; i++)
		channel_hint(ends[0], MESSAGE_LOOK);
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	ck_assert_int_eq(received.type, MESSAGE_LOOK);
	ck_assert_int_eq(receive(), CHANNEL_EMPTY);
	channel_hint(ends[0], MESSAGE_LOOK);
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
}
END_TEST

START_TEST(a_text_is_terminated_whatever_was_sent)
{
	sent.type = MESSAGE_FAILED;
	sent.bytes = 4;
	memcpy(sent.body.text, "abcd", 4);
	send_raw(BODY_AT + 4, 0);
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	ck_assert_str_eq(received.body.text, "abc");
}
END_TEST

START_TEST(descriptors_arrive_open_and_closed_on_exec)
{
	struct err err;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	sent.type = MESSAGE_LOGS;
	sent.bytes = sizeof(struct logs_note);
	ck_assert(channel_send(ends[0], &sent, (int[]){ null, null }, 2, &err));
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	ck_assert_uint_eq(fds.count, 2);
	ck_assert_int_eq(fcntl(fds.at[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_ne(fds.at[1], null);
	channel_drop(&fds);
	close(null);
}
END_TEST

START_TEST(without_free_descriptors_the_message_comes_without_any)
{
	struct err err;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct rlimit limit = { (rlim_t)null + 1, (rlim_t)null + 1 };

	sent.type = MESSAGE_LOGS;
	sent.bytes = sizeof(struct logs_note);
	ck_assert(channel_send(ends[0], &sent, (int[]){ null, null }, 2, &err));
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);  /* this test's process alone */
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	ck_assert_uint_eq(fds.count, 0);
	close(null);
}
END_TEST

START_TEST(the_most_descriptors_arrive_in_one_message)
{
	unsigned before = open_count();

	sent.type = MESSAGE_SOCKETS;
	sent.bytes = CHANNEL_MAX_FDS * sizeof(struct socket_note);
	send_raw(BODY_AT + sent.bytes, CHANNEL_MAX_FDS);
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	ck_assert_uint_eq(fds.count, CHANNEL_MAX_FDS);
	ck_assert_uint_eq(open_count(), before + CHANNEL_MAX_FDS);
	channel_drop(&fds);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

START_TEST(dropping_leaves_what_was_taken)
{
	int taken;

	sent.type = MESSAGE_CONFIG;
	send_raw(BODY_AT, 1);
	ck_assert_int_eq(receive(), CHANNEL_MESSAGE);
	taken = fds.at[0];
	fds.at[0] = -1;
	channel_drop(&fds);
	ck_assert_int_ge(fcntl(taken, F_GETFD), 0);
	close(taken);
}
END_TEST

START_TEST(the_descriptors_of_a_broken_message_are_not_leaked)
{
	unsigned before = open_count();

	sent.type = MESSAGE_TYPES;
	send_raw(BODY_AT, 10);
	ck_assert_int_eq(receive(), CHANNEL_END);
	ck_assert_uint_eq(fds.count, 0);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

START_TEST(descriptors_that_nobody_received_go_with_the_channel)
{
	unsigned before = open_count();

	sent.type = MESSAGE_CONFIG;
	send_raw(BODY_AT, 10);
	ck_assert_uint_eq(open_count(), before);
}
END_TEST

START_TEST(a_set_of_slots_holds_each_slot_by_itself)
{
	struct slot_set set = { 0 };

	slot_set_add(&set, 0);
	slot_set_add(&set, 63);
	slot_set_add(&set, CHANNEL_MAX_SLOTS - 1);
	for (unsigned slot = 0; slot < CHANNEL_MAX_SLOTS + 100; slot++)
		ck_assert_int_eq(slot_set_has(&set, slot),
				 slot == 0 || slot == 63 || slot == CHANNEL_MAX_SLOTS - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("channel");
	TCase *tests = tcase_create("channel");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, open_pair, close_pair);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, an_empty_channel_is_empty);
	tcase_add_test(tests, both_ends_are_closed_on_exec);
	tcase_add_loop_test(tests, a_message_without_a_body_arrives_with_its_generation, 0,
			    sizeof(bodiless) / sizeof(bodiless[0]));
	tcase_add_loop_test(tests, a_message_with_a_body_arrives_whole, 0,
			    sizeof(bodied) / sizeof(bodied[0]));
	tcase_add_test(tests, every_type_is_in_one_of_the_two_tables);
	tcase_add_loop_test(tests, a_body_that_is_a_byte_longer_counts_as_the_end, 0,
			    sizeof(bodied) / sizeof(bodied[0]));
	tcase_add_loop_test(tests, a_body_that_is_a_byte_shorter_counts_as_the_end, 0,
			    sizeof(bodied) / sizeof(bodied[0]));
	tcase_add_loop_test(tests, a_length_that_lies_counts_as_the_end, 0,
			    sizeof(bodied) / sizeof(bodied[0]));
	tcase_add_loop_test(tests, a_body_where_none_belongs_counts_as_the_end, 0,
			    sizeof(bodiless) / sizeof(bodiless[0]));
	tcase_add_test(tests, a_truncated_head_counts_as_the_end);
	tcase_add_test(tests, an_unknown_type_counts_as_the_end);
	tcase_add_test(tests, a_message_longer_than_any_counts_as_the_end);
	tcase_add_test(tests, a_closed_channel_is_at_its_end);
	tcase_add_test(tests, what_was_sent_before_the_end_is_still_received);
	tcase_add_test(tests, sending_to_nobody_says_why);
	tcase_add_test(tests, a_reader_that_does_not_read_is_an_error_and_no_hang);
	tcase_add_test(tests, a_hint_is_sent_once_until_all_was_read);
	tcase_add_test(tests, a_text_is_terminated_whatever_was_sent);
	tcase_add_test(tests, descriptors_arrive_open_and_closed_on_exec);
	tcase_add_test(tests, without_free_descriptors_the_message_comes_without_any);
	tcase_add_test(tests, the_most_descriptors_arrive_in_one_message);
	tcase_add_test(tests, dropping_leaves_what_was_taken);
	tcase_add_test(tests, the_descriptors_of_a_broken_message_are_not_leaked);
	tcase_add_test(tests, descriptors_that_nobody_received_go_with_the_channel);
	tcase_add_test(tests, a_set_of_slots_holds_each_slot_by_itself);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
