"""Checks of a simulated workload: each yields a sentence for every violation that it finds.

They read the session files and what the network and the runners saw, without the host's own code for reading.
"""

from collections.abc import Callable

from nanoclaw.simulation.checks.access import (
    context_has_no_turn_of_its_own,
    strangers_are_not_heard,
    what_mentions_nobody_wakes_nobody,
    who_is_let_in_is_heard,
)
from nanoclaw.simulation.checks.agent_requests import (
    agents_hear_what_was_said,
    nothing_is_due_before_its_time,
    requests_are_made_once,
    tasks_are_as_they_were_asked_for,
    what_is_completed_was_heard,
)
from nanoclaw.simulation.checks.delivery import (
    answers_arrive_where_was_asked,
    channels_are_asked_after_the_ledger,
    files_arrive,
    networks_get_the_pause_they_ask_for,
    nothing_arrives_twice_unknown,
    outcomes_are_told_as_they_are,
    receipts_are_the_networks,
    replies_arrive_as_they_are,
    what_is_delivered_has_arrived,
)
from nanoclaw.simulation.checks.messages import (
    accepted_messages_are_kept,
    completed_messages_are_answered,
    failed_messages_are_told,
    files_are_kept,
    nothing_waits_behind_a_journal,
    users_are_heard_in_order,
    what_all_sessions_keep,
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
    idle_runners_are_stopped,
    nobody_waits_for_a_poll,
    paused_sessions_rest,
    replies_are_seen_at_once,
    replies_are_tried_at_once,
    runners_at_work_are_let_be,
    stuck_runners_are_replaced,
    work_gets_a_runner,
)
from nanoclaw.simulation.checks.questions import (
    answered_questions_wait_no_more,
    questions_have_one_answer,
    strangers_decide_nothing,
)
from nanoclaw.simulation.checks.retries import (
    answers_have_higher_numbers,
    failed_messages_had_their_tries,
    failures_are_the_networks,
    tries_end,
    tries_have_their_causes,
)
from nanoclaw.simulation.checks.schedules import (
    an_outage_has_one_late_run,
    due_tasks_have_run,
    slots_fit_their_schedules,
    what_is_scheduled_comes,
    what_is_stopped_does_not_run,
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
    what_is_delivered_has_arrived,
    nothing_arrives_twice_unknown,
    mid_turn_messages_are_sent_once,
    failed_messages_are_told,
    retries_wait,
    retries_are_alone,
    turns_are_in_order,
    networks_get_the_pause_they_ask_for,
    strangers_decide_nothing,
    replies_arrive_as_they_are,
    answers_arrive_where_was_asked,
    receipts_are_the_networks,
    strangers_are_not_heard,
    who_is_let_in_is_heard,
    what_mentions_nobody_wakes_nobody,
    context_has_no_turn_of_its_own,
    sessions_hear_their_own_place,
    tasks_stay_in_their_place,
    turns_send_to_their_own_chat,
    tries_end,
    answers_have_higher_numbers,
    failures_are_the_networks,
    outcomes_are_told_as_they_are,
    tries_have_their_causes,
    failed_messages_had_their_tries,
    slots_fit_their_schedules,
    an_outage_has_one_late_run,
    what_is_scheduled_comes,
    what_is_stopped_does_not_run,
    agents_hear_what_was_said,
    what_is_completed_was_heard,
    requests_are_made_once,
    tasks_are_as_they_were_asked_for,
    nothing_is_due_before_its_time,
)
"""They hold at any time; they are run after each step."""
REST_CHECKS: tuple[Check, ...] = (
    databases_are_intact,
    what_all_sessions_keep,
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
    nobody_waits_for_a_poll,
    replies_are_seen_at_once,
    replies_are_tried_at_once,
    work_gets_a_runner,
    runners_at_work_are_let_be,
    stuck_runners_are_replaced,
    idle_runners_are_stopped,
    projections_are_true,
    paused_sessions_rest,
    replies_keep_their_order,
)
"""They hold for each session that has had time enough."""
