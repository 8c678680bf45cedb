/* The status of the service as metrics: OpenMetrics 1.0, and the text format 0.0.4 of Prometheus for who
 * does not know that. drover-metrics(7) describes every family. */
#ifndef SERVICE_STATUS_METRICS_H
#define SERVICE_STATUS_METRICS_H

#include "status_desk.h"

extern const struct status_writer status_openmetrics, status_prometheus;

/* The family that shows the counter; "" when it is left out because others add up to it; NULL: it was
 * forgotten. */
const char *status_metrics_family(enum counter counter);

#endif
