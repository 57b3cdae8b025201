// OpenAI's Node SDK over WebSockets: responses and realtime.
//
// Prints a JSON object for each call: what was called, and what the SDK says of the answer.

import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { ResponsesWS } from "openai/resources/responses/ws";

const client = new OpenAI({ apiKey: "test-0123456789" });

function tell(call, { id, usage }, answer) {
  const { input_tokens, output_tokens } = usage;
  console.log(JSON.stringify({ call, id, answer, input_tokens, output_tokens }));
}

async function responses() {
  const socket = new ResponsesWS(client);
  const texts = ["How wide is a weir?", "How wide is a sluice?"];
  const ask = (input) => socket.send({ type: "response.create", model: "gpt-5.4-mini", input });
  ask(texts.shift());
  let answer = "";
  for await (const event of socket.stream()) {
    if (event.type === "error") throw event.error;
    if (event.type !== "message") continue;
    const { message } = event;
    if (message.type === "response.output_text.delta") answer += message.delta;
    if (message.type !== "response.completed") continue;
    tell("response", message.response, answer);
    answer = "";
    if (!texts.length) break;
    ask(texts.shift());
  }
  socket.close();
}

async function realtime() {
  const socket = new OpenAIRealtimeWS({ model: "gpt-realtime" }, client);
  await new Promise((done, failed) => {
    const content = [{ type: "input_text", text: "How high is a dam?" }];
    socket.socket.on("open", () => {
      socket.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
      socket.send({ type: "response.create" });
    });
    socket.on("error", failed);
    let answer = "";
    socket.on("response.output_text.delta", ({ delta }) => (answer += delta));
    socket.on("response.done", ({ response }) => {
      tell("realtime", response, answer);
      done();
    });
  });
  socket.close();
}

await responses();
await realtime();
