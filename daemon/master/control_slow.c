/* control_slow.c - droverctl slow: the last slow requests of all slots, in a memfd that goes with the
 * answer. What is in them are a client's bytes, which no master reads: they are copied from the board to
 * the memfd and not looked at. No worker is asked, so none that hangs is waited for. Called by control.c.
 * Fails by a text. */
#include "client.h"
#include "master.h"

#include "base/fd.h"
#include "ipc/slow.h"

#include <errno.h>
#include <jansson.h>
#include <sys/mman.h>

/* Of slots that there are not any more, too: what was slow there was slow. */
static bool write_entries(const struct master *master, int fd, uint32_t *count)
{
	struct slow_entry entries[SLOW_ENTRIES];

	for (uint32_t slot = 0; slot < SLOW_SLOTS; slot++) {
		size_t found = slow_read(&master->board->slow[slot], slot, entries);

		if (found > 0 && !fd_write_all(fd, entries, found * sizeof(entries[0])))
			return false;
		*count += (uint32_t)found;
	}
	return true;
}

/* -1 with errno. */
static int make_file(const struct master *master)
{
	struct slow_head head = { .version = SLOW_VERSION, .entry_bytes = sizeof(struct slow_entry) };
	int fd AUTO_CLOSE = memfd_create("drover-slow", MFD_CLOEXEC);

	if (fd < 0 || !fd_write_all(fd, &head, sizeof(head)) || !write_entries(master, fd, &head.count) ||
	    pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return -1;
	return fd_take(&fd);
}

void command_slow(struct client *client, const json_t *request)
{
	struct fd_array fds AUTO_CLOSE_ALL = { 0 };
	const struct master *master = client_master(client);
	const struct generation *current = master->current.generation;
	int fd = make_file(master);

	(void)request;
	if (fd < 0 || !fd_array_push(&fds, fd)) {
		client_reply_text(client, false, "no memory or no descriptor for the list");
		return;
	}
	client_reply_with(client,
			  json_pack("{s:b, s:I}", "ok", 1, "threshold_ms",
				    (json_int_t)(current != NULL ? current->config->slow_ns / CLOCK_MS : 0)),
			  &fds);
}
