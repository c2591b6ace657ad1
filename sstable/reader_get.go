package sstable

import (
	"bytes"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// Get looks for the newest version of key that a reader at seq may see, and appends
// its value to dst. hash is filter.Hash(key): the caller computes it once for all
// tables. found is false when the table has no such version; t says what was found, a
// tombstone for instance. Range tombstones are not applied. dst comes back as it was
// unless found. An error is never absence (S5). Get does not allocate but to grow dst
// and to load what the cache does not hold.
//
// Where the table has one number for all (ReaderOptions.Number) it is added to what the
// file says.
func (r *Reader) Get(dst, key []byte, hash uint64, seq keys.SeqNum) (out []byte, t keys.Trailer, found bool, err error) {
	if seq < r.o.Number {
		return dst, 0, false, nil
	}
	seq -= r.o.Number
	if r.filterLines > 0 {
		may, err := r.mayContain(hash)
		if err != nil || !may {
			return dst, 0, false, err
		}
	}
	goOn := true
	for i := r.top.search(key); i < len(r.top.partitions) && goOn; i++ {
		m := r.meta[i].Load()
		if m == nil {
			var scratch metaBlock
			if m, err = r.loadMeta(i, &scratch); err != nil {
				return dst, 0, false, swallow(err)
			}
		}
		out, t, goOn, err = r.getFrom(dst, &m.part, r.top.partitions[i].first, key, seq)
		m.release()
		if err != nil {
			return dst, 0, false, swallow(err)
		}
		if t != 0 {
			return out, t + r.add, true, nil
		}
	}
	return dst, 0, false, nil
}

// swallow is the site of a planted bug: a failed read taken for absence.
func swallow(err error) error {
	if mutant.Enabled && mutant.Is(mutant.SwallowReadError) {
		return nil
	}
	return err
}

// getFrom looks for key in the blocks of one partition, of which the first has the
// ordinal first. The trailer is 0 when it is not there; goOn says that older versions
// of key may be in the next partition.
func (r *Reader) getFrom(dst []byte, p *partition, first int, key []byte, seq keys.SeqNum) (out []byte, t keys.Trailer, goOn bool, err error) {
	i, equal, err := p.search(key)
	if err != nil {
		return dst, 0, false, r.corrupt(p.base, err)
	}
	for ; i < p.n; i++ {
		if equal {
			i = p.passNewer(i, seq)
		}
		h, ok := r.cached.Get(first + i)
		if !ok {
			if h, err = r.loadBlock(p, i, first+i); err != nil {
				return dst, 0, false, err
			}
		}
		b := block.View(h.Bytes())
		value, t, state := b.Get(key, seq)
		if state == block.Found {
			dst = append(dst, value...)
		}
		h.Release()
		if state != block.Beyond || !equal {
			return dst, t, false, nil
		}
		if i+1 < p.n {
			if equal, err = p.separatorIs(i+1, key); err != nil {
				return dst, 0, false, r.corrupt(p.base, err)
			}
		}
	}
	return dst, 0, equal, nil
}

// mayContain asks the filter: one line of one chunk.
func (r *Reader) mayContain(hash uint64) (bool, error) {
	chunk, at := filter.Locate(hash, r.filterLines)
	i := len(r.top.partitions) + chunk
	m := r.meta[i].Load()
	if m == nil {
		var scratch metaBlock
		var err error
		if m, err = r.loadMeta(i, &scratch); err != nil {
			return false, err
		}
	}
	may := filter.MayContainLine(m.data[at:], hash)
	m.release()
	return may, nil
}

// MayContain reports whether a point with a key of this hash may be in the table. It
// is false only when there is none; range tombstones do not count (S3).
func (r *Reader) MayContain(hash uint64) (bool, error) {
	if r.filterLines == 0 {
		return r.footer.blocks > 0, nil
	}
	return r.mayContain(hash)
}

// passNewer returns the first block, from i on, in which a reader at seq may see a
// version of the key that is block i's separator, or the last of the partition that has
// such versions. Blocks between two equal separators hold versions of that key only, so
// that all of one is newer than all of the next: it need not be read when the next one
// begins above seq. If the next begins at seq, the last version of this one may have the
// same number, and a greater kind (S1).
func (p *partition) passNewer(i int, seq keys.SeqNum) int {
	for p.sameAsNext(i) && p.maxSeq(i+1) > seq {
		i++
	}
	return i
}

// separatorIs reports whether block i's separator is key.
func (p *partition) separatorIs(i int, key []byte) (bool, error) {
	sep, err := p.suffix(i)
	if err != nil || len(key) != len(p.prefix)+len(sep) {
		return false, err
	}
	return bytes.HasPrefix(key, p.prefix) && bytes.HasSuffix(key, sep), nil
}
