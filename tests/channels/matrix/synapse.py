"""The real Synapse, on loopback with SQLite, and people with accounts on it."""

import hmac
import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import yaml
from attrs import Factory, define, field

PASSWORD = "correct horse"  # noqa: S105 -- of nobody
ADMINS = "battery staple"
"""The secret of the server with which administrators register."""
API = "/_matrix/client/v3"
PATIENT: dict[str, Any] = {"per_second": 1000, "burst_count": 1000}
NEWEST = '{"room":{"timeline":{"limit":1},"state":{"types":[]}},"presence":{"types":[]}}'
_numbers = count(1)


@define(eq=False)
class Person:
    """A user who talks to the server without any SDK."""

    base: str
    user_id: str
    token: str
    _sent: "count[int]" = Factory(lambda: count(1))
    _http: httpx2.Client = field(factory=lambda: httpx2.Client(trust_env=False, timeout=30))

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = self._http.request(
            method, self.base + API + path, json=body, headers={"Authorization": f"Bearer {self.token}"}
        )
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        self._http.close()

    # -- rooms -------------------------------------------------------------------

    def opens(self, *invited: str, encrypted: bool = False, **more: Any) -> str:
        state = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        body = {"invite": list(invited), "preset": "private_chat", **more}
        if encrypted:
            body["initial_state"] = [state]
        return str(self.call("POST", "/createRoom", body)["room_id"])

    def joins(self, room: str) -> None:
        self.call("POST", f"/rooms/{quote(room)}/join", {})

    # -- messages ----------------------------------------------------------------

    def sends(self, room: str, content: Mapping[str, Any], kind: str = "m.room.message") -> str:
        path = f"/rooms/{quote(room)}/send/{kind}/{next(self._sent)}"
        return str(self.call("PUT", path, content)["event_id"])

    def says(self, room: str, text: str, **more: Any) -> str:
        return self.sends(room, {"msgtype": "m.text", "body": text, **more})

    def edits(self, room: str, event_id: str, text: str) -> str:
        content = {"msgtype": "m.text", "body": text}
        relation = {"rel_type": "m.replace", "event_id": event_id}
        return self.says(room, f"* {text}", **{"m.new_content": content, "m.relates_to": relation})

    def reacts(self, room: str, event_id: str, emoji: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": emoji}
        return self.sends(room, {"m.relates_to": relation}, "m.reaction")

    def deletes(self, room: str, event_id: str) -> None:
        self.call("PUT", f"/rooms/{quote(room)}/redact/{quote(event_id)}/{next(self._sent)}", {})

    def uploads(self, data: bytes) -> str:
        answer = self._http.post(
            f"{self.base}/_matrix/media/v3/upload",
            content=data,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/octet-stream"},
        )
        return str(answer.json()["content_uri"])

    def downloads(self, mxc: str) -> bytes:
        place = mxc.removeprefix("mxc://")
        answer = self._http.get(
            f"{self.base}/_matrix/client/v1/media/download/{place}",
            headers={"Authorization": f"Bearer {self.token}"},
        )
        return answer.content

    # -- what this user sees -----------------------------------------------------

    def history(self, room: str) -> Sequence[Mapping[str, Any]]:
        """Return all events, oldest first."""
        found, token = list[Mapping[str, Any]](), ""
        while True:
            start = f"&from={token}" if token else ""
            page = self.call("GET", f"/rooms/{quote(room)}/messages?dir=f&limit=500{start}")
            found += page["chunk"]
            if "end" not in page or not page["chunk"]:
                return found
            token = page["end"]

    def latest(self, room: str) -> Sequence[str]:
        """Return the texts of the latest events."""
        page = self.call("GET", f"/rooms/{quote(room)}/messages?dir=b&limit=60")
        return [str(each["content"].get("body")) for each in page["chunk"]]

    def members(self, room: str) -> Sequence[str]:
        """Return the users who have joined."""
        return list(self.call("GET", f"/rooms/{quote(room)}/joined_members")["joined"])

    def messages(self, room: str, author: str) -> Sequence[Mapping[str, Any]]:
        """Return the messages of an author as clients show them: edited, and without deleted ones."""
        events = [each for each in self.history(room) if each["type"] == "m.room.message"]
        own = [
            each for each in events if each["sender"] == author and each["content"].get("body") is not None
        ]
        edits = {
            each["content"]["m.relates_to"]["event_id"]: each["content"]["m.new_content"]
            for each in own
            if each["content"].get("m.relates_to", {}).get("rel_type") == "m.replace"
        }
        whole = [each for each in own if "m.new_content" not in each["content"]]
        return [{**each, "content": {**each["content"], **edits.get(each["event_id"], {})}} for each in whole]

    def texts(self, room: str, author: str) -> Sequence[str]:
        return [
            each["content"]["body"]
            for each in self.messages(room, author)
            if each["content"]["msgtype"] in {"m.text", "m.notice"}
        ]

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds. It is asked again after each news for this user."""
        since = self._news(NEWEST, "")
        while not holds():
            since = self._news(NEWEST, f"&timeout=10000&since={quote(since)}")

    def _news(self, filter_: str, more: str) -> str:
        return str(self.call("GET", f"/sync?filter={quote(filter_)}{more}")["next_batch"])

    def receipt(self, room: str, user: str) -> str | None:
        """Return the id of the last event that a user's client has shown as read."""
        filter_ = '{"room":{"timeline":{"limit":0},"state":{"types":[]}},"presence":{"types":[]}}'
        found = self.call("GET", f"/sync?timeout=0&filter={quote(filter_)}")
        joined = found.get("rooms", {}).get("join", {}).get(room, {})
        for event in joined.get("ephemeral", {}).get("events", ()):
            for event_id, kinds in event["content"].items() if event["type"] == "m.receipt" else ():
                if user in kinds.get("m.read", {}):
                    return str(event_id)
        return None


@define(eq=False)
class Synapse:
    """A running server."""

    base: str
    home: Path
    port: int
    process: "subprocess.Popen[bytes]"
    people: list[Person] = Factory(list)
    """Those who are registered. They leave with the server."""

    def person(self, name: str) -> Person:
        """Register a user whose name nobody else has."""
        body = {
            "username": f"{name}-{os.getpid()}-{next(_numbers)}",
            "password": PASSWORD,
            "auth": {"type": "m.login.dummy"},
        }
        answer = httpx2.post(f"{self.base}{API}/register", json=body, trust_env=False, timeout=30).json()
        self.people.append(Person(self.base, answer["user_id"], answer["access_token"]))
        return self.people[-1]

    def limit(self, person: Person, per_second: int, burst: int) -> None:
        """Limit how often a user may send messages."""
        admin = self._admin()
        place = f"{self.base}/_synapse/admin/v1/users/{quote(person.user_id)}/override_ratelimit"
        limits = {"messages_per_second": per_second, "burst_count": burst}
        bearer = {"Authorization": f"Bearer {admin}"}
        assert httpx2.post(place, json=limits, headers=bearer, trust_env=False, timeout=30).status_code == 200

    def _admin(self) -> str:
        """Register an administrator, and return the token."""
        place, name = f"{self.base}/_synapse/admin/v1/register", f"admin-{next(_numbers)}"
        nonce = httpx2.get(place, trust_env=False, timeout=30).json()["nonce"]
        signed = f"{nonce}\0{name}\0{PASSWORD}\0admin".encode()
        mac = hmac.new(ADMINS.encode(), signed, "sha1").hexdigest()
        body = {"nonce": nonce, "username": name, "password": PASSWORD, "admin": True, "mac": mac}
        return str(httpx2.post(place, json=body, trust_env=False, timeout=30).json()["access_token"])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def start(self) -> None:
        self.process = _started(self.home, self.port)
        _await_answer(self)


@contextmanager
def synapse(home: Path, **limits: Any) -> Iterator[Synapse]:
    """Run a server with a home of its own. `limits` are keys of its configuration."""
    port = _free_port()
    (home / "server.yaml").write_text(yaml.safe_dump({**_config(home, port), **limits}))
    (home / "signing.key").write_text(f"ed25519 a_test {b64encode(os.urandom(32)).decode().rstrip('=')}\n")
    server = Synapse(f"http://127.0.0.1:{port}", home, port, _started(home, port))
    try:
        _await_answer(server)
        yield server
    finally:
        server.stop()
        for each in server.people:
            each.close()


def _config(home: Path, port: int) -> dict[str, Any]:
    limits = ("rc_message", "rc_registration", "rc_room_creation", "rc_joins_per_room")
    nested = {"address": PATIENT, "account": PATIENT, "failed_attempts": PATIENT}
    return {
        "server_name": "localhost",
        "pid_file": str(home / "pid"),
        "listeners": [
            {
                "port": port,
                "bind_addresses": ["127.0.0.1"],
                "type": "http",
                "tls": False,
                "resources": [{"names": ["client"], "compress": False}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(home / "server.db")}},
        "media_store_path": str(home / "media"),
        "signing_key_path": str(home / "signing.key"),
        "macaroon_secret_key": "x",
        "form_secret": "y",
        "registration_shared_secret": ADMINS,
        "report_stats": False,
        "trusted_key_servers": [],
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "presence": {"enabled": False},
        "bcrypt_rounds": 4,
        "caches": {"sync_response_cache_duration": "0s"},
        **dict.fromkeys(limits, PATIENT),
        "rc_login": nested,
        "rc_joins": {"local": PATIENT, "remote": PATIENT},
        "rc_invites": {"per_room": PATIENT, "per_user": PATIENT, "per_issuer": PATIENT},
    }


def _started(home: Path, port: int) -> "subprocess.Popen[bytes]":
    del port
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "synapse.app.homeserver", "-c", str(home / "server.yaml")],
            cwd=home,
            stdout=log,
            stderr=log,
        )


def _await_answer(server: Synapse) -> None:
    """Wait until the server answers. A connection that is refused takes no time, so it is asked again."""
    for _ in range(1200):
        if server.process.poll() is not None:
            raise RuntimeError((server.home / "log").read_text()[-3000:])
        try:
            httpx2.get(f"{server.base}/_matrix/client/versions", trust_env=False)
        except httpx2.TransportError:
            try:
                server.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        else:
            return
    raise RuntimeError("synapse did not answer within a minute")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
