"""The command line: parses words, says what is wrong with them, hands over. Knows no work itself."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.settings import DOCUMENTED, FLAGS

SPELLED_OUT = ("listen", "admin", "policy", "mode", "data", "workers")  # have a metavar or choices of their own
Command = Callable[[argparse.Namespace], int]


def build_parser() -> argparse.ArgumentParser:
    """Every command and flag."""
    parser = argparse.ArgumentParser(
        prog="sigmaguard", description="A firewall-first reverse proxy for LLM traffic.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _serve(commands)
    _scan(commands)
    _policy(commands)
    _audit(commands)
    _canary(commands)
    _replay(commands)
    return parser


def _serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser("serve", help="start the proxy", allow_abbrev=False)
    serve.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: sigmaguard.yaml if there)")
    serve.add_argument("--listen", metavar="HOST:PORT", help=DOCUMENTED["listen"])
    serve.add_argument("--admin", metavar="HOST:PORT", help=DOCUMENTED["admin"])
    serve.add_argument("--upstream", action="append", metavar="NAME=URL", help=DOCUMENTED["upstreams"])
    serve.add_argument("--policy", metavar="NAME|FILE", help=DOCUMENTED["policy"])
    serve.add_argument("--mode", choices=("enforce", "shadow", "off"), help=DOCUMENTED["mode"])
    serve.add_argument("--data", metavar="DIR", help=DOCUMENTED["data"])
    serve.add_argument("--workers", type=int, metavar="N", help=DOCUMENTED["workers"])
    for name in FLAGS:
        if name not in (*SPELLED_OUT, "upstreams"):
            serve.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=DOCUMENTED[name])
    serve.set_defaults(run="sigmaguard_proxy.serve:serve_command")


def _scan(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    scan = commands.add_parser("scan", help="inspect texts from standard input", allow_abbrev=False)
    scan.add_argument("--jsonl", action="store_true", required=True, help="one JSON object a line, one answer a line")
    scan.add_argument("--policy", default="basic", metavar="NAME|FILE", help="policy to scan with (default: basic)")
    scan.add_argument("--direction", choices=("input", "output"), default="input", help="which way the texts travel")
    scan.set_defaults(run="sigmaguard_proxy.scan:scan_command")


def _policy(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    policy = commands.add_parser("policy", help="test, lint, show or compare policies", allow_abbrev=False)
    what = policy.add_subparsers(dest="what", metavar="test|lint|show|diff", required=True)
    for name, text in (
        ("test", "prove every rule by its examples and every case of the pack"),
        ("lint", "check a policy without running it"),
        ("show", "print a policy as it stands after everything it extends"),
    ):
        one = what.add_parser(name, help=text, allow_abbrev=False)
        one.add_argument("policy", nargs="?", default="basic", metavar="NAME|FILE")
        one.set_defaults(run=f"sigmaguard_proxy.policy_commands:{name}_command")
    diff = what.add_parser("diff", help="what changes from one policy to another", allow_abbrev=False)
    diff.add_argument("old", metavar="NAME|FILE")
    diff.add_argument("new", metavar="NAME|FILE")
    diff.set_defaults(run="sigmaguard_proxy.policy_commands:diff_command")


def _audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    audit = commands.add_parser("audit", help="verify, export or erase from the audit log", allow_abbrev=False)
    what = audit.add_subparsers(dest="what", metavar="verify|export|erase", required=True)
    verify = what.add_parser("verify", help="find any changed, missing or reordered record", allow_abbrev=False)
    export = what.add_parser("export", help="write every record, or what is kept of a person", allow_abbrev=False)
    erase = what.add_parser("erase", help="erase what leads to a person; the chain still verifies", allow_abbrev=False)
    for one in (verify, export, erase):
        one.add_argument("--data", default="sigmaguard-data", metavar="DIR", help=DOCUMENTED["data"])
        one.add_argument("--database-url", default="", metavar="URL", help=DOCUMENTED["database_url"])
    verify.add_argument(
        "--anchors",
        action="append",
        type=Path,
        metavar="FILE",
        help="a copy of anchors.json kept elsewhere that the log must lead to as well, repeatable",
    )
    export.add_argument("--format", choices=("jsonl", "cef", "ecs"), default="jsonl")
    export.add_argument("--tenant", default="", help="whose records (default: those of every tenant)")
    erase.add_argument("--tenant", default="default", help="whose records (default: default)")
    for one in (export, erase):
        one.add_argument("--exchange", action="append", metavar="ID", help="this exchange, repeatable")
        one.add_argument("--key", default="", metavar="ID", help="exchanges of this virtual key")
        one.add_argument("--agent", default="", metavar="NAME", help="exchanges of this agent")
        one.add_argument("--remote", default="", metavar="ADDRESS", help="exchanges from this address")
        one.add_argument(
            "--value-from",
            default="",
            metavar="FILE",
            help="exchanges in which one of these values was found; one a line",
        )
        one.add_argument("--digest", default="", metavar="HEX", help="exchanges with a finding of this keyed digest")
        one.add_argument("--older-than-days", type=float, default=0.0, metavar="N", help="exchanges older than this")
    erase.add_argument("--everything", action="store_true", help="every exchange of the tenant")
    erase.add_argument("--content-only", action="store_true", help="erase kept content, leave the record's own facts")
    erase.add_argument("--reason", required=True, help="why; kept in the audit log")
    erase.set_defaults(run="sigmaguard_proxy.audit.cli:erase_command")
    verify.set_defaults(run="sigmaguard_proxy.audit.cli:verify_command")
    export.set_defaults(run="sigmaguard_proxy.audit.cli:export_command")


def _canary(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    canary = commands.add_parser("canary", help="make canary tokens", allow_abbrev=False)
    what = canary.add_subparsers(dest="what", metavar="new", required=True)
    new = what.add_parser("new", help="make one and print it", allow_abbrev=False)
    new.add_argument("label", nargs="?", default="canary", help="what it guards, for your own notes")
    new.set_defaults(run="sigmaguard_proxy.policy_commands:canary_command")


def _replay(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    replay = commands.add_parser(
        "replay", help="what a policy would have done with captured traffic", allow_abbrev=False
    )
    replay.add_argument("--policy", required=True, metavar="NEW", help="the policy to try")
    replay.add_argument("--against", default="basic", metavar="OLD", help="the policy to compare with (default: basic)")
    source = replay.add_mutually_exclusive_group(required=True)
    source.add_argument("--file", type=Path, metavar="JSONL", help="captured exchanges, one a line")
    source.add_argument("--data", metavar="DIR", help="content kept in the audit log of this data folder")
    replay.add_argument("--database-url", default="", metavar="URL", help=DOCUMENTED["database_url"])
    replay.add_argument("--tenant", default="default", help="whose kept content (default: default)")
    replay.add_argument("--days", type=float, default=30.0, metavar="N", help="how far back (default: 30)")
    replay.add_argument("--jsonl", action="store_true", help="every verdict as a JSON line instead of a table")
    replay.add_argument("--exit-code", action="store_true", help="exit with 1 where a verdict changes")
    replay.set_defaults(run="sigmaguard_proxy.audit.replay:replay_command")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; 0 done, 1 found something wrong, 2 asked wrongly."""
    arguments = build_parser().parse_args(argv)
    module, _, name = arguments.run.partition(":")
    from importlib import import_module  # noqa: PLC0415  a command only pays for what it uses

    try:
        command: Command = getattr(import_module(module), name)
        return command(arguments)
    except ConfigError as error:
        print(f"sigmaguard: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


if __name__ == "__main__":
    sys.exit(main())
