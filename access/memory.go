package access

import (
	"bytes"
	"context"
	"sync"
)

// Memory is a Store that keeps its rules in memory, for tests. The zero Memory is empty.
type Memory struct {
	mu      sync.Mutex
	version Version
	rules   []byte
}

// Load returns the rules, which must not be changed. Its error is the context's.
func (m *Memory) Load(ctx context.Context) (Version, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version, m.rules, ctx.Err()
}

// Save replaces the rules. Its error is the context's.
func (m *Memory) Save(ctx context.Context, base Version, rules []byte) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.version != base {
		return false, nil
	}
	m.version, m.rules = base+1, bytes.Clone(rules)
	return true, nil
}
