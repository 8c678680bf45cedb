/* The master: listeners, slots, children, signals, the one transition at a time. It never reads a client's
 * byte, and parses nothing that a user wrote.
 *
 * This header is the contract between the files of this folder; one verb per file. */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include "binary.h"
#include "candidate.h"
#include "child.h"
#include "guard.h"
#include "hang.h"
#include "obituary.h"
#include "respawn.h"
#include "state.h"
#include "steer.h"
#include "strays.h"
#include "transition.h"
#include "watch.h"

#include "base/clock.h"
#include "base/log_writer.h"
#include "base/loop.h"
#include "config/check.h"
#include "config/preflight.h"
#include "config/read.h"
#include "ipc/board.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "net/conn.h"
#include "net/hot.h"
#include "net/listener.h"

#include <sys/types.h>
#include <sys/wait.h>

/* How long handshakes that had begun may take to be completed when a socket is let go: a long round trip. */
#define RELEASE_SETTLE_NS (250 * CLOCK_MS)

struct json_t;
struct master;
struct child;

/* What a forked worker has besides the memory. */
struct worker_ends {
	int channel;
	int will;                       /* -1: none */
	bool survive;                   /* the setting, of the generation that it was forked for */
};

/* What main.c wires in. */
struct master_setup {
	struct config_input input;
	char **argv;                    /* an upgrade starts the next image with it */
	const struct guard_plan *plan;  /* this is an image in the middle of an upgrade; NULL: a start */
	const struct schema *const *services;
	const struct protocol *protocol;
	const char *const *counter_names;
	unsigned counters, gauge;
	/* Checks, in a checker child that runs as the workers will, what the system says to the
	 * configuration. */
	bool (*check_system)(struct generation *generation, struct problems *problems);
	/* Runs a worker in the forked child; its result is the exit status. */
	int (*run_worker)(const struct master *master, const struct worker_ends *ends,
			  const struct child *child);
};

/* A configuration that passed the checker. */
struct verdict {
	struct generation *generation;
	int text;                       /* the sealed memfd */
	struct config_identity identity;
	unsigned slots;
	int error_log, access_log;      /* -1: what it is has no descriptor */
	struct preflight *findings;     /* malloc'ed; NULL: none */
};

/* What came of a transition. */
struct outcome {
	bool good;
	bool wrong;                     /* not good, and the configuration itself is why */
	const char *text;
	const struct preflight *findings;       /* NULL: none */
};

/* Somebody who waits for a reload's outcome, or for what it would be. */
struct asker {
	struct list link;
	void (*answer)(struct asker *asker, const struct outcome *outcome);
	const char *path;               /* of a dry one: what to read; NULL: the daemon's own */
};

/* Whoever asks for something is told when the service stops. */
extern const struct outcome outcome_stopping;
/* Answers all of them; the list is empty then. */
void askers_answer(struct list *askers, const struct outcome *outcome);

struct child {
	struct list link;               /* in master->children */
	struct master *master;
	pid_t pid;
	struct source exit;             /* its pidfd */
	struct source channel;
	struct timer deadline;
	enum child_state state;
	enum vote vote;
	bool trial;                     /* of a dry transition: it takes no seat and never serves */
	unsigned slot;
	unsigned column;
	uint64_t born;                  /* the generation that it was forked for */
	uint64_t generation;            /* it serves this one; 0: none yet */
	uint64_t asked;                 /* the newest it was asked to prepare */
	uint64_t sockets_sent;          /* the highest serial of a socket that it holds */
	uint64_t reopening;             /* the reopening that it has not answered yet; 0: none */
	uint64_t started_ns, served_ns;
	uint64_t left_ns;               /* when it was told to drain; 0: it was not */
	uint64_t left_for;              /* the generation that it made room for; 0: it stays, or all stop */
	uint64_t had, came;             /* then: connections that were open; all that had come to it */
	unsigned kills;                 /* SIGKILLs that it was sent */
	bool releasing;                 /* it was told to let sockets go and has not said that it did */
	bool spent;                     /* all that it had at the stop is done */
	bool hands;                     /* draining: it may hand its connections over */
	const struct child *receiver;   /* over to this one; NULL: nobody yet, or it is gone */
	bool unconnected;               /* that failed, or has ended; it is tried again later */
	bool behind;                    /* it was not told the last COVER: it did not move */
	bool counting;                  /* it was asked what it has in hand, and has not answered */
	struct count_note counted;      /* what it said last */
	struct testament *testament;    /* NULL: its idle connections do not survive a crash */
};

