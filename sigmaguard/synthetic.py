"""Values of the same shape as another, with valid checksums where the shape has one. Deterministic by key."""

import random
import string
from hashlib import blake2b

_FAMILY = ("Berger", "Lindner", "Sommer", "Falk", "Winter", "Hartmann", "Reimann", "Vogt", "Brandt", "Keller")
_GIVEN = ("Alex", "Kim", "Robin", "Toni", "Sascha", "Jona", "Mika", "Noah", "Charlie", "Luca")


SHORTEST = 6  # code points: a shorter value would be found in words that have nothing to do with it


def synthetic(entity: str, value: str, key: bytes, attempt: int = 0) -> str:
    """Another value of the same entity and shape; the same one for the same value, key and attempt."""
    written = f"{attempt}/{value}".encode("utf-8", "surrogatepass")
    seed = blake2b(written, key=key[:64], digest_size=8).digest()
    dice = random.Random(seed)
    match entity:
        case "EMAIL":
            return f"{dice.choice(_GIVEN).lower()}.{dice.choice(_FAMILY).lower()}{dice.randrange(100)}@example.com"
        case "PERSON":
            parts = max(1, len(value.split()))
            return " ".join([dice.choice(_GIVEN) for _ in range(parts - 1)] + [dice.choice(_FAMILY)])
        case "IBAN":
            return _iban(value, dice)
        case "CARD":
            return _card(value, dice)
        case _:
            return _same_shape(value, dice)


def _same_shape(value: str, dice: random.Random) -> str:
    return "".join(
        dice.choice(string.digits)
        if one.isdigit()
        else dice.choice(string.ascii_uppercase)
        if one.isupper()
        else dice.choice(string.ascii_lowercase)
        if one.isalpha()
        else one
        for one in value
    )


def _iban(value: str, dice: random.Random) -> str:
    """Same country and grouping, new account, check digits after ISO 13616 (mod 97)."""
    compact = "".join(one for one in value if one.isalnum()).upper()
    if len(compact) < 5 or not compact.isascii():
        return _same_shape(value, dice)
    account = "".join(dice.choice(string.digits) if one.isdigit() else one for one in compact[4:])
    digits = "".join(str(int(one, 36)) for one in account + compact[:2] + "00")
    return _regroup(f"{compact[:2]}{98 - int(digits) % 97:02d}{account}", value)


def _card(value: str, dice: random.Random) -> str:
    """Same length and grouping, first digit kept, last digit after Luhn (ISO/IEC 7812)."""
    length = sum(one.isdigit() for one in value)
    body = next((one for one in value if one.isdigit()), "4")
    body += "".join(dice.choice(string.digits) for _ in range(max(0, length - 2)))
    total = 0
    for at, one in enumerate(reversed(body)):
        digit = int(one) * (2 if at % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return _regroup(body + str(-total % 10), value)


def _regroup(compact: str, shape: str) -> str:
    rest = iter(compact)
    return "".join(next(rest, "") if one.isalnum() else one for one in shape)
