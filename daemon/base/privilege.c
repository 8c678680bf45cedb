/* privilege.c - dropping rights. Called by workers and checkers right after fork; any failure is fatal to
 * them. The master has CAP_BPF in effect for moments only; a failure shows in what it wanted it for. */
#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static bool become(unsigned uid, unsigned gid, struct err *err)
{
	if (setgroups(0, NULL) < 0)
		return err_sys(err, errno, "setgroups");
	if (setresgid(gid, gid, gid) < 0)
		return err_sys(err, errno, "setresgid %u", gid);
	if (setresuid(uid, uid, uid) < 0)
		return err_sys(err, errno, "setresuid %u", uid);
	return true;
}

/* The bounding set too, where that is allowed (CAP_SETPCAP); without it PR_SET_NO_NEW_PRIVS has to do. */
static void drop_bounds(void)
{
	for (cap_value_t cap = 0; cap_get_bound(cap) >= 0; cap++)
		if (cap_drop_bound(cap) < 0)
			return;
}

static bool drop_capabilities(struct err *err)
{
	cap_t none = cap_init();
	int failed = none == NULL ? -1 : cap_set_proc(none);
	int error = errno;

	cap_free(none);
	/* an ambient capability goes with its permitted one (capabilities(7)) */
	return failed == 0 || err_sys(err, error, "drop capabilities");
}

bool privilege_drop(bool change, unsigned uid, unsigned gid, struct err *err)
{
	drop_bounds();
	if (change && !become(uid, gid, err))
		return false;
	if (!drop_capabilities(err))
		return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "PR_SET_NO_NEW_PRIVS");
	return true;
}

/* Since Linux 6.3; older headers have none of it. */
enum { SET_MDWE = 65, GET_MDWE = 66, REFUSE_EXEC_GAIN = 1 };

bool privilege_can_seal(struct err *err)
{
	return prctl(GET_MDWE, 0, 0, 0, 0) >= 0 || err_sys(err, errno, "PR_GET_MDWE");
}

bool privilege_seal(struct err *err)
{
	return prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) == 0 || err_sys(err, errno, "PR_SET_MDWE");
}

/* The hard limit of core dumps stays: a worker of a later generation may be allowed to leave one. A limit of
 * 0 alone is not enough, for a pipe in core_pattern gets a dump all the same (core(5)). */
void privilege_show(bool may)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) == 0) {
		limit.rlim_cur = may ? limit.rlim_max : 0;
		setrlimit(RLIMIT_CORE, &limit);
	}
	prctl(PR_SET_DUMPABLE, may ? 1 : 0, 0, 0, 0);
}

static void set_effective_bpf(cap_flag_value_t value)
{
	cap_value_t bpf = CAP_BPF;
	cap_flag_value_t permitted = CAP_CLEAR;
	cap_t mine = cap_get_proc();

	if (mine != NULL && cap_get_flag(mine, bpf, CAP_PERMITTED, &permitted) == 0 && permitted == CAP_SET &&
	    cap_set_flag(mine, CAP_EFFECTIVE, 1, &bpf, value) == 0)
		cap_set_proc(mine);
	cap_free(mine);
}

void privilege_raise_bpf(void)
{
	set_effective_bpf(CAP_SET);
}

void privilege_lower_bpf(void)
{
	set_effective_bpf(CAP_CLEAR);
}

unsigned long privilege_open_files(unsigned long wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	if (wanted > 0 && wanted < limit.rlim_max)
		limit.rlim_max = wanted;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return (unsigned long)limit.rlim_cur;
}
