// Livefn runs Node functions that are fast to call, live to watch, and can be paused. See README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/livefn/livefn/internal/cli"
)

func main() {
	// The first signal ends what runs, in order; the second one ends the program.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
