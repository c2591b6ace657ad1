package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// Figures of module conformance, whose libraries the root module must not know: they are
// taken from what its tests print.

// printed is what tests have printed, by package.
type printed map[string]string

var packageEnd = regexp.MustCompile(`^(?:ok  |FAIL|\?   )\t(\S+)\t`)

// parsePrinted splits what go test -v printed about packages. Each one's output ends with a
// line of go test that names it; only those that have passed are taken.
func parsePrinted(out string) printed {
	all := printed{}
	var one strings.Builder
	for line := range strings.Lines(out) {
		one.WriteString(line)
		if m := packageEnd.FindStringSubmatch(line); m != nil {
			if line[0] == 'o' {
				all[m[1]] = one.String()
			}
			one.Reset()
		}
	}
	return all
}

// passed reports whether a test of a package, which is written as ./wal, has passed.
func (p printed) passed(pkg, test string) bool {
	return strings.Contains("\n"+p[root+strings.TrimPrefix(pkg, ".")], "\n--- PASS: "+test+" (")
}

// root is the path of the root module.
const root = "github.com/loamdb/loam"

// ordinary returns what the ordinary form of the tests of packages prints, which are written
// as ./wal: read from the file of -tests, or else run. args choose among the tests if they
// are run.
func (c config) ordinary(packages []string, args ...string) (string, error) {
	if c.printed == nil {
		return testOutput(append(args, packages...)...)
	}
	var all strings.Builder
	for _, pkg := range packages {
		out, ok := c.printed[root+strings.TrimPrefix(pkg, ".")]
		if !ok {
			return "", fmt.Errorf("the file of -tests does not say that %s has passed", pkg)
		}
		all.WriteString(out)
	}
	return all.String(), nil
}

// testOutput runs tests of a package verbosely.
func testOutput(args ...string) (string, error) {
	cmd := exec.Command("go", append([]string{"test", "-vet=off", "-count=1", "-timeout=60m", "-v"}, args...)...)
	if args[0] == "-race" {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go %s: %w\n%s", strings.Join(cmd.Args[1:], " "), err, lastLines(string(out), 60))
	}
	return string(out), err
}

var attribute = regexp.MustCompile(`(?m)^=== ATTR  \S+ (\S+) (\d+)$`)

// attributes reads the numbers that a test hands out by T.Attr.
func attributes(out string) map[string]float64 {
	numbers := map[string]float64{}
	for _, m := range attribute.FindAllStringSubmatch(out, -1) {
		numbers[m[1]], _ = strconv.ParseFloat(m[2], 64)
	}
	return numbers
}

// linearHistories has Porcupine check histories of several clients.
func linearHistories(c config) ([]figure, error) {
	histories := of(c.size, 24, 200, 2000)
	out, err := testOutput("-run=^TestHistoriesAreLinearizable$", "./conformance/linear",
		fmt.Sprintf("-histories=%d", histories), fmt.Sprintf("-seed=%d", c.seed))
	n := attributes(out)
	if len(n) == 0 {
		return nil, errors.Join(err, errors.New("no figures were printed"))
	}
	return []figure{
		{"linear-histories", n["histories"], "histories", atLeast(float64(histories))},
		{"linear-operations", n["operations"], "operations", atLeast(200 * float64(histories))},
		{"linear-unknown-outcomes", n["unknown"], "operations", atLeast(float64(histories))},
		{"linear-compactions", n["compactions"], "compactions", atLeast(float64(histories))},
		{"linear-illegal", n["illegal"], "histories", exactly(0)},
		{"linear-undecided", n["undecided"], "histories", exactly(0)},
	}, err
}

// A run of a suite is a test of the second level: the suite, how the store ended between the
// suite's tests, and where it kept the keys. What is below it are the suite's own tests.
var (
	suiteRun  = regexp.MustCompile(`(?m)^ {4}--- (PASS|FAIL): Test\w+/[^/\s]+/scope=(?:true|false) `)
	suiteTest = regexp.MustCompile(`(?m)^ {8,}--- (PASS|FAIL): `)
)

// foreignSuites runs the suites of others in every mode, and at the size full in some of them
// under the race detector, as CI does in a step of its own.
func foreignSuites(c config) ([]figure, error) {
	var runs, tests, failed float64
	var errs []error
	count := func(out string, err error) {
		for _, m := range suiteRun.FindAllStringSubmatch(out, -1) {
			if runs++; m[1] == "FAIL" {
				failed++
			}
		}
		tests += float64(len(suiteTest.FindAllString(out, -1)))
		errs = append(errs, err)
	}
	if c.size == short {
		count(testOutput("-short", "./conformance"))
	} else {
		count(c.ordinary([]string{"./conformance"}))
	}
	plain := runs
	if c.size == full && hasRace() {
		count(testOutput("-race", "-short", "./conformance"))
	}
	return []figure{
		{"conformance-suite-runs", plain, "runs", atLeast(of(c.size, 4.0, 12, 12))},
		{"conformance-runs-with-race", runs - plain, "runs", target{}},
		{"conformance-tests", tests, "tests", atLeast(of(c.size, 1_000.0, 2_000, 2_000))},
		{"conformance-failures", failed, "runs", exactly(0)},
	}, errors.Join(errs...)
}
