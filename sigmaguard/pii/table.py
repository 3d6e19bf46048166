"""Every kind of personal data found by its shape, and when it counts. Knows the rows, runs nothing."""

from collections.abc import Callable, Sequence
from typing import Any

from presidio_analyzer import PatternRecognizer
from presidio_analyzer.predefined_recognizers import (
    AbaRoutingRecognizer,
    CryptoRecognizer,
    DeBsnrRecognizer,
    DeHandelsregisterRecognizer,
    DeLanrRecognizer,
    UkDrivingLicenceRecognizer,
    UkPassportRecognizer,
    UkPostcodeRecognizer,
    UkVehicleRegistrationRecognizer,
    UsMbiRecognizer,
    UsNpiRecognizer,
)

from sigmaguard.pii import anglo, generic, german
from sigmaguard.pii.address import Address
from sigmaguard.pii.dates import BirthDate, DateThenBorn
from sigmaguard.pii.kind import Kind, Spans
from sigmaguard.pii.patterns import PatternSpans
from sigmaguard.pii.phone import REGIONS, Phone
from sigmaguard.pii.words import WORDS

# Gates: the part of a pattern that tells nearly every text apart. A letter or digit beyond ASCII is some bytes over 7F.
_COIN = r"(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25}"
_HARDWARE = r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\."
_GERMAN_SERIAL = r"[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{3} ?[CFGHJKLMNPRTVWXYZ0-9]{4} ?[CFGHJKLMNPRTVWXYZ0-9]"
_PLATE = r"[A-Z\x80-\xff][ -][A-Z]{1,2}[ -]?[1-9]"
_MBI = r"[0-9][A-Z][0-9A-Z][0-9]-?[A-Z][0-9A-Z][0-9]"
_NINO = r"[A-Z]{2} ?[0-9\x80-\xff]{2}"
_DRIVER = r"[A-Z9]{5}[0-9]{5}"

LANGUAGES = {"DE": "de", "US": "en", "UK": "en", "MEDICAL": "en"}  # by how an entity begins


def of(recognizer: Callable[[], PatternRecognizer]) -> Callable[[], Spans]:
    """How to build the fast form of a pattern recognizer."""
    return lambda: PatternSpans(recognizer())


def _kind(entity: str, presidio: str, build: Callable[[], Spans], **rest: Any) -> Kind:
    language = LANGUAGES.get(entity.partition("_")[0], "")
    return Kind(entity, presidio, build, context=WORDS.get(entity, ()), language=language, **rest)


def kinds(regions: Sequence[str] = REGIONS) -> tuple[Kind, ...]:
    """Every kind, the surest first: among overlapping findings of one score and length the first wins."""
    return (*_generic(regions), *_german(), *_american(), *_british())


def _generic(regions: Sequence[str]) -> tuple[Kind, ...]:
    return (
        _kind("EMAIL", "EMAIL_ADDRESS", generic.Email, needs=("@",), digits=0, chars=320),
        _kind("EMAIL", "EMAIL_ADDRESS", of(generic.SpelledEmail), digits=0, chars=320, gate=generic.SpelledEmail.GATE),
        _kind("IBAN", "IBAN_CODE", lambda: generic.Iban(), digits=8, chars=generic.ACCOUNT, sure=True),
        _kind("CARD", "CREDIT_CARD", of(generic.Card), alone=1.0, digits=12, gate=generic.Card.GATE),
        _kind("CRYPTO", "CRYPTO", of(CryptoRecognizer), needs=("bc1", "1", "3"), chars=90, gate=_COIN),
        _kind("IP_ADDRESS", "IP_ADDRESS", generic.Ip, needs=(".", "::", ":"), digits=1, chars=64, glued=True),
        _kind("MAC_ADDRESS", "MAC_ADDRESS", of(generic.Mac), digits=0, glued=True, gate=_HARDWARE),
        _kind("DATE_OF_BIRTH", "DATE_TIME", of(BirthDate), alone=0.0, digits=3, glued=True, sure=True),
        Kind("DATE_OF_BIRTH", "DATE_TIME", of(DateThenBorn), needs=("geboren", "(*"), digits=3, glued=True),
        _kind("ADDRESS", "ADDRESS", Address, named=0.7, chars=120, glued=True),
        _kind("PHONE", "PHONE_NUMBER", lambda: Phone(regions), named=0.85, digits=7, glued=True),
        _kind("PHONE", "PHONE_NUMBER", lambda: Phone(regions, loose=True), alone=0.0, named=0.85, digits=7, glued=True),
    )


