# drover - build, run, test, install.  `make help` lists the targets.

PREFIX     ?= /usr
SYSCONFDIR ?= /etc
DESTDIR    ?=
BUILD      ?= build
RELEASE    ?= build/release
CC         ?= gcc
V          ?= 0

VERSION    := 0.1.0

comma      := ,

WARNINGS   := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
CFLAGS     ?= -O2 -g
HARDENING  ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LDHARDEN   ?= -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
# WERROR=-Werror in CI and in `make lint`: a newer compiler's new warning must not break a user's build
WERROR     ?=

# Unless somebody sets CFLAGS: what nobody calls is left out; what no request passes through is compiled for size (COLD,
# below), and where no worker runs without the tables by which a crash is traced (debuggers have their own).
ifeq ($(origin CFLAGS),file)
SMALL      := -ffunction-sections -fdata-sections -fno-plt
LDSMALL    := -Wl,--gc-sections
FOR_SIZE   := -Os
NO_TRACE   := -fno-asynchronous-unwind-tables -fno-unwind-tables
endif
# Relocations take a tenth of the space when they are packed, which linkers know since binutils 2.38, and glibc since 2.36.
PACKED_IS   = printf '\#include <features.h>\n\#if !__GLIBC_PREREQ(2, 36)\n\#error old\n\#endif\nint main(void){return 0;}' | \
	      $(CC) -pie -fPIE -Wl,-z,pack-relative-relocs -Wl,--fatal-warnings -o /dev/null -x c - 2>/dev/null && echo yes
LDSMALL    += $(if $(filter yes,$(shell $(PACKED_IS))),-Wl$(comma)-z$(comma)pack-relative-relocs)

# `make release` only, for what requests pass through (HOT, below). TRAIN=1 makes a program that notes which way it goes;
# with PROFILE, the directory where such a one was built and has run, the compiler goes by these notes, over all of these
# files at once. gcc looks for them beside the object.
IS_CLANG   := $(findstring clang,$(shell $(CC) --version | head -n 1))
ifdef TRAIN
OF_HOT     := $(if $(IS_CLANG),-fprofile-instr-generate,-fprofile-generate -fprofile-update=prefer-atomic)
LDSMALL    += $(if $(IS_CLANG),-fprofile-instr-generate,-fprofile-generate)
endif
ifdef PROFILE
OF_HOT     := $(if $(IS_CLANG),-flto -fprofile-instr-use=$(PROFILE)/profile -Wno-profile-instr-unprofiled, \
		-flto=auto -fprofile-use -fprofile-correction -Wno-missing-profile)
LDSMALL    += $(if $(IS_CLANG),-flto -fuse-ld=lld,-flto=auto)
endif

ALL_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DDROVER_VERSION='"$(VERSION)"' -Idaemon $(WARNINGS) $(WERROR) $(CFLAGS) $(SMALL) $(HARDENING)
# The program of `accept = "directed"` is built where clang, bpftool and libbpf are there; STEERING=no leaves it out.
STEERING   ?= yes
BPF_CLANG  ?= clang
# one that runs: where each kernel has its own, the one in PATH is a script that may refuse
BPFTOOL    := $(shell PATH="$$PATH:/usr/sbin:/sbin"; bpftool version >/dev/null 2>&1 && command -v bpftool)
LIBBPF_IS   = printf '\#include <bpf/libbpf.h>\n\#if LIBBPF_MAJOR_VERSION < 1\n\#error old\n\#endif\n' | \
	      $(CC) -fsyntax-only -x c - 2>/dev/null && echo yes
ifneq ($(STEERING),yes)
NO_STEERING := STEERING=$(STEERING)
else ifeq ($(shell command -v $(BPF_CLANG) || true),)
NO_STEERING := no clang
else ifeq ($(BPFTOOL),)
NO_STEERING := no bpftool
else ifneq ($(shell $(LIBBPF_IS)),yes)
NO_STEERING := no libbpf 1.0
endif
WITH_STEERING := $(if $(NO_STEERING),no,yes)

