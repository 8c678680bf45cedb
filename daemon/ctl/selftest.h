/* What the files of droverctl selftest share: an instance of the daemon of its
 * own, a crowd of clients that account for every request and every byte, and
 * the scenarios in which the one is operated under the other.
 *
 * Nothing here knows the running service: the instance has a directory, a
 * control socket and ports of its own, and signals go only to it and to workers
 * that are its children. */
#ifndef CTL_SELFTEST_H
#define CTL_SELFTEST_H

#include "ctl.h"

#include "base/clock.h"

#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>

struct epoll_event;

/* ---- the files that are served: slices of the same bytes, which are different
 * everywhere ---- */

enum selftest_file { FILE_SMALL, FILE_LARGE, FILE_HUGE, SELFTEST_FILES };

struct selftest_content {
	const char *name;
	size_t offset, len;
};

extern const struct selftest_content selftest_contents[SELFTEST_FILES];

enum { SELFTEST_BYTES = 4 * 1024 * 1024 + 8192 };

/* Bytes of which every file is a slice. */
void selftest_fill(uint8_t bytes[SELFTEST_BYTES]);

/* ---- an instance (selftest_instance.c) ---- */

enum { SELFTEST_WORKERS = 4 };

/* What may differ from configuration to configuration. */
struct selftest_settings {
	unsigned workers;
	const char *accept;
	bool second_address;
};

struct selftest_instance {
	const char *binary;
	char directory[64]; /* "": none was made */
	char control[CONTROL_PATH_BYTES];
	struct sockaddr_in address;
	uint16_t second_port;
	pid_t pid; /* 0: none runs */
	int pidfd; /* readable when it has ended */
};

/* A directory with the files to serve; false with `err`, and then nothing is
 * there. */
bool selftest_instance_make(struct selftest_instance *instance, const char *binary, const uint8_t *bytes,
			    struct err *err);

/* Ends the daemon, if it runs, and removes the directory. */
void selftest_instance_remove(struct selftest_instance *instance);

/* Replaces the configuration file by one with these settings. */
bool selftest_instance_configure(const struct selftest_instance *instance,
				 const struct selftest_settings *settings, struct err *err);

/* Starts the daemon at a free port and waits until it serves in every slot;
 * false with `err` when it ended or did not within the deadline, or when
 * `interrupted` became true.  `status` is what it then said of itself, a new
 * reference. */
bool selftest_instance_start(struct selftest_instance *instance, const struct selftest_settings *settings,
			     const volatile sig_atomic_t *interrupted, json_t **status, struct err *err);

/* Ends it with SIGTERM, and when that does not help, SIGKILL.  False with `err`
 * when it did not end as it should. */
bool selftest_instance_stop(struct selftest_instance *instance, struct err *err);

/* Has it ended by itself? */
bool selftest_instance_ended(const struct selftest_instance *instance);

/* Sends `number` to `pid` if that is a child of the instance's master, and to
 * nobody else. */
bool selftest_instance_signal(const struct selftest_instance *instance, pid_t pid, int number);

/* Prints the last lines of its log to stderr. */
void selftest_instance_show_log(const struct selftest_instance *instance);

/* ---- the crowd (selftest_crowd.c, selftest_client.c) ---- */

enum selftest_loss {
	LOST_REFUSED, /* nobody listened */
	LOST_RESET,
	LOST_STALLED, /* no progress for five seconds */
	LOST_WRONG, /* another status, length or byte than was due */
	LOST_CUT, /* closed without a whole answer */
	LOST_IDLE,      /* closed while kept alive, or behind the next answer when it had been idle */
	SELFTEST_LOSSES,
};

struct selftest_account {
	uint64_t requests, good;
	uint64_t lost[SELFTEST_LOSSES];
	uint64_t slowest_ns;
};

enum client_state { CLIENT_AWAY, CLIENT_CONNECTING, CLIENT_ASKING, CLIENT_KEPT, CLIENT_ENDING };

