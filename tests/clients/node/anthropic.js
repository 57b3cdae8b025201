// Anthropic's Node SDK: messages, one after the other and at the same time.
//
// Prints a JSON object for each call: what was called, and what the SDK says of the answer.

import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ apiKey: "test-0123456789" });
const input_schema = { type: "object", properties: { gate: { type: "string" } } };
const tools = [{ name: "read_level", description: "Reads a gauge.", input_schema }];

function message(question, more) {
  const messages = [{ role: "user", content: question }];
  return { model: "claude-sonnet-5", max_tokens: 2048, messages, ...more };
}

function tell(call, { id, usage, content }) {
  const cached = (usage.cache_creation_input_tokens ?? 0) + (usage.cache_read_input_tokens ?? 0);
  const input_tokens = usage.input_tokens + cached;
  const output_tokens = usage.output_tokens;
  console.log(JSON.stringify({ call, id, answer: content, input_tokens, output_tokens }));
}

tell("messages", await client.messages.create(message("What is a weir?")));
tell("messages stream", await client.messages.stream(message("What is a sluice?")).finalMessage());

const question = message("Call read_level for the north gate.", { tools });
const asked = await client.messages.create(question);
tell("messages tool", asked);
const call = asked.content.find((block) => block.type === "tool_use");
const result = { type: "tool_result", tool_use_id: call.id, content: "2.4 m" };
question.messages.push({ role: "assistant", content: asked.content });
question.messages.push({ role: "user", content: [result] });
tell("messages tool's result", await client.messages.create(question));
const south = message("Call read_level for the south gate.", { tools });
tell("messages stream tool", await client.messages.stream(south).finalMessage());

const atOnce = await Promise.all([
  client.messages.create(message("Why is a weir low?")),
  client.messages.stream(message("Why is a dam high?")).finalMessage(),
]);
tell("messages at once", atOnce[0]);
tell("messages stream at once", atOnce[1]);
