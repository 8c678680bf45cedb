/* sites.c - which row of the board each site is measured in.
 *
 * Called by reload.c, before a generation is prepared and when it is not served after all. A row stays a
 * site's for good, so that its counters are what they were when it comes back; a site for which none is left
 * is measured together with all others of those, and the log says so. */
#include "master.h"

#include "base/log.h"

void sites_assign(struct master *master, const struct config *config)
{
	unsigned without = 0;

	for (unsigned i = 0; i < config->sites.count; i++)
		if (!board_site_add(&master->owners, config_site_name(config_site(config, i))))
			without++;
	board_sites_publish(master->board, &master->owners);
	if (without > 0)
		log_event(LEVEL_NOTICE, "sites_measured_together", log_number("sites", without),
			  log_number("at_most", METRICS_SITES - 1));
}

void sites_take_back(struct master *master)
{
	board_sites_trim(&master->owners, master->transition.sites);
	board_sites_publish(master->board, &master->owners);
}
