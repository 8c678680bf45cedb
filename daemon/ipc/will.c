/* will.c - a worker's last will: written into a socket by who dies, or by its keeper; read by who lives on.
 *
 * Called by worker/keeper.c (writes), master/wills.c (hears the word, burns) and worker/heir.c (reads).
 * What is read was written by a process that had lost its mind: it is checked. What cannot be sent is
 * closed by the kernel. */
#include "will.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXECUTION_NS CLOCK_S            /* a crash may take so long */

bool will_pair(int ends[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return err_sys(err, errno, "socketpair");
	return true;
}

bool will_make(struct will *will, int fd, unsigned room, struct err *err)
{
	size_t bytes = sizeof(struct will_notes) + room * sizeof(uint32_t);
	void *notes = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*will = (struct will){ .fd = -1 };
	if (notes == MAP_FAILED)
		return err_sys(err, errno, "memory for the notes");
	*will = (struct will){ fd, room, notes };
	return true;
}

void will_tell(const struct will *will, uint32_t keeper)
{
	struct will_word word = { keeper };

	rights_send(will->fd, &word, sizeof(word), NULL, 0);
	will->notes->told = 1;
}

/* ---- dying ------------------------------------------------------------------------------------------- */

/* True: it may be tried again. A full socket gets room when the other end reads, and so do descriptors in
 * flight, of which one user has a limited number; but the socket does not say so. */
static bool wait_for_room(int fd, uint64_t deadline_ns)
{
	struct pollfd one = { .fd = fd, .events = POLLOUT };
	uint64_t now_ns = clock_now_ns();

	if (now_ns >= deadline_ns)
		return false;
	if (errno == EAGAIN)
		poll(&one, 1, (int)((deadline_ns - now_ns) / CLOCK_MS) + 1);
	else if (errno == ETOOMANYREFS || rights_short_of_memory(errno))
		poll(NULL, 0, 1);
	else
		return errno == EINTR;
	return true;
}

static bool send_one(const struct will *will, struct bequest *bequest, const int *fds, uint64_t deadline_ns)
{
	size_t len = offsetof(struct bequest, marks) + bequest->count * sizeof(bequest->marks[0]);

	while (rights_send(will->fd, bequest, len, fds, bequest->count) < 0)
		if (!wait_for_room(will->fd, deadline_ns))
			return false;
	for (unsigned i = 0; i < bequest->count; i++)
		will->notes->marks[fds[i]] = 0;
	bequest->count = 0;
	return true;
}

void will_execute(const struct will *will)
{
	uint64_t deadline_ns = clock_now_ns() + EXECUTION_NS;
	struct bequest bequest = { 0 };
	int fds[RIGHTS_MOST];

	for (int fd = 0; fd < (int)will->room; fd++) {
		if (will->notes->marks[fd] == 0 || fcntl(fd, F_GETFD) < 0)
			continue;       /* one that is closed would cost all the others of its message */
		fds[bequest.count] = fd;
		bequest.marks[bequest.count++] = will->notes->marks[fd];
		if (bequest.count == RIGHTS_MOST && !send_one(will, &bequest, fds, deadline_ns))
			return;
	}
	if (bequest.count > 0)
		send_one(will, &bequest, fds, deadline_ns);
}

/* ---- living on --------------------------------------------------------------------------------------- */

static enum will_result nothing(ssize_t len)
{
	bool later = len < 0 && (errno == EAGAIN || errno == EINTR || rights_short_of_memory(errno));

	return later ? WILL_EMPTY : WILL_END;
}

enum will_result will_hear(int fd, struct will_word *word)
{
	struct will_word seen;
	ssize_t len = recv(fd, &seen, sizeof(seen), MSG_PEEK | MSG_TRUNC);

	if (len <= 0)
		return nothing(len);
	if (len != sizeof(seen))
		return WILL_BEQUEST;
	len = recv(fd, &seen, sizeof(seen), 0);
	if (len != sizeof(seen))
		return nothing(len);
	*word = seen;
	return WILL_WORD;
}

/* Those that the receiver had no descriptors for are missing at the end. */
enum will_result will_receive(int fd, struct bequest *bequest, int *fds, unsigned *count)
{
	int flags;
	ssize_t len = rights_receive(fd, bequest, sizeof(*bequest), fds, count, &flags);
	size_t head = offsetof(struct bequest, marks);

	if (len <= 0)
		return nothing(len);
	if (len == sizeof(struct will_word) && *count == 0)
		return WILL_WORD;
	if (bequest->count > 0 && bequest->count <= RIGHTS_MOST && *count <= bequest->count &&
	    (size_t)len == head + bequest->count * sizeof(bequest->marks[0]))
		return WILL_BEQUEST;
	for (unsigned i = 0; i < *count; i++)
		close(fds[i]);
	return WILL_END;
}

void will_burn(int *fd)
{
	int fds[RIGHTS_MOST], flags;
	struct bequest bequest;
	unsigned count;

	while (*fd >= 0 && rights_receive(*fd, &bequest, sizeof(bequest), fds, &count, &flags) > 0)
		for (unsigned i = 0; i < count; i++)
			close(fds[i]);
	fd_close(fd);
}
