"""Published MCP servers, really used through the gateway: git and time, as their authors ship them."""

import subprocess
import sys

import pytest
from mcp import Client

from sigmaguard.model import Mode
from tests.proxy.mcp.test_mcp_sdk import text_of
from tests.proxy.mcp.toolbox import INJECTION, SECRET

pytestmark = [pytest.mark.asyncio]


@pytest.fixture
def repository(tmp_path):
    """A repository of which one file and one commit message came from somebody else."""
    folder = tmp_path / "repository"
    folder.mkdir()

    def git(*words: str) -> None:
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)

    git("init", "-b", "main")
    (folder / "hours.md").write_text("Open from nine to five.\n")
    git("add", ".")
    git("commit", "-m", "Say when we are open")
    git("checkout", "-b", "feature")
    (folder / "notes.md").write_text(f"Notes.\n\n{INJECTION}\n")
    git("add", ".")
    git("commit", "-m", "Add notes")
    git("checkout", "main")
    return folder


def server(module: str, *args: str) -> dict:
    return {"command": sys.executable, "args": ["-m", module, *args]}


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_git_works_and_what_it_reads_is_inspected(serve, repository, era):
    settings = {"servers": {"git": server("mcp_server_git", "--repository", str(repository))}}
    served = await serve(settings)
    path = str(repository)
    async with Client(f"{served.url}/mcp/git", mode=era) as client:
        names = {one.name for one in (await client.list_tools()).tools}
        assert {"git_status", "git_log", "git_diff", "git_commit", "git_add"} <= names, "nothing of it is held back"
        assert "main" in text_of(await client.call_tool("git_status", {"repo_path": path}))
        assert "Say when we are open" in text_of(await client.call_tool("git_log", {"repo_path": path}))
        (repository / "hours.md").write_text("Open from ten to four.\n")
        await client.call_tool("git_add", {"repo_path": path, "files": ["hours.md"]})
        done = await client.call_tool("git_commit", {"repo_path": path, "message": "Open later"})
        assert not done.is_error and "Open later" in text_of(await client.call_tool("git_log", {"repo_path": path}))
        read = await client.call_tool("git_show", {"repo_path": path, "revision": "feature"})
        assert read.is_error and INJECTION not in text_of(read)
        leaked = await client.call_tool("git_log", {"repo_path": path, "max_count": SECRET})
        assert leaked.is_error
    served.directory.mode = Mode.SHADOW
    async with Client(f"{served.url}/mcp/git", mode=era) as client:
        read = await client.call_tool("git_show", {"repo_path": path, "revision": "feature"})
        assert INJECTION in text_of(read)
    assert {one.tool for one in served.recorder.records if one.intended == "block"} >= {"git/git_show"}


async def test_several_published_servers_at_one_address(serve, repository):
    settings = {
        "servers": {
            "git": server("mcp_server_git", "--repository", str(repository)),
            "time": server("mcp_server_time", "--local-timezone", "Europe/Berlin"),
        }
    }
    served = await serve(settings)
    async with Client(f"{served.url}/mcp") as client:
        names = {one.name for one in (await client.list_tools()).tools}
        assert {"git__git_status", "time__convert_time"} <= names
        asked = {"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        assert "Asia/Tokyo" in text_of(await client.call_tool("time__convert_time", asked))
        assert "main" in text_of(await client.call_tool("git__git_status", {"repo_path": str(repository)}))
