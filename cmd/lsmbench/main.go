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
	// Whatever ends the program, a terminal or a pipe that is closed too, it removes its
	// stores first: they may be gigabytes.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := command(ctx, os.Args[1:], os.Stdout)
	interrupted := ctx.Err() != nil
	cancel()
	os.Exit(exitStatus(err, interrupted, os.Stderr))
}

// usageError says that a command line cannot be run as it stands, or that a file it names
// is not what it should be.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitStatus says what went wrong, and returns the status that scripts tell it by: 0 for
// nothing, 1 for runs that failed or a comparison that found regressions, 2 for a
// usageError, 130 for an interrupted run.
func exitStatus(err error, interrupted bool, complaints io.Writer) int {
	var misuse usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case interrupted:
		fmt.Fprintln(complaints, "lsmbench: interrupted")
		return 130
	}
	fmt.Fprintln(complaints, "lsmbench:", err)
	if errors.As(err, &misuse) {
		return 2
	}
	return 1
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
	case loadName:
		return loadCommand(ctx, args[1:], out)
	case stateName:
		return stateCommand(ctx, args[1:], out)
	case "report":
		return reportCommand(args[1:], out)
	case "compare":
		return compareCommand(args[1:], out)
	case "dump":
		return dumpCommand(ctx, args[1:], out)
	case taskCommand:
		return runTask(ctx, args[1:], os.Stdin, out)
	case "help":
		usage(out)
		return nil
	}
	if args[0][:min(len(args[0]), 1)] == "-" {
		return defaultCommand(ctx, args, out)
	}
	return usagef("command %q is unknown; lsmbench help lists them", args[0])
}
