/* Tuning: settings that are changed while drover runs. The overrides (config/override.h) are a layer of the
 * configuration; a change of them is a transition as a reload is, of the same files: their text as it was
 * read the last time, not what is in them by now. */
#ifndef MASTER_TUNING_H
#define MASTER_TUNING_H

#include "asker.h"

#include "base/err.h"
#include "base/timer.h"
#include "config/override.h"

struct json_t;
struct master;

/* What somebody wants to be different: parsed from the line of a control client, or a roll-back. */
struct change {
	bool roll_back;
	bool files;                     /* reads the files anew: it is a reload, too */
	bool replace;
	bool all;                       /* unset what is set */
	uint64_t confirm_ns;            /* goes again unless it is confirmed by then; 0: it stays */
	struct json_t *set;             /* {"NAME":"VALUE"} */
	struct json_t *unset;           /* ["NAME"] */
	struct json_t *saved;           /* {"NAME":"VALUE"}: unset what still has this value */
};

struct tuning {
	struct overrides now, next;     /* committed; of the open transition */
	bool changes;                   /* the open transition is there for them */
	bool alone;                     /* it reads no file: its outcome is its caller's, no reload's */
	bool rolls_back;
	uint64_t confirm_ns;            /* of the open one */
	char what[256];                 /* it does, in words */
	struct timer deadline;          /* of what is unconfirmed */
	struct change back;             /* when it is over */
	struct asker asker;
	bool rolling;                   /* that was asked for and has not come to an end */
};

/* What the request line says; malloc'ed, NULL with `err`. */
struct change *change_parse(const char *line, struct err *err);
void change_free(struct change *change);

void tuning_init(struct master *master);

/* A transition begins: with the overrides that there are, or with `change`; false with `err`: it cannot
 * be. */
void tuning_keep(struct master *master);
bool tuning_prepare(struct master *master, const struct change *change, struct err *err);

/* The transition is committed. What its caller should know is added to its notes. */
void tuning_commit(struct master *master);

/* What is unconfirmed stays. False with `err`: there is nothing, or it is too late. */
bool tuning_confirm(struct master *master, char *text, size_t bytes, struct err *err);

/* The image before has left overrides: arms the deadline. */
void tuning_resume(struct master *master);

/* [{"name":..,"value":..,"confirmed":..}], and how long there is to confirm. */
struct json_t *tuning_json(const struct master *master);
uint64_t tuning_left_ms(const struct master *master);

/* From one image to the next; loading is false with `err`. */
struct json_t *tuning_save(const struct master *master);
bool tuning_load(struct master *master, const struct json_t *json, struct err *err);

#endif
