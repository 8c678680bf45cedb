/* A protocol with several exchanges at once on a connection, answered in the order in which they get ready:
 * each line is a path, each answer its body and a line end. At most two at a time; an empty line ends the
 * connection. */
#ifndef FAKE_PROTOCOL_H
#define FAKE_PROTOCOL_H

#include "net/protocol.h"

extern const struct protocol protocol_lines;

#endif
