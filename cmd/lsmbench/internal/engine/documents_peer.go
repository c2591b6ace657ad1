package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/loamdb/loam/cmd/lsmbench/internal/document"
)

// Documents over an engine of bytes, as its users write them: a key is SCOPE/KEY, a value is encoded by
// a library, and what reads and writes is a transaction of the engine.

// documentCodec is how values become bytes.
type documentCodec struct {
	name, library string
	marshal       func(any) ([]byte, error)
	unmarshal     func([]byte, any) error
}

// documentCodecs are those that the peers are measured with.
var documentCodecs = []documentCodec{
	{"json", "encoding/json", json.Marshal, json.Unmarshal},
	{"msgpack", "vmihailenco/msgpack", msgpack.Marshal, msgpack.Unmarshal},
}

// documentsOver is an engine with a codec.
type documentsOver struct {
	Engine
	codec *documentCodec
}

func (e documentsOver) Name() string { return e.Engine.Name() + "-" + e.codec.name }

func (e documentsOver) Settings(c Config) string {
	return fmt.Sprintf("documents by %s under keys SCOPE/KEY; changes of what is there are transactions; %s", e.codec.library, e.Engine.Settings(c))
}

func (e documentsOver) Open(dir string, c Config) (Store, error) {
	store, err := e.Engine.Open(dir, c)
	if err != nil {
		return nil, err
	}
	return &documentStore{Store: store, codec: e.codec}, nil
}

type documentStore struct {
	Store
	codec *documentCodec
	lock  sync.Mutex // of transactions, where the engine has none
}

func (s *documentStore) NewSession() (Session, error) {
	session, err := s.Store.NewSession()
	if err != nil {
		return nil, err
	}
	txns, _ := Transactions(session, &s.lock)
	return &peerDocuments{Session: session, codec: s.codec, txns: txns}, nil
}

// peerDocuments is one goroutine's, which reuses its buffers.
type peerDocuments struct {
	Session
	codec      *documentCodec
	txns       Transactor
	key, upper []byte
	buf        []byte
}

func (d *peerDocuments) In(scope string) DocumentScope {
	return &peerScope{d, append([]byte(scope), scopeEnd)}
}

// peerScope is a prefix of keys.
type peerScope struct {
	*peerDocuments
	prefix []byte
}

// at returns the engine's key, which is good until the next call.
func (s *peerScope) at(key string) []byte {
	s.key = append(append(s.key[:0], s.prefix...), key...)
	return s.key
}

func (s *peerScope) read(key string, to any) (bool, error) {
	v, found, err := s.Session.Get(s.buf[:0], s.at(key))
	if err != nil || !found {
		return false, err
	}
	s.buf = v
	return true, s.codec.unmarshal(v, to)
}

func (s *peerScope) Get(key string) (doc any, found bool, err error) {
	found, err = s.read(key, &doc)
	return doc, found, err
}

func (s *peerScope) GetTyped(key string, to *document.Document) (bool, error) { return s.read(key, to) }

func (s *peerScope) Set(key string, doc any, sync bool) error {
	v, err := s.codec.marshal(doc)
	if err != nil {
		return err
	}
	return s.Session.Set(s.at(key), v, sync)
}

func (s *peerScope) SetMany(docs map[string]any) error {
	pairs := make([]Pair, 0, len(docs))
	for key, doc := range docs {
		v, err := s.codec.marshal(doc)
		if err != nil {
			return err
		}
		pairs = append(pairs, Pair{bytes.Clone(s.at(key)), v})
	}
	return s.SetBatch(pairs, false)
}

// update reads a value, has it changed, and writes it, in one transaction.
func (d *peerDocuments) update(key []byte, sync bool, change func(old []byte, found bool) (any, error)) error {
	_, err := d.txns.Transact(sync, func(tx Txn) error { return d.updateIn(tx, key, change) })
	return err
}

