// One call by gRPC for Go. Usage: main [ROOTS]. Prints that it was answered: nobody serves the
// method, what counts is that the call got there and that the answer to it came back.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/golang/protobuf/ptypes/empty"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

func main() {
	trust := credentials.NewTLS(nil)
	if len(os.Args) > 1 {
		var err error
		trust, err = credentials.NewClientTLSFromFile(os.Args[1], "")
		check(err)
	}
	connection, err := grpc.Dial("api.openai.com:443", grpc.WithTransportCredentials(trust))
	check(err)
	waiting, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	method := "/inference.GRPCInferenceService/ServerLive"
	err = connection.Invoke(waiting, method, &empty.Empty{}, &empty.Empty{})
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		check(err)
	}
	fmt.Println("answered")
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
