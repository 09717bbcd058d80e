"""Small packages of Python and Node, made on the spot, and a registry of Node packages on loopback."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

MARKING = "open({marker!r}, 'w').close()\n"
"""Code that leaves a trace if it runs."""


def wheel(folder: Path, name: str, version: str = "1.0", *, requires: str = "") -> Path:
    """Make a wheel with a module of its own name, and a program that prints its version."""
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"VERSION = {version!r}\ndef main():\n    print(VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-version = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    return made


def source(folder: Path, name: str, marker: Path) -> Path:
    """Make a source distribution whose build runs code."""
    made = folder / f"{name}-1.0.tar.gz"
    project = "[build-system]\nrequires = []\nbuild-backend = 'evil'\nbackend-path = ['.']\n"
    files = {
        "pyproject.toml": project,
        "evil.py": MARKING.format(marker=str(marker)),
        "PKG-INFO": "Name: x\n",
    }
    with tarfile.open(made, "w:gz") as archive:
        for each, text in files.items():
            _add(archive, f"{name}-1.0/{each}", text)
    return made


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))


def node_package(name: str, marker: Path) -> bytes:
    """Return a package of Node with a program, and a script that would run at its installation."""
    script = f"node -e \"require('fs').writeFileSync('{marker}', '')\""
    about = {"name": name, "version": "1.0.0", "bin": "say.js", "scripts": {"postinstall": script}}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        _add(archive, "package/package.json", json.dumps(about))
        _add(archive, "package/say.js", "#!/usr/bin/env node\nconsole.log('moo')\n")
    return made.getvalue()


@contextmanager
def registry(packages: Mapping[str, bytes]) -> Iterator[str]:
    """Serve packages of Node on loopback, and yield the registry's address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, _, file = self.path.strip("/").partition("/-/")
            content = packages.get(name)
            body = (
                b"{}" if content is None else content if file else json.dumps(_about(name, content)).encode()
            )
            self.send_response(404 if content is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})

        def _about(name: str, content: bytes) -> object:
            digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
            dist = {"tarball": f"{address}/{name}/-/{name}-1.0.0.tgz", "integrity": f"sha512-{digest}"}
            only = {"name": name, "version": "1.0.0", "bin": {name: "say.js"}, "dist": dist}
            return {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": only}}

        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()
