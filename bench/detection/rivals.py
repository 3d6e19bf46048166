"""Other detectors under the same questions: a TF-IDF regression, and a published small model where installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from detection.corpus.example import Example

Judge = Callable[[Sequence[Example]], list[float]]


def regression(train: Sequence[Example]) -> Judge:
    """Word and character TF-IDF with the origin as a word, into a logistic regression (needs the `train` extra)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    def words(examples: Sequence[Example]) -> list[str]:
        return [f"origin{example.origin} {example.text[:4000]}" for example in examples]

    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, max_features=60_000, sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=3, max_features=60_000, sublinear_tf=True),
        ),
        LogisticRegression(C=4.0, max_iter=300, class_weight="balanced"),
    )
    model.fit(words(train), [example.is_attack for example in train])
    return lambda examples: [float(row[1]) for row in model.predict_proba(words(examples))]


def nanoguard() -> Judge | None:
    """The detector of the package `metatronnanoguard` (it knows no origins), None where it is not installed."""
    if importlib.util.find_spec("nanoguard") is None:
        return None
    import nanoguard as package

    guard: Any = package.NanoGuard()

    def judge(examples: Sequence[Example]) -> list[float]:
        results = [guard.scan(example.text) for example in examples]
        return [r.confidence if r.is_injection else 1 - r.confidence for r in results]

    return judge
