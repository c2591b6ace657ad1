package lsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/loamdb/loam/internal/keys"
)

// Entries that expire. Such an entry is absent from the millisecond of its expiry on, by the
// store's own time (clock.go), and hides what is older all the same, as a delete does. A
// reader judges that at one time: a snapshot, an iterator or a transaction at the time it was
// made, a single read when it meets the entry, a commit at its own time. What has expired for
// everybody who reads is left out by flushes and merges (package compaction), down to a
// marker; expirer.go sees to it that this happens while the store is at rest, too.
//
// Invariants:
//
//   - E1. The time of a reader is taken after its sequence number: it is not before that of
//     any commit that the reader sees.
//   - E2. A snapshot is listed with its time before anybody can leave out what it sees; whoever
//     is not listed reads at the time that a merge took as now, or later.
//   - E3. The time at which something was left out is durable before the tables without it
//     are: after any crash the store's time is not before it.

// ErrInvalidExpiry: an entry was to live for no time, or to expire before 1970 or after the
// year 9999. Nothing was written.
var ErrInvalidExpiry = errors.New("lsm: no such expiry")

const (
	// atRead stands for the time at which something is read, for readers that are not bound
	// to one.
	atRead int64 = math.MinInt64
	// atNever is a time at which nothing has expired: at it, markers are entries too.
	atNever int64 = -1

	maxExpiry = 253_402_300_799_999 // the last millisecond of the year 9999
)

// SetWithTTL writes value to key for as long as ttl says from now on, to the millisecond,
// rounded up. Then the key is absent, and the space comes back by itself. A later write of
// the key takes the place of value and expiry; Set makes an entry that does not expire. Errors
// are those of Set, and ErrInvalidExpiry for a ttl that is not positive.
func (d *DB) SetWithTTL(key, value []byte, ttl time.Duration, w *WriteOptions) error {
	ms, err := ttlMillis(ttl)
	if err != nil {
		return err
	}
	if err := d.writable(); err != nil {
		return err // a store that is closed may have no clock any more
	}
	return d.setExpiring(key, value, d.clock.millis()+ms, w)
}

// SetWithExpiry writes value to key until at, to the millisecond, rounded up, by the store's
// time, which Now tells. If that is past already the key is absent at once. Errors are those
// of Set, and ErrInvalidExpiry.
func (d *DB) SetWithExpiry(key, value []byte, at time.Time, w *WriteOptions) error {
	ms, err := expiryMillis(at)
	if err != nil {
		return err
	}
	return d.setExpiring(key, value, ms, w)
}

func (d *DB) setExpiring(key, value []byte, expires int64, w *WriteOptions) error {
	if err := checkExpiringLimits(key, value); err != nil {
		return err
	}
	if err := d.writable(); err != nil {
		return err
	}
	r := d.queue.newRequest(w)
	r.payload = appendExpiring(r.payload[:0], rootPrefix, key, expires, value)
	r.ops = 1
	r.bytes = int64(len(rootPrefix) + len(key) + keys.ExpiryLen + len(value))
	err := d.commit(r)
	d.queue.recycle(r)
	return err
}

// SetWithTTL adds the write of value to key, to live for ttl from the call of Apply on, as
// DB.SetWithTTL does. A ttl that is not positive makes Apply fail with ErrInvalidExpiry and
// write nothing.
func (b *Batch) SetWithTTL(key, value []byte, ttl time.Duration) {
	ms, err := ttlMillis(ttl)
	if b.err != nil || err != nil {
		b.failWith(err)
		return
	}
	if b.setExpiring(key, value, 0); b.err == nil {
		b.ttls = append(b.ttls, batchTTL{at: len(b.payload) - len(value) - keys.ExpiryLen, millis: ms})
	}
}

// SetWithExpiry adds the write of value to key until at, as DB.SetWithExpiry does. An instant
// that is none makes Apply fail with ErrInvalidExpiry and write nothing.
func (b *Batch) SetWithExpiry(key, value []byte, at time.Time) {
	ms, err := expiryMillis(at)
	if b.err != nil || err != nil {
		b.failWith(err)
		return
	}
	b.setExpiring(key, value, ms)
}

// failWith makes err the batch's unless it has one.
func (b *Batch) failWith(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *Batch) setExpiring(key, value []byte, expires int64) {
	if b.err = checkExpiringLimits(key, value); b.err != nil {
		return
	}
	b.scratch = append(binary.LittleEndian.AppendUint64(b.scratch[:0], uint64(expires)), value...)
	b.addInternal(keys.KindSetWithExpiry, key, b.scratch)
	if cap(b.scratch) > maxPooledPayload {
		b.scratch = nil
	}
}

// batchTTL is an operation of a batch that counts its time from Apply on.
type batchTTL struct {
	at     int // where in the payload its expiry stands
	millis int64
}

