"""The command line of the trainer: `python -m detection all|train|distil|export|evaluate`. Knows the order of the steps."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch

from detection import corpora
from detection.assemble import Wishes, card
from detection.corpus.example import Example
from detection.distil import Lessons, distil, teach
from detection.encode import Window, encode, plain_tokenizer
from detection.engine import scanner
from detection.evaluate import judge_all, robustness, robustness_table
from detection.export import export_encoder, export_glance
from detection.gather import Recipe, Sets, describe, gather, generators, some
from detection.keep import kept, learnt
from detection.measure import Tiers
from detection.network import Encoder, Glance, pretrained_encoder, pretrained_folder
from detection.report import write
from detection.train import Course, started, train
from sigmaguard.injection.model import InjectionModel
from sigmaguard.injection.vocabulary import Vocabulary

STEPS = ("train", "distil", "export", "evaluate")


class Plan(msgspec.Struct, frozen=True):
    """Everything that a run depends on; `--sample` is a run of about a minute for the tests."""

    recipe: Recipe
    course: Course
    lessons: Lessons
    start: str = ""
    learn: tuple[str, ...] = ()  # generators whose labels count, where all other windows keep the scores of `start`
    wishes: Wishes = Wishes()
    rivals: bool = True
    most_judged: int = 12_000


def sample_plan() -> Plan:
    """Small enough for a test: two layers, a few hundred examples."""
    return Plan(
        Recipe(per_generator=40, planted=120),
        Course(layers=2, frozen=1, epochs=1.0, keep_every=1000),
        Lessons(epochs=2),
        rivals=False,
        most_judged=200,
    )


class Run:
    """One run in its folder: each step reads what the one before left there."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.model = folder / "model"
        self.model.mkdir(parents=True, exist_ok=True)
        plain_tokenizer(pretrained_folder() / "tokenizer.json", self.model / "tokenizer.json")
        self.sets: Sets = gather(plan.recipe, corpora.folder())
        print(describe(self.sets), flush=True)

    def windows(self, examples: Sequence[Example] | None = None) -> list[Window]:
        """The training windows, the same every time."""
        vocabulary = Vocabulary.load(self.model / "tokenizer.json")
        return encode(
            self.sets.train if examples is None else examples, vocabulary, random.Random(self.plan.recipe.seed)
        )

    def train(self) -> None:
        """Fine-tune the larger tier; resumes."""
        start = Path(self.plan.start) if self.plan.start else None
        if self.plan.learn:
            found = self._few_learnt(start)
            course = msgspec.structs.replace(self.plan.course, smoothing=0.0)
            train(found, course, self.folder, start, [window.weight for window in found])
        else:
            train(self.windows(), self.plan.course, self.folder, start)

    def _few_learnt(self, start: Path | None) -> list[Window]:
        by_turns: dict[bool, list[Example]] = {True: [], False: []}
        for example in self.sets.train:
            by_turns[example.source in self.plan.learn].append(example)
        teacher = started(self.plan.course.layers, start)
        return kept(self.windows(by_turns[False]), teacher) + learnt(self.windows(by_turns[True]))

    def distil(self) -> None:
        """Export the larger tier and teach the tiny one from it."""
        encoder, found = self._encoder(), self.windows()
        export_encoder(encoder, self.model)
        logits = teach(self.model, found, self.plan.lessons)
        glance = distil(encoder, found, logits, self.plan.lessons)
        torch.save(glance.state_dict(), self.folder / "glance.pt")

    def export(self) -> None:
        """Write the tiny tier too and calibrate both on what was held out or left out."""
        glance = Glance(width=self.plan.lessons.width, hidden=self.plan.lessons.hidden)
        glance.load_state_dict(torch.load(self.folder / "glance.pt", weights_only=True))
        export_glance(glance.eval(), self.model)
        examples = self._unseen()
        readings = Tiers(self.model).read(examples)
        training: dict[str, str | int | float | bool] = {
            "examples": len(self.sets.train),
            "data_sha256": self.sets.digest(),
            "promptshield": self.plan.recipe.promptshield,
            "layers": self.plan.course.layers,
            "epochs": self.plan.course.epochs,
            "seed": self.plan.recipe.seed,
        }
        found = card(self.model, examples, readings, training, self.plan.wishes)
        print(f"version {found.version} gates {found.gate}", flush=True)

    def evaluate(self) -> None:
        """Write the report and the robustness table."""
        sets = {"Held-out families": self.sets.held, "Left-out sources": self.sets.left}
        judged = {}
        for name, examples in sets.items():
            if examples:
                chosen = some(examples, self.plan.most_judged)
                judged[name] = (chosen, judge_all(self.model, self.sets.train, chosen, rivals=self.plan.rivals))
        table = robustness_table(
            robustness(InjectionModel.load(self.model), scanner("basic", self.model), self.sets.held)
        )
        notes = [
            f"Trained on {len(self.sets.train)} examples, data digest `{self.sets.digest()[:16]}`.",
            "",
            "## Disguises",
            "",
            *table,
        ]
        write(self.folder / "report", "Injection classifier: detection", notes, judged)

    def _encoder(self) -> Encoder:
        encoder = pretrained_encoder(self.plan.course.layers)
        encoder.load_state_dict(torch.load(self.folder / "encoder.pt", weights_only=True)["average"])
        return encoder.eval()

    def _unseen(self) -> list[Example]:
        return some([*self.sets.held, *self.sets.left], self.plan.most_judged)