def _german() -> tuple[Kind, ...]:
    return (
        _kind("DE_TAX_ID", "DE_TAX_ID", of(german.TaxId), alone=0.6, digits=11, bare=0.3),
        _kind("DE_SOCIAL_SECURITY", "DE_SOCIAL_SECURITY", of(german.SocialSecurity), digits=11),
        _kind("DE_HEALTH_INSURANCE", "DE_HEALTH_INSURANCE", of(german.HealthInsurance), alone=0.3, digits=9),
        _kind("DE_ID_CARD", "DE_ID_CARD", of(german.IdCard), alone=0.0, gate=_GERMAN_SERIAL),
        _kind("DE_PASSPORT", "DE_PASSPORT", of(german.TravelDocument), alone=0.0, gate=_GERMAN_SERIAL),
        _kind("DE_DRIVER_LICENSE", "DE_FUEHRERSCHEIN", of(german.DrivingLicence), alone=0.0, digits=3),
        _kind("DE_VAT_ID", "DE_VAT_ID", of(german.VatId), alone=0.6, needs=("DE",), digits=9),
        _kind("DE_TAX_NUMBER", "DE_TAX_NUMBER", of(german.TaxNumber), alone=0.0, digits=9, glued=True),
        _kind(
            "DE_COMPANY_REGISTER",
            "DE_HANDELSREGISTER",
            of(DeHandelsregisterRecognizer),
            alone=0.6,
            needs=("HR",),
        ),
        _kind("DE_LICENSE_PLATE", "DE_KFZ", of(german.Plate), alone=0.45, gate=_PLATE),
        _kind("DE_DOCTOR_NUMBER", "DE_LANR", of(DeLanrRecognizer), alone=0.0, digits=9),
        _kind("DE_PRACTICE_NUMBER", "DE_BSNR", of(DeBsnrRecognizer), alone=0.0, digits=9),
    )


def _american() -> tuple[Kind, ...]:
    return (
        _kind("US_SSN", "US_SSN", of(anglo.Ssn), digits=9, bare=0.3),
        _kind("US_ITIN", "US_ITIN", of(anglo.Itin), digits=9, bare=0.3),
        _kind("MEDICAL_LICENSE", "MEDICAL_LICENSE", of(anglo.DeaNumber), alone=0.3, digits=7),
        _kind("US_MBI", "US_MBI", of(UsMbiRecognizer), alone=0.5, digits=5, gate=_MBI),
        _kind("US_NPI", "US_NPI", of(UsNpiRecognizer), alone=0.0, digits=10),
        _kind("US_PASSPORT", "US_PASSPORT", of(anglo.Passport), alone=0.0, digits=8),
        _kind("US_DRIVER_LICENSE", "US_DRIVER_LICENSE", of(anglo.DriverLicense), alone=0.0, digits=6),
        _kind("US_BANK_ACCOUNT", "US_BANK_NUMBER", of(anglo.BankAccount), alone=0.0, digits=8),
        _kind("US_BANK_ROUTING", "ABA_ROUTING_NUMBER", of(AbaRoutingRecognizer), alone=0.0, digits=9),
    )


def _british() -> tuple[Kind, ...]:
    return (
        _kind("UK_NHS", "UK_NHS", of(anglo.Nhs), alone=0.3, digits=10),
        _kind("UK_NINO", "UK_NINO", of(anglo.Nino), alone=0.6, digits=6, gate=_NINO),
        _kind("UK_PASSPORT", "UK_PASSPORT", of(UkPassportRecognizer), alone=0.0, digits=7),
        _kind(
            "UK_DRIVING_LICENCE",
            "UK_DRIVING_LICENCE",
            of(UkDrivingLicenceRecognizer),
            alone=0.6,
            digits=5,
            gate=_DRIVER,
        ),
        _kind(
            "UK_VEHICLE_REGISTRATION",
            "UK_VEHICLE_REGISTRATION",
            of(UkVehicleRegistrationRecognizer),
            alone=0.0,
        ),
        _kind("UK_POSTCODE", "UK_POSTCODE", of(UkPostcodeRecognizer), alone=0.0, named=0.6, digits=2),
    )
