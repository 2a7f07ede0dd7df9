# The program that shows one directory as fs/ does, for tests/graft/run.

GRAFT_OBJECTS := $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/fuse/graft*.c src/files/*.c) src/base/buf.c \
                 src/fuse/passthrough.c src/fuse/amend.c src/fuse/bulk.c)

$(BUILD)/mount_tree: tests/graft/mount_tree.c $(GRAFT_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(GRAFT_OBJECTS) $(PKG_LIBS)
