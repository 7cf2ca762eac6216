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
_CUSTOM = re.compile(r"'[^']*'|\"[^\"]*\"|\\.|y+|M+|d+|H+|h+|m+|s+|f+|F+|t+|z+|K|.", re.DOTALL)
_MONTHS_A_YEAR = 12
_NAMES_FROM = 3


def format_date(moment: datetime, pattern: str) -> str:
    """A moment in a .NET date format, standard (`u`) or custom (`yyyy-MM-dd`), invariant culture, in UTC."""
    pattern = _STANDARD.get(pattern, pattern)
    return "".join(_piece(moment.astimezone(UTC), token) for token in _CUSTOM.findall(pattern))


def _piece(moment: datetime, token: str) -> str:  # noqa: PLR0911 - one for each kind of token
    letter, width = token[0], len(token)
    if letter in "'\"":
        return token[1:-1]
    if letter == "\\":
        return token[1:]
    if letter in "Md" and width >= _NAMES_FROM:
        long, short = ("%B", "%b") if letter == "M" else ("%A", "%a")
        return moment.strftime(short if width == _NAMES_FROM else long)
    if letter == "y":
        return f"{moment.year % 100:02d}" if width <= 2 else f"{moment.year:0{width}d}"  # noqa: PLR2004 - yy
    numbers = {"M": moment.month, "d": moment.day, "H": moment.hour, "h": moment.hour % 12 or 12}
    numbers |= {"m": moment.minute, "s": moment.second}
    if letter in numbers:
        return f"{numbers[letter]:0{min(width, 2)}d}"
    if letter in "fF":
        digits = f"{moment.microsecond:06d}0"[:width]
        return digits if letter == "f" else digits.rstrip("0")
    if letter == "t":
        return ("AM" if moment.hour < _MONTHS_A_YEAR else "PM")[:width]
    if letter == "z":
        return {1: "+0", 2: "+00"}.get(width, "+00:00")
    return "Z" if letter == "K" else token


def _parsed(name: str, text: str) -> datetime:
    """An ISO 8601 moment, or the form that utcNow() gives by default; UTC where it names no zone."""
    iso = re.sub(r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)", r"\1-\2-\3T\4:\5:\6", text)
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError as error:
        raise ExpressionError(
            f"The template language function '{name}' expects a date time in ISO 8601, not '{text}'."
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
    moment = _shift_months(_parsed("dateTimeAdd", base), sign * months) + sign * timedelta(**part)
    return format_date(moment, pattern)


def _from_epoch(seconds: int) -> str:
    return format_date(datetime.fromtimestamp(seconds, UTC), _RESULT_FORMAT)


FUNCTIONS = (
    Function("dateTimeAdd", "string string string?", _date_time_add),
    Function("dateTimeToEpoch", "string", lambda text: int(_parsed("dateTimeToEpoch", text).timestamp())),
    Function("dateTimeFromEpoch", "int", _from_epoch),
)