# The filter of system calls is built where libseccomp (2.5 or later) is there; SECCOMP=no leaves it out.
SECCOMP    ?= yes
LIBSECCOMP_IS = printf '\#include <seccomp.h>\nint a = SCMP_FLTATR_CTL_OPTIMIZE;\n' | \
	      $(CC) -fsyntax-only -x c - 2>/dev/null && echo yes
ifneq ($(SECCOMP),yes)
NO_SECCOMP := SECCOMP=$(SECCOMP)
else ifneq ($(shell $(LIBSECCOMP_IS)),yes)
NO_SECCOMP := no libseccomp 2.5
endif

STEERING_FLAGS := $(if $(NO_STEERING),,-DWITH_STEERING -isystem $(BUILD)/daemon/net)
DROVER_LIBS := $(if $(NO_STEERING),,-lbpf) $(if $(NO_SECCOMP),,-lseccomp) -lconfig -lsystemd -ljansson -lcap -lcrypt -lsodium
CTL_LIBS   := -ljansson

QUIET_0 := @
QUIET   := $(QUIET_$(V))

BASE     := $(wildcard daemon/base/*.c)
# what the kernel runs is no part of the daemon's objects
IN_KERNEL := $(wildcard daemon/*/*.bpf.c)
PARTS    := $(filter-out $(IN_KERNEL),$(wildcard daemon/config/*.c daemon/net/*.c daemon/ipc/*.c daemon/http/*.c \
		       daemon/service/*.c daemon/master/*.c daemon/worker/*.c))
CTL      := $(wildcard daemon/ctl/*.c)

# What a request passes through; the rest is for size.
HOT      := $(wildcard $(addprefix daemon/base/,arena.c hash.c list.c loop.c pool.c slab.c str*.c timer.c watch.c) \
	    $(addprefix daemon/net/,clients.c conn*.c owed.c plain.c) \
	    $(addprefix daemon/http/,access_*.c conditional.c date.c exchange.c express*.c fields.c header_id.c \
		       http1.c http1_body.c http1_head.c http1_send.c lines*.c negotiate.c parse.c ready*.c reason.c \
		       response.c route.c secret.c target.c) \
	    $(addprefix daemon/service/,files.c files_answer.c files_cache.c files_find.c files_outcome.c) \
	    daemon/worker/accept.c)
COLD     := $(patsubst %.c,$(BUILD)/%.o,daemon/main.c $(filter-out $(HOT),$(PARTS) $(BASE)) $(CTL))
UNTRACED := $(filter $(addprefix $(BUILD)/daemon/,config/% master/% ctl/%),$(COLD))
$(COLD): ALL_CFLAGS += $(FOR_SIZE)
$(UNTRACED): ALL_CFLAGS += $(NO_TRACE)
$(patsubst %.c,$(BUILD)/%.o,$(HOT)): ALL_CFLAGS += $(OF_HOT)

DROVER_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,daemon/main.c $(PARTS) $(BASE)) $(BUILD)/daemon/service/page/document.o
# FAULT=1: calls of the daemon's objects go through tests/fault/wrap.c
ifdef FAULT
DROVER_OBJECTS += $(BUILD)/tests/fault/wrap.o
# private: not what the page is made with
$(BUILD)/drover: private LDFLAGS += $(shell sed -n 's/^\(CALL\|HOOK\)(\([a-z0-9_]*\)).*/-Wl,--wrap=\2/p' tests/fault/calls.h)
endif
CTL_OBJECTS    := $(patsubst %.c,$(BUILD)/%.o,$(CTL) $(addprefix daemon/base/,arena.c err.c escape.c fd.c must.c str.c) \
		  daemon/config/field.c $(addprefix daemon/ipc/,check.c control.c listed.c metrics.c rights.c slow.c) daemon/net/addr.c)
# the table of settings with its help, and what checks and shows values
CTL_OBJECTS    += $(BUILD)/man/daemon/config/config.o $(patsubst %,$(BUILD)/daemon/%.o,config/setting config/suggest \
		  config/media config/problems config/credential base/names base/log_line base/log_record)
MAN_PAGES      := $(wildcard man/*.[78]) $(BUILD)/man/drover.conf.5
TEST_SOURCES   := $(wildcard tests/unit/*.c tests/model/*.c)
TEST_PROGRAMS  := $(patsubst %.c,$(BUILD)/%,$(filter %_test.c,$(TEST_SOURCES)))
BENCH_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
LOSS_CLIENT    := $(BUILD)/tests/loss/client
# the daemon's own way of a request, driven by a fixed sequence of them: for counting, and to train the compiler
REPLAY         := $(BUILD)/tests/gate/replay
TEST_SUPPORT   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_test.c,$(TEST_SOURCES)))

# a drover that cannot take over, for upgrades: every function that tests/upgrade/broken.c wraps
BROKEN         := $(BUILD)/tests/upgrade/broken
wraps_of        = $(shell grep -o '__wrap_[a-z_]*' $(1) | sort -u | sed 's/__wrap_/-Wl,--wrap=/')
BROKEN_WRAPS   := $(call wraps_of,tests/upgrade/broken.c)
# a drover with services that stall, burn, crash and leak on request, and that try to get out of their worker
AIDED          := $(BUILD)/tests/aids/drover
AIDED_OBJECTS   = $(patsubst %/service/registry.o,$(BUILD)/tests/aids/registry.o,$(DROVER_OBJECTS)) \
		  $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/aids/registry.c,$(wildcard tests/aids/*.c)))
UPGRADE_MODEL_WRAPS := $(call wraps_of,tests/model/upgrade_model_test.c)

FUZZ_SUPPORT   := $(BUILD)/tests/fuzz/fuzz.o $(BUILD)/tests/fuzz/fuzz_message.o
FUZZ_PROGRAMS  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/*_fuzz.c))
# `make check` replays the corpora; tests/tools/fuzz leaves this out and links libFuzzer instead
FUZZ_MAIN      := $(BUILD)/tests/fuzz/replay.o
# what clang-tidy looks at: every source, again when it or a header of it changed
TIDIED         := $(patsubst %.c,$(BUILD)/%.tidy,$(filter-out $(IN_KERNEL),$(wildcard daemon/*.c daemon/*/*.c man/*.c)) \
		       $(TEST_SOURCES) $(wildcard tests/bench/*.c tests/fuzz/*.c tests/gate/*.c tests/loss/*.c \
		       tests/upgrade/*.c tests/aids/*.c))

# objects of the test programs are kept, and make has no last word about them
.SECONDARY:

.PHONY: FORCE figures gate all deps run check install clean asan lint format help mutants loss unit unit-programs
.PHONY: release bench fuzz fuzz-programs operated-programs tidy
.PHONY: analyze million attacks fault fault-build fleet soak clients differential loss-compare loss-timed
all: $(BUILD)/drover $(BUILD)/droverctl $(MAN_PAGES)

help:
	@echo "make deps     install what the build and the tests need (Debian packages)"
	@echo "make          build $(BUILD)/drover and $(BUILD)/droverctl"
	@echo "make release  build build/release/drover, trained by a replay of requests, for packages"
	@echo "make run      serve the bundled site at http://127.0.0.1:8080"
	@echo "make check    every test, the short cells of the loss table (DROVER_SKIP=name,... leaves some out)"
	@echo "make unit     the unit and model tests alone"
	@echo "make gate     user instructions per request by callgrind, against tests/gate/baseline"
	@echo "make asan     the unit, model and black-box tests under ASan and UBSan"
	@echo "make fault    fail every call of every kind once, at start, in traffic, in reloads, at stop; signals too"
	@echo "make fuzz     look for inputs that break what must hold; SECONDS=60 for each target, TARGET=name: one;"
	@echo "              HOURS=8: all share the processors for so long; FUZZ=--coverage: what the inputs reach"
	@echo "make loss     the full loss tables: the operator at work (LOSS=\"--requests 50000 upgrade\": other numbers,"
	@echo "              some cells), workers in trouble (BAD=\"--requests 9000 kill\")"
	@echo "make loss-compare  the same clients while other servers are operated (tests/tools/deps peers)"
	@echo "make loss-timed    how long old workers stay, how long answers take meanwhile, up to 100,000 connections;"
	@echo "              how long new ones wait while a worker is stopped or stalls, beside nginx and haproxy;"
	@echo "              how 20,000 fall to four workers in each accept mode; three times the load that one can take"
	@echo "make fleet    what clients of three drovers behind HAProxy lose while these are restarted, upgraded, killed"
	@echo "make soak     30 minutes of everything at once (SOAK=\"--minutes 300\": longer, that alone), then 1,000 reloads,"
	@echo "              1,000 replacements and 200 upgrades with 10,000 idle connections, then 10,000 slow clients:"
	@echo "              nothing may grow, nobody may notice"
	@echo "make attacks  what normal clients notice of each attack, about 8 minutes (ATTACKS=\"--only ranges\": some)"
	@echo "make clients  real clients: curl, wget, aria2, zsync, Chromium (tests/tools/deps clients)"
	@echo "make differential  the same requests to drover and to nginx, and why they differ"
	@echo "make figures  memory of an idle connection, what reloads leave behind"
	@echo "make million  10,000 to 1,000,000 idle connections, as far as the machine goes: what they cost, and whether"
	@echo "              they notice a reload, a replacement, an upgrade (MILLION=\"100000\": so many)"
	@echo "make bench    what it costs, beside other servers and a floor: CPU per request, system calls, memory; 15 minutes, as root"
	@echo "make mutants  break the code on purpose, patch by patch, and see that a test notices"
	@echo "make lint     include direction, sizes; gcc, clang, clang-tidy, shellcheck, mandoc without a warning"
	@echo "make analyze  gcc -fanalyzer and cppcheck; what is wrong of it has its reason in tests/tools/analyze.known"
	@echo "make format   clang-format the sources that differ from the house style"
	@echo "make install  DESTDIR=... PREFIX=... (default /usr)"
	@echo "make clean"

$(BUILD)/drover: $(DROVER_OBJECTS)
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDHARDEN) $(LDSMALL) $(LDFLAGS) -o $@ $^ $(DROVER_LIBS)
ifdef NO_STEERING
	@echo "  NOTE  $@ is built without steering ($(NO_STEERING)): accept = \"directed\" falls back to \"reuseport\""
endif
ifdef NO_SECCOMP
	@echo "  NOTE  $@ is built without a filter of system calls ($(NO_SECCOMP)): sandbox.seccomp does nothing"
endif

$(BUILD)/droverctl: $(CTL_OBJECTS)
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDHARDEN) $(LDSMALL) $(LDFLAGS) -o $@ $^ $(CTL_LIBS)

# the settings in drover.conf(5) are printed by a program that has the daemon's own table
HELPED := $(patsubst %.c,$(BUILD)/%.o,$(shell grep -l '\bHELP."' daemon/*/*.c))
HELP_OBJECTS := $(patsubst $(BUILD)/%,$(BUILD)/man/%,$(HELPED))
$(HELP_OBJECTS): ALL_CFLAGS += -DWITH_HELP
$(HELP_OBJECTS): $(BUILD)/man/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/man/settings: $(BUILD)/man/settings.o $(HELP_OBJECTS) $(filter-out %/main.o $(HELPED),$(DROVER_OBJECTS))
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $^ $(DROVER_LIBS)

$(BUILD)/man/drover.conf.5: man/drover.conf.5.in $(BUILD)/man/settings
	@echo "  MAN   $@"
	$(QUIET)$(BUILD)/man/settings >$@.settings
	$(QUIET)sed -e '/@SETTINGS@/{' -e 'r $@.settings' -e 'd' -e '}' $< >$@.new
	$(QUIET)mv $@.new $@

# the page of the status service, with the hashes of what is in it; what makes it is a program, also when fuzzers are built
PAGE := $(addprefix daemon/service/page/page.,html css js)

$(BUILD)/daemon/service/page/pack: $(BUILD)/daemon/service/page/pack.o
	$(QUIET)$(CC) $(CFLAGS) $(filter-out -fsanitize=fuzzer,$(LDFLAGS)) -pie -o $@ $^ -lsodium

$(BUILD)/daemon/service/page/document.c: $(PAGE) $(BUILD)/daemon/service/page/pack
	@echo "  PAGE  $@"
	$(QUIET)$(BUILD)/daemon/service/page/pack $(PAGE) >$@.new
	$(QUIET)mv $@.new $@

$(BUILD)/daemon/service/page/document.o: $(BUILD)/daemon/service/page/document.c Makefile
	$(QUIET)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.c Makefile
	@echo "  CC    $<"
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# what the compiler's own headers include, where the target is no machine
SYSTEM_HEADERS = $(shell $(BPF_CLANG) -v -E -x c /dev/null 2>&1 | \
		   sed -n '/^\#include </,/^End/s|^ \(/.*\)|-idirafter \1|p')

$(BUILD)/%.bpf.o: %.bpf.c Makefile
	@echo "  BPF   $<"
	@mkdir -p $(@D)
	$(QUIET)$(BPF_CLANG) -target bpf -ffreestanding -std=gnu17 -O2 -g -Wall -Wextra -Wshadow $(WERROR) -Idaemon \
		$(SYSTEM_HEADERS) -MMD -MP -c -o $@.new $<
	$(QUIET)$(BPFTOOL) gen object $@ $@.new        # leaves out what is for debuggers
	$(QUIET)rm $@.new

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(QUIET){ echo '/* NOLINTBEGIN */'; $(BPFTOOL) gen skeleton $< name $(notdir $*)_bpf && echo '/* NOLINTEND */'; } >$@.new
	$(QUIET)mv $@.new $@

# change when what the objects in the build directory were made with does
$(BUILD)/with-steering: FORCE
	@mkdir -p $(@D)
	@echo $(WITH_STEERING) | cmp -s - $@ || echo $(WITH_STEERING) >$@

$(BUILD)/with-seccomp: FORCE
	@mkdir -p $(@D)
	@echo '$(NO_SECCOMP)' | cmp -s - $@ || echo '$(NO_SECCOMP)' >$@

OF_SECCOMP := $(addprefix $(BUILD)/,daemon/base/syscalls.o tests/fault/wrap.o tests/unit/syscalls_test.o)
$(OF_SECCOMP): $(BUILD)/with-seccomp
ifndef NO_SECCOMP
$(OF_SECCOMP): ALL_CFLAGS += -DWITH_SECCOMP
endif

$(BUILD)/daemon/net/steering.o $(BUILD)/tests/fault/wrap.o: $(BUILD)/with-steering
ifndef NO_STEERING
$(BUILD)/daemon/net/steering.o: $(BUILD)/daemon/net/steering.skel.h
$(BUILD)/daemon/net/steering.o $(BUILD)/tests/fault/wrap.o: ALL_CFLAGS += $(STEERING_FLAGS)
endif

# check's macros compare size_t with int; everything else is as strict as the daemon
$(BUILD)/tests/%.o: ALL_CFLAGS += -Wno-sign-conversion -Itests

# bound at once, as the daemon is: what binds a name later saves registers, and with them what is in a password
$(BUILD)/tests/%_test: $(BUILD)/tests/%_test.o $(TEST_SUPPORT) $(filter-out %/main.o,$(DROVER_OBJECTS))
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDFLAGS) -pie -Wl,-z,now -o $@ $^ $(DROVER_LIBS) -lcheck -lsubunit -lrt -lm -lpthread

