/* The master: listeners, slots, children, signals, the one transition at a time. It never reads a client's
 * byte, and parses nothing that a user wrote.
 *
 * This header has what all files of this folder share; one verb per file, those with more to say than a few
 * lines have a header of their own. */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include "asker.h"
#include "binary.h"
#include "candidate.h"
#include "checker.h"
#include "child.h"
#include "generations.h"
#include "guard.h"
#include "handover.h"
#include "hold.h"
#include "listing.h"
#include "release.h"
#include "reopen.h"
#include "rescue.h"
#include "respawn.h"
#include "sockets.h"
#include "state.h"
#include "stop.h"
#include "strays.h"
#include "tell.h"
#include "transition.h"
#include "tuning.h"
#include "upgrade.h"
#include "watch.h"
#include "wills.h"

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
#include "net/quota.h"
#include "net/listener.h"

#include <sys/types.h>
#include <sys/wait.h>

struct master;
struct child;

/* What a forked worker has besides the memory. */
struct worker_ends {
	int channel;
	int will;                       /* -1: none */
	bool survive, seccomp;          /* the settings, of the generation that it was forked for */
};

/* What main.c wires in. */
struct master_setup {
	struct config_input input;
	char **argv;                    /* an upgrade starts the next image with it */
	const struct guard_plan *plan;  /* this is an image in the middle of an upgrade; NULL: a start */
	const struct schema *const *services;
	const struct protocol *protocol;
	const char *const *counter_names;
	unsigned counters, open;        /* open: the one that says how many connections there are */
	const uint64_t *levels;         /* see board_create */
	/* Checks, in a checker child that runs as the workers will, what the system says to the
	 * configuration. */
	bool (*check_system)(struct generation *generation, struct problems *problems);
	/* Runs a worker in the forked child; its result is the exit status. */
	int (*run_worker)(const struct master *master, const struct worker_ends *ends,
			  const struct child *child);
};

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
	bool unwanted;                  /* it is killed because nobody needs it, not for what it did */
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
	uint64_t listing;               /* the list of connections that it has not written yet; 0: none */
	struct testament *testament;    /* NULL: its idle connections do not survive a crash */
};

struct slot {
	struct master *master;
	struct child *serving;          /* NULL: none */
	struct child *next;             /* starting or standing by; NULL: none */
	bool replace;                   /* the serving one is to be followed by a fresh one */
	bool held;                      /* out of service: it stays without a worker, see hold.h */
	unsigned failures;              /* in a row: workers that had hardly served, or never */
	bool came;                      /* the last one that died had come to serve */
	bool bereft;                    /* its worker died, and none has served since */
	struct death *death;            /* of the last one that crashed or was killed; NULL: none */
	struct timer respawn;
	struct watched watched;
	struct slot_rescue rescue;
	bool bad;                       /* its worker does not take what waits for it: the others do */
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
	struct list changes;            /* each waiting for one of its own that changes settings */
	struct list checks;             /* waiting for a dry one */
	char dry_path[CONTROL_LINE_BYTES];
	bool again;                     /* somebody asked meanwhile */
	bool again_replace;
	bool confined;                  /* begun anew as a replacement: workers do not reach all */
	bool replaces;                  /* the plan has fresh workers for serving slots */
	unsigned buried;                /* voters that died: off the list of children */
	unsigned sites;                 /* that had a row of the board when it began */
	unsigned planned;               /* slots whose workers have been asked */
	char notes[256];                /* what the caller should know although it went well */
	char why_replaced[96];
};

