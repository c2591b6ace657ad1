package state_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
	"github.com/stretchr/testify/require"
)

// failure is a way to an error.
type failure struct {
	name string // of the error, as it is exported
	err  error
	op   string // what the *state.Error says; "": it is one of the store, and none of an operation
	key  string
	meet func(t *testing.T, f *fixture, sc *state.Scope) error
}

func setting(v any, opts ...state.Option) func(*testing.T, *fixture, *state.Scope) error {
	return func(_ *testing.T, _ *fixture, sc *state.Scope) error { return sc.Set(ctx, "k", v, opts...) }
}

func importing(file string) func(*testing.T, *fixture, *state.Scope) error {
	return func(_ *testing.T, _ *fixture, sc *state.Scope) error {
		_, err := sc.Import(ctx, strings.NewReader(file), state.ImportOptions{})
		return err
	}
}

func reading(stored ...byte) func(*testing.T, *fixture, *state.Scope) error {
	return func(t *testing.T, _ *fixture, sc *state.Scope) error {
		require.NoError(t, sc.PutRaw("k", stored))
		_, err := sc.Get(ctx, "k")
		return err
	}
}

var failures = []failure{
	{"ErrClosed", state.ErrClosed, "get", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		require.NoError(t, store.Close())
		_, err = store.Get(ctx, sc.Name(), "k")
		return err
	}},
	{"ErrReadOnly", state.ErrReadOnly, "set", "k", func(t *testing.T, f *fixture, sc *state.Scope) error {
		snap, err := f.Snapshot()
		require.NoError(t, err)
		defer snap.Close()
		return snap.Scope(sc.Name()).Set(ctx, "k", 1)
	}},
	{"ErrNotFound", state.ErrNotFound, "get", "k", func(_ *testing.T, _ *fixture, sc *state.Scope) error {
		_, err := sc.Get(ctx, "k")
		return err
	}},
	{"ErrConflict", state.ErrConflict, "compare and set", "k", func(_ *testing.T, _ *fixture, sc *state.Scope) error {
		_, err := sc.CompareAndSet(ctx, "k", 7, 1)
		return err
	}},
	{"ErrScope", state.ErrScope, "copy", "", func(_ *testing.T, _ *fixture, sc *state.Scope) error {
		_, err := sc.Copy(ctx, scope.Agent(""))
		return err
	}},
	{"ErrScopeExists", state.ErrScopeExists, "move", "", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		require.NoError(t, sc.Set(ctx, "k", 1))
		return sc.Move(ctx, sc.Name())
	}},
	{"ErrScopeDropped", state.ErrScopeDropped, "watch", "", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		require.NoError(t, sc.Set(ctx, "k", 1))
		w, err := sc.Watch(ctx, "", nil)
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, sc.Drop(ctx))
		return last(w.Changes())
	}},
	{"ErrUnsupported", state.ErrUnsupported, "increment", "k", func(_ *testing.T, _ *fixture, sc *state.Scope) error {
		_, err := sc.Increment(ctx, "k", 1, ephemeral)
		return err
	}},
	{"ErrInvalidExpiry", state.ErrInvalidExpiry, "set with TTL", "k", func(_ *testing.T, _ *fixture, sc *state.Scope) error {
		return sc.SetWithTTL(ctx, "k", 1, 0)
	}},
	{"ErrOption", state.ErrOption, "set", "k", setting(1, state.WithClass(77))},
	{"ErrKey", state.ErrKey, "set", "a//b", func(_ *testing.T, _ *fixture, sc *state.Scope) error { return sc.Set(ctx, "a//b", 1) }},
	{"ErrTooLarge", state.ErrTooLarge, "set", "k", setting(strings.Repeat("x", 5000))},
	{"ErrTooDeep", state.ErrTooDeep, "set", "k", setting([]any{[]any{[]any{[]any{[]any{}}}}})},
	{"ErrType", state.ErrType, "set", "k", setting(func() {})},
	{"ErrOverflow", state.ErrOverflow, "increment", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		require.NoError(t, sc.Set(ctx, "k", int64(math.MaxInt64)))
		_, err := sc.Increment(ctx, "k", 1)
		return err
	}},
	{"ErrMalformed", state.ErrMalformed, "get", "k", reading(0)},
	{"ErrTooNew", state.ErrTooNew, "get", "k", reading(envelope.Version+1, 1, 1)},
	{"ErrMerge", state.ErrMerge, "get", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		require.NoError(t, sc.Set(ctx, "k", "text"))
		require.NoError(t, sc.IncrementBlind(ctx, "k", 1))
		_, err := sc.Get(ctx, "k")
		return err
	}},
	{"ErrUnique", state.ErrUnique, "set", "people/2", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		c := people(t, sc, byMail)
		require.NoError(t, c.Set(ctx, "1", person{Mail: "m"}))
		return c.Set(ctx, "2", person{Mail: "m"})
	}},
	{"ErrToken", state.ErrToken, "query", "people", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		_, err := people(t, sc, byMail).Query(ctx, index.Query{After: "x"})
		return err
	}},
	{"ErrDisagrees", state.ErrDisagrees, "query", "people", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		c := people(t, sc, byMail)
		require.NoError(t, c.Set(ctx, "1", person{Mail: "m"}))
		require.NoError(t, state.Forge(sc, "\x00dpeople\x001", nil))
		_, err := c.Query(ctx, index.Query{Where: []index.Cond{index.Eq("mail", "m")}})
		return err
	}},
	{"ErrReopen", state.ErrReopen, "set", "people/2", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		c := people(t, sc, byMail)
		require.NoError(t, c.Set(ctx, "1", person{Mail: "m"}))
		people(t, sc, byTeam)
		return c.Set(ctx, "2", person{})
	}},
	{"ErrSensitive", state.ErrSensitive, "open collection", "people", func(_ *testing.T, _ *fixture, sc *state.Scope) error {
		_, err := state.OpenCollection[person](ctx, sc, "people", index.Def{Name: "i", Fields: []string{"password"}})
		return err
	}},
	{"ErrFormat", state.ErrFormat, "import", "", importing("no file")},
	{"ErrTruncated", state.ErrTruncated, "import", "", importing("")},
	{"ErrChecksum", state.ErrChecksum, "import", "", importing(strings.Replace(fileOf(nil), `"entries":0`, `"entries":1`, 1))},
	{"ErrDiverged", state.ErrDiverged, "diff", "", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		elsewhere, err := state.OpenMemory(nil)
		require.NoError(t, err)
		defer elsewhere.Close()
		require.NoError(t, elsewhere.Set(ctx, agent, "k", 1))
		snap, err := elsewhere.Snapshot()
		require.NoError(t, err)
		defer snap.Close()
		p, err := snap.Position()
		require.NoError(t, err)
		return last(sc.Diff(ctx, p))
	}},
	{"ErrInvalidPosition", state.ErrInvalidPosition, "", "", func(*testing.T, *fixture, *state.Scope) error {
		return new(state.Position).UnmarshalText([]byte("nowhere"))
	}},
	{"ErrHistoryGone", state.ErrHistoryGone, "diff", "", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		store, err := (&history{mode: lsm.LogWritten}).open(vfs.NewMem())
		require.NoError(t, err)
		defer store.Close()
		sc = store.Scope(sc.Name())
		require.NoError(t, sc.Set(ctx, "k", 1))
		snap, err := store.Snapshot()
		require.NoError(t, err)
		p, err := snap.Position()
		require.NoError(t, err)
		require.NoError(t, snap.Close())
		require.Eventually(t, func() bool { // until what was deleted is merged away
			for i := range 10 {
				require.NoError(t, sc.Set(ctx, fmt.Sprint(i), strings.Repeat("x", 1000)))
				_, err := sc.Delete(ctx, fmt.Sprint(i))
				require.NoError(t, err)
			}
			err = last(sc.Diff(ctx, p))
			return err != nil
		}, time.Minute, time.Millisecond)
		return err
	}},
	{"ErrNoSpace", state.ErrNoSpace, "set", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		faults := vfs.NewFaults(vfs.NewMem())
		store, err := (&history{mode: lsm.LogWritten}).open(faults)
		require.NoError(t, err)
		defer store.Close()
		faults.Add(vfs.Rule{Kinds: vfs.OpCreate | vfs.OpPreallocate, Err: syscall.ENOSPC, Forever: true})
		for range 1000 {
			if err = store.Set(ctx, sc.Name(), "k", strings.Repeat("x", 1000)); err != nil {
				return err
			}
		}
		return nil
	}},
	{"ErrPoisoned", state.ErrPoisoned, "set", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		faults := vfs.NewFaults(vfs.NewMem())
		store, err := (&history{mode: lsm.LogWritten}).open(faults)
		require.NoError(t, err)
		defer store.Close()
		faults.Add(vfs.Rule{Kinds: vfs.OpSync | vfs.OpWrite, Forever: true})
		require.Error(t, store.Set(ctx, sc.Name(), "k", 1))
		return store.Set(ctx, sc.Name(), "k", 1)
	}},
	{"ErrInvalidOptions", state.ErrInvalidOptions, "", "", func(*testing.T, *fixture, *state.Scope) error {
		_, err := state.OpenMemory(&state.Options{MaxDepth: -1})
		return err
	}},
	{"ErrLocked", state.ErrLocked, "", "", func(t *testing.T, _ *fixture, _ *state.Scope) error {
		dir := t.TempDir()
		store, err := state.Open(dir, nil)
		require.NoError(t, err)
		defer store.Close()
		_, err = state.Open(dir, nil)
		return err
	}},
	{"ErrNotExist", state.ErrNotExist, "", "", func(t *testing.T, _ *fixture, _ *state.Scope) error {
		_, err := state.Open(t.TempDir(), &state.Options{Engine: &lsm.Options{MustExist: true}})
		return err
	}},
	{"ErrCorrupt", state.ErrCorrupt, "", "", func(t *testing.T, _ *fixture, _ *state.Scope) error {
		dir := t.TempDir()
		store, err := state.Open(dir, nil)
		require.NoError(t, err)
		require.NoError(t, store.Set(ctx, agent, "k", 1))
		require.NoError(t, store.Close())
		return damage(t, dir)
	}},
	{"ErrClock", state.ErrClock, "", "", func(t *testing.T, _ *fixture, _ *state.Scope) error {
		dir, clock := t.TempDir(), &manual{}
		o := &state.Options{Engine: &lsm.Options{Clock: clock}}
		store, err := state.Open(dir, o)
		require.NoError(t, err)
		require.NoError(t, store.Set(ctx, agent, "k", 1))
		require.NoError(t, store.Close())
		clock.advance(400 * 24 * time.Hour)
		_, err = state.Open(dir, o)
		return err
	}},
	{"ErrLeaseHeld", state.ErrLeaseHeld, "acquire lease", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		_, err := sc.AcquireLease(ctx, "k", "me", time.Hour)
		require.NoError(t, err)
		_, err = sc.AcquireLease(ctx, "k", "you", time.Hour)
		return err
	}},
	{"ErrLeaseLost", state.ErrLeaseLost, "renew lease", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		l, err := sc.AcquireLease(ctx, "k", "me", time.Hour)
		require.NoError(t, err)
		require.NoError(t, l.Release(ctx))
		return l.Renew(ctx, time.Hour)
	}},
	{"ErrNotEncrypted", state.ErrNotEncrypted, "set", "k", setting(1, sensitive)},
	{"ErrShredded", state.ErrShredded, "get", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		store, err := state.OpenMemory(sealing())
		require.NoError(t, err)
		defer store.Close()
		require.NoError(t, store.Set(ctx, sc.Name(), "k", 1, sensitive))
		_, err = store.Scope(sc.Name()).Shred(ctx)
		require.NoError(t, err)
		_, err = store.Get(ctx, sc.Name(), "k")
		return err
	}},
	{"ErrNoScopeKey", state.ErrNoScopeKey, "get", "k", func(t *testing.T, _ *fixture, sc *state.Scope) error {
		fs := vfs.NewMem()
		store, err := state.Open("db", sealingOn(fs, nil))
		require.NoError(t, err)
		require.NoError(t, store.Set(ctx, sc.Name(), "k", 1, sensitive))
		require.NoError(t, store.Engine().Checkpoint(ctx, "copy"))
		require.NoError(t, store.Close())
		copied, err := state.Open("copy", sealingOn(fs, nil))
		require.NoError(t, err)
		defer copied.Close()
		_, err = copied.Get(ctx, sc.Name(), "k")
		return err
	}},
	{"ErrNotEmpty", state.ErrNotEmpty, "", "", func(t *testing.T, f *fixture, _ *state.Scope) error {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600))
		return f.Engine().Checkpoint(ctx, dir)
	}},
	{"ErrOtherStore", state.ErrOtherStore, "", "", func(t *testing.T, _ *fixture, _ *state.Scope) error {
		store, err := state.Open("db", sealingOn(vfs.NewMem(), nil))
		require.NoError(t, err)
		defer store.Close()
		require.NoError(t, store.Engine().Checkpoint(ctx, "copy"))
		for r, err := range store.Engine().Checkpoints() {
			require.NoError(t, err)
			return store.Engine().MoveCheckpoint(r.ID, "db")
		}
		return nil
	}},
	{"ErrInUse", state.ErrInUse, "", "", func(t *testing.T, _ *fixture, _ *state.Scope) error {
		store, err := state.OpenMemory(nil)
		require.NoError(t, err)
		_, err = store.Snapshot()
		require.NoError(t, err)
		return store.Close()
	}},
}

