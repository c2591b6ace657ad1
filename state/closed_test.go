package state_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// canFail reports whether a method returns an error, or yields them.
func canFail(m reflect.Method) bool {
	n := m.Type.NumOut()
	if n == 0 {
		return false
	}
	last := m.Type.Out(n - 1)
	return last == reflect.TypeFor[error]() || last.Kind() == reflect.Func && last.NumIn() == 1 && last.In(0).NumIn() == 2
}

// after calls a method with arguments made up, and returns the last error that it returns or yields.
func after(t *testing.T, m reflect.Method, on reflect.Value) (err error) {
	t.Helper()
	in := []reflect.Value{on}
	for i := 1; i < m.Type.NumIn(); i++ {
		arg := reflect.New(m.Type.In(i)).Elem()
		switch made, ok := arguments[m.Type.In(i)]; {
		case m.Type.In(i) == reflect.TypeFor[context.Context]():
			arg.Set(reflect.ValueOf(ctx))
		case ok:
			arg.Set(reflect.ValueOf(made))
		case arg.Kind() == reflect.Func: // which must not be called
			arg.Set(reflect.MakeFunc(arg.Type(), func([]reflect.Value) []reflect.Value {
				t.Errorf("%s calls its function", m.Name)
				out := make([]reflect.Value, arg.Type().NumOut())
				for i := range out {
					out[i] = reflect.Zero(arg.Type().Out(i))
				}
				return out
			}))
		}
		in = append(in, arg)
	}
	call := m.Func.Call
	if m.Type.IsVariadic() {
		call = m.Func.CallSlice
	}
	out := call(in)
	last := out[len(out)-1]
	if last.Kind() != reflect.Func {
		err, _ = last.Interface().(error)
		return err
	}
	for _, e := range last.Seq2() {
		err, _ = e.Interface().(error)
	}
	return err
}

// B23: after Close every exported method of whatever a store has given out is ErrClosed, and none panics;
// Close twice is nil. A new method that can fail and does not say so fails here. KeyStatus of a closed store in clear
// was ErrNotEncrypted.
func TestEveryMethodEndsWithClose(t *testing.T) {
	for name, o := range map[string]*state.Options{"open": nil, "controlled": controlled()} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, o, func(t *testing.T, f *fixture) {
				root := f.As("root")
				sc := root.Scope(agent)
				if o == nil {
					sc = f.Scope(agent)
				}
				plain := func(sc *state.Scope) *state.Scope {
					if o != nil {
						return sc.Behind()
					}
					return sc
				}
				require.NoError(t, sc.Set(ctx, "secret", 1))
				secret := index.Def{Name: "secret", Fields: []string{"mail"}} // as the argument that is made up
				c := people(t, plain(f.Scope(agent)), secret)
				require.NoError(t, c.Set(ctx, "secret", person{Mail: "m"}))
				watcher, err := sc.Watch(ctx, "", nil)
				require.NoError(t, err)
				snap, err := f.Snapshot()
				require.NoError(t, err)
				at := plain(snap.Scope(agent))
				var kept *state.Txn
				var within *state.Scope
				if o == nil {
					require.NoError(t, f.Transact(ctx, func(tx *state.Txn) error {
						kept, within = tx, tx.Scope(agent)
						return nil
					}))
				}
				require.NoError(t, snap.Close())
				require.NoError(t, snap.Close())
				require.NoError(t, f.Close())
				require.NoError(t, f.Close())

				on := []any{f.Store, f.Engine(), sc, f.Scope(agent), at, snap, watcher, c, c.In(at)}
				if o == nil {
					on = append(on, kept, within)
				} else {
					on = append(on, root)
				}
				free := map[string]bool{"Close": true, "Behind": true, "PutOwn": true, "PutRaw": true, "HasOwn": true, "FlipAudit": true, "SetInOwnScope": true, "ListedForRetention": true}
				methods := 0
				for _, v := range on {
					value := reflect.ValueOf(v)
					for m := range value.Type().Methods() {
						if !free[m.Name] && canFail(m) {
							methods++
							require.ErrorIs(t, after(t, m, value), state.ErrClosed, "%T.%s", v, m.Name)
						}
					}
				}
				require.Greater(t, methods, 100)
				require.NoError(t, watcher.Close())
				_, err = state.OpenCollection[person](ctx, plain(sc), "people", secret)
				require.ErrorIs(t, err, state.ErrClosed)
				_, err = state.Get[int](ctx, sc, "secret")
				require.ErrorIs(t, err, state.ErrClosed)
				require.ErrorIs(t, state.NewKey[int]("secret").Set(ctx, sc, 1), state.ErrClosed)
				f.open() // for the harness to close
			})
		})
	}
}
