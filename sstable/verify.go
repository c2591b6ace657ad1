package sstable

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/sstable/filter"
)

// Verify reads the whole file, past the cache, and checks all of its promises that the
// file itself can tell: every checksum, the order of the entries, index, filter and
// counts, and the digest when ReaderOptions gave one. It cannot tell the Annotations,
// which their caller knew, nor whether a scope that is not listed is small. It holds up
// no reader. The first thing wrong is a *CorruptionError; ctx ends it early.
func (r *Reader) Verify(ctx context.Context) error {
	digest, err := r.verify(ctx)
	if err == nil && r.o.Digest != 0 && digest != r.o.Digest {
		err = r.corrupt(-1, errDigest)
	}
	return err
}

// verify checks everything but the digest, which it returns.
func (r *Reader) verify(ctx context.Context) (digest uint64, err error) {
	v := verifier{r: r, ctx: ctx, next: headerLen, scopes: newScopeWalk(r.props.Scopes), blobs: newBlobWalk(&r.props)}
	v.digest.Reset()
	v.stream.seen = v.hash
	if err := v.hashTo(headerLen); err != nil {
		return 0, err
	}
	if err := v.readFilter(); err != nil {
		return 0, err
	}
	for i := range r.top.partitions {
		if err := v.partition(i); err != nil {
			return 0, err
		}
	}
	if err := v.counts(); err != nil {
		return 0, err
	}
	// Last, because a block that is damaged has a place, which the digest does not know.
	if err := v.hashTo(r.o.Size); err != nil {
		return 0, err
	}
	return v.digest.Sum64(), nil
}

// hash takes the bytes at off into the digest, but for those that are in it already. Data
// blocks come in pieces that overlap, each as it is read, so that the file is read once.
func (v *verifier) hash(off int64, p []byte) {
	if n := v.hashed - off; n >= 0 && n < int64(len(p)) {
		_, _ = v.digest.Write(p[n:]) // never fails
		v.hashed = off + int64(len(p))
	}
}

// hashTo reads what is missing of the digest below end.
func (v *verifier) hashTo(end int64) error {
	buf := make([]byte, min(end-v.hashed, streamBytes))
	for v.hashed < end {
		if err := v.ctx.Err(); err != nil {
			return fmt.Errorf("sstable: verify %s: %w", v.r.o.Name, err)
		}
		buf = buf[:min(int64(len(buf)), end-v.hashed)]
		if err := v.r.readAt(buf, v.hashed); err != nil {
			return err
		}
		v.hash(v.hashed, buf)
	}
	return nil
}

// verifier walks a table's blocks in order.
type verifier struct {
	r      *Reader
	ctx    context.Context
	stream stream
	chunks [][]byte // the filter
	digest xxhash.Digest
	hashed int64 // what of the file is in the digest
	seen   Properties
	next   int64 // where the next block must begin

	key     []byte // of the last entry
	trailer keys.Trailer
	sep     []byte // separator of the block before
	any     bool

	hashes   int    // of distinct keys, as the filter's builder counts them
	lastHash uint64 // the last of them
	scopes   scopeWalk
	blobs    blobWalk
}

func (v *verifier) partition(m int) error {
	r := v.r
	payload, err := r.readSealed(r.top.partitions[m].at, 0)
	if err != nil {
		return err
	}
	p, err := r.decodePartition(payload, m)
	if err != nil {
		return err
	}
	for i := range p.n {
		if err := v.ctx.Err(); err != nil {
			return fmt.Errorf("sstable: verify %s: %w", r.o.Name, err)
		}
		if err := v.block(&p, i); err != nil {
			return err
		}
	}
	if !bytes.Equal(v.sep, r.top.partitions[m].last) {
		return r.corrupt(r.top.partitions[m].at.off, fmt.Errorf("last separator: %w", errMalformed))
	}
	return nil
}

func (v *verifier) block(p *partition, i int) error {
	at, err := p.block(i, v.r.footer.ranges.off)
	if err == nil && at.off != v.next {
		err = fmt.Errorf("block at %d instead of %d: %w", at.off, v.next, errMalformed)
	}
	if err != nil {
		return v.r.corrupt(p.base, err)
	}
	v.next = at.end()
	b, err := v.stream.block(v.r, p, i)
	if err != nil {
		return err
	}
	v.seen.Blocks++
	v.seen.StoredBytes += uint64(at.len)
	v.seen.RawBytes += uint64(b.Size())
	newest, unique := keys.SeqNum(0), true
	var key []byte
	for j := range b.Count() {
		key = b.AppendKey(key[:0], j)
		t := b.Trailer(j)
		unique = unique && (j == 0 || !bytes.Equal(v.key, key))
		if err := v.entry(key, t, b.Value(j), j == 0); err != nil {
			return v.r.corrupt(at.off, err)
		}
		newest = max(newest, t.SeqNum())
	}
	if newest != b.MaxSeqNum() || unique != b.Unique() {
		return v.r.corrupt(at.off, fmt.Errorf("header of block %d: %w", v.seen.Blocks-1, errMalformed))
	}
	sep, err := p.suffix(i)
	if err != nil {
		return v.r.corrupt(at.off, err)
	}
	v.sep = append(append(v.sep[:0], p.prefix...), sep...)
	if bytes.Compare(v.sep, v.key) < 0 || head(sep) != p.head(i) || newest != p.maxSeq(i) {
		return v.r.corrupt(at.off, fmt.Errorf("index of block %d: %w", v.seen.Blocks-1, errMalformed))
	}
	return nil
}

