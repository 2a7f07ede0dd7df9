# Unit tests (cmocka), fuzzers (libFuzzer), the live-mount suites (bats) and the benchmark.
#
# tests/unit/agent_*.c and tests/fuzz/agent_*.c are linked with the agent's code, all others with the
# daemon's. A fuzzer's corpus is tests/fuzz/corpus/NAME/.

UNIT_DAEMON := $(filter-out tests/unit/agent_% tests/unit/local_%,$(wildcard tests/unit/*.c))
UNIT_AGENT  := $(wildcard tests/unit/agent_*.c)
# tests/unit/rpc_call.c, rpc_early.c and rpc_ends.c talk to tests/unit/rpc_server.mjs.
$(BUILD)/unit/rpc_call $(BUILD)/unit/rpc_early $(BUILD)/unit/rpc_ends: CPPFLAGS += -DRPC_SERVER='"$(abspath tests/unit/rpc_server.mjs)"'
UNIT_LOCAL  := $(wildcard tests/unit/local_*.c)
UNIT_BINS   := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_DAEMON) $(UNIT_AGENT) $(UNIT_LOCAL))
# The agent's code built for the host's libc, so that sanitizers can watch it.
AGENT_HOST_OBJECTS := $(filter-out $(BUILD)/obj/agent/main.o,$(AGENT_SOURCES:src/%.c=$(BUILD)/obj/%.o))

$(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_DAEMON)): $(BUILD)/unit/%: tests/unit/%.c $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(OBJECTS) $(PKG_LIBS) -lcmocka

$(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_AGENT)): $(BUILD)/unit/%: tests/unit/%.c $(AGENT_HOST_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(AGENT_HOST_OBJECTS) -lcmocka

# The local backend below a core made of nothing (tests/unit/local_core.h), with the real agent in its sandboxes.
LOCAL_OBJECTS := $(filter $(BUILD)/obj/base/% $(BUILD)/obj/channel/% $(BUILD)/obj/backend/local/%,$(OBJECTS)) \
                 $(BUILD)/obj/core/config.o $(BUILD)/obj/core/report/log_options.o $(BUILD)/obj/core/object.o
$(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_LOCAL)): $(BUILD)/unit/%: tests/unit/%.c $(LOCAL_OBJECTS) $(BUILD)/aviatofs-agent
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(LOCAL_OBJECTS) $(PKG_LIBS) -lcmocka

include $(wildcard tests/graft/build.mk)

# The programs of an image that has no shell.
$(BUILD)/bare: tests/gateway/bare.c
	@mkdir -p $(@D)
	$(AGENT_CC) $(AGENT_CPPFLAGS) -std=gnu17 -Os $(WARNINGS) $(if $(WERROR),-Werror) -static -s -o $@ $<

# All that the suites run.
tests: $(UNIT_BINS) $(BUILD)/mount_tree $(BUILD)/bare

# Fuzzers bring their own objects: clang's, with coverage and address sanitizer.
FUZZ_CC     ?= clang
FUZZ_FLAGS  := -std=gnu17 -O1 -g -fno-omit-frame-pointer $(WARNINGS) $(if $(WERROR),-Werror) -fno-sanitize-recover=undefined
FUZZ_NAMES  := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_DAEMON := $(SOURCES:src/%.c=$(BUILD)/fuzz/obj/%.o)
FUZZ_AGENT  := $(patsubst src/%.c,$(BUILD)/fuzz/obj/%.o,$(filter-out src/agent/main.c,$(AGENT_SOURCES)))

$(BUILD)/fuzz/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(CPPFLAGS) $(PKG_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<

# Archives, so that each fuzzer takes only what it needs.
$(BUILD)/fuzz/daemon.a: $(FUZZ_DAEMON)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/fuzz/agent.a: $(FUZZ_AGENT)
	@rm -f $@
	$(AR) rcs $@ $^

$(patsubst %,$(BUILD)/fuzz/%,$(filter-out agent_%,$(FUZZ_NAMES))): $(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzz/daemon.a
	$(FUZZ_CC) $(CPPFLAGS) $(PKG_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -MMD -MP -o $@ $< $(BUILD)/fuzz/daemon.a $(PKG_LIBS)

$(patsubst %,$(BUILD)/fuzz/%,$(filter agent_%,$(FUZZ_NAMES))): $(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzz/agent.a
	$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -MMD -MP -o $@ $< $(BUILD)/fuzz/agent.a

fuzz: $(FUZZ_NAMES:%=$(BUILD)/fuzz/%)

# What the present build passes; scripts/test is the whole of it, over every kind of build.
check: all tests
	BUILD=$(BUILD) tests/run lint unit graft mount

$(BUILD)/bench: tests/bench/bench.c tests/bench/tools.c tests/bench/bench.h
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -std=gnu17 -O2 -g $(WARNINGS) $(if $(WERROR),-Werror) -o $@ $(filter %.c,$^)

# On the release build, whatever else was asked for.
bench: all $(BUILD)/bench
	tests/bench/run $(BUILD)

# fs/ of a remote sandbox beside sshfs; minutes, for sshfs takes them.
bench-far: all
	tests/bench/far $(BUILD)

# Commands of a remote sandbox beside what they have to cost.
bench-remote: all
	tests/bench/remote $(BUILD)

$(BUILD)/bench-files: tests/bench/files.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -g $(WARNINGS) $(if $(WERROR),-Werror) -pthread -o $@ $<

# What fs/ costs, beside the file system below, passthrough_ll and sshfs.
bench-fs: all $(BUILD)/bench-files
	tests/bench/fs $(BUILD)

.PHONY: tests fuzz check bench bench-far bench-remote bench-fs
