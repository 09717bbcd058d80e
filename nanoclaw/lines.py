"""Lines out of a stream of bytes, of bounded length."""

from collections.abc import AsyncIterator


async def split_lines(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes | None]:
    """The lines of a stream without their ends; None for one of more than `limit` bytes."""
    parts, size = list[bytes](), 0
    async for chunk in chunks:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield None if size + len(line) > limit else b"".join([*parts, line])
            parts, size = [], 0
        size += len(rest)
        if size <= limit:
            parts.append(rest)
        else:
            parts.clear()
    if size:
        yield None if size > limit else b"".join(parts)
