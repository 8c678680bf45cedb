/* preflight.c - the rules, one function each.  Called by the checker and by `drover -t`; pure, cannot
 * fail. */
#include "preflight.h"

#include "exposed.h"

#include "base/pool.h"
#include "net/addr.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	/* of a connection, without its buffers: ours, and the kernel's share of an idle one, measured */
	CONNECTION_BYTES = 6 * 1024,
	TASKS_PER_WORKER = 3,           /* its loop, its helper threads for logs and for requests */
	MASTER_TASKS = 2,               /* and a checker */
	FDS_PER_CHILD = 4,              /* of the master: pidfd, channel, will, its keeper's pidfd */
	SMALL_BACKLOG = 128,            /* no kernel has ever had a lower default of net.core.somaxconn */
	OF_A_BROWSER = 6,               /* connections to a host that speaks HTTP/1.1 */
};

const char *const finding_severity_names[FINDING_SEVERITIES] = { "info", "warning", "error" };

/* ---- saying it --------------------------------------------------------------------------------------- */

static const char *place_or_none(const char *origin)
{
	return origin != NULL ? origin : "";
}

static const char *place_of(const struct config *config, const char *setting)
{
	return place_or_none(setting_origin_of(&config_schema, config, setting));
}

static const char *listen_place(const struct listen_config *listen, const char *setting)
{
	const struct schema *schema = setting_find(&config_schema, NULL, "listen")->of;

	return place_or_none(setting_origin_of(schema, listen, setting));
}

__attribute__((format(printf, 2, 3))) static void say(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

__attribute__((format(printf, 2, 3))) static void advise(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->remedy, sizeof(finding->remedy), format, args);
	va_end(args);
}

static void put_place(struct finding *finding, const char *place)
{
	snprintf(finding->place, sizeof(finding->place), "%s", place);
}

/* In the unit in which a person would say it. */
static const char *size_text(uint64_t bytes, char text[32])
{
	static const char units[] = "kmg";
	unsigned unit = 0;

	for (bytes = (bytes + 1023) / 1024; bytes >= 10 * 1024 && unit < 2; unit++)
		bytes = (bytes + 1023) / 1024;
	snprintf(text, 32, "%llu%c", (unsigned long long)bytes, units[unit]);
	return text;
}

/* ---- counting ---------------------------------------------------------------------------------------- */

static bool is_unix(const struct listen_config *listen)
{
	return strncmp(listen->address, "unix:", 5) == 0;
}

static uint64_t workers_of(const struct config *config, const struct machine *machine)
{
	return config->workers != 0 ? config->workers : machine->cpus;
}

/* Every worker holds all of them, and so does the master. */
static uint64_t listening_sockets(const struct config *config, const struct machine *machine)
{
	uint64_t workers = workers_of(config, machine), count = 0;

	for (unsigned i = 0; i < config->listen.count; i++)
		count += is_unix(config_listen(config, i)) || config->accept == ACCEPT_SHARED ? 1 : workers;
	return count;
}

static uint64_t worker_open_files(const struct config *config, const struct machine *machine)
{
	return config->open_files != 0 && config->open_files < machine->open_files.value
		       ? config->open_files
		       : machine->open_files.value;
}

/* The connections that one worker will really take. */
static uint64_t connections_of(const struct config *config, const struct machine *machine)
{
	uint64_t files = machine->open_files.known ? worker_open_files(config, machine) : FIGURE_UNLIMITED;
	uint64_t kept = config_kept_files(config, files) + listening_sockets(config, machine);

	if (files <= kept)
		return 1;
	return files - kept < config->connections ? files - kept : config->connections;
}

static uint64_t head_buffer(const struct config *config)
{
	uint64_t size = POOL_SMALLEST_BYTES;

	while (size < config->request_line_bytes + config->header_bytes && size < POOL_LARGEST_BYTES)
		size *= 2;
	return size;
}

