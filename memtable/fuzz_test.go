package memtable_test

import (
	"testing"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/memtable"
)

// FuzzOperations reads a list of operations: a byte of kind and key length, a byte of
// sequence number, the key; and compares with a sorted slice.
func FuzzOperations(f *testing.F) {
	f.Add([]byte{0x02, 1, 'a', 'b', 0x02, 2, 'a', 'b', 0x12, 1, 'a', 'b'})
	f.Add([]byte{0x01, 1, 0, 0x02, 2, 0, 0, 0x03, 3, 0, 0, 0, 0x00, 4, 0x14, 9, 0, 0, 0, 0})
	f.Add([]byte{0x05, 9, 'p', 'p', 'p', 0, 0, 0x05, 8, 'p', 'p', 'p', 0, 1, 0x04, 7, 'p', 'p', 'p', 0})
	f.Add([]byte{0x03, 1, 255, 255, 255, 0x04, 1, 255, 255, 255, 255, 0x14, 1, 255, 255, 255, 254})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := memtable.New(make([]byte, memtable.RegionBytes(len(data), 16*len(data))), uint64(len(data)))
		var want model
		for len(data) >= 2 {
			n, query, long := int(data[0]&15), data[0]&16 != 0, data[0]&32 != 0
			seq := keys.SeqNum(data[1])
			data = data[2:]
			n = min(n, len(data))
			e := entry{data[:n:n], keys.MakeTrailer(seq, keys.KindSet), data[:n/2]}
			data = data[n:]
			if long {
				// Past the longest shared length that links can hold.
				e.key = append(make([]byte, 2044), e.key...)
			}
			if !query && m.Fits(1, len(e.key)+len(e.value)) && want.add(e) {
				m.AddBy(len(data)%memtable.Fingers, e.key, e.trailer, e.value)
				if err := memtable.CheckFingers(m); err != nil {
					t.Fatal(err)
				}
			}
			requireAnswers(t, m, &want, e.key, e.trailer)
		}
		requireSame(t, m, &want)
	})
}
