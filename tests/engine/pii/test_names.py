"""Names: people, places and organisations in German and English; technical words are none of them."""

import json
import threading
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Cost, Passage
from sigmaguard.detectors.names import NamesDetector, build
from sigmaguard.errors import ConfigError
from sigmaguard.mask import Vault, mask_segment
from sigmaguard.model import Direction, Finding, Origin, Segment
from sigmaguard.pii.english_names import MODEL, EnglishNames
from sigmaguard.pii.german_names import GermanNames
from sigmaguard.pii.language import language
from sigmaguard.pii.transitions import GreedyDecoder
from sigmaguard.reading import Reading
from sigmaguard.wire.body import apply_edits

PLAIN = spacy.load(MODEL, exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer"])
RECOGNIZER: Any = PLAIN.get_pipe("ner")


@pytest.fixture(scope="module")
def names() -> NamesDetector:
    return build({}, [])


def passage(text: str, *, is_json: bool = False) -> Passage:
    return Passage(Segment("/0", Origin.USER, text, is_json=is_json), (Reading(text),))


def found(names: NamesDetector, text: str, *, least: float = 0.5) -> list[tuple[str, str]]:
    findings = names.detect((passage(text),))[0]
    return [(one.entity, text[one.start : one.end]) for one in findings if one.score >= least]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Please ask Maria Garcia from Boston about it.", [("PERSON", "Maria Garcia"), ("LOCATION", "Boston")]),
        ("My colleague John Smith works for Microsoft.", [("PERSON", "John Smith"), ("ORGANIZATION", "Microsoft")]),
        ("Bitte fragen Sie Frau Krämer-Obst aus Buxtehude.", [("PERSON", "Krämer-Obst"), ("LOCATION", "Buxtehude")]),
        ("Die Rechnung der Nordwind Energie GmbH wurde geprüft.", [("ORGANIZATION", "Nordwind Energie GmbH")]),
        ("Gespräch mit Kevin Kowalczyk am Montag", [("PERSON", "Kevin Kowalczyk")]),
        ("Was ist die Hauptstadt von Portugal?", [("LOCATION", "Portugal")]),
        ("Der Koch hat im Winter den Ofen repariert.", []),
        ("Wie backe ich einen Apfelkuchen mit Streuseln?", []),
        ("How do I bake an apple pie with crumble?", []),
    ],
)
def test_names_are_found(names: NamesDetector, text: str, expected: list[tuple[str, str]]) -> None:
    assert found(names, text) == expected


TECHNICAL = (
    "The EKS cluster writes its logs to S3 and the IAM role needs access to RDS and SQS.",
    "Upgrade Kubernetes to v1.31.2, then restart Jenkins, Grafana and Redis.",
    "Why does java.lang.NullPointerException occur in OrderService.java:42?",
    "Deploy to eu-central-1 with Terraform; the VPC has id vpc-0a1b2c3d4e5f.",
    "def get_user(user_id: int) -> User: return UserRepository().find(user_id)",
    "SELECT id, name FROM customers WHERE created_at > '2024-11-24T12:30:15Z';",
    "Der EKS-Cluster schreibt Logs nach S3, und Kubernetes startet die Pods neu.",
    "Jenkins ist rot, Grafana zeigt keine Daten, Kafka und Redis laufen.",
    "Vergleiche Python und Java für ein Projekt im Rechnungswesen.",
    "Commit 3f2a9c1 in GitLab behebt TypeError in main.py, siehe JIRA-4711.",
    "export PATH=/usr/local/bin:$PATH && docker run -it --rm nginx:1.27",
)


@pytest.mark.parametrize("text", TECHNICAL)
def test_litellm_21949_technical_tokens_are_no_people(names: NamesDetector, text: str) -> None:
    assert [one for one in found(names, text, least=0.0) if one[0] in ("PERSON", "ORGANIZATION")] == []


def test_litellm_8359_names_are_numbered_and_come_back(names: NamesDetector) -> None:
    text = "John Smith wrote to Maria Garcia. John Smith waits for an answer."
    vault = Vault([text])
    segment = Segment("/0", Origin.USER, text)
    edits = mask_segment(segment, names.detect((passage(text),))[0], {}, vault, b"k", Direction.INPUT)
    sent = apply_edits(text, edits)
    assert sent == "<PERSON_1> wrote to <PERSON_2>. <PERSON_1> waits for an answer."
    assert vault.restore("Ask <PERSON_2>, not <PERSON_1>.") == "Ask Maria Garcia, not John Smith."


