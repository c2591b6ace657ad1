package compaction

import (
	"cmp"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
)

// Blob files of which much is garbage are given up: what is live of them is moved, table by
// table, into new ones. Moving brings neither more garbage into the files that stay nor less
// out of those that go, so that the choice stands until it is carried out; and as the files
// with the greatest part of garbage go first, at most two bytes are copied for each that comes
// back when the bound is 200%, four when it is 150%.

const (
	// smallBlobs is how many small blob files of a table are merged.
	smallBlobs = 8
	// maxMoveTables bounds what one job moves, in sizes of a table.
	maxMoveTables = 4
)

// blobs returns a job that moves values of a table out of blob files that are to go, or that
// are small and many. Level 0 is merged soon enough, and so are the runs of a level that has
// several.
func (pk *picker) blobs() *Job {
	if len(pk.v.Blobs) == 0 || mutant.Enabled && mutant.Is(mutant.KeepBlobGarbage) {
		return nil
	}
	condemned := pk.condemned()
	goes := make(map[fileid.Num]bool, len(condemned))
	for _, num := range condemned {
		goes[num] = true
	}
	var best *manifest.Table
	var at Input
	var level manifest.Level
	var most int64
	pk.v.All(func(l manifest.Level, run manifest.RunID, t *manifest.Table) bool {
		if l == 0 || len(t.Blobs) == 0 || len(pk.v.Levels[l]) > 1 || pk.busy(t) {
			return true
		}
		n := int64(0)
		for _, r := range t.Blobs {
			if goes[r.Num] {
				n += r.Bytes
			}
		}
		if n > most {
			best, most, level = t, n, l
			at = Input{Level: l, Run: run, Tables: []*manifest.Table{t}}
		}
		return true
	})
	if best != nil {
		return pk.finish(&Job{Reason: ReasonBlobs, Output: level, Inputs: []Input{at}, MoveBlobs: pk.upTo(best, condemned)})
	}
	return pk.smallBlobs()
}

// condemned returns the blob files that are to go, those of most garbage first: none while
// all of them together take no more than the bound, else as many as bring them half way
// below it.
func (pk *picker) condemned() []fileid.Num {
	percent := int64(pk.p.BlobSpacePercent)
	total, live := int64(0), int64(0)
	var all []*manifest.BlobUse
	for i := range pk.v.Blobs {
		u := &pk.v.Blobs[i]
		total += u.Data
		live += u.Live
		if u.Garbage() > 0 && !(pk.p.Avoid != nil && pk.p.Avoid(u.Num)) {
			all = append(all, u)
		}
	}
	if percent <= 0 || float64(total)*100 <= float64(live)*float64(percent) {
		return nil
	}
	part := func(u *manifest.BlobUse) float64 { return float64(u.Garbage()) / float64(u.Data) }
	slices.SortFunc(all, func(a, b *manifest.BlobUse) int {
		return cmp.Or(cmp.Compare(part(b), part(a)), cmp.Compare(a.Num, b.Num))
	})
	goal := float64(live) * float64(100+(percent-100)/2) / 100
	var out []fileid.Num
	for _, u := range all {
		if float64(total) <= goal {
			break
		}
		total -= u.Garbage()
		out = append(out, u.Num)
	}
	return out
}

// upTo returns those of the files that t refers to, as many as one job may move of it, one at
// least.
func (pk *picker) upTo(t *manifest.Table, files []fileid.Num) []fileid.Num {
	var out []fileid.Num
	sum := int64(0)
	for _, num := range files {
		i := slices.IndexFunc(t.Blobs, func(r manifest.BlobRef) bool { return r.Num == num })
		if i < 0 {
			continue
		}
		if sum += t.Blobs[i].Bytes; len(out) > 0 && sum > maxMoveTables*pk.p.TableBytes {
			break
		}
		out = append(out, num)
	}
	return out
}

// smallBlobs returns a job that moves what a table refers to of small blob files into one, as
// small flushes leave them. What it moves comes into a file of at least twice the size, so
// that a byte is moved for this a few times at most.
func (pk *picker) smallBlobs() *Job {
	var found *Job
	pk.v.All(func(level manifest.Level, run manifest.RunID, t *manifest.Table) bool {
		if level == 0 || len(t.Blobs) < smallBlobs || len(pk.v.Levels[level]) > 1 || pk.busy(t) {
			return true
		}
		type small struct {
			num         fileid.Num
			data, bytes int64
		}
		var all []small
		for _, r := range t.Blobs {
			u := pk.v.Blob(r.Num)
			if u != nil && u.Data*smallPart < pk.p.TableBytes && !(pk.p.Avoid != nil && pk.p.Avoid(r.Num)) {
				all = append(all, small{r.Num, u.Data, r.Bytes})
			}
		}
		slices.SortFunc(all, func(a, b small) int { return cmp.Or(cmp.Compare(a.data, b.data), cmp.Compare(a.num, b.num)) })
		var nums []fileid.Num
		sum, enough := int64(0), 0
		for _, s := range all {
			if sum+s.bytes > pk.p.TableBytes {
				break
			}
			sum += s.bytes
			nums = append(nums, s.num)
			if len(nums) >= smallBlobs && sum >= 2*s.data {
				enough = len(nums)
			}
		}
		if enough == 0 {
			return true
		}
		in := Input{Level: level, Run: run, Tables: []*manifest.Table{t}}
		found = pk.finish(&Job{Reason: ReasonBlobs, Output: level, Inputs: []Input{in}, MoveBlobs: nums[:enough]})
		return found == nil
	})
	return found
}