/* What becomes of a worker's idle connections if it crashes: see wills.c. */
struct testament {
	struct list link;               /* in master->testaments */
	struct master *master;
	unsigned slot;                  /* of the worker */
	pid_t pid;
	bool heard;                     /* the word of whether there is a keeper */
	bool dead, crashed;             /* the worker */
	struct source end;              /* -1: somebody has it, or nobody will */
	pid_t keeper_pid;               /* 0: there is none, or it is gone */
	struct source keeper;           /* its pidfd */
};

/* What rescue.c knows of a slot. */
struct slot_rescue {
	struct hang hang;
	pid_t pid;                      /* of the worker that it is about; 0: none */
	bool queued;                    /* at this look somebody waits at its sockets */
	bool killed;                    /* it is ended because it hung for too long */
	struct obituary *doing;         /* malloc'ed: what it was doing at doing_ns; NULL: nobody knows */
	uint64_t doing_ns;
	uint64_t rescued_before;        /* by all workers, when it became bad */
};

/* A slot at the watchdog's last look. */
struct watched {
	pid_t pid;
	uint64_t accepted;
	bool queued;
};

struct slot {
	struct master *master;
	struct child *serving;          /* NULL: none */
	struct child *next;             /* starting or standing by; NULL: none */
	bool replace;                   /* the serving one is to be followed by a fresh one */
	unsigned failures;              /* in a row: workers that had hardly served, or never */
	bool came;                      /* the last one that died had come to serve */
	struct death *death;            /* of the last one that crashed or was killed; NULL: none */
	struct timer respawn;
	struct watched watched;
	struct slot_rescue rescue;
	bool bad;                       /* its worker does not take what waits for it: the others do */
};

/* Who besides this process holds a listening socket: it lives on when this process ends. */
enum keeper {
	KEEPER_NONE,
	KEEPER_UNIT,                    /* a .socket unit, which passed it */
	KEEPER_STORE,                   /* the FD store, which got it from drover */
};

/* A socket that systemd passed at the start, while no listener has it. */
struct inherited {
	struct list link;               /* in master->inherited */
	int fd;
	enum keeper keeper;
	char *name;                     /* FileDescriptorName=, or what notify.c called it in the store */
	const char *flaw;               /* why nobody can accept from it; NULL: it can be used */
	struct addr addr;
};

struct listen_socket {
	uint64_t serial;
	int fd;
	bool listening;
	enum keeper keeper;
	char *name;                     /* of KEEPER_UNIT: FileDescriptorName= */
	struct arrival *watch;     /* NULL: nobody looks whether somebody waits there */
};

struct listener {
	struct list link;
	uint32_t id;
	struct addr addr;
	struct listener_path path;
	struct listener_options options;        /* in force */
	struct listener_options wanted;         /* by the open transition */
	bool keep;                      /* the open transition's generation has it */
	bool fresh;                     /* made by the open transition */
	bool inherited;                 /* it began with sockets that systemd passed */
	bool fixed;                     /* no socket can be added: they are a unit's or another user's */
	bool shared;                    /* committed: everybody accepts from its sockets */
	enum steered steered;
	bool steered_here;              /* by this image: else the one before may have had other ideas */
	int array;                      /* for mode directed: its sockets by their slots; -1: none yet */
	unsigned seated;                /* the first of them are in the array */
	bool seats_wanted;              /* they are in another one still: it is tried again */
	char unsteered[ERR_TEXT_BYTES]; /* why it is not steered as configured; "": it is */
	unsigned count;                 /* sockets: one per slot, or fewer */
	struct listen_socket *sockets;
};

enum phase { PHASE_IDLE, PHASE_CHECKING, PHASE_PREPARING, PHASE_GOING };

struct transition {
	enum phase phase;
	uint64_t number;
	bool dry;                       /* called off where it would be committed */
	bool wrong;                     /* the configuration itself is why it failed */
	bool replace;                   /* asked for by the caller */
	struct verdict next;            /* until the commit */
	uint64_t started_ns;
	struct list askers, later;      /* waiting for this one; for the one after it */
	struct list checks;             /* waiting for a dry one */
	char dry_path[CONTROL_LINE_BYTES];
	bool again;                     /* somebody asked meanwhile */
	bool again_replace;
	bool replaces;                  /* the plan has fresh workers for serving slots */
	unsigned buried;                /* voters that died: off the list of children */
	char notes[256];                /* what the caller should know although it went well */
	char why_replaced[96];
};

