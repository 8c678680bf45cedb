/* selftest_crowd.c - the clients of selftest together: who they are, their
 * events, their time.
 *
 * Called by selftest_scenario.c.  The clients' time stands still while this
 * process does not run: a machine that is busy, or was suspended, makes no
 * answer late. */
#include "selftest.h"

#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	TURN_MS = 5,
	TURN_MAX_MS = 100, /* of a turn that took longer, the rest is ours and not the
                        daemon's */
	EVENTS = 256,
};

static const struct client_habit habits[] = {
	{ .count = 48, .gap_ms = 40, .file = FILE_SMALL },
	{ .count = 8, .gap_ms = 40, .file = FILE_SMALL, .closes = true },
	{ .count = 300, .file = FILE_SMALL, .idles = true },
	{ .count = 2, .file = FILE_HUGE, .bytes_a_turn = 8192 },
};

uint64_t crowd_random(struct crowd *crowd, uint64_t bound)
{
	crowd->random = crowd->random * 6364136223846793005 + 1442695040888963407;
	return (crowd->random >> 33) % bound;
}

bool crowd_open(struct crowd *crowd, const struct sockaddr_in *server, const uint8_t *bytes, struct err *err)
{
	struct client *client = crowd->clients;

	memset(crowd, 0, sizeof(*crowd));
	crowd->server = *server;
	crowd->bytes = bytes;
	crowd->clock_ns = crowd->now_ns = crowd->random = clock_now_ns();
	for (unsigned i = 0; i < sizeof(habits) / sizeof(habits[0]); i++)
		for (unsigned j = 0; j < habits[i].count; j++)
			*client++ = (struct client){ .habit = &habits[i], .fd = -1, .due_ns = crowd->now_ns };
	crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return crowd->epoll_fd >= 0 || err_sys(err, errno, "epoll_create1");
}

void crowd_close(struct crowd *crowd)
{
	for (unsigned i = 0; i < CROWD_CLIENTS; i++)
		fd_close(&crowd->clients[i].fd);
	fd_close(&crowd->epoll_fd);
}

bool crowd_watch(struct crowd *crowd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void move_clock(struct crowd *crowd)
{
	uint64_t clock_ns = clock_now_ns(), passed_ns = clock_ns - crowd->clock_ns;

	crowd->clock_ns = clock_ns;
	crowd->now_ns += passed_ns < TURN_MAX_MS * CLOCK_MS ? passed_ns : TURN_MAX_MS * CLOCK_MS;
}

bool crowd_turn(struct crowd *crowd)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(crowd->epoll_fd, events, EVENTS, TURN_MS);
	bool watched = false;

	move_clock(crowd);
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr == NULL)
			watched = true;
		else
			client_event(crowd, events[i].data.ptr);
	}
	for (unsigned i = 0; i < CROWD_CLIENTS; i++)
		client_turn(crowd, &crowd->clients[i]);
	return watched;
}

bool crowd_in_place(const struct crowd *crowd)
{
	for (unsigned i = 0; i < CROWD_CLIENTS; i++)
		if (!crowd->clients[i].in_place)
			return false;
	return true;
}

bool crowd_over(const struct crowd *crowd)
{
	for (unsigned i = 0; i < CROWD_CLIENTS; i++)
		if (!crowd->clients[i].over)
			return false;
	return true;
}
