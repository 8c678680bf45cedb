/* upgrade_model_test.c - every history of an upgrade up to a length: the candidate is good, bad, or cannot be
 * executed; workers of either image become ready, refuse, serve, die, are late; the new image crashes; a
 * reload, another upgrade and the stop come in between.
 *
 * The master's own code runs, with the state in its memfd, its channels, its control socket and its signals;
 * only processes are not there (wrapped calls, see the Makefile): a worker is the other end of a channel, an
 * execve(2) closes what it would close and goes on with a new master. Each history is played from its
 * beginning in a process of its own; one that leads to a state that was seen is not continued. What comes of
 * it when all that wait get on is looked at after every one. */
#include "base/fd.h"
#include "base/log.h"
#include "config/canonical.h"
#include "master/master.h"
#include "service/registry.h"
#include "unit/one_turn.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 2, LONGEST = 5, MOST_WORKERS = 12, MOST_CLIENTS = 2, SEEN_ROOM = 1 << 14, ROUNDS = 64,
       MODEL_FDS = 512, FIRST_PID = 1 << 23, TEXT_BYTES = 1024 };

enum kind { ASKS, HUP, TERM, GOOD, BAD, NO_EXEC, CRASH, RESPAWN, SAYS, FAILS, DIES, LATE, KINDS };

enum { EVENTS = KINDS * MOST_WORKERS };

static const char *const kind_names[KINDS] = {
	"ASKS", "HUP", "TERM", "GOOD", "BAD", "NO_EXEC", "CRASH", "RESPAWN", "SAYS", "FAILS", "DIES", "LATE",
};

struct event {
	uint8_t kind, who;              /* who: the slot of RESPAWN, the worker from SAYS on */
};

/* A worker as it hears of it, and what has become of its process. */
struct puppet {
	int end, pidfd;
	uint64_t prepare, ready, go, adopted;   /* generations */
	bool drain, end_seen;
	bool dead, reaped;
	unsigned image;                 /* that forked it */
};

struct client {
	int fd;
	unsigned answers;
	bool in_between, lost;          /* it asked while there was a way back; which was taken */
};

static struct {
	struct puppet puppets[MOST_WORKERS];
	unsigned count, client_count, images;
	struct client clients[MOST_CLIENTS];
	int pending_end;
	bool hup, hup_done, term;
	bool armed, may_execute, ready_told, harmed;
	bool checking;
	candidate_done *candidate;
	struct guard_plan plan;
	uint64_t saved;                 /* what the way back leads to */
	jmp_buf leap;
} play;

/* What a play leaves to the explorer. */
static struct result {
	bool can[EVENTS];
	uint64_t state;
	char history[TEXT_BYTES];       /* of all that happens, to the end */
	char broken[2 * TEXT_BYTES];
} *result;

static struct master *master;
static struct source signals;
static char control_path[64];
static char *no_arguments[] = { NULL };
static struct master_setup setup = {
	.argv = no_arguments, .services = service_schemas,
	.counter_names = counter_names, .counters = COUNTERS, .open = COUNT_OPEN, .levels = counter_levels,
};

#define CONFIG_TEXT \
	"workers = 2; control = \"%s\"; listen = ( { address = \"unix:%s.http\"; } );\n" \
	"sites = ( { routes = ( { match = \"/\"; respond = { }; } ); } );"

static void must(bool good, const char *rule)
{
	if (good)
		return;
	snprintf(result->broken, sizeof(result->broken), "%s: after%s", rule, result->history);
	_exit(1);
}

/* ---- processes that are not there ------------------------ */

static struct puppet *puppet_behind(int pidfd)
{
	for (unsigned i = 0; i < play.count; i++)
		if (play.puppets[i].pidfd == pidfd)
			return &play.puppets[i];
	return NULL;
}

