"""The tool install_packages: ask for software in the sandbox."""

from agent_runner.tools.approvals import asking, strings

TOOL = asking(
    "install_packages",
    "Ask for software in your sandbox that stays installed. "
    "Name packages in at least one of apt, pip and npm.",
    {},
    apt=strings("Debian packages, such as ffmpeg. Not every sandbox can have these."),
    pip=strings("Python packages, such as requests or requests==2.32."),
    npm=strings("Node packages, such as cowsay or @scope/name@1.2."),
)
