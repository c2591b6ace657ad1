package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// rateUnits are the units of which more is better; of every other less is.
var rateUnits = []string{"ops/s", "settled-ops/s"}

// GoBench prints the runs of a set in the format of Go benchmarks, which benchstat
// reads: lines that say where they were made, then a line for each run, with the figures
// that are known. Repeats have the same name, so that benchstat takes them as samples of
// one benchmark; engine and group are keys of the name, to compare by:
//
//	benchstat -col /engine results.txt
//	benchstat old.txt new.txt
//
// The keys of configuration are of the machine alone. What one compares across, commit,
// Go and flags, begins with a capital and is a remark to benchstat: were it
// configuration, old and new would stand in separate tables.
func GoBench(w io.Writer, set *result.Set) error {
	var out strings.Builder
	goos, goarch, _ := strings.Cut(set.Environment.Platform, "/")
	for _, c := range []struct{ key, value string }{
		{"goos", goos}, {"goarch", goarch}, {"pkg", "lsmbench"}, {"cpu", set.Environment.CPU}, {"filesystem", set.Environment.FileSystem},
		{"Commit", set.Environment.Commit}, {"Go", set.Environment.Go}, {"Flags", set.Environment.Flags},
	} {
		if value := oneLine(c.value); value != "" {
			fmt.Fprintf(&out, "%s: %s\n", c.key, value)
		}
	}
	for _, unit := range rateUnits {
		fmt.Fprintf(&out, "Unit %s better=higher\n", unit)
	}
	for i := range set.Runs {
		if r := &set.Runs[i]; r.Ops > 0 {
			out.WriteString(benchLine(r, set.Environment.Cores))
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// benchLine is the line of one run. The cores end the name as in Go's own benchmarks:
// without them a number at the end of a name would be taken for theirs.
func benchLine(r *result.Run, cores int) string {
	var line strings.Builder
	line.WriteString("Benchmark" + benchTitle(r.Workload) + "/engine=" + benchWord(r.Engine))
	if r.Group != "" {
		line.WriteString("/group=" + benchWord(r.Group))
	}
	fmt.Fprintf(&line, "-%d\t%d", max(cores, 1), r.Ops)
	figure := func(v float64, unit string) {
		if v > 0 {
			line.WriteString("\t" + strconv.FormatFloat(v, 'g', 6, 64) + " " + unit)
		}
	}
	perOp := func(total float64) float64 { return total / float64(r.Ops) }
	duration := func(d time.Duration, unit string) { figure(float64(d), unit) }

	figure(perOp(float64(r.Elapsed)), "ns/op")
	figure(r.Rate, "ops/s")
	main := r.Main()
	duration(main.P50, "p50-ns")
	duration(main.P99, "p99-ns")
	duration(main.P999, "p999-ns")
	duration(main.P9999, "p9999-ns")
	figure(r.Settled, "settled-ops/s")
	figure(r.WriteAmp, "write-amp")
	figure(r.ReadAmp, "read-amp")
	figure(r.SpaceAmp, "space-amp")
	cpu := r.CPU
	if r.SettledCPU > 0 {
		cpu = r.SettledCPU
	}
	figure(perOp(float64(cpu)), "cpu-ns/op")
	figure(perOp(float64(r.AllocBytes)), "B/op")
	figure(perOp(float64(r.Allocs)), "allocs/op")
	return line.String() + "\n"
}

// benchTitle makes the name of a benchmark: the words of a workload, each with a capital,
// without what is between them.
func benchTitle(workload string) string {
	var title strings.Builder
	for _, word := range strings.FieldsFunc(workload, func(r rune) bool { return !inBenchWord(r) }) {
		first, size := utf8.DecodeRuneInString(word)
		title.WriteString(string(unicode.ToUpper(first)) + word[size:])
	}
	if first, _ := utf8.DecodeRuneInString(title.String()); title.Len() == 0 || unicode.IsLower(first) {
		return "_" + title.String() // a letter without a capital must not follow "Benchmark"
	}
	return title.String()
}

// benchWord makes a word that can stand in the name of a benchmark: neither space nor
// slash, which divide it, nor a dash, which begins the number of cores.
func benchWord(s string) string {
	if s == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if inBenchWord(r) {
			return r
		}
		return '_'
	}, s)
}

func inBenchWord(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' || r == '_')
}

// oneLine joins the words of a text by single spaces.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
