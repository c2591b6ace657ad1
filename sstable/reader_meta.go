package sstable

import "github.com/loamdb/loam/internal/keys"

// Meta returns what the table says of itself, as its Writer did when it was finished, but
// for the digest, which is the one that ReaderOptions gave.
func (r *Reader) Meta() Meta {
	p := &r.props
	seqs := p.seqRange()
	return Meta{
		Size: r.o.Size, Digest: r.o.Digest,
		Smallest: p.Smallest, Largest: p.Largest, LargestExclusive: p.LargestExclusive,
		MinSeqNum: seqs.Min, MaxSeqNum: seqs.Max,
		Entries: p.Entries, Deletes: p.deletes(), RangeDeletes: p.Kinds[keys.KindRangeDelete].Entries,
		Props: *p,
	}
}
