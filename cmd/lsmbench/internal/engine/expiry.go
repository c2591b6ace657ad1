package engine

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// Expirer is a session whose entries can expire.
type Expirer interface {
	// SetWithTTL writes a key, unsynced, that is there for as long as ttl says.
	SetWithTTL(key, value []byte, ttl time.Duration) error
	// Get is Session's: what has expired is not found.
	Get(dst, key []byte) (value []byte, found bool, err error)
}

// Expiry returns what makes entries expire, and how where that is a stand-in, which needs a
// lock that is the same for all sessions of a store, and a sweeper: StartSweeper.
func Expiry(s Session, lock *sync.RWMutex) (x Expirer, how string) {
	if x, ok := s.(Expirer); ok {
		return x, ""
	}
	return &expiryByIndex{Session: s, lock: lock},
		"the expiry stands in the value and in an index, from which a sweeper deletes every 100 ms"
}

// expiryByIndex puts the time of expiry, milliseconds in 8 bytes, before each value, and
// writes a second key, made of the same and the key.
type expiryByIndex struct {
	Session
	lock  *sync.RWMutex // held by the sweeper, so that it deletes nothing that was just set
	pairs [2]Pair
}

const (
	expiryPrefix = "expiry/"
	expiryLen    = 8
	sweepEvery   = 100 * time.Millisecond
)

func appendExpiry(dst []byte, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(at.UnixMilli()))
}

// expired reports whether a value with its expiry has expired.
func expired(v []byte, now time.Time) bool {
	return len(v) < expiryLen || binary.BigEndian.Uint64(v) <= uint64(now.UnixMilli())
}

func (x *expiryByIndex) SetWithTTL(key, value []byte, ttl time.Duration) error {
	at := time.Now().Add(ttl)
	data, index := &x.pairs[0], &x.pairs[1]
	data.Key, data.Value = key, append(appendExpiry(data.Value[:0], at), value...)
	index.Key = append(appendExpiry(append(index.Key[:0], expiryPrefix...), at), key...)
	index.Value = []byte{}
	x.lock.RLock()
	defer x.lock.RUnlock()
	return x.SetBatch(x.pairs[:], false)
}

func (x *expiryByIndex) Get(dst, key []byte) ([]byte, bool, error) {
	v, found, err := x.Session.Get(dst, key)
	if err != nil || !found || expired(v[len(dst):], time.Now()) {
		return dst, false, err
	}
	return append(dst, v[len(dst)+expiryLen:]...), true, nil
}

// StartSweeper deletes what has expired, by the index of the stand-in, until it is stopped.
func StartSweeper(store Store, lock *sync.RWMutex) (stop func() error, err error) {
	session, err := store.NewSession()
	if err != nil {
		return nil, err
	}
	w := &sweeper{session: session, lock: lock}
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for failed == nil {
			select {
			case <-stopped:
				return
			case <-tick.C:
				failed = w.sweep(time.Now())
			}
		}
	})
	return func() error {
		close(stopped)
		wg.Wait()
		return errors.Join(failed, session.Close())
	}, nil
}

type sweeper struct {
	session Session
	lock    *sync.RWMutex
	value   []byte
	dead    [][]byte
}

// sweep deletes what has expired by now, and its place in the index.
func (w *sweeper) sweep(now time.Time) error {
	upper := appendExpiry([]byte(expiryPrefix), now.Add(time.Millisecond))
	for {
		index, err := w.due(upper)
		if err != nil || len(index) == 0 {
			return err
		}
		if err := w.deleteDue(index, now); err != nil || len(index) < standInBatch {
			return err
		}
	}
}

// due returns the first keys of the index.
func (w *sweeper) due(upper []byte) ([][]byte, error) {
	var index [][]byte
	err := scanRange(w.session, []byte(expiryPrefix), upper, func(key, _ []byte) bool {
		index = append(index, append([]byte(nil), key...))
		return len(index) < standInBatch
	})
	return index, err
}

// deleteDue deletes keys of the index, and the entries that have not been set again since.
func (w *sweeper) deleteDue(index [][]byte, now time.Time) error {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.dead = append(w.dead[:0], index...)
	for _, k := range index {
		key := k[len(expiryPrefix)+expiryLen:]
		v, found, err := w.session.Get(w.value[:0], key)
		if err != nil {
			return err
		}
		w.value = v
		if found && expired(v, now) {
			w.dead = append(w.dead, key)
		}
	}
	return w.session.DeleteBatch(w.dead)
}
