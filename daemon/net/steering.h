/* Steering: in the kernel, which slot's socket gets a new connection. By an eBPF program that knows the
 * hot lines (`accept = "directed"`, steering.bpf.c), or by the CPU that the connection comes in on
 * ("cpu").
 *
 * The master's alone: who holds the descriptors of a program or of an array can do with them what he
 * likes, so a worker gets the mapping of the hot lines and none of these. All of them are close-on-exec.
 *
 * A program belongs to a group: the sockets with SO_REUSEPORT of one address. CAP_BPF is in effect only
 * during the calls that need it, provided it is permitted; attaching and detaching need none. */
#ifndef NET_STEERING_H
#define NET_STEERING_H

#include "base/err.h"

#include <stdbool.h>

/* False: this drover was built without clang, bpftool or libbpf, and "directed" is not to be had. */
bool steering_built(void);

/* Fresh hot lines that a program can read; hot_map() maps them. The descriptor, or -1 with the reason. */
int steering_memory(struct err *err);

/* What one listener needs. -1: not there. */
struct steering {
	int program;                    /* not needed any more once it is attached */
	int array;                      /* the sockets, by their slots; the program holds it too */
};

/* Loads a program for one listener, over the hot lines behind `hot_fd` and an array of its own, or `array`
 * when that is not -1 (what an upgrade passed on; it stays the caller's, too). On false nothing is open.
 *
 * An array is kept as long as its sockets live, whatever becomes of the program: a socket is in one array,
 * and for a moment still in one that has just been closed. */
bool steering_load(struct steering *steering, int hot_fd, int array, struct err *err);

/* Puts a socket that listens into the array, in place of what was there; one that is there already stays. */
bool steering_seat(int array, unsigned slot, int socket_fd, struct err *err);

/* From now on the program chooses for the whole group that the socket is in; it replaces the one before. */
bool steering_attach(int program, int socket_fd, struct err *err);

/* From now on the CPU chooses for the whole group: the slot i of `slots` (1 to HOT_SLOTS) whose worker is
 * pinned to cpus[i % count], where a connection came in; by chance among several, and CPU modulo `slots` when
 * there is none. No CPU is named twice. It needs no privilege.
 *
 * It chooses by the place in the group, in the order of listen(2), and not by an array: slot 0's socket must
 * have been the first to listen, and so on; as none is closed, it stays so. */
bool steering_attach_cpu(int socket_fd, const unsigned *cpus, unsigned count, unsigned slots,
			 struct err *err);

/* The kernel's hash chooses for the group again; fine when nothing was attached. */
bool steering_detach(int socket_fd, struct err *err);

void steering_close(struct steering *steering);

#endif