/* ---- rules: true when there is something to say ------------------------------------------------------ */

static bool open_files(const struct config *config, const struct machine *machine, struct finding *finding)
{
	uint64_t have = worker_open_files(config, machine);
	uint64_t kept = config_kept_files(config, have) + listening_sockets(config, machine);
	uint64_t need = config->connections + kept;
	uint64_t with_files = 2ULL * config->connections + config_kept_files(config, FIGURE_UNLIMITED) +
			      listening_sockets(config, machine);
	bool own = config->open_files != 0 && config->open_files < machine->open_files.value;

	if (!machine->open_files.known || have >= need)
		return false;
	put_place(finding, place_of(config, "limits.connections"));
	say(finding,
	    "limits.connections = %u needs %llu open files in each worker (%llu for itself and its listening"
	    " sockets), and one more for each file under way; %s allows %llu, so that a worker takes %llu"
	    " connections",
	    config->connections, (unsigned long long)need, (unsigned long long)kept,
	    own ? "limits.open_files" : "RLIMIT_NOFILE", (unsigned long long)have,
	    (unsigned long long)connections_of(config, machine));
	advise(finding,
	       own ? "set limits.open_files = %llu, or limits.connections = %llu"
		   : "set LimitNOFILE=%llu in the unit (ulimit -Hn), or limits.connections = %llu",
	       (unsigned long long)with_files, (unsigned long long)connections_of(config, machine));
	return true;
}

/* The master has one of each address whose sockets are steered. */
static uint64_t socket_arrays(const struct config *config)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < config->listen.count; i++)
		count += config->accept == ACCEPT_DIRECTED && !is_unix(config_listen(config, i));
	return count;
}

static bool master_files(const struct config *config, const struct machine *machine, struct finding *finding)
{
	uint64_t children = workers_of(config, machine) * (2 + (uint64_t)config->max_draining);
	uint64_t need = CONFIG_KEPT_FDS + listening_sockets(config, machine) + socket_arrays(config) +
			FDS_PER_CHILD * children;

	if (!machine->open_files.known || machine->open_files.value >= need)
		return false;
	put_place(finding, place_of(config, "listen"));
	say(finding,
	    "the master needs up to %llu open files (%llu listening sockets, and %u for each of up to %llu"
	    " workers); RLIMIT_NOFILE allows %llu",
	    (unsigned long long)need, (unsigned long long)listening_sockets(config, machine), FDS_PER_CHILD,
	    (unsigned long long)children, (unsigned long long)machine->open_files.value);
	advise(finding,
	       "set LimitNOFILE=%llu in the unit (ulimit -Hn), or lower workers or"
	       " limits.max_draining",
	       (unsigned long long)need);
	return true;
}

/* The listener with the longest backlog that the kernel would cut; NULL: none. */
static const struct listen_config *longest_backlog(const struct config *config, uint64_t over)
{
	const struct listen_config *longest = NULL;

	for (unsigned i = 0; i < config->listen.count; i++) {
		const struct listen_config *listen = config_listen(config, i);

		if (listen->backlog > over && (longest == NULL || listen->backlog > longest->backlog))
			longest = listen;
	}
	return longest;
}

static bool somaxconn(const struct config *config, const struct machine *machine, struct finding *finding)
{
	const struct listen_config *listen = longest_backlog(config, machine->somaxconn.value);

	if (!machine->somaxconn.known || listen == NULL)
		return false;
	put_place(finding, listen_place(listen, "backlog"));
	say(finding, "listen.backlog = %u of %s is cut to net.core.somaxconn = %llu by the kernel",
	    listen->backlog, listen->address, (unsigned long long)machine->somaxconn.value);
	advise(finding, "sysctl -w net.core.somaxconn=%u, or set backlog = %llu", listen->backlog,
	       (unsigned long long)machine->somaxconn.value);
	return true;
}