/* Log files are being opened anew: the workers have the descriptors and have to say so. */
struct reopening {
	uint64_t number;                /* of the one under way, or the last one */
	bool open, again;               /* again: asked for meanwhile, or during a reload */
	struct list askers, later;      /* as in struct transition */
	struct timer deadline;
	char failure[ERR_TEXT_BYTES];   /* of the first that could not; "": none */
};

/* Listening sockets being let go: see release.c. */
struct release {
	uint64_t number;                /* of the last one */
	bool all;                       /* the service stops; else what is not configured any more */
	bool told;                      /* workers were; until the sockets are closed here */
	struct timer timer;
	void (*done)(struct master *master);    /* NULL: none is under way */
};

/* Who accepts what a worker does not: see rescue.c; at which sockets somebody waits: arrivals.c. */
struct rescue {
	struct list watches, dropped;   /* of struct arrival; dropped: freed at the turn's end */
	unsigned count;                 /* of watches */
	struct pollfd *polled;          /* room for all of them */
	struct timer look;              /* armed while there is something to see */
	struct hang_common common;
	bool common_waits;
	uint64_t accepted;              /* by all, at the last look */
};

/* Connections go from old workers to new ones: see handover.c. */
struct handover {
	uint64_t number;                /* of the last pair */
	struct timer retry;             /* one could not be made */
	struct list departures;         /* see departure.c */
};

/* Somebody asks what the workers have in hand: see generations.c. */
struct census {
	struct list askers;
	struct timer deadline;          /* armed while answers are waited for */
};

enum { COMMITS_KNOWN = 64 };

struct commit {
	uint64_t number, at_ns;         /* of the generation */
};

/* The kinds of connections that are handed over, counted from COUNT_HANDED_IDLE on. */
enum { PARTING_KINDS = COUNT_HAND_DECLINED - COUNT_HANDED_IDLE };

/* What became of the connections of workers that leave, or has so far. */
struct parting {
	uint64_t connections;           /* that it had when it was told, and that came still */
	uint64_t left;                  /* that it still has */
	uint64_t moved;                 /* the sum of */
	uint64_t handed[PARTING_KINDS];
	uint64_t finished, cut;
};

/* CHECKING: in the old image. RESUMING, REPLACING: in the one that follows, or that is back. */
enum upgrade_phase { UPGRADE_IDLE, UPGRADE_CHECKING, UPGRADE_RESUMING, UPGRADE_REPLACING };

/* Another binary takes over: see upgrade.c. */
struct upgrade {
	enum upgrade_phase phase;
	bool wanted;                    /* when what is under way has ended */
	struct list askers;
	struct asker replaced;          /* the new image's, for its transition */
	struct state state;             /* that the image before left, while there is a way back */
	uint64_t began_ns;
	uint64_t good, bad;
	bool last_good;
	struct timespec last_at;        /* zero: there was none */
	char last[ERR_TEXT_BYTES];      /* what came of it */
	char from[32];                  /* the version before */
};

/* The end of the service: see stop.c. */
struct stop {
	bool draining;                  /* the delay is over */
	bool settled;                   /* sockets that outlive the service may be let go */
	bool at_once;
	bool said;                      /* how it ended was logged */
	struct timer timer;
	uint64_t began_ns;
	uint64_t before[COUNTERS];      /* the sums of all workers when the drain began */
	uint64_t killed;                /* connections of workers that were killed or crashed */
};

/* Checkers that were killed, have not ended, and are not waited for any more: the kernel holds them. */
enum { CHECKER_MOST_STUCK = 4 };

struct stuck_checker {
	struct source exit;             /* its pidfd */
	struct master *master;          /* NULL: a free place */
};

struct checker {
	struct config_input input;      /* what it reads */
	pid_t pid;
	struct source exit;
	struct timer deadline;
	int text;                       /* the memfd it writes to */
	struct checker_result *result;  /* shared memory */
	bool cut;                       /* it was killed: nobody knows whether the configuration is wrong */
	struct stuck_checker stuck[CHECKER_MOST_STUCK]; /* earlier ones */
	void (*done)(struct master *master, struct verdict *verdict, struct problems *problems);
};

