/* What makes an answer one that can be given again.
 *
 * A service that fills in an answer which does not depend on who asks says so with a `lasting`: as long as
 * it lasts, whoever asks for the same (method, authority, target, and what of Accept-Encoding matters)
 * gets the same bytes. It is over when what the answer was made from has changed; whoever made it hears of
 * that (the kernel tells, base/watch.h) or, where nobody tells, is asked each time. It never begins again. */
#ifndef HTTP_LASTING_H
#define HTTP_LASTING_H

#include <stdbool.h>
#include <stddef.h>

struct lasting {
	unsigned pins;                  /* who has it: its maker, responses, ready answers */
	bool over;
	void (*look)(struct lasting *lasting);  /* sets `over` where that is so; NULL: its maker is told */
	void (*release)(struct lasting *lasting);       /* nobody has it any more; NULL: it is static */
};

/* True when an answer that was made from it can be given now. May make a system call where there is
 * `look`. */
static inline bool lasting_lasts(struct lasting *lasting)
{
	if (lasting->look != NULL && !lasting->over)
		lasting->look(lasting);
	return !lasting->over;
}

static inline struct lasting *lasting_pin(struct lasting *lasting)
{
	lasting->pins++;
	return lasting;
}

/* NULL is ignored. */
static inline void lasting_unpin(struct lasting *lasting)
{
	if (lasting != NULL && --lasting->pins == 0 && lasting->release != NULL)
		lasting->release(lasting);
}

#endif
