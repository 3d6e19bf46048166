"""Business mail with personal data and secrets in it, new ones each time. Knows values, no HTTP."""

import zlib
from collections.abc import Iterator
from random import Random

from leaks.material import TOKENS, human_password

SEED = 20261124
DEALT = 500  # sets of values made before the load begins; the address makes every text new all the same
MARK = "@mail.example.org"  # every address ends in it: a provider that sees it was sent a value

_MAIL = (
    "Hello team, please confirm the order of {first} to {mail} by Friday. The invoice goes to IBAN {iban}, the deposit "
    "was paid with card {card}, and for questions the customer can be called at {phone}. The staging system is reached "
    "with {token} and its password is {password} until the end of the month. The delivery leaves the warehouse in "
    "Hamburg on Tuesday and should arrive two days later; please tell the customer if it does not, and close the ticket."
)


def texts() -> Iterator[tuple[str, str]]:
    """An endless row of mails, each with the address in it, which no other has."""
    dice = Random(SEED)
    dealt = [_values(dice) for _ in range(DEALT)]
    number = 0
    while True:
        number += 1
        mail = f"order.{number}{MARK}"
        yield _MAIL.format(mail=mail, first=f"{number} chairs", **dealt[number % DEALT]), mail


def _values(dice: Random) -> dict[str, str]:
    return {
        "iban": _iban(dice),
        "card": _card(dice),
        "phone": f"+49 30 {dice.randint(2_000_000, 9_999_999)}",
        "token": TOKENS[dice.choice(("github", "slack bot", "openai", "aws key id"))](dice),
        "password": human_password(dice) + str(zlib.crc32(dice.randbytes(4)) % 100),
    }


def _iban(dice: Random) -> str:
    account = f"{dice.randrange(10**18):018d}"
    check = 98 - int(f"{account}131400") % 97  # ISO 13616: DE as 13 14
    return f"DE{check:02d}{account}"


def _card(dice: Random) -> str:
    digits = [4, *(dice.randrange(10) for _ in range(14))]
    total = sum(sum(divmod(2 * one, 10)) if at % 2 == 0 else one for at, one in enumerate(digits))
    return "".join(map(str, [*digits, -total % 10]))
