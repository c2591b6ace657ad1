package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/report"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// writable looks whether the files that are written at the end can be: nobody wants to
// learn it after an hour.
func (o *output) writable() error {
	for _, name := range []string{o.bench, o.html} {
		if name == "" {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// show prints the results and writes the files that were asked for. Of several sets the page
// alone keeps apart what is in more than one.
func (o *output) show(sets []*result.Set, reference string, out io.Writer) error {
	set := result.Join(sets)
	if o.bench != "" {
		err := writeFile(o.bench, func(w io.Writer) error { return report.GoBench(w, set) })
		if err != nil {
			return err
		}
	}
	if o.html != "" {
		err := writeFile(o.html, func(w io.Writer) error { return report.HTML(w, sets, reference) })
		if err != nil {
			return err
		}
	}
	if o.json {
		return set.Write(out)
	}
	if err := report.Header(out, &set.Environment); err != nil {
		return err
	}
	return report.Table(out, result.Rows(set.Runs), reference, o.wide)
}

func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}

// lineWriter writes results run by run, so that what an interrupted run has measured is
// not lost.
type lineWriter struct{ f *os.File }

func createLines(name string, env *result.Environment) (*lineWriter, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	w := &lineWriter{f}
	return w, result.WriteLine(f, result.Line{Environment: env})
}

func (w *lineWriter) add(r *result.Run) error { return result.WriteLine(w.f, result.Line{Run: r}) }

// end writes the environment again, with the notes that it has by now.
func (w *lineWriter) end(env *result.Environment) error {
	return result.WriteLine(w.f, result.Line{Environment: env})
}

func (w *lineWriter) close() error { return w.f.Close() }

// reportCommand shows files of results, as one if there are several.
func reportCommand(args []string, out io.Writer) error {
	f := newPlainFlags("report", "lsmbench report [flags] FILE… shows results that -out has written, those of several files as one.\n\n"+
		"Examples:\n\n  lsmbench report results.jsonl\n  lsmbench report -html report.html -gobench bench.txt results.jsonl\n")
	var o output
	o.addFlags(f)
	asked := f.String("reference", "", referenceUsage)
	files, err := parseAnywhere(f, args, out)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return usagef("report takes files of results")
	}
	if o.lines != "" {
		return usagef("report reads results; -out is for the commands that make them")
	}
	var sets []*result.Set
	var engines []string
	for _, name := range files {
		set, err := result.ReadFile(name)
		if err != nil {
			return usageError{err}
		}
		sets = append(sets, set)
		for i := range set.Runs {
			if engine := set.Runs[i].Engine; !slices.Contains(engines, engine) {
				engines = append(engines, engine)
			}
		}
	}
	reference, err := chooseReference(*asked, engines)
	if err != nil {
		return usageError{err}
	}
	return o.show(sets, reference, out)
}

// compareCommand compares two files of results.
func compareCommand(args []string, out io.Writer) error {
	f := newPlainFlags("compare", "lsmbench compare [flags] OLD NEW compares two files of results, and fails if a rate fell by more than\n"+
		"-fail-over, and by more than repeats of either differ.\n\nExample:\n\n  lsmbench compare old.jsonl new.jsonl --fail-over 10%\n")
	threshold, fails := 0.1, false
	f.Func("fail-over", "fail if a rate fell by more than this `percentage`; without it nothing fails, and 10% counts", func(text string) (err error) {
		fails = true
		threshold, err = percentage(text)
		return err
	})
	files, err := parseAnywhere(f, args, out)
	if err != nil {
		return err
	}
	if len(files) != 2 {
		return usagef("compare takes two files of results, the old and the new")
	}
	older, err := result.ReadFile(files[0])
	if err != nil {
		return usageError{err}
	}
	newer, err := result.ReadFile(files[1])
	if err != nil {
		return usageError{err}
	}
	c := result.Compare(older, newer, threshold)
	if err := report.Comparison(out, c); err != nil {
		return err
	}
	if len(c.Rows) == c.Count(result.Gone)+c.Count(result.Added)+c.Count(result.None) {
		return usagef("%s and %s have no row in common", files[0], files[1])
	}
	if n := len(c.Slower()); n > 0 && fails {
		return fmt.Errorf("%d rows are slower by more than %.4g%%", n, threshold*100)
	}
	return nil
}

// percentage reads 10% or 10 as 0.1.
func percentage(text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return 0, fmt.Errorf("%q is no percentage", text)
	}
	return v / 100, nil
}
