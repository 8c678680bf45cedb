/* files_read.c - who has a piece of a file brought, and what happens to descriptors meanwhile.
 *
 * Called by files_body.c, on the loop; what is marked so runs in a helper thread. The descriptor that a
 * helper reads from is its own as long as it does, for the exchange may end before. Fails by trying again
 * where there is no place, no memory or no descriptor. */
#include "files_read.h"

#include "http/task.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define AGAIN_NS (20 * CLOCK_MS)

struct reading {
	struct task task;
	struct lasting *holds;          /* keeps `fd` open; NULL: it is the reading's own */
	int fd;
	dev_t device;
	files_arrived *arrived;
	struct files_piece piece;
	size_t len;
	char bytes[];
};

/* ---- descriptors of files that are far away ------------------------------------------------------------ */

struct far_file {
	struct lasting lasting;
	struct offload *offload;
	struct offload_job closing;
	int fd;
};

/* Found no place among the jobs. */
static struct list unclosed = { &unclosed, &unclosed };

/* In a helper thread. */
static void close_it(struct offload_job *job)
{
	fd_close(&LIST_ENTRY(job, struct far_file, closing)->fd);
}

static void submit_closing(struct far_file *file);

static void closed(struct offload_job *job)
{
	struct list *next = list_pop_front(&unclosed);

	free(LIST_ENTRY(job, struct far_file, closing));
	if (next != NULL)
		submit_closing(LIST_ENTRY(next, struct far_file, closing.link));
}

/* Without a helper, as in a test, nobody waits for another's answer either. */
static void submit_closing(struct far_file *file)
{
	if (file->offload == NULL) {
		fd_close(&file->fd);
		free(file);
	} else if (!offload_submit(file->offload, &file->closing)) {
		list_push_back(&unclosed, &file->closing.link);
	}
}

static void let_go(struct lasting *lasting)
{
	submit_closing(LIST_ENTRY(lasting, struct far_file, lasting));
}

static struct far_file *far_file_of(const struct engine *engine, int *fd)
{
	struct far_file *file = malloc(sizeof(*file));

	if (file == NULL)
		return NULL;
	*file = (struct far_file){
		.lasting = { .pins = 1, .release = let_go },
		.offload = engine->far != NULL ? engine->far : engine->offload,
		.closing = { .work = close_it, .done = closed },
		.fd = fd_take(fd),
	};
	return file;
}

bool files_far_hold(struct exchange *exchange)
{
	struct response *response = &exchange->response;
	struct far_file *file = far_file_of(exchange->engine, &response->file_fd);

	if (file == NULL) {
		fd_close(&response->file_fd);
		return false;
	}
	response->file_fd = file->fd;
	response->file_lasts = true;
	response->holds = &file->lasting;
	return true;
}

void files_far_close(struct engine *engine, int *fd)
{
	struct far_file *file = *fd >= 0 ? far_file_of(engine, fd) : NULL;

	if (file != NULL)
		submit_closing(file);
	else
		fd_close(fd);
}

/* ---- in a helper thread -------------------------------------------------------------------------------- */

static ssize_t read_bytes(struct reading *reading)
{
	ssize_t got;

	do
		got = pread(reading->fd, reading->bytes, reading->len, reading->piece.at);
	while (got < 0 && errno == EINTR);
	return got;
}

static void work(struct task *task)
{
	struct reading *reading = LIST_ENTRY(task, struct reading, task);
	struct files_piece *piece = &reading->piece;

	if (piece->bytes != NULL)
		piece->got = read_bytes(reading);
	else
		piece->got = present_fetch(reading->fd, piece->at, reading->len);
	piece->error = piece->got < 0 ? errno : 0;
	if (piece->place == PLACE_UNKNOWN)
		piece->place = present_look(reading->fd);
	piece->stat_known = fstat(reading->fd, &piece->stat) == 0;
}

/* ---- on the loop --------------------------------------------------------------------------------------- */

static enum task_after done(struct task *task, struct exchange *exchange)
{
	struct reading *reading = LIST_ENTRY(task, struct reading, task);
	const struct files_piece *piece = &reading->piece;
	uint64_t now_ns = exchange->engine->loop->now_ns;

	engine_count(exchange->engine, piece->got < 0 ? COUNT_READS_FAILED : COUNT_READS_OFFLOADED);
	present_note(reading->device, piece->place, now_ns);
	if (piece->bytes == NULL && piece->got >= 0 && piece->stat_known)
		present_fetched(&piece->stat, piece->at, reading->len, now_ns);
	reading->arrived(exchange, piece);
	return TASK_OVER;
}

static void late(struct task *task, struct exchange *exchange)
{
	struct reading *reading = LIST_ENTRY(task, struct reading, task);

	engine_count(exchange->engine, COUNT_READS_FAILED);
	reading->arrived(exchange, NULL);
}

static void release(struct task *task)
{
	struct reading *reading = LIST_ENTRY(task, struct reading, task);

	if (reading->holds != NULL)
		lasting_unpin(reading->holds);
	else
		fd_close(&reading->fd);
	free(reading);
}

static void try_again(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	exchange_resume(LIST_ENTRY(timer, struct exchange, timer));
}

static void later(struct exchange *exchange)
{
	exchange->timer.fire = try_again;
	exchange_timer(exchange, AGAIN_NS);
}

/* A reading with room for so many bytes, without a descriptor; NULL: out of memory. */
static struct reading *reading_of(off_t at, size_t len, size_t room, files_arrived *arrived)
{
	struct reading *reading = malloc(sizeof(*reading) + room);

	if (reading == NULL)
		return NULL;
	*reading = (struct reading){
		.task = { .work = work, .done = done, .release = release, .late = late },
		.arrived = arrived,
		.fd = -1,
		.len = len,
		.piece = { .at = at, .bytes = room > 0 ? reading->bytes : NULL },
	};
	return reading;
}

static void begin(struct exchange *exchange, struct reading *reading)
{
	if (!task_submit(&reading->task, exchange))
		later(exchange);
}

void files_read_ahead(struct exchange *exchange, const struct stat *stat, off_t at, files_arrived *arrived)
{
	off_t end = present_window_end(at);
	struct reading *reading =
		reading_of(end - PRESENT_WINDOW_BYTES, PRESENT_WINDOW_BYTES, 0, arrived);

	if (reading != NULL)
		reading->fd = fcntl(exchange->response.file_fd, F_DUPFD_CLOEXEC, 0);
	if (reading == NULL || reading->fd < 0) {
		free(reading);
		later(exchange);
		return;
	}
	reading->task.helper = TASK_DISK;
	reading->device = stat->st_dev;
	reading->piece.place = present_place(stat->st_dev, exchange->engine->loop->now_ns);
	begin(exchange, reading);
}

void files_read_bytes(struct exchange *exchange, off_t at, size_t len, files_arrived *arrived)
{
	struct reading *reading = reading_of(at, len, len, arrived);

	if (reading == NULL) {
		later(exchange);
		return;
	}
	reading->holds = lasting_pin(exchange->response.holds);
	reading->fd = exchange->response.file_fd;
	reading->task.helper = TASK_FAR;
	reading->piece.place = PLACE_FAR;
	begin(exchange, reading);
}
