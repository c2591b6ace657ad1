package timeline

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"sync"
)

// Memory is a Store that keeps its entries in memory, for tests. The zero Memory is empty.
type Memory struct {
	mu      sync.Mutex
	entries []Entry // in the order of their keys
}

func (m *Memory) findLocked(key []byte) (int, bool) {
	return slices.BinarySearchFunc(m.entries, key, func(e Entry, key []byte) int { return bytes.Compare(e.Key, key) })
}

// Apply writes and deletes. Its error is the context's.
func (m *Memory) Apply(ctx context.Context, writes []Entry, deletes [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range writes {
		e = Entry{Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)}
		if i, found := m.findLocked(e.Key); found {
			m.entries[i] = e
		} else {
			m.entries = slices.Insert(m.entries, i, e)
		}
	}
	for _, key := range deletes {
		if i, found := m.findLocked(key); found {
			m.entries = slices.Delete(m.entries, i, i+1)
		}
	}
	return nil
}

// Get returns the entry of a key, which must not be changed.
func (m *Memory) Get(ctx context.Context, key []byte) (Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i, found := m.findLocked(key); found {
		return m.entries[i], true, ctx.Err()
	}
	return Entry{}, false, ctx.Err()
}

// Scan yields the entries that are there when it begins.
func (m *Memory) Scan(ctx context.Context, lower, upper []byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		m.mu.Lock()
		from, _ := m.findLocked(lower)
		to, _ := m.findLocked(upper)
		entries := slices.Clone(m.entries[from:max(from, to)])
		m.mu.Unlock()
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(Entry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Len returns how many entries there are.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}