// entry checks one entry against the one before it, the separator of the block before
// it and the filter.
func (v *verifier) entry(key []byte, t keys.Trailer, value []byte, first bool) error {
	if !validPoint(t.Kind(), value) {
		return fmt.Errorf("kind %v, value of %d bytes: %w", t.Kind(), len(value), errMalformed)
	}
	logical := len(value)
	if t.Kind().IsBlob() {
		var err error
		if logical, err = v.blobs.enter(v.r, t.Kind(), value); err != nil {
			return err
		}
	}
	newKey := !v.any || !bytes.Equal(v.key, key)
	if v.any && keys.Compare(v.key, v.trailer, key, t) >= 0 {
		return errOrder
	}
	if c := bytes.Compare(v.sep, key); first && v.any && (c > 0 || c == 0 && newKey) {
		return fmt.Errorf("separator not below the block after it: %w", errMalformed)
	}
	if newKey {
		hash := filter.Hash(key)
		// Killed by TestVerifyAsksTheFilterForEveryKey.
		if !v.mayContain(hash) && !(mutant.Enabled && mutant.Is(mutant.SkipFilterCheck)) {
			return fmt.Errorf("key is not in the filter: %w", errMalformed)
		}
		if v.hashes == 0 || hash != v.lastHash {
			v.hashes++
			v.lastHash = hash
		}
		v.scopes.enter(key)
	}
	v.scopes.count(len(key), logical)
	v.seen.Entries++
	v.seen.KeyBytes += uint64(len(key))
	v.seen.ValueBytes += uint64(len(value))
	v.seen.count(t.Kind(), len(key), len(value))
	v.seen.countTime(t.Kind(), value)
	if !v.any {
		v.seen.Smallest = bytes.Clone(key)
		v.seen.Points = SeqRange{t.SeqNum(), t.SeqNum()}
	}
	v.seen.Points.Min, v.seen.Points.Max = min(v.seen.Points.Min, t.SeqNum()), max(v.seen.Points.Max, t.SeqNum())
	v.key, v.trailer, v.any = append(v.key[:0], key...), t, true
	return nil
}

// readFilter reads the filter past the cache, also one that this code cannot use.
func (v *verifier) readFilter() error {
	for c, at := range v.r.top.chunks {
		payload, err := v.r.readSealed(at, 0)
		if err != nil {
			return err
		}
		if err := v.r.checkChunk(c, payload); err != nil {
			return err
		}
		v.chunks = append(v.chunks, payload)
	}
	return nil
}

func (v *verifier) mayContain(hash uint64) bool {
	if v.r.filterLines == 0 {
		return true
	}
	chunk, at := filter.Locate(hash, v.r.filterLines)
	return filter.MayContainLine(v.chunks[chunk][at:], hash)
}

// counts compares what was seen with the properties.
func (v *verifier) counts() error {
	p, s := &v.r.props, &v.seen
	s.Largest = v.key
	var ranges KindCount
	for i := range v.r.fragments {
		f := &v.r.fragments[i]
		if i == 0 {
			s.Ranges = SeqRange{f.Trailer.SeqNum(), f.Trailer.SeqNum()}
		}
		s.Ranges.Min, s.Ranges.Max = min(s.Ranges.Min, f.Trailer.SeqNum()), max(s.Ranges.Max, f.Trailer.SeqNum())
		ranges.Entries++
		ranges.Bytes += uint64(len(f.Lower) + len(f.Upper))
		if i == 0 && (!v.any || bytes.Compare(f.Lower, s.Smallest) < 0) {
			s.Smallest = f.Lower
		}
		if i == len(v.r.fragments)-1 && (!v.any || bytes.Compare(f.Upper, s.Largest) > 0) {
			s.Largest, s.LargestExclusive = f.Upper, true
		}
	}
	s.Kinds[keys.KindRangeDelete] = ranges
	f := &p.Filter
	filterFits := v.r.filterLines == 0 || f.BitsPerKey <= maxBitsPerKey && int(f.Lines) == filter.Lines(v.hashes, int(f.BitsPerKey))
	same := p.Entries == s.Entries && p.KeyBytes == s.KeyBytes && p.ValueBytes == s.ValueBytes &&
		p.Blocks == s.Blocks && p.RawBytes == s.RawBytes && p.StoredBytes == s.StoredBytes && p.Kinds == s.Kinds &&
		bytes.Equal(p.Smallest, s.Smallest) && bytes.Equal(p.Largest, s.Largest) && p.LargestExclusive == s.LargestExclusive &&
		p.Points == s.Points && p.Ranges == s.Ranges && p.Expiry == s.Expiry && p.HasMerge == s.HasMerge &&
		p.OldestMerge == s.OldestMerge && filterFits && v.scopes.agree(p) && v.blobs.agree(p) && v.next == v.r.footer.ranges.off
	if !same {
		return v.r.corrupt(v.r.footer.props.off, fmt.Errorf("counts differ from the entries: %w", errMalformed))
	}
	return nil
}
