"""Says how a build goes, and how it ends."""

# Statuses of sysexits.h: a mistake in the plugin, something that is not installed, a failure of the tool.
PLUGIN_FAULT, UNAVAILABLE, TOOL_FAULT = 65, 69, 70


class Stop(Exception):
    """Ends the build with a status and lines on stderr."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


def say(text: str) -> None:
    print(text, flush=True)
