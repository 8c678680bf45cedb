/* handover.c - the messages between two workers of which one takes over the other's connections, and the
 * sender's window. Called by worker/hand.c and worker/take.c.
 *
 * What comes in is not trusted: lengths and counts are checked here, what a record says by whoever reads
 * it. */
#include "handover.h"

#include "rights.h"

#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	MAGIC = 0x68647276,             /* "vrdh": no message of another channel begins so */
	BODY_AT = offsetof(struct handover_message, body),
};

_Static_assert(BODY_AT == sizeof(struct handover_head), "a message is sent in one piece");
_Static_assert(sizeof(struct handover_declined) * 8 >= CHANNEL_MAX_FDS, "a bit for each record");

/* In front of each record. */
struct piece {
	uint32_t bytes;                 /* of the record */
	uint32_t fds;                   /* that come with it: 1 or 2 */
};

static struct handover_head head_of(enum handover_type type, uint64_t number)
{
	return (struct handover_head){
		.magic = MAGIC, .version = HANDOVER_VERSION, .type = (uint16_t)type, .number = number,
	};
}

/* ---- a batch, written ------------------------------------------------------------------------------- */

void handover_batch(struct handover_message *message, uint64_t number)
{
	message->head = head_of(HANDOVER_BATCH, number);
	message->fd_count = 0;
}

struct record handover_room(struct handover_message *message)
{
	size_t at = message->head.bytes + sizeof(struct piece);

	if (at > HANDOVER_MAX_BYTES)
		return record_to(message->body.bytes, 0);
	return record_to(message->body.bytes + at, HANDOVER_MAX_BYTES - at);
}

bool handover_add(struct handover_message *message, const struct record *record, int fd, int file_fd)
{
	struct piece piece = { (uint32_t)record->len, file_fd < 0 ? 1 : 2 };

	if (record->bad || record->size == 0 || message->fd_count + piece.fds > CHANNEL_MAX_FDS)
		return false;
	memcpy(message->body.bytes + message->head.bytes, &piece, sizeof(piece));
	message->head.bytes += (uint32_t)sizeof(piece) + piece.bytes;
	message->head.count++;
	message->fds[message->fd_count++] = fd;
	if (file_fd >= 0)
		message->fds[message->fd_count++] = file_fd;
	return true;
}

/* ---- a batch, read ---------------------------------------------------------------------------------- */

static bool next_piece(struct handover_message *message, struct piece *piece)
{
	size_t left = message->head.bytes - message->at;

	if (message->next_record >= message->head.count || left < sizeof(*piece))
		return false;
	memcpy(piece, message->body.bytes + message->at, sizeof(*piece));
	return piece->bytes <= left - sizeof(*piece) && (piece->fds == 1 || piece->fds == 2);
}

static int take_fd(struct handover_message *message)
{
	unsigned next = message->next_fd++;

	return next < message->fd_count ? fd_take(&message->fds[next]) : -1;
}

bool handover_next(struct handover_message *message, struct record *record, int *fd, int *file_fd)
{
	struct piece piece;

	if (!next_piece(message, &piece))
		return false;
	*record = record_from(message->body.bytes + message->at + sizeof(piece), piece.bytes);
	message->at += sizeof(piece) + piece.bytes;
	message->next_record++;
	*fd = take_fd(message);
	*file_fd = piece.fds == 2 ? take_fd(message) : -1;
	if (piece.fds == 2 && *file_fd < 0)
		fd_close(fd);           /* half of it: no use */
	return true;
}

void handover_drop(struct handover_message *message)
{
	for (unsigned i = 0; i < message->fd_count; i++)
		fd_close(&message->fds[i]);
	message->fd_count = 0;
}

/* ---- on the wire ------------------------------------------------------------------------------------ */

static enum handover_sent send_all(int fd, const void *bytes, size_t len, const int *fds, unsigned count)
{
	while (rights_send(fd, bytes, len, fds, count) < 0) {
		if (errno == EAGAIN)
			return HANDOVER_FULL;
		if (errno == ETOOMANYREFS || rights_short_of_memory(errno))
			return HANDOVER_TOO_MANY;
		if (errno != EINTR)
			return HANDOVER_BROKEN;
	}
	return HANDOVER_SENT;
}

enum handover_sent handover_send(int fd, const struct handover_message *message)
{
	return send_all(fd, message, BODY_AT + message->head.bytes, message->fds, message->fd_count);
}

enum handover_sent handover_answer(int fd, enum handover_type type, uint64_t number,
				   const struct handover_declined *declined)
{
	struct {
		struct handover_head head;
		struct handover_declined declined;
	} answer = { .head = head_of(type, number) };

	if (declined != NULL) {
		answer.declined = *declined;
		answer.head.bytes = sizeof(*declined);
	}
	return send_all(fd, &answer, sizeof(answer.head) + answer.head.bytes, NULL, 0);
}

static bool is_valid(const struct handover_head *head)
{
	switch (head->type) {
	case HANDOVER_BATCH:
		return head->bytes <= HANDOVER_MAX_BYTES && head->count > 0 && head->count <= CHANNEL_MAX_FDS;
	case HANDOVER_ACK:
		return head->bytes == sizeof(struct handover_declined);
	case HANDOVER_CREDIT:
	case HANDOVER_REFUSE:
		return head->bytes == 0;
	default:
		return false;
	}
}

static enum handover_result judge(const struct handover_head *head, size_t len, int flags)
{
	if (len == 0)
		return HANDOVER_END;
	if (len < sizeof(*head) || head->magic != MAGIC || head->version != HANDOVER_VERSION ||
	    (flags & MSG_TRUNC) != 0 || head->bytes != len - sizeof(*head) || !is_valid(head))
		return HANDOVER_UNKNOWN;
	return HANDOVER_MESSAGE;
}

/* ECONNRESET is reported once, by whoever reads first after the other end was closed with something
 * unread. */
static ssize_t receive_past_reset(int fd, struct handover_message *message, int *flags)
{
	const size_t room = BODY_AT + sizeof(message->body);
	ssize_t len;

	do
		len = rights_receive(fd, message, room, message->fds, &message->fd_count, flags);
	while (len < 0 && (errno == ECONNRESET || errno == EINTR));
	return len;
}

enum handover_result handover_receive(int fd, struct handover_message *message)
{
	enum handover_result result;
	int flags;
	ssize_t len = receive_past_reset(fd, message, &flags);

	if (len < 0)            /* nothing was lost: it is reported again */
		return errno == EAGAIN || rights_short_of_memory(errno) ? HANDOVER_EMPTY : HANDOVER_END;
	message->at = 0;
	message->next_fd = message->next_record = 0;
	result = judge(&message->head, (size_t)len, flags);
	if (result != HANDOVER_MESSAGE)
		handover_drop(message);
	return result;
}

/* ---- the sender's window ---------------------------------------------------------------------------- */

unsigned handover_window_room(const struct handover_window *window)
{
	uint64_t left = window->credit - window->used;

	if (window->sent - window->acked >= HANDOVER_WINDOW)
		return 0;
	return left < CHANNEL_MAX_FDS ? (unsigned)left : CHANNEL_MAX_FDS;
}

void handover_window_sent(struct handover_window *window, unsigned fds)
{
	window->sent++;
	window->used += fds;
}

bool handover_window_acked(struct handover_window *window, uint64_t number)
{
	if (number != window->acked + 1 || number > window->sent)
		return false;
	window->acked++;
	return true;
}

bool handover_window_credited(struct handover_window *window, uint64_t total)
{
	if (total < window->credit)
		return false;
	window->credit = total;
	return true;
}
