/* The configuration as the daemon uses it: one struct per group, filled by the rows in config.c.
 *
 * Built in a generation's arena and immutable from then on. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "setting.h"

#include "net/listener.h"

#include <stdint.h>

enum {
	CONFIG_MAX_WORKERS = 1024,
	CONFIG_KEPT_FDS = 32,           /* of a worker's: epoll, channel, logs, a file, a reload */
};

enum accept_mode { ACCEPT_DIRECTED, ACCEPT_REUSEPORT, ACCEPT_SHARED };
enum reload_mode { RELOAD_ADOPT, RELOAD_REPLACE };

struct listen_config {
	const char *address;
	unsigned backlog;
	bool v6only, defer_accept, freebind;
	const char *device;             /* of TCP; NULL: any */
	const char *mode, *owner, *group;       /* of a unix socket's path; NULL: not set */
};

struct route_config {
	const char *match;
	struct strings allow;           /* CIDRs; none: everybody */
	struct service_ref service;
};

struct site_config {
	struct strings hosts;           /* none: the default site */
	struct items routes;            /* of struct route_config */
};

struct config {
	unsigned workers;               /* 0: auto */
	unsigned accept;                /* enum accept_mode */
	unsigned reload;                /* enum reload_mode */
	struct items listen;            /* of struct listen_config */
	struct items sites;             /* of struct site_config */
	const char *user, *group;       /* of the workers; NULL: nobody when root, else unchanged */
	const char *control;            /* a path, "auto" or "off" */
	unsigned log_level;             /* enum log_level */
	const char *log_error;          /* "stderr" or a path */
	const char *log_access;         /* "off", "stderr" or a path */
	uint64_t request_head_ns, keep_alive_ns, send_ns, drain_delay_ns, drain_ns, prepare_ns;
	uint64_t request_line_bytes, header_bytes;
	unsigned headers, connections, open_files, max_generations, max_draining;
};

extern const struct schema config_schema;

/* The permissions that listen.mode means; 0666 when it is not set. */
unsigned config_mode(const struct listen_config *listen);

/* How the address is to be opened; owner and group count once config_owners made them numbers. */
struct listener_options config_listener_options(const struct listen_config *listen);

/* The number of workers that `config` means: as set, or one per CPU that this process may use, the affinity
 * mask (sched_getaffinity(2)) and the cgroup's CPU quota considered. */
unsigned config_worker_count(const struct config *config);

/* What "auto" means here. */
unsigned config_cpu_count(void);

static inline struct listen_config *config_listen(const struct config *config, unsigned index)
{
	return config->listen.at[index];
}

static inline struct site_config *config_site(const struct config *config, unsigned index)
{
	return config->sites.at[index];
}

static inline struct route_config *config_route(const struct site_config *site, unsigned index)
{
	return site->routes.at[index];
}

#endif
