/* steering_cpu.c - the CPU that a connection comes in on chooses the slot: a classic BPF program, which
 * anybody may attach.
 *
 * Called by the master only. It fails where memory or the kernel does; the kernel's hash goes on choosing. */
#include "steering.h"

#include "net/hot.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	LOOK_AT_CPU = 1,                /* instructions at the beginning */
	PER_CPU = 3,
	OF_OUTSIDER = 2,
	OF_CHANCE = 5,
};

struct writing {
	struct sock_filter *at;
	unsigned count;
};

static void write_one(struct writing *w, unsigned code, uint32_t operand)
{
	w->at[w->count++] = (struct sock_filter)BPF_STMT((uint16_t)code, operand);
}

/* What is not equal skips the two that follow. */
static void write_unless_equal(struct writing *w, uint32_t operand)
{
	w->at[w->count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, operand, 0, 2);
}

/* X is the first slot of a CPU that has `several` of them, `stride` apart: any of these. */
static void write_chance(struct writing *w, unsigned several, unsigned stride)
{
	write_one(w, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
	write_one(w, BPF_ALU | BPF_MOD | BPF_K, several);
	write_one(w, BPF_ALU | BPF_MUL | BPF_K, stride);
	write_one(w, BPF_ALU | BPF_ADD | BPF_X, 0);
	write_one(w, BPF_RET | BPF_A, 0);
}

/* The first slots of the CPUs, one by one; then nobody's CPU; then CPUs that have one slot more than the
 * others, then the others. */
static void write_by_cpu(struct writing *w, const unsigned *cpus, unsigned count, unsigned slots)
{
	unsigned with_slots = count < slots ? count : slots;
	unsigned least = slots / with_slots, with_more = slots % with_slots;
	unsigned more_at = LOOK_AT_CPU + PER_CPU * with_slots + OF_OUTSIDER, least_at = more_at + OF_CHANCE;

	write_one(w, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU));
	for (unsigned slot = 0; slot < with_slots; slot++) {
		write_unless_equal(w, cpus[slot]);
		write_one(w, BPF_LDX | BPF_IMM, slot);
		write_one(w, BPF_JMP | BPF_JA, (slot < with_more ? more_at : least_at) - (w->count + 1));
	}
	write_one(w, BPF_ALU | BPF_MOD | BPF_K, slots);
	write_one(w, BPF_RET | BPF_A, 0);
	write_chance(w, least + 1, with_slots);
	write_chance(w, least, with_slots);
}

bool steering_attach_cpu(int socket_fd, const unsigned *cpus, unsigned count, unsigned slots, struct err *err)
{
	struct sock_fprog program;
	struct writing w = { 0 };
	int failed, error;

	if (count == 0 || slots == 0 || slots > HOT_SLOTS)
		return err_set(err, "no CPUs to choose by");
	w.at = calloc(LOOK_AT_CPU + PER_CPU * HOT_SLOTS + OF_OUTSIDER + 2 * OF_CHANCE, sizeof(*w.at));
	if (w.at == NULL)
		return err_set(err, "out of memory");
	write_by_cpu(&w, cpus, count, slots);
	program = (struct sock_fprog){ .len = (unsigned short)w.count, .filter = w.at };
	failed = setsockopt(socket_fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
	error = errno;
	free(w.at);
	return failed == 0 || err_sys(err, error, "SO_ATTACH_REUSEPORT_CBPF");
}
