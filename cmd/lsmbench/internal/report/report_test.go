package report_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
	"github.com/loamdb/loam/cmd/lsmbench/internal/report"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/stretchr/testify/require"
)

var keepPage = flag.String("page", "", "write the page of the sample to this file, to be looked at")

func page(t *testing.T, reference string, sets ...*result.Set) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, report.HTML(&out, sets, reference))
	requireSelfContained(t, out.String())
	requireDrawings(t, out.String())
	require.NotRegexp(t, `NaN|[+-]Inf|%!|\[\]|&lt;nil`, out.String())
	return out.String()
}

// outward is what makes a page load something.
var outward = regexp.MustCompile(`(?i)\s(src|srcset|poster|data|action|background)\s*=|href\s*=\s*["']?[^"'#]|@import|url\(|<(script|link|iframe|object|embed|base|img)\b`)

func requireSelfContained(t *testing.T, page string) {
	t.Helper()
	require.Empty(t, outward.FindAllString(page, -1), "the page must load nothing")
	require.Contains(t, page, `<meta name="viewport" content="width=device-width, initial-scale=1">`)
}

// drawing is an svg element as a reader of XML sees it.
type drawing struct {
	Role       string `xml:"role,attr"`
	LabelledBy string `xml:"aria-labelledby,attr"`
	ViewBox    string `xml:"viewBox,attr"`
	Title      struct {
		ID   string `xml:"id,attr"`
		Text string `xml:",chardata"`
	} `xml:"title"`
	Desc struct {
		ID   string `xml:"id,attr"`
		Text string `xml:",chardata"`
	} `xml:"desc"`
}

// requireDrawings checks that every drawing is well-formed XML, and that it says in words
// what it shows.
func requireDrawings(t *testing.T, page string) []drawing {
	t.Helper()
	elements := regexp.MustCompile(`(?s)<svg\b.*?</svg>`).FindAllString(page, -1)
	require.Len(t, elements, strings.Count(page, "<svg"))
	var drawings []drawing
	ids := map[string]bool{}
	for _, e := range elements {
		var d drawing
		require.NoError(t, xml.Unmarshal([]byte(e), &d), e)
		decoder := xml.NewDecoder(strings.NewReader(e))
		for {
			if _, err := decoder.Token(); err != nil {
				require.True(t, errors.Is(err, io.EOF), err)
				break
			}
		}
		require.Equal(t, "img", d.Role)
		require.Equal(t, d.Title.ID+" "+d.Desc.ID, d.LabelledBy)
		require.NotEmpty(t, strings.TrimSpace(d.Title.Text))
		require.NotEmpty(t, strings.TrimSpace(d.Desc.Text))
		require.False(t, ids[d.Title.ID] || ids[d.Desc.ID], "an id must be unique in the page: %s", d.Title.ID)
		ids[d.Title.ID], ids[d.Desc.ID] = true, true
		drawings = append(drawings, d)
	}
	return drawings
}

func TestPageNamesWhatWasMeasured(t *testing.T) {
	set := sample()
	out := page(t, "pebble", set)
	if *keepPage != "" {
		require.NoError(t, os.WriteFile(*keepPage, []byte(out), 0o644))
	}
	for _, w := range sampleWorkloads {
		require.Contains(t, out, "<figcaption>"+w.name, "a chart")
		require.Contains(t, out, `<th scope="row">`+w.name+"</th>", "a line of the summary")
		require.Contains(t, out, "<span>"+w.name+"</span>", "rows of the table")
	}
	for _, e := range sampleEngines {
		require.Contains(t, out, "<dt>"+e.name+"</dt>", "its settings")
		require.GreaterOrEqual(t, strings.Count(out, e.name), 3*len(sampleWorkloads))
	}
	require.Contains(t, out, "<h1>loam, badger and bbolt beside pebble</h1>")
	require.Contains(t, out, "Four engines, loam, pebble, badger and bbolt, ran twelve workloads, three times each, on AMD EPYC, 2 cores, 23.5 GiB memory, linux 6.18.44, ext4.")
	require.Contains(t, out, "ratios are to pebble, so 2.00× means twice as fast as pebble.")
	require.Contains(t, out, set.Environment.Flags)
	require.Contains(t, out, set.Environment.Notes[1])
}