static bool somaxconn_unknown(const struct config *config, const struct machine *machine,
			      struct finding *finding)
{
	const struct listen_config *listen = longest_backlog(config, SMALL_BACKLOG);

	if (machine->somaxconn.known || listen == NULL)
		return false;
	finding->severity = FINDING_INFO;
	put_place(finding, listen_place(listen, "backlog"));
	say(finding,
	    "unknown: /proc/sys/net/core/somaxconn is hidden (ProcSubset=pid?); the kernel cuts"
	    " listen.backlog = %u of %s to it",
	    listen->backlog, listen->address);
	advise(finding, "compare it with sysctl net.core.somaxconn");
	return true;
}

static unsigned port_of(const struct listen_config *listen)
{
	struct addr addr;
	struct err err;

	if (!addr_parse(listen->address, &addr, &err) || addr_is_unix(&addr))
		return 0;
	if (addr.storage.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)&addr.storage)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)(const void *)&addr.storage)->sin6_port);
}

static const struct listen_config *low_port(const struct config *config, uint64_t first)
{
	for (unsigned i = 0; i < config->listen.count; i++)
		if (!is_unix(config_listen(config, i)) && port_of(config_listen(config, i)) < first)
			return config_listen(config, i);
	return NULL;
}

static bool privileged_port(const struct config *config, const struct machine *machine,
			    struct finding *finding)
{
	const struct listen_config *listen = low_port(config, machine->first_port.value);

	if (machine->may_bind || !machine->first_port.known || listen == NULL)
		return false;
	finding->severity = FINDING_ERROR;
	put_place(finding, listen_place(listen, "address"));
	say(finding,
	    "port %u of %s is below net.ipv4.ip_unprivileged_port_start = %llu, and drover has no"
	    " CAP_NET_BIND_SERVICE",
	    port_of(listen), listen->address, (unsigned long long)machine->first_port.value);
	advise(finding,
	       "set AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, start as root, or use a port"
	       " from %llu",
	       (unsigned long long)machine->first_port.value);
	return true;
}

/* 1024 unless somebody changed it. */
static bool privileged_port_unknown(const struct config *config, const struct machine *machine,
				    struct finding *finding)
{
	const struct listen_config *listen = low_port(config, IPPORT_RESERVED);

	if (machine->may_bind || machine->first_port.known || listen == NULL)
		return false;
	finding->severity = FINDING_INFO;
	put_place(finding, listen_place(listen, "address"));
	say(finding,
	    "unknown: /proc/sys/net/ipv4/ip_unprivileged_port_start is hidden (ProcSubset=pid?); drover has"
	    " no"
	    " CAP_NET_BIND_SERVICE, and port %u of %s may need it",
	    port_of(listen), listen->address);
	advise(finding, "set AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or start as root");
	return true;
}

/* What workers keep of files is theirs before any connection comes. */
static void advise_memory(struct finding *finding, uint64_t left, uint64_t each)
{
	if (left / each > 0)
		advise(finding,
		       "raise MemoryMax=, or set limits.connections = %llu, or lower"
		       " limits.header_bytes or file_cache.memory",
		       (unsigned long long)(left / each));
	else
		advise(finding, "raise MemoryMax=, or lower file_cache.memory");
}

static bool memory(const struct config *config, const struct machine *machine, struct finding *finding)
{
	uint64_t workers = workers_of(config, machine), connections = connections_of(config, machine);
	uint64_t each = CONNECTION_BYTES + head_buffer(config), all = workers * connections;
	uint64_t caches = workers * config->cache_bytes, have = machine->memory.value;
	char need_text[32], each_text[32], caches_text[32], have_text[32];

	if (!machine->memory.known || have >= all * each + caches)
		return false;
	put_place(finding, place_of(config, "limits.connections"));
	say(finding,
	    "%llu connections (%llu workers x %llu) can take %s, when each client sends the longest request"
	    " head that is allowed (%s each), and file caches %s; the cgroup allows %s",
	    (unsigned long long)all, (unsigned long long)workers, (unsigned long long)connections,
	    size_text(all * each, need_text), size_text(each, each_text), size_text(caches, caches_text),
	    size_text(have, have_text));
	advise_memory(finding, have > caches ? (have - caches) / workers : 0, each);
	return true;
}

