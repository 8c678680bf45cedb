/* What the machine allows this process, as far as it can be read. */
#ifndef CONFIG_MACHINE_H
#define CONFIG_MACHINE_H

#include "cgroup.h"

struct machine {
	struct figure open_files;       /* RLIMIT_NOFILE, hard */
	struct figure somaxconn;
	struct figure first_port;       /* that needs no capability */
	bool may_bind;                  /* CAP_NET_BIND_SERVICE */
	struct figure memory;           /* bytes, of the cgroup */
	struct figure tasks;            /* of the cgroup */
	struct figure processes;        /* RLIMIT_NPROC, which root is free of */
	bool may_steer;                 /* CAP_BPF */
	bool can_steer;                 /* this build has the steering program */
	unsigned cpus;                  /* within affinity mask and quota */
};

void machine_look(struct machine *machine);

#endif
