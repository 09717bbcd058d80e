"""Checks of a simulated workload: each check yields one sentence per violation.

They read the session files and the records of network and runners. They do not use the host's own readers.
"""

from collections.abc import Callable

from nanoclaw.simulation.checks import (
    access,
    agent_requests,
    agents,
    approvals,
    delivery,
    messages,
    models,
    placement,
    projections,
    promptness,
    questions,
    remarks,
    retries,
    schedules,
    turns,
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
"""Checks that need all sessions or are slow. `accepted_messages_are_kept` and
`channels_are_asked_after_the_ledger` check the same for one session after each step.
"""
STEP_CHECKS: tuple[Check, ...] = (
    *(check for check in ALWAYS if check not in _NOT_AT_STEPS),
    delivery.channels_are_asked_after_the_ledger,
    messages.accepted_messages_are_kept,
    questions.questions_have_one_answer,
    messages.users_are_heard_in_order,
    replies_keep_their_order,
    delivery.delivered_messages_have_arrived,
    delivery.duplicates_are_recorded_as_doubts,
    turns.mid_turn_messages_are_sent_once,
    messages.failed_messages_are_told,
    turns.retries_wait,
    turns.retries_are_alone,
    turns.turns_are_in_order,
    questions.unknown_senders_decide_nothing,
    delivery.replies_arrive_as_they_are,
    delivery.answers_arrive_where_was_asked,
    delivery.receipts_come_from_the_network,
    access.unknown_senders_are_not_heard,
    access.admitted_users_are_heard,
    access.messages_reach_destinations_only,
    approvals.only_the_eligible_decide,
    approvals.presses_that_count_decide,
    approvals.held_messages_keep_their_order,
    agents.agents_hear_each_other_once,
    remarks.remarks_of_strangers_are_not_heard,
    remarks.reactions_reach_their_session,
    remarks.deletions_reach_the_message,
    remarks.webhooks_reach_wired_chats_only,
    access.only_mentions_wake_the_agent,
    access.context_has_no_turn_of_its_own,
    placement.sessions_hear_their_own_place,
    placement.tasks_stay_in_their_place,
    placement.turns_send_to_their_own_chat,
    retries.tries_end,
    retries.answers_have_higher_numbers,
    retries.failures_have_network_reasons,
    delivery.outcomes_are_told_as_they_are,
    retries.tries_have_their_causes,
    retries.failed_messages_had_their_tries,
    schedules.slots_fit_their_schedules,
    schedules.an_outage_has_one_late_run,
    schedules.stopped_tasks_do_not_run,
    agent_requests.agents_hear_what_was_said,
    agent_requests.completed_messages_were_heard,
    agent_requests.requests_are_made_once,
    agent_requests.tasks_are_as_they_were_asked_for,
    agent_requests.nothing_is_due_before_its_time,
    models.completed_turns_are_remembered_once,
    models.no_answer_is_counted_twice,
)
"""Checks that hold at any time. They run after each step."""
REST_CHECKS: tuple[Check, ...] = (
    databases_are_intact,
    messages.nothing_waits_behind_a_journal,
    *AT_REST,
    messages.completed_messages_are_answered,
    schedules.due_tasks_have_run,
    projections.projections_are_true,
    delivery.files_arrive,
    messages.files_are_kept,
    questions.answered_questions_wait_no_more,
    models.all_answers_are_counted,
    access.drops_are_counted,
    approvals.approvals_end,
    approvals.needless_requests_are_withdrawn,
    approvals.askers_are_told,
    approvals.decisions_are_carried_out_once,
    approvals.held_messages_end,
    approvals.stored_messages_are_held_no_more,
    models.no_file_has_the_key,
    agents.cause_and_effect_agree,
    agents.cut_chains_are_told,
    remarks.chats_have_their_names,
)
"""Checks that hold after all faults have ended and no work is left."""
PROMPTNESS_CHECKS: tuple[Check, ...] = (
    promptness.due_work_is_claimed_at_once,
    promptness.replies_are_seen_at_once,
    promptness.retries_keep_their_length,
    promptness.replies_are_tried_at_once,
    promptness.work_gets_a_runner,
    promptness.busy_runners_are_not_stopped,
    promptness.stuck_runners_are_replaced,
    promptness.idle_runners_are_stopped,
    projections.projections_are_true,
    promptness.paused_sessions_rest,
    models.idle_runners_leave_no_draft,
    replies_keep_their_order,
)
"""Checks that hold for a session that has had enough time to finish its work."""
