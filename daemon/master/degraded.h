/* Layers of the workers' sandbox that are wanted and not there. */
#ifndef MASTER_DEGRADED_H
#define MASTER_DEGRADED_H

struct config;
struct json_t;

/* Logs those of `now` that `before` (NULL: there was none) did not ask for. */
void degraded_log(const struct config *now, const struct config *before);

/* What of each is wanted and in effect, for droverctl. */
struct json_t *degraded_json(const struct config *config);

#endif
