# The program that shows one directory as fs/ does, for tests/graft, and the agent it has where it is --far.

$(BUILD)/mount_tree: tests/graft/mount_tree.c tests/graft/far_tree.c tests/graft/slow_way.c $(OBJECTS) $(BUILD)/mount_tree_agent
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $(filter %.c %.o,$^) $(PKG_LIBS)

$(BUILD)/mount_tree_agent: tests/graft/tree_agent.c $(AGENT_HOST_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(AGENT_HOST_OBJECTS)
