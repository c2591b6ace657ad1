package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	passed, err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "scorecard:", err)
		os.Exit(1)
	case !passed:
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	size size
	only []string
	seed uint64
	// printed is what the tests of every module have printed, nil if that is not given.
	printed printed
}

func parse(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("scorecard", flag.ContinueOnError)
	atLength := flags.Bool("full", false, "the size of a release")
	quick := flags.Bool("short", false, "a size to see that nothing is broken")
	only := flags.String("only", "", "ids of figures, separated by commas; empty means all")
	tests := flags.String("tests", "", "a file with the output of go test -v of every module at the same commit; what it tells is not run again")
	flags.Uint64Var(&c.seed, "seed", 1, "seed of the histories")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	switch {
	case flags.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *atLength && *quick:
		return c, errors.New("-full and -short exclude each other")
	case *atLength:
		c.size = full
	case *quick:
		c.size = short
	}
	if *tests != "" {
		out, err := os.ReadFile(*tests)
		if err != nil {
			return c, err
		}
		c.printed = parsePrinted(string(out))
	}
	if *only != "" {
		c.only = strings.Split(*only, ",")
	}
	for _, id := range c.only {
		if !slices.ContainsFunc(table, func(m measure) bool { return m.id == id }) {
			return c, fmt.Errorf("no figure is called %q", id)
		}
	}
	return c, nil
}

// run measures and prints; it reports whether every figure reached its target.
func run(args []string, out io.Writer) (passed bool, err error) {
	c, err := parse(args)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(out, "# commit %s seed %d size %s\n", commit(), c.seed, c.size)
	passed = true
	for _, m := range table {
		if len(c.only) > 0 && !slices.Contains(c.only, m.id) {
			continue
		}
		began := time.Now()
		figures, err := m.take(c)
		for _, f := range figures {
			fmt.Fprintln(out, f.line(m.id))
			passed = passed && f.passes()
		}
		if err != nil {
			passed = false
			for line := range strings.Lines(err.Error()) {
				fmt.Fprintf(out, "# %s %s\n", m.id, strings.TrimRight(line, "\n"))
			}
		}
		fmt.Fprintf(out, "# %s took %.1f s\n", m.id, time.Since(began).Seconds())
	}
	return passed, nil
}

// commit names the checkout, "unknown" outside one.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// figure is one line of the scorecard.
type figure struct {
	name  string
	value float64
	unit  string
	want  target
}

// target is what a figure must reach.
type target struct {
	kind  byte // 0: none; '>': at least; '<': at most; '=': exactly
	value float64
}

func atLeast(v float64) target { return target{'>', v} }
func atMost(v float64) target  { return target{'<', v} }
func exactly(v float64) target { return target{'=', v} }

// String returns the target without blanks.
func (t target) String() string {
	switch t.kind {
	case '>':
		return ">=" + number(t.value)
	case '<':
		return "<=" + number(t.value)
	case '=':
		return "=" + number(t.value)
	}
	return "-"
}

func (f figure) passes() bool {
	switch f.want.kind {
	case '>':
		return f.value >= f.want.value
	case '<':
		return f.value <= f.want.value
	case '=':
		return f.value == f.want.value
	}
	return true
}

func (f figure) line(id string) string {
	pass := "pass"
	if !f.passes() {
		pass = "FAIL"
	}
	return fmt.Sprintf("%-4s %-28s %10s %-12s %10s %s", id, f.name, number(f.value), f.unit, f.want, pass)
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