static bool memory_unknown(const struct config *config, const struct machine *machine,
			   struct finding *finding)
{
	(void)config;
	if (machine->memory.known)
		return false;
	finding->severity = FINDING_INFO;
	say(finding, "unknown: the memory limit of the cgroup is hidden");
	advise(finding, "compare systemctl show -p MemoryMax drover with limits.connections");
	return true;
}

/* A replacement has both for a while, and each slot may have limits.max_draining that drain. */
static bool too_few(const struct config *config, const struct machine *machine, const struct figure *limit,
		    const char *name, struct finding *finding)
{
	uint64_t workers = workers_of(config, machine);
	uint64_t need = MASTER_TASKS + workers * (2 + (uint64_t)config->max_draining) * TASKS_PER_WORKER;

	if (!limit->known || limit->value >= need)
		return false;
	put_place(finding, place_of(config, "workers"));
	say(finding,
	    "%llu workers, each with a successor and up to limits.max_draining = %u that drain, can be %llu"
	    " tasks; %s allows %llu",
	    (unsigned long long)workers, config->max_draining, (unsigned long long)need, name,
	    (unsigned long long)limit->value);
	advise(finding, "set %s=%llu in the unit, or lower workers or limits.max_draining",
	       limit == &machine->tasks ? "TasksMax" : "LimitNPROC", (unsigned long long)need);
	return true;
}

static bool tasks(const struct config *config, const struct machine *machine, struct finding *finding)
{
	return too_few(config, machine, &machine->tasks, "pids.max of the cgroup", finding);
}

static bool processes(const struct config *config, const struct machine *machine, struct finding *finding)
{
	return too_few(config, machine, &machine->processes, "RLIMIT_NPROC", finding);
}

static bool cpus(const struct config *config, const struct machine *machine, struct finding *finding)
{
	if (config->workers <= machine->cpus)   /* 0: auto */
		return false;
	finding->severity = FINDING_INFO;
	put_place(finding, place_of(config, "workers"));
	say(finding, "workers = %u, but drover may use %u CPU%s (affinity mask, cgroup quota)",
	    config->workers, machine->cpus, machine->cpus == 1 ? "" : "s");
	advise(finding, "set workers = \"auto\", or give it more CPUs (CPUAffinity=, CPUQuota=)");
	return true;
}

/* Who did not ask for it gets the next best without a word. */
static bool steering(const struct config *config, const struct machine *machine, struct finding *finding)
{
	const char *place = place_of(config, "accept");

	if (config->accept != ACCEPT_DIRECTED || place[0] == '\0' ||
	    (machine->can_steer && machine->may_steer))
		return false;
	put_place(finding, place);
	say(finding, "accept = \"directed\" is \"reuseport\" here: %s",
	    machine->can_steer
		    ? "drover has no CAP_BPF, so that a busy worker gets as many new connections as an idle"
		      " one"
		    : "this drover was built without the steering program");
	advise(finding, "%s",
	       machine->can_steer
		       ? "set AmbientCapabilities=CAP_BPF in the unit, start as root, or set accept = "
			 "\"reuseport\""
		       : "build it where clang, bpftool and libbpf are, or set accept = \"reuseport\"");
	return true;
}

static bool is_exempt(const struct config *config, const char *network)
{
	struct cidr inner, outer;
	struct err err;

	if (!cidr_parse(network, &inner, &err)) /* "unix" */
		return true;
	for (unsigned i = 0; i < config->quota_exempt.count; i++)
		if (cidr_parse(config->quota_exempt.at[i], &outer, &err) && cidr_covers(&outer, &inner))
			return true;
	return false;
}

