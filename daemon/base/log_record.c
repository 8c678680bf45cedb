/* log_record.c - datagrams for syslog and the journal.  Pure, but for the time zone; called by the event log
 * and the access log, on the loop. */
#include "log_record.h"

#include "put.h"

#include <stdint.h>
#include <stdio.h>

enum { FACILITY_DAEMON = 3 << 3 };      /* LOG_DAEMON of syslog(3) */

char *log_record_syslog(char *out, int priority, time_t now, int pid)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct tm tm = { 0 };

	localtime_r(&now, &tm);
	return out + snprintf(out, LOG_RECORD_HEAD_BYTES, "<%d>%s %2d %02d:%02d:%02d drover[%d]: ",
			      FACILITY_DAEMON | (priority & 7), months[(unsigned)tm.tm_mon % 12],
			      tm.tm_mday % 32, tm.tm_hour % 24, tm.tm_min % 60, tm.tm_sec % 61, pid);
}

char *log_record_field(char *out, struct str name, struct str value)
{
	out = put(out, name);
	if (value.len == 0 || memchr(value.at, '\n', value.len) == NULL) {
		*out++ = '=';
	} else {
		*out++ = '\n';
		for (unsigned i = 0; i < 8; i++)        /* little endian, 64 bits */
			*out++ = (char)(unsigned char)(value.len >> 8 * i);
	}
	out = put(out, value);
	*out++ = '\n';
	return out;
}

/* FNV-1a with 128 bits: see draft-eastlake-fnv. */
static unsigned __int128 hash(unsigned __int128 state, const char *text)
{
	const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;

	for (; *text != '\0'; text++)
		state = (state ^ (unsigned char)*text) * prime;
	return state;
}

void log_record_id(const char *event, char id[LOG_RECORD_ID_BYTES])
{
	unsigned __int128 basis = (unsigned __int128)UINT64_C(0x6c62272e07bb0142) << 64 |
				  UINT64_C(0x62b821756295c58d);
	unsigned __int128 value = hash(hash(basis, "drover:"), event);

	snprintf(id, LOG_RECORD_ID_BYTES, "%016llx%016llx", (unsigned long long)(value >> 64),
		 (unsigned long long)value);
}
