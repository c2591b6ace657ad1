package lsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"
	"testing/synctest"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/wal"
	"github.com/stretchr/testify/require"
)

// ringed opens a store whose ring holds n keys.
func ringed(t *testing.T, n int) *DB {
	z := small()
	z.RingKeys = n
	return openSized(t, vfs.NewMem(), Options{SyncInterval: -1, LogMode: LogWritten}, z)
}

// underLead commits a batch of keys as one group of a leader would be, while the test has
// the lead. A synced one is returned unsettled.
func underLead(t *testing.T, db *DB, w *WriteOptions, ks ...string) *request {
	t.Helper()
	return underLeadAs(t, db, w, keys.KindSet, ks...)
}

// underLeadAs is underLead for a kind of operations.
func underLeadAs(t *testing.T, db *DB, w *WriteOptions, kind keys.Kind, ks ...string) *request {
	t.Helper()
	r := db.queue.newRequest(w)
	r.payload = r.payload[:0]
	for _, k := range ks {
		r.payload = appendOp(r.payload, kind, rootPrefix, []byte(k), []byte("theirs"))
	}
	r.ops, r.crc = len(ks), wal.PayloadChecksum(r.payload)
	var p, none part
	p.pushIf(r, true)
	if db.ring.inUse() {
		refused := db.admit(&p, &none, false)
		require.Nil(t, refused.head)
	}
	want := fateDone
	if r.sync {
		want = fateListed
	}
	require.Equal(t, want, db.writePart(&p, r, wal.WillSync))
	return r
}

// takeLead queues for the lead and returns a channel that is closed when it is there.
func takeLead(db *DB) chan struct{} {
	got := make(chan struct{})
	go func() {
		if db.queue.acquire(context.Background()) == nil {
			close(got)
		}
	}()
	return got
}

// async runs f and returns the channel of its error.
func async(f func() error) chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

// ifAbsent applies a batch that makes key, unless it is there.
func ifAbsent(db *DB, key string, w *WriteOptions) func() error {
	return func() error {
		b := db.NewBatch()
		b.Require([]byte(key), Absent)
		b.Set([]byte(key), []byte("ours"))
		return db.Apply(b, w)
	}
}

// change is a transaction that reads key and writes it.
func change(db *DB, key string) func() error {
	return func() error {
		return db.Update(func(tx *Txn) error {
			tx.SetWriteOptions(NoSync)
			if _, err := tx.Get([]byte(key)); err != nil {
				return err
			}
			return tx.Set([]byte(key), []byte("ours"))
		})
	}
}

// Two commits that each create a key are judged when neither is there, and meet in one
// group: the leader must see that the second cannot hold any more.
func TestOfTwoConditionalCommitsOfOneGroupOneWins(t *testing.T) {
	for i := range 4 {
		first, second := []*WriteOptions{Sync, NoSync}[i%2], []*WriteOptions{Sync, NoSync}[i/2]
		t.Run(fmt.Sprintf("unsynced=%v,%v", first.Unsynced, second.Unsynced), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := ringed(t, 0)
				require.NoError(t, db.queue.acquire(context.Background()))
				a := async(ifAbsent(db, "k", first))
				synctest.Wait()
				b := async(ifAbsent(db, "k", second))
				synctest.Wait()
				other := async(ifAbsent(db, "other", first))
				synctest.Wait()
				db.queue.passLead()
				errA, errB := <-a, <-b
				if second.Unsynced && !first.Unsynced {
					errA, errB = errB, errA // in a mixed group unsynced members come first
				}
				require.NoError(t, errA)
				require.ErrorIs(t, errB, ErrConflict)
				require.NoError(t, <-other)
				require.NoError(t, db.Close())
			})
		})
	}
}

// A leader whose own commit is refused still commits, syncs and wakes the others.
func TestALeaderThatIsRefusedServesItsGroup(t *testing.T) {
	for _, w := range []*WriteOptions{Sync, NoSync} {
		t.Run(fmt.Sprintf("unsynced=%v", w.Unsynced), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := ringed(t, 0)
				require.NoError(t, db.queue.acquire(context.Background()))
				leader := async(ifAbsent(db, "k", w))
				synctest.Wait()
				var others []chan error
				for i, o := range []*WriteOptions{Sync, NoSync, Sync, NoSync} {
					others = append(others, async(func() error { return db.Set(fmt.Appendf(nil, "o%d", i), nil, o) }))
					synctest.Wait()
				}
				underLead(t, db, NoSync, "k")
				db.queue.passLead()
				require.ErrorIs(t, <-leader, ErrConflict)
				for _, o := range others {
					require.NoError(t, <-o)
				}
				v, err := db.Get([]byte("k"))
				require.NoError(t, err)
				require.Equal(t, "theirs", string(v))
				require.NoError(t, db.Close())
			})
		})
	}
}

