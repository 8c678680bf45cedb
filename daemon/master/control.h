/* The control socket, and what is answered there. */
#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct config;
struct json_t;
struct master;

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

/* What workers count is anything at all where one of them has lost its mind; JSON's integers have a sign. */
static inline long long status_number(uint64_t count)
{
	return count < INT64_MAX ? (long long)count : INT64_MAX;
}

/* The state of everything as a JSON object, a new reference; NULL when out of memory. */
struct json_t *status_json(const struct master *master);

/* What is measured, by slot and site. */
struct json_t *status_metrics_json(const struct master *master);

#endif
