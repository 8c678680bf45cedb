/* handover_fuzz.c - what one worker says to another: whatever comes through the channel, what is read lies
 * within the message, no descriptor is left, and the sender's window holds. What is written by our own
 * hand is read as it was written.
 *
 * Input: messages; of each the flags, then either a whole head, or a type, a number and a count; a length
 * (two bytes) and a body. A message that is WRITTEN is a batch whose records have the body's bytes as
 * lengths. */
#include "fuzz.h"

#include "base/fd.h"
#include "ipc/handover.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Flags of a message. */
enum {
	FDS = 0x0f,                     /* so many descriptors */
	OWN_HEAD = 0x10,                /* the head is taken from the input */
	CUT = 0x20,                     /* the last byte is not sent */
	WRITTEN = 0x40,
	SENDS = 0x80,                   /* behind it, the sender sends what it may */
};

enum { BODY_AT = offsetof(struct handover_message, body), MOST_BODY = 600, RECORD_UNIT = 97 };

static struct handover_message sent, received;
static int ends[2], null_fd;

/* ---- our own batches ---- */

static void write_batch(struct str lengths)
{
	handover_batch(&sent, 1);
	for (size_t i = 0; i < lengths.len; i++) {
		struct record record = handover_room(&sent);
		unsigned len = (uint8_t)lengths.at[i];

		for (unsigned byte = 0; byte < len * RECORD_UNIT && !record.bad; byte++)
			record_raw(&record, &len, 1);
		if (!handover_add(&sent, &record, null_fd, len % 2 == 1 ? null_fd : -1))
			break;
	}
}

static void check_record(const struct record *record, int file_fd)
{
	unsigned len = (unsigned)(record->size / RECORD_UNIT);

	FUZZ_CHECK(record->size == (size_t)len * RECORD_UNIT);
	FUZZ_CHECK((file_fd >= 0) == (len % 2 == 1));
	for (size_t i = 0; i < record->size; i++)
		FUZZ_CHECK((uint8_t)record->at[i] == len);
}

static void send_written(struct str lengths)
{
	int fd, file_fd;
	struct record record;
	unsigned count = 0;

	write_batch(lengths);
	FUZZ_CHECK(sent.head.bytes <= HANDOVER_MAX_BYTES && sent.fd_count <= CHANNEL_MAX_FDS);
	if (sent.head.count == 0)
		return;
	FUZZ_CHECK(handover_send(ends[0], &sent) == HANDOVER_SENT);
	FUZZ_CHECK(handover_receive(ends[1], &received) == HANDOVER_MESSAGE);
	for (; handover_next(&received, &record, &fd, &file_fd); count++) {
		FUZZ_CHECK(fd >= 0);
		check_record(&record, file_fd);
		fd_close(&fd);
		fd_close(&file_fd);
	}
	FUZZ_CHECK(count == sent.head.count && received.next_fd == sent.fd_count);
}

/* ---- somebody else's ---- */

static void make_head(struct input *input, uint8_t flags)
{
	struct str own = { "", 0 };

	if ((flags & OWN_HEAD) != 0)
		own = input_take(input, sizeof(sent.head));
	handover_batch(&sent, 0);
	if (own.len > 0) {
		memcpy(&sent.head, own.at, own.len);
		return;
	}
	sent.head.type = input_byte(input);
	sent.head.number = input_byte(input);
	sent.head.count = input_byte(input);
}

static size_t make_message(struct input *input, uint8_t flags)
{
	size_t len;
	struct str body;

	make_head(input, flags);
	len = input_byte(input);
	len |= (size_t)input_byte(input) << 8;
	body = input_take(input, len < MOST_BODY ? len : MOST_BODY);
	memcpy(sent.body.bytes, body.at, body.len);
	if ((flags & OWN_HEAD) == 0)
		sent.head.bytes = (uint32_t)body.len;
	for (sent.fd_count = 0; sent.fd_count < (flags & FDS); sent.fd_count++)
		sent.fds[sent.fd_count] = null_fd;
	return BODY_AT + body.len - ((flags & CUT) != 0);
}

static void send_as_it_is(size_t len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FDS)];
	} control = { .bytes = { 0 } };
	struct iovec part = { &sent, len };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *rights;

	if (sent.fd_count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * sent.fd_count);
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * sent.fd_count);
		memcpy(CMSG_DATA(rights), sent.fds, sizeof(int) * sent.fd_count);
	}
	FUZZ_CHECK(sendmsg(ends[0], &header, 0) == (ssize_t)len);
}

/* Every byte of it can be read, and every descriptor is one. */
static void read_batch(void)
{
	const char *begin = received.body.bytes, *end = begin + received.head.bytes;
	int fd, file_fd;
	struct record record;
	unsigned count = 0;

	while (handover_next(&received, &record, &fd, &file_fd)) {
		FUZZ_CHECK(record.at >= begin && record.size <= (size_t)(end - record.at));
		FUZZ_CHECK(fd < 0 || fcntl(fd, F_GETFD) == FD_CLOEXEC);
		FUZZ_CHECK(file_fd < 0 || (fd >= 0 && fcntl(file_fd, F_GETFD) == FD_CLOEXEC));
		fd_close(&fd);
		fd_close(&file_fd);
		count++;
	}
	FUZZ_CHECK(count <= received.head.count && received.head.count <= CHANNEL_MAX_FDS);
	FUZZ_CHECK(count == received.next_record);
}

/* ---- the window ---- */

static void check_window(const struct handover_window *window)
{
	FUZZ_CHECK(window->used <= window->credit);
	FUZZ_CHECK(window->acked <= window->sent && window->sent - window->acked <= HANDOVER_WINDOW);
}

static void answer(struct handover_window *window, const struct handover_head *head)
{
	if (head->type == HANDOVER_ACK)
		handover_window_acked(window, head->number);
	if (head->type == HANDOVER_CREDIT)
		handover_window_credited(window, head->number);
	check_window(window);
}

static void send_what_may_be(struct handover_window *window)
{
	for (unsigned room = handover_window_room(window); room > 0; room = handover_window_room(window)) {
		FUZZ_CHECK(room <= CHANNEL_MAX_FDS);
		handover_window_sent(window, room);
		check_window(window);
	}
}

static void receive_one(struct handover_window *window)
{
	enum handover_result result = handover_receive(ends[1], &received);

	FUZZ_CHECK(result != HANDOVER_EMPTY);
	FUZZ_CHECK(result == HANDOVER_MESSAGE || received.fd_count == 0);
	if (result != HANDOVER_MESSAGE)
		return;
	FUZZ_CHECK(received.head.type > 0 && received.head.type < HANDOVER_TYPES);
	if (received.head.type == HANDOVER_BATCH)
		read_batch();
	handover_drop(&received);
	answer(window, &received.head);
}

static void one_message(struct input *input, struct handover_window *window)
{
	uint8_t flags = input_byte(input);

	if ((flags & WRITTEN) != 0) {
		send_written(input_take(input, input_byte(input)));
		return;
	}
	send_as_it_is(make_message(input, flags));
	receive_one(window);
	if ((flags & SENDS) != 0)
		send_what_may_be(window);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct handover_window window = { 0 };
	unsigned open_before = fuzz_open_count();
	struct err err;

	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	FUZZ_CHECK(channel_pair(ends, &err));
	while (input.len > 0)
		one_message(&input, &window);
	close(ends[0]);
	close(ends[1]);
	close(null_fd);
	FUZZ_CHECK(fuzz_open_count() == open_before);
	return 0;
}
