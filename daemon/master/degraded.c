/* degraded.c - one line, from the master, for each layer of the workers' sandbox that this machine lacks.
 *
 * Called by reload.c at a commit and by status.c. Workers go on without such a layer and say nothing. */
#include "degraded.h"

#include "base/log.h"
#include "config/layers.h"

#include <jansson.h>

void degraded_log(const struct config *now, const struct config *before)
{
	struct err err;

	for (unsigned i = 0; i < LAYERS; i++)
		if (!layer_is_wanted(&layers[i], before) && layer_is_missing(&layers[i], now, &err))
			log_event(LEVEL_WARNING, "sandbox_degraded", log_text("layer", layers[i].name),
				  log_text("error", err.text), log_text("remedy", layers[i].remedy));
}

json_t *degraded_json(const struct config *config)
{
	json_t *all = json_object();
	struct err err;

	for (unsigned i = 0; i < LAYERS; i++) {
		bool wanted = layer_is_wanted(&layers[i], config);
		bool missing = layer_is_missing(&layers[i], config, &err);

		json_object_set_new(all, layers[i].name,
				    json_pack("{s:b, s:b, s:s}", "wanted", (int)wanted, "effective",
					      (int)(wanted && !missing), "why", missing ? err.text : ""));
	}
	return all;
}