// startTTLs makes the batch's times to live begin now.
func (b *Batch) startTTLs(now int64) {
	for _, t := range b.ttls {
		binary.LittleEndian.PutUint64(b.payload[t.at:], uint64(now+t.millis))
	}
}

// SetWithTTL writes value to key for as long as ttl says, counted from this call on, when the
// transaction commits; its own reads see it at once. Errors are those of Txn.Set, and
// ErrInvalidExpiry.
func (tx *Txn) SetWithTTL(key, value []byte, ttl time.Duration) error {
	if err := tx.writable(); err != nil {
		return err
	}
	ms, err := ttlMillis(ttl)
	return tx.setExpiring(key, value, tx.db.clock.millis()+ms, err)
}

// SetWithExpiry writes value to key until at when the transaction commits; its own reads see
// it at once, unless at was past when the transaction began. Errors are those of Txn.Set, and
// ErrInvalidExpiry.
func (tx *Txn) SetWithExpiry(key, value []byte, at time.Time) error {
	if err := tx.writable(); err != nil {
		return err
	}
	ms, err := expiryMillis(at)
	return tx.setExpiring(key, value, ms, err)
}

func (tx *Txn) setExpiring(key, value []byte, expires int64, err error) error {
	if tx.err = err; err == nil {
		tx.err = checkExpiringLimits(key, value)
	}
	if tx.err == nil {
		v := binary.LittleEndian.AppendUint64(make([]byte, 0, keys.ExpiryLen+len(value)), uint64(expires))
		tx.err = tx.write(keys.KindSetWithExpiry, key, append(v, value...))
	}
	return tx.err
}

// SetWithTTL writes value to key for as long as ttl says, as DB.SetWithTTL does, and makes
// the scope with it if it is not there.
func (s *Scope) SetWithTTL(key, value []byte, ttl time.Duration, w *WriteOptions) error {
	b, err := s.expiringBatch()
	if err != nil {
		return err
	}
	b.SetWithTTL(key, value, ttl)
	return s.db.Apply(b, w)
}

// SetWithExpiry writes value to key until at, as DB.SetWithExpiry does, and makes the scope
// with it if it is not there.
func (s *Scope) SetWithExpiry(key, value []byte, at time.Time, w *WriteOptions) error {
	b, err := s.expiringBatch()
	if err != nil {
		return err
	}
	b.SetWithExpiry(key, value, at)
	return s.db.Apply(b, w)
}

func (s *Scope) expiringBatch() (*Batch, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	return s.NewBatch(), nil
}

// ttlMillis returns a time to live in milliseconds.
func ttlMillis(ttl time.Duration) (int64, error) {
	if ttl <= 0 {
		return 0, fmt.Errorf("%w: to live for %v", ErrInvalidExpiry, ttl)
	}
	return int64((ttl-1)/time.Millisecond) + 1, nil
}

// expiryMillis returns an instant of expiry in milliseconds since 1970.
func expiryMillis(at time.Time) (int64, error) {
	ms := at.UnixMilli()
	if at.Year() < 1970 || at.Year() > 9999 || ms < 1 || ms > maxExpiry {
		return 0, fmt.Errorf("%w: to expire at %v", ErrInvalidExpiry, at)
	}
	if at.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return min(ms, maxExpiry), nil
}

// checkExpiringLimits is checkLimits for an entry with an expiry, which stands before its
// value.
func checkExpiringLimits(key, value []byte) error {
	if len(value) > keys.MaxValueLen-keys.ExpiryLen {
		return &LimitError{What: "value", Bytes: int64(len(value)), Limit: keys.MaxValueLen - keys.ExpiryLen}
	}
	return checkLimits(key, value)
}

// appendExpiring appends the write of an entry that expires.
func appendExpiring(dst, scopePrefix, key []byte, expires int64, value []byte) []byte {
	dst = append(dst, byte(keys.KindSetWithExpiry))
	dst = binary.AppendUvarint(dst, uint64(len(scopePrefix)+len(key)))
	dst = append(append(dst, scopePrefix...), key...)
	dst = binary.AppendUvarint(dst, uint64(keys.ExpiryLen+len(value)))
	return append(binary.LittleEndian.AppendUint64(dst, uint64(expires)), value...)
}

// validExpiring reports whether a value in the log is one of an entry that expires.
func validExpiring(value []byte) bool {
	if len(value) < keys.ExpiryLen {
		return false
	}
	at := expiryOf(value)
	return at > 0 && at <= math.MaxInt64>>1
}

// expiryOf returns the expiry that a value of such an entry, or of a marker, begins with.
func expiryOf(value []byte) int64 { return int64(binary.LittleEndian.Uint64(value)) }

// expiryTime returns an expiry as users know it: the zero Time is none.
func expiryTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
