/* status_metrics.c - the view as metrics, family by family.  Called by
 * status_desk.c; cannot fail but by a text that has no more room.
 *
 * How many series there are is bounded: by slots, by the METRICS_SITES rows of
 * the board, by VIEW_LISTENERS, and by what is spelled out here. What a client
 * sends is in no label. */
#include "status_metrics.h"

#include "status_show.h"

enum type { GAUGE, COUNTER, HISTOGRAM, INFO };

/* In the order in which they are shown. */
enum family {
	FORGOTTEN, /* of a counter that nobody has thought of */
	BUILD,
	ACCEPT_MODE,
	START_TIME,
	GENERATION,
	STOPPING,
	SLOTS,
	WORKERS,
	RELOAD_SUCCESS,
	RELOAD_TIME,
	RELOADS,
	UPGRADE_SUCCESS,
	UPGRADE_TIME,
	UPGRADES,
	EVENTS,
	EVENT_TIME,
	ACCEPTED,
	CONNECTIONS,
	CONNECTIONS_LIMIT,
	LOST,
	REFUSED,
	SHED,
	RESCUED,
	SURVIVED,
	HANDOVERS,
	HANDOVERS_DECLINED,
	HANDOVERS_TAKEN,
	ACCEPT_PAUSES,
	ACCEPT_ERRORS,
	BACKLOG_CUTS,
	QUEUE,
	QUEUE_DROPS,
	REQUESTS,
	RESPONSES,
	READY_ANSWERS,
	HEALTH_REFUSALS,
	SENT,
	PARSE_ERRORS,
	TIMEOUTS,
	LIMITED,
	UNTRACKED,
	SITE_RESPONSES,
	SITE_SENT,
	SITE_DURATION,
	SLOT_ACCEPTED,
	SLOT_RESPONSES,
	SLOT_SENT,
	SLOT_RESCUED,
	SLOT_DEATHS,
	SLOT_STALLS,
	SLOT_READY,
	LOOP_BUSY,
	LOOP_TURN,
	CACHE,
	CACHE_EVICTIONS,
	READS_OFFLOADED,
	READS_FAILED,
	AUTH_HASHES,
	AUTH_FAILURES,
	TASKS_REFUSED,
	LOG_DROPPED,
	OUT_OF_MEMORY,
	SYSCALLS_DENIED,
	FAMILIES,
	LEFT_OUT, /* of a counter that others add up to */
};

