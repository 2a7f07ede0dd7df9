# aviatofs: `make` builds, `make check` tests, `make bench` measures, `make install` installs.

CC        ?= cc
MUSL_CC   ?= musl-gcc
PREFIX    ?= /usr/local
DESTDIR   ?=
BUILD     ?= build
# DEBUG=1: sanitizers, no optimisation surprises, and an agent built with them too.
# SANITIZE=thread: ThreadSanitizer instead of address and undefined behaviour.
DEBUG     ?=
SANITIZE  ?= address,undefined
WERROR    ?=

VERSION   := 0.1.0
PACKAGES  := fuse3 libcjson libuv libseccomp libcurl libcrypto
MODULES   := base client channel core core/process core/function core/snapshot core/link core/report tree fuse fuse/graft fuse/far files rpc backend/local backend/aviato backend/aviato/stand_in doctor

WARNINGS  := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings
CPPFLAGS  += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -Isrc -DVERSION='"$(VERSION)"' \
             -DLIBEXECDIR='"$(PREFIX)/libexec/aviatofs"'
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null | sed 's/-I[^ ]*fuse3//')
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm
CFLAGS    += -std=gnu17 -O2 -g -fstack-protector-strong $(WARNINGS) $(if $(WERROR),-Werror)
LDFLAGS   += -Wl,-z,relro,-z,now -pthread
AGENT_CFLAGS  := -std=gnu17 -Os -g0 -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections $(WARNINGS) $(if $(WERROR),-Werror)
AGENT_CC      := $(MUSL_CC)
AGENT_CPPFLAGS := -idirafter /usr/include -idirafter /usr/include/$(shell $(CC) -print-multiarch 2>/dev/null)
AGENT_LDFLAGS := -static -Wl,--gc-sections -s

ifdef DEBUG
CFLAGS    += -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize-recover=undefined)
LDFLAGS   += -fsanitize=$(SANITIZE)
# ThreadSanitizer takes clone(CLONE_VM | CLONE_VFORK) for a fork and spoils its own state; glibc's other name
# for the call goes past it.
CPPFLAGS  += $(if $(findstring thread,$(SANITIZE)),-Dclone=__clone)
endif

SOURCES   := $(foreach m,$(MODULES),$(wildcard src/$(m)/*.c))
OBJECTS   := $(SOURCES:src/%.c=$(BUILD)/obj/%.o)
MAIN_OBJECTS := $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/*.c))
AGENT_SOURCES := $(wildcard src/agent/*.c src/agent/files/*.c) src/channel/frame.c src/channel/protocol.c src/channel/file_request.c \
                 src/channel/file_reply.c $(wildcard src/files/*.c) src/base/buf.c src/base/error.c \
                 src/base/utf8.c
AGENT_OBJECTS := $(AGENT_SOURCES:src/%.c=$(BUILD)/agent-obj/%.o)

RUNNER_SOURCES := src/runner/main.c $(filter-out src/client/wait.c,$(wildcard src/client/*.c)) src/base/buf.c
RUNNER_OBJECTS := $(RUNNER_SOURCES:src/%.c=$(BUILD)/agent-obj/%.o)

all: $(BUILD)/aviatofs $(BUILD)/aviatofs-agent $(BUILD)/aviatofs-run

$(BUILD)/aviatofs: $(OBJECTS) $(MAIN_OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The agent runs in any image, so it brings its own libc.
$(BUILD)/aviatofs-agent: $(AGENT_OBJECTS)
	$(AGENT_CC) $(AGENT_CFLAGS) $(AGENT_LDFLAGS) -o $@ $^

# This one begins anew for each command, so it has no libraries to look for.
$(BUILD)/aviatofs-run: $(RUNNER_OBJECTS)
	$(AGENT_CC) $(AGENT_CFLAGS) $(AGENT_LDFLAGS) -o $@ $^

# One for sandboxes of another type of machine, as uname -m calls it, by a compiler for that:
# make agent MACHINE=aarch64 AGENT_CC=aarch64-linux-gnu-gcc
agent:
	$(if $(MACHINE),,$(error which MACHINE?))
	$(MAKE) BUILD=$(BUILD)/$(MACHINE) AGENT_CPPFLAGS= $(BUILD)/$(MACHINE)/aviatofs-agent
	cp $(BUILD)/$(MACHINE)/aviatofs-agent $(BUILD)/aviatofs-agent-$(MACHINE)

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/agent-obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(AGENT_CC) $(CPPFLAGS) $(AGENT_CPPFLAGS) $(AGENT_CFLAGS) -MMD -MP -c -o $@ $<

include tests/tests.mk

install: all
	install -D -m 755 $(BUILD)/aviatofs $(DESTDIR)$(PREFIX)/bin/aviatofs
	install -d $(DESTDIR)$(PREFIX)/libexec/aviatofs
	install -m 755 $(BUILD)/aviatofs-agent $(wildcard $(BUILD)/aviatofs-agent-*) $(BUILD)/aviatofs-run $(DESTDIR)$(PREFIX)/libexec/aviatofs
	install -D -m 644 docs/aviatofs.1 $(DESTDIR)$(PREFIX)/share/man/man1/aviatofs.1
	install -D -m 644 scripts/completion/aviatofs.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/aviatofs
	install -D -m 644 scripts/completion/_aviatofs $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_aviatofs
	install -D -m 644 scripts/completion/aviatofs.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/aviatofs.fish
	install -d $(DESTDIR)$(PREFIX)/sbin
	ln -sf ../bin/aviatofs $(DESTDIR)$(PREFIX)/sbin/mount.aviatofs
	ln -sf ../bin/aviatofs $(DESTDIR)$(PREFIX)/sbin/mount.fuse.aviatofs

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all agent install clean
