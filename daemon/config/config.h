/* The configuration as the daemon uses it: one struct per group, filled by the rows in config.c.
 *
 * Built in a generation's arena and immutable from then on. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "setting.h"

#include "base/log_writer.h"
#include "net/listener.h"
#include "net/quota.h"

#include <stdint.h>

enum {
	CONFIG_MAX_WORKERS = 1024,
	CONFIG_KEPT_FDS = 32,           /* of a worker's: epoll, channel, logs, inotify, a reload */
	CONFIG_CACHED_SHARE = 16,       /* the file cache gets at most one descriptor in so many */
	CONFIG_REFUSALS = 32,           /* clients of a full worker that are refused at a time */
};

enum accept_mode { ACCEPT_DIRECTED, ACCEPT_REUSEPORT, ACCEPT_CPU, ACCEPT_SHARED };

/* By mode; NULL at the end. */
extern const char *const config_accept_names[];
enum reload_mode { RELOAD_ADOPT, RELOAD_REPLACE };
enum when_full { FULL_WAIT, FULL_REFUSE };
enum forwarded_header { FORWARDED_OFF, FORWARDED_X, FORWARDED_RFC7239 };
enum access_format { ACCESS_COMMON, ACCESS_COMBINED, ACCESS_JSON, ACCESS_FORMATS };

struct listen_config {
	const char *address;
	const char *name;               /* FileDescriptorName= of what systemd passes for it; NULL: any */
	unsigned backlog;
	bool v6only, defer_accept, freebind;
	const char *device;             /* of TCP; NULL: any */
	const char *mode, *owner, *group;       /* of a unix socket's path; NULL: not set */
	uint64_t request_head_ns, body_ns, keep_alive_ns, send_ns, min_rate;    /* 0: as in struct config */
	bool proxy_protocol;
	struct strings proxy_from;      /* CIDRs and "unix" */
};

/* What answers say beyond what drover says itself: each "Name: value", of `remove` the name alone. */
struct headers_config {
	struct strings set, add, remove;
};

/* For answers of these media types; struct route_config has the same for all others. */
struct cache_config {
	struct strings types;           /* "image/png", "image/" followed by an asterisk */
	const char *cache_control;      /* NULL: not set */
	uint64_t expires_ns;            /* 0: not set */
};

struct error_page_config {
	struct strings status;          /* "404", "5xx" */
	const char *file;
};

struct route_config {
	const char *match;
	bool exact;                     /* of the whole path, not of its beginning */
	struct strings allow;           /* CIDRs; none: everybody */
	struct strings deny;            /* CIDRs, of those that allow lets in */
	struct headers_config headers;
	const char *cache_control;
	uint64_t expires_ns;
	struct items cache;             /* of struct cache_config */
	const char *auth_file, *auth_realm;     /* "off" and NULL: see there */
	struct service_ref service;
};

struct site_config {
	struct strings hosts;           /* none: the default site */
	const char *auth_file, *auth_realm;     /* of routes that say nothing of it; NULL: nothing */
	struct headers_config headers;
	struct items error_pages;       /* of struct error_page_config */
	struct items routes;            /* of struct route_config */
};

struct mime_config {
	struct strings extensions;
	const char *type;
};

/* What one address, or one network, may take (net/quota.h); 0: as much as it likes. */
struct quota_config {
	unsigned connections;           /* open at a time */
	unsigned requests;              /* a second */
	unsigned burst;                 /* requests at once; 0: those of a second */
	uint64_t bandwidth;             /* bytes a second */
};

