"""Checks of a simulated workload: each yields a sentence for every violation that it finds.

They read the session files and what the network and the runners saw, without the host's own code for reading.
"""

from collections.abc import Callable

from nanoclaw.simulation.checks.access import (
    admitted_users_are_heard,
    context_has_no_turn_of_its_own,
    only_mentions_wake_the_agent,
    unknown_senders_are_not_heard,
)
from nanoclaw.simulation.checks.agent_requests import (
    agents_hear_what_was_said,
    completed_messages_were_heard,
    nothing_is_due_before_its_time,
    requests_are_made_once,
    tasks_are_as_they_were_asked_for,
)
from nanoclaw.simulation.checks.delivery import (
    answers_arrive_where_was_asked,
    channels_are_asked_after_the_ledger,
    delivered_messages_have_arrived,
    duplicates_are_recorded_as_doubts,
    files_arrive,
    networks_get_the_pause_they_ask_for,
    outcomes_are_told_as_they_are,
    receipts_come_from_the_network,
    replies_arrive_as_they_are,
)
from nanoclaw.simulation.checks.messages import (
    accepted_messages_are_kept,
    completed_messages_are_answered,
    failed_messages_are_told,
    files_are_kept,
    nothing_waits_behind_a_journal,
    sessions_together_lose_nothing,
    users_are_heard_in_order,
)
from nanoclaw.simulation.checks.placement import (
    sessions_hear_their_own_place,
    tasks_stay_in_their_place,
    turns_send_to_their_own_chat,
)
from nanoclaw.simulation.checks.projections import (
    projections_are_true,
)
from nanoclaw.simulation.checks.promptness import (
    busy_runners_are_not_stopped,
    due_work_is_claimed_at_once,
    idle_runners_are_stopped,
    paused_sessions_rest,
    replies_are_seen_at_once,
    replies_are_tried_at_once,
    stuck_runners_are_replaced,
    work_gets_a_runner,
)
from nanoclaw.simulation.checks.questions import (
    answered_questions_wait_no_more,
    questions_have_one_answer,
    unknown_senders_decide_nothing,
)
from nanoclaw.simulation.checks.retries import (
    answers_have_higher_numbers,
    failed_messages_had_their_tries,
    failures_have_network_reasons,
    tries_end,
    tries_have_their_causes,
)
from nanoclaw.simulation.checks.schedules import (
    an_outage_has_one_late_run,
    due_tasks_have_run,
    first_runs_are_yet_to_come,
    slots_fit_their_schedules,
    stopped_tasks_do_not_run,
)
from nanoclaw.simulation.checks.turns import (
    mid_turn_messages_are_sent_once,
    retries_are_alone,
    retries_wait,
    turns_are_in_order,
)
from nanoclaw.simulation.snapshot import Check
from nanoclaw.testing.invariants import (
    ALWAYS,
    AT_REST,
    accepted_messages_are_stored,
    attempts_are_recorded_before_the_channel_is_asked,
    databases_are_intact,
    replies_keep_their_order,
)

_NOT_AT_STEPS: frozenset[Callable[..., object]] = frozenset(
    {accepted_messages_are_stored, attempts_are_recorded_before_the_channel_is_asked, databases_are_intact}
)
"""These need all sessions, or much time."""
STEP_CHECKS: tuple[Check, ...] = (
    *(check for check in ALWAYS if check not in _NOT_AT_STEPS),
    channels_are_asked_after_the_ledger,
    accepted_messages_are_kept,
    questions_have_one_answer,
    users_are_heard_in_order,
    replies_keep_their_order,
    delivered_messages_have_arrived,
    duplicates_are_recorded_as_doubts,
    mid_turn_messages_are_sent_once,
    failed_messages_are_told,
    retries_wait,
    retries_are_alone,
    turns_are_in_order,
    networks_get_the_pause_they_ask_for,
    unknown_senders_decide_nothing,
    replies_arrive_as_they_are,
    answers_arrive_where_was_asked,
    receipts_come_from_the_network,
    unknown_senders_are_not_heard,
    admitted_users_are_heard,
    only_mentions_wake_the_agent,
    context_has_no_turn_of_its_own,
    sessions_hear_their_own_place,
    tasks_stay_in_their_place,
    turns_send_to_their_own_chat,
    tries_end,
    answers_have_higher_numbers,
    failures_have_network_reasons,
    outcomes_are_told_as_they_are,
    tries_have_their_causes,
    failed_messages_had_their_tries,
    slots_fit_their_schedules,
    an_outage_has_one_late_run,
    first_runs_are_yet_to_come,
    stopped_tasks_do_not_run,
    agents_hear_what_was_said,
    completed_messages_were_heard,
    requests_are_made_once,
    tasks_are_as_they_were_asked_for,
    nothing_is_due_before_its_time,
)
"""They hold at any time; they are run after each step."""
REST_CHECKS: tuple[Check, ...] = (
    databases_are_intact,
    sessions_together_lose_nothing,
    nothing_waits_behind_a_journal,
    *AT_REST,
    completed_messages_are_answered,
    due_tasks_have_run,
    projections_are_true,
    files_arrive,
    files_are_kept,
    answered_questions_wait_no_more,
)
"""They hold once everything is healed and has come to rest."""
PROMPTNESS_CHECKS: tuple[Check, ...] = (
    due_work_is_claimed_at_once,
    replies_are_seen_at_once,
    replies_are_tried_at_once,
    work_gets_a_runner,
    busy_runners_are_not_stopped,
    stuck_runners_are_replaced,
    idle_runners_are_stopped,
    projections_are_true,
    paused_sessions_rest,
    replies_keep_their_order,
)
"""They hold for each session that has had time enough."""
