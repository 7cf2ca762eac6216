"""ARM's `uniqueString` hash.

A 64-bit relative of MurmurHash3's 128-bit x86 variant: two 32-bit lanes over blocks of eight bytes, with
that variant's constants and seed 0, written as 13 characters of five bits each, highest first. Checked in the
tests against values that Azure gave.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_C1, _C2 = 0xAB0E9789, 0x239B961B
_ADD1, _ADD2 = 0x561CCD1B, 0x0BCAA747
_MIX1, _MIX2 = 0x85EBCA6B, 0xC2B2AE35
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_BLOCK = 8


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _MASK


def _scramble(word: int, first: int, bits: int, second: int) -> int:
    return _rotate(word * first & _MASK, bits) * second & _MASK


def _avalanche(word: int) -> int:
    word = (word ^ word >> 16) * _MIX1 & _MASK
    word = (word ^ word >> 13) * _MIX2 & _MASK
    return word ^ word >> 16


def _lanes(data: bytes) -> tuple[int, int]:
    one = two = 0
    whole = len(data) - len(data) % _BLOCK
    for start in range(0, whole, _BLOCK):
        low = int.from_bytes(data[start : start + 4], "little")
        high = int.from_bytes(data[start + 4 : start + 8], "little")
        one = (_rotate(one ^ _scramble(low, _C2, 15, _C1), 19) + two) * 5 + _ADD1 & _MASK
        two = (_rotate(two ^ _scramble(high, _C1, 17, _C2), 13) + one) * 5 + _ADD2 & _MASK
    rest = data[whole:]
    one ^= _scramble(int.from_bytes(rest[:4], "little"), _C2, 15, _C1)
    two ^= _scramble(int.from_bytes(rest[4:], "little"), _C1, 17, _C2)
    return one, two


def unique_string(text: str) -> str:
    """The 13 characters (a-z, 2-7) for the arguments of `uniqueString` joined with a dash."""
    data = text.encode()
    one, two = (lane ^ len(data) for lane in _lanes(data))
    one = (one + two) & _MASK
    two = (two + one) & _MASK
    one, two = _avalanche(one), _avalanche(two)
    one = (one + two) & _MASK
    two = (two + one) & _MASK
    value = two << 32 | one
    return "".join(_ALPHABET[value << 5 * place >> 59 & 31] for place in range(13))
