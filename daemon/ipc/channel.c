/* channel.c - messages with descriptors. Called by the master and by workers.
 *
 * What comes in is not trusted: types and lengths are checked here, meaning by whoever handles the
 * message. */
#include "channel.h"

#include "rights.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { SEND_BUFFER_BYTES = 1024 * 1024, SEND_TRIES = 8, BODY_AT = offsetof(struct message, body) };

/* What a body's length must be a multiple of, at most how often, and at least how many bytes. */
static const struct {
	size_t unit, most, least;
} bodies[MESSAGE_TYPES] = {
	[MESSAGE_SOCKETS] = { sizeof(struct socket_note), CHANNEL_MAX_FDS, sizeof(struct socket_note) },
	[MESSAGE_PREPARE] = { sizeof(struct prepare_note), 1, sizeof(struct prepare_note) },
	[MESSAGE_COVER] = { sizeof(struct slot_set), 1, sizeof(struct slot_set) },
	[MESSAGE_DRAIN] = { sizeof(struct drain_note), 1, sizeof(struct drain_note) },
	[MESSAGE_LOGS] = { sizeof(struct logs_note), 1, sizeof(struct logs_note) },
	[MESSAGE_REOPEN] = { sizeof(struct logs_note), 1, sizeof(struct logs_note) },
	[MESSAGE_REOPENED] = { sizeof(struct reopened_note), 1, sizeof(struct reopened_note) },
	[MESSAGE_HAND] = { sizeof(struct hand_note), 1, sizeof(struct hand_note) },
	[MESSAGE_TAKE] = { sizeof(struct hand_note), 1, sizeof(struct hand_note) },
	[MESSAGE_PARTED] = { sizeof(struct hand_note), 1, sizeof(struct hand_note) },
	[MESSAGE_UNHEARD] = { sizeof(struct hand_note), 1, sizeof(struct hand_note) },
	[MESSAGE_WILL] = { sizeof(struct hand_note), 1, sizeof(struct hand_note) },
	[MESSAGE_COUNTED] = { sizeof(struct count_note), 1, sizeof(struct count_note) },
	[MESSAGE_LIST] = { sizeof(struct list_note), 1, sizeof(struct list_note) },
	[MESSAGE_RELEASE] = { sizeof(struct release_note), 1, sizeof(struct release_note) },
	[MESSAGE_FAILED] = { 1, ERR_TEXT_BYTES, 1 },
	[MESSAGE_CONFINED] = { 1, ERR_TEXT_BYTES, 1 },
};

void channel_drop(struct message_fds *fds)
{
	for (unsigned i = 0; i < fds->count; i++)
		fd_close(&fds->at[i]);
	fds->count = 0;
}

bool channel_pair(int ends[2], struct err *err)
{
	int bytes = SEND_BUFFER_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return err_sys(err, errno, "socketpair");
	for (int i = 0; i < 2; i++)     /* more is better, less still works */
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return true;
}

static bool cannot_send(const struct message *message, struct err *err)
{
	if (errno == ETOOMANYREFS)
		return err_set(err,
			       "workers have not taken yet what they were sent: this user may have no more "
			       "descriptors under way (a greater LimitNOFILE= in the unit, or ulimit -n)");
	return err_sys(err, errno, "send a message of type %u", message->type);
}

bool channel_send(int fd, const struct message *message, const int *fds, unsigned count, struct err *err)
{
	size_t len = BODY_AT + message->bytes;

	for (int tries = 1; rights_send(fd, message, len, fds, count) < 0; tries++) {
		if (errno != EINTR && (!rights_short_of_memory(errno) || tries == SEND_TRIES))
			return cannot_send(message, err);
	}
	return true;
}

bool channel_tell(int fd, enum message_type type, uint64_t generation, struct err *err)
{
	struct message message;

	memset(&message, 0, BODY_AT);
	message.type = type;
	message.generation = generation;
	return channel_send(fd, &message, NULL, 0, err);
}

void channel_hint(int fd, enum message_type type)
{
	struct err err;
	int unread = 0;

	if (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread == 0)
		channel_tell(fd, type, 0, &err);
}

static bool is_valid(const struct message *message, size_t len)
{
	if (len < BODY_AT || message->type == 0 || message->type >= MESSAGE_TYPES ||
	    message->bytes != len - BODY_AT)
		return false;
	if (bodies[message->type].unit == 0)
		return message->bytes == 0;
	return message->bytes >= bodies[message->type].least &&
	       message->bytes % bodies[message->type].unit == 0 &&
	       message->bytes / bodies[message->type].unit <= bodies[message->type].most;
}

enum channel_result channel_receive(int fd, struct message *message, struct message_fds *fds)
{
	int flags;
	ssize_t len = rights_receive(fd, message, sizeof(*message), fds->at, &fds->count, &flags);

	if (len < 0)            /* nothing was lost: it is reported again */
		return errno == EAGAIN || errno == EINTR || rights_short_of_memory(errno) ? CHANNEL_EMPTY
											  : CHANNEL_END;
	if (len == 0 || (flags & MSG_TRUNC) != 0 || !is_valid(message, (size_t)len)) {
		channel_drop(fds);
		return CHANNEL_END;
	}
	/* no free descriptors here: the message counts, without them */
	if ((flags & MSG_CTRUNC) != 0)
		channel_drop(fds);
	if (message->type == MESSAGE_FAILED || message->type == MESSAGE_CONFINED)
		message->body.text[message->bytes - 1] = '\0';
	return CHANNEL_MESSAGE;
}