struct master {
	const struct master_setup *setup;
	struct loop loop;
	struct offload offload;         /* for log files; its thread is made when there is one */
	struct log_writers log_writers;
	struct source signals;
	struct board *board;
	struct hot *hot;
	int board_fd, hot_fd;           /* their memory, for the next image */
	struct board_owners owners;     /* of its columns */
	struct steer steer;
	struct list children, dead;     /* dead: freed at the turn's end */
	struct turn_end sweep;
	unsigned slot_count;            /* of the committed generation */
	struct slot slots[CONFIG_MAX_WORKERS];
	struct list listeners;
	struct list inherited;          /* sockets that systemd passed and no listener has */
	bool outlive;                   /* the listening sockets live on in systemd when this process ends */
	uint64_t store_max,
		store_used; /* sockets that systemd keeps for the next process; max 0: it does not */
	struct timer extend;            /* asks systemd for more time */
	struct timer watchdog;
	uint64_t watchdog_ns;           /* a ping is due within; 0: no watchdog */
	uint32_t listener_ids;
	uint64_t socket_serials;
	uint64_t generation_numbers, dry_numbers;
	uint64_t fresh_since;           /* workers forked for an older generation are replaced, not asked */
	struct verdict current;         /* committed; generation NULL: none yet */
	struct transition transition;
	struct reopening reopening;
	struct upgrade upgrade;
	struct checker checker;
	struct binary binary;
	struct candidate candidate;
	struct list strays;             /* children that are nobody's: see strays.h */
	struct list testaments;
	struct control *control;
	struct asker starter;           /* waits for the first generation to serve */
	struct slot_set uncovered;      /* as it was last told to the workers */
	int exit_status;
	bool stopping;                  /* from TERM on */
	struct stop stop;
	struct release release;
	struct rescue rescue;
	struct handover handover;
	struct census census;
	struct commit commits[COMMITS_KNOWN];   /* the newest ones, at their number modulo this */
	char failure[PROBLEMS_MAX_BYTES];       /* why the start failed */
	uint64_t reloads_good, reloads_bad;
	char last_reload[ERR_TEXT_BYTES];
	struct timespec last_reload_at;
	bool last_reload_good;
	struct preflight *findings;     /* of the committed generation, logged; NULL: none */
};

/* None of them may be freed on the way. */
#define FOR_EACH_CHILD(master, child) \
	for (struct child *child = LIST_ENTRY((master)->children.next, struct child, link); \
	     &child->link != &(master)->children; child = LIST_ENTRY(child->link.next, struct child, link))

/* Makes a zeroed master one that has nothing yet; cannot fail. */
void master_init(struct master *master, const struct master_setup *setup);

/* Runs the service until it is stopped; returns the exit status: 0 stopped as asked, 1 the start failed, 2
 * the configuration is wrong (both said on stderr), 3 the drain cut connections. */
int master_run(const struct master_setup *setup);

/* The signalfd, a new one for -1, is for all signals, or while an upgrade has a way back for those that
 * cannot wait for its end. -1 on failure, with errno. */
int master_hear(int fd);

static inline bool upgrade_is_open(const struct master *master)
{
	return master->upgrade.phase != UPGRADE_IDLE;
}

static inline bool master_is_stopping(const struct master *master)
{
	return master->stopping;
}

/* The first transition is the start of the service: without it there is nothing to go on with. */
static inline bool master_was_start(const struct master *master)
{
	return master->current.generation == NULL;
}

/* ---- stop.c ---- */
/* Graceful (delay, drain, deadline) or at once. */
void master_stop(struct master *master, bool at_once);
/* Ends the loop when nothing is left to wait for. */
void master_check_end(struct master *master);
/* A worker that began to serve during the delay learns of it. */
void stop_tell(struct child *child);
void stop_child_spent(struct child *child);
/* A worker was killed, or crashed: while the service stops nobody follows, and what it had in hand is cut. */
void stop_child_lost(const struct child *child);

static inline bool stop_is_draining(const struct master *master)
{
	return master->stop.draining;
}

