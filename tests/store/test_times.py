from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.store import from_text, to_text

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 -- bounds


@given(MOMENTS)
def test_a_time_is_read_back_in_utc_with_millisecond_precision(moment: datetime) -> None:
    back = from_text(to_text(moment))
    assert back.tzinfo is UTC
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


def test_a_time_is_written_in_the_contracts_format() -> None:
    east = timezone(timedelta(hours=2))
    assert to_text(datetime(2026, 4, 5, 6, 7, 8, 9012, tzinfo=east)) == "2026-04-05T04:07:08.009Z"


@pytest.mark.parametrize(
    "text", ["2026-04-05 06:07:08", "2026-04-05T06:07:08.000Z", "2026-04-05T08:07:08+02:00"]
)
def test_both_spellings_are_read_as_utc(text: str) -> None:
    assert from_text(text) == datetime(2026, 4, 5, 6, 7, 8, tzinfo=UTC)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        to_text(datetime(2026, 1, 1))  # noqa: DTZ001 -- the mistake under test


def test_text_that_is_not_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        from_text("yesterday")
