package compaction_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seal"
)

// underKey puts the tables and blob files of the given numbers under a data key.
func underKey(t *testing.T, v *manifest.Version, key seal.KeyID, nums ...fileid.Num) *manifest.Version {
	t.Helper()
	e := manifest.Snapshot(&manifest.State{}, v)
	for i, a := range e.Added {
		if slices.Contains(nums, a.Table.Num) {
			c := *a.Table
			c.Key = key
			e.Added[i].Table = &c
		}
	}
	for i, b := range e.Blobs {
		if slices.Contains(nums, b.Num) {
			c := *b
			c.Key = key
			e.Blobs[i] = &c
		}
	}
	out, err := (&manifest.Version{}).Apply(e)
	require.NoError(t, err)
	return out
}

// What a table refers to of blob files under a retiring key moves when it is written anew, be
// the table itself under another one; as much as a job may move, and no damaged file.
func TestBlobFilesUnderARetiringKeyAreMoved(t *testing.T) {
	v := blobTree(t, []manifest.BlobRef{ref(1, 100), ref(2, 60)}, []manifest.BlobRef{ref(2, 40), ref(3, 100)})
	v = underKey(t, v, 1, 1, 2, 3, 1000, 1001)
	p := compaction.Params{TableBytes: 400, Retiring: only(1)}
	j, ok := compaction.Pick(v, p)
	require.True(t, ok)
	require.Equal(t, compaction.ReasonKey, j.Reason)
	require.Equal(t, []fileid.Num{1000}, nums(j))
	require.Equal(t, []fileid.Num{1, 2}, j.MoveBlobs)

	v = underKey(t, v, 2, 1, 1000, 1001)
	j, ok = compaction.Pick(v, p)
	require.True(t, ok)
	require.Equal(t, []fileid.Num{1000}, nums(j))
	require.Equal(t, []fileid.Num{2}, j.MoveBlobs, "file 1 stays")

	small := p
	small.TableBytes = 10 // 40 bytes in a job
	j, ok = compaction.Pick(underKey(t, v, 1, 1), small)
	require.True(t, ok)
	require.Equal(t, []fileid.Num{1}, j.MoveBlobs, "one at least, not both")

	p.Avoid = func(n fileid.Num) bool { return n == 2 }
	j, ok = compaction.Pick(v, p)
	require.True(t, ok)
	require.Equal(t, []fileid.Num{1001}, nums(j), "for file 2 there is nothing to be done")
	require.Equal(t, []fileid.Num{3}, j.MoveBlobs)
	_, ok = compaction.Pick(underKey(t, v, 2, 2, 3), p)
	require.False(t, ok)
}

// Whatever tables and files are under which keys: picking ends with nothing left under the
// retiring ones.
func TestWhatIsUnderARetiringKeyIsWrittenAnew(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		v := scattered(t, r)
		p := compaction.Params{TableBytes: 16, Retiring: func(k seal.KeyID) bool { return k < 3 }}
		next, steps := fileid.Num(10_000), 0
		for {
			j, ok := compaction.Pick(v, p)
			if !ok {
				break
			}
			steps++
			require.Less(t, steps, 500, "seed %d: no end of %s", seed, j.Reason)
			v = rewritten(t, v, j, &next, 3)
		}
		for _, u := range compaction.KeyUses(v, nil) {
			require.EqualValues(t, 3, u.Key, "seed %d: %+v", seed, u)
		}
	}
}

