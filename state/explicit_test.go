package state_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// scopeMethods are the operations on a scope.
func scopeMethods() []reflect.Method {
	var all []reflect.Method
	for m := range reflect.TypeFor[*state.Scope]().Methods() {
		if !slices.Contains([]string{"Name", "Behind", "PutOwn", "PutRaw", "HasOwn"}, m.Name) { // export_test.go has the others
			all = append(all, m)
		}
	}
	return all
}

// An operation on a scope is one of the store too, with the scope's name behind the context.
func TestTheStoreHasEveryOperationOfAScope(t *testing.T) {
	for _, m := range scopeMethods() {
		explicit, ok := reflect.TypeFor[*state.Store]().MethodByName(m.Name)
		require.True(t, ok, m.Name)
		want := []reflect.Type{m.Type.In(1), reflect.TypeFor[scope.Scope]()}
		for i := 2; i < m.Type.NumIn(); i++ {
			want = append(want, m.Type.In(i))
		}
		require.Equal(t, m.Type.IsVariadic(), explicit.Type.IsVariadic(), m.Name)
		require.Equal(t, len(want)+1, explicit.Type.NumIn(), m.Name)
		for i, in := range want {
			require.Equal(t, in, explicit.Type.In(i+1), m.Name)
		}
		require.Equal(t, m.Type.NumOut(), explicit.Type.NumOut(), m.Name)
		for i := range m.Type.NumOut() {
			require.Equal(t, m.Type.Out(i), explicit.Type.Out(i), m.Name)
		}
	}
}

// twin is one of two stores in which the same is done.
type twin struct {
	*state.Store
	explicit bool
	file     bytes.Buffer // of Export
}

// calls are what is done in both, in this order, each with what it wants behind the context and the scope.
var calls = []struct {
	method string
	in     scope.Scope
	args   func(w *twin) []any
}{
	{"Set", agent, with("k", 1)},
	{"Set", agent, with("m", map[string]any{"a": 1})},
	{"SetMany", agent, with(map[string]any{"a": "ann@example.org", "b": 2})},
	{"SetWithTTL", agent, with("t", 1, time.Hour)},
	{"SetIfAbsent", agent, with("n", 1)},
	{"SetIfAbsent", agent, with("n", 2)},
	{"CompareAndSet", agent, with("c", state.Absent, 1)},
	{"CompareAndSet", agent, with("c", state.Absent, 2)},
	{"Update", agent, with("k", func(old any, found bool) (any, error) { return fmt.Sprint(old, found), nil })},
	{"Increment", agent, with("b", 40)},
	{"Append", agent, with("l", "x")},
	{"Patch", agent, with("m", map[string]any{"b": 2})},
	{"IncrementBlind", agent, with("blind/n", 2)},
	{"PatchBlind", agent, with("blind/m", map[string]any{"b": 2})},
	{"AppendBlind", agent, with("blind/l", 2)},
	{"Get", agent, with("k")},
	{"Get", agent, with("absent")},
	{"Set", scope.Global(), with("far", 1)},
	{"GetInherited", agent, with("far")},
	{"GetWithMeta", agent, with("b")},
	{"GetMany", agent, with("b", "absent", "blind/n")},
	{"Has", agent, with("b")},
	{"Reveal", agent, with("b")},
	{"Delete", agent, with("n")},
	{"DeleteMany", agent, with([]string{"c", "absent"})},
	{"List", agent, with(state.ListOptions{Prefix: "b", Limit: 2})},
	{"All", agent, with("")},
	{"Keys", agent, with("blind/")},
	{"History", agent, with("b")},
	{"Diff", agent, with(state.Position{})},
	{"Watch", agent, with("wat", nil)},
	{"ScanPrivacy", agent, with(nil)},
	{"AcquireLease", agent, with("job", "me", time.Minute)},
	{"AcquireLease", agent, with("job", "you", time.Minute)},
	{"LeaseInfo", agent, with("job")},
	{"SetRetention", agent, with(state.Retention{MaxEntries: 100})},
	{"Retention", agent, with()},
	{"Stats", agent, with()},
	{"Export", agent, func(w *twin) []any { return []any{&w.file, state.ExportOptions{}} }},
	{"Import", scope.Agent("in"), func(w *twin) []any { return []any{bytes.NewReader(w.file.Bytes()), state.ImportOptions{}} }},
	{"Copy", agent, with(scope.Agent("copy"))},
	{"Fork", agent, with(scope.Agent("fork"))},
	{"Move", agent, with(scope.Agent("moved"))},
	{"Drop", scope.Agent("copy"), with()},
	{"Seal", scope.User("ann"), with()},
	{"Set", scope.User("ann"), with("k", 1)},
	{"Sealed", scope.User("ann"), with()},
	{"Shred", scope.User("ann"), with()},
	{"Get", scope.User("ann"), with("k")},
}