// A synced commit that was numbered while nobody judged anything is not in the ring, and
// not visible before the device has it: whoever comes now must wait for it.
func TestACommitSeesWhatWasUnderWayBeforeTheRingBegan(t *testing.T) {
	for _, key := range []string{"k", "other"} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := ringed(t, 0)
				require.NoError(t, db.Set([]byte("k"), nil, nil))
				require.NoError(t, db.queue.acquire(context.Background()))
				under := underLead(t, db, Sync, key)
				db.queue.passLead()
				mine := async(change(db, "k"))
				synctest.Wait()
				require.Empty(t, mine, "it waits")
				db.publisher.settle(db, under)
				require.NoError(t, under.err)
				if err := <-mine; key == "k" {
					require.ErrorIs(t, err, ErrConflict)
				} else {
					require.NoError(t, err)
				}
				require.NoError(t, db.Close())
			})
		})
	}
}

// A commit by somebody who is alone is not entered in the ring at once. Who comes when it has numbers and
// cannot be seen yet must be judged by it nevertheless.
func TestACommitSeesTheGroupOfOneWhoWasAlone(t *testing.T) {
	for _, key := range []string{"k", "other"} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := ringed(t, 0)
				for _, k := range []string{"k", "other"} {
					require.NoError(t, db.Set([]byte(k), nil, nil))
				}
				require.NoError(t, db.queue.acquire(context.Background()))
				lone := async(change(db, "k"))
				synctest.Wait()
				r := db.queue.head
				db.queue.head, db.queue.tail = nil, nil
				unsynced, synced := db.queue.take(r, 1<<20)
				first := db.lastSeqNum + 1
				require.True(t, db.ring.spares(r, db.lastSeqNum))

				late := async(change(db, key))
				synctest.Wait()
				require.NotNil(t, db.queue.head, "it has judged, and waits for the lead")
				refused := db.admit(&unsynced, &synced, true)
				require.Nil(t, refused.head)
				require.Equal(t, fateDone, db.writePart(&unsynced, r, wal.WillSync))
				db.ring.hold(r, first)
				db.queue.passLead()
				r.wake <- signalDone
				require.NoError(t, <-lone)
				if err := <-late; key == "k" {
					require.ErrorIs(t, err, ErrConflict)
				} else {
					require.NoError(t, err)
				}
				require.NoError(t, db.Close())
			})
		})
	}
}

// What is held counts until numbers were given that are in no ring.
func TestTheRingHoldsOneGroup(t *testing.T) {
	x := commitRing{capacity: 8}
	x.restart(1)
	x.enter()
	lone := func(upTo keys.SeqNum, ks ...string) *request {
		r := &request{depends: &conditions{upTo: upTo}, ops: len(ks)}
		for _, k := range ks {
			r.payload = appendOp(r.payload, keys.KindSet, rootPrefix, []byte(k), []byte("value"))
		}
		return r
	}
	judged := func(upTo keys.SeqNum, key string) (keys.SeqNum, error) {
		c := &conditions{upTo: upTo, points: []point{newPoint(rootPrefix, []byte(key), Absent)}}
		err := x.judge(c)
		return c.blocker, err
	}
	r := lone(10, "k", "l")
	require.True(t, x.spares(r, 10))
	require.False(t, x.spares(r, 11), "something has a number that it has not seen")
	require.False(t, x.spares(&request{}, 10), "it depends on nothing, so somebody else is in")
	r.sync = true
	require.False(t, x.spares(r, 10), "it is published later")
	r.sync, r.lent = false, true
	require.False(t, x.spares(r, 10), "the payload is a batch's")
	r.lent = false
	r.tail = []byte("long")
	require.False(t, x.spares(r, 10), "its value is the caller's")
	r.tail = nil
	x.enter()
	require.False(t, x.spares(r, 10), "two are in")
	x.leave()
	x.hold(r, 11)
	x.begin(13)
	for key, want := range map[string]keys.SeqNum{"k": 11, "l": 12, "m": 0} {
		blocker, err := judged(10, key)
		require.Equal(t, want, blocker)
		require.Equal(t, want > 0, errors.Is(err, ErrConflict))
	}
	blocker, err := judged(9, "m")
	require.ErrorIs(t, err, errOverrun)
	require.Equal(t, keys.SeqNum(10), blocker)

	x.hold(lone(12, "k"), 13)
	x.hold(lone(13, "l"), 14) // 13 was seen by who made 14
	x.begin(15)
	blocker, _ = judged(13, "l")
	require.Equal(t, keys.SeqNum(14), blocker)
	_, err = judged(12, "m")
	require.ErrorIs(t, err, errOverrun)

	x.hold(lone(14, "k"), 15)
	x.begin(17) // 16 was not entered
	_, err = judged(15, "m")
	require.ErrorIs(t, err, errOverrun)
	_, err = judged(16, "k")
	require.NoError(t, err)

	x.hold(lone(16, "a", "b", "c", "d", "e", "f", "g", "h", "i"), 17) // more than the ring takes
	x.begin(26)
	_, err = judged(24, "z")
	require.ErrorIs(t, err, errOverrun)
	_, err = judged(25, "z")
	require.NoError(t, err)
}

