package workload

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// A store that answers wrongly is found out by each workload that could notice.
func TestWrongAnswersAboutDocumentsEndARun(t *testing.T) {
	for name, f := range map[string]fault{
		"set": {lostSets: true}, "settyped": {lostSets: true}, "get": {wrongReads: true}, "list": {shortLists: true}, "sethot": {lostSets: true}, "gethot": {wrongReads: true},
		"patch": {lostChanges: true}, "append": {lostChanges: true}, "increment": {lostChanges: true}, "cas": {lostChanges: true}, "txn": {lostChanges: true},
		"hooks": {noHooks: true},
	} {
		require.NoError(t, runFaulty(t, name, fault{}), name)
		require.ErrorIs(t, runFaulty(t, name, f), ErrWrongAnswer, name)
	}
}

// fault is what a store does wrongly.
type fault struct{ lostSets, wrongReads, shortLists, lostChanges, noHooks bool }

// runFaulty runs a workload on a store in memory that is filled before it has a fault.
func runFaulty(t *testing.T, name string, f fault) error {
	t.Helper()
	loam, err := engine.FindDocuments("loam")
	require.NoError(t, err)
	spec := Spec{Workload: name, Engine: "loam", Config: engine.Config{MemtableBytes: 1 << 20, BudgetBytes: 16 << 20, BlockBytes: 4096, Compression: "none", Compactions: 1}}
	spec.Params = Params{Records: 300, Key: "16", Value: "200", Compressible: 1, Goroutines: 1, Seed: 1, Limit: 10 * time.Millisecond}
	r := &run{Spec: spec, ctx: context.Background(), engine: loam}
	r.data, err = newData(&r.Params)
	require.NoError(t, err)
	store, err := loam.(engine.MemoryOpener).OpenMemory(spec.Config)
	require.NoError(t, err)
	faults := &faultyStore{Store: store}
	r.store = faults
	require.NoError(t, prepareDocuments(r))
	faults.fault = f
	c, err := Find(name)
	require.NoError(t, err)
	if err = c.Workload.run(r); err == nil && r.check != nil {
		err = r.check()
	}
	return errors.Join(err, r.close())
}

type faultyStore struct {
	engine.Store
	fault
}

func (s *faultyStore) NewSession() (engine.Session, error) {
	session, err := s.Store.NewSession()
	return &faultyDocuments{Session: session, docs: session.(engine.Documents), fault: s.fault}, err
}

type faultyDocuments struct {
	engine.Session
	docs engine.Documents
	fault
}

func (d *faultyDocuments) In(scope string) engine.DocumentScope {
	return &faultyScope{d.docs.In(scope), d.fault}
}

// Move gives without taking.
func (d *faultyDocuments) Move(from, to, key string, amount int64, sync bool) error {
	if d.lostChanges {
		_, err := d.docs.In(to).Increment(key, amount, sync)
		return err
	}
	return d.docs.Move(from, to, key, amount, sync)
}

func (d *faultyDocuments) Hook(scope string) error {
	if d.noHooks {
		return nil
	}
	return d.docs.(engine.Hooks).Hook(scope)
}

func (d *faultyDocuments) HookCalls() (before, after uint64, err error) {
	return d.docs.(engine.Hooks).HookCalls()
}

type faultyScope struct {
	engine.DocumentScope
	fault
}

func (s *faultyScope) Get(key string) (any, bool, error) {
	if s.wrongReads {
		return map[string]any{"id": "doc/none"}, true, nil
	}
	return s.DocumentScope.Get(key)
}

func (s *faultyScope) Set(key string, doc any, sync bool) error {
	if s.lostSets {
		return nil
	}
	return s.DocumentScope.Set(key, doc, sync)
}

func (s *faultyScope) Patch(key string, patch map[string]any, sync bool) error {
	if s.lostChanges {
		return nil
	}
	return s.DocumentScope.Patch(key, patch, sync)
}

func (s *faultyScope) Append(key string, element any, sync bool) error {
	if s.lostChanges {
		return nil
	}
	return s.DocumentScope.Append(key, element, sync)
}

func (s *faultyScope) Increment(key string, delta int64, sync bool) (int64, error) {
	if s.lostChanges {
		return 1, nil
	}
	return s.DocumentScope.Increment(key, delta, sync)
}

func (s *faultyScope) Replace(key string, change func(map[string]any) error, sync bool) (bool, error) {
	if s.lostChanges {
		return true, nil
	}
	return s.DocumentScope.Replace(key, change, sync)
}

func (s *faultyScope) List(prefix string, n int, visit func(string, any) error) (int, error) {
	if s.shortLists {
		n = 1
	}
	return s.DocumentScope.List(prefix, n, visit)
}
