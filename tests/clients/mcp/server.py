"""A server of the Model Context Protocol with tools, resources and prompts.

Usage: server.py ADDRESS CERTIFICATE KEY: listens on port 443 of the address with
TLS and on port 80 without, at /mcp in all revisions that are of one address and at
/sse in the first; at /nameless/sse as a server that names no sessions. Says so when it
does.
"""

import asyncio
import sys
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.streamable_http import EventMessage, EventStore
from pydantic import BaseModel

ADDRESS, CERTIFICATE, KEY = sys.argv[1:]

server = MCPServer("rivers", log_level="ERROR")


class Events(EventStore):
    """Every event of every stream, to be sent again."""

    def __init__(self):
        self.events = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id)
        stream, _ = self.events[last - 1]
        for number, (of, message) in enumerate(self.events[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


class Depth(BaseModel):
    metres: int


async def asked() -> Elicit[Depth]:
    return Elicit("How deep is it?", Depth)


@server.tool()
async def measure(river: str) -> str:
    return f"{river}: {len(river)} m"


@server.tool()
async def drain(river: str) -> str:
    raise ToolError(f"{river} cannot be drained")


@server.tool()
async def fill(seconds: float, ctx: Context) -> str:
    for step in range(4):
        await asyncio.sleep(seconds / 4)
        await ctx.report_progress(step + 1, 4)
    return "full"


@server.tool()
async def sound(depth: Annotated[Depth, Resolve(asked)]) -> str:
    return f"{depth.metres} m deep"


@server.tool()
async def detour(ctx: Context) -> str:
    await ctx.close_sse_stream()
    await asyncio.sleep(0.1)
    return "around"


@server.tool()
async def wait() -> str:
    await asyncio.sleep(3600)
    return "never"


@server.resource("river://isar")
def isar() -> str:
    return "green"


@server.prompt()
def describe(river: str) -> str:
    return f"Describe the {river}."


class Nameless:
    """The first revision for one client at a time, whose session has no name outside."""

    ROOT = "/nameless"

    def __init__(self, app):
        self.app, self.query = app, b""

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "")
        if not path.startswith(self.ROOT):
            return await self.app(scope, receive, send)
        scope = {**scope, "path": path.removeprefix(self.ROOT)}
        if scope["method"] == "POST":
            return await self.app({**scope, "query_string": self.query}, receive, send)

        async def unnamed(message):
            body = message.get("body", b"")
            if b"event: endpoint" in body:
                address, self.query = body.strip().rsplit(b"data: ", 1)[1].split(b"?")
                named = self.ROOT.encode() + address
                message = {**message, "body": b"event: endpoint\r\ndata: " + named + b"\r\n\r\n"}
            await send(message)

        await self.app(scope, receive, unnamed)


class Listening(uvicorn.Server):
    """Tells how many of them listen."""

    count = 0

    async def startup(self, sockets=None):
        await super().startup(sockets)
        Listening.count += 1
        if Listening.count == 2:
            print("listening", flush=True)


async def main():
    app = server.streamable_http_app(event_store=Events(), retry_interval=10, host=ADDRESS)
    app.router.routes.extend(server.sse_app(host=ADDRESS).routes)
    app = Nameless(app)
    options = {"host": ADDRESS, "log_level": "error", "timeout_graceful_shutdown": 0}
    tls = uvicorn.Config(
        app, port=443, ssl_certfile=CERTIFICATE, ssl_keyfile=KEY, **options
    )
    # The application begins and ends once, with the one above.
    plain = uvicorn.Config(app, port=80, lifespan="off", **options)
    await asyncio.gather(Listening(tls).serve(), Listening(plain).serve())


asyncio.run(main())
