"""The built-in demo provider: a scripted model on OpenAI's and Anthropic's wire formats. Needs no account."""

from aiohttp import web

from sigmaguard_proxy.demo import anthropic, openai
from sigmaguard_proxy.demo.border import RECEIVED, one_shape, show_received

__all__ = ["RECEIVED", "demo_app"]

BODY_BYTES = 64 * 1024 * 1024


def demo_app() -> web.Application:
    """The provider as an aiohttp application; it echoes what it was sent, and says in a header what that was."""
    app = web.Application(client_max_size=BODY_BYTES, middlewares=[one_shape])
    app.on_response_prepare.append(show_received)
    app.add_routes(openai.routes())
    app.add_routes(anthropic.routes())
    return app
