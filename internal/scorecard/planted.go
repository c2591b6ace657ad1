package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Planted bugs. The table of docs/testing.md says which test is meant for which bug. Each
// package is built once with the tag mutants; each test must pass without its bug and
// fail with it. Bugs without a test are counted, so that the figure cannot be raised by
// leaving a cell empty.

// plantedPage is the page with the table.
const plantedPage = "docs/testing.md"

// planted is one row of the table.
type planted struct {
	bug       string
	pkg, test string // empty: no test is named
	build     string // "", "race" or "invariants": how the test has to be built
}

// program names the test program that the row needs.
func (p planted) program() string { return p.pkg + " " + p.build }

var plantedRow = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|[^|]*\\|([^|]*)\\|$")
var plantedTest = regexp.MustCompile("^`(\\./\\S+) (Test\\w+)`(?: with (race|invariants))?$")

// parsePlanted reads the table. A cell that is neither empty nor a package and a test
// is an error.
func parsePlanted(page string) ([]planted, error) {
	var out []planted
	for _, row := range plantedRow.FindAllStringSubmatch(page, -1) {
		p := planted{bug: row[1]}
		if cell := strings.TrimSpace(row[2]); cell != "" {
			m := plantedTest.FindStringSubmatch(cell)
			if m == nil {
				return nil, fmt.Errorf("%s: %q is no package and test", p.bug, cell)
			}
			p.pkg, p.test, p.build = m[1], m[2], m[3]
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s lists no planted bugs", plantedPage)
	}
	return out, nil
}

func plantedBugs(c config) ([]figure, error) {
	page, err := os.ReadFile(plantedPage)
	if err != nil {
		return nil, err
	}
	rows, err := parsePlanted(string(page))
	if err != nil {
		return nil, err
	}
	listed := len(rows)
	rows = turnOf(rows, of(c.size, 3, 3, 1))
	rows = slices.DeleteFunc(rows, func(p planted) bool { return p.build == "race" && !hasRace() })
	scratch, err := os.MkdirTemp("", "scorecard")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	programs, err := buildTests(scratch, rows)
	if err != nil {
		return nil, err
	}
	outcomes := killAll(programs, rows, c.printed)
	var killed, tried, untested float64
	var errs []error
	for i, row := range rows {
		switch {
		case row.test == "":
			untested++
			errs = append(errs, fmt.Errorf("%s: no test is named", row.bug))
		case outcomes[i] != nil:
			tried++
			errs = append(errs, outcomes[i])
		default:
			tried++
			killed++
		}
	}
	return []figure{
		{"planted-bugs-killed", killed, "bugs", atLeast(10)},
		{"planted-bugs-alive", tried - killed, "bugs", exactly(0)},
		{"planted-bugs-untested", untested, "bugs", exactly(0)},
		{"planted-bugs-skipped", float64(listed - len(rows)), "bugs", target{}},
	}, errors.Join(errs...)
}

// turnOf returns about every n-th row and those without a test, beginning at another one for
// each commit, so that all have their turn in n commits.
func turnOf(rows []planted, n int) []planted {
	out, _ := exec.Command("git", "rev-list", "--count", "HEAD").Output()
	commits, _ := strconv.Atoi(strings.TrimSpace(string(out))) // 0 outside a checkout
	return turn(rows, n, commits)
}

// fewRows is how many rows of one test program have their turn together: to build it for one
// of them takes longer than to run them all.
const fewRows = 9

// turn returns the rows that have theirs at a commit.
func turn(rows []planted, n, commit int) []planted {
	count, order := map[string]int{}, map[string]int{}
	for _, row := range rows {
		if _, ok := order[row.program()]; !ok {
			order[row.program()] = len(order)
		}
		count[row.program()]++
	}
	var chosen []planted
	for i, row := range rows {
		at := i
		if count[row.program()] <= fewRows {
			at = order[row.program()]
		}
		if row.test == "" || (at+commit)%n == 0 {
			chosen = append(chosen, row)
		}
	}
	return chosen
}

// hasRace reports whether the race detector can be built: it needs a C compiler, and not
// every system has one.
func hasRace() bool {
	cmd := exec.Command("go", "build", "-race", "-o", os.DevNull, "./internal/invariants")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	return cmd.Run() == nil
}

// buildTests builds the test program of every package that rows name, a few at a time: the
// last part of a build, linking, keeps one processor busy.
func buildTests(dir string, rows []planted) (map[string]string, error) {
	programs := map[string]string{}
	var errs []error
	var g few
	for _, row := range rows {
		if row.pkg == "" || programs[row.program()] != "" {
			continue
		}
		program := filepath.Join(dir, fmt.Sprintf("%d.test", len(programs)))
		programs[row.program()] = program
		g.run(func() {
			err := buildTest(program, row)
			g.mu.Lock()
			defer g.mu.Unlock()
			errs = append(errs, err)
		})
	}
	g.wait()
	return programs, errors.Join(errs...)
}

func buildTest(program string, row planted) error {
	args := []string{"test", "-c", "-tags", "mutants", "-o", program, "-ldflags=-s -w", row.pkg} // nobody debugs it
	switch row.build {
	case "race":
		args = slices.Insert(args, 2, "-race")
	case "invariants":
		args[3] = "mutants,invariants"
	}
	cmd := exec.Command("go", args...)
	if row.build == "race" {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("build of the tests of %s: %w\n%s", row.pkg, err, out)
	}
	return nil
}

// killAll runs the rows' tests, a few at a time, and returns for each row nil where the
// test killed the bug. A test that is meant for several bugs passes without them once, or has
// passed when the tests of every module were run. Those of whole histories, which take
// longest, come first.
func killAll(programs map[string]string, rows []planted, ran printed) []error {
	outcomes := make([]error, len(rows))
	passes := map[string]func() error{}
	var first, then []int
	for i, row := range rows {
		if row.test == "" {
			continue
		}
		program := programs[row.program()]
		if key := row.program() + " " + row.test; passes[key] == nil {
			passes[key] = sync.OnceValue(func() error {
				if row.build == "" && ran.passed(row.pkg, row.test) {
					return nil
				}
				return mustPass(program, row)
			})
		}
		if strings.HasPrefix(row.pkg, "./fuzz") {
			first = append(first, i)
		} else {
			then = append(then, i)
		}
	}
	var g few
	for _, i := range append(first, then...) {
		row := rows[i]
		g.run(func() {
			if outcomes[i] = passes[row.program()+" "+row.test](); outcomes[i] == nil {
				outcomes[i] = mustFail(programs[row.program()], row)
			}
		})
	}
	g.wait()
	return outcomes
}

// kill runs a test without its bug and with it.
func kill(program string, p planted) error {
	if err := mustPass(program, p); err != nil {
		return err
	}
	return mustFail(program, p)
}

// mustPass runs a test without its bug.
func mustPass(program string, p planted) error {
	out, err := runTest(program, p, "")
	if err != nil || !strings.Contains(out, "--- PASS: "+p.test) {
		return fmt.Errorf("%s: %s %s does not pass without the bug\n%s", p.bug, p.pkg, p.test, out)
	}
	return nil
}

// mustFail runs it with its bug.
func mustFail(program string, p planted) error {
	out, err := runTest(program, p, p.bug)
	if err == nil || !strings.Contains(out, "--- FAIL: "+p.test) {
		return fmt.Errorf("%s: alive under %s %s\n%s", p.bug, p.pkg, p.test, out)
	}
	return nil
}

// few runs functions, three at a time, in the order in which they came: on two processors, as
// some of what they start waits.
type few struct {
	slots chan struct{}
	wg    sync.WaitGroup
	mu    sync.Mutex // for what the functions share
}

func (g *few) run(f func()) {
	if g.slots == nil {
		g.slots = make(chan struct{}, 3)
	}
	g.slots <- struct{}{}
	g.wg.Go(func() {
		defer func() { <-g.slots }()
		f()
	})
}

func (g *few) wait() { g.wg.Wait() }

// runTest runs a test. The first of its parts that fails ends it.
func runTest(program string, p planted, bug string) (string, error) {
	cmd := exec.Command(program, "-test.v", "-test.timeout", "2m", "-test.failfast", "-test.run", "^"+p.test+"$")
	cmd.Dir = filepath.FromSlash(p.pkg)
	cmd.Env = append(os.Environ(), "LOAM_MUTANT="+bug, "LOAM_LONG=", "LOAM_SCORED=") // the limit is for the short forms
	out, err := cmd.CombinedOutput()
	return string(out), err
}
