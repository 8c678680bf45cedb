/* worker_fuzz.c - what the channel says to a worker: any messages in any order, and in the end no descriptor
 * and no byte is left.
 *
 * Input: records of a type, flags, a generation, a length and a body. */
#include "fuzz.h"

/* The worker as it is: its messages are handled by functions that nobody else can call. But crashes are the
 * fuzzer's to catch, or it could not write down what led to one. */
#define worker_run fuzz_worker_run
#define crash_catch fuzz_crash_catch
#include "worker/worker.c"
#undef worker_run
#undef crash_catch

#include "fuzz_message.h"
#include "http/access_log.h"
#include "http/http1.h"
#include "service/registry.h"

#include <sys/socket.h>

static struct board *board;
static struct hot *hot;
static int hot_fd;

bool fuzz_crash_catch(struct epitaph *epitaph, struct err *err)
{
	(void)epitaph, (void)err;
	return true;
}

static unsigned length_of(const struct list *list)
{
	unsigned count = 0;

	for (const struct list *link = list->next; link != list; link = link->next)
		count++;
	return count;
}

static void check(const struct worker *worker)
{
	const struct generation *current = worker->engine.generation;

	FUZZ_CHECK(length_of(&worker->sockets) == worker->held_count);
	FUZZ_CHECK(current == NULL || current->config != NULL);
	FUZZ_CHECK(!worker->serving || current != NULL);
	FUZZ_CHECK(!worker->next.voted || worker->next.generation->config != NULL);
	for (const struct list *link = worker->sockets.next; link != &worker->sockets; link = link->next) {
		const struct held_socket *held = LIST_ENTRY(link, struct held_socket, link);

		/* a socket that does not listen before the commit is not watched before it */
		FUZZ_CHECK(!held->source.added || (current != NULL && held->generation <= current->number));
		FUZZ_CHECK(!held->source.added || (worker->serving && (!worker->draining || worker->keeps)));
	}
}

static void obey(struct worker *worker, int master, struct input *input)
{
	while (input->len > 0 && worker->channel.added) {
		unsigned turns = fuzz_message_send(master, input);

		for (unsigned i = 0; i < turns; i++)
			fuzz_turn(&worker->loop);
		check(worker);
	}
}

/* Nothing of what the worker answered may have been lost or be no message. */
static void check_answers(int master)
{
	struct message message;
	struct message_fds fds;

	while (channel_receive(master, &message, &fds) == CHANNEL_MESSAGE) {
		FUZZ_CHECK(message.type == MESSAGE_READY || message.type == MESSAGE_FAILED ||
			   message.type == MESSAGE_CONFINED || message.type == MESSAGE_ADOPTED ||
			   message.type == MESSAGE_REOPENED ||
			   message.type == MESSAGE_RELEASED || message.type == MESSAGE_SPENT ||
			   message.type == MESSAGE_WAITING || message.type == MESSAGE_COUNTED ||
			   message.type == MESSAGE_PARTED || message.type == MESSAGE_UNHEARD ||
			   message.type == MESSAGE_LISTED);
		FUZZ_CHECK(fds.count == 0);
	}
}

static void set_up_once(void)
{
	struct err err;

	if (board != NULL)
		return;
	board = board_create(counter_names, COUNTERS, counter_levels, NULL, &err);
	hot = hot_create(&hot_fd, &err);
	FUZZ_CHECK(board != NULL && hot != NULL);
	fuzz_message_set_up();
	fuzz_no_log();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct worker *worker = calloc(1, sizeof(*worker));
	struct worker_start start = { .will = -1, .protocol = &protocol_http1, .services = service_schemas };
	unsigned open_before;
	struct err err;
	int ends[2];

	set_up_once();
	told_to_stop = false;           /* by the input before; `parting` may fire in this one */
	open_before = fuzz_open_count();
	FUZZ_CHECK(channel_pair(ends, &err));
	start.board = board;
	start.hot = hot;
	start.column = 1;
	start.channel = ends[1];
	start.access_log = access_log_open;
	FUZZ_CHECK(set_up(worker, &start, &err));
	obey(worker, ends[0], &input);
	check_answers(ends[0]);
	close(ends[0]);                 /* the master is gone, or an upgrade was taken back */
	fuzz_turn(&worker->loop);
	FUZZ_CHECK(timer_armed(&worker->parting));
	told_to_stop = size % 2 == 0;
	worker->parting.fire(&worker->parting, worker->loop.now_ns);
	fuzz_turn(&worker->loop);       /* which ends, as the timer's would */
	FUZZ_CHECK(worker->draining && list_empty(&worker->sockets));
	engine_cut(&worker->engine);    /* what it took over: nobody is at its other end */
	tear_down(worker);
	free(worker);
	fuzz_no_log();
	FUZZ_CHECK(fuzz_open_count() == open_before);
	return 0;
}
