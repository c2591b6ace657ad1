package result

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/hdr"
	"github.com/loamdb/loam/internal/golden"
	"github.com/stretchr/testify/require"
)

// full sets every field that v reaches to something that omitempty does not omit.
func full(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 26, 11, 0, 0, 0, time.UTC)))
		return
	case *hdr.Histogram:
		h := &hdr.Histogram{}
		h.Add(700)
		v.Set(reflect.ValueOf(h))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			full(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		full(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			full(v.Index(i))
		}
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		full(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("name"), value)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	default:
		panic("a field of a kind that this test does not know: " + v.Type().String())
	}
}

func fullSet() *Set {
	s := &Set{}
	full(reflect.ValueOf(s).Elem())
	s.Environment.Schema = Schema
	return s
}

// fieldNames lists the names under which the values of decoded JSON are found.
func fieldNames(prefix string, v any, names map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			fieldNames(prefix+"."+k, child, names)
		}
	case []any:
		for _, child := range v {
			fieldNames(prefix+"[]", child, names)
		}
	default:
		names[fmt.Sprintf("%s %s", strings.TrimPrefix(prefix, "."), jsonKind(v))] = true
	}
}

func jsonKind(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case bool:
		return "truth"
	case float64:
		return "number"
	}
	return "null"
}

func TestFieldsKeepTheirNames(t *testing.T) {
	var out strings.Builder
	require.NoError(t, fullSet().Write(&out))
	names := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		var v any
		require.NoError(t, json.Unmarshal([]byte(line), &v))
		fieldNames("", v, names)
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	golden.Assert(t, "testdata/fields.txt", []byte(strings.Join(sorted, "\n")+"\n"))
}

func TestResultsSurviveTheirFile(t *testing.T) {
	set := fullSet()
	name := filepath.Join(t.TempDir(), "results.jsonl")
	f, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, set.Write(f))
	require.NoError(t, f.Close())
	back, err := ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, set, back)
}

func TestUnknownFieldsArePassedOver(t *testing.T) {
	set, err := Read(strings.NewReader(`{"environment":{"schema":1,"cpu":"x","later":[1]},"more":2}` + "\n" + `{"run":{"workload":"fill","engine":"loam","ops":3,"later":{}}}` + "\n"))
	require.NoError(t, err)
	require.Equal(t, "x", set.Environment.CPU)
	require.Len(t, set.Runs, 1)
	require.EqualValues(t, 3, set.Runs[0].Ops)
}

