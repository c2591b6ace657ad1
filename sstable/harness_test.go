package sstable_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable"
	"github.com/loamdb/loam/sstable/blob"
	"github.com/loamdb/loam/sstable/block"
	"github.com/loamdb/loam/sstable/filter"
)

// entry is one entry of a table; a sorted slice of them is the model of a table.
type entry struct {
	key   []byte
	t     keys.Trailer
	value []byte
}

func set(key string, seq keys.SeqNum, value string) entry {
	return entry{[]byte(key), keys.MakeTrailer(seq, keys.KindSet), []byte(value)}
}

func sortEntries(es []entry) []entry {
	slices.SortFunc(es, func(a, b entry) int { return keys.Compare(a.key, a.t, b.key, b.t) })
	return slices.CompactFunc(es, func(a, b entry) bool { return keys.Compare(a.key, a.t, b.key, b.t) == 0 })
}

// options of a small table: blocks of a few entries, a filter.
func options() sstable.WriterOptions {
	return sstable.WriterOptions{UID: sampleUID, Salt: sampleSalt(), BlockBytes: 512, FilterBitsPerKey: 10}
}

// ring has the key of encrypted tables.
const ring = sealtest.Ring(9)

// encrypted makes options those of an encrypted table.
func encrypted(o sstable.WriterOptions) sstable.WriterOptions {
	o.NewCipher = ring.New
	return o
}

// table is a table under test: its file, its meta and what it must hold.
type table struct {
	fs      vfs.FS
	name    string
	meta    sstable.Meta
	entries []entry
}

func write(t testing.TB, fs vfs.FS, name string, o sstable.WriterOptions, entries []entry, ranges ...sstable.Fragment) *table {
	t.Helper()
	f, err := fs.Create(name)
	require.NoError(t, err)
	w, err := sstable.NewWriter(f, o)
	require.NoError(t, err)
	for _, r := range ranges {
		require.NoError(t, w.AddRangeTombstone(r.Lower, r.Upper, r.Trailer))
	}
	for _, e := range entries {
		require.NoError(t, w.Add(e.key, e.t, e.value))
		if e.t.Kind().IsBlob() {
			w.Annotate(sstable.Annotations{Blobs: []sstable.BlobUsage{{UID: fileid.UID{0xbb}}}})
		}
	}
	meta, err := w.Finish()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return &table{fs, name, meta, entries}
}

