package lsm

import "github.com/loamdb/loam/internal/keys"

// Version tells the states of one key apart: it is the sequence number of the key's last
// write, or Absent. Two equal versions of a key, in one store, mean that it was not
// written in between, but for writes that left it absent. Versions outlive the process;
// in a copy of the store's directory the same ones are given to other writes.
type Version uint64

// Absent is the version of a key that has no value: never written, deleted, or expired.
const Absent Version = 0

// GetWithVersion returns the value of key as a copy that the caller owns, with its
// version, which Batch.Require takes. For a key that is not there it returns Absent and
// ErrNotFound.
func (d *DB) GetWithVersion(key []byte) ([]byte, Version, error) {
	return d.getVersion(nil, rootPrefix, key, keys.MaxSeqNum, atRead)
}

// GetWithVersion returns the value and the version that key had, as DB.GetWithVersion
// does.
func (s *Snapshot) GetWithVersion(key []byte) ([]byte, Version, error) {
	if s.closed.Load() {
		return nil, Absent, ErrClosed
	}
	return s.db.getVersion(nil, rootPrefix, key, s.seq, s.at)
}

// GetWithVersion returns the value of key in the scope, with its version, as
// DB.GetWithVersion does. In a scope that is not there every key is Absent. Moved with its
// scope a key keeps its version; copied it gets another.
func (s *Scope) GetWithVersion(key []byte) ([]byte, Version, error) {
	v, e, err := s.getEntry(nil, key)
	return v, e.version, err
}
