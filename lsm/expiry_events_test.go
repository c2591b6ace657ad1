package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

func eventKeys(t *testing.T, db *DB) (out []string) {
	t.Helper()
	events, err := db.ExpiryEvents(0)
	require.NoError(t, err)
	for _, e := range events {
		name := "root"
		if e.Scope != (scope.Scope{}) {
			name = e.Scope.String()
		}
		out = append(out, fmt.Sprintf("%s/%s", name, e.Key))
	}
	return out
}

// B17: of what expires there is one event each, in the order of expiry, and none of what was
// written again, or deleted, before; an acknowledged one does not come back.
func TestEachExpiryIsOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openSized(t, fs, Options{ExpiryEvents: true}, small())
		sc, err := db.Scope(scope.Agent("a"))
		require.NoError(t, err)
		require.NoError(t, sc.SetWithTTL([]byte("s"), nil, 4*time.Second, nil))
		b := db.NewBatch()
		b.SetWithTTL([]byte("twice"), []byte("1"), time.Second)
		b.SetWithTTL([]byte("twice"), []byte("2"), 2*time.Second)
		b.SetWithTTL([]byte("kept"), nil, time.Second)
		b.SetWithTTL([]byte("deleted"), nil, time.Second)
		b.SetWithTTL([]byte("ranged"), nil, time.Second)
		b.SetWithTTL([]byte("longer"), nil, time.Second)
		require.NoError(t, db.Apply(b, nil))
		_, version, err := db.GetWithVersion([]byte("twice"))
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *Txn) error { return tx.SetWithTTL([]byte("txn"), nil, 3*time.Second) }))
		require.NoError(t, db.Set([]byte("kept"), []byte("for good"), nil))
		require.NoError(t, db.Delete([]byte("deleted"), nil))
		require.NoError(t, db.DeleteRange([]byte("r"), []byte("s"), nil))
		require.NoError(t, db.SetWithTTL([]byte("longer"), nil, time.Hour, nil))
		require.Empty(t, eventKeys(t, db))
		time.Sleep(1900 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, eventKeys(t, db), "not a moment too early")
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"root/twice"}, eventKeys(t, db))
		events, err := db.ExpiryEvents(1)
		require.NoError(t, err)
		require.Equal(t, version, events[0].Version)
		require.Equal(t, "twice", string(events[0].Key))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		want := []string{"root/twice", "root/txn", "agent:a/s"}
		require.Equal(t, want, eventKeys(t, db))
		require.Equal(t, int64(3), db.Metrics().ExpiryEvents)
		require.NoError(t, db.Close())

		db = openSized(t, fs, Options{}, small()) // without the option: the events are there
		require.Equal(t, want, eventKeys(t, db))
		require.NoError(t, db.AckExpiryEvents(nil, events...))
		require.NoError(t, db.AckExpiryEvents(nil, events...), "again")
		require.Equal(t, want[1:], eventKeys(t, db))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"root/txn", "agent:a/s", "root/longer"}, eventKeys(t, db), "noted while the option was set")
		require.NoError(t, db.SetWithTTL([]byte("unnoted"), nil, time.Second, nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, eventKeys(t, db), 3)
		require.NoError(t, db.Close())
	})
}

// What expires while the store is closed, and is merged at once when it is opened, is an event
// all the same: markers wait for the sweep.
func TestExpiriesOfAClosedStoreAreEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		o := Options{ExpiryEvents: true}
		db := openSized(t, fs, o, small())
		const n = 1000
		for i := range n {
			require.NoError(t, db.SetWithTTL(numbered(i), []byte("value"), time.Duration(1+i)*time.Second, NoSync))
		}
		require.NoError(t, db.Close())
		time.Sleep(24 * time.Hour)
		db = openSized(t, fs, o, small())
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		time.Sleep(time.Minute) // writers are slowed meanwhile
		synctest.Wait()
		events, err := db.ExpiryEvents(0)
		require.NoError(t, err)
		require.Equal(t, n, len(events))
		for i, e := range events {
			require.Equal(t, string(numbered(i)), string(e.Key))
		}
		require.NoError(t, db.AckExpiryEvents(nil, events...))
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.NoError(t, db.Compact(context.Background(), nil, nil))
		require.Zero(t, expiringLeft(db), "and then they go")
		require.NoError(t, db.Close())
	})
}

