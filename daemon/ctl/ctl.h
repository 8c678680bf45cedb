/* What all commands of droverctl share. A command is a row of `commands` in droverctl.c and a function in
 * a file of its own; it exits with what it returns. What the daemon gives out has no control characters,
 * whatever a client sent. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "base/err.h"
#include "ipc/control.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>

/* What droverctl exits with. */
enum { STATUS_GOOD, STATUS_REFUSED, STATUS_USAGE, STATUS_UNREACHABLE };

enum { DURATION_BYTES = 32 };

struct ctl {
	char socket[CONTROL_PATH_BYTES];
	bool json;
	char **arguments;               /* of the command, behind its name; NULL at the end */
	unsigned argument_count;
};

struct command {
	const char *name;
	const char *arguments;          /* for the help: "[FILE]"; "": none */
	const char *summary;            /* for the help; further lines are indented by it */
	unsigned least, most;           /* how many arguments it takes */
	const struct option *options;   /* its own long ones, as getopt_long(3) wants them; NULL: none */
	/* One of them: its `val`, and its value (NULL: it takes none). False: the value is wrong, and that
	 * was said (ctl_wrong). */
	bool (*option)(int val, const char *value);
	bool offline;                   /* it talks to no daemon: ctl->socket may be "" */
	int (*run)(struct ctl *ctl);
};

/* Of a JSON object: "" and 0 when it is not there or something else. */
const char *ctl_text(const json_t *object, const char *key);
long long ctl_number(const json_t *object, const char *key);
bool ctl_true(const json_t *object, const char *key);

/* "450 ms", "12 s", "5 min", "3 h": how long roughly. */
const char *ctl_duration(long long ms, char text[DURATION_BYTES]);

enum { CTL_BYTES_BYTES = 32 };

/* "512", "12.3k", "4.5M": how many bytes roughly. */
const char *ctl_bytes(uint64_t bytes, char text[CTL_BYTES_BYTES]);

/* Reads decimal digits, a number up to `most`; false: it is none. */
bool ctl_parse_number(const char *text, uint64_t most, uint64_t *number);

/* Reads "250ms", "10s", "5m", "2h", "1d"; a number alone is seconds. False: it is none. */
bool ctl_parse_duration(const char *text, uint64_t *ms);

/* Says on stderr that the command line is wrong, and returns STATUS_USAGE. */
int ctl_wrong(const char *what, const char *which);

/* Right after a failure to reach the daemon (errno is still its): says so and returns STATUS_UNREACHABLE. */
int ctl_unreachable(const struct err *err);

/* Sends `request` (its reference is taken), waits for the answer however long that takes (the daemon has
 * deadlines) and shows it: as JSON when that is wanted, by `show` when it is good, else its text. Returns the
 * exit status. */
int ctl_run(const struct ctl *ctl, json_t *request, void (*show)(const json_t *answer));

/* The same for an answer that is there. */
int ctl_show(const struct ctl *ctl, const json_t *answer, void (*show)(const json_t *answer));

/* The same for {"ok":false,"text":text}: something that this program refuses itself. */
int ctl_refuse(const struct ctl *ctl, const char *text);

/* Prints it as the one JSON document, and returns it. */
json_t *ctl_dump(json_t *answer);

/* What the daemon says of its settings, and of the overrides among them: a new reference. NULL: that was
 * said, and `*status` is what to exit with. */
json_t *ctl_settings(const struct ctl *ctl, int *status);

/* Prints a value as it is written in the file, without the quotes that a shell would not want. */
void ctl_put_value(const char *text);

/* Prints the answer's text. */
void ctl_show_text(const json_t *answer);

/* ---- the commands, each in the file of its name ---- */

int status_run(struct ctl *ctl);
int generations_run(struct ctl *ctl);
int import_run(struct ctl *ctl);
extern const struct option import_options[];
bool import_option(int val, const char *value);
int drain_run(struct ctl *ctl);
bool drain_option(int val, const char *value);
int resume_run(struct ctl *ctl);
extern const struct option drain_options[], resume_options[];

extern const struct option selftest_options[];
bool selftest_option(int val, const char *value);
int selftest_run(struct ctl *ctl);
extern const struct option connections_options[];
bool connections_option(int val, const char *value);
int connections_run(struct ctl *ctl);
int settings_run(struct ctl *ctl);
bool settings_option(int val, const char *value);
int get_run(struct ctl *ctl);

int set_run(struct ctl *ctl);
bool set_option(int val, const char *value);
int unset_run(struct ctl *ctl);
bool unset_option(int val, const char *value);
int workers_run(struct ctl *ctl);
int confirm_run(struct ctl *ctl);

int save_run(struct ctl *ctl);

int config_run(struct ctl *ctl);
bool config_option(int val, const char *value);
int check_run(struct ctl *ctl);

extern const struct option slow_options[];
bool slow_option(int val, const char *value);
int slow_run(struct ctl *ctl);

extern const struct option top_options[];
bool top_option(int val, const char *value);
int top_run(struct ctl *ctl);

#endif
