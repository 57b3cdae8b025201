// One call by Node's own HTTPS. Usage: https.mjs [ROOTS]. Prints the call's total of tokens.
import { readFileSync } from "node:fs";
import { request } from "node:https";

const roots = process.argv[2];
const body = JSON.stringify({
  model: "gpt-4.1-mini",
  messages: [{ role: "user", content: "What holds a river back?" }],
});
const call = request(
  "https://api.openai.com/v1/chat/completions",
  {
    method: "POST",
    headers: { Authorization: "Bearer test-0123456789", "Content-Type": "application/json" },
    ...(roots && { ca: readFileSync(roots) }),
  },
  (answer) => {
    let text = "";
    answer.on("data", (chunk) => (text += chunk));
    answer.on("end", () => console.log(JSON.parse(text).usage.total_tokens));
  },
);
call.on("error", (error) => {
  console.error(String(error));
  process.exitCode = 1;
});
call.end(body);