func with(args ...any) func(*twin) []any { return func(*twin) []any { return args } }

// call calls a method of the handle or, in the explicit form, of the store, and returns what comes of it.
func (w *twin) call(t *testing.T, method string, in scope.Scope, args []any) []any {
	t.Helper()
	on, behind := reflect.ValueOf(w.Scope(in)), []any{ctx}
	if w.explicit {
		on, behind = reflect.ValueOf(w.Store), []any{ctx, in}
	}
	m := on.MethodByName(method)
	var values []reflect.Value
	for i, arg := range append(behind, args...) {
		v := reflect.ValueOf(arg)
		if arg == nil {
			v = reflect.Zero(m.Type().In(i))
		}
		values = append(values, v)
	}
	var out []any
	for _, v := range m.Call(values) {
		out = append(out, w.seen(t, in, v)...)
	}
	return out
}

// seen returns what of a result is the same in both stores.
func (w *twin) seen(t *testing.T, in scope.Scope, v reflect.Value) (out []any) {
	t.Helper()
	if v.Kind() == reflect.Func {
		for k, e := range v.Seq2() {
			out = append(out, w.seen(t, in, k)...)
			out = append(out, w.seen(t, in, e)...)
		}
		return out
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return []any{nil}
	}
	switch x := v.Interface().(type) {
	case error:
		return []any{x.Error()}
	case hook.Event:
		return []any{x.Op, x.Scope, x.Key, x.SeqNum}
	case *state.Lease:
		return []any{x.Info()}
	case *state.Scope:
		return []any{x.Name()}
	case *state.ShredReport:
		return []any{x.Scope}
	case *state.Watcher:
		require.NoError(t, w.Scope(in).Set(ctx, "unwatched", 1))
		require.NoError(t, w.Scope(in).Set(ctx, "watched", 1))
		c, err := x.Next()
		require.NoError(t, err)
		require.NoError(t, x.Close())
		return []any{c.Kind, c.Key}
	default:
		return []any{x}
	}
}

// The explicit form of each operation does what the handle's does.
func TestTheExplicitFormDoesWhatTheHandleDoes(t *testing.T) {
	o := &state.Options{NoSync: true, Timeline: &state.TimelineOptions{}, Engine: &lsm.Options{Clock: &manual{}, Encryption: &lsm.Encryption{Key: masterKey}}}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		beside := &fixture{t: t, opts: o}
		if f.dir != "" {
			beside.dir = f.dir + "2"
		}
		beside.open()
		defer func() { require.NoError(t, beside.Close()) }()
		byHandle, explicit := &twin{Store: f.Store}, &twin{Store: beside.Store, explicit: true}
		called := map[string]bool{}
		for _, c := range calls {
			called[c.method] = true
			want := byHandle.call(t, c.method, c.in, c.args(byHandle))
			require.Equal(t, want, explicit.call(t, c.method, c.in, c.args(explicit)), c.method)
		}
		require.Equal(t, byHandle.file.String(), explicit.file.String())
		for _, m := range scopeMethods() {
			require.True(t, called[m.Name], "%s is not called", m.Name)
		}
	})
}