func TestPageDrawsWhatThereIs(t *testing.T) {
	kinds := map[string]int{}
	for _, d := range requireDrawings(t, page(t, "pebble", sample())) {
		_, kind, _ := strings.Cut(d.Title.Text, ": ")
		kinds[kind]++
	}
	require.Equal(t, map[string]int{
		"operations per second":           12,
		"latency of set by percentile":    4,
		"latency of batch by percentile":  1,
		"latency of get by percentile":    3,
		"latency of seek by percentile":   1,
		"latency of delete by percentile": 1,
		"operations per second over time": 10, // readseq and readreverse are over too soon
	}, kinds)
}

func TestEqualResultsMakeEqualPages(t *testing.T) {
	require.Equal(t, page(t, "pebble", sample()), page(t, "pebble", sample()))
}

func TestHostileNamesAreText(t *testing.T) {
	plain := page(t, "pebble", sample())
	for _, name := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'--><svg onload="x">`, "</title></desc></svg>", "]]>&amp;<!--",
		"}</style><style>@import url(//x);", "\x00\x01\x1b[31m\u0085\ufffe\xff\n", "javascript:alert(1)", "{{.}}", "  ", "\u202eabc",
	} {
		set := sample()
		set.Runs = set.Runs[:2*len(sampleEngines)]
		e := &set.Environment
		e.CPU, e.Kernel, e.FileSystem, e.Go, e.Platform, e.Commit, e.Flags = name, name, name, name, name, name, name
		e.Settings = map[string]string{name: name}
		e.Notes = []string{name}
		for i := range set.Runs {
			r := &set.Runs[i]
			r.Group, r.Workload = name+r.Workload, name+r.Workload
			r.Latencies = append(r.Latencies, r.Latencies...)
			r.Latencies[0].Kind, r.Latencies[1].Kind = name+"a", name+"b"
			if r.Engine == "loam" {
				r.Engine = name
			}
		}
		for _, reference := range []string{name, "pebble"} {
			var out strings.Builder
			require.NoError(t, report.HTML(&out, []*result.Set{set}, reference))
			requireDrawings(t, out.String())
			for _, tag := range []string{"<script", "<img", "<style", "<!--", "<svg onload", "onerror=alert(1)>"} {
				require.Equal(t, strings.Count(plain, tag), strings.Count(out.String(), tag), "%s from %q", tag, name)
			}
			require.NotRegexp(t, "[\x00-\x08\x0b-\x1f\u0085\ufffe]", out.String())
		}
	}
}

func TestOneEngineIsNotCompared(t *testing.T) {
	set := sample()
	only := &result.Set{Environment: set.Environment}
	for _, r := range set.Runs {
		if r.Engine == "loam" && r.Repeat == 0 {
			only.Runs = append(only.Runs, r)
		}
	}
	out := page(t, "pebble", only)
	require.Contains(t, out, "<h1>loam</h1>")
	require.Contains(t, out, "loam ran twelve workloads, once each, on")
	require.NotContains(t, out, "×<")
	require.NotContains(t, out, "Whiskers")
	require.NotContains(t, out, "<strong>")
}

func TestWithoutTheReferenceThereAreRates(t *testing.T) {
	out := page(t, "rocksdb", sample())
	require.Contains(t, out, "<h1>loam, pebble, badger and bbolt</h1>")
	require.NotContains(t, out, "×<")
	require.Contains(t, out, "<strong>")
}

func TestNothingMakesAPageToo(t *testing.T) {
	require.Contains(t, page(t, "pebble", &result.Set{}), "No results")
	require.Contains(t, page(t, "pebble"), "No results")
	bare := &result.Set{Runs: []result.Run{
		{Workload: "fill", Engine: "loam"}, // nothing at all was done
		{Workload: "get", Engine: "pebble", Rate: 1, Latencies: []result.Latency{{Kind: "get"}}, PerSecond: []uint64{0, 0, 0, 0}},
		{Workload: "get", Engine: "loam", Rate: 1, Latencies: []result.Latency{{Kind: "get", Count: 30, P50: 5, P90: 6, P99: 7}}},
		{Workload: "scan", Engine: "loam", Rate: 1e-9, Latencies: []result.Latency{result.NewLatency("next", single(0))}},
	}}
	out := page(t, "pebble", bare)
	require.Contains(t, out, "not measured")
	require.Contains(t, out, "loam p50 5ns")
}