/* ---- release.c ---- */
/* Begins to let listening sockets go, all or those that are not configured any more: `done` is called when no
 * worker holds them, at most some seconds later. One that is under way is replaced by it. */
void release_begin(struct master *master, bool all, uint64_t settle_ns, void (*done)(struct master *master));
void release_child_done(struct child *child, uint64_t number);
/* It died: nobody waits for it. */
void release_child_died(struct child *child);
void release_cancel(struct master *master);

static inline bool release_is_open(const struct master *master)
{
	return master->release.done != NULL;
}

/* ---- checker.c ---- */
/* Forks the checker for what master->checker.input says; its `done` is called later, with a verdict or with
 * problems. */
bool checker_start(struct master *master, struct err *err);
/* Ends one that runs; `done` is called when it is gone, if that is before checker_forget. */
void checker_kill(struct master *master);
/* Gives back what the master holds of it; at the end. */
void checker_forget(struct master *master);
void verdict_release(struct verdict *verdict);

/* ---- logs.c ---- */
/* The master's own log, before there is a configuration and after it. */
void logs_start(struct master *master);
void logs_end(struct master *master);
/* Opens the files that the verdict's configuration names.  False with `err`, which names the setting's place:
 * nothing stays open.  A dry one tries it and leaves no trace. */
bool logs_open(struct verdict *next, bool dry, struct err *err);
/* The master's own log goes where the committed configuration says. */
void logs_switch(struct master *master);
/* Sends LOGS or REOPEN for the verdict. */
bool logs_send(const struct child *child, enum message_type type, uint64_t number,
	       const struct verdict *verdict, struct err *err);
/* In a forked child, first of all. */
void logs_forked(struct master *master, const struct config *config);

/* ---- reopen.c ---- */
/* Opens log files anew, here and in every worker.  `asker` (may be NULL) is answered when all have said so,
 * or when one could not. */
void reopen_ask(struct master *master, struct asker *asker);
void reopen_child_answered(struct child *child, uint64_t number, bool good);
/* It died, or cannot be reached: it does not write to any file any more. */
void reopen_child_gone(struct child *child);
/* A reload is over: one that waited for its end begins. */
void reopen_continue(struct master *master);
void reopen_stop(struct master *master);

/* ---- spawn.c ---- */
/* Forks a worker for `slot` and asks it to prepare `verdict`; it becomes slot->next, unless it is a trial.
 * NULL with `err`. */
struct child *spawn_child(struct master *master, unsigned slot, const struct verdict *verdict,
			  struct err *err);

/* Sends CONFIG, LOGS, SOCKETS, PREPARE for `verdict`.  False: the child does not read its channel. */
bool spawn_ask(struct child *child, const struct verdict *verdict, struct err *err);

/* Feeds `event` to the child's table and carries the action out. */
void child_happens(struct child *child, enum child_event event);

/* A child that does not read its channel is hung for good, as there is no other way to reach it: kills it. */
void child_unreachable(struct child *child, const struct err *err);

/* Sends GO for the generation that the child was asked to prepare last. */
void child_go(struct child *child);

/* Watches the child's end and its channel, which is the child's from now on. */
bool spawn_watch(struct child *child, int channel, struct err *err);

/* Has the child behind the pidfd ended?  Then it is reaped (`more` WNOWAIT: it is not), and `info` says how;
 * waitid(2). */
static inline bool spawn_reap(int pidfd, int more, siginfo_t *info)
{
	*info = (siginfo_t){ 0 };
	return waitid(P_PIDFD, (id_t)pidfd, info, WEXITED | WNOHANG | more) == 0 && info->si_pid != 0;
}

/* Has all workers that have room look at the sockets that are everybody's; `full` (may be NULL) has none. */
void spawn_tell_to_look(const struct master *master, const struct child *full);

/* Every child now: SIGKILL. */
void spawn_kill_all(struct master *master);

/* ---- slots.c ---- */
/* Has the slot, if it needs a worker, get one, when respawn.h says so. `dead` was its last one; NULL: there
 * was none, it could not be started. */
