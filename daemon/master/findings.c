/* findings.c - what the preflight found, in the log and in the text of a failed bind or fork.  Called by
 * reload.c and plan.c; cannot fail. */
#include "master.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_known(const struct preflight *before, const struct finding *finding)
{
	for (unsigned i = 0; before != NULL && i < before->count; i++)
		if (strcmp(before->at[i].id, finding->id) == 0 &&
		    strcmp(before->at[i].text, finding->text) == 0)
			return true;
	return false;
}

/* An error would have stopped the start: where it did not (a socket that was handed over needs no right to
 * bind), it is none. */
static void log_one(const struct finding *finding)
{
	enum log_level level = finding->severity == FINDING_INFO ? LEVEL_INFO : LEVEL_WARNING;

	if (finding->severity != FINDING_ERROR)
		log_event(level, finding->id, log_text("text", finding->text),
			  log_text("remedy", finding->remedy),
			  finding->place[0] != '\0' ? log_text("place", finding->place)
						    : (struct log_field){ 0 });
}

void findings_log(struct master *master)
{
	struct preflight *now = master->current.findings;

	for (unsigned i = 0; now != NULL && i < now->count; i++)
		if (!is_known(master->findings, &now->at[i]))
			log_one(&now->at[i]);
	free(master->findings);
	master->findings = now;
	master->current.findings = NULL;
}

static bool explains(const struct finding *finding, const struct err *err)
{
	if (strcmp(finding->id, "preflight_master_files") == 0)
		return strstr(err->text, strerror(EMFILE)) != NULL;
	return finding->severity == FINDING_ERROR && strstr(err->text, strerror(EACCES)) != NULL;
}

void findings_explain(const struct preflight *findings, struct err *err)
{
	struct err failed = *err;

	for (unsigned i = 0; findings != NULL && i < findings->count; i++)
		if (explains(&findings->at[i], &failed))
			err_set(err, "%s (%s; %s)", failed.text, findings->at[i].text,
				findings->at[i].remedy);
}