// Whoever is refused because of a commit that is not visible yet hears of it only when it
// is: a transaction that is tried again at once would fail again, and again.
func TestAConflictIsReportedWhenItCanBeSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := ringed(t, 0)
		require.NoError(t, db.Set([]byte("k"), nil, nil))
		require.NoError(t, db.queue.acquire(context.Background()))
		mine := async(change(db, "k"))
		synctest.Wait()
		under := underLead(t, db, Sync, "k")
		db.queue.passLead()
		synctest.Wait()
		require.Empty(t, mine, "refused, and waiting")
		db.publisher.settle(db, under)
		require.ErrorIs(t, <-mine, ErrConflict)
		require.NoError(t, change(db, "k")())
		require.NoError(t, db.Close())
	})
}

// So it is with a commit of the same group. One that has deleted what was absent has changed
// nothing, and is no conflict.
func TestOnlyWhatChangesAConditionConflicts(t *testing.T) {
	for _, deletes := range []bool{false, true} {
		t.Run(fmt.Sprintf("deletes=%v", deletes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := ringed(t, 0)
				require.NoError(t, db.queue.acquire(context.Background()))
				theirs := async(func() error {
					if deletes {
						return db.Delete([]byte("k"), Sync)
					}
					return db.Set([]byte("k"), nil, Sync)
				})
				synctest.Wait()
				mine := async(ifAbsent(db, "k", Sync))
				synctest.Wait()
				r := db.queue.head
				db.queue.head = r.next
				unsynced, synced := db.queue.take(r, 1<<20)
				refused := db.admit(&unsynced, &synced, false)
				fate := db.writePart(&synced, nil, wal.WillSync)
				db.queue.passLead()
				refused.wake(nil)
				synctest.Wait()
				early := len(mine) > 0
				r.wake <- signalSettle
				errs := []error{<-theirs, <-mine}
				require.NoError(t, db.Close())
				require.Equal(t, fateListed, fate)
				require.False(t, early, "it waits for what it was refused for")
				require.NoError(t, errs[0])
				if deletes {
					require.NoError(t, errs[1])
				} else {
					require.ErrorIs(t, errs[1], ErrConflict)
				}
			})
		})
	}
}

// Nor is the delete of what is absent, in a range that a transaction has read, whether it comes
// before the transaction's own look or after it; that of what is there is one.
func TestADeleteOfNothingInARangeIsNoConflict(t *testing.T) {
	for _, c := range []struct {
		key      string
		late     bool
		conflict bool
	}{{"absent", false, false}, {"absent", true, false}, {"k", false, true}, {"k", true, true}} {
		for _, flushed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,late=%v,flushed=%v", c.key, c.late, flushed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					db := ringed(t, 0)
					require.NoError(t, db.Set([]byte("k"), nil, nil))
					err := db.Update(func(tx *Txn) error {
						tx.SetWriteOptions(NoSync)
						for _, err := range tx.Scan([]byte("a"), []byte("m")) {
							require.NoError(t, err)
						}
						if !c.late {
							require.NoError(t, db.Delete([]byte(c.key), nil))
							if flushed {
								require.NoError(t, db.Flush(context.Background()))
							}
							return tx.Set([]byte("z"), nil)
						}
						require.NoError(t, db.Set([]byte("other"), nil, nil)) // so that it has to look
						require.NoError(t, db.queue.acquire(context.Background()))
						go func() {
							synctest.Wait() // it has judged, and waits for the lead
							underLeadAs(t, db, NoSync, keys.KindDelete, c.key)
							db.queue.passLead()
						}()
						return tx.Set([]byte("z"), nil)
					})
					if c.conflict {
						require.ErrorIs(t, err, ErrConflict)
					} else {
						require.NoError(t, err)
					}
					require.NoError(t, db.Close())
				})
			})
		}
	}
}