void slot_respawn(struct slot *slot, const struct child *dead);
/* Has another one follow the worker that serves. */
void slot_renew(struct slot *slot);
/* Its last workers died young, and the one that serves may do so, too. */
bool slot_is_failing(const struct slot *slot);
/* Nobody serves any more: no slot waits for long. */
void slots_hasten(struct master *master);
/* Frees what is known of deaths. */
void slots_forget(struct master *master);
/* Arms what was armed in the image before. */
void slot_resume(struct slot *slot);
/* The successor serves: it takes the seat, the one before retires. */
void slot_take(struct child *child);
/* Retires everybody above slot_count. */
void slots_trim(struct master *master);
/* Retires those that serve although another one has their seat: of the image before. */
void slots_retire_old(struct master *master);
/* Who may be given connections, for the steering program; and tells the workers, when that has changed, from
 * whose sockets they accept too: of slots that have nobody, or one that is bad. */
void slots_publish(struct master *master);
/* The first half of it, for when somebody is about to leave, or nobody knows who served before. */
void slots_publish_seats(struct master *master);

/* Tells the child what it was not told while it did not move. */
void slots_catch_up(struct child *child);

/* ---- rescue.c ---- */
/* Somebody came, and until this moment nobody waited anywhere: begins to look, if it does not. */
void rescue_begin(struct master *master);
/* Looks now, and goes on looking if there is something to see. */
void rescue_look(struct master *master);
/* Who serves has changed: what was known of those that are gone is over. Called by slots_publish alone. */
void rescue_seats(struct master *master);
/* For how long the slot has been bad; 0: it is not. Connections that siblings accepted since then. */
uint64_t rescue_bad_ns(const struct slot *slot);
uint64_t rescue_count(const struct slot *slot);
/* Does the slot's worker hang, the others accept in its place, and is it ended some time? */
bool rescue_handles(const struct slot *slot);
void rescue_close(struct master *master);

/* ---- arrivals.c ---- */
/* Watches all sockets that listen and are not watched yet. */
void arrivals_watch(struct master *master);
/* The socket is about to be let go, or passed on. */
void arrivals_unwatch(struct master *master, struct listen_socket *socket);
/* Notes in each slot whether somebody waits there. True: somebody does at a socket that is everybody's. Those
 * that are armed had nobody. */
bool arrivals_poll(struct master *master);
/* Arms those that nobody waits at. */
void arrivals_arm(struct master *master);
/* Are there any that say nothing by themselves? */
bool arrivals_are_polled(const struct master *master);
/* Frees what was let go in this turn; and at the end, everything. */
void arrivals_sweep(struct master *master);
void arrivals_close(struct master *master);

/* ---- handover.c ---- */
/* Connects those that leave with those that follow; to be called when somebody began to serve or to leave. */
void handover_arrange(struct master *master);
/* The child says that its pair with a receiver has ended; that a receiver is silent. */
void handover_parted(struct child *child, const struct hand_note *with);
void handover_unheard(const struct child *child, const struct hand_note *of);
/* It is no more: nobody hands over to it. */
void handover_forget(const struct child *gone);

/* ---- wills.c ---- */
/* Makes the child's testament; returns the end that is the worker's, and the caller's to close. -1 with
 * `err`. */
int wills_make(struct child *child, struct err *err);
/* Watches it, when the child is forked or taken over. */
bool wills_watch(struct child *child, struct err *err);
/* The child is no more. `crashed`: and had connections. */
void wills_child_died(struct child *child, bool crashed);
/* To be called when somebody began to serve, or nobody will. */
void wills_arrange(struct master *master);
/* Is it a keeper that is waited for? */
bool wills_know(const struct master *master, pid_t pid);
/* Are there keepers still? */
bool wills_left(const struct master *master);
/* Frees what ended in this turn; all of it. */
void wills_sweep(struct master *master);
void wills_forget(struct master *master);
/* For the next image: a new reference or NULL; and in that image. */
struct json_t *wills_save(const struct child *child);
bool wills_load(struct child *child, const struct json_t *json, struct err *err);

/* ---- departure.c ---- */
/* The child is told to drain, for the first time. */
void departure_begin(struct child *child);
/* It had begun in the image before. */
void departure_resume(struct child *child);
/* It is gone; its column of the board is still its. */
void departure_end(struct child *child);
/* A transition is over: says so of those that are complete. */
void departure_check(struct master *master);
/* So far. */
struct parting departure_of(const struct child *child);
/* Of all that leave, and those that left together with them; and how many are still there. */
struct parting departure_sum(const struct master *master, unsigned *workers);
void departure_forget(struct master *master);

