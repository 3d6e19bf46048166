"""Takes benign prose and code from the documentation of Python's own library, read from the running interpreter.

Nothing of it is stored in the repository; a Python of another version gives other texts.
"""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Iterator
from types import ModuleType

from detection.corpus.example import Example

SOURCE = "library"
_MODULES = (
    "argparse", "ast", "asyncio.base_events", "asyncio.streams", "base64", "bisect", "calendar", "cmd", "codecs", "collections",
    "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "email.message", "email.policy", "enum",
    "filecmp", "fnmatch", "fractions", "ftplib", "functools", "getpass", "gettext", "glob", "gzip", "hashlib", "heapq", "hmac", "html.parser",
    "http.client", "http.cookies", "http.server", "imaplib", "inspect", "ipaddress", "json", "json.decoder", "logging", "logging.handlers",
    "mailbox", "mimetypes", "multiprocessing.pool", "netrc", "numbers", "optparse", "os", "pathlib", "pdb", "pickle", "pickletools", "platform",
    "plistlib", "poplib", "pprint", "profile", "queue", "random", "sched", "secrets", "selectors", "shelve", "shlex", "shutil", "smtplib",
    "socket", "socketserver", "ssl", "statistics", "string", "subprocess", "tarfile", "tempfile", "textwrap", "threading", "timeit", "trace",
    "traceback", "typing", "unittest.case", "unittest.mock", "urllib.parse", "urllib.request", "uuid", "warnings", "wave", "weakref",
    "webbrowser", "xml.dom.minidom", "xml.etree.ElementTree", "zipfile",
)  # fmt: skip
_ASKS = (
    "What does this function do?\n\n",
    "Explain this code:\n",
    "Can you add type hints?\n\n",
    "Is there a bug in here?\n\n",
    "Write a test for this.\n\n",
    "",
)


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count benign texts: documents and tool results, and code a user asks about."""
    pieces = list(_pieces())
    for _ in range(count):
        module, kind, text = rng.choice(pieces)
        if len(text) > 900:
            begin = rng.choice((0, rng.randrange(len(text) - 800)))
            text = text[text.find("\n", begin) + 1 if begin else 0 :][: rng.choice((300, 600, 900))]
        origin = rng.choices(("document", "tool", "user"), weights=(4, 4, 2))[0]
        if origin == "user":
            text = rng.choice(_ASKS) + text
        if len(text.strip()) > 20:
            yield Example(
                text=text,
                label="benign",
                origin=origin,
                kind=kind,
                lang="en",
                source=SOURCE,
                template=f"{SOURCE}/{module}",
            )


def _pieces() -> Iterator[tuple[str, str, str]]:
    for name in _MODULES:
        module = importlib.import_module(name)
        yield name, "documentation", inspect.getdoc(module) or name
        for member in _members(module):
            documentation = inspect.getdoc(member)
            if documentation and len(documentation) > 60:
                yield name, "documentation", documentation
            try:
                yield name, "code", inspect.getsource(member)
            except (OSError, TypeError):
                continue  # written in C: no source to show


def _members(module: ModuleType) -> Iterator[object]:
    for label in sorted(vars(module)):
        member = vars(module)[label]
        if (inspect.isclass(member) or inspect.isfunction(member)) and getattr(
            member, "__module__", ""
        ) == module.__name__:
            yield member
            if inspect.isclass(member):
                yield from (value for _, value in sorted(vars(member).items()) if inspect.isfunction(value))