func (d *peerDocuments) updateIn(tx Txn, key []byte, change func(old []byte, found bool) (any, error)) error {
	old, found, err := tx.Get(d.buf[:0], key)
	if err != nil {
		return err
	}
	d.buf = old
	changed, err := change(old, found)
	if err != nil {
		return err
	}
	v, err := d.codec.marshal(changed)
	if err != nil {
		return err
	}
	return tx.Set(key, v)
}

func (s *peerScope) Patch(key string, patch map[string]any, sync bool) error {
	return s.update(s.at(key), sync, func(old []byte, found bool) (any, error) {
		doc := map[string]any{}
		if found {
			if err := s.codec.unmarshal(old, &doc); err != nil {
				return nil, err
			}
		}
		mergePatch(doc, patch)
		return doc, nil
	})
}

// mergePatch changes a document as RFC 7386 says.
func mergePatch(doc, patch map[string]any) {
	for k, v := range patch {
		deeper, ok := v.(map[string]any)
		switch {
		case v == nil:
			delete(doc, k)
		case ok:
			inner, _ := doc[k].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
				doc[k] = inner
			}
			mergePatch(inner, deeper)
		default:
			doc[k] = v
		}
	}
}

func (s *peerScope) Append(key string, element any, sync bool) error {
	return s.update(s.at(key), sync, func(old []byte, found bool) (any, error) {
		var list []any
		if found {
			if err := s.codec.unmarshal(old, &list); err != nil {
				return nil, err
			}
		}
		return append(list, element), nil
	})
}

// adding returns the change of a number by delta.
func (d *peerDocuments) adding(delta int64, sum *int64) func([]byte, bool) (any, error) {
	return func(old []byte, found bool) (any, error) {
		n := int64(0)
		if found {
			if err := d.codec.unmarshal(old, &n); err != nil {
				return nil, err
			}
		}
		*sum = n + delta
		return *sum, nil
	}
}

func (s *peerScope) Increment(key string, delta int64, sync bool) (sum int64, err error) {
	err = s.update(s.at(key), sync, s.adding(delta, &sum))
	return sum, err
}

func (d *peerDocuments) Move(from, to, key string, amount int64, sync bool) error {
	at := func(scope string) []byte { return []byte(scope + string(rune(scopeEnd)) + key) }
	var sum int64
	fromKey, toKey := at(from), at(to)
	_, err := d.txns.Transact(sync, func(tx Txn) error {
		if err := d.updateIn(tx, fromKey, d.adding(-amount, &sum)); err != nil {
			return err
		}
		return d.updateIn(tx, toKey, d.adding(amount, &sum))
	})
	return err
}

// Replace compares the bytes with those that were read, which is cheaper than a version within the document,
// and needs no room.
func (s *peerScope) Replace(key string, change func(map[string]any) error, sync bool) (done bool, err error) {
	at := s.at(key)
	read, found, err := s.Session.Get(nil, at)
	if err != nil {
		return false, err
	}
	if !found {
		return false, errNoDocument
	}
	var doc map[string]any
	if err := s.codec.unmarshal(read, &doc); err != nil {
		return false, err
	}
	if err := change(doc); err != nil {
		return false, err
	}
	v, err := s.codec.marshal(doc)
	if err != nil {
		return false, err
	}
	_, err = s.txns.Transact(sync, func(tx Txn) error {
		now, found, err := tx.Get(s.buf[:0], at)
		s.buf = now
		if done = err == nil && found && bytes.Equal(now, read); !done {
			return err
		}
		return tx.Set(at, v)
	})
	return done && err == nil, err
}

func (s *peerScope) List(prefix string, n int, visit func(key string, doc any) error) (int, error) {
	lower := s.at(prefix)
	s.upper = append(s.upper[:0], lower...)
	s.upper[len(s.upper)-1]++ // scopeEnd, or the end of a prefix: no 0xFF
	count := 0
	var failed error
	err := scanRange(s.Session, lower, s.upper, func(key, value []byte) bool {
		var doc any
		if failed = s.codec.unmarshal(value, &doc); failed == nil {
			failed = visit(string(key[len(s.prefix):]), doc)
		}
		count++
		return failed == nil && count < n
	})
	if failed != nil {
		err = failed
	}
	return count, err
}