/* Which counters are samples of which family, and their labels. */
static const struct place {
	enum family family;
	const char *labels; /* NULL: none */
} places[COUNTERS] = {
	[COUNT_ACCEPTED] = { ACCEPTED, NULL },
	[COUNT_OPEN] = { LEFT_OUT, NULL }, /* CONNECTIONS */
	[COUNT_REQUESTS] = { REQUESTS, NULL },
	[COUNT_BYTES_SENT] = { SENT, NULL },
	[COUNT_ACCEPT_PAUSED] = { ACCEPT_PAUSES, NULL },
	[COUNT_ACCEPT_ERRORS] = { ACCEPT_ERRORS, NULL },
	[COUNT_PARSE_ERRORS] = { LEFT_OUT, NULL }, /* PARSE_ERRORS, by what was wrong */
	[COUNT_WRONG_LINE] = { PARSE_ERRORS, "reason=\"line\"" },
	[COUNT_WRONG_VERSION] = { PARSE_ERRORS, "reason=\"version\"" },
	[COUNT_WRONG_TARGET] = { PARSE_ERRORS, "reason=\"target\"" },
	[COUNT_WRONG_LONG] = { PARSE_ERRORS, "reason=\"long\"" },
	[COUNT_WRONG_FIELD] = { PARSE_ERRORS, "reason=\"field\"" },
	[COUNT_WRONG_LARGE] = { PARSE_ERRORS, "reason=\"large\"" },
	[COUNT_WRONG_MANY] = { PARSE_ERRORS, "reason=\"many\"" },
	[COUNT_WRONG_HOST] = { PARSE_ERRORS, "reason=\"host\"" },
	[COUNT_WRONG_FRAMING] = { PARSE_ERRORS, "reason=\"framing\"" },
	[COUNT_WRONG_BODY] = { PARSE_ERRORS, "reason=\"body\"" },
	[COUNT_TIMEOUTS] = { LEFT_OUT, NULL }, /* TIMEOUTS, by their kind */
	[COUNT_TIMEOUT_SILENT] = { TIMEOUTS, "kind=\"silent\"" },
	[COUNT_TIMEOUT_HEAD] = { TIMEOUTS, "kind=\"head\"" },
	[COUNT_TIMEOUT_BODY] = { TIMEOUTS, "kind=\"body\"" },
	[COUNT_TIMEOUT_SEND] = { TIMEOUTS, "kind=\"send\"" },
	[COUNT_TIMEOUT_RATE] = { TIMEOUTS, "kind=\"rate\"" },
	[COUNT_TIMEOUT_PROXY] = { TIMEOUTS, "kind=\"proxy\"" },
	[COUNT_TIMEOUT_IDLE] = { TIMEOUTS, "kind=\"idle\"" },
	[COUNT_TIMEOUT_LEAVING] = { TIMEOUTS, "kind=\"leaving\"" },
	[COUNT_DRAIN_CUT] = { LEFT_OUT, NULL }, /* LOST, by what they were doing */
	[COUNT_FILE_SHRANK] = { LOST, "reason=\"file_shrank\"" },
	[COUNT_FILE_CHANGED] = { LOST, "reason=\"file_changed\"" },
	[COUNT_ACCESS_LOG_DROPPED] = { LOG_DROPPED, "log=\"access\"" },
	[COUNT_ERROR_LOG_DROPPED] = { LOG_DROPPED, "log=\"error\"" },
	[COUNT_STATUS_2XX] = { RESPONSES, "class=\"2xx\"" },
	[COUNT_STATUS_3XX] = { RESPONSES, "class=\"3xx\"" },
	[COUNT_STATUS_4XX] = { RESPONSES, "class=\"4xx\"" },
	[COUNT_STATUS_5XX] = { RESPONSES, "class=\"5xx\"" },
	[COUNT_OUT_OF_MEMORY] = { OUT_OF_MEMORY, NULL },
	[COUNT_SHED] = { SHED, NULL },
	[COUNT_CUT_HEAD] = { LOST, "reason=\"cut_head\"" },
	[COUNT_CUT_WAITING] = { LOST, "reason=\"cut_waiting\"" },
	[COUNT_CUT_SENDING] = { LOST, "reason=\"cut_sending\"" },
	[COUNT_LOST_STOP] = { LOST, "reason=\"stop\"" },
	[COUNT_LOST_ADDRESS_REMOVED] = { LOST, "reason=\"address_removed\"" },
	[COUNT_TASKS_REFUSED] = { TASKS_REFUSED, NULL },
	[COUNT_AUTH_HASHES] = { AUTH_HASHES, NULL },
	[COUNT_AUTH_FAILED] = { AUTH_FAILURES, NULL },
	[COUNT_PROXY_REFUSED] = { REFUSED, "reason=\"proxy_header\"" },
	[COUNT_HANDED_IDLE] = { HANDOVERS, "kind=\"idle\"" },
	[COUNT_HANDED_HEAD] = { HANDOVERS, "kind=\"head\"" },
	[COUNT_HANDED_BODY] = { HANDOVERS, "kind=\"body\"" },
	[COUNT_HANDED_SENDING] = { HANDOVERS, "kind=\"sending\"" },
	[COUNT_HANDED_PIPELINED] = { HANDOVERS, "kind=\"pipelined\"" },
	[COUNT_HANDED_LEAVING] = { HANDOVERS, "kind=\"leaving\"" },
	[COUNT_HAND_DECLINED] = { HANDOVERS_DECLINED, NULL },
	[COUNT_TAKEN_OVER] = { HANDOVERS_TAKEN, NULL },
	[COUNT_REFUSED] = { REFUSED, "reason=\"full\"" },
	[COUNT_LOST_CRASHED] = { LOST, "reason=\"crashed\"" },
	[COUNT_OVERLOADED] = { BACKLOG_CUTS, NULL },
	[COUNT_KERNEL_DROPPED] = { LOST, "reason=\"kernel_dropped\"" },
	[COUNT_RESCUED] = { RESCUED, NULL },
	[COUNT_SURVIVED] = { SURVIVED, "outcome=\"served\"" },
	[COUNT_SURVIVED_NOT] = { SURVIVED, "outcome=\"closed\"" },
	[COUNT_SYSCALLS_DENIED] = { SYSCALLS_DENIED, NULL },
	[COUNT_LIMITED_CONNECTIONS] = { LIMITED, "limit=\"connections\"" },
	[COUNT_LIMITED_REQUESTS] = { LIMITED, "limit=\"requests\"" },
	[COUNT_LIMITED_BANDWIDTH] = { LIMITED, "limit=\"bandwidth\"" },
	[COUNT_CLIENTS_UNTRACKED] = { UNTRACKED, NULL },
	[COUNT_READS_OFFLOADED] = { READS_OFFLOADED, NULL },
	[COUNT_READS_FAILED] = { READS_FAILED, NULL },
	[COUNT_FILE_CACHE_HITS] = { CACHE, "outcome=\"hit\"" },
	[COUNT_FILE_CACHE_MISSES] = { CACHE, "outcome=\"miss\"" },
	[COUNT_FILE_CACHE_EVICTED] = { CACHE_EVICTIONS, NULL },
	[COUNT_READY_ANSWERS] = { READY_ANSWERS, NULL },
	[COUNT_HEALTH_REFUSALS] = { HEALTH_REFUSALS, NULL },
	[COUNT_DIED_CRASHED] = { LEFT_OUT, NULL }, /* SLOT_DEATHS, as those below */
	[COUNT_DIED_KILLED] = { LEFT_OUT, NULL },
	[COUNT_DIED_EXITED] = { LEFT_OUT, NULL },
	[COUNT_DIED_HUNG] = { LEFT_OUT, NULL },
	[COUNT_STALLED] = { LEFT_OUT, NULL }, /* SLOT_STALLS */
	[COUNT_READY] = { LEFT_OUT, NULL }, /* SLOT_READY */
	[COUNT_DOING + DOING_IDLE] = { LEFT_OUT, NULL }, /* CONNECTIONS */
	[COUNT_DOING + DOING_HEAD] = { LEFT_OUT, NULL }, /* CONNECTIONS */
	[COUNT_DOING + DOING_WAITING] = { LEFT_OUT, NULL }, /* CONNECTIONS */
	[COUNT_DOING + DOING_SENDING] = { LEFT_OUT, NULL }, /* CONNECTIONS */
	[COUNT_DOING + DOING_LEAVING] = { LEFT_OUT, NULL }, /* CONNECTIONS */
};

