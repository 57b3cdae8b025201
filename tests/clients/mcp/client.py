"""Calls of a server of the Model Context Protocol.

Usage: client.py TRANSPORT CASE BASE, where BASE is as https://mcp.example. Prints
what was called, a line of JSON each: method, tool and how it came out. Notifications
are among it, and nothing of the transport's own. Then prints what was got.
"""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, JSONRPCError, JSONRPCRequest, JSONRPCResponse
from mcp_types import JSONRPCNotification

TRANSPORT, CASE, BASE = sys.argv[1:]

waiting = set()
calls = []
by_id = {}


def sent(message):
    if not isinstance(message, JSONRPCRequest | JSONRPCNotification):
        return
    call = {"method": message.method, "tool": None, "outcome": None}
    if message.method == "tools/call":
        call["tool"] = message.params["name"]
    calls.append(call)
    if isinstance(message, JSONRPCRequest):
        by_id[message.id] = call


def received(message):
    if isinstance(message, JSONRPCError):
        by_id[message.id]["outcome"] = "error"
    elif isinstance(message, JSONRPCResponse):
        is_failure = message.result.get("isError")
        outcome = "tool_error" if is_failure else "ok"
        if message.result.get("resultType") == "input_required":
            outcome = "input_required"
        by_id[message.id]["outcome"] = outcome


class Watched:
    """A stream of messages that shows each."""

    def __init__(self, stream, see):
        self._stream = stream
        self._see = see

    def __getattr__(self, name):
        return getattr(self._stream, name)

    async def send(self, item):
        self._see(item.message)
        await self._stream.send(item)

    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await self._stream.__anext__()
        if not isinstance(item, Exception):
            self._see(item.message)
        return item

    async def __aenter__(self):
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exception):
        return await self._stream.__aexit__(*exception)


@asynccontextmanager
async def watched(transport):
    async with transport as (reading, writing):
        yield Watched(reading, received), Watched(writing, sent)


async def elicited(_context, _params):
    return ElicitResult(action="accept", content={"metres": 7})


def got(result):
    print(result.model_dump_json(exclude_none=True, exclude={"meta"}), flush=True)


async def every(client):
    got(await client.list_tools())
    got(await client.call_tool("measure", {"river": "Isar"}))
    got(await client.call_tool("drain", {"river": "Isar"}))
    progress = []

    async def progressed(done, total, _message):
        progress.append((done, total))

    result = await client.call_tool("fill", {"seconds": 0.4}, progress_callback=progressed)
    got(result)
    print(progress)
    got(await client.call_tool("sound", {}))
    got(await client.list_resources())
    got(await client.read_resource("river://isar"))
    got(await client.list_prompts())
    got(await client.get_prompt("describe", {"river": "Isar"}))
    try:
        got(await client.get_prompt("recite", {}))
    except MCPError as error:
        print(error.error.code)


async def many(client):
    rivers = [f"Isar {number}" for number in range(12)]
    measured = [client.call_tool("measure", {"river": river}) for river in rivers]
    for result in await asyncio.gather(*measured):
        got(result)


async def detour(client):
    got(await client.call_tool("detour", {}))


async def given_up(client):
    try:
        got(await client.call_tool("wait", {}, read_timeout_seconds=0.5))
    except MCPError as error:
        print(error.error.code)


async def left(client):
    waiting.add(asyncio.create_task(client.call_tool("wait", {})))
    got(await client.call_tool("measure", {"river": "Isar"}))


CASES = {"every": every, "many": many, "detour": detour, "given-up": given_up, "left": left}


async def main():
    if TRANSPORT in ("sse", "nameless/sse"):
        transport, mode = sse_client(f"{BASE}/{TRANSPORT}"), "legacy"
    else:
        transport = streamable_http_client(f"{BASE}/mcp")
        mode = "legacy" if TRANSPORT == "session" else "auto"
    client = Client(watched(transport), mode=mode, elicitation_callback=elicited, cache=None)
    async with client:
        print(client.protocol_version)
        await CASES[CASE](client)
    for call in calls:
        print("called " + json.dumps(call))


asyncio.run(main())
