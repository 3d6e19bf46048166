"""Presidio's American and British recognizers, without their matches inside other things."""

from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import (
    MedicalLicenseRecognizer,
    NhsRecognizer,
    UkNinoRecognizer,
    UsBankRecognizer,
    UsItinRecognizer,
    UsLicenseRecognizer,
    UsPassportRecognizer,
    UsSsnRecognizer,
)


class Ssn(UsSsnRecognizer):
    """Social Security numbers: with hyphens likely, otherwise only where something says so."""

    PATTERNS = [
        Pattern("hyphens", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", 0.6),
        Pattern("other", r"\b[0-9]{3}([ .]?)[0-9]{2}\1[0-9]{4}\b", 0.3),
    ]


class Itin(UsItinRecognizer):
    """Individual taxpayer numbers: with hyphens likely, otherwise only where something says so."""

    PATTERNS = [
        Pattern("hyphens", r"\b9\d{2}-(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])-\d{4}\b", 0.6),
        Pattern("other", r"\b9\d{2} ?(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9]) ?\d{4}\b", 0.3),
    ]


class DeaNumber(MedicalLicenseRecognizer):
    """DEA registrations of prescribers; Presidio finds them inside hashes, too."""

    PATTERNS = [Pattern("word", r"\b[ABCDEFGHJKLMPRSTUX][A-Z9]\d{7}\b", 0.4)]

    def validate_result(self, pattern_text: str) -> bool | None:  # type: ignore[override]
        """The checksum; the pattern keeps its score, since one in ten passes by chance."""
        return None if super().validate_result(pattern_text) else False


class Nhs(NhsRecognizer):
    """NHS numbers; one phone number in eleven has a good checksum."""

    def validate_result(self, pattern_text: str) -> bool | None:  # type: ignore[override]
        """The checksum; the pattern keeps its score."""
        return None if super().validate_result(pattern_text) else False


class Nino(UkNinoRecognizer):
    """National insurance numbers in capitals; a prefix that was never issued is none."""

    PATTERNS = [
        Pattern(
            "capitals",
            r"\b(?!BG|GB|NK|KN|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b",
            0.6,
        )
    ]


class DriverLicense(UsLicenseRecognizer):
    """American driver's licences: one letter and seven to fourteen digits, or nine digits (AAMVA table)."""

    PATTERNS = [
        Pattern("letters", r"\b[A-Z]{1,2}\d{3,7}[ -]?\d{3,5}(?:[ -]?\d{2,4})?\b", 0.3),
        Pattern("digits", r"\b\d{7,12}\b", 0.3),
    ]


class Passport(UsPassportRecognizer):
    """American passports: nine digits, or since 2021 a letter and eight."""

    PATTERNS = [Pattern("nine", r"\b[A-Z0-9]\d{8}\b", 0.3)]


class BankAccount(UsBankRecognizer):
    """Account numbers of no checksum."""

    PATTERNS = [Pattern("digits", r"\b\d{4}[ -]?\d{4}(?:[ -]?\d{1,4}){0,3}\b", 0.3)]
