package conformance

import (
	"context"
	"errors"
	"path"
	"reflect"
	"runtime"
	"testing"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dstest "github.com/ipfs/go-datastore/test"
	"github.com/loamdb/loam/lsm"
)

// TestDatastore runs go-datastore's suite, and restarts the store between its tests.
func TestDatastore(t *testing.T) {
	defer func(n int) { dstest.ElemCount = n }(dstest.ElemCount)
	dstest.ElemCount = 20 // the smallest: the combinations are a thousand
	everyHome(t, func(t *testing.T, h *home) {
		for _, test := range dstest.BasicSubtests {
			t.Run(nameOf(test), func(t *testing.T) {
				if h.how != killed && nameOf(test) == "SubtestCombinations" {
					t.Skip("of queries; once is enough")
				}
				test(t, &datastore{h})
			})
			h.restart()
			h.clear()
		}
		for _, test := range dstest.BatchSubtests {
			t.Run(nameOf(test), func(t *testing.T) { test(t, &datastore{h}) })
			h.restart()
			h.clear()
		}
	})
}

func nameOf(f any) string {
	return path.Ext(runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name())[1:]
}

// datastore is a ds.Batching.
type datastore struct{ home *home }

func (d *datastore) Put(_ context.Context, k ds.Key, value []byte) error {
	return d.home.verbs().Set(k.Bytes(), value, lsm.NoSync)
}

func (d *datastore) Delete(_ context.Context, k ds.Key) error {
	return d.home.verbs().Delete(k.Bytes(), lsm.NoSync)
}

func (d *datastore) Get(_ context.Context, k ds.Key) ([]byte, error) {
	v, err := d.home.verbs().Get(k.Bytes())
	if errors.Is(err, lsm.ErrNotFound) {
		return nil, ds.ErrNotFound
	}
	return v, err
}

func (d *datastore) Has(_ context.Context, k ds.Key) (bool, error) {
	return d.home.verbs().Has(k.Bytes())
}

func (d *datastore) GetSize(ctx context.Context, k ds.Key) (int, error) {
	v, err := d.Get(ctx, k)
	if err != nil {
		return -1, err
	}
	return len(v), nil
}

func (d *datastore) Sync(context.Context, ds.Key) error { return d.home.sync() }
func (d *datastore) Close() error                       { return nil }

// Query scans the children of the prefix; the rest is the library's.
func (d *datastore) Query(_ context.Context, q query.Query) (query.Results, error) {
	prefix := []byte(ds.NewKey(q.Prefix).String())
	var entries []query.Entry
	for e, err := range d.home.verbs().Scan(prefix, prefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		found := query.Entry{Key: string(e.Key), Size: len(e.Value)}
		if !q.KeysOnly || len(q.Filters) > 0 || len(q.Orders) > 0 {
			found.Value = append([]byte{}, e.Value...)
		}
		entries = append(entries, found)
	}
	r := query.NaiveQueryApply(q, query.ResultsWithEntries(q, entries))
	return query.ResultsReplaceQuery(r, q), nil
}

func (d *datastore) Batch(context.Context) (ds.Batch, error) {
	return &dsBatch{d.home, d.home.verbs().NewBatch()}, nil
}

// dsBatch is a ds.Batch.
type dsBatch struct {
	home *home
	b    *lsm.Batch
}

func (b *dsBatch) Put(_ context.Context, k ds.Key, value []byte) error {
	b.b.Set(k.Bytes(), value)
	return nil
}

func (b *dsBatch) Delete(_ context.Context, k ds.Key) error {
	b.b.Delete(k.Bytes())
	return nil
}

func (b *dsBatch) Commit(context.Context) error { return b.home.verbs().Apply(b.b, lsm.NoSync) }
