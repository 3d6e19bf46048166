"""Presidio's German recognizers, also in the grouped ways people write these numbers."""

import re

from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import (
    DeFuehrerscheinRecognizer,
    DeHealthInsuranceRecognizer,
    DeIdCardRecognizer,
    DeKfzRecognizer,
    DePassportRecognizer,
    DeSocialSecurityRecognizer,
    DeTaxIdRecognizer,
    DeTaxNumberRecognizer,
    DeVatIdRecognizer,
)

_GAPS = re.compile(r"[\s/.-]")


class TaxId(DeTaxIdRecognizer):
    """Steuer-Identifikationsnummer: `86095742719` and, as on letters of the tax office, `86 095 742 719`."""

    PATTERNS = [
        Pattern("grouped", r"[1-9](?<![\w.,/-]\d)\d \d{3} \d{3} \d{3}(?![\w-]|[.,/]\d)", 0.6),
        # with points it may as well be an amount: only where it is named
        Pattern("marked", r"[1-9](?<![\w.,/-]\d)\d([./-])\d{3}\1\d{3}\1\d{3}(?![\w-]|[.,/]\d)", 0.3),
        Pattern("plain", r"[1-9](?<![\w.,/-]\d)\d{10}(?![\w-]|[.,/]\d)", 0.5),
    ]

    def validate_result(self, pattern_text: str) -> bool | None:
        """The checksum; a plain number keeps its pattern's score, since one in ten passes by chance."""
        if not super().validate_result(_GAPS.sub("", pattern_text)):
            return False
        return None


class SocialSecurity(DeSocialSecurityRecognizer):
    """Rentenversicherungsnummer: `15070649C103`, `15 070649 C 103`, `15 07 06 49 C 103` and `15-070649-C-103`."""

    PATTERNS = [
        Pattern("grouped", r"\d(?<![\w-]\d)\d[ /-]?\d\d ?\d\d ?\d\d[ /-]?[A-Za-z][ /-]?\d{3}(?![\w-])", 0.5),
    ]

    def validate_result(self, pattern_text: str) -> bool | None:
        """The checksum, gaps aside."""
        return super().validate_result(_GAPS.sub("", pattern_text))


class HealthInsurance(DeHealthInsuranceRecognizer):
    """Krankenversichertennummer: `A000500015` and `A 000 500 015`."""

    PATTERNS = [Pattern("grouped", r"[A-Z](?<![\w-][A-Z]) ?\d{3} ?\d{3} ?\d{3}(?![\w-]|[.,]\d)", 0.3)]

    def validate_result(self, pattern_text: str) -> bool | None:
        """The checksum, gaps aside; the pattern keeps its score, since one in ten passes by chance."""
        return None if super().validate_result(_GAPS.sub("", pattern_text)) else False


# No letter that can be taken for another or makes a word (BSI TR-03105, ICAO Doc 9303 part 3)
_SERIAL = "[CFGHJKLMNPRTVWXYZ0-9]"
_SERIAL_PATTERNS = [
    Pattern(
        "serial, in groups or not",
        rf"[CFGHJKLMNPRTVWXYZ](?<![\w-][A-Z]){_SERIAL}{{3}} ?{_SERIAL}{{4}} ?{_SERIAL}\d?(?![\w-])",
        0.3,
    )
]


def _is_serial(written: str) -> bool:
    """Nine characters, at least two of them digits; the tenth, where it is there, is their check digit.

    Presidio takes the ninth for the check digit, and so refuses nine in ten of the numbers printed on the cards:
    the serial of the authorities' own specimen, `L01X00T47`, has its check digit behind it.
    """
    serial = written.replace(" ", "")
    if sum(map(str.isdigit, serial[:9])) < 2:
        return False
    total = sum(int(char, 36) * (7, 3, 1)[at % 3] for at, char in enumerate(serial[:9]))
    return len(serial) == 9 or total % 10 == int(serial[9])


class IdCard(DeIdCardRecognizer):
    """Serials of identity cards: `L01X00T47`, `L01X 00T4 7`, and with the check digit `L01X00T471`."""

    PATTERNS = _SERIAL_PATTERNS

    def validate_result(self, pattern_text: str) -> bool | None:
        """Only that it can be a serial; the pattern keeps its score, since any product may be numbered so."""
        return None if _is_serial(pattern_text) else False


class TravelDocument(DePassportRecognizer):
    """Serials of passports, which are built like those of identity cards: `C01X00T47`, `C01X00T478`."""

    PATTERNS = _SERIAL_PATTERNS

    def validate_result(self, pattern_text: str) -> bool:
        """Only that it can be a serial; a passport counts where it is named alone."""
        return _is_serial(pattern_text)


class DrivingLicence(DeFuehrerscheinRecognizer):
    """Numbers of driving licences: authority, serial, check digit and issue (`B072RRE2I55`; Anlage 8 FeV, field 5)."""

    PATTERNS = [Pattern("eleven", r"\b[A-Z]\d{2}[A-Z0-9]{6}[0-9X][A-Z0-9]\b", 0.3)]


class TaxNumber(DeTaxNumberRecognizer):
    """Steuernummern as the offices write them, with strokes or gaps, or closed up in ten to thirteen digits."""

    PATTERNS = [
        Pattern("parted", r"(?<![\w/])\d{2,3}([/ ])\d{3,4}\1\d{4,5}(?![\w/])", 0.3),
        Pattern("closed up", r"\b\d{10,11}\b|\b[1-9]\d{12}\b", 0.3),
    ]


