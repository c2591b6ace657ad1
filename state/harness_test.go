package state_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

var ctx = context.Background()

// fixture is an open store, and how to open it again.
type fixture struct {
	*state.Store
	t    *testing.T
	dir  string // "" in memory
	opts *state.Options
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.dir == "" {
		f.Store, err = state.OpenMemory(f.opts)
	} else {
		f.Store, err = state.Open(f.dir, f.opts)
	}
	require.NoError(f.t, err)
}

// reopen closes the store and opens it again.
func (f *fixture) reopen() {
	f.t.Helper()
	require.NoError(f.t, f.Close())
	f.open()
}

// everywhere runs a test on a store in memory and on one on disk.
func everywhere(t *testing.T, o *state.Options, test func(t *testing.T, f *fixture)) {
	inForms(t, o, o, test)
}

// modelled is everywhere, for tests that compare a store with a model: the one on disk is encrypted.
func modelled(t *testing.T, o state.Options, test func(t *testing.T, f *fixture)) {
	disk := o
	disk.Engine = &state.EngineOptions{Encryption: encryptionIf(true)}
	inForms(t, &o, &disk, test)
}

func inForms(t *testing.T, memory, disk *state.Options, test func(t *testing.T, f *fixture)) {
	for _, where := range []string{"memory", "disk"} {
		t.Run(where, func(t *testing.T) {
			f := &fixture{t: t, opts: memory}
			if where == "disk" {
				f.opts, f.dir = disk, filepath.Join(t.TempDir(), "store")
			}
			f.open()
			defer func() { require.NoError(t, f.Close()) }()
			test(t, f)
		})
	}
}

// agent is a scope for tests that need one.
var agent = scope.Agent("a1")

// values are one of each kind, and some at the ends of their ranges.
var values = map[string]any{
	"nil": nil, "bool": true, "int": int64(-5), "least": int64(-1 << 63), "uint": uint64(5), "most": uint64(1<<64 - 1), "float": 2.5,
	"whole": 5.0, "string": "text, Grüße", "empty": "", "bytes": []byte{0, 1, 255}, "time": time.Date(2026, 3, 1, 12, 30, 5, 7, time.UTC),
	"list": []any{int64(1), "two", []any{}, nil}, "map": map[string]any{"a": int64(1), "": map[string]any{"deep": 0.5}},
}
