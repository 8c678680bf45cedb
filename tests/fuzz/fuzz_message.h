/* Channel messages made from an input, good ones and bad ones, with descriptors. */
#ifndef FUZZ_FUZZ_MESSAGE_H
#define FUZZ_FUZZ_MESSAGE_H

#include "fuzz.h"

#include "ipc/channel.h"

/* A canonical text that is whole. */
extern const char fuzz_message_config[];

/* Opens what messages carry.  Before the first one. */
void fuzz_message_set_up(void);

/* Takes a record off the input and sends it: a type, flags (fuzz_message.c), a generation, a length, a body.
 * Returns how many turns the receiver should have. */
unsigned fuzz_message_send(int fd, struct input *input);

/* The message that was sent last. */
const struct message *fuzz_message_last(void);

#endif
