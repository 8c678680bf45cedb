/* Preflight: does this machine allow what the configuration asks for?
 *
 * What it finds is advice with numbers and the remedy, never a reason not to serve. Judging is pure; what the
 * machine hides (ProcSubset=pid) is said to be unknown and never guessed. */
#ifndef CONFIG_PREFLIGHT_H
#define CONFIG_PREFLIGHT_H

#include "generation.h"
#include "machine.h"

enum { PREFLIGHT_MAX = 24 };

enum finding_severity { FINDING_INFO, FINDING_WARNING, FINDING_ERROR, FINDING_SEVERITIES };

/* "info", "warning", "error". */
extern const char *const finding_severity_names[FINDING_SEVERITIES];

struct finding {
	char id[40];                    /* stable: "preflight_open_files" */
	enum finding_severity severity; /* ERROR: a start would fail */
	char place[256];                /* "drover.conf:12:3", of the setting; "": a default */
	char text[384];
	char remedy[256];
};

struct preflight {
	unsigned count;
	struct finding at[PREFLIGHT_MAX];
};

/* Everything that the generation's configuration (complete) asks for beyond `machine`, in the order of the
 * table in preflight.c, and what it should not show. Pure. */
void preflight_judge(const struct generation *generation, const struct machine *machine,
		     struct preflight *preflight);

/* Makes data of another process safe to use: bounded, terminated. */
void preflight_tame(struct preflight *preflight);

#endif