static void dies(struct puppet *puppet)
{
	puppet->dead = true;
	fd_close(&puppet->end);
	if (puppet->pidfd >= 0)
		eventfd_write(puppet->pidfd, 1);
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
bool __real_channel_pair(int ends[2], struct err *err);
bool __wrap_channel_pair(int ends[2], struct err *err);
bool __wrap_channel_pair(int ends[2], struct err *err)
{
	fd_close(&play.pending_end);
	if (!__real_channel_pair(ends, err))
		return false;
	play.pending_end = fcntl(ends[1], F_DUPFD, MODEL_FDS);
	return true;
}

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
	if (play.images == 0)           /* check's own */
		return __real_fork();
	must(play.count < MOST_WORKERS, "workers without end");
	play.puppets[play.count] =
		(struct puppet){ .end = fd_take(&play.pending_end), .pidfd = -1, .image = play.images };
	return FIRST_PID + (pid_t)play.count++;
}

int __wrap_pidfd_open(pid_t pid, unsigned flags);
int __wrap_pidfd_open(pid_t pid, unsigned flags)
{
	struct puppet *puppet = &play.puppets[pid - FIRST_PID], *before;
	int pidfd = eventfd(puppet->dead, EFD_CLOEXEC);

	(void)flags;
	before = puppet_behind(pidfd);
	if (before != NULL)             /* the master has closed it */
		before->pidfd = -1;
	puppet->pidfd = pidfd;
	return pidfd;
}

int __wrap_pidfd_send_signal(int pidfd, int number, siginfo_t *info, unsigned flags);
int __wrap_pidfd_send_signal(int pidfd, int number, siginfo_t *info, unsigned flags)
{
	struct puppet *puppet = puppet_behind(pidfd);

	(void)number, (void)info, (void)flags;
	play.harmed |= play.armed && !master->stopping && puppet->go != 0;
	if (!puppet->dead)
		dies(puppet);
	return 0;
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	struct puppet *puppet = puppet_behind((int)id);

	(void)type;
	must(puppet != NULL && !puppet->reaped, "nobody is waited for who was reaped");
	if (!puppet->dead)
		return 0;
	info->si_pid = FIRST_PID + (pid_t)(puppet - play.puppets);
	info->si_code = CLD_KILLED;
	info->si_status = SIGKILL;
	puppet->reaped = (options & WNOWAIT) == 0;
	return 0;
}

static struct child *child_of(unsigned number)
{
	FOR_EACH_CHILD(master, child)
		if (child->pid == FIRST_PID + (pid_t)number)
			return child;
	return NULL;
}

/* The real one reads them from the kernel, and waits for each. */
void __wrap_strays_find(struct master *of);
void __wrap_strays_find(struct master *of)
{
	(void)of;
	for (unsigned i = 0; i < play.count; i++)
		play.puppets[i].reaped |= child_of(i) == NULL;
}

/* ---- states ------------------------ */

static void add(uint64_t *hash, uint64_t number)
{
	*hash = (*hash ^ number) * UINT64_C(1099511628211);
}

static void add_puppet(uint64_t *hash, unsigned number)
{
	const struct puppet *puppet = &play.puppets[number];
	const struct child *child = child_of(number);
	const struct slot *slot = child != NULL ? &master->slots[child->slot] : NULL;

	add(hash, puppet->dead + 2u * puppet->reaped + 4u * puppet->drain + 8u * puppet->end_seen);
	add(hash, puppet->prepare * 1000000 + puppet->ready * 10000 + puppet->go * 100 + puppet->adopted);
	add(hash, puppet->image);
	if (child == NULL)
		return;
	add(hash, child->state * 64u + child->vote * 8u + 2u * timer_armed(&child->deadline));
	add(hash, child->generation * 10000 + child->asked * 100 + child->born);
	add(hash, slot->serving == child ? 1 : slot->next == child ? 2 : 3);
}