func newCache(t testing.TB, size int64) *cache.Cache {
	t.Helper()
	c, err := cache.New(size)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func readerOptions(m *sstable.Meta, c *cache.Cache) sstable.ReaderOptions {
	o := sstable.ReaderOptions{UID: sampleUID, Size: m.Size, Digest: m.Digest, Cache: c, Name: "t"}
	if o.KeyID = m.Props.KeyID; o.KeyID != 0 {
		o.OpenCipher = ring.Open
	}
	return o
}

func (tb *table) open(t testing.TB, o sstable.ReaderOptions) *sstable.Reader {
	t.Helper()
	f, err := tb.fs.Open(tb.name, vfs.ReadOnly)
	require.NoError(t, err)
	r, err := sstable.Open(f, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// content returns the file's bytes.
func (tb *table) content(t testing.TB) []byte {
	t.Helper()
	f, err := tb.fs.Open(tb.name, vfs.ReadOnly)
	require.NoError(t, err)
	p := make([]byte, tb.meta.Size)
	_, err = f.ReadAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return p
}

// writeFile makes a file of p.
func writeFile(t testing.TB, fs vfs.FS, name string, p []byte) {
	t.Helper()
	f, err := fs.Create(name)
	require.NoError(t, err)
	_, err = f.WriteAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// search returns the model's first entry not before key and t.
func search(es []entry, key []byte, t keys.Trailer) int {
	return sort.Search(len(es), func(i int) bool { return keys.Compare(es[i].key, es[i].t, key, t) >= 0 })
}

// checkGet compares Get with the model.
func checkGet(t testing.TB, r *sstable.Reader, es []entry, key []byte, seq keys.SeqNum) {
	dst := []byte("before")
	out, trailer, found, err := r.Get(dst, key, filter.Hash(key), seq)
	i := search(es, key, keys.SeekTrailer(seq))
	want := i < len(es) && bytes.Equal(es[i].key, key)
	if err == nil && want && found && es[i].t == trailer && bytes.HasPrefix(out, dst) && bytes.Equal(out[len(dst):], es[i].value) {
		return // most: each function of require first looks for its caller, which takes longer
	}
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, want, found, "key %.40x at %d", key, seq)
	if !found {
		require.Equal(t, "before", string(out))
		return
	}
	require.Equal(t, es[i].t, trailer)
	require.True(t, bytes.Equal(append([]byte("before"), es[i].value...), out))
}

// iterator is what Iter and RunIter share.
type iterator interface {
	First() bool
	Last() bool
	SeekGE(key []byte, t keys.Trailer) bool
	SeekLT(key []byte) bool
	Next() bool
	Prev() bool
	Valid() bool
	Key() []byte
	Trailer() keys.Trailer
	Value() []byte
	Err() error
}

// checkAt compares the iterator's entry with the model's entry i, or its end.
func checkAt(t testing.TB, it iterator, es []entry, i int, what string) {
	if i >= 0 && i < len(es) && it.Valid() && it.Err() == nil && es[i].t == it.Trailer() &&
		bytes.Equal(es[i].key, it.Key()) && bytes.Equal(es[i].value, it.Value()) {
		return // as in checkGet
	}
	t.Helper()
	require.NoError(t, it.Err(), what)
	if i < 0 || i >= len(es) {
		require.False(t, it.Valid(), "%s: at %.40x %v instead of the end", what, keyOf(it), i)
		return
	}
	require.True(t, it.Valid(), "%s: end instead of entry %d of %d", what, i, len(es))
	require.True(t, bytes.Equal(es[i].key, it.Key()), "%s: %.40x instead of %.40x", what, it.Key(), es[i].key)
	require.Equal(t, es[i].t, it.Trailer(), what)
	require.True(t, bytes.Equal(es[i].value, it.Value()), what)
}

func keyOf(it iterator) []byte {
	if it.Valid() {
		return it.Key()
	}
	return nil
}

// checkWalk walks the iterator at random and compares each step with the model, of
// which the bounds have been applied.
func checkWalk(t testing.TB, it iterator, es []entry, targets [][]byte, steps int, rng *rand.Rand) {
	t.Helper()
	at := -1
	for range steps {
		what := ""
		switch op := rng.IntN(20); {
		case op == 0:
			what, at = "First", 0
			it.First()
		case op == 1:
			what, at = "Last", len(es)-1
			it.Last()
		case op < 6:
			key := targets[rng.IntN(len(targets))]
			trailer := keys.SeekTrailer(keys.SeqNum(rng.Uint64N(2000)))
			what, at = fmt.Sprintf("SeekGE %.40x %v", key, trailer), search(es, key, trailer)
			it.SeekGE(key, trailer)
		case op < 9:
			key := targets[rng.IntN(len(targets))]
			what, at = fmt.Sprintf("SeekLT %.40x", key), search(es, key, ^keys.Trailer(0))-1
			it.SeekLT(key)
		case at < 0 || at >= len(es): // only a seek makes it valid again
			require.False(t, it.Next())
			require.False(t, it.Prev())
			what = "at an end"
		case op < 15:
			what, at = "Next", at+1
			it.Next()
		default:
			what, at = "Prev", at-1
			it.Prev()
		}
		checkAt(t, it, es, at, what)
	}
}

// within returns the model's part in [lower, upper).
func within(es []entry, lower, upper []byte) []entry {
	if upper != nil {
		es = es[:search(es, upper, ^keys.Trailer(0))]
	}
	if lower != nil {
		es = es[search(es, lower, ^keys.Trailer(0)):]
	}
	return es
}

// shape is a kind of table content.
type shape struct {
	name    string
	entries []entry
	codec   block.Codec
	bits    int
	block   int
}

var codecs = []block.Codec{block.CodecNone, block.CodecS2, block.CodecZstd}

func timedValue(kind keys.Kind, v []byte, rng *rand.Rand) []byte {
	header := make([]byte, 8+keys.MergeHeaderLen)
	binary.LittleEndian.PutUint64(header, rng.Uint64N(1<<41))
	return append(header[:kind.MinValueLen()], v...)
}

// shapes returns tables of many kinds: keys random, under one long prefix, under many
// prefixes, and few with many versions; values none, short, of one length and long.
func shapes(rng *rand.Rand) []shape {
	kinds := []keys.Kind{keys.KindSet, keys.KindSet, keys.KindDelete, keys.KindSetWithExpiry, keys.KindMerge,
		keys.KindExpiryMarker, keys.KindSetBlob}
	keyOf := map[string]func() []byte{
		"random":   func() []byte { return binary.BigEndian.AppendUint64(nil, rng.Uint64()) },
		"prefix":   func() []byte { return fmt.Appendf(nil, "%s/%08d", bytes.Repeat([]byte("scope"), 8), rng.IntN(1e7)) },
		"scopes":   func() []byte { return fmt.Appendf(nil, "%02d/the-agents-memory/%06d", rng.IntN(30), rng.IntN(1e6)) },
		"versions": func() []byte { return fmt.Appendf(nil, "key%d", rng.IntN(4)) },
		"tiny":     func() []byte { return bytes.Repeat([]byte{byte(rng.IntN(2))}, rng.IntN(4)) },
	}
	var out []shape
	for _, name := range []string{"random", "prefix", "scopes", "versions", "tiny"} {
		for i, codec := range codecs {
			s := shape{name: fmt.Sprintf("%s/%v", name, codec), codec: codec, bits: []int{0, 10, 16}[i], block: []int{200, 700, 4096}[rng.IntN(3)]}
			fixed := rng.IntN(2) == 0
			for range 400 {
				kind := keys.KindSet
				if !fixed {
					kind = kinds[rng.IntN(len(kinds))]
				}
				n := 20
				if !fixed {
					n = rng.IntN(60)
				}
				v := bytes.Repeat([]byte{byte(rng.IntN(256))}, n)
				if kind.IsBlob() {
					ref := blob.Ref{Offset: 100 + rng.Int64N(1e6), Stored: 20 + rng.Int64N(100), Length: 200}
					v = ref.Append(nil)
				}
				s.entries = append(s.entries, entry{keyOf[name](), keys.MakeTrailer(keys.SeqNum(1+rng.Uint64N(1999)), kind), timedValue(kind, v, rng)})
			}
			s.entries = sortEntries(s.entries)
			out = append(out, s)
		}
	}
	return out
}

// near returns keys to look for: the table's, and some beside them.
func near(es []entry, rng *rand.Rand) [][]byte {
	out := [][]byte{{}, nil, bytes.Repeat([]byte{0xff}, 80)}
	for _, e := range es {
		k := bytes.Clone(e.key)
		out = append(out, e.key, append(bytes.Clone(k), 0), k[:rng.IntN(len(k)+1)])
		if len(k) > 0 {
			k = bytes.Clone(k)
			k[len(k)-1]++
			out = append(out, k)
		}
	}
	return out
}