# the tool as it is, but for its main
$(BUILD)/tests/fuzz/answer_fuzz $(BUILD)/tests/fuzz/import_fuzz: $(filter-out %/droverctl.o,$(patsubst %.c,$(BUILD)/%.o,$(CTL)))

$(BUILD)/tests/fuzz/%_fuzz: $(BUILD)/tests/fuzz/%_fuzz.o $(FUZZ_SUPPORT) $(FUZZ_MAIN) $(TEST_SUPPORT) \
			    $(filter-out %/main.o,$(DROVER_OBJECTS))
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $^ $(DROVER_LIBS)

# its processes are not there: every function that it wraps
$(BUILD)/tests/unit/top_view_test: $(BUILD)/daemon/ctl/top_view.o $(BUILD)/daemon/ctl/ctl.o
$(BUILD)/tests/model/upgrade_model_test: LDFLAGS += $(UPGRADE_MODEL_WRAPS)

$(BROKEN): $(BUILD)/tests/upgrade/broken.o $(DROVER_OBJECTS)
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDHARDEN) $(LDSMALL) $(LDFLAGS) $(BROKEN_WRAPS) -o $@ $^ $(DROVER_LIBS)

$(AIDED): $(AIDED_OBJECTS)
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDHARDEN) $(LDSMALL) $(LDFLAGS) -o $@ $^ $(DROVER_LIBS)

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $^

