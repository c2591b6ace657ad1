package metamorphic

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() { register("lie", 0, func(*generator) lie { return lie{} }) }

// lie is an operation that no store can do right once a key is there.
type lie struct{}

func (*lie) model(*Model) string { return absent }

func (*lie) apply(p *player) (string, error) { return found(p.db.Get([]byte("key-0003"))) }

// What is printed of a failure is all that it takes, and fails when it is read again.
func TestAFailureIsMadeShort(t *testing.T) {
	there := act{Do: "set", Key: "key-0003", Value: value{N: 1}}
	ops := append(Generate(7, 600), &write{act: there}, &lie{})
	f := &Failure{Set: Sets(1)[0], Ops: ops, At: len(ops) - 1}
	s := Shrink(f, 200_000)
	require.LessOrEqual(t, len(s.Ops), 3, "%s", s.Format())
	require.IsType(t, &lie{}, s.Ops[len(s.Ops)-1])

	r, err := ParseRegression(s.Format())
	require.NoError(t, err)
	require.Equal(t, s.Ops, r.Ops)
	require.Equal(t, s.Set, r.Set)
	require.NotNil(t, r.Play())
}

func TestRunReportsADifference(t *testing.T) {
	kind := slices.IndexFunc(kinds, func(k kind) bool { return k.name == "lie" })
	kinds[kind].weight = 2000
	t.Cleanup(func() { kinds[kind].weight = 0 })
	r := Run(Config{Seeds: []uint64{1}, Operations: 400, Sets: Sets(2), Patience: 50_000})
	require.NotEmpty(t, r.Failures)
	require.ErrorContains(t, r.Err(), "lie {}")
}

func TestOperationsAreReadAsTheyArePrinted(t *testing.T) {
	met := map[string]bool{}
	for _, op := range Generate(3, 12_000) {
		line := formatOp(op)
		again, err := parseOp(line)
		require.NoError(t, err, line)
		require.Equal(t, op, again, line)
		met[kindNames[reflect.TypeOf(op)]] = true
	}
	for _, k := range kinds {
		require.Equal(t, k.weight > 0, met[k.name], k.name)
	}
	for _, line := range []string{"", "other {}", "flush", `write {"Do":1}`, `write {"Other":1}`} {
		_, err := parseOp(line)
		require.Error(t, err, line)
	}
}

func TestRegressionFilesAreChecked(t *testing.T) {
	for _, text := range []string{"", "times x", "options 1", "times 1\nflush {}", "times 1\noptions {}\nflush {}", "other"} {
		_, err := ParseRegression(text)
		require.Error(t, err, "%q", text)
	}
}

func TestSetsAreLegalAndDiffer(t *testing.T) {
	names := map[string]bool{}
	for _, s := range Sets(80) {
		require.False(t, names[s.Name], s.Name)
		names[s.Name] = true
		for n := range s.Ways {
			o := s.options(nil, nil, n, new(clock))
			require.NoError(t, o.Validate(), s.Name)
		}
	}
	require.Equal(t, Sets(80)[50], Sets(60)[50])
}

// A tree does what a map does, and none of its versions changes.
func TestTreeIsAnOrderedMapThatNeverChanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var now *tree
	m := map[string]string{}
	type version struct {
		t *tree
		m map[string]string
	}
	var versions []version
	for i := range 3000 {
		key := fmt.Sprint(rnd.IntN(300))
		switch rnd.IntN(10) {
		case 0:
			upper := key + "5"
			now = now.remove(key, upper)
			maps.DeleteFunc(m, func(k, _ string) bool { return k >= key && k < upper })
		case 1, 2:
			now = now.remove(key, next(key))
			delete(m, key)
		default:
			now = now.set(key, fmt.Sprint(i), i, 0)
			m[key] = fmt.Sprint(i)
		}
		if i%100 == 0 {
			versions = append(versions, version{now, maps.Clone(m)})
		}
	}
	for _, v := range append(versions, version{now, m}) {
		keys := slices.Sorted(maps.Keys(v.m))
		require.Equal(t, len(keys), v.t.len())
		var sum uint64
		for i, key := range keys {
			require.Equal(t, v.m[key], v.t.get(key).value)
			require.Equal(t, key, v.t.seekGE(key).key)
			if before := v.t.seekLT(key); i > 0 {
				require.Equal(t, keys[i-1], before.key)
			} else {
				require.Nil(t, before)
			}
			sum += entryHash(key, v.m[key])
		}
		require.Equal(t, sum, v.t.hash())
		var forward, backward []string
		for e := range v.t.all() {
			forward = append(forward, e.key)
		}
		for e := range v.t.backward() {
			backward = append(backward, e.key)
		}
		slices.Reverse(backward)
		require.Equal(t, keys, forward)
		require.Equal(t, keys, backward)
	}
}

func FuzzParseRegression(f *testing.F) {
	fail := Failure{Set: Sets(1)[0], Ops: Generate(1, 20)}
	f.Add(fail.Format())
	f.Add("times 1\noptions {}\nflush {}\n")
	f.Add("write {\"Do\":\"set\",\"Key\":\"\\\\xff\"}")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRegression(text)
		if err != nil {
			return
		}
		again, err := ParseRegression((&Failure{Set: r.Set, Ops: r.Ops}).Format())
		if err != nil || len(again.Ops) != len(r.Ops) {
			t.Fatalf("not read again: %v", err)
		}
		for i, op := range r.Ops {
			if line := formatOp(op); formatOp(again.Ops[i]) != line {
				t.Fatalf("read as another operation: %s", line)
			}
		}
	})
}
