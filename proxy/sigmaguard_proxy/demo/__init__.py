"""The built-in demo provider: a scripted model on OpenAI's and Anthropic's wire formats. Needs no account."""

from aiohttp import web

from sigmaguard_proxy.demo import anthropic, openai

BODY_BYTES = 64 * 1024 * 1024


def demo_app() -> web.Application:
    """The provider as an aiohttp application; it echoes what it was sent, so that masking can be seen."""
    app = web.Application(client_max_size=BODY_BYTES)
    app.add_routes(openai.routes())
    app.add_routes(anthropic.routes())
    return app
