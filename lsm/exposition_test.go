package lsm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/golden"
)

// sample is one line of a text exposition.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// parseExposition parses the text format of Prometheus as its documentation describes it,
// and refuses anything else: HELP and TYPE come once, before the samples of their metric.
func parseExposition(text string) (samples []sample, types map[string]string, err error) {
	types = map[string]string{}
	helped := map[string]bool{}
	current := ""
	if !strings.HasSuffix(text, "\n") {
		return nil, nil, errors.New("no line feed at the end")
	}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, ok := strings.Cut(rest, " ")
			if !ok || helped[name] || help == "" {
				return nil, nil, fmt.Errorf("bad help: %q", line)
			}
			helped[name], current = true, name
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, ok := strings.Cut(rest, " ")
			if !ok || name != current || types[name] != "" || kind != "counter" && kind != "gauge" {
				return nil, nil, fmt.Errorf("bad type: %q", line)
			}
			types[name] = kind
			continue
		}
		s, err := parseSample(line)
		if err != nil {
			return nil, nil, err
		}
		if s.name != current || types[s.name] == "" {
			return nil, nil, fmt.Errorf("sample of another metric: %q", line)
		}
		samples = append(samples, s)
	}
	return samples, types, nil
}

// parseSample parses name{label="value",…} value.
func parseSample(line string) (s sample, err error) {
	bad := fmt.Errorf("bad sample: %q", line)
	at := strings.IndexAny(line, "{ ")
	if at <= 0 {
		return s, bad
	}
	s.name, s.labels = line[:at], map[string]string{}
	rest := line[at:]
	for strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, ",") {
		label, after, ok := strings.Cut(rest[1:], `="`)
		if !ok || label == "" {
			return s, bad
		}
		var v strings.Builder
		i := 0
		for ; i < len(after) && after[i] != '"'; i++ {
			if after[i] != '\\' {
				v.WriteByte(after[i])
				continue
			}
			i++
			switch {
			case i < len(after) && after[i] == 'n':
				v.WriteByte('\n')
			case i < len(after) && (after[i] == '\\' || after[i] == '"'):
				v.WriteByte(after[i])
			default:
				return s, bad
			}
		}
		if i == len(after) {
			return s, bad
		}
		s.labels[label] = v.String()
		if rest = after[i+1:]; strings.HasPrefix(rest, "}") {
			rest = rest[1:]
			break
		}
	}
	number, ok := strings.CutPrefix(rest, " ")
	if s.value, err = strconv.ParseFloat(number, 64); !ok || err != nil {
		return s, bad
	}
	return s, nil
}

// Every figure of Metrics is exposed, once.
func TestEveryFieldOfMetricsIsExposedOnce(t *testing.T) {
	seen, names := map[string]bool{}, map[string]bool{}
	for _, e := range exposedMetrics {
		require.False(t, seen[e.field], e.field)
		require.False(t, names[e.name], e.name)
		seen[e.field], names[e.name] = true, true
		require.Regexp(t, `^loam_[a-z0-9_]+$`, e.name)
		require.Regexp(t, `^.*\.$`, e.help)
	}
	typ := reflect.TypeFor[Metrics]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		inner := f.Type
		if inner.Kind() == reflect.Array {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct {
			require.True(t, seen[f.Name], "Metrics.%s has no name in exposition.go", f.Name)
			continue
		}
		for j := range inner.NumField() {
			name := f.Name + "." + inner.Field(j).Name
			require.True(t, seen[name], "Metrics.%s has no name in exposition.go", name)
		}
	}
}

func TestPrometheusReadsWhatIsWritten(t *testing.T) {
	db, err := Open("db", &Options{InMemory: true})
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	require.NoError(t, db.Flush(context.Background()))
	require.NoError(t, db.Verify(context.Background()))
	m := db.Metrics()
	m.WriteDelay = 1500 * time.Millisecond
	for _, store := range []string{"", "plain", "a \"quoted\\\" name\nof two lines", "not utf-8: \xff"} {
		var b bytes.Buffer
		require.NoError(t, m.WritePrometheus(&b, store))
		samples, types, err := parseExposition(b.String())
		require.NoError(t, err)
		require.Len(t, types, len(exposedMetrics))
		require.Len(t, samples, len(exposedMetrics)+5*(len(m.Levels)-1))
		got := map[string]float64{}
		for _, s := range samples {
			require.Equal(t, strings.ToValidUTF8(store, "\uFFFD"), s.labels["store"])
			require.Equal(t, strings.HasSuffix(s.name, "_total"), types[s.name] == "counter")
			got[s.name+s.labels["level"]] = s.value
		}
		require.Equal(t, 1.5, got["loam_write_delay_seconds_total"])
		require.Equal(t, 1.0, got["loam_flushes_total"])
		require.Equal(t, 1.0, got["loam_recovery_clean"])
		require.Equal(t, 1.0, got["loam_verifications_total"])
		require.Equal(t, 1.0, got["loam_level_entries6"]+got["loam_level_entries0"])
	}
	require.Error(t, m.WritePrometheus(failingWriter{}, ""))
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestExpvarTakesAStore(t *testing.T) {
	db, err := Open("db", &Options{InMemory: true})
	require.NoError(t, err)
	var v expvar.Var = db.Expvar()
	require.NoError(t, db.Set([]byte("k"), []byte("v"), nil))
	require.NoError(t, db.Flush(context.Background()))
	for range 2 { // once more after Close
		var got map[string]any
		require.NoError(t, json.Unmarshal([]byte(v.String()), &got))
		require.Len(t, got, len(exposedMetrics))
		require.EqualValues(t, 1, got["loam_flushes_total"])
		require.Len(t, got["loam_level_bytes"], 7)
		require.NoError(t, db.Close())
	}
}

// docs/metrics.md is made of the list.
func TestTheDocumentListsEveryMetric(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Metrics

` + "`DB.Metrics`" + ` returns a struct; [verify-and-salvage.md](verify-and-salvage.md) says more of the last six
figures. ` + "`Metrics.WritePrometheus`" + ` writes them as Prometheus scrapes them, ` + "`DB.Expvar`" + ` is what
` + "`expvar.Publish`" + ` takes; both use these names, and no package beyond the standard library's
formatting. Counters are sums since Open. Figures of levels have a label ` + "`level`" + `, from 0 to 6.
This page is written by a test: ` + "`go test ./lsm -run Document -update`" + `.

| name | kind | field of Metrics | meaning |
|---|---|---|---|
`)
	for i := range exposedMetrics {
		e := &exposedMetrics[i]
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", e.name, e.kind(), e.field, e.help)
	}
	golden.Assert(t, "../docs/metrics.md", []byte(b.String()))
}
