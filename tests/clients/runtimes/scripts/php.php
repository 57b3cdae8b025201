<?php
// One call by PHP. Usage: php.php curl|stream [ROOTS]. Prints the call's total of tokens.
$url = "https://api.openai.com/v1/chat/completions";
$headers = ["Authorization: Bearer test-0123456789", "Content-Type: application/json"];
$body = json_encode([
    "model" => "gpt-4.1-mini",
    "messages" => [["role" => "user", "content" => "What holds a river back?"]],
]);
$roots = $argv[2] ?? null;
if ($argv[1] === "curl") {
    $call = curl_init($url);
    curl_setopt_array($call, [
        CURLOPT_POSTFIELDS => $body,
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_RETURNTRANSFER => true,
    ]);
    if ($roots !== null) {
        curl_setopt($call, CURLOPT_CAINFO, $roots);
    }
    $answer = curl_exec($call);
    if ($answer === false) {
        fwrite(STDERR, curl_error($call) . "\n");
    }
} else {
    $options = ["http" => ["method" => "POST", "header" => $headers, "content" => $body]];
    if ($roots !== null) {
        $options["ssl"] = ["cafile" => $roots];
    }
    $answer = file_get_contents($url, false, stream_context_create($options));
}
if ($answer === false) {
    exit(1);
}
echo json_decode($answer)->usage->total_tokens, "\n";
