// One call by Go's net/http. Usage: main [ROOTS]. Prints the call's total of tokens.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
)

const body = `{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"What holds a river back?"}]}`

func main() {
	client := http.DefaultClient
	if len(os.Args) > 1 {
		pem, err := os.ReadFile(os.Args[1])
		check(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		client = &http.Client{Transport: transport}
	}
	request, err := http.NewRequest("POST", "https://api.openai.com/v1/chat/completions", strings.NewReader(body))
	check(err)
	request.Header.Set("Authorization", "Bearer test-0123456789")
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	check(err)
	defer answer.Body.Close()
	var said struct {
		Usage struct {
			Total int `json:"total_tokens"`
		} `json:"usage"`
	}
	check(json.NewDecoder(answer.Body).Decode(&said))
	fmt.Println(said.Usage.Total)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
