"""Labelled documents to measure on: German and English mail, tickets, logs, CVs and code. Trained on by nobody.

A line is a template with slots `{ENTITY}`; `{#...}` are technical decoys that must not be found. Each document
says its language, its kind, and where which value stands.
"""

from __future__ import annotations

import hashlib
import random
import re
import uuid
from collections.abc import Iterator

import msgspec

from pii.values import Values

_SLOT = re.compile(r"\{(#?[A-Z_]+)\}")


class Document(msgspec.Struct, frozen=True):
    """One labelled text; `spans` are (start, end, entity), half-open code points, in order."""

    text: str
    lang: str
    kind: str
    spans: tuple[tuple[int, int, str], ...]


LINES: dict[tuple[str, str], tuple[str, ...]] = {
    ("de", "mail"): (
        "Sehr geehrte Damen und Herren, anbei erhalten Sie die Unterlagen zu Vorgang {#TICKET}.",
        "wie besprochen überweisen Sie bitte den Betrag von 1.250,00 € auf das Konto {IBAN}.",
        "Sie erreichen mich tagsüber unter {PHONE} oder per Mail an {EMAIL}.",
        "Die Ware geht an {PERSON}, {ADDRESS}, die Rechnung an die {ORGANIZATION}.",
        "Unsere Kollegin {PERSON} aus {LOCATION} kümmert sich um die Angelegenheit.",
        "Meine Steuer-ID lautet {DE_TAX_ID}, die Rentenversicherungsnummer {DE_SOCIAL_SECURITY}.",
        "Ich bin am {DATE_OF_BIRTH} geboren und bei der Krankenkasse unter {DE_HEALTH_INSURANCE} versichert.",
        "Personalausweis Nr. {DE_ID_CARD}, Reisepass {DE_PASSPORT}.",
        "Das Fahrzeug mit dem Kennzeichen {DE_LICENSE_PLATE} wurde gestern abgeholt.",
        "Sitz der Gesellschaft: {LOCATION}, {DE_COMPANY_REGISTER}, USt-IdNr. {DE_VAT_ID}",
        "Bitte belasten Sie meine Kreditkarte {CARD}, gültig bis 08/27.",
        "Das Treffen am 14.03.2025 um 10:30 Uhr fällt aus, neuer Termin folgt.",
        "Die Bestellung 4500123987 umfasst 12 Stühle und 3 Tische zu je 149,90 €.",
        "Mit freundlichen Grüßen\n{PERSON}\n{ORGANIZATION}",
        "Der Aufsichtsrat hat dem Vorschlag in seiner Sitzung zugestimmt.",
    ),
    ("en", "mail"): (
        "Dear Sir or Madam, please find attached the documents for case {#TICKET}.",
        "please transfer the amount of $1,250.00 to account {IBAN}.",
        "You can call me on {PHONE} or write to {EMAIL} at any time.",
        "Please ship the parcel to {PERSON}, {ADDRESS}.",
        "Our colleague {PERSON} from {ORGANIZATION} will travel to {LOCATION} next week.",
        "My social security number is {US_SSN} and my passport number is {US_PASSPORT}.",
        "She was born on {DATE_OF_BIRTH} and her NHS number is {UK_NHS}.",
        "His national insurance number is {UK_NINO}; the driver's license is {US_DRIVER_LICENSE}.",
        "Please charge my credit card {CARD}, valid until 08/27.",
        "The DEA number of the prescriber is {MEDICAL_LICENSE}.",
        "The meeting on March 14, 2025 at 10:30 is cancelled, a new date will follow.",
        "Order 4500123987 contains 12 chairs and 3 tables at $149.90 each.",
        "Kind regards,\n{PERSON}",
        "The board approved the proposal in its last session and thanked everyone involved.",
    ),
    ("de", "ticket"): (
        "[{#TICKET}] Anmeldung schlägt fehl seit Version {#VERSION}",
        "Kundin {PERSON} ({EMAIL}) meldet, dass {#TECH} nicht startet.",
        "Rückruf erbeten unter {PHONE}. Gerät: {MAC_ADDRESS}, Adresse {IP_ADDRESS}.",
        "Der {#TECH}-Cluster in eu-central-1 hat {#NUMBER} Knoten, {#TECH} meldet Fehler {#NUMBER}.",
        "Trace-Id {#UUID}, Commit {#HASH}", "Bitte {#TECH} und {#TECH} neu starten, danach {#TECH} prüfen.",
        "Lieferadresse laut Profil: {ADDRESS}", "Auszahlung auf {IBAN} hängt seit {#TIME}.",
    ),
    ("en", "ticket"): (
        "[{#TICKET}] Login fails since release {#VERSION}",
        "Customer {PERSON} ({EMAIL}) reports that {#TECH} does not start.",
        "Call back on {PHONE}. Device: {MAC_ADDRESS}, address {IP_ADDRESS}.",
        "The {#TECH} cluster in us-east-1 has {#NUMBER} nodes and {#TECH} reports error {#NUMBER}.",
        "Trace id {#UUID}, commit {#HASH}", "Please restart {#TECH} and {#TECH}, then check {#TECH}.",
        "Shipping address on file: {ADDRESS}", "Payout to {IBAN} is stuck since {#TIME}.",
    ),
    ("de", "log"): (
        "{#TIME} INFO  auth - Anmeldung von {EMAIL} aus {IP_ADDRESS} in {#NUMBER} ms",
        "{#TIME} WARN  {#TECH} - Zeitüberschreitung nach {#NUMBER} ms, request={#UUID}",
        "{#TIME} ERROR zahlung - IBAN {IBAN} abgelehnt, Code {#NUMBER}",
        "{#TIME} DEBUG {#TECH} - sha={#HASH} version={#VERSION} size={#NUMBER}",
    ),
    ("en", "log"): (
        "{#TIME} INFO  auth - login of {EMAIL} from {IP_ADDRESS} in {#NUMBER} ms",
        "{#TIME} WARN  {#TECH} - timeout after {#NUMBER} ms, request={#UUID}",
        "{#TIME} ERROR billing - card {CARD} declined, code {#NUMBER}",
        "{#TIME} DEBUG {#TECH} - sha={#HASH} version={#VERSION} size={#NUMBER}",
    ),
    ("de", "cv"): (
        "Lebenslauf\nName: {PERSON}\nAnschrift: {ADDRESS}\nTelefon: {PHONE}\nE-Mail: {EMAIL}\nGeburtsdatum: {DATE_OF_BIRTH}",
        "2016 - 2020 Entwickler, {ORGANIZATION}, {LOCATION}", "Kenntnisse: {#TECH}, {#TECH}, {#TECH}, Englisch fließend",
        "2012 - 2016 Studium der Informatik in {LOCATION}, Note 1,7",
    ),
    ("en", "cv"): (
        "Curriculum vitae\nName: {PERSON}\nAddress: {ADDRESS}\nPhone: {PHONE}\nEmail: {EMAIL}\nDate of birth: {DATE_OF_BIRTH}",
        "2016 - 2020 Engineer, {ORGANIZATION}, {LOCATION}", "Skills: {#TECH}, {#TECH}, {#TECH}, fluent in German",
        "2012 - 2016 Studied computer science in {LOCATION}, GPA 3.7",
    ),
    ("de", "code"): (
        "# Konfiguration für {#TECH}\nVERSION = \"{#VERSION}\"\nTIMEOUT_MS = {#NUMBER}\nID = \"{#UUID}\"",
        "def berechne_summe(werte):\n    return sum(werte) / {#NUMBER}  # siehe {#TICKET}",
        "kontakt = {\"name\": \"{PERSON}\", \"mail\": \"{EMAIL}\", \"tel\": \"{PHONE}\"}",
        "SELECT kunde_id, betrag FROM rechnung WHERE datum > '{#DAY}' AND status = {#NUMBER};",
    ),
    ("en", "code"): (
        "# configuration of {#TECH}\nVERSION = \"{#VERSION}\"\nTIMEOUT_MS = {#NUMBER}\nID = \"{#UUID}\"",
        "def total(values):\n    return sum(values) / {#NUMBER}  # see {#TICKET}",
        "contact = {\"name\": \"{PERSON}\", \"email\": \"{EMAIL}\", \"phone\": \"{PHONE}\"}",
        "SELECT customer_id, amount FROM invoice WHERE day > '{#DAY}' AND status = {#NUMBER};",
        "wallet = \"{CRYPTO}\"  # bitcoin",
    ),
}  # fmt: skip
TECH = (
    "S3 EKS EC2 RDS Lambda Kubernetes Docker Redis Kafka Postgres Grafana Jenkins Terraform Nginx Python Java React "
    "Django GitLab Jira Confluence Elasticsearch Airflow Snowflake NullPointerException TypeError"
).split()


