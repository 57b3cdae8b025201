"""An agent of the Agent2Agent protocol that does as the words of a message say.

Usage: server.py ADDRESS CERTIFICATE KEY: listens on port 443 of the address with TLS,
with a card and an end for each binding below its name. Says so when it does.
"""

import asyncio
import sys

import uvicorn
from a2a.helpers import new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.routes import create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette

ADDRESS, CERTIFICATE, KEY = sys.argv[1:]
HOST = "https://agent.example.org"

BINDINGS = {
    "jsonrpc": ("JSONRPC", "1.0"),
    "rest": ("HTTP+JSON", "1.0"),
    "legacy": ("JSONRPC", "0.3"),
}


class Gauge(AgentExecutor):
    async def execute(self, context, event_queue):
        words = context.get_user_input()
        if words == "greet":
            await event_queue.enqueue_event(new_text_message("Servus."))
            return
        task = context.current_task or new_task_from_user_message(context.message)
        if context.current_task is None:
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        if words == "measure":
            for part in ("2.4", " m"):
                await updater.add_artifact([new_text_part(part)])
            await updater.complete()
        elif words == "ask":
            await updater.requires_input(updater.new_agent_message([new_text_part("Which?")]))
        elif words == "wait":
            await asyncio.sleep(3600)
        else:
            await updater.failed(updater.new_agent_message([new_text_part("It is dry.")]))

    async def cancel(self, context, event_queue):
        task = context.current_task
        await TaskUpdater(event_queue, task.id, task.context_id).cancel()


def routes(name):
    binding, version = BINDINGS[name]
    skill = AgentSkill(id="gauge", name="gauge", description="Gauges rivers.", tags=["rivers"])
    card = AgentCard(
        name="gauge",
        description="Gauges rivers.",
        version="1",
        supported_interfaces=[
            AgentInterface(
                url=f"{HOST}/{name}", protocol_binding=binding, protocol_version=version
            )
        ],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text"],
        default_output_modes=["text"],
        skills=[skill],
    )
    handler = DefaultRequestHandlerV2(Gauge(), InMemoryTaskStore(), card)
    cards = create_agent_card_routes(card, card_url=f"/{name}/.well-known/agent-card.json")
    if name == "rest":
        return cards + create_rest_routes(handler, path_prefix=f"/{name}")
    return cards + create_jsonrpc_routes(
        handler, f"/{name}", enable_v0_3_compat=name == "legacy"
    )


class Listening(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("listening", flush=True)


app = Starlette(routes=[route for name in BINDINGS for route in routes(name)])
options = {"host": ADDRESS, "log_level": "error", "timeout_graceful_shutdown": 0}
tls = uvicorn.Config(app, port=443, ssl_certfile=CERTIFICATE, ssl_keyfile=KEY, **options)
asyncio.run(Listening(tls).serve())
