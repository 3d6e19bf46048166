"""How people write personal data, and what trade, code and law write that only looks so: one general rule a table."""

import pytest

from sigmaguard.detector import Passage
from sigmaguard.detectors.pii import build
from sigmaguard.model import Origin, Segment
from sigmaguard.reading import Reading

PII = build({}, [])
SHOWN = 0.5  # what `basic` counts


def found(text: str) -> dict[str, str]:
    """What is found, by its text, as `basic` counts it."""
    passage = Passage(Segment("/t", Origin.USER, text), (Reading(text),))
    return {text[one.start : one.end]: one.entity for one in PII.detect((passage,))[0] if one.score >= SHOWN}


@pytest.mark.parametrize(
    ("text", "value", "entity"),
    [
        # an account, whatever parts its groups
        ("IBAN: DE89 3704 0044\n0532 0130 00.", "DE89 3704 0044\n0532 0130 00", "IBAN"),
        ("> IBAN: DE89 3704 0044\r\n> 0532 0130 00", "DE89 3704 0044\r\n> 0532 0130 00", "IBAN"),
        ("DE89  3704  0044  0532  0130  00", "DE89  3704  0044  0532  0130  00", "IBAN"),
        ("DE89.3704.0044.0532.0130.00", "DE89.3704.0044.0532.0130.00", "IBAN"),
        ("IBANDE89370400440532013000", "DE89370400440532013000", "IBAN"),
        ("konto de89370400440532013000 bitte", "de89370400440532013000", "IBAN"),
        # the serial that is printed on a card has its check digit behind it, if at all
        ("Personalausweis L01X00T47", "L01X00T47", "DE_ID_CARD"),
        ("Ausweisnummer: L01X00T471", "L01X00T471", "DE_ID_CARD"),
        ("Perso L01X 00T4 7, gültig", "L01X 00T4 7", "DE_ID_CARD"),
        ("Reisepassnummer: C01X00T47", "C01X00T47", "DE_PASSPORT"),
        ("Reisepass C01X00T478", "C01X00T478", "DE_PASSPORT"),
        ("Führerschein-Nr. B072RRE2I55", "B072RRE2I55", "DE_DRIVER_LICENSE"),
        # numbers of offices, in the groups people write
        ("Steuer-ID: 86.095.742.719", "86.095.742.719", "DE_TAX_ID"),
        ("Steuer-ID 86-095-742-719", "86-095-742-719", "DE_TAX_ID"),
        ("| Name | Steuer-ID |\n|---|---|\n| x | 86095742719 |", "86095742719", "DE_TAX_ID"),
        ("Steuernr. 2181508150", "2181508150", "DE_TAX_NUMBER"),
        ("Steuernummer 5133081508159", "5133081508159", "DE_TAX_NUMBER"),
        ("15-070649-C-103", "15-070649-C-103", "DE_SOCIAL_SECURITY"),
        ("15 07 06 49 C 103", "15 07 06 49 C 103", "DE_SOCIAL_SECURITY"),
        # phones: no gap behind the colon, groups of two, a request to call
        ("Tel.:0221 4455667", "0221 4455667", "PHONE"),
        ("tel:+492214455667", "+492214455667", "PHONE"),
        ("02 21 / 4 45 56 67", "02 21 / 4 45 56 67", "PHONE"),
        ("Rufen Sie mich an: 0221-4455667", "0221-4455667", "PHONE"),
        # birthdays
        ('"birthDate":"1980-03-12T00:00:00Z"', "1980-03-12", "DATE_OF_BIRTH"),
        ("date of birth: 12-Mar-1980", "12-Mar-1980", "DATE_OF_BIRTH"),
        ("Geburtsdatum: 19800312", "19800312", "DATE_OF_BIRTH"),
        ("Der am 12.03.1980 in Bonn geborene Kläger", "12.03.1980", "DATE_OF_BIRTH"),
        ("die Beklagte (*12.03.1980)", "12.03.1980", "DATE_OF_BIRTH"),
        # an `@` spelled in one word with the rest
        ("jan.meier(at)firma.de", "jan.meier(at)firma.de", "EMAIL"),
        ("jan[at]firma[dot]de", "jan[at]firma[dot]de", "EMAIL"),
        ("Karte 4111.1111.1111.1111", "4111.1111.1111.1111", "CARD"),
        # a card, whatever parts its groups, tables and ends of lines included
        ("Karte: 4111\t1111\t1111\t1111", "4111\t1111\t1111\t1111", "CARD"),
        ("Karte: 4111  1111  1111  1111", "4111  1111  1111  1111", "CARD"),
        ("4111\u20131111\u20131111\u20131111", "4111\u20131111\u20131111\u20131111", "CARD"),
        ("Karte: 4111/1111/1111/1111", "4111/1111/1111/1111", "CARD"),
        ("Karte: 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "CARD"),
        ("Karte: 4111 1111\n1111 1111", "4111 1111\n1111 1111", "CARD"),
        ("> card number 4111 1111 1111\r\n> 1111", "4111 1111 1111\r\n> 1111", "CARD"),
        ("card_4111111111111111", "4111111111111111", "CARD"),
        # words of scripts without gaps touch a value and are no part of it
        ("MAC:00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E", "MAC_ADDRESS"),
        ("block 93.184.216.34-93.184.216.40", "93.184.216.34", "IP_ADDRESS"),
        ("Host/93.184.216.34 down", "93.184.216.34", "IP_ADDRESS"),
        ("卡号4111111111111111,谢谢", "4111111111111111", "CARD"),
        ("카드는4111 1111 1111 1111입니다", "4111 1111 1111 1111", "CARD"),
        ("邮箱anna.schmidt@example.org是", "anna.schmidt@example.org", "EMAIL"),
        ("anna@例子.中国", "anna@例子.中国", "EMAIL"),
        ("電話+49 30 901820です", "+49 30 901820", "PHONE"),
        (
            "1600 Pennsylvania Avenue NW, Washington, DC 20500",
            "1600 Pennsylvania Avenue NW, Washington, DC 20500",
            "ADDRESS",
        ),
    ],
)
def test_what_people_write_is_found(text: str, value: str, entity: str) -> None:
    assert found(text).get(value) == entity


@pytest.mark.parametrize(
    "text",
    [
        # months from and to, as in every curriculum vitae
        "03/2023 - 09/2024 Projektleitung",
        "01.2019 – 12.2021 Elternzeit",
        # columns and lines of amounts, votes: one in ten has a good checksum
        "Konto Soll\n4404 1600\n4405 1700",
        "4111\t1111\t1111\t1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "<w:t>4732</w:t><w:t>8559</w:t><w:t>9689</w:t><w:t>5094</w:t>",
        # numbers of trade
        "Artikel-Nr. 0221-445566 ist lieferbar",
        "Auftragsnummer: 0170 1234567",
        "Order no. 0171 2345678",
        "DFARS 252.227-7013 applies",
        # places of law reports and books, a noun with a count
        "BGH NJW 2019, 1881 Rn. 23",
        "Band 12 1998 Berlin",
        "Copyright 2003, 2004 Example Software",
        "Die Straße 5 Minuten weiter ist gesperrt.",
        # slices, versions, products
        "return a[..., 0::2], a[..., 1::2], a[::2]",
        "Mozilla/5.0 AppleWebKit/537.36 Chrome/122.0.0.0 Safari/537.36",
        "libfoo 1.2.5.1-2 and v 1.10.2.3",
        # pieces of serial numbers and fingerprints
        "Serial Number: 04:1f:2e:3d:4c:5b:6a:79:88:97:a6:b5:c4:d3:e2:f1:00:11",
        "path 66-12-29-13-47-32-17-19-29-44-11-26-15",
        "codes 1122.3344.5566.7788",
        # columns of a table, names of pictures
        "4111\t1111\t1111\t1111\t5000",
        "2000\t4111\t1111\t1111\t1111",
        "img_4111111111111111_n.jpg",
        # who signs in to a server
        "SENTRY_DSN=https://0a1b2c@errors.example.org/4",
        # marked numbers count only where they are named; a passport where the name of one stands by it
        "Summe 86.095.742.719 Euro",
        "Teil L01X00T47 und B072RRE2I55",
        "Personalausweis PFLTRZWKX",
        "Ausweisnummer L01X00T472",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert found(text) == {}
