"""The table of faults: which function injects each one."""

from collections.abc import Awaitable, Callable, Mapping
from random import Random

from nanoclaw.simulation import admin_faults, machine_faults, network_faults, process_faults
from nanoclaw.simulation.fault_injector import FaultInjector
from nanoclaw.simulation.faults import Strike

FAULTS: Mapping[str, Callable[[FaultInjector, Random, Strike], Awaitable[None]]] = {
    "kill-host": process_faults.kill_host,
    "stop-host": process_faults.stop_host,
    "kill-in-doubt": process_faults.kill_in_doubt,
    "kill-newborn": process_faults.kill_newborn,
    "kill-runner": process_faults.kill_runner,
    "stuck-runner": process_faults.stuck_runner,
    "slow-runner": process_faults.slow_runner,
    "slow-disk": machine_faults.slow_host,
    "channel-fails": network_faults.channel_fails,
    "channel-times-out": network_faults.channel_times_out,
    "channel-duplicates": network_faults.channel_duplicates,
    "channel-reorders": network_faults.channel_reorders,
    "channel-limits": network_faults.channel_limits,
    "channel-hangs": network_faults.channel_hangs,
    "channel-disconnects": network_faults.channel_disconnects,
    "disk-full": machine_faults.disk,
    "io-error": machine_faults.disk,
    "torn-writes": machine_faults.torn_writes,
    "clock-jumps": machine_faults.clock_jumps,
    "corrupt-inbound": machine_faults.corrupt_inbound,
    "corrupt-outbound": machine_faults.corrupt_outbound,
    "session-paused": admin_faults.session_paused,
    "session-buried": admin_faults.session_buried,
    "destination-renamed": admin_faults.destination_renamed,
    "channel-late": network_faults.channel_late,
    "channel-garbles": network_faults.channel_garbles,
    "engine-gone": process_faults.engine_gone,
    "no-descriptors": machine_faults.no_descriptors,
    "read-error": machine_faults.read_error,
    "channel-errs": network_faults.channel_errs,
    "hints-raise": network_faults.hints_raise,
    "wrong-date": machine_faults.wrong_date,
}


async def inject(injector: FaultInjector, strike: Strike) -> None:
    """Inject a fault. A lasting fault continues after this returns."""
    random = Random(strike.draw)  # noqa: S311 -- a simulation has no secrets
    before = injector.strikes[strike.fault]
    await FAULTS[strike.fault](injector, random, strike)
    if strike.now and injector.strikes[strike.fault] == before:
        injector.miss(strike, "there was nothing for it to strike")