struct config {
	unsigned workers;               /* 0: auto */
	unsigned accept;                /* enum accept_mode */
	unsigned reload;                /* enum reload_mode */
	bool survive;                   /* idle connections survive SIGKILL too */
	struct items listen;            /* of struct listen_config */
	struct items sites;             /* of struct site_config */
	const char *mime_file;          /* NULL: none; its types are behind those of mime_types then */
	struct items mime_types;        /* of struct mime_config */
	const char *user, *group;       /* of the workers; NULL: nobody when root, else unchanged */
	const char *control;            /* a path, "auto" or "off" */
	unsigned log_level;             /* enum log_level */
	unsigned log_format;            /* enum log_format */
	const char *log_error;          /* "stderr", "syslog", "journal" or a path */
	const char *log_access;         /* the same, or "off" */
	const char *syslog_socket, *journal_socket;
	unsigned access_format;         /* enum access_format */
	unsigned access_sample;
	uint64_t access_slow_ns;
	uint64_t slow_ns;               /* a request that takes so long is kept for droverctl slow */
	uint64_t request_head_ns, keep_alive_ns, send_ns, drain_delay_ns, drain_ns, prepare_ns, stall_ns,
		hang_kill_ns;
	uint64_t body_ns, keep_alive_grace_ns, proxy_ns;
	unsigned forwarded_header;      /* enum forwarded_header */
	struct strings forwarded_from;  /* CIDRs and "unix"; none: nobody */
	uint64_t request_line_bytes, header_bytes, body_bytes, min_rate;
	unsigned headers, connections, open_files, max_generations, max_draining;
	uint64_t cache_bytes, cache_largest_bytes;      /* of the file cache; 0: there is none */
	unsigned cache_files;           /* descriptors that it may keep; see config_cached_files */
	uint64_t cache_trust_ns;
	unsigned when_full;             /* enum when_full */
	uint64_t retry_after_ns, queue_ns;
	struct quota_config quotas[QUOTA_SCOPES];
	unsigned ipv6_prefix, network_ipv4, network_ipv6;       /* bits */
	struct strings quota_exempt;    /* CIDRs and "unix" */
	bool quota_dry_run;
	bool log_query;                 /* log lines have what follows the "?" of a target */
	bool landlock, seccomp, sealed_code, core_dumps;        /* of workers: see sandbox.* */
	struct strings sandbox_read;    /* directories; see sandbox_derive */
};

extern const struct schema config_schema;

/* The permissions that listen.mode means; 0666 when it is not set. */
unsigned config_mode(const struct listen_config *listen);

/* How the address is to be opened; owner and group count once config_owners made them numbers. */
struct listener_options config_listener_options(const struct listen_config *config);

/* The number of workers that `config` means: as set, or one per CPU that this process may use, the affinity
 * mask (sched_getaffinity(2)) and the cgroup's CPU quota considered. */
unsigned config_worker_count(const struct config *config);

/* What "auto" means here. */
unsigned config_cpu_count(void);

/* What `setting` (log.error or log.access) means; `fd` is for a stream. */
struct log_target config_log_target(const struct config *config, const char *setting, int fd);

/* "drover.conf:12:3", where the setting of that name was written; "" when it has its default. */
const char *config_origin(const struct config *config, const char *name);

/* A number for `setting` that two processes agree on (log.error or log.access: is it the same target?). */
uint64_t config_log_id(const char *setting);

static inline bool config_limits_connections(const struct config *config)
{
	return config->quotas[QUOTA_ADDRESS].connections > 0 || config->quotas[QUOTA_NETWORK].connections > 0;
}

/* How many of the `open_files` that a worker may have its file cache keeps. */
static inline unsigned config_cached_files(const struct config *config, uint64_t open_files)
{
	if (config->cache_bytes == 0)
		return 0;
	return config->cache_files < open_files / CONFIG_CACHED_SHARE
		       ? config->cache_files
		       : (unsigned)(open_files / CONFIG_CACHED_SHARE);
}

/* Descriptors of a worker that no connection gets; its listening sockets are not among them. */
static inline unsigned config_kept_files(const struct config *config, uint64_t open_files)
{
	return CONFIG_KEPT_FDS + config_cached_files(config, open_files) +
	       (config->when_full == FULL_REFUSE ? CONFIG_REFUSALS : 0U) +
	       (config_limits_connections(config) ? QUOTA_REFUSALS : 0U);
}

static inline struct listen_config *config_listen(const struct config *config, unsigned index)
{
	return config->listen.at[index];
}

static inline struct site_config *config_site(const struct config *config, unsigned index)
{
	return config->sites.at[index];
}

static inline struct mime_config *config_mime(const struct config *config, unsigned index)
{
	return config->mime_types.at[index];
}

/* What it is called where there is one name for it; no host is called like the second. */
static inline const char *config_site_name(const struct site_config *site)
{
	return site->hosts.count > 0 ? site->hosts.at[0] : "(default)";
}

static inline struct route_config *config_route(const struct site_config *site, unsigned index)
{
	return site->routes.at[index];
}

static inline struct cache_config *config_cache(const struct route_config *route, unsigned index)
{
	return route->cache.at[index];
}

static inline struct error_page_config *config_error_page(const struct site_config *site, unsigned index)
{
	return site->error_pages.at[index];
}

#endif