def test_tool_arguments_are_read_as_what_they_say(names: NamesDetector) -> None:
    source = json.dumps({"text": "Termin mit\nFrau Krämer-Obst aus Köln"})
    vault = Vault([source])
    findings = names.detect((passage(source, is_json=True),))[0]
    segment = Segment("/0", Origin.TOOL_CALL, source, is_json=True)
    sent = apply_edits(source, mask_segment(segment, findings, {}, vault, b"k", Direction.INPUT))
    assert json.loads(sent) == {"text": "Termin mit\nFrau <PERSON_1> aus <LOCATION_1>"}


def test_texts_of_both_languages_in_one_batch_keep_their_places(names: NamesDetector) -> None:
    texts = [
        "Please ask Maria Garcia.",
        "Bitte fragen Sie Herrn Kowalczyk.",
        "no name here at all",
        "Ich war in Buxtehude.",
    ]
    answer = names.detect([passage(text) for text in texts])
    assert [[text[one.start : one.end] for one in found] for text, found in zip(texts, answer, strict=True)] == [
        ["Maria Garcia"], ["Kowalczyk"], [], ["Buxtehude"],
    ]  # fmt: skip


def test_entities_and_languages_can_be_chosen() -> None:
    people = build({"entities": ["PERSON"], "languages": ["de"]}, [])
    assert found(people, "Frau Krämer-Obst wohnt in Buxtehude.") == [("PERSON", "Krämer-Obst")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entities": ["NAME"]}, "no entity `NAME`"),
        ({"languages": ["fr"]}, "one or more of en, de"),
        ({"langauges": ["de"]}, "did you mean `languages`"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(options, [])


def test_names_are_pooled_and_versioned(names: NamesDetector) -> None:
    assert names.cost is Cost.POOLED
    assert names.version != build({"entities": ["PERSON"]}, []).version


def test_threads_get_the_same_answers(names: NamesDetector) -> None:
    texts = [f"{greeting} John Smith from Boston, number {at}." for at in range(20) for greeting in ("I met", "Ask")]
    expected = [names.detect((passage(text),)) for text in texts]
    answers: list[list[list[list[Finding]]]] = [[] for _ in range(3)]

    def work(at: int) -> None:
        answers[at] = [names.detect((passage(text),)) for text in texts]

    threads = [threading.Thread(target=work, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [expected] * 3


def test_no_word_of_a_text_stays_in_memory() -> None:
    english = EnglishNames()
    english.many(["Please ask Zyxwvutia Qwertzuiopolous about it."])
    strings = english._nlp.vocab.strings
    assert "Zyxwvutia" not in strings
    assert "Qwertzuiopolous" not in strings


def test_both_models_keep_to_presidios_interface() -> None:
    english = EnglishNames().analyze("Ask Maria Garcia.", ["PERSON"])
    german = GermanNames().analyze("Fragen Sie Frau Krämer-Obst.", ["PERSON"])
    assert [(one.entity_type, one.start, one.end) for one in (*english, *german)] == [
        ("PERSON", 4, 16),
        ("PERSON", 16, 27),
    ]


@pytest.mark.parametrize(
    ("text", "which"),
    [
        ("What is the capital of Portugal?", "en"),
        ("Was ist die Hauptstadt von Portugal?", "de"),
        ("Grüße", "de"),
        ("42", ""),
        ("Please forward this mail to my colleague", "en"),
        ("Liebe Frau Berger, anbei die Unterlagen", "de"),
    ],
)
def test_language(text: str, which: str) -> None:
    assert language(text) == which


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            (
                "John Smith",
                "Maria",
                "of Boston,",
                "New York City",
                "Acme Corp.",
                "on Monday",
                "paid $5,000",
                "\n",
                "  ",
                "the",
                "S3",
            )
        )
        | st.text(max_size=6),
        max_size=14,
    ).map(" ".join)
)
def test_the_fast_decoder_answers_as_spacy_does(text: str) -> None:
    docs = [PLAIN.make_doc(text), PLAIN.make_doc("Ask Mary Jones in Leeds.")]
    vectors = RECOGNIZER.model.layers[0].predict(docs)
    spaces = [[word.i for word in doc if word.is_space] for doc in docs]
    fast = GreedyDecoder(RECOGNIZER).decode(vectors, [len(doc) for doc in docs], spaces)
    RECOGNIZER.set_annotations(docs, RECOGNIZER.predict(docs))
    assert fast == [[(name.start, name.end, name.label_) for name in doc.ents] for doc in docs]