/* ---- the families
 * ----------------------------------------------------------------------------------
 */

/* One without functions has the counters whose place it is. */
static const struct {
	const char *name; /* without what its type adds */
	enum type type;
	const char *unit; /* which the name ends with; NULL: none */
	const char *help;
	show_family show;
	show_slot slot;
} families[FAMILIES] = {
	[BUILD] = { "drover_build", INFO, NULL, "The version of the worker that answers", show_build, NULL },
	[ACCEPT_MODE] = { "drover_accept_mode", INFO, NULL, "How connections are given to workers",
			  show_accept_mode, NULL },
	[START_TIME] = { "drover_start_time_seconds", GAUGE, "seconds",
			 "When the service was started; an upgrade is no start", show_start, NULL },
	[GENERATION] = { "drover_generation", GAUGE, NULL, "The number of the configuration that is served",
			 show_generation, NULL },
	[STOPPING] = { "drover_stopping", GAUGE, NULL, "1 from the moment that a stop begins", show_stopping,
		       NULL },
	[SLOTS] = { "drover_slots", GAUGE, NULL, "Slots by state", show_slots, NULL },
	[WORKERS] = { "drover_workers", GAUGE, NULL, "Worker processes, those that leave included",
		      show_workers, NULL },
	[RELOAD_SUCCESS] = { "drover_last_reload_successful", GAUGE, NULL,
			     "1 when the last reload, or the start, succeeded", show_reload_success, NULL },
	[RELOAD_TIME] = { "drover_last_reload_timestamp_seconds", GAUGE, "seconds",
			  "When the last reload ended", show_reload_time, NULL },
	[RELOADS] = { "drover_reloads", COUNTER, NULL, "Reloads, the start included", show_reloads, NULL },
	[UPGRADE_SUCCESS] = { "drover_last_upgrade_successful", GAUGE, NULL, "0 when the last upgrade failed",
			      show_upgrade_success, NULL },
	[UPGRADE_TIME] = { "drover_last_upgrade_timestamp_seconds", GAUGE, "seconds",
			   "When the last upgrade ended; 0: there was none", show_upgrade_time, NULL },
	[UPGRADES] = { "drover_upgrades", COUNTER, NULL, "Upgrades", show_upgrades, NULL },
	[EVENTS] = { "drover_events", COUNTER, NULL, "What happened to the service, of all kinds",
		     show_events, NULL },
	[EVENT_TIME] = { "drover_last_event_timestamp_seconds", GAUGE, "seconds",
			 "When something of the kind happened last; 0: not lately", show_event_times, NULL },
	[ACCEPTED] = { "drover_connections_accepted", COUNTER, NULL, "Connections accepted", NULL, NULL },
	[CONNECTIONS] = { "drover_connections", GAUGE, NULL, "Open connections by what they are doing", NULL,
			  show_slot_connections },
	[CONNECTIONS_LIMIT] = { "drover_worker_connections_limit", GAUGE, NULL,
				"limits.connections, of each worker", show_connections_limit, NULL },
	[LOST] = { "drover_connections_lost", COUNTER, NULL,
		   "Connections that ended although their clients were owed something", NULL, NULL },
	[REFUSED] = { "drover_connections_refused", COUNTER, NULL, "Connections that were told to go away",
		      NULL, NULL },
	[SHED] = { "drover_connections_shed", COUNTER, NULL, "Idle connections closed to make room", NULL,
		   NULL },
	[RESCUED] = { "drover_connections_rescued", COUNTER, NULL,
		      "Connections accepted in place of a worker that did not", NULL, NULL },
	[SURVIVED] = { "drover_connections_survived", COUNTER, NULL, "Idle connections of workers that died",
		       NULL, NULL },
	[HANDOVERS] = { "drover_handovers", COUNTER, NULL, "Connections handed over to another worker", NULL,
			NULL },
	[HANDOVERS_DECLINED] = { "drover_handovers_declined", COUNTER, NULL,
				 "Connections that another worker could not take", NULL, NULL },
	[HANDOVERS_TAKEN] = { "drover_handovers_taken", COUNTER, NULL,
			      "Connections taken over from another worker", NULL, NULL },
	[ACCEPT_PAUSES] = { "drover_accept_pauses", COUNTER, NULL,
			    "Times that a worker stopped accepting for want of "
			    "descriptors or memory",
			    NULL, NULL },
	[ACCEPT_ERRORS] = { "drover_accept_errors", COUNTER, NULL, "Failed calls of accept", NULL, NULL },
	[BACKLOG_CUTS] = { "drover_backlog_cuts", COUNTER, NULL, "Times that a queue was shortened", NULL,
			   NULL },
	[QUEUE] = { "drover_listen_queue", GAUGE, NULL, "Connections that wait to be accepted", show_queues,
		    NULL },
	[QUEUE_DROPS] = { "drover_listen_drops", COUNTER, NULL,
			  "Connections that the kernel dropped at the listening "
			  "sockets that there are",
			  show_queue_drops, NULL },
	[REQUESTS] = { "drover_requests", COUNTER, NULL, "Requests begun", NULL, NULL },
	[RESPONSES] = { "drover_responses", COUNTER, NULL, "Answers by the class of their status", NULL,
			NULL },
	[READY_ANSWERS] = { "drover_ready_answers", COUNTER, NULL,
			    "Answers given again without asking anybody", NULL, NULL },
	[HEALTH_REFUSALS] = { "drover_health_refusals", COUNTER, NULL,
			      "Health checks that were told that the service leaves", NULL, NULL },
	[SENT] = { "drover_sent_bytes", COUNTER, "bytes", "Bytes sent, heads included", NULL, NULL },
	[PARSE_ERRORS] = { "drover_parse_errors", COUNTER, NULL, "Requests that could not be understood",
			   NULL, NULL },
	[TIMEOUTS] = { "drover_timeouts", COUNTER, NULL, "Clients that were too slow", NULL, NULL },
	[LIMITED] = { "drover_limited", COUNTER, NULL, "Times that a client met a limit of its own", NULL,
		      NULL },
	[UNTRACKED] = { "drover_clients_untracked", COUNTER, NULL,
			"Clients without a limit because the table was full", NULL, NULL },
	[SITE_RESPONSES] = { "drover_site_responses", COUNTER, NULL, "Answers by site and class",
			     show_site_responses, NULL },
	[SITE_SENT] = { "drover_site_sent_bytes", COUNTER, "bytes", "Bytes sent by site", show_site_sent,
			NULL },
	[SITE_DURATION] = { "drover_request_duration_seconds", HISTOGRAM, "seconds",
			    "From a request's first byte to the last one of its answer, by site",
			    show_site_duration, NULL },
	[SLOT_ACCEPTED] = { "drover_slot_connections_accepted", COUNTER, NULL,
			    "Connections accepted by the slot's workers", NULL,
			    show_slot_accepted },
	[SLOT_RESPONSES] = { "drover_slot_responses", COUNTER, NULL,
			     "Answers of the slot's workers", NULL, show_slot_responses },
	[SLOT_SENT] = { "drover_slot_sent_bytes", COUNTER, "bytes",
			"Bytes sent by the slot's workers", NULL, show_slot_sent },
	[SLOT_RESCUED] = { "drover_slot_connections_rescued", COUNTER, NULL,
			   "Connections that the slot's workers accepted in place of others", NULL,
			   show_slot_rescued },
	[SLOT_DEATHS] = { "drover_worker_deaths", COUNTER, NULL,
			  "Workers of the slot that died, by why", NULL, show_slot_deaths },
	[SLOT_STALLS] = { "drover_worker_stalls", COUNTER, NULL,
			  "Times that others accepted because the slot's worker did not get on", NULL,
			  show_slot_stalls },
	[SLOT_READY] = { "drover_ready_list", GAUGE, NULL,
			 "Connections with work left when the last turn ended", NULL, show_slot_ready },
	[LOOP_BUSY] = { "drover_loop_busy_seconds", COUNTER, "seconds",
			"How long the slot's workers worked rather than waited", NULL, show_slot_busy },
	[LOOP_TURN] = { "drover_loop_turn_seconds", HISTOGRAM, "seconds",
			"How long a turn of the loop takes, and so whoever comes "
			"meanwhile waits",
			NULL, show_slot_turn },
	[CACHE] = { "drover_file_cache_requests", COUNTER, NULL, "What the file cache knew", NULL, NULL },
	[CACHE_EVICTIONS] = { "drover_file_cache_evictions", COUNTER, NULL,
			      "What made room for something else in the file cache", NULL, NULL },
	[READS_OFFLOADED] = { "drover_file_reads_offloaded", COUNTER, NULL,
			      "Pieces of files that a helper thread brought", NULL, NULL },
	[READS_FAILED] = { "drover_file_reads_failed", COUNTER, NULL, "Those that did not come", NULL, NULL },
	[AUTH_HASHES] = { "drover_auth_hashes", COUNTER, NULL, "Passwords hashed", NULL, NULL },
	[AUTH_FAILURES] = { "drover_auth_failures", COUNTER, NULL, "Wrong users or passwords", NULL, NULL },
	[TASKS_REFUSED] = { "drover_tasks_refused", COUNTER, NULL,
			    "Work for helper threads that found no room", NULL, NULL },
	[LOG_DROPPED] = { "drover_log_lines_dropped", COUNTER, NULL, "Lines of logs that were lost", NULL,
			  NULL },
	[OUT_OF_MEMORY] = { "drover_out_of_memory", COUNTER, NULL, "Times that memory was short", NULL,
			    NULL },
	[SYSCALLS_DENIED] = { "drover_syscalls_denied", COUNTER, NULL,
			      "System calls that are not on the workers' list", NULL, NULL },
};