class VatId(DeVatIdRecognizer):
    """Umsatzsteuer-Identifikationsnummer: `DE136695976` and `DE 136 695 976`, whose checksum holds."""

    PATTERNS = [Pattern("grouped", r"DE(?<![\w-]DE) ?\d{3}[ .]?\d{3}[ .]?\d{3}(?![\w-]|[.,]\d)", 0.5)]

    def __init__(self) -> None:
        super().__init__(strict_checksum=True)


# Registration districts (Anlage 1 zu § 8 FZV)
_PLATES = """
A B C D E F G H J K L M N P R S T V W Z AA AB AC AE AF AH AK AM AN AP AS AU AW AZ BA BB BC BE BF BH BI BK BL BM
BN BO BR BS BT BZ CB CE CO CR CW DA DB DD DE DI DL DM DN DO DU EA EB ED EE EH EI EL EM EN ER ES EU EW FB FD FF
FG FI FL FN FO FR FS FT FW GA GC GD GE GF GG GI GK GL GM GN GP GR GS GT GU GV GW GZ HA HB HC HD HE HF HG HH HI
HK HL HM HN HO HP HR HS HU HV HX HY HZ IK IL IN IS IZ JE JL KA KB KC KE KF KG KH KI KK KL KM KN KO KR KS KT KU
KW KY LA LB LC LD LE LF LG LH LI LL LM LN LO LP LR LS LU LV LW LX LZ MA MB MC MD ME MG MH MI MK ML MM MN MO MQ
MR MS MT MU MW MY MZ NB ND NE NF NH NI NK NL NM NO NP NR NT NU NW NY NZ OA OB OC OD OE OF OG OH OK OL OP OR OS
OZ PA PB PE PF PI PK PL PM PN PR PS PW PZ QB RA RC RD RE RG RH RI RL RM RN RO RP RS RT RU RV RW RY RZ SB SC SE
SF SG SH SI SK SL SM SN SO SP SR ST SU SW SY SZ TA TE TF TG TO TP TR TS TT TU TÜ UE UH UL UM UN VB VE VG VK VR
VS WA WB WC WE WF WI WK WL WM WN WO WR WS WT WU WW WY WZ ZE ZI ZP ZR ZS ZW ZZ AIC ANA AÖ BAD BAR BBG BGL BIR BIT
BKS BLK BOR BOT BRA BRB BÜS CAS CHA CLP COC COE CUX DAH DAN DAU DBR DEG DEL DGF DIN DLG DON DÜW EBE EIC EIL EIS
EMD ERB ERH ERZ ESB ESW EUT FAL FDS FFB FKB FOR FRG FRI FTL FÜ FÜS GAP GER GOE GÖ GRZ GTH GUB GUN GVM GÜ GZS HAL
HAM HAS HBN HBS HDH HEF HEI HER HGW HIG HIP HMÜ HOG HOL HOM HOR HRO HSK HST HVL HWI HÖX IGB KEH KEL KIB KLE KÖN
KÖT KÜN KUS LAN LAU LBS LBZ LDK LDS LER LEV LIF LIP LIN LOS LRO LSA LUP LWL LÖ LÖB LÜN MAK MAL MEI MEK MEL MET
MGH MGN MHL MIL MKK MOD MOL MON MOS MSH MSP MST MTK MTL MÜ MÜB MÜR MVL MYK MZG NAB NAI NDH NEA NEB NEN NES NEW
NMB NMS NOH NOL NOM NOR NRÜ NÖ NVP NWM OAL OBB OBG OCH OHA OHV OHZ OPR OSL OVI OVL OVP PAF PAN PAR PCH PEG PIR
PLÖ PRÜ PSW QFT QLB RDG REG REH REI RID RIE ROD ROF ROK ROL ROS ROT ROW RPL RSL RÜD RÜG SAB SAD SAN SAW SBG SBK
SCZ SDH SDL SDT SEB SEE SEF SEL SFB SFT SGH SHA SHG SHK SHL SIG SIM SLE SLF SLK SLN SLS SLÜ SMÜ SOB SOG SOK SON
SPB SPN SRB SRO STA STB STD STE STL STO SUL SWA SÖM SÜW TBB TDO TET TIR TÖL TÜB ÜB UEM UER UFF USI VAI VEC VER
VIB VIE VIT VOH WAF WAK WAN WAR WAT WBS WDA WEL WEN WER WES WHV WIL WIS WIT WIZ WLG WMS WND WOB WOH WOL WOR WOS
WRN WSF WST WSW WTM WUG WUN WUR WZL WÜ ZEL ZIG
"""
_DISTRICTS = frozenset(_PLATES.split())


class Plate(DeKfzRecognizer):
    """Kfz-Kennzeichen in capitals, of a district that exists: `M-AB 1234`, `HH AB 12E`."""

    PATTERNS = [
        Pattern(
            "hyphen and space", r"[A-ZÄÖÜ](?<![\w-][A-ZÄÖÜ])[A-ZÄÖÜ]{0,2}-[A-Z]{1,2} ?[1-9]\d{0,3}[EH]?(?![\w-])", 0.45
        ),
        Pattern("spaces", r"[A-ZÄÖÜ](?<![\w-][A-ZÄÖÜ])[A-ZÄÖÜ]{0,2} [A-Z]{1,2} [1-9]\d{0,3}[EH]?(?![\w-])", 0.3),
        Pattern("hyphens", r"[A-ZÄÖÜ](?<![\w-][A-ZÄÖÜ])[A-ZÄÖÜ]{0,2}-[A-Z]{1,2}-[1-9]\d{0,3}[EH]?(?![\w-])", 0.3),
    ]

    def validate_result(self, pattern_text: str) -> bool | None:
        """Only that the district exists."""
        return None if re.split("[ -]", pattern_text, maxsplit=1)[0] in _DISTRICTS else False
