/* Giving up what a process does not need. */
#ifndef BASE_PRIVILEGE_H
#define BASE_PRIVILEGE_H

#include "err.h"

/* Becomes the user and the group (and no other group) when `change`; then, in any case, gives up every
 * capability (permitted, effective, inheritable, ambient, and bounding where allowed) and sets
 * PR_SET_NO_NEW_PRIVS. False with `err`: the process must not go on. */
bool privilege_drop(bool change, unsigned uid, unsigned gid, struct err *err);

/* Puts CAP_BPF into effect, if the process is permitted to have it; and out of it again, where it stays
 * permitted. For the thread that calls, and around the calls that need it. Both keep quiet: what was
 * wanted says EPERM. */
void privilege_raise_bpf(void);
void privilege_lower_bpf(void);

/* Makes all memory that is or was writable refuse to become executable (PR_SET_MDWE), of this process and its
 * children. privilege_can_seal: can it? False with `err`: the kernel cannot, or did not. */
bool privilege_can_seal(struct err *err);
bool privilege_seal(struct err *err);

/* May this process leave core dumps, and may those of its user look into it by /proc and ptrace?  It is asked
 * again after every change of user, which answers no. */
void privilege_show(bool may);

/* Raises the soft limit of open files to `wanted`, or to the hard limit when that is 0 or lower; the hard
 * limit is lowered to the same, so that nothing exceeds it. Returns what is in force. */
unsigned long privilege_open_files(unsigned long wanted);

#endif