// In a store without a commit yet a batch longer than the ring is overtaken by nothing that is
// visible: whoever comes behind it in its group got an error that was for the leader alone.
func TestAnOverrunOfTheFirstGroupIsJudgedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := ringed(t, 4)
		require.NoError(t, db.queue.acquire(context.Background()))
		require.Zero(t, db.lastSeqNum)
		long := async(func() error {
			b := db.NewBatch()
			for i := range 5 {
				b.Set(numbered(i), nil)
			}
			return db.Apply(b, NoSync)
		})
		synctest.Wait()
		mine := async(ifAbsent(db, "k", NoSync))
		synctest.Wait()
		db.queue.passLead()
		require.NoError(t, <-long)
		require.NoError(t, <-mine)
		require.NoError(t, db.Close())
	})
}

// A range of the ring is compared with a few of many points, not with each: the others may as
// well lie in it.
func TestARangeOfTheRingMeetsFewPoints(t *testing.T) {
	const n = 4096
	c := &conditions{}
	key := func(i int) []byte { return append(bytes.Clone(rootPrefix), numbered(2*i)...) }
	for _, i := range rand.New(rand.NewPCG(3, 1)).Perm(n) {
		c.points = append(c.points, newPoint(nil, key(i), Absent))
	}
	c.seal()
	lower, upper := append(key(1234), 'x'), append(key(1234), 'y')
	require.True(t, c.concernedBy(key(1234), upper, keys.Hash(key(1234))))
	require.False(t, c.concernedBy(lower, upper, keys.Hash(lower)))
	met := map[string]bool{}
	at := sort.Search(n, func(i int) bool {
		met[string(key(i))] = true
		return bytes.Compare(key(i), lower) >= 0
	})
	met[string(key(at))] = true
	require.Less(t, len(met), 20)
	for i := range c.points {
		if p := &c.points[i]; !met[string(p.key)] {
			p.key = lower
		}
	}
	require.False(t, c.concernedBy(lower, upper, keys.Hash(lower)))
}

// A commit that the ring cannot judge is judged anew, and after three times with the lead
// held; it conflicts only if something was written that it depends on.
func TestAnOverrunIsNoConflict(t *testing.T) {
	for _, last := range []string{"x", "k"} {
		t.Run(last, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := ringed(t, 4)
				require.NoError(t, db.Set([]byte("k"), nil, nil))
				require.NoError(t, db.queue.acquire(context.Background()))
				mine := async(change(db, "k"))
				for range maxOverruns {
					synctest.Wait() // it has judged, and waits for the lead
					next := takeLead(db)
					synctest.Wait()
					underLead(t, db, NoSync, "a", "b", "c", "d", "e")
					db.queue.passLead()
					<-next
				}
				synctest.Wait()
				require.Zero(t, db.queue.head.ops, "it wants the lead itself")
				underLead(t, db, NoSync, "a", "b", "c", "d", last)
				db.queue.passLead()
				if err := <-mine; last == "k" {
					require.ErrorIs(t, err, ErrConflict)
				} else {
					require.NoError(t, err)
				}
				require.NoError(t, db.Close())
			})
		})
	}
}

// Who was overtaken too often commits alone: an unsynced write that waits behind a synced commit
// would get the lower number in one group with it. Loaders of long batches have kept a
// conditional commit from its turn for ever in this way.
func TestNobodyOvertakesACommitThatTookTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := ringed(t, 4)
		require.NoError(t, db.Set([]byte("k"), nil, nil))
		require.NoError(t, db.queue.acquire(context.Background()))
		mine := async(func() error {
			return db.Update(func(tx *Txn) error {
				if _, err := tx.Get([]byte("k")); err != nil {
					return err
				}
				return tx.Set([]byte("k"), []byte("ours"))
			})
		})
		for range maxOverruns {
			synctest.Wait()
			next := takeLead(db)
			synctest.Wait()
			underLead(t, db, NoSync, "a", "b", "c", "d", "e")
			db.queue.passLead()
			<-next
		}
		synctest.Wait()
		require.Zero(t, db.queue.head.ops, "it wants the lead itself")
		behind := async(func() error { return db.Set([]byte("k"), []byte("theirs"), NoSync) })
		synctest.Wait()
		db.queue.passLead()
		require.NoError(t, <-mine)
		require.NoError(t, <-behind)
		v, err := db.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "theirs", string(v), "it came later")
		require.NoError(t, db.Close())
	})
}