struct client_habit {
	unsigned count;
	uint64_t gap_ms; /* the longest between two requests */
	size_t bytes_a_turn; /* it reads so slowly; 0: as fast as it can */
	enum selftest_file file;
	bool closes; /* a connection for each request */
	bool idles; /* asks once, and again at the end */
};

struct client {
	const struct client_habit *habit;
	enum client_state state;
	int fd;
	enum selftest_file file;
	bool in_place; /* it has seen its first answer */
	bool announced; /* the answer that comes is the connection's last one */
	bool over;
	unsigned asked;
	uint64_t due_ns, progress_ns, began_ns;
	size_t head_len, body_got;
	bool head_done;
	char head[1024];
};

enum { CROWD_CLIENTS = 48 + 8 + 300 + 2 };

struct crowd {
	struct sockaddr_in server;
	const uint8_t *bytes;
	int epoll_fd;
	uint64_t now_ns; /* stands still while we do not run ourselves: see
                        selftest_crowd.c */
	uint64_t clock_ns; /* CLOCK_MONOTONIC of the turn before */
	uint64_t random;
	bool finishing; /* nothing new is begun */
	unsigned opening; /* first and last requests of those that idle */
	struct selftest_account account;
	struct client clients[CROWD_CLIENTS];
};

/* False with `err`. */
bool crowd_open(struct crowd *crowd, const struct sockaddr_in *server, const uint8_t *bytes, struct err *err);

void crowd_close(struct crowd *crowd);

/* Waits a few milliseconds for events and lets every client do what is due.
 * `also`: a descriptor that was added with crowd_watch; true when it is
 * readable. */
bool crowd_turn(struct crowd *crowd);

/* Looks at one more descriptor in crowd_turn; closing it ends that. */
bool crowd_watch(struct crowd *crowd, int fd);

/* Has every client seen its first answer? */
bool crowd_in_place(const struct crowd *crowd);

/* Has every client come to its end, after `finishing` was set? */
bool crowd_over(const struct crowd *crowd);

/* A number below `bound`, which is at least 1. */
uint64_t crowd_random(struct crowd *crowd, uint64_t bound);

/* What is due now. */
void client_turn(struct crowd *crowd, struct client *client);

/* An event of its connection. */
void client_event(struct crowd *crowd, struct client *client);

/* ---- scenarios (selftest_scenario.c) ---- */

/* How one scenario went. */
struct selftest_result {
	const char *name;
	struct selftest_account account;
	unsigned acts, failed; /* what the operator did, and what of it was refused */
	bool acted; /* as often as it takes to say something */
	bool kills; /* a worker may take along what it had in hand */
	bool interrupted;
	uint64_t in_hand; /* connections that workers had when they died, by the
                       daemon's count */
	uint64_t rescued;
	uint64_t counted; /* other losses that the daemon itself counts */
	char problem[512]; /* "": none */
};

struct selftest {
	struct selftest_instance instance;
	const char *accept;
	uint64_t seconds;
	const volatile sig_atomic_t *interrupted;
	uint8_t *bytes;
	struct crowd *crowd;
	char version[32], effective[32];
};

/* The scenario with this number: its name, and what it does; NULL: there is
 * none. */
const char *selftest_name(unsigned number);
const char *selftest_summary(unsigned number);

/* Runs it on an instance that is started and stopped for it; `result` is filled
 * whatever happens. */
void selftest_scenario(struct selftest *selftest, unsigned number, struct selftest_result *result);

/* ---- a look at the instance, and the verdict (selftest_look.c) ---- */

/* Has it workers that drain? */
bool selftest_drains(const struct selftest_instance *instance);

/* Fills in what the daemon itself counted; false: it does not say. */
bool selftest_count(const struct selftest_instance *instance, struct selftest_result *result);

/* Is all that must be 0, 0? */
bool selftest_good(const struct selftest_result *result);

/* ---- the report (selftest_table.c) ---- */

void selftest_print_head(const struct selftest *selftest);
void selftest_print_row(const struct selftest_result *result);

/* One result as JSON, a new reference. */
json_t *selftest_row(const struct selftest_result *result);

#endif
