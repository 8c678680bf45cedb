/* fuzz_message.c - see the header.  Called by the targets of the two ends of the channel. */
#include "fuzz_message.h"

#include "base/fd.h"
#include "ipc/handover.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Flags of a record. */
enum {
	FDS = 3,                        /* how many descriptors; 3: one for each note, or eight */
	KIND = 0x0c,                    /* of the descriptors */
	AS_IT_SHOULD_BE = 0x10,         /* the body has the right length, its numbers are small */
	WRONG_LENGTH = 0x20,            /* the header lies about the body */
	CUT = 0x40,                     /* only the first bytes are sent */
	THREE_TURNS = 0x80,
};

enum { BODY_AT = offsetof(struct message, body), MOST_FDS = 8 };

enum kind { KIND_CONFIG, KIND_LISTENING, KIND_NULL, KIND_BODY, KINDS };

static int kinds[KINDS];
static struct message message;

const char fuzz_message_config[] =
	"listen = (\n{\naddress = \"127.0.0.1:1\";\n}\n);\n"
	"sites = (\n{\nroutes = (\n{\nmatch = \"/\";\nrespond = {\n};\n}\n);\n}\n);\n";

static int listening_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };    /* no path: the kernel makes a name */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	FUZZ_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(sa_family_t)) == 0);
	FUZZ_CHECK(listen(fd, 8) == 0);
	return fd;
}

