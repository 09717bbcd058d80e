"""Checks of messages between agents: each is stored once, both sides name the same chain, and chains end."""

from collections.abc import Iterator, Mapping

from nanoclaw.records import SessionPaths
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import Evidence, rows

CUT = ("the chain of messages has more than", "the two sessions have exchanged")
"""How the reasons begin for which a message between agents is cut."""
_HEARD = """
    SELECT id, source_session_id, json_extract(content, '$.id'), causation_id, hops FROM messages_in
    WHERE source_session_id IS NOT NULL AND kind = 'chat'
    """
_SENT = """
    SELECT message_out_id, causation_id, hops, platform_message_id, delivered.status, error
    FROM deliveries LEFT JOIN delivered USING (message_out_id) WHERE hops IS NOT NULL
    """


def agents_hear_each_other_once(snapshot: Snapshot) -> Iterator[str]:
    """A message between agents is stored once, and its chain is not longer than chains may be."""
    for paths in snapshot.sessions():
        seen = set[tuple[str, str]]()
        for id_, source, sent_as, _, hops in rows(paths.inbound_db, _HEARD):
            if (source, sent_as) in seen:
                yield f"{paths.root.name}: {sent_as} of {source} is stored twice, the second time as {id_}"
            if hops > snapshot.max_hops:
                yield f"{paths.root.name}: {id_} is hop {hops}, but chains have at most {snapshot.max_hops}"
            seen.add((source, sent_as))


def cause_and_effect_agree(snapshot: Snapshot) -> Iterator[str]:
    """What one agent heard is what the other's ledger sent: the same ids, chain and hops."""
    sessions = {paths.root.name: paths for paths in snapshot.sessions()}
    heard = {name: rows(paths.inbound_db, _HEARD) for name, paths in sessions.items()}
    sent = {name: _sent(paths) for name, paths in sessions.items()}
    for name, messages in heard.items():
        for id_, source, sent_as, *chain in messages:
            known = sent[source].get(sent_as) if source in sent else tuple(chain)
            if known != tuple(chain):
                yield f"{name}: {id_} has the chain {chain}, but {source} sent {sent_as} with {known}"
    for name, paths in sessions.items():
        for sent_as, _, _, receipt, status, _ in rows(paths.inbound_db, _SENT):
            other, _, id_ = str(receipt).partition("/")
            there = {(one[0], one[1]) for one in heard.get(other, ())}
            if status == "delivered" and other in heard and (id_, name) not in there:
                yield f"{name}: {sent_as} is delivered as {receipt}, which {other} does not have"


def _sent(paths: SessionPaths) -> Mapping[str, tuple[str, int]]:
    return {id_: (chain, hops) for id_, chain, hops, *_ in rows(paths.inbound_db, _SENT)}


def cut_chains_are_told(snapshot: Snapshot) -> Iterator[str]:
    """For each chain that a session's message was cut from, the receiver is told once."""
    chains, told = set[tuple[str, str]](), 0
    for paths in snapshot.sessions():
        sent = rows(paths.inbound_db, _SENT)
        chains |= {
            (paths.root.name, chain)
            for _, chain, _, _, status, error in sent
            if status == "failed" and str(error).startswith(CUT)
        }
        told += len(rows(paths.inbound_db, "SELECT 1 FROM messages_in WHERE id LIKE 'cut-%'"))
    all_read = len(Evidence(snapshot.data).sessions()) == len(snapshot.sessions())
    if all_read and told != len(chains):
        yield f"messages of {len(chains)} chains were cut, but {told} cuts were told: {sorted(chains)}"
