package state

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/scope"
)

// Scopes of the store's own, which no user can name. What is in them is bytes of a form of their own,
// without an envelope.
const (
	accessScope  = reservedName + "access"  // the rules
	auditScope   = reservedName + "audit"   // the audit
	privacyScope = reservedName + "privacy" // the key of hashes, tokens and ciphertexts
)

// own is a scope of the store's own.
type own struct {
	engine   *engine
	space    space
	unsynced bool
}

func (s *Store) own(name string) (*own, error) {
	sp, err := s.engine.space(scope.Custom(name))
	return &own{s.engine, sp, s.memory || s.noSync}, err
}

// get returns the value of a key with its version, or ErrNotFound.
func (o *own) get(ctx context.Context, key []byte) ([]byte, Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	var i info
	value, err := o.space.get(nil, key, &i)
	return value, i.version, err
}

// replace writes the value of a key that must have a version, and reports whether it had.
func (o *own) replace(key []byte, version Version, value []byte) (bool, error) {
	_, err := o.engine.commit([]write{{space: o.space, key: key, value: value, conditional: true, version: version}}, o.unsynced)
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// ruleStore keeps the rules of package access under one key.
type ruleStore struct{ *own }

var rulesKey = []byte("rules")

// Load implements access.Store.
func (r ruleStore) Load(ctx context.Context) (access.Version, []byte, error) {
	version, encoded, _, err := r.load(ctx)
	return version, encoded, err
}

func (r ruleStore) load(ctx context.Context) (access.Version, []byte, Version, error) {
	encoded, stored, err := r.get(ctx, rulesKey)
	if errors.Is(err, ErrNotFound) {
		return 0, nil, Absent, nil
	}
	if err != nil {
		return 0, nil, 0, err
	}
	rules, err := access.Decode(encoded)
	if err != nil {
		return 0, nil, 0, err
	}
	return rules.Version(), encoded, stored, nil
}

// Save implements access.Store.
func (r ruleStore) Save(ctx context.Context, base access.Version, rules []byte) (bool, error) {
	version, _, stored, err := r.load(ctx)
	if err != nil || version != base {
		return false, err
	}
	return r.replace(rulesKey, stored, rules)
}

// auditStore keeps the records of package audit.
type auditStore struct{ *own }

// Apply implements audit.Store.
func (a auditStore) Apply(ctx context.Context, writes []audit.Entry, deletes [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ws := make([]write, 0, len(writes)+len(deletes))
	for _, e := range writes {
		ws = append(ws, write{space: a.space, key: e.Key, value: e.Value})
	}
	for _, key := range deletes {
		ws = append(ws, write{space: a.space, key: key})
	}
	if len(ws) == 0 {
		return nil
	}
	_, err := a.engine.commit(ws, a.unsynced)
	return err
}

// Get implements audit.Store.
func (a auditStore) Get(ctx context.Context, key []byte) ([]byte, bool, error) {
	value, _, err := a.get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// Scan implements audit.Store.
func (a auditStore) Scan(ctx context.Context, lower, upper []byte) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		left := false
		err := scan(a.space, lower, upper, false, func(key, value []byte, _ info) bool {
			if ctx.Err() != nil {
				return false
			}
			left = !yield(audit.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value)}, nil)
			return !left
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil && !left {
			yield(audit.Entry{}, err)
		}
	}
}
