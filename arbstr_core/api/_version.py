"""The version of what plugins see, apart from the distribution's."""

API_VERSION = (1, 0)
"""(major, minor): a plugin loads when its major is ours and its minor is not above ours."""
