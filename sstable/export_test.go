package sstable

import (
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/sstable/block"
)

// What tests of package sstable_test see of the inside.

// EncodeProperties and DecodeProperties are the codec of the properties block.
func EncodeProperties(p *Properties) []byte         { return p.append(nil) }
func DecodeProperties(b []byte) (Properties, error) { return decodeProperties(b) }
func Separator(a, b []byte) []byte                  { return appendSeparator(nil, a, b) }
func EncodeHeader(u fileid.UID, s seal.Salt, k seal.KeyID) []byte {
	h := header{u, s, k}
	return h.append(nil)
}

func DecodeHeader(b []byte) error {
	_, err := decodeHeader(b)
	return err
}

// SampleFooter is a footer whose parts add up.
func SampleFooter(u fileid.UID) []byte {
	f := footer{uid: u, fileLen: 5000, ranges: span{1000, 100}, filterOff: 1100, indexOff: 2000, top: span{3000, 500},
		props: span{3500, 1372}, blocks: 7, partitions: 2, chunks: 1}
	return f.append(nil)
}

func DecodeFooter(b []byte, size int64, u fileid.UID) error {
	_, err := decodeFooter(b, size, &header{uid: u})
	return err
}

// ReencodeFooter returns what encoding a decoded footer gives.
func ReencodeFooter(b []byte, size int64, u fileid.UID) ([]byte, error) {
	f, err := decodeFooter(b, size, &header{uid: u})
	return f.append(nil), err
}

// DecodeTop decodes b as the top index of a table with the sample's counts.
func DecodeTop(b []byte) error {
	f := footer{filterOff: 1100, indexOff: 2000, top: span{3000, 500}, blocks: 7, partitions: 2, chunks: 1}
	_, err := decodeTop(b, &f)
	return err
}

// SampleTop is a top index that fits DecodeTop.
func SampleTop() []byte {
	t := topIndex{chunks: []span{{1100, 900}}, partitions: []partitionRef{
		{[]byte("m"), span{2000, 600}, 0, 4}, {[]byte("zz"), span{2600, 400}, 4, 3}}}
	return t.append(nil)
}

// IndexEntry is one block as a partition describes it.
type IndexEntry struct {
	Separator []byte
	Off, Len  int64
	MaxSeq    keys.SeqNum
}

// BuildPartitions encodes entries into partitions of about limit bytes.
func BuildPartitions(entries []IndexEntry, limit int) [][]byte {
	b := indexBuilder{limit: limit}
	for _, e := range entries {
		b.add(e.Separator, span{e.Off, e.Len}, e.MaxSeq)
	}
	b.cut()
	var out [][]byte
	for _, p := range b.done {
		out = append(out, p.payload)
	}
	return out
}

// Partition is a decoded partition.
type Partition struct{ p partition }

func DecodePartition(b []byte) (Partition, error) {
	p, err := decodePartition(b)
	return Partition{p}, err
}

func (p *Partition) Len() int                             { return p.p.n }
func (p *Partition) Search(key []byte) (int, bool, error) { return p.p.search(key) }
func (p *Partition) MaxSeq(i int) keys.SeqNum             { return p.p.maxSeq(i) }
func (p *Partition) Block(i int, end int64) (int64, int64, error) {
	s, err := p.p.block(i, end)
	return s.off, s.len, err
}

// LowerBound and PlainLowerBound return the first block whose head is not below h: the
// search in use, and the same with conditions.
func (p *Partition) LowerBound(h uint64) int { return p.p.lowerBound(h) }
func (p *Partition) PlainLowerBound(h uint64) int {
	at, n := 0, p.p.n
	for n > 1 {
		half := n >> 1
		if p.p.head(at+half-1) < h {
			at += half
		}
		n -= half
	}
	if p.p.head(at) < h {
		at++
	}
	return at
}