func TestFilesThatAreNoResultsAreRefused(t *testing.T) {
	const environment = `{"environment":{"schema":1}}` + "\n"
	for name, c := range map[string]struct{ content, want string }{
		"another schema":      {`{"environment":{"schema":2}}`, "schema 2; this program reads 1"},
		"schema missing":      {`{"environment":{"cpu":"x"}}`, "schema 0"},
		"empty":               {"", "the file is empty"},
		"garbage":             {"goos: linux\n", "line 1"},
		"garbage later":       {environment + "}{", "line 2"},
		"run first":           {`{"run":{"workload":"fill"}}`, "must begin with their environment"},
		"neither":             {environment + `{"walk":{}}`, "line 2: neither environment nor run"},
		"field of wrong type": {environment + `{"run":{"ops":"many"}}`, "line 2"},
		"broken histogram":    {environment + `{"run":{"latencies":[{"histogram":{"counts":[[99999,1]]}}]}}`, "bucket"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(strings.NewReader(c.content))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestAFileThatIsRefusedIsNamed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "empty.jsonl")
	require.NoError(t, os.WriteFile(name, nil, 0o644))
	_, err := ReadFile(name)
	require.ErrorContains(t, err, "empty.jsonl")
	_, err = ReadFile(name + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestQuotientsAreOfTheirFigures(t *testing.T) {
	r := Run{
		Ops: 3000, Elapsed: 2 * time.Second,
		DeviceWritten: 500, UserWritten: 200, FileRead: 90, UserRead: 60, TableBytes: 330, LiveBytes: 300,
	}
	r.Complete()
	r.Settle(time.Second)
	require.Equal(t, 1500.0, r.Rate)
	require.Equal(t, 1000.0, r.Settled)
	require.Equal(t, 2.5, r.WriteAmp)
	require.Equal(t, 1.5, r.ReadAmp)
	require.Equal(t, 1.1, r.SpaceAmp)

	r.Settle(-time.Second)
	require.Equal(t, r.Rate, r.Settled, "idle time subtracted too much must not make the settled rate the greater")
}

func TestQuotientsOfUnknownFiguresAreAbsent(t *testing.T) {
	r := Run{Ops: 3000, DeviceWritten: 500, UserRead: 60, TableBytes: -1, LiveBytes: 300}
	r.Complete()
	r.Settle(0)
	require.Equal(t, Run{Ops: 3000, DeviceWritten: 500, UserRead: 60, TableBytes: -1, LiveBytes: 300}, r)
}

func TestLatenciesSumUpTheirHistogram(t *testing.T) {
	var h hdr.Histogram
	for i := range 100 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	l := NewLatency("set", &h)
	require.Equal(t, "set", l.Kind)
	require.EqualValues(t, 100, l.Count)
	require.EqualValues(t, 90, l.Slow)
	require.Equal(t, 100*time.Millisecond, l.Max)
	require.Equal(t, 50500*time.Microsecond, l.Mean)
	require.InEpsilon(t, float64(50*time.Millisecond), float64(l.P50), 0.01)
	require.InEpsilon(t, float64(90*time.Millisecond), float64(l.P90), 0.01)
	require.InEpsilon(t, float64(99*time.Millisecond), float64(l.P99), 0.01)
	require.Equal(t, l.Max, l.P9999)

	require.Equal(t, l, (&Run{Latencies: []Latency{l, {Kind: "get"}}}).Main())
	require.Equal(t, Latency{}, (&Run{}).Main())
}

func TestARowIsItsMedianRepeat(t *testing.T) {
	odd := Rows(rates("fill", "loam", 9, 1, 3))
	require.Len(t, odd, 1)
	require.Equal(t, 3.0, odd[0].Rate)
	require.Equal(t, 2, odd[0].Repeat, "the row is a run that was made, not a mixture")
	require.Equal(t, 3, odd[0].Repeats)
	require.Equal(t, []float64{1, 9}, []float64{odd[0].Slowest, odd[0].Fastest})
	require.InDelta(t, 8./3, odd[0].Spread(), 1e-9)

	even := Rows(rates("fill", "loam", 9, 3, 1, 4))
	require.Equal(t, 3.0, even[0].Rate, "the lower of the two in the middle")
	one := Rows(rates("fill", "loam", 5))
	require.Equal(t, 5.0, one[0].Rate)
	require.Zero(t, one[0].Spread())
	require.Zero(t, (&Row{Fastest: 3}).Spread())
	require.Empty(t, Rows(nil))
}

func TestRowsStandInTheOrderOfTheirFirstRun(t *testing.T) {
	runs := slices.Concat(rates("fill", "loam", 1), rates("get", "loam", 3), rates("fill", "pebble", 2), rates("fill", "loam", 4))
	runs = append(runs, Run{Group: "large", Workload: "fill", Engine: "loam", Rate: 5})
	var got []string
	for _, r := range Rows(runs) {
		got = append(got, fmt.Sprint(r.Group, " ", r.Workload, " ", r.Engine, " ", r.Repeats))
	}
	require.Equal(t, []string{" fill loam 2", " get loam 1", " fill pebble 1", "large fill loam 1"}, got)
}

func TestBestAndRatioAreWithinGroupAndWorkload(t *testing.T) {
	rows := []Row{
		{Run: Run{Workload: "fill", Engine: "loam", Rate: 30, Settled: 10}},
		{Run: Run{Workload: "fill", Engine: "pebble", Rate: 20, Settled: 20}},
		{Run: Run{Workload: "get", Engine: "loam", Rate: 5}},
		{Run: Run{Workload: "get", Engine: "pebble", Rate: 5}},
		{Run: Run{Group: "large", Workload: "fill", Engine: "loam", Rate: 1}},
	}
	best := func(figure func(*Row) float64) (best []int) {
		for i := range rows {
			if Best(rows, &rows[i], figure) {
				best = append(best, i)
			}
		}
		return best
	}
	require.Equal(t, []int{0}, best(RateOf), "of two equals neither is best, and one alone is not")
	require.Equal(t, []int{1}, best(SettledOf))

	require.Equal(t, 1.5, Ratio(rows, &rows[0], "pebble", RateOf))
	require.Equal(t, 0.5, Ratio(rows, &rows[0], "pebble", SettledOf))
	require.Zero(t, Ratio(rows, &rows[1], "pebble", RateOf), "the reference has no ratio to itself")
	require.Zero(t, Ratio(rows, &rows[2], "pebble", SettledOf), "the reference lacks the figure")
	require.Zero(t, Ratio(rows, &rows[4], "pebble", RateOf), "the reference is of another group")
}
