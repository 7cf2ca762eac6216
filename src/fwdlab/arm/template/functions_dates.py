"""Date functions of ARM's reference and the .NET date formats that they take."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from fwdlab.arm.template.registry import Function
from fwdlab.arm.template.values import ExpressionError

DEFAULT_UTC_FORMAT = "yyyyMMddTHHmmssZ"
_RESULT_FORMAT = "yyyy-MM-ddTHH:mm:ssZ"
_DURATION = re.compile(
    r"(?P<sign>-)?P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssZ",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffZ",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffZ",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "G": "MM/dd/yyyy HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
}
# Parts of a .NET date format in strftime's words; the culture is the invariant one, the zone UTC.
_PARTS = {
    "yyyy": "%Y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "dddd": "%A",
    "ddd": "%a",
    "dd": "%d",
    "HH": "%H",
    "hh": "%I",
    "mm": "%M",
    "ss": "%S",
    "tt": "%p",
    "K": "Z",
    "zzz": "+00:00",
}
_UNPADDED = {"MM", "dd", "HH", "hh", "mm", "ss"}
_CUSTOM = re.compile(r"'[^']*'|\"[^\"]*\"|\\.|([A-Za-z])\1*", re.DOTALL)
_MONTHS_A_YEAR = 12


def format_date(moment: datetime, pattern: str) -> str:
    """A moment in a .NET date format, standard (`u`) or custom (`yyyy-MM-dd`), in UTC."""
    moment = moment.astimezone(UTC)

    def part(match: re.Match[str]) -> str:
        text = match[0]
        if text[0] in "'\"":
            return text[1:-1]
        if text[0] == "\\":
            return text[1:]
        if text[0] == "f":
            return f"{moment.microsecond:06d}0"[: len(text)]
        if text * 2 in _UNPADDED:
            return moment.strftime(_PARTS[text * 2].replace("%", "%-"))
        return moment.strftime(_PARTS[text]) if text in _PARTS else text

    return _CUSTOM.sub(part, _STANDARD.get(pattern, pattern))


def _parsed(text: str) -> datetime:
    """An ISO 8601 moment, or the form that utcNow() gives by default; UTC where it names no zone."""
    iso = re.sub(r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)", r"\1-\2-\3T\4:\5:\6", text)
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError as error:
        raise ExpressionError(
            f"The template language function 'dateTimeAdd' expects a date time in ISO 8601, not '{text}'."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shift_months(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * _MONTHS_A_YEAR + moment.month - 1 + months, _MONTHS_A_YEAR)
    for day in range(moment.day, 27, -1):
        try:
            return moment.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue  # the month is shorter
    return moment.replace(year=year, month=month + 1)


def _date_time_add(base: str, duration: str, pattern: str = _RESULT_FORMAT) -> str:
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ExpressionError(f"The template language function 'dateTimeAdd' cannot read '{duration}'.")
    sign = -1 if match["sign"] else 1
    part = {key: float(value or 0) for key, value in match.groupdict().items() if key != "sign"}
    months = int(part.pop("years") * _MONTHS_A_YEAR + part.pop("months"))
    try:
        moment = _shift_months(_parsed(base), sign * months) + sign * timedelta(**part)
        return format_date(moment, pattern)
    except (ValueError, OverflowError) as error:
        raise ExpressionError(
            f"The template language function 'dateTimeAdd' cannot add '{duration}' to '{base}': the "
            "result is no date."
        ) from error


def _from_epoch(seconds: int) -> str:
    try:
        return format_date(datetime.fromtimestamp(seconds, UTC), _RESULT_FORMAT)
    except (ValueError, OverflowError, OSError) as error:
        raise ExpressionError(
            f"The template language function 'dateTimeFromEpoch' cannot take {seconds}."
        ) from error


FUNCTIONS = (
    Function("dateTimeAdd", "string string string?", _date_time_add),
    Function("dateTimeToEpoch", "string", lambda text: int(_parsed(text).timestamp())),
    Function("dateTimeFromEpoch", "int", _from_epoch),
)