// scattered is a version of three levels with blob files, under the keys 0 to 3.
func scattered(t *testing.T, r *rand.Rand) *manifest.Version {
	t.Helper()
	e := &manifest.Edit{}
	num := fileid.Num(1)
	for b := range 6 {
		e.Blobs = append(e.Blobs, &manifest.Blob{
			Num: fileid.Num(500 + b), UID: fileid.UID{byte(b), 2}, Bytes: 300, Data: 100, Values: 1, Key: seal.KeyID(r.IntN(4)),
		})
	}
	refer := func(tab *manifest.Table) {
		for b := range 6 {
			if r.IntN(4) == 0 || int(tab.Num) == b+1 {
				tab.Blobs = append(tab.Blobs, ref(500+b, 4))
			}
		}
	}
	add := func(level manifest.Level, run manifest.RunID, lo, hi byte, seq keys.SeqNum) {
		tab := &manifest.Table{
			Num: num, UID: fileid.UID{byte(num)}, Bytes: 4, Entries: 1, Key: seal.KeyID(r.IntN(4)),
			Smallest: []byte{lo}, Largest: []byte{hi}, MinSeqNum: seq, MaxSeqNum: seq,
		}
		refer(tab)
		num++
		e.Added = append(e.Added, manifest.AddedTable{Level: level, Run: run, Table: tab})
	}
	for i := range byte(8) {
		add(manifest.LastLevel, 1, 'a'+3*i, 'b'+3*i, 1)
	}
	for i := range byte(r.IntN(5)) {
		add(manifest.LastLevel-1, 1, 'a'+5*i, 'd'+5*i, 2)
	}
	for i := range r.IntN(4) {
		lo := byte(r.IntN(20))
		add(0, manifest.RunID(10+i), 'a'+lo, 'c'+lo, keys.SeqNum(10+i))
	}
	v, err := (&manifest.Version{}).Apply(e)
	require.NoError(t, err)
	return v
}

// rewritten is v after the job: one table for each of its inputs' ranges at its output, which
// refers to what the inputs referred to, with files that were moved under the given key.
func rewritten(t *testing.T, v *manifest.Version, j *compaction.Job, next *fileid.Num, key seal.KeyID) *manifest.Version {
	t.Helper()
	var out []*manifest.Table
	var blobs []*manifest.Blob
	if !j.Move && !j.Drop {
		tab := &manifest.Table{Num: *next, UID: fileid.UID{byte(*next), byte(*next >> 8), 1}, Bytes: 4, Entries: 1, Key: key}
		*next++
		moved := int64(0)
		seen := map[fileid.Num]int{}
		for i, in := range j.Tables() {
			if i == 0 || string(in.Smallest) < string(tab.Smallest) {
				tab.Smallest = in.Smallest
			}
			if string(in.Largest) > string(tab.Largest) {
				tab.Largest = in.Largest
			}
			tab.MinSeqNum, tab.MaxSeqNum = 1, max(tab.MaxSeqNum, in.MaxSeqNum)
			for _, b := range in.Blobs {
				at, again := seen[b.Num]
				switch {
				case slices.Contains(j.MoveBlobs, b.Num):
					moved += b.Bytes
				case again:
					tab.Blobs[at].Bytes += b.Bytes
				default:
					seen[b.Num] = len(tab.Blobs)
					tab.Blobs = append(tab.Blobs, b)
				}
			}
		}
		if moved > 0 {
			blobs = append(blobs, &manifest.Blob{Num: *next, UID: fileid.UID{byte(*next), 3}, Bytes: moved + 100, Data: moved, Values: 1, Key: key})
			tab.Blobs = append(tab.Blobs, manifest.BlobRef{Num: *next, Bytes: moved})
			*next++
		}
		out = append(out, tab)
	}
	e := j.Edit(v, out, 0)
	e.Blobs = blobs
	after, err := v.Apply(e)
	require.NoError(t, err)
	require.NoError(t, after.CheckInvariants())
	return after
}

func TestUsesOfKeysAreCounted(t *testing.T) {
	v := blobTree(t, []manifest.BlobRef{ref(1, 100)}, []manifest.BlobRef{ref(2, 40)})
	v = underKey(t, v, 7, 1, 1000)
	segments := []manifest.Segment{{Num: 4, Bytes: 10, Key: 7}, {Num: 5, Bytes: 20, Key: 9}, {Num: 6, Bytes: 5, Key: 7}}
	require.Equal(t, []compaction.KeyUse{
		{Key: 0, Tables: 1, Blobs: 1, Bytes: 1300},
		{Key: 7, Tables: 1, Blobs: 1, Segments: 2, Bytes: 1315},
		{Key: 9, Segments: 1, Bytes: 20},
	}, compaction.KeyUses(v, segments))
	require.EqualValues(t, 6, compaction.LastRetiring(segments, only(7)))
	require.EqualValues(t, 5, compaction.LastRetiring(segments, only(9)))
	require.Zero(t, compaction.LastRetiring(segments, only(1)))
}
