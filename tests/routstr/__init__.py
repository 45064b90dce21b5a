"""A Routstr node for tests, in the shapes of routstr-core 0.4, with real ecash of a real mint; and a relay."""
