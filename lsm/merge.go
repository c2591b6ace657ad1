package lsm

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// Merging. An operand is an entry of its own: writing it reads nothing. Readers fold operands
// into the value below them (merge_read.go, iterator_merge.go), flushes and compactions do so
// for good (package compaction). Chains of operands stay short: merge_chain.go.

// maxOperandBytes is the longest operand: its header counts as part of the value.
const maxOperandBytes = keys.MaxValueLen - keys.MergeHeaderLen

// Merge changes the value of key by an operand, as the operator with the name op says, one of
// the built-in ones or of Options.Operators. It reads nothing and conflicts with nothing: to
// transactions and conditions it is a write of the key. Key and operand are copied.
//
//	err := db.Merge(lsm.Int64Add, key, lsm.Int64Bytes(1), nil)
//
// Errors: *UnknownOperatorError and *MergeError, for an operand that the operator refuses, with
// which nothing is written; those of Set. An operand on a value that the operator refuses is
// written, and whoever reads the key gets the *MergeError; from some dozens of such operands on
// Merge gives it too, and writes nothing more.
func (d *DB) Merge(op string, key, operand []byte, w *WriteOptions) error {
	if err := d.writable(); err != nil {
		return err
	}
	var buf [64]byte
	value, err := d.mergeValue(buf[:0], op, operand)
	if err != nil {
		return err
	}
	return d.write(keys.KindMerge, key, value, w)
}

// Merge changes the value of key in the scope, as DB.Merge does, and makes the scope with it
// if it is not there.
func (s *Scope) Merge(op string, key, operand []byte, w *WriteOptions) error {
	if err := s.writable(); err != nil {
		return err
	}
	var buf [64]byte
	value, err := s.db.mergeValue(buf[:0], op, operand)
	if err != nil {
		return err
	}
	_, err = s.write(keys.KindMerge, key, value, w)
	return err
}

// mergeValue appends the value of a merge entry, whose time the leader sets.
func (d *DB) mergeValue(dst []byte, name string, operand []byte) ([]byte, error) {
	op, err := d.operators.named(name)
	if err != nil {
		return nil, err
	}
	if err := checkOperand(op.Operator, operand); err != nil {
		return nil, err
	}
	if err := d.recordOperator(op); err != nil {
		return nil, err
	}
	return fold.AppendOperand(dst, fold.Header{Operator: op.id}, operand), nil
}

func checkOperand(op *fold.Operator, operand []byte) error {
	if len(operand) > maxOperandBytes {
		return &LimitError{What: "operand", Bytes: int64(len(operand)), Limit: maxOperandBytes}
	}
	if op.Check != nil {
		if mutant.Enabled && mutant.Is(mutant.TellOperands) {
			defer func() {
				if p := recover(); p != nil {
					panic(fmt.Sprintf("lsm: operator %s, operand %q: %v", op.Name, operand, p))
				}
			}()
		}
		if err := op.Check(operand); err != nil {
			return &MergeError{Operator: op.Name, Err: err}
		}
	}
	return nil
}

// batchMerges are what a batch knows of its operands.
type batchMerges struct {
	operands int
	names    []string // of their operators, each once
}

// Merge adds the change of key's value by an operand, as DB.Merge describes it. An operator
// that the store does not know, or one that refuses the operand, makes Apply fail and write
// nothing. Apply may join operands for the same key.
func (b *Batch) Merge(op string, key, operand []byte) {
	if b.err != nil {
		return
	}
	if len(operand) > maxOperandBytes {
		b.err = &LimitError{What: "operand", Bytes: int64(len(operand)), Limit: maxOperandBytes}
		return
	}
	var buf [64]byte
	b.add(keys.KindMerge, key, fold.AppendOperand(buf[:0], fold.Header{Operator: fold.IDOf(op)}, operand))
	if b.err == nil {
		b.merges.operands++
		b.merges.note(op)
	}
}

func (m *batchMerges) note(name string) {
	for _, n := range m.names {
		if n == name {
			return
		}
	}
	m.names = append(m.names, name)
}

const (
	// maxJoinedBytes bounds operands that are joined while they wait to be committed: each
	// join copies.
	maxJoinedBytes = 64 << 10
	// maxOwnOperands bounds those of one key that no operator can join.
	maxOwnOperands = 1024
)

var errManyOperands = errors.New("too many operands for one key")

// ownChain are the operands for one key that a batch or a transaction has last.
type ownChain struct {
	last  int    // the operation that the last of them is
	value []byte // its value
	n     int
}

// joinMerges checks the operands of a batch and joins those that follow each other on a key,
// where their operator can: the batch becomes visible as a whole, so that nobody could ever
// see what was between them.
func (d *DB) joinMerges(b *Batch) error {
	for _, name := range b.merges.names {
		op, err := d.operators.named(name)
		if err == nil {
			err = d.recordOperator(op)
		}
		if err != nil {
			return err
		}
	}
	var chains map[string]ownChain
	if b.merges.operands > 1 {
		chains = make(map[string]ownChain, b.merges.operands)
	}
	joined := map[int][]byte{} // by operation: its new value, nil: it is part of an earlier one
	ops := opReader{rest: b.payload}
	for i := 0; ops.next(); i++ {
		switch ops.kind {
		case keys.KindMerge:
			fold.SetTime(ops.value, 0) // of an Apply before
			head, operand := fold.Split(ops.value)
			op := d.operators.known.ByID(head.Operator)
			if err := checkOperand(op, operand); err != nil {
				return err
			}
			if chains == nil {
				return nil // it is alone
			}
			if err := d.joinMerge(chains, joined, i, &ops, op.Name); err != nil {
				return err
			}
		case keys.KindRangeDelete:
			clear(chains)
		default:
			delete(chains, string(ops.key))
		}
	}
	if len(joined) > 0 {
		b.rewrite(joined)
	}
	return nil
}

// joinMerge joins the i-th operation with the chain of its key, or makes it the chain's last.
func (d *DB) joinMerge(chains map[string]ownChain, joined map[int][]byte, i int, ops *opReader, name string) error {
	c := chains[string(ops.key)]
	if c.n > 0 && len(c.value) <= maxJoinedBytes {
		if one, ok := d.operators.known.Combine(nil, c.value, ops.value, nil); ok {
			joined[c.last], joined[i] = one, nil
			c.value = one
			chains[string(ops.key)] = c
			return nil
		}
	}
	if c.n++; c.n > maxOwnOperands {
		return &MergeError{Operator: name, Err: fmt.Errorf("%w: more than %d in one batch", errManyOperands, maxOwnOperands)}
	}
	c.last, c.value = i, ops.value
	chains[string(ops.key)] = c
	return nil
}

// rewrite gives operations new values, and leaves out those whose new value is nil.
func (b *Batch) rewrite(values map[int][]byte) {
	old, ttls := opReader{rest: b.payload}, b.ttls
	payload := make([]byte, 0, len(b.payload))
	b.ops, b.bytes, b.merges.operands = 0, 0, 0
	for i := 0; old.next(); i++ {
		value, changed := values[i]
		switch {
		case !changed:
			value = old.value
		case value == nil:
			continue
		}
		payload = appendOp(payload, old.kind, nil, old.key, value)
		if len(ttls) > 0 && ttls[0].at == len(b.payload)-len(old.rest)-len(old.value) {
			ttls[0].at, ttls = len(payload)-len(value), ttls[1:]
		}
		b.ops++
		b.bytes += int64(len(old.key) + len(value))
		if old.kind == keys.KindMerge {
			b.merges.operands++
		}
	}
	b.payload = payload
}