# the clock is the program's, and it says what it was built with
$(BUILD)/tests/gate/replay.o: ALL_CFLAGS += -DGATE_FLAGS='"$(CFLAGS) $(HARDENING)"'
$(REPLAY): $(BUILD)/tests/gate/replay.o $(filter-out %/main.o,$(DROVER_OBJECTS))
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDHARDEN) $(LDSMALL) $(LDFLAGS) $(call wraps_of,tests/gate/replay.c) -o $@ $^ $(DROVER_LIBS)

# the loop and its timers are the daemon's; it shares nothing else with what it tests
$(LOSS_CLIENT): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/loss/*.c) \
		  $(addprefix daemon/base/,loop.c timer.c fd.c err.c))
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $^ -ljansson

$(BUILD)/%.tidy: $(BUILD)/%.o .clang-tidy
	@echo "  TIDY  $*.c"
	$(QUIET)clang-tidy --quiet $*.c -- -std=gnu17 -D_GNU_SOURCE -DDROVER_VERSION='"$(VERSION)"' -Idaemon -Itests \
		-DGATE_FLAGS='""' $(STEERING_FLAGS) $(if $(NO_SECCOMP),,-DWITH_SECCOMP) >$@.log 2>&1 || { cat $@.log >&2; exit 1; }
	$(QUIET)touch $@

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

deps:
	tests/tools/deps

# Started by root, workers are nobody, who may not enter a checkout below /root: then a copy is served.
run: all
	@[ "$$(id -u)" -ne 0 ] || exec tests/tools/serve-copy conf/site $(BUILD)/drover -l 127.0.0.1:8080; \
	exec $(BUILD)/drover -r conf/site -l 127.0.0.1:8080

unit: $(TEST_PROGRAMS)
	tests/tools/run unit

check: all unit-programs fuzz-programs
	tests/tools/run all

clean:
	rm -rf $(BUILD)

# builds the test programs without running them
unit-programs: $(TEST_PROGRAMS) operated-programs

# what the other tests run beside the daemon
operated-programs: $(BENCH_PROGRAMS) $(LOSS_CLIENT) $(BROKEN) $(AIDED) $(REPLAY)

fuzz-programs: $(FUZZ_PROGRAMS)

# SECONDS is the shell's word too: it counts only when it is given on the command line
fuzz:
	tests/tools/fuzz $(if $(filter command line,$(origin SECONDS)),--seconds=$(SECONDS)) \
		$(if $(HOURS),--hours=$(HOURS)) $(FUZZ) $(TARGET)

# What packages install: the compiler is trained with the requests of tests/gate/scenarios.h.
release:
	$(QUIET)$(MAKE) -s BUILD=$(RELEASE)/train TRAIN=1 $(RELEASE)/train/tests/gate/replay
	$(QUIET)find $(RELEASE)/train -name '*.gcda' -o -name '*.profraw' | xargs -r rm
	$(QUIET)LLVM_PROFILE_FILE=$(RELEASE)/train/profraw $(RELEASE)/train/tests/gate/replay all 2000 >/dev/null
	$(QUIET)cd $(RELEASE)/train && find daemon -name '*.gcda' -exec cp --parents -t .. {} +
	$(QUIET)[ -z "$(IS_CLANG)" ] || llvm-profdata merge -o $(RELEASE)/train/profile $(RELEASE)/train/profraw
	$(QUIET)$(MAKE) -s BUILD=$(RELEASE) PROFILE=$(RELEASE)/train all

gate: $(REPLAY)
	tests/gate/gate $(GATE)

figures: all
	tests/bench/figures.py

million: all
	tests/bench/million.py $(MILLION)

# BENCH="--scenario 1k --rounds 30" and the like; tests/bench/bench.py --help
bench: all $(BENCH_PROGRAMS)
	DROVER_BUILD=$(BUILD) tests/bench/bench.py $(BENCH)

loss: all $(LOSS_CLIENT) $(AIDED)
	tests/loss/loss.py $(LOSS)
	tests/loss/bad.py $(BAD)

# COMPARE="--server nginx drover --action stop" and the like; tests/loss/compare.py --help
loss-compare: all $(LOSS_CLIENT)
	tests/loss/compare.py $(COMPARE)
	$(if $(COMPARE),,tests/loss/compare.py --trouble)

# WAITS="--rounds 1 --server nginx" and the like; tests/loss/waits.py --help. OVERLOAD="--seconds 10": the same
loss-timed: all $(LOSS_CLIENT) $(BENCH_PROGRAMS) $(AIDED)
	tests/loss/mixes.py --timed
	tests/loss/compare.py --latency $(COMPARE)
	tests/loss/waits.py $(WAITS)
	tests/loss/balance.py
	tests/loss/overload.py $(OVERLOAD)
	tests/bench/cold.py

# FLEET="killed" and the like; tests/fleet/fleet.py --help
fleet: all $(LOSS_CLIENT)
	tests/fleet/fleet.py $(FLEET)

# SOAK="--minutes 300 --seed 7" and the like; tests/loss/soak.py --help
soak: all $(LOSS_CLIENT) $(AIDED)
	tests/loss/soak.py $(SOAK)
	$(if $(SOAK),,tests/loss/reloads.py)
	$(if $(SOAK),,tests/loss/slow.py)

# ATTACKS="--only ranges --seconds 20" and the like; tests/attacks/attacks.py --help
attacks: all $(BENCH_PROGRAMS)
	tests/attacks/attacks.py $(ATTACKS)

# what they need is not in `make deps`: tests/tools/deps clients
clients: all
	tests/clients/clients.py $(CLIENTS)

differential: all
	tests/differential/differential.py $(ROWS)
	tests/differential/imported.py $(ROWS)

SANITIZE := CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
	    HARDENING=-fPIE

asan:
	$(QUIET)$(MAKE) -s BUILD=build/asan $(SANITIZE) all unit-programs fuzz-programs >/dev/null
	@# what was freed is kept by the sanitizer, and some tests measure memory: not much of it
	ASAN_OPTIONS=quarantine_size_mb=1 DROVER_BUILD=build/asan tests/tools/run asan

# the daemon in which any call can be made to fail, under the sanitizers
fault-build:
	$(QUIET)$(MAKE) -s BUILD=build/fault FAULT=1 $(SANITIZE) build/fault/drover build/fault/droverctl >/dev/null

fault:
	tests/fault/fault.py

# the pages, too: the generated one is in the build directory
tidy: $(TIDIED) $(MAN_PAGES)
	mandoc -Tlint -W warning $(MAN_PAGES)

LINT := $(MAKE) -s -j$(shell nproc) WERROR=-Werror

# the steering program's skeleton is built first: a source includes it
analyze: $(if $(NO_STEERING),,$(BUILD)/daemon/net/steering.skel.h)
	tests/tools/analyze -D_GNU_SOURCE -DDROVER_VERSION='"$(VERSION)"' -Idaemon -Itests $(STEERING_FLAGS)

lint: analyze
	tests/tools/lint
	$(QUIET)$(LINT) BUILD=build/lint-gcc CC=gcc all unit-programs fuzz-programs >/dev/null
	$(QUIET)$(LINT) BUILD=build/lint-clang CC=clang all unit-programs fuzz-programs tidy >/dev/null

format:
	tests/tools/format

# MUTANTS="--jobs 4 --since main" and the like; tests/tools/mutants --help
mutants:
	tests/tools/mutants $(MUTANTS)

# ---- installation: staged below DESTDIR; a configuration that is there already is left alone ----

PLACES    := -e '1d' -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g'
ONE_UNIT  := -e 's|@NAME@|drover|g' -e 's|@CONFIG@|drover|' -e 's|@OF_INSTANCE@||'
INSTANCES := -e 's|@NAME@|drover-%i|g' -e 's|@CONFIG@|%i|' -e 's|@OF_INSTANCE@| (%i)|'
UNITS     := $(DESTDIR)$(PREFIX)/lib/systemd/system
SITE      := $(PREFIX)/share/drover/site
# in folders as here, so that their links lead somewhere
DOCUMENTS := $(wildcard *.md) LICENSE tests/MEASUREMENTS.md $(wildcard tests/bench/*.svg man/*.png conf/*/*.json conf/prometheus/*.yml conf/haproxy/*.cfg)
MAN_8     := $(filter %.8,$(MAN_PAGES))
MAN_5     := $(filter %.5,$(MAN_PAGES))
MAN_7     := $(filter %.7,$(MAN_PAGES))

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SYSCONFDIR)/drover \
		$(DESTDIR)$(SITE) $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/doc/drover \
		$(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/man/man7 \
		$(DESTDIR)$(PREFIX)/share/man/man5
	install -m 755 $(BUILD)/drover $(DESTDIR)$(PREFIX)/sbin/drover
	install -m 755 $(BUILD)/droverctl $(DESTDIR)$(PREFIX)/bin/droverctl
	cp -R conf/site/. $(DESTDIR)$(SITE)
	chmod -R u=rwX,go=rX $(DESTDIR)$(SITE)
	if [ -n "$(DESTDIR)" ] || [ ! -e $(SYSCONFDIR)/drover/drover.conf ]; then \
		sed 's|root = "site"|root = "$(SITE)"|' conf/drover.conf \
			>$(DESTDIR)$(SYSCONFDIR)/drover/drover.conf && \
		chmod 644 $(DESTDIR)$(SYSCONFDIR)/drover/drover.conf; \
	fi
	sed $(PLACES) $(ONE_UNIT) systemd/drover.service >$(UNITS)/drover.service
	sed $(PLACES) $(INSTANCES) systemd/drover.service >$(UNITS)/drover@.service
	cp systemd/drover.socket $(UNITS)/drover.socket
	chmod 644 $(UNITS)/drover.service $(UNITS)/drover@.service $(UNITS)/drover.socket
	for page in $(MAN_8); do install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man8/ || exit 1; done
	for page in $(MAN_5); do install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man5/ || exit 1; done
	for page in $(MAN_7); do install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man7/ || exit 1; done
	install -D -m 644 conf/completion/droverctl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/droverctl
	install -D -m 644 conf/completion/_droverctl $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_droverctl
	install -D -m 644 conf/completion/droverctl.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/droverctl.fish
	for page in $(DOCUMENTS); do install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/doc/drover/$$page || exit 1; done