// damage writes over the manifest of a store, and opens it.
func damage(t *testing.T, dir string) error {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, name := range files {
		if p, err := os.ReadFile(name); err == nil && strings.Contains(strings.ToLower(filepath.Base(name)), "manifest") {
			require.Greater(t, len(p), 100)
			for i := 40; i < 100; i++ {
				p[i] ^= 0xff
			}
			require.NoError(t, os.WriteFile(name, p, 0o600))
		}
	}
	store, err := state.Open(dir, nil)
	if err == nil {
		_ = store.Close()
	}
	return err
}

// B22: each kind of error is met, is no other one, and its text names operation, scope and key.
func TestEveryErrorIsMetAndToldFromTheOthers(t *testing.T) {
	everywhere(t, &state.Options{MaxValueBytes: 4096, MaxDepth: 4, NoSync: true}, func(t *testing.T, f *fixture) {
		for i, c := range failures {
			t.Run(c.name, func(t *testing.T) {
				sc := f.Scope(scope.Agent(fmt.Sprint("e", i)))
				err := c.meet(t, f, sc)
				for _, other := range failures {
					if c.name == "ErrMerge" && other.name == "ErrType" {
						continue // which is why the change cannot be made
					}
					require.Equal(t, other.name == c.name, errors.Is(err, other.err), "%v, and %s", err, other.name)
				}
				if c.op == "" {
					return
				}
				var e *state.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, state.Error{Op: c.op, Scope: sc.Name(), Key: c.key, Err: e.Err}, *e)
				text := c.op + " " + sc.Name().String()
				if c.key != "" {
					text += fmt.Sprintf(" %q", c.key)
				}
				require.True(t, strings.HasPrefix(err.Error(), text+": "), err)
			})
		}
	})
}

// An error that is exported, and that nobody has met, fails here.
func TestTheTableHasAllErrors(t *testing.T) {
	met := map[string]bool{}
	for _, c := range failures {
		met[c.name] = true
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for _, ident := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(ident.Name, "Err") {
						require.True(t, met[ident.Name], "%s of %s", ident.Name, name)
						delete(met, ident.Name)
					}
				}
			}
		}
	}
	require.Empty(t, met)
}

// B22: the context's errors are told as they are.
func TestAContextThatHasEndedIsTold(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		late, cancel := context.WithTimeout(ctx, 0)
		defer cancel()
		ended, end := context.WithCancel(ctx)
		end()
		for _, c := range []context.Context{late, ended} {
			_, err := f.Get(c, agent, "k")
			require.ErrorIs(t, err, c.Err())
			require.ErrorContains(t, err, `get agent:a1 "k": `)
			require.ErrorIs(t, f.Set(c, agent, "k", 1), c.Err())
		}
	})
}
