# drover - build, run, test, install.  `make help` lists the targets.

PREFIX     ?= /usr
SYSCONFDIR ?= /etc
DESTDIR    ?=
BUILD      ?= build
CC         ?= gcc
V          ?= 0

VERSION    := 0.1.0

WARNINGS   := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
CFLAGS     ?= -O2 -g
HARDENING  ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LDHARDEN   ?= -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
# WERROR=-Werror in CI and in `make lint`: a newer compiler's new warning must not break a user's build
WERROR     ?=

ALL_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DDROVER_VERSION='"$(VERSION)"' -Idaemon $(WARNINGS) $(WERROR) $(CFLAGS) $(HARDENING)
DROVER_LIBS := -lconfig -lsystemd -ljansson -lcap
CTL_LIBS   := -ljansson

QUIET_0 := @
QUIET   := $(QUIET_$(V))

BASE     := $(wildcard daemon/base/*.c)
PARTS    := $(wildcard daemon/config/*.c daemon/net/*.c daemon/ipc/*.c daemon/http/*.c daemon/service/*.c \
		       daemon/master/*.c daemon/worker/*.c)
CTL      := $(wildcard daemon/ctl/*.c)

DROVER_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,daemon/main.c $(PARTS) $(BASE))
# base/fd and base/err are all that the tool needs of base/
CTL_OBJECTS    := $(patsubst %.c,$(BUILD)/%.o,$(CTL) daemon/base/err.c daemon/base/fd.c daemon/ipc/control.c)
TEST_SOURCES   := $(wildcard tests/unit/*.c tests/model/*.c)
TEST_PROGRAMS  := $(patsubst %.c,$(BUILD)/%,$(filter %_test.c,$(TEST_SOURCES)))
TEST_SUPPORT   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_test.c,$(TEST_SOURCES)))

.PHONY: all deps run check install clean asan lint format help mutants loss unit
all: $(BUILD)/drover $(BUILD)/droverctl

help:
	@echo "make deps     install what the build and the tests need (Debian packages)"
	@echo "make          build $(BUILD)/drover and $(BUILD)/droverctl"
	@echo "make run      serve the bundled site at http://127.0.0.1:8080"
	@echo "make check    every test, the short cells of the loss table (DROVER_SKIP=name,... leaves some out)"
	@echo "make unit     the unit and model tests alone"
	@echo "make asan     the unit, model and black-box tests under ASan and UBSan"
	@echo "make loss     the full loss table: what clients lose while the operator works"
	@echo "make mutants  break the code on purpose, patch by patch, and see that a test notices"
	@echo "make lint     include direction, sizes, warnings of gcc and clang as errors"
	@echo "make format   clang-format the sources that differ from the house style"
	@echo "make install  DESTDIR=... PREFIX=... (default /usr)"
	@echo "make clean"

$(BUILD)/drover: $(DROVER_OBJECTS)
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDHARDEN) $(LDFLAGS) -o $@ $^ $(DROVER_LIBS)

$(BUILD)/droverctl: $(CTL_OBJECTS)
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDHARDEN) $(LDFLAGS) -o $@ $^ $(CTL_LIBS)

$(BUILD)/%.o: %.c Makefile
	@echo "  CC    $<"
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# check's macros compare size_t with int; everything else is as strict as the daemon
$(BUILD)/tests/%.o: ALL_CFLAGS += -Wno-sign-conversion -Itests

$(BUILD)/tests/%_test: $(BUILD)/tests/%_test.o $(TEST_SUPPORT) $(filter-out %/main.o,$(DROVER_OBJECTS))
	@echo "  LD    $@"
	$(QUIET)$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $^ $(DROVER_LIBS) -lcheck -lsubunit -lrt -lm -lpthread

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

deps:
	tests/tools/deps

run: all
	$(BUILD)/drover -r conf/site -l 127.0.0.1:8080

unit: $(TEST_PROGRAMS)
	tests/tools/run unit

check: all $(TEST_PROGRAMS)
	tests/tools/run all

clean:
	rm -rf $(BUILD)
