"""The same work on other platforms, each in an environment of its own (`.venv-peers`), so that figures can be compared."""