/* A connection is counted by who opened it, before a request says for whom. */
static bool limited_proxy(const struct config *config, const struct machine *machine, struct finding *finding)
{
	const struct strings *from = &config->forwarded_from;
	bool of_one = config->quotas[QUOTA_ADDRESS].connections > 0;
	unsigned i = 0;

	(void)machine;
	while (i < from->count && is_exempt(config, from->at[i]))
		i++;
	if ((!of_one && config->quotas[QUOTA_NETWORK].connections == 0) || i == from->count)
		return false;
	put_place(finding,
		  place_of(config, of_one ? "clients.connections" : "clients.network_connections"));
	say(finding,
	    "%s counts the connections of the proxies too, and %s, which is in forwarded.from, is not in"
	    " clients.exempt",
	    of_one ? "clients.connections" : "clients.network_connections", from->at[i]);
	advise(finding, "name it in clients.exempt; the clients behind it are then limited all the same");
	return true;
}

static bool few_connections(const struct config *config, const struct machine *machine,
			    struct finding *finding)
{
	unsigned connections = config->quotas[QUOTA_ADDRESS].connections;

	(void)machine;
	if (connections == 0 || connections >= OF_A_BROWSER)
		return false;
	put_place(finding, place_of(config, "clients.connections"));
	say(finding,
	    "clients.connections = %u, and a browser opens %d; several people may share an address besides",
	    connections, OF_A_BROWSER);
	advise(finding, "set clients.connections = 50 or more, or try it with clients.dry_run = true");
	return true;
}

static const struct rule {
	const char *id;
	bool (*look)(const struct config *config, const struct machine *machine, struct finding *finding);
} rules[] = {
	{ "preflight_privileged_port", privileged_port },
	{ "preflight_port_unknown", privileged_port_unknown },
	{ "preflight_open_files", open_files },
	{ "preflight_master_files", master_files },
	{ "preflight_somaxconn", somaxconn },
	{ "preflight_somaxconn_unknown", somaxconn_unknown },
	{ "preflight_memory", memory },
	{ "preflight_memory_unknown", memory_unknown },
	{ "preflight_tasks", tasks },
	{ "preflight_processes", processes },
	{ "preflight_cpus", cpus },
	{ "preflight_steering", steering },
	{ "preflight_limited_proxy", limited_proxy },
	{ "preflight_few_connections", few_connections },
};

static struct finding *next_finding(struct preflight *preflight, const char *id)
{
	struct finding *finding = &preflight->at[preflight->count];

	*finding = (struct finding){ .severity = FINDING_WARNING };
	snprintf(finding->id, sizeof(finding->id), "%s", id);
	return finding;
}

void preflight_judge(const struct generation *generation, const struct machine *machine,
		     struct preflight *preflight)
{
	_Static_assert(sizeof(rules) / sizeof(rules[0]) < PREFLIGHT_MAX, "room for what every rule finds");

	preflight->count = 0;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		preflight->count +=
			rules[i].look(generation->config, machine, next_finding(preflight, rules[i].id));
	preflight->count += exposed_status(generation, next_finding(preflight, "preflight_status_open"));
}

void preflight_tame(struct preflight *preflight)
{
	if (preflight->count > PREFLIGHT_MAX)
		preflight->count = PREFLIGHT_MAX;
	for (unsigned i = 0; i < preflight->count; i++) {
		struct finding *finding = &preflight->at[i];

		if ((unsigned)finding->severity >= FINDING_SEVERITIES)
			finding->severity = FINDING_INFO;
		finding->id[sizeof(finding->id) - 1] = '\0';
		finding->place[sizeof(finding->place) - 1] = '\0';
		finding->text[sizeof(finding->text) - 1] = '\0';
		finding->remedy[sizeof(finding->remedy) - 1] = '\0';
	}
}