/* What may tell two histories apart from here on. */
static uint64_t state_now(void)
{
	const struct transition *transition = &master->transition;
	uint64_t hash = UINT64_C(1469598103934665603);

	add(&hash, master->upgrade.phase * 8u + transition->phase);
	add(&hash, master->upgrade.wanted + 2u * transition->again + 4u * master->stopping);
	add(&hash, play.armed + 2u * play.hup + 4u * play.hup_done + 8u * play.term);
	add(&hash, transition->number * 2 + (play.candidate != NULL));
	add(&hash, play.armed ? play.saved : 0);
	for (unsigned i = 0; i < SLOTS; i++)
		add(&hash, master->slots[i].replace + 2u * timer_armed(&master->slots[i].respawn) +
				   4u * (master->slots[i].failures > 0));
	for (unsigned i = 0; i < play.client_count; i++)
		add(&hash, play.clients[i].answers * 4 + 2u * play.clients[i].lost +
				   play.clients[i].in_between);
	for (unsigned i = 0; i < play.count; i++)
		add_puppet(&hash, i);
	return hash;
}

/* ---- what is around the master ------------------------ */

bool __wrap_candidate_start(struct master *of, int fd, candidate_done *done, struct err *err);
bool __wrap_candidate_start(struct master *of, int fd, candidate_done *done, struct err *err)
{
	(void)of, (void)fd, (void)err;
	play.candidate = done;
	return true;
}

void __wrap_candidate_kill(struct master *of);
void __wrap_candidate_kill(struct master *of)
{
	(void)of;
	play.candidate = NULL;
}

bool __wrap_checker_start(struct master *of, struct err *err);
bool __wrap_checker_start(struct master *of, struct err *err)
{
	(void)of, (void)err;
	play.checking = play.hup_done = true;
	return true;
}

void __wrap_checker_kill(struct master *of);
void __wrap_checker_kill(struct master *of)
{
	(void)of;
	play.checking = false;
}

void __wrap_guard_step(const char *step, unsigned seconds);
void __wrap_guard_step(const char *step, unsigned seconds)
{
	(void)step, (void)seconds;
}

bool __wrap_guard_is_armed(void);
bool __wrap_guard_is_armed(void)
{
	return play.armed;
}

void __wrap_guard_disarm(void);
void __wrap_guard_disarm(void)
{
	if (play.armed)
		fd_close(&play.plan.state_fd);
	play.armed = false;
}

void __wrap_guard_leap(const char *path, const struct guard_plan *plan, struct err *err);
void __wrap_guard_leap(const char *path, const struct guard_plan *plan, struct err *err)
{
	if (!play.may_execute) {
		err_set(err, "execute %s: it cannot be", path);
		return;
	}
	fcntl(plan->state_fd, F_SETFD, 0);
	play.plan = *plan;
	play.saved = state_now();
	play.armed = true;
	longjmp(play.leap, 1);
}