const char *status_metrics_family(enum counter counter)
{
	enum family family = places[counter].family;

	if (family == FORGOTTEN)
		return NULL;
	return family == LEFT_OUT ? "" : families[family].name;
}

/* ---- the whole
 * -------------------------------------------------------------------------------------
 */

static void describe(struct status_text *out, const char *what, const char *name, const char *suffix,
		     const char *text)
{
	status_text_add(out, what);
	status_text_add(out, name);
	status_text_add(out, suffix);
	status_text_add(out, " ");
	status_text_add(out, text);
	status_text_add(out, "\n");
}

static void describe_open(enum family family, struct status_text *out)
{
	static const char *const names[] = { "gauge", "counter", "histogram", "info" };

	describe(out, "# TYPE ", families[family].name, "", names[families[family].type]);
	if (families[family].unit != NULL)
		describe(out, "# UNIT ", families[family].name, "", families[family].unit);
	describe(out, "# HELP ", families[family].name, "", families[family].help);
}

/* There a family is called as its samples are, and an info is a gauge. */
static void describe_old(enum family family, struct status_text *out)
{
	static const char *const names[] = { "gauge", "counter", "histogram", "gauge" };
	static const char *const suffixes[] = { "", "_total", "", "_info" };
	const char *suffix = suffixes[families[family].type];

	describe(out, "# HELP ", families[family].name, suffix, families[family].help);
	describe(out, "# TYPE ", families[family].name, suffix, names[families[family].type]);
}

