package engine

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// Adder is a session that adds to numbers without reading them.
type Adder interface {
	// Add adds delta to the number of key, unsynced: 8 bytes, little endian, 0 where there is
	// none.
	Add(key []byte, delta int64) error
}

// Adding returns what adds to numbers, and how where that is a stand-in. Its lock is that
// of Transactions.
func Adding(s Session, lock *sync.Mutex) (a Adder, how string) {
	if a, ok := s.(Adder); ok {
		return a, ""
	}
	txns, how := Transactions(s, lock)
	if how == "" {
		return newAddsByTransaction(txns), "a number is read and written in a transaction"
	}
	return newAddsByTransaction(txns), "a number is read and written under a lock of the program's"
}

// addsByTransaction reads a number and writes another.
type addsByTransaction struct {
	txns     Transactor
	key, buf []byte
	delta    int64
	add      func(tx Txn) error // made once
}

func newAddsByTransaction(txns Transactor) *addsByTransaction {
	a := &addsByTransaction{txns: txns}
	a.add = func(tx Txn) error {
		v, found, err := tx.Get(a.buf[:0], a.key)
		if err != nil {
			return err
		}
		sum := uint64(a.delta)
		if found {
			n, err := numberOf(v)
			if err != nil {
				return err
			}
			sum += n
		}
		a.buf = binary.LittleEndian.AppendUint64(a.buf[:0], sum)
		return tx.Set(a.key, a.buf)
	}
	return a
}

func (a *addsByTransaction) Add(key []byte, delta int64) error {
	a.key, a.delta = key, delta
	_, err := a.txns.Transact(false, a.add)
	return err
}

func numberOf(v []byte) (uint64, error) {
	if len(v) != 8 {
		return 0, fmt.Errorf("a number of %d bytes", len(v))
	}
	return binary.LittleEndian.Uint64(v), nil
}