/* ---- sockets.c ---- */
/* Opens what the verdict's configuration needs and is not there yet; nothing listens. False with `err`:
 * nothing is left behind. */
bool sockets_prepare(struct master *master, const struct verdict *next, struct err *err);
/* listen(2) on all of it.  False with `err`: call sockets_abort. */
bool sockets_commit(struct master *master, struct err *err);
void sockets_abort(struct master *master);
/* After the commit: who accepts from which socket now. */
void sockets_settle(struct master *master);
/* Closes the listeners that the committed generation has not, and counts who waited there. */
void sockets_sweep(struct master *master);
/* What waits at the listener's sockets, and what the kernel has dropped there. */
struct listener_queue sockets_queue(const struct listener *listener);
/* The latter over all listeners. */
uint64_t sockets_dropped(const struct master *master);
/* True when there are such. */
bool sockets_leave(const struct master *master);
/* Calls `act` for each socket that ends with us, of all listeners or of those. */
void sockets_for_each(struct master *master, bool all, void (*act)(struct listener *listener, int fd));
/* Sends the sockets of the verdict's listeners that the child has not yet. */
bool sockets_send(struct child *child, const struct verdict *verdict, struct err *err);
/* Fills in which listeners and how many slots the verdict has. */
void sockets_note(struct master *master, const struct verdict *verdict, struct prepare_note *note);
/* Closes all, and counts who waited there; what lives on in systemd keeps its path and its queue. */
void sockets_close(struct master *master);

/* ---- inherit.c: what systemd passes at the start ---- */
/* Takes it over; the environment says no more of it then.  False with `err`: what the environment says is
 * broken. */
bool inherit_take(struct master *master, struct err *err);
/* Do names, addresses and options of what a unit passed fit the configuration?  False with `err`. */
bool inherit_check(const struct master *master, const struct config *config, struct err *err);
bool inherit_has(const struct master *master, const struct addr *addr);
/* The next one at this address, now the caller's to free; NULL: none (more). */
struct inherited *inherit_claim(struct master *master, const struct addr *addr);
void inherit_free(struct inherited *one);
/* A listener is gone: takes over the descriptor and the name of a unit's socket.  False: out of memory, both
 * are released. */
bool inherit_return(struct master *master, int fd, char *name);
/* The address cannot be bound: adds to `err` which of them is in the way, if one is. */
void inherit_explain(const struct master *master, const struct addr *addr, struct err *err);
/* Lets go what an earlier run stored and `config` does not have. */
void inherit_drop_stale(struct master *master, const struct config *config);
/* Says what nobody wants. */
void inherit_say_surplus(const struct master *master);
void inherit_close(struct master *master);

/* ---- watch.c ---- */
/* Pings systemd's watchdog, if there is one, as long as all slots make progress. */
void watch_start(struct master *master);
/* Is the child stopped by a signal? */
bool watch_is_stopped(const struct child *child);
/* Is the child stopped, or busy with one batch of events for so long? */
bool watch_hangs(const struct child *child, uint64_t limit_ns);

/* ---- reload.c ---- */
/* Starts a reload, or has one follow the open one.  `asker` (may be NULL) is answered in any case. */
void reload_ask(struct master *master, struct asker *asker, bool replace);
/* The same up to the commit, and then it is called off: what would a reload do? Waits for its turn behind
 * reloads, also those that come while it waits for votes. `asker->path` must stay until the answer. */
void reload_check(struct master *master, struct asker *asker);
void reload_child_ready(struct child *child, uint64_t generation);
void reload_child_failed(struct child *child, uint64_t generation, const char *why);
void reload_child_adopted(struct child *child, uint64_t generation);
void reload_child_died(struct child *child);
/* It retires although it was asked: its successor took its seat meanwhile. */
void reload_child_left(struct child *child);
void reload_child_late(struct child *child);
/* A fresh worker in every slot, by `verdict` (taken over), which is what is committed: the new image's.
 * `asker` is answered in any case. */
void reload_renew(struct master *master, struct verdict *verdict, struct asker *asker);
/* Begins what waits for the end of a transition, of a reopening or of an upgrade. */
void reload_continue(struct master *master);
void reload_stop(struct master *master);

/* ---- upgrade.c ---- */
/* Begins an upgrade, when nothing else is under way. `asker` (may be NULL) is answered in any case, though
 * perhaps by another image. */
