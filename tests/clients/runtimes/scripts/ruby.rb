# One call by Net::HTTP. Usage: ruby.rb [ROOTS]. Prints the call's total of tokens.
require "json"
require "net/http"

uri = URI("https://api.openai.com/v1/chat/completions")
http = Net::HTTP.new(uri.host, uri.port)
http.use_ssl = true
http.max_retries = 0
http.ca_file = ARGV[0] if ARGV[0]
headers = { "Authorization" => "Bearer test-0123456789", "Content-Type" => "application/json" }
body = {
  model: "gpt-4.1-mini",
  messages: [{ role: "user", content: "What holds a river back?" }]
}
answer = http.post(uri.path, body.to_json, headers)
puts JSON.parse(answer.body)["usage"]["total_tokens"]