struct master {
	const struct master_setup *setup;
	struct loop loop;
	struct offload offload;         /* for log files; its thread is made when there is one */
	struct log_writers log_writers;
	struct source signals;
	struct board *board;
	struct hot *hot;
	struct quota *quota;            /* what clients take */
	int board_fd, hot_fd, quota_fd; /* their memory, for the next image */
	struct board_owners owners;     /* of its columns and rows */
	struct tell tell;               /* what it tells there */
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
	struct tuning tuning;
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
	struct hold hold;
	struct census census;
	struct listings listing;
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

static inline bool release_is_open(const struct master *master)
{
	return master->release.done != NULL;
}

static inline bool stop_is_draining(const struct master *master)
{
	return master->stop.draining;
}

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

/* The worker with that column of the board was killed or crashed: counts what it had in hand, and lost; what
 * its clients have open is counted anew by those who live. */
void spawn_lose(struct master *master, unsigned column);

/* Has all workers that have room look at the sockets that are everybody's; `full` (may be NULL) has none. */
void spawn_tell_to_look(const struct master *master, const struct child *full);

/* Every child now: SIGKILL. */
void spawn_kill_all(struct master *master);

/* ---- slots.c ---- */
/* Has the slot, if it needs a worker, get one, when respawn.h says so. `dead` was its last one; NULL: there
 * was none, it could not be started. */
void slot_respawn(struct slot *slot, const struct child *dead);
/* Takes it out of service: siblings accept from its sockets, and its worker leaves. */
void slot_hold(struct slot *slot);
/* It is in service again: a worker follows. */
void slot_unhold(struct slot *slot);
/* Has the slot a worker that takes what comes to it? */
bool slot_is_good(const struct slot *slot);
/* Has another one follow the worker that serves. */
void slot_renew(struct slot *slot);
/* Its last workers died young, and the one that serves may do so, too. */
bool slot_is_failing(const struct slot *slot);
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
/* It tells them the next time, whatever they were told. */
void slots_tell_again(struct master *master);
/* The first half of it, for when somebody is about to leave, or nobody knows who served before. */
void slots_publish_seats(struct master *master);

/* Tells the child what it was not told while it did not move. */
void slots_catch_up(struct child *child);

/* ---- plan.c ---- */
/* May the worker of the slot leave, or are too many of it draining? */
bool plan_may_leave(const struct master *master, unsigned slot, struct err *err);

/* ---- reload.c ---- */
/* Starts a reload, or has one follow the open one.  `asker` (may be NULL) is answered in any case. */
void reload_ask(struct master *master, struct asker *asker, bool replace);
/* The same for `asker->change`, which must stay until the answer; each is a transition of its own. */
void reload_change(struct master *master, struct asker *asker);
/* The same up to the commit, and then it is called off: what would a reload do? Waits for its turn behind
 * reloads, also those that come while it waits for votes. `asker->path` must stay until the answer. */
void reload_check(struct master *master, struct asker *asker);
void reload_child_ready(struct child *child, uint64_t generation);
void reload_child_failed(struct child *child, uint64_t generation, const char *why);
/* The same, and a fresh worker would not: the reload becomes a replacement. */
void reload_child_confined(struct child *child, uint64_t generation, const char *why);
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

/* ---- sites.c ---- */
/* Every site of `config`, which is about to be prepared, gets a row of the board, if one is left. */
void sites_assign(struct master *master, const struct config *config);
/* Those that got one in this transition have none: it was called off. */
void sites_take_back(struct master *master);

/* ---- resume.c ---- */
/* Takes the state over that the image before left: first what it says, then, with a loop, all that is to be
 * watched. False with `err`: this image cannot take over. */
bool resume_take(struct master *master, struct err *err);
bool resume_watch(struct master *master, struct err *err);
/* Could this binary take over what `state_fd` says?  Changes nothing, but gives up the rights that workers do
 * not have; what it loads stays. */
bool resume_try(const struct master_setup *setup, int state_fd, struct err *err);

/* ---- plan.c ---- */
/* Opens what the open transition's verdict needs and begins to ask everybody for a vote.  NULL, or with `err`
 * the step that failed; what was begun by then is for the caller to undo. */
const char *plan_carry_out(struct master *master, struct err *err);
/* Asks as many more as can be sent their sockets at once, the worker of each slot or a fresh one: when those
 * before them have voted. Have all been asked? */
bool plan_ask(struct master *master, struct err *err);
bool plan_is_done(const struct master *master);
/* May those whose slot gets another worker, or has none any more, leave?  False with `err`: in some slot too
 * many drain already (limits.max_draining). */
bool plan_has_room(const struct master *master, const struct verdict *next, bool replaces, struct err *err);

/* The open transition is a replacement, because workers are confined to what has another name by now. */
void plan_say_confined(struct transition *transition);

/* ---- dry.c ---- */
/* "would adopt it in place (2 workers) ...": what the open transition, all of whose voters are ready, would
 * do. */
/* [{"name":..,"old":..,"new":..}, ..., {"more":N}] against what runs (config/changes.h), a new reference;
 * NULL: out of memory. */
struct json_t *dry_changes(const struct master *master);
void dry_describe(const struct master *master, char *text, size_t bytes);

/* ---- findings.c ---- */
/* Logs what the committed generation's preflight found and the one before had not. */
void findings_log(struct master *master);
/* Adds to `err` why a port below 1024 cannot be bound, or how many descriptors the master needs, if that is
 * what it says. */
void findings_explain(const struct preflight *findings, struct err *err);

#endif
