package state_test

import (
	"errors"
	"io"
	"iter"
	"testing"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// A loop whose body panics keeps nothing open: a server that goes on after the panic of one request could not
// give back what was overwritten since, nor close its store without ErrInUse.
func TestALoopThatPanicsLeavesNothingOpen(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": "ada@example.com", "b": 2}))
		c := people(t, sc, byMail)
		require.NoError(t, c.Set(ctx, "ada", person{Name: "Ada", Mail: "ada@example.com"}))
		for name, loop := range map[string]func(){
			"all":       func() { panicIn(sc.All(ctx, "")) },
			"keys":      func() { panicIn(sc.Keys(ctx, "")) },
			"documents": func() { panicIn(c.All(ctx, index.Query{})) },
			"by index":  func() { panicIn(c.All(ctx, index.Query{Where: []index.Cond{index.Eq("mail", "ada@example.com")}})) },
			"diff":      func() { panicIn(sc.Diff(ctx, state.Position{})) },
			"scopes":    func() { panicIn(f.ListScopes(scope.AnyKind, "")) },
			"transaction": func() {
				_ = f.Transact(ctx, func(tx *state.Txn) error { panicIn(tx.Scope(agent).All(ctx, "")); return nil })
			},
			"export":  func() { _, _ = sc.Export(ctx, panicking{}, state.ExportOptions{}) },
			"privacy": func() { panicIn(sc.ScanPrivacy(ctx, nil)) },
		} {
			require.Panics(t, loop, name)
			m := f.Metrics().Engine
			require.Zero(t, m.Iterators+m.Snapshots, name)
		}
	})
}

func panicIn[K, V any](loop iter.Seq2[K, V]) {
	for range loop {
		panic("in a loop")
	}
}

type panicking struct{ io.Writer }

func (panicking) Write([]byte) (int, error) { panic("in a writer") }

// B23: an export that begins while the store is closed says so. It took what it reads for there once it had its
// snapshot, and panicked.
func TestAnExportMeetsClose(t *testing.T) {
	for range 100 {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		sc := store.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", 1))
		begun := make(chan struct{})
		done := make(chan error)
		go func() {
			close(begun)
			for {
				if _, err := sc.Export(ctx, io.Discard, state.ExportOptions{}); err != nil {
					done <- err
					return
				}
			}
		}()
		<-begun
		if err := store.Close(); err != nil {
			require.ErrorIs(t, err, state.ErrInUse)
		}
		require.ErrorIs(t, <-done, state.ErrClosed)
	}
}

// B23: a document whose unique value another one has says so, or that the store was closed. It looked for the
// other one in what it had not got any more, and panicked.
func TestAUniqueValueThatIsTakenMeetsClose(t *testing.T) {
	for range 30 {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		c := people(t, store.Scope(agent), index.Def{Name: "unique", Fields: []string{"mail"}, Unique: true})
		require.NoError(t, c.Set(ctx, "ada", person{Mail: "m"}))
		begun := make(chan struct{})
		done := make(chan error)
		go func() {
			close(begun)
			err := state.ErrUnique
			for errors.Is(err, state.ErrUnique) {
				err = c.Set(ctx, "eve", person{Mail: "m"})
			}
			done <- err
		}()
		<-begun
		if err := store.Close(); err != nil {
			require.ErrorIs(t, err, state.ErrInUse)
		}
		require.ErrorIs(t, <-done, state.ErrClosed)
	}
}