def plan_from(options: argparse.Namespace) -> Plan:
    """The plan that the command line asks for."""
    plan = sample_plan() if options.sample else Plan(Recipe(), Course(), Lessons())
    seed = options.seed or plan.recipe.seed
    recipe = msgspec.structs.replace(
        plan.recipe, promptshield=options.promptshield, leave_out=options.leave_out, seed=seed
    )
    if options.per_generator:
        recipe = msgspec.structs.replace(recipe, per_generator=options.per_generator, planted=options.per_generator * 4)
    course = msgspec.structs.replace(plan.course, epochs=options.epochs) if options.epochs else plan.course
    course = msgspec.structs.replace(
        course,
        frozen=options.frozen or course.frozen,
        rate=options.rate or course.rate,
        seed=seed,
        threads=options.threads or course.threads,
    )
    lessons = msgspec.structs.replace(plan.lessons, most=options.taught or plan.lessons.most)
    judged = options.most_judged or plan.most_judged
    start = options.start or ""
    wishes = Wishes(missed=tuple(options.missed), basic=tuple(options.basic))
    return msgspec.structs.replace(
        plan,
        recipe=recipe,
        course=course,
        lessons=lessons,
        start=start,
        learn=tuple(options.learn),
        most_judged=judged,
        wishes=wishes,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step or all of them."""
    parser = argparse.ArgumentParser(prog="detection", description=__doc__)
    parser.add_argument("step", choices=("all", *STEPS))
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: checkpoints, model/, report/")
    parser.add_argument("--sample", action="store_true", help="a run of about a minute")
    parser.add_argument("--leave-out", action="store_true", help="train without whole sources and judge on them")
    parser.add_argument("--promptshield", action="store_true", help="also train on the set without a licence")
    parser.add_argument("--epochs", type=float, default=0.0)
    parser.add_argument("--per-generator", type=int, default=0)
    parser.add_argument("--frozen", type=int, default=0, help="lower layers that keep their weights")
    parser.add_argument("--rate", type=float, default=0.0, help="peak learning rate of the top layer")
    parser.add_argument("--seed", type=int, default=0, help="of the generators: another one writes other texts")
    parser.add_argument("--most-judged", type=int, default=0, help="texts that calibrate and are judged")
    parser.add_argument(
        "--missed", type=float, nargs=3, default=Wishes().missed, help="attacks that the tiny tier may clear by itself"
    )
    parser.add_argument("--basic", type=float, nargs=3, default=Wishes().basic, help="thresholds: user, document, tool")
    parser.add_argument("--taught", type=int, default=0, help="windows the tiny tier's teacher is asked about")
    parser.add_argument("--threads", type=int, default=0, help="of torch while training")
    parser.add_argument("--start", default="", help="an encoder.pt, or an exported encoder.onnx, to go on from")
    parser.add_argument(
        "--learn", nargs="+", default=[], metavar="GENERATOR", help="learn these; all else keeps the scores of --start"
    )
    options = parser.parse_args(arguments)
    if options.learn and not options.start:
        parser.error("--learn keeps the scores of earlier weights: name them with --start")
    if unknown := set(options.learn) - set(generators()):
        parser.error(
            f"--learn: no generator is called {', '.join(sorted(unknown))}; they are in bench/detection/corpus"
        )
    if not options.sample and not (corpora.folder() / "train").is_dir():
        parser.error(f"no corpora in {corpora.folder()}: set SIGMAGUARD_CORPORA, or pass --sample to do without")
    run = Run(plan_from(options), options.out)
    for step in STEPS if options.step == "all" else (options.step,):
        print(f"== {step}", flush=True)
        getattr(run, step)()
    return 0


if __name__ == "__main__":
    sys.exit(main())
