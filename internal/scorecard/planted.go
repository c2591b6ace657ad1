package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

func plantedBugs(config) ([]figure, error) {
	page, err := os.ReadFile(plantedPage)
	if err != nil {
		return nil, err
	}
	rows, err := parsePlanted(string(page))
	if err != nil {
		return nil, err
	}
	listed := len(rows)
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
	outcomes := killAll(programs, rows)
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

// hasRace reports whether the race detector can be built: it needs a C compiler, and not
// every system has one.
func hasRace() bool {
	cmd := exec.Command("go", "build", "-race", "-o", os.DevNull, "./internal/invariants")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	return cmd.Run() == nil
}

// buildTests builds the test program of every package that rows name.
func buildTests(dir string, rows []planted) (map[string]string, error) {
	programs := map[string]string{}
	for _, row := range rows {
		if row.pkg == "" || programs[row.program()] != "" {
			continue
		}
		program := filepath.Join(dir, fmt.Sprintf("%d.test", len(programs)))
		args := []string{"test", "-c", "-tags", "mutants", "-o", program, row.pkg}
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
			return nil, fmt.Errorf("build of the tests of %s: %w\n%s", row.pkg, err, out)
		}
		programs[row.program()] = program
	}
	return programs, nil
}

// killAll runs the rows' tests, two at a time, and returns for each row nil where the
// test killed the bug.
func killAll(programs map[string]string, rows []planted) []error {
	outcomes := make([]error, len(rows))
	slots := make(chan struct{}, 2)
	var wg sync.WaitGroup
	for i, row := range rows {
		if row.test == "" {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			outcomes[i] = kill(programs[row.program()], row)
		})
	}
	wg.Wait()
	return outcomes
}

// kill runs a test without its bug and with it.
func kill(program string, p planted) error {
	out, err := runTest(program, p, "")
	if err != nil || !strings.Contains(out, "--- PASS: "+p.test) {
		return fmt.Errorf("%s: %s %s does not pass without the bug\n%s", p.bug, p.pkg, p.test, out)
	}
	out, err = runTest(program, p, p.bug)
	if err == nil || !strings.Contains(out, "--- FAIL: "+p.test) {
		return fmt.Errorf("%s: alive under %s %s\n%s", p.bug, p.pkg, p.test, out)
	}
	return nil
}

func runTest(program string, p planted, bug string) (string, error) {
	cmd := exec.Command(program, "-test.v", "-test.timeout", "2m", "-test.run", "^"+p.test+"$")
	cmd.Dir = filepath.FromSlash(p.pkg)
	cmd.Env = append(os.Environ(), "LOAM_MUTANT="+bug, "LOAM_LONG=") // the limit is for the short forms
	out, err := cmd.CombinedOutput()
	return string(out), err
}
