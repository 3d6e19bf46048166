"""Values of every kind of personal data, valid where the kind has a check digit. Knows formats, no text."""

from __future__ import annotations

import random
from collections.abc import Callable

from faker import Faker
from presidio_analyzer import PatternRecognizer
from presidio_analyzer.predefined_recognizers import (
    DeHealthInsuranceRecognizer,
    DeIdCardRecognizer,
    DeSocialSecurityRecognizer,
    DeTaxIdRecognizer,
    DeVatIdRecognizer,
    MedicalLicenseRecognizer,
    NhsRecognizer,
)

from pii.german import German

ICAO = "CFGHJKLMNPRTVWXYZ"
DISTRICTS = ("B", "M", "HH", "K", "F", "S", "DD", "L", "HB", "KA", "FR", "MZ", "ERH", "OAL")


class Values:
    """Deals values; German names and towns are those the tagger never saw."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.german = German(dice, held=True)
        self.de, self.us, self.uk = Faker("de_DE"), Faker("en_US"), Faker("en_GB")
        for at, one in enumerate((self.de, self.us, self.uk)):
            one.seed_instance(dice.randrange(2**32) + at)
        self._checks: dict[str, PatternRecognizer] = {
            "tax": DeTaxIdRecognizer(), "social": DeSocialSecurityRecognizer(), "health": DeHealthInsuranceRecognizer(),
            "card": DeIdCardRecognizer(), "vat": DeVatIdRecognizer(strict_checksum=True), "nhs": NhsRecognizer(),
            "dea": MedicalLicenseRecognizer(),
        }  # fmt: skip

    def digits(self, count: int, first: str = "0123456789") -> str:
        """`count` random digits."""
        return self.dice.choice(first) + "".join(self.dice.choice("0123456789") for _ in range(count - 1))

    def _valid(self, check: str, make: Callable[[], str]) -> str:
        while True:
            value = make()
            if self._checks[check].validate_result(value):
                return value

    def value(self, entity: str, lang: str) -> str:
        """One value of an entity as people of a language write it."""
        made: str = getattr(self, entity.lower())(lang)
        return made

    def email(self, lang: str) -> str:
        """An address of mail."""
        return (self.de if lang == "de" else self.us).email()

    def phone(self, lang: str) -> str:
        """A number in one of its usual writings."""
        dice = self.dice
        if lang == "de":
            area, rest = dice.choice(("30", "40", "89", "221", "69", "711", "341")), self.digits(7, "23456789")
            # one digit more where the network's numbers have it
            mobile = dice.choice(
                ("160", "170", "171", "172", f"151 {self.digits(1)}", f"176 {self.digits(1)}")
            ).replace(" ", "")
            return dice.choice((
                f"+49 {area} {rest}", f"0{area} {rest}", f"0{area}/{rest}", f"(0{area}) {rest[:3]} {rest[3:]}",
                f"+49 {mobile} {rest}", f"0{mobile} {rest}", f"0{mobile}-{rest}", f"0049{mobile}{rest}",
            ))  # fmt: skip
        code, rest = dice.choice(("212", "415", "312", "617", "206")), f"{self.digits(3, '23456789')}-{self.digits(4)}"
        return dice.choice((
            f"({code}) {rest}", f"{code}-{rest}", f"+1 {code}-{rest}", f"{code}.{rest.replace('-', '.')}",
            f"+44 20 7946 {self.digits(4)}", f"07700 900{self.digits(3)}",
        ))  # fmt: skip

    def iban(self, lang: str) -> str:
        """An account, in groups of four half of the time."""
        made = (self.de if lang == "de" else self.uk).iban()
        return " ".join(made[at : at + 4] for at in range(0, len(made), 4)) if self.dice.random() < 0.5 else made

    def card(self, lang: str) -> str:
        """A card's number, grouped half of the time."""
        made = self.us.credit_card_number(self.dice.choice(("visa16", "mastercard", "amex")))
        if self.dice.random() < 0.5 or len(made) != 16:
            return made
        return self.dice.choice((" ", "-")).join(made[at : at + 4] for at in range(0, 16, 4))

    def date_of_birth(self, lang: str) -> str:
        """A date."""
        day = self.us.date_of_birth()
        german = (f"{day:%d.%m.%Y}", f"{day.day}.{day.month}.{day.year}", f"{day:%Y-%m-%d}")
        return self.dice.choice(
            german if lang == "de" else (f"{day:%m/%d/%Y}", f"{day:%B} {day.day}, {day.year}", f"{day:%Y-%m-%d}")
        )

    def address(self, lang: str) -> str:
        """Street, number, code and town on one line."""
        if lang == "de":
            return f"{self.german.street()}, {self.digits(5, '123456789')} {self.dice.choice(self.german.cities)}"
        street = f"{self.dice.randrange(1, 9999)} {self.us.last_name()} {self.dice.choice(('Street', 'Avenue', 'Road', 'Lane', 'Drive'))}"
        return f"{street}, {self.us.city()}, {self.us.state_abbr()} {self.us.zipcode()}"

    def ip_address(self, lang: str) -> str:
        """A public address."""
        return (
            self.us.ipv4_public()
            if self.dice.random() < 0.8
            else f"2a02:{self.digits(4)}:{self.digits(3, '1234')}::{self.digits(2)}"
        )

    def mac_address(self, lang: str) -> str:
        """A hardware address."""
        return self.us.mac_address()

    def crypto(self, lang: str) -> str:
        """A few documented wallets: their checksum is long."""
        return self.dice.choice((
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        ))  # fmt: skip

    def de_tax_id(self, lang: str) -> str:
        """A Steuer-ID, grouped half of the time."""
        made = self._valid("tax", lambda: self.digits(11, "123456789"))
        return f"{made[:2]} {made[2:5]} {made[5:8]} {made[8:]}" if self.dice.random() < 0.5 else made

    def de_social_security(self, lang: str) -> str:
        """A Rentenversicherungsnummer."""
        day = self.us.date_of_birth()
        make = lambda: f"{self.digits(2)}{day:%d%m%y}{self.dice.choice('ABCDEFGHKLMNPRSTW')}{self.digits(3)}"  # noqa: E731
        made = self._valid("social", make)
        return f"{made[:2]} {made[2:8]} {made[8]} {made[9:]}" if self.dice.random() < 0.4 else made

    def de_health_insurance(self, lang: str) -> str:
        """A Krankenversichertennummer."""
        return self._valid("health", lambda: self.dice.choice("ABCDEFGHKLMNPRSTW") + self.digits(9))

    def de_id_card(self, lang: str) -> str:
        """The number of a Personalausweis."""
        return self._valid(
            "card",
            lambda: (
                self.dice.choice("LMPRTVWXYZ")
                + "".join(self.dice.choice(ICAO + "0123456789") for _ in range(7))
                + self.digits(1)
            ),
        )

    def de_passport(self, lang: str) -> str:
        """The number of a Reisepass."""
        return self._valid(
            "card", lambda: "C" + "".join(self.dice.choice(ICAO + "0123456789") for _ in range(7)) + self.digits(1)
        )

    def de_vat_id(self, lang: str) -> str:
        """A USt-IdNr."""
        return self._valid("vat", lambda: f"DE{self.digits(9, '123')}")

    def de_license_plate(self, lang: str) -> str:
        """A Kennzeichen."""
        letters = "".join(self.dice.choice("ABCEFHKLMNPRSTWX") for _ in range(self.dice.choice((1, 2))))
        return f"{self.dice.choice(DISTRICTS)}-{letters} {self.digits(self.dice.choice((2, 3, 4)), '123456789')}"

    def de_company_register(self, lang: str) -> str:
        """A number of the Handelsregister."""
        return f"HR{self.dice.choice('AB')} {self.digits(self.dice.choice((4, 5, 6)), '123456789')}"

    def us_ssn(self, lang: str) -> str:
        """A Social Security number."""
        return self.us.ssn()

    def us_passport(self, lang: str) -> str:
        """A passport's number."""
        return self.digits(9, "123456789")

    def us_driver_license(self, lang: str) -> str:
        """A driver's licence."""
        return self.dice.choice("ABCDFHKLMNPRSTW") + self.digits(8)

    def uk_nhs(self, lang: str) -> str:
        """An NHS number."""
        made = self._valid("nhs", lambda: self.digits(10, "3456789"))
        return f"{made[:3]} {made[3:6]} {made[6:]}" if self.dice.random() < 0.6 else made

    def uk_nino(self, lang: str) -> str:
        """A national insurance number."""
        made = f"{self.dice.choice(('AB', 'CE', 'JK', 'LM', 'PR', 'SX'))}{self.digits(6)}{self.dice.choice('ABCD')}"
        return f"{made[:2]} {made[2:4]} {made[4:6]} {made[6:8]} {made[8]}" if self.dice.random() < 0.5 else made

    def medical_license(self, lang: str) -> str:
        """A DEA number."""
        return self._valid(
            "dea", lambda: self.dice.choice("ABFM") + self.dice.choice("ABCDEFGHKLMNPRST") + self.digits(7)
        )

    def person(self, lang: str) -> str:
        """Someone's full name."""
        return self.german.person() if lang == "de" else f"{self.us.first_name()} {self.us.last_name()}"

    def location(self, lang: str) -> str:
        """A town."""
        return self.dice.choice(self.german.cities) if lang == "de" else self.dice.choice(US_CITIES)

    def organization(self, lang: str) -> str:
        """A firm."""
        return self.german.firm() if lang == "de" else self.us.company()


US_CITIES = (
    "Boston Chicago Denver Seattle Houston Phoenix Dallas Austin Atlanta Portland Cleveland Memphis Baltimore Milwaukee "
    "London Manchester Leeds Glasgow Bristol Liverpool Sheffield Cardiff Belfast Edinburgh Toronto Sydney Dublin"
).split()
