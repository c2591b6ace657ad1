package compaction_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// blobTree is a last level of tables that refer to blob files of 100 bytes.
func blobTree(t *testing.T, refs ...[]manifest.BlobRef) *manifest.Version {
	t.Helper()
	e := &manifest.Edit{}
	seen := map[fileid.Num]bool{}
	for i, r := range refs {
		tab := &manifest.Table{
			Num: fileid.Num(1000 + i), UID: fileid.UID{byte(i), 1}, Bytes: 1000, Entries: 10, Blobs: r,
			Smallest: fmt.Appendf(nil, "%03d", i), Largest: fmt.Appendf(nil, "%03dz", i), MinSeqNum: 1, MaxSeqNum: 9,
		}
		e.Added = append(e.Added, manifest.AddedTable{Level: manifest.LastLevel, Run: 1, Table: tab})
		for _, r := range r {
			if !seen[r.Num] {
				e.Blobs = append(e.Blobs, &manifest.Blob{Num: r.Num, UID: fileid.UID{byte(r.Num), 2}, Bytes: 300, Data: 100, Values: 1})
			}
			seen[r.Num] = true
		}
	}
	v, err := (&manifest.Version{}).Apply(e)
	require.NoError(t, err)
	return v
}

func ref(num, bytes int) manifest.BlobRef {
	return manifest.BlobRef{Num: fileid.Num(num), Bytes: int64(bytes)}
}

// Nothing is moved within the bound; beyond it the worst files go first, as far as half way
// below.
func TestTheWorstBlobFilesGo(t *testing.T) {
	p := compaction.Params{BlobSpacePercent: 150, TableBytes: 400}
	within := blobTree(t, []manifest.BlobRef{ref(1, 100), ref(2, 60), ref(3, 40)})
	_, ok := compaction.Pick(within, p)
	require.False(t, ok, "300 bytes for 200")

	beyond := blobTree(t, []manifest.BlobRef{ref(1, 50), ref(2, 60), ref(3, 5)}, []manifest.BlobRef{ref(1, 50), ref(3, 30)})
	j, ok := compaction.Pick(beyond, p)
	require.True(t, ok)
	require.Equal(t, compaction.ReasonBlobs, j.Reason)
	require.Equal(t, []fileid.Num{3}, j.MoveBlobs, "300 bytes for 195; without file 3 there are 235")
	require.Equal(t, []fileid.Num{1001}, nums(j), "the table with most of it")
	require.Equal(t, manifest.LastLevel, j.Output)

	p.Running = []*compaction.Job{j}
	j, ok = compaction.Pick(beyond, p)
	require.True(t, ok)
	require.Equal(t, []fileid.Num{1000}, nums(j))
	p.Running = nil
	p.Avoid = func(n fileid.Num) bool { return n == 3 }
	j, ok = compaction.Pick(beyond, p)
	require.True(t, ok)
	require.Equal(t, []fileid.Num{2}, j.MoveBlobs, "a damaged one stays")
	p.BlobSpacePercent = 0
	_, ok = compaction.Pick(beyond, p)
	require.False(t, ok)
}

func nums(j *compaction.Job) (out []fileid.Num) {
	for _, t := range j.Tables() {
		out = append(out, t.Num)
	}
	return out
}

// Many small files of a table become one, if it is larger by far than the largest of them.
func TestSmallBlobFilesAreMerged(t *testing.T) {
	p := compaction.Params{BlobSpacePercent: 1000, TableBytes: 4000}
	var few, thin, many []manifest.BlobRef
	for i := range 7 {
		few = append(few, ref(i+1, 100))
	}
	for i := range 12 {
		thin = append(thin, ref(i+1, 15))
	}
	for i := range 12 {
		many = append(many, ref(i+1, 90))
	}
	for name, refs := range map[string][]manifest.BlobRef{"too few": few, "too little of each": thin} {
		_, ok := compaction.Pick(blobTree(t, refs), p)
		require.False(t, ok, name)
	}
	j, ok := compaction.Pick(blobTree(t, many), p)
	require.True(t, ok)
	require.Len(t, j.MoveBlobs, 12)
	p.TableBytes = 300
	_, ok = compaction.Pick(blobTree(t, many), p)
	require.False(t, ok, "they are not small beside such tables")
}

// Whatever the tree looks like, jobs come to an end, within the bound, having moved no more
// than they gave back.
func TestMovingBlobsEnds(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		var refs [][]manifest.BlobRef
		left := map[int]int{}
		files := 2 + rnd.IntN(30)
		for i := range files {
			left[i+1] = 100
		}
		for range 1 + rnd.IntN(6) {
			var r []manifest.BlobRef
			for i := range files {
				if n := rnd.IntN(40); n > 0 && n <= left[i+1] && rnd.IntN(3) > 0 {
					left[i+1] -= n
					r = append(r, ref(i+1, n))
				}
			}
			if len(r) > 0 {
				refs = append(refs, r)
			}
		}
		v := blobTree(t, refs...)
		p := compaction.Params{BlobSpacePercent: 110 + rnd.IntN(100), TableBytes: int64(200 + rnd.IntN(3000))}
		next := fileid.Num(5000)
		for n := 0; ; n++ {
			require.Less(t, n, 200, "seed %d", seed)
			j, ok := compaction.Pick(v, p)
			if !ok {
				break
			}
			v = play(t, v, j, &next)
		}
		total, live := int64(0), int64(0)
		for i := range v.Blobs {
			total, live = total+v.Blobs[i].Data, live+v.Blobs[i].Live
		}
		require.LessOrEqual(t, total*100, live*int64(p.BlobSpacePercent), "seed %d", seed)
	}
}

// play applies what a job does to the tree: values of the files to be moved come into one new
// file.
func play(t *testing.T, v *manifest.Version, j *compaction.Job, next *fileid.Num) *manifest.Version {
	require.Equal(t, compaction.ReasonBlobs, j.Reason)
	old := j.Tables()[0]
	fresh := *old
	fresh.Num, fresh.UID, fresh.Blobs = *next, fileid.UID{byte(*next), byte(*next >> 8), 1}, nil
	moved := int64(0)
	for _, r := range old.Blobs {
		isMoved := false
		for _, num := range j.MoveBlobs {
			isMoved = isMoved || num == r.Num
		}
		if isMoved {
			moved += r.Bytes
		} else {
			fresh.Blobs = append(fresh.Blobs, r)
		}
	}
	require.Positive(t, moved)
	b := &manifest.Blob{Num: *next + 1, UID: fileid.UID{byte(*next), byte(*next >> 8), 2}, Bytes: moved + 200, Data: moved, Values: 1}
	fresh.Blobs = append(fresh.Blobs, manifest.BlobRef{Num: b.Num, Bytes: moved})
	*next += 2
	e := j.Edit(v, []*manifest.Table{&fresh}, keys.SeqNum(0))
	e.Blobs = []*manifest.Blob{b}
	n, err := v.Apply(e)
	require.NoError(t, err)
	return n
}