func (p *Partition) Separator(i int) ([]byte, error) {
	s, err := p.p.suffix(i)
	return append(append([]byte{}, p.p.prefix...), s...), err
}

// DataBlocks returns [offset, end) of each data block.
func DataBlocks(t interface{ Fatal(...any) }, r *Reader) (out [][2]int64) {
	for i := range r.top.partitions {
		var scratch metaBlock
		m, err := r.loadMeta(i, &scratch)
		if err != nil {
			t.Fatal(err)
		}
		for j := range m.part.n {
			at, err := m.part.block(j, r.footer.ranges.off)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, [2]int64{at.off, at.end()})
		}
		m.release()
	}
	return out
}

// DataBlockPayloads returns what each data block holds.
func DataBlockPayloads(t interface{ Fatal(...any) }, r *Reader) (out [][]byte) {
	for _, at := range DataBlocks(t, r) {
		p, err := r.readSealed(span{at[0], at[1] - at[0]}, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// Partitions returns how many index partitions the table has.
func Partitions(r *Reader) int { return len(r.top.partitions) }

// MetaBlocks returns [offset, end) of each partition, then of each filter chunk.
func MetaBlocks(r *Reader) (out [][2]int64) {
	for m := range r.meta {
		at := r.metaSpan(m)
		out = append(out, [2]int64{at.off, at.end()})
	}
	return out
}

// KeptBytes returns how much memory an iterator keeps for blocks.
func KeptBytes(it *Iter) int {
	return cap(it.stream.buf) + cap(it.stream.raw) + cap(it.stream.opened)
}

// PooledBytes returns the size of a buffer of the pool for compressed blocks.
func PooledBytes() int {
	b := scratches.Get().(*[]byte)
	defer scratches.Put(b)
	return cap(*b)
}

// sealPlain seals a payload that is not compressed with a checksum.
func sealPlain(u fileid.UID, off int64, payload []byte) []byte {
	p, err := block.Seal(nil, block.CodecNone, &block.Guard{Seed: fileid.NewSeed(fileid.KindTable, u)}, off, payload)
	if err != nil {
		panic(err)
	}
	return p
}

// Tamper changes the properties of the table whose file is content, with checksums
// that pass, if change keeps the length of their encoding.
func Tamper(content []byte, u fileid.UID, change func(*Properties)) bool {
	f, err := decodeFooter(content[len(content)-footerLen:], int64(len(content)), &header{uid: u})
	if err != nil {
		return false
	}
	at := content[f.props.off:f.props.end()]
	p, err := decodeProperties(at[:len(at)-block.TrailerLen])
	if err != nil {
		return false
	}
	change(&p)
	sealed := sealPlain(u, f.props.off, p.append(nil))
	return copy(at, sealed) == len(sealed) && len(at) == len(sealed)
}

// TopBlock returns [offset, end) of the top index.
func TopBlock(r *Reader) [2]int64 { return [2]int64{r.footer.top.off, r.footer.top.end()} }

// TamperBlock changes the uncompressed payload of the block at a place, with a checksum
// that passes.
func TamperBlock(content []byte, u fileid.UID, at [2]int64, change func(payload []byte)) {
	raw := content[at[0]:at[1]]
	payload := append([]byte{}, raw[:len(raw)-block.TrailerLen]...)
	change(payload)
	copy(raw, sealPlain(u, at[0], payload))
}

// TamperPartition changes the payload of the only partition likewise.
func TamperPartition(content []byte, u fileid.UID, change func(payload []byte)) bool {
	f, err := decodeFooter(content[len(content)-footerLen:], int64(len(content)), &header{uid: u})
	if err != nil || f.partitions != 1 {
		return false
	}
	at := content[f.indexOff:f.top.off]
	payload := append([]byte{}, at[:len(at)-block.TrailerLen]...)
	change(payload)
	sealed := sealPlain(u, f.indexOff, payload)
	return copy(at, sealed) == len(at)
}
