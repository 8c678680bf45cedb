/* Trying, without leaving anything behind, what a start would do. */
#ifndef CONFIG_PROBE_H
#define CONFIG_PROBE_H

#include "read.h"

/* Could the log file be opened, or made? */
bool probe_log(const char *path, struct err *err);

/* Tries the log files, as whoever calls. A problem for each that could not be opened. */
void probe_logs(const struct config *config, struct problems *problems);

/* Tries to bind every address, as whoever calls. A problem for each that could not be had. */
void probe_addresses(const struct config *config, struct problems *problems);

#endif