// Events know the scope by the name that it has; of a dropped one there are none; of a copy
// there are its own.
func TestExpiryEventsOfScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openSized(t, vfs.NewMem(), Options{ExpiryEvents: true}, small())
		handle := func(id string) *Scope {
			sc, err := db.Scope(scope.Agent(id))
			require.NoError(t, err)
			return sc
		}
		for _, id := range []string{"moved", "dropped", "copied", "again"} {
			require.NoError(t, handle(id).SetWithTTL([]byte("k"), nil, time.Second, nil))
		}
		require.NoError(t, handle("moved").Move(scope.Agent("to"), nil))
		require.NoError(t, handle("dropped").Drop(nil))
		require.NoError(t, handle("again").Drop(nil))
		require.NoError(t, handle("again").SetWithTTL([]byte("k"), nil, 2*time.Second, nil))
		_, err := handle("copied").Copy(context.Background(), scope.Agent("copy"), nil)
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.ElementsMatch(t, []string{"agent:to/k", "agent:copied/k", "agent:copy/k", "agent:again/k"}, eventKeys(t, db))
		require.NoError(t, db.Close())
	})
}

// What expires of a copy while that is being made is an event when the copy is there, and none
// when it never is: the sweep took those ids for dead, and forgot what it knew.
func TestWhatExpiresWhileItIsStagedIsAnEvent(t *testing.T) {
	for _, published := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			db := openSized(t, vfs.NewMem(), Options{ExpiryEvents: true}, small())
			from, err := db.Scope(scope.Agent("from"))
			require.NoError(t, err)
			for i := range maxSwept + 10 {
				require.NoError(t, from.SetWithTTL(numbered(i), nil, time.Second, NoSync))
			}
			to, err := db.Scope(scope.Agent("to"))
			require.NoError(t, err)
			id, err := db.newScopeID()
			require.NoError(t, err)
			var intent dirBatch
			intent.add(keys.KindSet, idKey(recordStaged, id), flagValue)
			_, err = db.commitDirectory(&intent, NoSync)
			require.NoError(t, err)
			n, err := from.stage(context.Background(), id, nil)
			require.NoError(t, err)
			require.EqualValues(t, maxSwept+10, n)
			require.NoError(t, from.Drop(nil))
			require.NoError(t, db.SetWithTTL([]byte("root"), nil, 2*time.Second, nil))
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, []string{"root/root"}, eventKeys(t, db), "others do not wait")
			require.NoError(t, db.Compact(context.Background(), nil, nil))
			if published {
				require.NoError(t, db.publishStaged(to, id, nil))
			} else {
				db.reaper.abandoned(id)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if got := eventKeys(t, db); published {
				require.Len(t, got, maxSwept+11)
				require.Contains(t, got, "agent:to/key000000")
			} else {
				require.Equal(t, []string{"root/root"}, got)
			}
			left, err := db.expirer.readIndex(db.clock.millis(), 1)
			require.NoError(t, err)
			require.Empty(t, left.due)
			require.False(t, left.held)
			require.NoError(t, db.Close())
		})
	}
}

// What the sweep deletes had been absent for a transaction that began after its expiry; one
// that has seen it does not commit after that.
func TestTheSweepDoesNotConflictWithWhoFoundNothing(t *testing.T) {
	for _, seen := range []bool{false, true} {
		t.Run(fmt.Sprintf("seen=%v", seen), func(t *testing.T) {
			c := newHandClock()
			db := openAt(t, vfs.NewMem(), c, Options{ExpiryEvents: true, SyncInterval: -1})
			require.NoError(t, db.SetWithTTL([]byte("k"), nil, time.Second, NoSync))
			if !seen {
				require.NoError(t, db.queue.acquire(context.Background())) // the sweep has to wait
				c.pass(2 * time.Second)
			}
			err := db.Update(func(tx *Txn) error {
				n := 0
				for _, err := range tx.Scan(nil, nil) {
					require.NoError(t, err)
					n++
				}
				if seen {
					require.Equal(t, 1, n)
					c.pass(2 * time.Second)
				} else {
					require.Zero(t, n)
					db.queue.passLead()
				}
				require.Len(t, awaitEvents(t, db, 1), 1)
				return tx.Set([]byte("mine"), nil)
			})
			if seen {
				require.ErrorIs(t, err, ErrConflict)
			} else {
				require.NoError(t, err)
			}
			require.NoError(t, db.Close())
		})
	}
}

func TestAwaitExpiryEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openSized(t, vfs.NewMem(), Options{ExpiryEvents: true}, small())
		got := make(chan string)
		go func() {
			for {
				events, err := db.AwaitExpiryEvents(context.Background(), 10)
				if err != nil {
					got <- err.Error()
					return
				}
				for _, e := range events {
					b := db.NewBatch() // what is done about it, and its end, are one
					b.Set(append([]byte("done "), e.Key...), nil)
					b.AckExpiryEvents(e)
					if err := db.Apply(b, NoSync); err != nil {
						got <- err.Error()
						return
					}
					got <- string(e.Key)
				}
			}
		}()
		for i := range 3 {
			require.NoError(t, db.SetWithTTL(numbered(i), nil, time.Duration(i+1)*time.Minute, NoSync))
		}
		for i := range 3 {
			require.Equal(t, string(numbered(i)), <-got)
		}
		synctest.Wait()
		require.Empty(t, eventKeys(t, db))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := db.AwaitExpiryEvents(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, db.Close())
		require.Equal(t, ErrClosed.Error(), <-got)
	})
}

// Wherever the power is cut, each entry that has expired is an event once, or not yet, and is
// after another sweep; what was acknowledged durably stays so.
func TestExpiryEventsSurvivePowerCuts(t *testing.T) {
	t.Run("in clear", func(t *testing.T) { expiryEventsSurvivePowerCuts(t, nil) })
	t.Run("encrypted", func(t *testing.T) { expiryEventsSurvivePowerCuts(t, &Encryption{Key: masterKey(1)}) })
}

func expiryEventsSurvivePowerCuts(t *testing.T, encryption *Encryption) {
	mem := vfs.NewCrashMem()
	c := newHandClock()
	o := Options{ExpiryEvents: true, SyncInterval: -1, Encryption: encryption}
	db := openAt(t, mem, c, o)
	const n = 12
	for i := range n {
		w := NoSync
		if i%3 == 0 {
			w = Sync
		}
		require.NoError(t, db.SetWithTTL(numbered(i), nil, time.Duration(1+i)*time.Second, w))
	}
	require.NoError(t, db.Set([]byte("mark"), nil, nil)) // all of them are on the device
	set := mem.Ops()
	c.pass(5500 * time.Millisecond)
	awaitEvents(t, db, 5)
	require.NoError(t, db.Flush(context.Background()))
	c.pass(10 * time.Second)
	awaitEvents(t, db, n)
	events, err := db.ExpiryEvents(2)
	require.NoError(t, err)
	require.NoError(t, db.AckExpiryEvents(nil, events...))
	acked := mem.Ops()
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	require.NoError(t, db.Close())
	states := 0
	limit := 200
	if testing.Short() {
		limit = 30
	}
	if encryption != nil {
		limit /= 2
	}
	every := max((mem.Ops()-set)/limit, 1)
	for e, k := mem.Explore(), set; k <= mem.Ops(); k += every {
		e.AdvanceTo(k)
		for s := range e.States(vfs.StateOptions{Pending: 1}) {
			states++
			db := openAt(t, s.Mem(), c, o)
			want := n
			if k >= acked {
				want = n - len(events)
			}
			got := awaitEvents(t, db, want)
			seen := map[string]bool{}
			for _, e := range got {
				require.False(t, seen[string(e.Key)], "%s: twice", s)
				seen[string(e.Key)] = true
			}
			if k < acked {
				for i := len(events); i < n; i++ {
					require.True(t, seen[string(numbered(i))], "%s: key %d", s, i)
				}
			}
			require.NoError(t, db.Close())
		}
	}
	t.Logf("%d states", states)
	require.Greater(t, states, 50)
}

// awaitEvents waits until there are n events, or nearly so if some may have been acknowledged.
func awaitEvents(t *testing.T, db *DB, n int) []ExpiryEvent {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		events, err := db.ExpiryEvents(0)
		require.NoError(t, err)
		if len(events) >= n {
			return events
		}
		first, err := db.expirer.readIndex(db.clock.millis(), 1)
		require.NoError(t, err)
		if len(first.due) == 0 && len(events) >= n-2 {
			if events, err = db.ExpiryEvents(0); err == nil {
				return events
			}
		}
		require.True(t, time.Now().Before(deadline), "%d of %d events", len(events), n)
		time.Sleep(time.Millisecond)
	}
}

