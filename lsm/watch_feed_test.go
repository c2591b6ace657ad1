package lsm

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/loamdb/loam/internal/keys"
	"github.com/stretchr/testify/require"
)

// The index finds exactly those whom a key or a range concerns.
func TestTheWatchIndexFindsWhoIsConcerned(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	key := func() []byte { return fmt.Appendf(nil, "%02d", rnd.IntN(60)) }
	for range 200 {
		var x watchIndex
		var all []*Watcher
		for range rnd.IntN(40) {
			w := &Watcher{}
			for range 1 + rnd.IntN(2) {
				w.spans = append(w.spans, span{key(), key()}) // some of them empty
			}
			all = append(all, w)
			x.add(w)
		}
		if len(all) > 3 {
			x.remove(all[0])
			all = all[1:]
		}
		for range 20 {
			k, s := key(), span{key(), key()}
			byKey, byRange := map[*Watcher]bool{}, map[*Watcher]bool{}
			x.visitKey(k, func(w *Watcher) { byKey[w] = true })
			x.visit(s, func(w *Watcher) { byRange[w] = true })
			for _, w := range all {
				holds, meets := false, false
				for _, ws := range w.spans {
					holds = holds || ws.holds(k)
					meets = meets || ws.meets(s)
				}
				require.Equal(t, holds, byKey[w])
				require.Equal(t, meets, byRange[w])
			}
		}
	}
}

// A commit is cut into pieces between operations, and the feed never holds more than it may.
func TestTheFeedCutsCommitsBetweenOperations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var f feed
	f.init(0, 200<<10)
	f.users.Add(1)
	seq := keys.SeqNum(0)
	for range 500 {
		r := &request{}
		for range 1 + rnd.IntN(50) {
			n := rnd.IntN(300)
			if rnd.IntN(100) == 0 {
				n = rnd.IntN(40 << 10)
			}
			r.payload = appendOp(r.payload, keys.KindSet, rootPrefix, fmt.Appendf(nil, "%06d", uint64(seq)+uint64(r.ops)+1), make([]byte, n))
			r.ops++
		}
		before := seq
		seq += keys.SeqNum(r.ops)
		r.last = seq
		place := f.base + uint64(len(f.pieces))
		f.add(r)
		require.LessOrEqual(t, f.bytes, f.limit)
		if place < f.base {
			continue // larger than all of the feed
		}
		next := before + 1
		for {
			p, ok, lost := f.at(place)
			require.True(t, ok)
			require.False(t, lost)
			require.Equal(t, []keys.SeqNum{before, next, seq}, []keys.SeqNum{p.before, p.first, p.last})
			ops := opReader{rest: p.data}
			for n := 0; ops.next(); n++ {
				require.Equal(t, fmt.Sprintf("%06d", uint64(next)), string(ops.key[len(rootPrefix):]))
				require.True(t, n == 0 || len(p.data) <= pieceBytes)
				next++
			}
			place++
			if p.final {
				break
			}
		}
		require.Equal(t, seq+1, next)
	}
}