def decoy(kind: str, dice: random.Random) -> str:
    """Something technical that is no personal data."""
    match kind:
        case "#UUID":
            return str(uuid.UUID(int=dice.getrandbits(128), version=4))
        case "#HASH":
            return hashlib.sha1(str(dice.random()).encode()).hexdigest()[: dice.choice((7, 12, 40))]
        case "#TIME":
            return f"2025-{dice.randrange(1, 13):02}-{dice.randrange(1, 29):02}T{dice.randrange(24):02}:{dice.randrange(60):02}:07.{dice.randrange(1000):03}Z"
        case "#DAY":
            return f"2025-{dice.randrange(1, 13):02}-{dice.randrange(1, 29):02}"
        case "#VERSION":
            return f"{dice.randrange(20)}.{dice.randrange(30)}.{dice.randrange(40)}{dice.choice(('', '-rc1', '.4'))}"
        case "#NUMBER":
            return str(dice.choice((dice.randrange(1000), dice.randrange(10**6), dice.randrange(10**9, 10**10))))
        case "#TICKET":
            return f"{dice.choice(('OPS', 'CRM', 'INC'))}-{dice.randrange(100, 99999)}"
        case _:
            return dice.choice(TECH)


def documents(seed: int, count: int) -> Iterator[Document]:
    """`count` documents of every language and kind in turn."""
    dice = random.Random(seed)
    values = Values(dice)
    kinds = list(LINES)
    for at in range(count):
        lang, kind = kinds[at % len(kinds)]
        lines = LINES[lang, kind]
        chosen = dice.sample(lines, min(len(lines), dice.randrange(3, 8)))
        text, spans = "", []
        for line in chosen:
            last = 0
            for slot in _SLOT.finditer(line):
                text += line[last : slot.start()]
                last = slot.end()
                if slot[1].startswith("#"):
                    text += decoy(slot[1], dice)
                    continue
                value = values.value(slot[1], lang)
                spans.append((len(text), len(text) + len(value), slot[1]))
                text += value
            text += line[last:] + "\n"
        yield Document(text, lang, kind, tuple(spans))