static void show_counters(const struct view *view, enum family family, struct status_text *out)
{
	for (unsigned i = 0; i < COUNTERS; i++)
		if (places[i].family == family)
			sample_number(out,
				      (struct sample){ families[family].name, "_total", NULL, NULL,
						       places[i].labels },
				      view->counters[i]);
}

/* How many parts a family has. */
static unsigned parts_of(const struct view *view, unsigned family)
{
	return families[family].slot != NULL ? (view->slot_count + SHOW_SLOTS_A_PART - 1) / SHOW_SLOTS_A_PART
					     : 1;
}

static unsigned parts(const struct view *view)
{
	unsigned count = 0;

	for (unsigned i = FORGOTTEN + 1; i < FAMILIES; i++)
		count += parts_of(view, i);
	return count + 1; /* the end */
}

static void part(const struct view *view, unsigned index, struct status_text *out,
		 void (*describe_it)(enum family family, struct status_text *out))
{
	unsigned family = FORGOTTEN + 1;
	struct shown shown = { .view = view };

	for (; family < FAMILIES && index >= parts_of(view, family); family++)
		index -= parts_of(view, family);
	if (family == FAMILIES) {
		status_text_add(out, "# EOF\n");
		return;
	}
	shown.name = families[family].name;
	shown.part = index;
	if (index == 0)
		describe_it((enum family)family, out);
	if (families[family].slot != NULL)
		show_each_slot(&shown, out, families[family].slot);
	else if (families[family].show != NULL)
		families[family].show(&shown, out);
	else
		show_counters(view, (enum family)family, out);
}

static void part_open(const struct view *view, unsigned index, struct status_text *out)
{
	part(view, index, out, describe_open);
}

static void part_old(const struct view *view, unsigned index, struct status_text *out)
{
	part(view, index, out, describe_old);
}

const struct status_writer status_openmetrics = { parts, part_open };
const struct status_writer status_prometheus = { parts, part_old };
