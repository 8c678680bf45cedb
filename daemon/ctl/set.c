/* set.c - droverctl set, unset, workers and confirm: settings that change while drover runs.  Names and
 * values are the daemon's to judge. Fails as ctl_run does. */
#include "ctl.h"

#include "config/setting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t confirm_ns;             /* set --confirm; 0: it stays */
static bool unset_all;                  /* unset --all */

bool set_option(int val, const char *value)
{
	if (val != 'c' || (setting_parse_duration(value, &confirm_ns) && confirm_ns > 0))
		return true;
	return ctl_wrong("--confirm takes a time such as 60s, from 1s to 1d, not ", value) == STATUS_GOOD;
}

bool unset_option(int val, const char *value)
{
	(void)value;
	unset_all |= val == 'a';
	return true;
}

/* A longer one would only be told that it is too long. */
static int ask(const struct ctl *ctl, json_t *request)
{
	size_t len = json_dumpb(request, NULL, 0, JSON_COMPACT);

	if (len + 1 < CONTROL_LINE_BYTES)
		return ctl_run(ctl, request, ctl_show_text);
	json_decref(request);
	return ctl_refuse(ctl, "that is too much at a time: set it in several steps");
}

static int set_one(json_t *values, const char *name, size_t len, const char *value)
{
	json_t *text = json_string(value);

	if (text == NULL)
		return ctl_wrong("a value has to be UTF-8: ", name);
	if (json_object_getn(values, name, len) != NULL)
		return json_decref(text), ctl_wrong("set twice: ", name);
	return json_object_setn_new(values, name, len, text) == 0 ? STATUS_GOOD
								   : ctl_wrong("a name has to be UTF-8", "");
}

/* "NAME VALUE" and "NAME=VALUE", mixed. */
static int collect(const struct ctl *ctl, json_t *values)
{
	int status = STATUS_GOOD;

	for (unsigned i = 0; i < ctl->argument_count && status == STATUS_GOOD; i++) {
		const char *name = ctl->arguments[i], *equals = strchr(name, '=');

		if (equals != NULL)
			status = set_one(values, name, (size_t)(equals - name), equals + 1);
		else if (i + 1 == ctl->argument_count)
			status = ctl_wrong("expected a value behind ", name);
		else
			status = set_one(values, name, strlen(name), ctl->arguments[++i]);
	}
	return status;
}

int set_run(struct ctl *ctl)
{
	json_t *values = json_object();
	int status = collect(ctl, values);
	json_t *request;

	if (status != STATUS_GOOD)
		return json_decref(values), status;
	request = json_pack("{s:s, s:o}", "command", "set", "set", values);
	if (confirm_ns > 0)
		json_object_set_new(request, "confirm_ms", json_integer((json_int_t)(confirm_ns / 1000000)));
	return ask(ctl, request);
}

int unset_run(struct ctl *ctl)
{
	json_t *names = json_array();

	if (unset_all != (ctl->argument_count == 0))
		return json_decref(names),
		       ctl_wrong("expected names of settings, or --all, behind unset", "");
	for (unsigned i = 0; i < ctl->argument_count; i++)
		json_array_append_new(names, json_string(ctl->arguments[i]));
	return ask(ctl,
		   json_pack("{s:s, s:o, s:b}", "command", "set", "unset", names, "all", (int)unset_all));
}

int workers_run(struct ctl *ctl)
{
	return ask(ctl, json_pack("{s:s, s:{s:s}}", "command", "set", "set", "workers", ctl->arguments[0]));
}

int confirm_run(struct ctl *ctl)
{
	return ctl_run(ctl, json_pack("{s:s}", "command", "confirm"), ctl_show_text);
}