func single(d time.Duration) *hdr.Histogram {
	h := &hdr.Histogram{}
	h.Add(d)
	return h
}

func TestManyEnginesAreCountedInTheTitle(t *testing.T) {
	set := &result.Set{}
	for _, e := range []string{"loam", "pebble", "badger", "bbolt", "goleveldb", "sqlite", "rocksdb", "lmdb", "other", "more", "most", "last"} {
		set.Runs = append(set.Runs, result.Run{Workload: "fill", Engine: e, Rate: 5})
	}
	require.Contains(t, page(t, "pebble", set), "<h1>Eleven engines beside pebble</h1>")
}

func TestGroupsHaveTitles(t *testing.T) {
	set := sample()
	for i := range set.Runs {
		set.Runs[i].Group = []string{"small values", "large values"}[i/len(sampleEngines)%2]
	}
	out := page(t, "pebble", set)
	require.Contains(t, out, "twelve workloads in two groups")
	require.Equal(t, 5, strings.Count(out, "<h3>small values</h3>"), "summary, rates, latency, over time, figures")
}

func TestFurtherKindsOfOperationAreShown(t *testing.T) {
	set := sample()
	for i := range set.Runs {
		if r := &set.Runs[i]; r.Workload == "readwhilewriting" {
			l := r.Latencies[0]
			l.Kind = "set"
			r.Latencies = append(r.Latencies, l)
		}
	}
	out := page(t, "pebble", set)
	require.Contains(t, out, "<figcaption>readwhilewriting <span>get</span>")
	require.Contains(t, out, "<figcaption>readwhilewriting <span>set</span>")
	require.Contains(t, out, "Other kinds of operation")
	require.NotContains(t, page(t, "pebble", sample()), "Other kinds of operation")
}

func TestARowOfSeveralSetsIsKeptApart(t *testing.T) {
	a, b := sample(), sample()
	b.Environment.CPU, b.Environment.Commit = "Neoverse", "abc"
	out := page(t, "pebble", a, b)
	require.Contains(t, out, "<h3>results 1</h3>")
	require.Contains(t, out, "<h3>results 2</h3>")
	require.Contains(t, out, "on several machines")
	require.Contains(t, out, "several commits")
	require.Contains(t, out, "<h3>Results 2</h3>")

	// Sets of different engines make one table.
	var loam, others result.Set
	for _, r := range a.Runs {
		if r.Engine == "loam" {
			loam.Runs = append(loam.Runs, r)
		} else {
			others.Runs = append(others.Runs, r)
		}
	}
	require.NotContains(t, page(t, "pebble", &loam, &others), "results 1")
}

func TestTheSlowestDoesNotPressTheOthersTogether(t *testing.T) {
	second := func(n int, rate uint64) []uint64 {
		s := make([]uint64, n)
		for i := range s {
			s[i] = rate
		}
		return s
	}
	set := &result.Set{Runs: []result.Run{
		{Workload: "fill", Engine: "loam", Rate: 1, Elapsed: 4500 * time.Millisecond, PerSecond: append(second(4, 1000), 500)},
		{Workload: "fill", Engine: "bbolt", Rate: 1, PerSecond: second(900, 20)},
	}}
	out := page(t, "", set)
	require.Contains(t, out, "bbolt goes on to 900 s")
	require.Contains(t, out, "loam from 1.00k to 1.00k in 5 seconds", "half a second with half the operations is no slower")
	require.NotContains(t, out, "in means of")

	set.Runs[0].PerSecond = second(800, 1000)
	require.Contains(t, page(t, "", set), "in means of 2 seconds")
}

func TestPagesAreReadWithoutSpecialCare(t *testing.T) {
	out := page(t, "pebble", sample())
	require.Contains(t, out, `<html lang="en">`)
	require.Equal(t, 1, strings.Count(out, "<h1"))
	require.Equal(t, strings.Count(out, `<th scope=`), strings.Count(out, "<th "), "every heading of a table says what it heads")
	require.Equal(t, strings.Count(out, "<table"), strings.Count(out, `<div class="scroll" role="region" tabindex="0" aria-label=`), "tables scroll in a box of their own")
	require.Contains(t, out, "prefers-color-scheme: dark")
	require.Less(t, len(out), 400<<10)
	require.True(t, strings.HasPrefix(out, "<!DOCTYPE html>"))
}