void upgrade_ask(struct master *master, struct asker *asker);
/* Begins one that waits, if nothing is under way; true: it did. */
bool upgrade_continue(struct master *master);
/* In the new image, or in the old one that is back, when its state is there. */
void upgrade_go_on(struct master *master);
/* A worker was told to serve and does not say that it does: as long as there is a way back, it is taken. */
void upgrade_child_late(const struct child *child);
void upgrade_stop(struct master *master);

/* ---- resume.c ---- */
/* Takes the state over that the image before left: first what it says, then, with a loop, all that is to be
 * watched. False with `err`: this image cannot take over. */
bool resume_take(struct master *master, struct err *err);
bool resume_watch(struct master *master, struct err *err);
/* Could this binary take over what `state_fd` says?  Changes nothing, but gives up the rights that workers do
 * not have; what it loads stays. */
bool resume_try(const struct master_setup *setup, int state_fd, struct err *err);

/* ---- plan.c ---- */
/* Opens what the open transition's verdict needs and asks everybody for a vote: the worker of each slot, or a
 * fresh one.  NULL, or with `err` the step that failed; what was begun by then is for the caller to undo. */
const char *plan_carry_out(struct master *master, struct err *err);
/* May those whose slot gets another worker, or has none any more, leave?  False with `err`: in some slot too
 * many drain already (limits.max_draining). */
bool plan_has_room(const struct master *master, const struct verdict *next, bool replaces, struct err *err);

/* ---- dry.c ---- */
/* "would adopt it in place (2 workers) ...": what the open transition, all of whose voters are ready, would
 * do. */
void dry_describe(const struct master *master, char *text, size_t bytes);

/* ---- findings.c ---- */
/* Logs what the committed generation's preflight found and the one before had not. */
void findings_log(struct master *master);
/* Adds to `err` why a port below 1024 cannot be bound, if that is what it says. */
void findings_explain(const struct preflight *findings, struct err *err);

/* ---- notify.c: what systemd is told ---- */
/* A name in the FD store begins with it. */
#define NOTIFY_STORED "drover/"
enum { NOTIFY_NAME_BYTES = 256 };       /* the longest FDNAME= and its end */

void notify_starting(struct master *master);
void notify_ready(const struct master *master);
void notify_reloading(struct master *master);
void notify_upgrading(struct master *master);
/* The image that follows. */
void notify_resumed(struct master *master);
void notify_stopping(struct master *master);
/* Workers leave: the status line says how far they are. */
void notify_leaving(struct master *master);
/* How the stop went, for the status line. */
void notify_stopped(const char *text);
/* The status line alone, when nothing is under way that has one of its own. */
void notify_status(const struct master *master);
/* The period of the watchdog; 0: there is none. */
uint64_t notify_watchdog_ns(void);
void notify_alive(void);
/* Has systemd keep the listener's sockets that nobody else holds; all or none of them. */
void notify_store(struct master *master, struct listener *listener);
/* Has it forget `count` sockets, all that it keeps under a name or of a listener. */
void notify_forget(struct master *master, const char *name, unsigned count);
void notify_forget_listener(struct master *master, const struct listener *listener);

/* ---- control.c ---- */
/* Opens the control socket that `config` names; one that is "auto" and cannot be had is a warning, any other
 * an error. */
bool control_open(struct master *master, const struct config *config, struct err *err);
void control_close(struct master *master);
/* What the next image needs of it, a new reference or NULL; and in that image what it makes of it, and the
 * clients' questions asked again. */
struct json_t *control_save(const struct master *master);
bool control_load(struct master *master, const struct json_t *json, struct err *err);
bool control_resume(struct master *master, struct err *err);
/* Frees the clients that went in this turn. */
void control_sweep(struct master *master);

/* ---- generations.c ---- */
/* Asks the workers what they have in hand; `asker` is answered when they have said it, or a second later. */
void generations_ask(struct master *master, struct asker *asker);
void generations_child_counted(struct child *child, const struct count_note *note);
void generations_child_died(struct master *master);
/* What they said, as a JSON array, a new reference; NULL when out of memory. */
struct json_t *generations_json(const struct master *master);

/* ---- status.c ---- */
/* The state of everything as a JSON object, a new reference; NULL when out of memory. */
struct json_t *status_json(const struct master *master);

#endif
