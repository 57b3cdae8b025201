"""Gemini's stream as Google frames it unless it is asked for events: one JSON array that grows.

No SDK asks for it, whoever calls the API by hand does. Prints a JSON object for the call.
"""

import json

import httpx2

MODELS = "https://generativelanguage.googleapis.com/v1beta/models"
QUESTION = {"contents": [{"role": "user", "parts": [{"text": "What is a weir?"}]}]}

answer = httpx2.post(
    f"{MODELS}/gemini-2.5-flash:streamGenerateContent?key=test-0123456789", json=QUESTION
)
answer.raise_for_status()
parts = answer.json()
usage = parts[-1]["usageMetadata"]
said = {
    "call": "generate stream",
    "id": parts[-1]["responseId"],
    "answer": [part["candidates"][0]["content"] for part in parts],
    "input_tokens": usage["promptTokenCount"],
    "output_tokens": usage["candidatesTokenCount"],
}
print(json.dumps(said), flush=True)
