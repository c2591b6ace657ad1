package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout)
	interrupted := ctx.Err() != nil
	cancel()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case interrupted:
		fmt.Fprintln(os.Stderr, "lsmbench: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "lsmbench:", err)
		os.Exit(1)
	}
}

// command runs one command line, its tables going to out.
func command(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return defaultCommand(ctx, nil, out)
	}
	switch args[0] {
	case "bench":
		return benchCommand(ctx, args[1:], out)
	case "full":
		return fullCommand(ctx, args[1:], out)
	case "load":
		return loadCommand(ctx, args[1:], out)
	case "report":
		return reportCommand(args[1:], out)
	case "compare":
		return compareCommand(args[1:], out)
	case "dump":
		return dumpCommand(ctx, args[1:], out)
	case taskCommand:
		return runTask(ctx, args[1:], os.Stdin, out)
	case "help", "-h", "-help", "--help":
		usage(out)
		return nil
	}
	if args[0][:min(len(args[0]), 1)] == "-" {
		return defaultCommand(ctx, args, out)
	}
	return fmt.Errorf("command %q is unknown; lsmbench help lists them", args[0])
}
