"""Container runtimes: the protocol, and one module a runtime."""

from nanoclaw.containers.protocol import Death, Runner, RunnerSpec, Runtime, StartFailed

__all__ = ["Death", "Runner", "RunnerSpec", "Runtime", "StartFailed"]