func TestBadRecordsOfExpiryAreRefused(t *testing.T) {
	db := openSized(t, vfs.NewMem(), Options{}, small())
	good := appendEventKey(nil, 5, 7)
	for _, r := range []struct {
		key, value string
		want       error
	}{
		{string(good), "", ErrCorrupt}, {string(good), "\x00", ErrCorrupt}, {string(good), "\x02\x00k", ErrTooNew},
		{string(good), "\x01", ErrCorrupt}, {string(good), "\x01\x05\x01", ErrCorrupt}, {string(good), "\x01\x01\x99k", ErrCorrupt},
		{"\x05short", "\x01\x00k", ErrCorrupt}, {string(appendEventKey(nil, 0, 7)), "\x01\x00k", ErrCorrupt},
		{string(appendEventKey(nil, 5, 0)), "\x01\x00k", ErrCorrupt},
	} {
		put(t, db, []byte(r.key), []byte(r.value))
		_, err := db.ExpiryEvents(0)
		require.ErrorIs(t, err, r.want, "%x %x", r.key, r.value)
		_, err = db.AwaitExpiryEvents(context.Background(), 0)
		require.ErrorIs(t, err, r.want)
		var b dirBatch
		b.add(keys.KindDelete, []byte(r.key), nil)
		_, err = db.commitDirectory(&b, nil)
		require.NoError(t, err)
	}
	for _, key := range []string{"\x04", "\x04\x00\x00\x00\x00\x00\x00\x00\x01", "\x04\x00\x00\x00\x00\x00\x00\x00\x00\x01k"} {
		put(t, db, []byte(key), flagValue)
		_, err := db.expirer.readIndex(1<<62, 10)
		require.ErrorIs(t, err, ErrCorrupt, "%x", key)
		var b dirBatch
		b.add(keys.KindDelete, []byte(key), nil)
		_, err = db.commitDirectory(&b, nil)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	_, err := db.ExpiryEvents(0)
	require.ErrorIs(t, err, ErrClosed)
}

// With events the record of a key must fit, too.
func TestKeysOfEventsHaveALimit(t *testing.T) {
	c := newHandClock()
	db := openAt(t, vfs.NewMem(), c, Options{ExpiryEvents: true})
	longest := make([]byte, maxEventKey-1)
	require.NoError(t, db.SetWithTTL(longest, nil, time.Second, NoSync))
	var limit *LimitError
	require.True(t, errors.As(db.SetWithTTL(append(longest, 0), nil, time.Second, NoSync), &limit))
	require.Equal(t, int64(len(longest)), limit.Limit)
	require.NoError(t, db.Set(make([]byte, keys.MaxUserKeyLen), nil, NoSync))
	c.pass(time.Second)
	require.Len(t, awaitEvents(t, db, 1), 1)
}

// The bytes of the records are those of docs/formats/directory.md.
func TestExpiryRecordBytes(t *testing.T) {
	key := append(scope.AppendID(nil, 300), "k"...)
	form := scope.AppendKey(nil, scope.Agent("a"))
	p := fmt.Appendf(nil, "index % x : % x\nevent % x : % x\n",
		appendExpiryKey(systemKeys.prefix, 1_700_000_000_000, key), append([]byte{recordVersion}, form...),
		appendEventKey(systemKeys.prefix, 1_700_000_000_000, 77), appendEventValue(nil, form, []byte("k")))
	golden.Assert(t, filepath.Join("testdata", "expiry.txt"), p)
	e, err := decodeEvent(appendEventKey(nil, 1_700_000_000_000, 77), appendEventValue(nil, form, []byte("k")))
	require.NoError(t, err)
	require.Equal(t, ExpiryEvent{Scope: scope.Agent("a"), Key: []byte("k"), Expiry: time.UnixMilli(1_700_000_000_000), Version: 77}, e)
}

// Any bytes: no panic, and what is accepted encodes to the same bytes.
func FuzzExpiryRecords(f *testing.F) {
	form := scope.AppendKey(nil, scope.Agent("a"))
	f.Add(appendEventKey(nil, 5, 77), appendEventValue(nil, form, []byte("k")))
	f.Add(appendEventKey(nil, 5, 77), appendEventValue(nil, nil, nil))
	f.Add(appendExpiryKey(nil, 5, append(scope.AppendID(nil, 300), "k"...)), []byte{recordVersion})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if e, err := decodeEvent(key, value); err == nil {
			var form []byte
			if e.Scope != (scope.Scope{}) {
				form = scope.AppendKey(nil, e.Scope)
			}
			require.Equal(t, key, appendEventKey(nil, e.Expiry.UnixMilli(), keys.SeqNum(e.Version)))
			require.Equal(t, value, appendEventValue(nil, form, e.Key))
		} else {
			require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooNew), "%v", err)
		}
		if expires, entry, err := decodeExpiryKey(key); err == nil {
			require.Equal(t, key, appendExpiryKey(nil, expires, entry))
		} else {
			require.ErrorIs(t, err, ErrCorrupt)
		}
	})
}
