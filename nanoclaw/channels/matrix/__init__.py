"""The Matrix channel, on matrix-nio. It needs the extra `matrix`."""

from nanoclaw.channels.factory import ChannelContext, ChannelFactory
from nanoclaw.channels.matrix.channel import MatrixChannel
from nanoclaw.channels.matrix.checking import SETUP
from nanoclaw.channels.matrix.config import MatrixConfig
from nanoclaw.channels.protocol import Channel


def _make(config: MatrixConfig, context: ChannelContext) -> Channel:
    return MatrixChannel(config, context)


MATRIX = ChannelFactory(MatrixConfig, _make, SETUP)

__all__ = ["MATRIX", "MatrixChannel", "MatrixConfig"]