void fuzz_message_set_up(void)
{
	struct err err;

	kinds[KIND_CONFIG] = fd_sealed("config", fuzz_message_config, sizeof(fuzz_message_config) - 1, &err);
	kinds[KIND_LISTENING] = listening_socket();
	kinds[KIND_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	kinds[KIND_BODY] = memfd_create("body", MFD_CLOEXEC);
}

static void small_sockets(struct message *made, struct input *body)
{
	unsigned count = input_byte(body) % MOST_FDS + 1;

	made->bytes = count * (uint32_t)sizeof(struct socket_note);
	for (unsigned i = 0; i < count; i++) {
		made->body.sockets[i] = (struct socket_note){ .listener = input_byte(body) % 4 };
		made->body.sockets[i].slot = input_byte(body) % 4;
		if (input_byte(body) % 2)               /* beyond every slot */
			made->body.sockets[i].slot += CHANNEL_MAX_SLOTS;
	}
}

static void small_prepare(struct message *made, struct input *body)
{
	struct prepare_note *note = &made->body.prepare;

	unsigned shared;

	made->bytes = sizeof(*note);
	*note = (struct prepare_note){ .slots = input_byte(body) % 4 };
	shared = input_byte(body);
	note->listener_count = input_byte(body) % 4;
	for (unsigned i = 0; i < note->listener_count; i++)
		note->listeners[i] = (struct listener_note){ .listener = input_byte(body) % 4,
							     .shared = shared >> i & 1 };
}

static void small_cover(struct message *made, struct input *body)
{
	made->bytes = sizeof(made->body.cover);
	made->body.cover.bits[0] = input_byte(body);
}

static void small_drain(struct message *made, struct input *body)
{
	unsigned flags = input_byte(body);

	made->bytes = sizeof(made->body.drain);
	made->body.drain = (struct drain_note){
		.deadline_ns = UINT64_MAX / 2, .close_idle = flags % 2, .keep_sockets = flags / 2 % 2,
		.hand = flags / 4 % 2,
	};
}

static void small_hand(struct message *made, struct input *body)
{
	(void)body;
	made->bytes = sizeof(made->body.hand);
	made->body.hand = (struct hand_note){ .slot = 1, .pid = 1 };
}

static void small_release(struct message *made, struct input *body)
{
	struct release_note *note = &made->body.release;
	unsigned flags = input_byte(body);

	made->bytes = sizeof(*note);
	*note = (struct release_note){ .all = flags % 2, .empty = flags / 2 % 2 };
	note->listener_count = input_byte(body) % 4;
	for (unsigned i = 0; i < note->listener_count; i++)
		note->listeners[i] = input_byte(body) % 4;
}

/* Without a body: both logs have a descriptor. */
static void small_logs(struct message *made, struct input *body)
{
	unsigned flags = input_byte(body);

	made->bytes = sizeof(made->body.logs);
	made->body.logs.error = flags % 2 == 0;
	made->body.logs.access = flags / 2 % 2 == 0;
}

static void small_text(struct message *made, struct input *body)
{
	struct str text = input_take(body, sizeof(made->body.text) - 1);

	if (text.len > 0)
		memcpy(made->body.text, text.at, text.len);
	made->bytes = (uint32_t)text.len + 1;
}

static void small_list(struct message *made, struct input *body)
{
	struct list_note *note = &made->body.list;

	made->bytes = sizeof(*note);
	*note = (struct list_note){ .version = LISTED_VERSION, .states = UINT32_MAX };
	note->limit = input_byte(body) % 4;
	note->sort = input_byte(body) % 3;
	note->family = input_byte(body) % 2 == 0 ? 0 : AF_INET;
	note->bits = input_byte(body);
}

static void (*const bodies[MESSAGE_TYPES])(struct message *, struct input *) = {
	[MESSAGE_LOGS] = small_logs,       [MESSAGE_REOPEN] = small_logs,
	[MESSAGE_SOCKETS] = small_sockets, [MESSAGE_PREPARE] = small_prepare,
	[MESSAGE_COVER] = small_cover,     [MESSAGE_DRAIN] = small_drain,
	[MESSAGE_CONFINED] = small_text,
	[MESSAGE_FAILED] = small_text,     [MESSAGE_RELEASE] = small_release,
	[MESSAGE_HAND] = small_hand,       [MESSAGE_TAKE] = small_hand,
	[MESSAGE_PARTED] = small_hand,     [MESSAGE_UNHEARD] = small_hand,
	[MESSAGE_WILL] = small_hand,       [MESSAGE_LIST] = small_list,
};

/* A bool that is neither is nothing that a master can send, and nobody's to check. */
static void mend_bools(struct message *made)
{
	for (unsigned i = 0; i < CHANNEL_MAX_LISTENERS; i++)
		*(uint8_t *)&made->body.prepare.listeners[i].shared &= 1;
}

static void mend_drain(struct message *made)
{
	*(uint8_t *)&made->body.drain.close_idle &= 1;
	*(uint8_t *)&made->body.drain.keep_sockets &= 1;
	*(uint8_t *)&made->body.drain.hand &= 1;
}

static void mend_logs(struct message *made)
{
	*(uint8_t *)&made->body.logs.error &= 1;
	*(uint8_t *)&made->body.logs.access &= 1;
}

static void fill_body(struct message *made, uint8_t flags, struct str body)
{
	struct input input = { (const uint8_t *)body.at, body.len };

	if ((flags & AS_IT_SHOULD_BE) == 0) {
		made->bytes = (uint32_t)body.len;
		if (body.len > 0)
			memcpy(&made->body, body.at, body.len);
		if (made->type == MESSAGE_PREPARE)
			mend_bools(made);
		else if (made->type == MESSAGE_DRAIN)
			mend_drain(made);
		else if (made->type == MESSAGE_LOGS || made->type == MESSAGE_REOPEN)
			mend_logs(made);
	} else if (made->type < MESSAGE_TYPES && bodies[made->type] != NULL) {
		bodies[made->type](made, &input);
	}
}

static void replace_body_file(struct str body)
{
	FUZZ_CHECK(ftruncate(kinds[KIND_BODY], 0) == 0);
	FUZZ_CHECK(pwrite(kinds[KIND_BODY], body.at, body.len, 0) == (ssize_t)body.len);
}

/* A handover's channel at whose other end somebody spoke and ended: granted something, or sent a
 * connection whose record is the body. */
static int ended_channel(struct str body)
{
	static struct handover_message batch;
	struct record record;
	struct err err;
	int ends[2];

	FUZZ_CHECK(channel_pair(ends, &err));
	handover_batch(&batch, 1);
	record = handover_room(&batch);
	if (body.len > 0)
		record_raw(&record, (void *)(uintptr_t)body.at, body.len);
	FUZZ_CHECK(handover_add(&batch, &record, kinds[KIND_LISTENING], -1));
	if (message.type == MESSAGE_HAND)
		handover_answer(ends[0], HANDOVER_CREDIT, message.generation, NULL);
	else
		handover_send(ends[0], &batch);
	close(ends[0]);
	return ends[1];
}

/* What goes along with `message`; the caller closes it. */
static int descriptor(enum kind kind, struct str body)
{
	if (kind == KIND_BODY && (message.type == MESSAGE_HAND || message.type == MESSAGE_TAKE))
		return ended_channel(body);
	if (kind == KIND_BODY)
		replace_body_file(body);
	return fcntl(kinds[kind], F_DUPFD_CLOEXEC, 0);
}

static unsigned fds_of(const struct message *made, uint8_t flags)
{
	if ((flags & FDS) < 3)
		return flags & FDS;
	if (made->type == MESSAGE_SOCKETS && (flags & AS_IT_SHOULD_BE) != 0)
		return made->bytes / (unsigned)sizeof(struct socket_note);
	return MOST_FDS;
}

/* Past channel_send, which sends no nonsense. */
static void send_raw(int fd, const struct message *made, size_t len, unsigned count, int what)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * MOST_FDS)];
	} control = { 0 };
	struct iovec part = { (void *)(uintptr_t)made, len };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *rights;

	if (count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		rights = CMSG_FIRSTHDR(&header);
		*rights = (struct cmsghdr){ CMSG_LEN(sizeof(int) * count), SOL_SOCKET, SCM_RIGHTS };
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(rights) + i * sizeof(int), &what, sizeof(int));
	}
	sendmsg(fd, &header, MSG_NOSIGNAL);     /* may fail: the other end may be gone */
}

const struct message *fuzz_message_last(void)
{
	return &message;
}

unsigned fuzz_message_send(int fd, struct input *input)
{
	uint8_t type = input_byte(input), flags = input_byte(input);
	size_t len;
	struct str body;
	int what;

	memset(&message, 0, sizeof(message));
	message.type = type;
	message.generation = input_byte(input);
	len = input_byte(input);
	body = input_take(input, len);
	fill_body(&message, flags, body);
	len = BODY_AT + message.bytes;
	if ((flags & WRONG_LENGTH) != 0)
		message.bytes += type + 1U;
	what = descriptor(flags / 4 % KINDS, body);
	send_raw(fd, &message, (flags & CUT) != 0 ? len / 2 : len, fds_of(&message, flags), what);
	close(what);
	return (flags & THREE_TURNS) != 0 ? 3 : 1;
}
