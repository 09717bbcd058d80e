"""One Synapse for all tests of a worker."""

from collections.abc import Iterator

import pytest

from tests.channels.matrix.synapse import Synapse, synapse


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    with synapse(tmp_path_factory.mktemp("synapse")) as running:
        yield running