// Nothing is entered while nobody judges.
func TestTheRingIsUnusedByPlainWrites(t *testing.T) {
	db := ringed(t, 0)
	require.NoError(t, db.Set([]byte("k"), nil, nil))
	b := db.NewBatch()
	b.Set([]byte("k"), nil)
	require.NoError(t, db.Apply(b, nil))
	require.NoError(t, db.Update(func(tx *Txn) error { return tx.Set([]byte("k"), nil) }))
	require.NoError(t, db.View(func(tx *Txn) error { _, err := tx.Get([]byte("k")); return err }))
	require.Zero(t, db.ring.next)
	require.NoError(t, change(db, "k")())
	require.NotZero(t, db.ring.next)
	require.False(t, db.ring.inUse())
	require.NoError(t, db.Close())
}

// entered is what a ring was told, for comparison.
type entered struct{ key, upper []byte }

// The ring, of any size, finds exactly the conditions that a write after the look
// concerns, or says that it cannot know.
func TestTheRingJudgesAsAListDoes(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		key := func() []byte { return fmt.Appendf(nil, "%02d", rnd.IntN(40)) }
		x := commitRing{capacity: 1 + rnd.IntN(20)}
		base := keys.SeqNum(rnd.IntN(3))
		x.restart(base + 1)
		var all []entered // number base+1+i
		for range 300 {
			if rnd.IntN(3) > 0 {
				e := entered{key: key()}
				if rnd.IntN(5) == 0 {
					e.upper = append(bytes.Clone(e.key), key()...)
				}
				x.push(e.key, e.upper)
				all = append(all, e)
				continue
			}
			last := base + keys.SeqNum(len(all))
			c := &conditions{upTo: base + keys.SeqNum(max(0, len(all)-rnd.IntN(30)))}
			for range rnd.IntN(2 * fewPoints) {
				c.points = append(c.points, newPoint(nil, key(), Absent))
			}
			for range rnd.IntN(4) {
				lower := key()
				c.ranges = append(c.ranges, keyRange{lower, append(bytes.Clone(lower), key()...)})
			}
			c.seal()
			want := false
			for _, e := range all[c.upTo-base:] {
				want = want || concerned(c, e)
			}
			switch err := x.judge(c); {
			case err == errOverrun:
				require.Greater(t, int(last-c.upTo), x.capacity, "seed %d", seed)
			case want:
				require.ErrorIs(t, err, ErrConflict, "seed %d", seed)
			default:
				require.NoError(t, err, "seed %d", seed)
			}
		}
	}
}

// concerned is conditions.concernedBy by the definition.
func concerned(c *conditions, e entered) bool {
	upper := e.upper
	if upper == nil {
		upper = append(bytes.Clone(e.key), 0)
	}
	for _, p := range c.points {
		if bytes.Compare(e.key, p.key) <= 0 && bytes.Compare(p.key, upper) < 0 {
			return true
		}
	}
	for _, r := range c.ranges {
		if bytes.Compare(r.lower, upper) < 0 && bytes.Compare(e.key, r.upper) < 0 {
			return true
		}
	}
	return false
}

// What a plain write costs while somebody judges.
func BenchmarkSetBesideACommitThatJudges(b *testing.B) {
	for _, used := range []bool{false, true} {
		b.Run(fmt.Sprintf("used=%v", used), func(b *testing.B) {
			db, err := Open("", &Options{InMemory: true})
			require.NoError(b, err)
			if used {
				db.ring.enter()
				defer db.ring.leave()
			}
			var k [16]byte
			v := make([]byte, 100)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				binary.BigEndian.PutUint64(k[:], i*0x9e3779b97f4a7c15)
				if err := db.Set(k[:], v, NoSync); err != nil {
					b.Fatal(err)
				}
			}
			require.NoError(b, db.Close())
		})
	}
}
