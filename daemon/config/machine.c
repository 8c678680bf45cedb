/* machine.c - reading what the machine allows.  Called by the checker before it drops its rights, and by
 * `drover -t`; what cannot be read is not known. */
#include "machine.h"

#include "config.h"

#include "base/str.h"
#include "net/steering.h"

#include <sys/capability.h>
#include <sys/resource.h>
#include <unistd.h>

static struct figure number_in(const char *path)
{
	struct figure figure = { 0 };
	char line[64];

	if (!cgroup_line(path, line, sizeof(line)))
		return figure;
	line[strcspn(line, "\n")] = '\0';
	figure.known = str_to_u64(str_of(line), &figure.value);
	return figure;
}

/* RLIM_INFINITY is FIGURE_UNLIMITED. The soft limit of open files is raised to the hard one at the start. */
static struct figure most_files(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (struct figure){ true, limit.rlim_max }
						     : (struct figure){ 0 };
}

/* Workers are forked by root before they change their user: there is no limit for those (setrlimit(2)). */
static struct figure most_processes(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	return geteuid() == 0 || getrlimit(RLIMIT_NPROC, &limit) == 0
		       ? (struct figure){ true, limit.rlim_cur }
		       : (struct figure){ 0 };
}

static bool has_capability(cap_value_t capability, cap_flag_t set)
{
	cap_flag_value_t value = CAP_CLEAR;
	cap_t mine = cap_get_proc();

	if (mine != NULL)
		cap_get_flag(mine, capability, set, &value);
	cap_free(mine);
	return value == CAP_SET;
}

void machine_look(struct machine *machine)
{
	*machine = (struct machine){
		.open_files = most_files(),
		.somaxconn = number_in("/proc/sys/net/core/somaxconn"),
		.first_port = number_in("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
		.may_bind = has_capability(CAP_NET_BIND_SERVICE, CAP_EFFECTIVE),
		/* in effect for moments only */
		.may_steer = has_capability(CAP_BPF, CAP_PERMITTED) ||
			     has_capability(CAP_SYS_ADMIN, CAP_EFFECTIVE),
		.can_steer = steering_built(),
		.memory = cgroup_limit("memory", "memory.limit_in_bytes", "memory.max"),
		.tasks = cgroup_limit("pids", "pids.max", "pids.max"),
		.processes = most_processes(),
		.cpus = config_cpu_count(),
	};
}
