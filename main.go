// Command mqt is a toolkit for MQTT: publish, subscribe, load-test and serve.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"mqt/cmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	// A closed stdout is an error of its writer then, not the end of the process.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(cmd.Main(ctx, os.Args[1:], cmd.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
