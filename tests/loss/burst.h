/* What a client asks for next. */
#ifndef LOSS_BURST_H
#define LOSS_BURST_H

#include "loss/asker.h"

/* Fills the wants and the bytes to send of a client that has none. */
void burst_make(struct asker *asker);

#endif