static void listen_to(struct client *client)
{
	char text[TEXT_BYTES];
	ssize_t n = recv(client->fd, text, sizeof(text), MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		client->answers += text[i] == '\n';
}

void __wrap_guard_roll_back(const char *why);
void __wrap_guard_roll_back(const char *why)
{
	if (!play.armed)
		return;
	for (unsigned i = 0; i < play.client_count; i++) {
		struct client *client = &play.clients[i];

		listen_to(client);      /* what is not answered goes with the end that this image accepted */
		client->lost |= client->in_between && client->answers == 0;
	}
	play.plan.failure = why;
	play.armed = false;
	longjmp(play.leap, 1);
}

void __wrap_notify_ready(const struct master *of);
void __wrap_notify_ready(const struct master *of)
{
	(void)of;
	play.ready_told = true;
}

void __wrap_notify_reloading(struct master *of);
void __wrap_notify_reloading(struct master *of)
{
	(void)of;
	play.ready_told = false;
}

void __wrap_notify_upgrading(struct master *of);
void __wrap_notify_upgrading(struct master *of)
{
	(void)of;
	play.ready_told = false;
}

/* Time passes when the history says so. */
void __real_loop_timer(struct loop *loop, struct timer *timer, uint64_t after_ns);
void __wrap_loop_timer(struct loop *loop, struct timer *timer, uint64_t after_ns);
void __wrap_loop_timer(struct loop *loop, struct timer *timer, uint64_t after_ns)
{
	__real_loop_timer(loop, timer, after_ns + 1000 * CLOCK_S);
}

/* The log is the test's. */
void __wrap_logs_start(struct master *of);
void __wrap_logs_start(struct master *of)
{
	(void)of;
}

void __wrap_logs_switch(struct master *of);
void __wrap_logs_switch(struct master *of)
{
	(void)of;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* ---- images ------------------------ */

static bool make_verdict(struct verdict *verdict, struct err *err)
{
	struct problems problems = { 0 };
	char text[sizeof(CONFIG_TEXT) + 2 * sizeof(control_path)], *canonical;
	struct config_input input = { .path = "/t", .text = text };
	size_t len;

	snprintf(text, sizeof(text), CONFIG_TEXT, control_path, control_path);
	*verdict = (struct verdict){ .slots = SLOTS, .base = -1, .error_log = -1, .access_log = -1 };
	verdict->generation = generation_new(0, service_schemas);
	if (!read_config(&input, verdict->generation, &problems))
		return err_set(err, "%s", problems.text);
	canonical = canonical_print(verdict->generation, &len);
	verdict->text = fd_sealed("text", canonical, len, err);
	free(canonical);
	return verdict->text >= 0;
}

static void check_now(void)
{
	struct verdict verdict;
	struct err err;

	play.checking = false;
	must(make_verdict(&verdict, &err), err.text);
	master->checker.done(master, &verdict, NULL);
	verdict_release(&verdict);
}

static void on_signals(struct source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		reload_ask(master, NULL, false);
	else
		master_stop(master, false);
}

static void begin_image(const struct guard_plan *plan)
{
	struct err err;

	play.images++;
	setup.plan = plan;
	master = calloc(1, sizeof(*master));
	master_init(master, &setup);
	must(plan == NULL || resume_take(master, &err), "the state is taken over");
	must(loop_open(&master->loop, &err), "a loop");
	signals = (struct source){ .fd = master_hear(-1), .handle = on_signals };
	master->signals.fd = signals.fd;
	must(loop_add(&master->loop, &signals, EPOLLIN) == 0, "signals are watched");
}

/* What execve(2) closes. */
static void close_on_exec(void)
{
	DIR *all = opendir("/proc/self/fd");

	for (struct dirent *one = readdir(all); one != NULL; one = readdir(all)) {
		int fd = (int)strtol(one->d_name, NULL, 10);

		if (one->d_name[0] == '.' || fd == dirfd(all) || (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
			continue;
		for (unsigned i = 0; i < play.count; i++)
			if (play.puppets[i].pidfd == fd)
				play.puppets[i].pidfd = -1;
		close(fd);
	}
	closedir(all);
}

static void go_on_as_another(void)
{
	struct err err;

	play.candidate = NULL;
	play.checking = false;
	close_on_exec();
	begin_image(&play.plan);
	must(resume_watch(master, &err), "all that the image before had is watched");
	upgrade_go_on(master);
}

static void start(void)
{
	struct err err;

	begin_image(NULL);
	master->board = board_create(counter_names, COUNTERS, counter_levels, &master->board_fd, &err);
	master->hot = hot_create(&master->hot_fd, &err);
	must(master->board != NULL && master->hot != NULL, "a board");
	reload_ask(master, NULL, false);
}

static bool has_events(void)
{
	struct pollfd loop = { .fd = master->loop.epoll_fd, .events = POLLIN };

	return poll(&loop, 1, 0) > 0;
}

/* Until nothing is left that has happened. */
static void turns(void)
{
	if (setjmp(play.leap) != 0)
		go_on_as_another();
	for (unsigned turn = 0; play.checking || has_events(); turn++) {
		must(turn < ROUNDS, "the master does not turn in circles");
		if (play.checking)
			check_now();
		else
			one_turn(&master->loop);
	}
}

/* ---- workers and clients ------------------------ */

static void take_in(struct puppet *puppet, const struct message *message)
{
	if (message->type == MESSAGE_PREPARE)
		puppet->prepare = message->generation;
	if (message->type == MESSAGE_ABORT)
		puppet->prepare = puppet->ready = puppet->adopted;
	if (message->type == MESSAGE_GO)
		puppet->go = message->generation;
	if (message->type != MESSAGE_DRAIN)
		return;
	puppet->drain = true;
	play.harmed |= play.armed && !master->stopping && puppet->image < play.images;
}

static void hear(struct puppet *puppet)
{
	struct message message;
	struct message_fds fds;

	while (!puppet->dead && !puppet->end_seen) {
		enum channel_result got = channel_receive(puppet->end, &message, &fds);

		if (got == CHANNEL_EMPTY)
			return;
		channel_drop(&fds);
		puppet->end_seen = got == CHANNEL_END;
		if (got == CHANNEL_MESSAGE)
			take_in(puppet, &message);
	}
}

static void all_hear(void)
{
	for (unsigned i = 0; i < play.count; i++)
		hear(&play.puppets[i]);
	for (unsigned i = 0; i < play.client_count; i++)
		listen_to(&play.clients[i]);
}

static bool has_word(const struct puppet *puppet)
{
	return !puppet->dead && !puppet->drain && !puppet->end_seen &&
	       (puppet->prepare != puppet->ready || puppet->go != puppet->adopted);
}

static void says(struct puppet *puppet)
{
	bool ready = puppet->prepare != puppet->ready;
	struct err err;

	if (ready)
		puppet->ready = puppet->prepare;
	else
		puppet->adopted = puppet->go;
	channel_tell(puppet->end, ready ? MESSAGE_READY : MESSAGE_ADOPTED,
		     ready ? puppet->ready : puppet->adopted, &err);
}

static void fails(struct puppet *puppet)
{
	struct message message = { .type = MESSAGE_FAILED, .generation = puppet->prepare,
				   .bytes = sizeof(message.body.text), .body.text = "no" };
	struct err err;

	puppet->ready = puppet->prepare;
	channel_send(puppet->end, &message, NULL, 0, &err);
}

static void asks(void)
{
	struct client *client = &play.clients[play.client_count++];
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd AUTO_CLOSE = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", control_path);
	*client = (struct client){ .fd = fcntl(fd, F_DUPFD, MODEL_FDS), .in_between = play.armed };
	must(connect(client->fd, (struct sockaddr *)&at, sizeof(at)) == 0, "the control socket is there");
	dprintf(client->fd, "{\"command\": \"upgrade\"}\n");
}

/* ---- events ------------------------ */

static void fire(struct timer *timer)
{
	timer_cancel(timer);
	timer->fire(timer, master->loop.now_ns);
}

static bool can_happen(struct event event)
{
	const struct puppet *puppet = &play.puppets[event.who];
	const struct child *child = child_of(event.who);

	switch ((enum kind)event.kind) {
	case ASKS:
		return !master->stopping && play.client_count < MOST_CLIENTS;
	case HUP:
		return !play.hup;
	case TERM:
		return !play.term;
	case GOOD:
	case BAD:
	case NO_EXEC:
		return play.candidate != NULL;
	case CRASH:
		return play.armed;
	case RESPAWN:
		return timer_armed(&master->slots[event.who].respawn);
	case SAYS:
		return has_word(puppet);
	case FAILS:
		return has_word(puppet) && puppet->prepare != puppet->ready;
	case DIES:
		return !puppet->dead;
	case LATE:
		return has_word(puppet) && child != NULL && timer_armed(&child->deadline);
	default:
		return false;
	}
}

static void candidate_says(bool good)
{
	candidate_done *done = play.candidate;

	play.candidate = NULL;
	done(master, good ? "2" : NULL, "no");
}

static void sends(int number)
{
	play.hup |= number == SIGHUP;
	play.hup_done &= number != SIGHUP;
	play.term |= number == SIGTERM;
	kill(getpid(), number);
}

static void do_it(struct event event)
{
	struct puppet *puppet = &play.puppets[event.who];

	if (event.kind == ASKS)
		asks();
	else if (event.kind == HUP || event.kind == TERM)
		sends(event.kind == HUP ? SIGHUP : SIGTERM);
	else if (event.kind == CRASH)
		guard_roll_back("crash");
	else if (event.kind == RESPAWN)
		fire(&master->slots[event.who].respawn);
	else if (event.kind == SAYS)
		says(puppet);
	else if (event.kind == FAILS)
		fails(puppet);
	else if (event.kind == DIES)
		dies(puppet);
	else if (event.kind == LATE)
		fire(&child_of(event.who)->deadline);
	else
		candidate_says(event.kind != BAD);
}

static void happens(struct event event)
{
	size_t len = strlen(result->history);

	snprintf(result->history + len, sizeof(result->history) - len, " %s%u", kind_names[event.kind],
		 event.who);
	play.may_execute = event.kind != NO_EXEC;
	master->loop.now_ns = clock_now_ns();
	if (setjmp(play.leap) != 0)
		go_on_as_another();
	else
		do_it(event);
	turns();
	all_hear();
}

/* ---- what becomes of it ------------------------ */

static bool worker_gets_on(void)
{
	for (unsigned i = 0; i < play.count; i++) {
		const struct puppet *puppet = &play.puppets[i];
		bool leaves = !puppet->dead && (puppet->drain || puppet->end_seen);

		if (!leaves && !has_word(puppet))
			continue;
		happens((struct event){ leaves ? DIES : SAYS, (uint8_t)i });
		return true;
	}
	return false;
}

/* False when nothing was left to do. */
static bool get_on(void)
{
	if (worker_gets_on())
		return true;
	if (play.candidate != NULL) {
		happens((struct event){ .kind = GOOD });
		return true;
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!timer_armed(&master->slots[i].respawn))
			continue;
		happens((struct event){ RESPAWN, (uint8_t)i });
		return true;
	}
	return false;
}

static void nobody_is_left_over(void)
{
	for (unsigned i = 0; i < play.client_count; i++)
		must(play.clients[i].answers == (play.clients[i].lost ? 0 : 1), "who asks is answered once");
	for (unsigned i = 0; i < play.count; i++) {
		must(!play.puppets[i].dead || play.puppets[i].reaped, "the dead are reaped");
		must(play.puppets[i].dead || child_of(i) != NULL,
		     "nobody lives whom the master does not know");
	}
}

static bool is_served(const struct slot *slot)
{
	const struct puppet *puppet;

	if (slot->serving == NULL)
		return false;
	puppet = &play.puppets[slot->serving->pid - FIRST_PID];
	return !puppet->dead && !puppet->drain && puppet->adopted != 0;
}

static void look_at_the_end(void)
{
	for (unsigned round = 0; get_on(); round++)
		must(round < ROUNDS, "it comes to an end");
	must(!play.armed && !upgrade_is_open(master) && !master->upgrade.wanted, "no upgrade is left open");
	must(master->transition.phase == PHASE_IDLE && !(master->transition.again && !play.term),
	     "no reload is left open");
	must(!play.harmed, "while there is a way back nobody who serves is told to leave, or killed");
	nobody_is_left_over();
	if (play.term) {
		must(list_empty(&master->children), "a stop ends all");
		return;
	}
	must(play.ready_told, "READY=1 is the last word");
	must(!play.hup || play.hup_done, "a HUP is a reload, whichever image reads it");
	for (unsigned i = 0; i < SLOTS; i++)
		must(is_served(&master->slots[i]), "every slot is served");
}

/* ---- every history ------------------------ */

static struct event event_of(unsigned number)
{
	return (struct event){ (uint8_t)(number / MOST_WORKERS), (uint8_t)(number % MOST_WORKERS) };
}

static void note_what_can_follow(void)
{
	result->state = state_now();
	for (unsigned i = 0; i < EVENTS; i++) {
		struct event event = event_of(i);
		unsigned most = event.kind < RESPAWN ? 1 : event.kind == RESPAWN ? SLOTS : play.count;

		result->can[i] = event.who < most && can_happen(event);
	}
}

static void remove_sockets(void)
{
	char path[sizeof(control_path) + 8];

	snprintf(path, sizeof(path), "%s.http", control_path);
	unlink(path);
	unlink(control_path);
}

/* In a process of its own. */
static void perform(const uint8_t *history, unsigned length)
{
	sigset_t set;

	memset(result, 0, sizeof(*result));
	memset(&play, 0, sizeof(play));
	play.pending_end = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	remove_sockets();
	start();
	turns();
	all_hear();
	while (get_on())
		must(strlen(result->history) < TEXT_BYTES / 2, "the start comes to an end");
	play.ready_told = true;         /* master.c's, at the start */
	result->history[0] = '\0';
	for (unsigned i = 0; i < length; i++)
		happens(event_of(history[i]));
	note_what_can_follow();
	look_at_the_end();
	_exit(0);
}

static void run(const uint8_t *history, unsigned length)
{
	pid_t pid = __real_fork();
	int status;

	if (pid == 0)
		perform(history, length);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (result->broken[0] != '\0')
		ck_abort_msg("%s", result->broken);
	if (status != 0)
		ck_abort_msg("status %d: after%s", status, result->history);
}

static uint64_t seen[SEEN_ROOM];
static unsigned seen_count;

static struct {
	uint8_t history[LONGEST], length;
} queue[SEEN_ROOM];

/* True the first time. */
static bool remember(uint64_t state)
{
	for (unsigned i = 0; i < seen_count; i++)
		if (seen[i] == state)
			return false;
	ck_assert_uint_lt(seen_count, SEEN_ROOM);
	seen[seen_count++] = state;
	return true;
}

static unsigned explore(void)
{
	unsigned first = 0, last = 1;

	for (; first < last; first++) {
		uint8_t length = queue[first].length;

		run(queue[first].history, length);
		if (!remember(result->state) || length == LONGEST)
			continue;
		for (unsigned event = 0; event < EVENTS; event++) {
			if (!result->can[event])
				continue;
			ck_assert_uint_lt(last, SEEN_ROOM);
			queue[last] = queue[first];
			queue[last].history[length] = (uint8_t)event;
			queue[last++].length++;
		}
	}
	return first;
}

START_TEST(every_history_ends_with_one_image_that_serves)
{
	char directory[] = "/tmp/drover-upgrade-XXXXXX";
	unsigned histories;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(control_path, sizeof(control_path), "%s/control", directory);
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(result, MAP_FAILED);
	histories = explore();
	remove_sockets();
	rmdir(directory);
	if (getenv("MODEL_COUNTS") != NULL)
		printf("%u histories, %u states\n", histories, seen_count);
	ck_assert_uint_gt(histories, 500);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("upgrade");
	TCase *tests = tcase_create("every history");
	SRunner *runner = srunner_create(suite);
	struct log_setup quiet = { .target = { LOG_STREAM, open("/dev/null", O_WRONLY), NULL } };
	int failed;

	log_open(NULL, &quiet);
	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 300);
	tcase_add_test(tests, every_history_ends_with_one_image_that_serves);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
