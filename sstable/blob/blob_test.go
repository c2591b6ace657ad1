package blob_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/blob"
	"github.com/loamdb/loam/sstable/block"
)

var uid = fileid.UID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func salt() (s [32]byte) {
	for i := range s {
		s[i] = byte(i)
	}
	return s
}

// write makes a blob file of the values.
func write(t testing.TB, fs vfs.FS, name string, c block.Codec, values ...[]byte) (blob.Meta, []blob.Ref) {
	t.Helper()
	return writeWith(t, fs, name, blob.WriterOptions{UID: uid, Salt: salt(), Codec: c}, values...)
}

func writeWith(t testing.TB, fs vfs.FS, name string, o blob.WriterOptions, values ...[]byte) (blob.Meta, []blob.Ref) {
	t.Helper()
	f, err := fs.Create(name)
	require.NoError(t, err)
	w := blob.NewWriter(f, o)
	var refs []blob.Ref
	for _, v := range values {
		ref, err := w.Add(v)
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	m, err := w.Finish()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	size, err := fs.Size(name)
	require.NoError(t, err)
	require.Equal(t, size, m.Size)
	return m, refs
}

func open(t testing.TB, fs vfs.FS, name string, m blob.Meta, mapped bool) (*blob.Reader, error) {
	t.Helper()
	return openWith(t, fs, blob.ReaderOptions{UID: uid, Size: m.Size, Digest: m.Digest, Name: name, Mapped: mapped})
}

func openWith(t testing.TB, fs vfs.FS, o blob.ReaderOptions) (*blob.Reader, error) {
	t.Helper()
	f, err := fs.Open(o.Name, vfs.ReadOnly)
	require.NoError(t, err)
	r, err := blob.Open(f, o)
	if err != nil {
		require.NoError(t, f.Close())
		return nil, err
	}
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r, nil
}

// text is n bytes that compress well, noise is n that do not.
func text(n int) []byte { return bytes.Repeat([]byte("a value that is long enough, "), n/29+1)[:n] }

func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(p)
	return p
}

var codecs = []block.Codec{block.CodecNone, block.CodecS2, block.CodecZstd}

func samples() [][]byte {
	return [][]byte{
		{1}, text(100), noise(1000), text(4096), text(70_000), noise(blob.ChunkBytes), text(blob.ChunkBytes + 1),
		append(noise(blob.ChunkBytes), text(2*blob.ChunkBytes+5)...), make([]byte, 3*blob.ChunkBytes), {2},
	}
}

func TestValuesComeBack(t *testing.T) {
	for _, c := range codecs {
		for _, mapped := range []bool{false, true} {
			fs := vfs.NewMem()
			values := samples()
			m, refs := write(t, fs, "b", c, values...)
			r, err := open(t, fs, "b", m, mapped)
			require.NoError(t, err)
			sum := int64(0)
			for i, v := range values {
				p := refs[i].Append(nil)
				ref, err := blob.DecodeRef(p)
				require.NoError(t, err)
				require.Equal(t, refs[i], ref)
				require.Equal(t, len(v), ref.ValueLen())
				got, err := r.Append([]byte("before"), &ref)
				require.NoError(t, err)
				require.True(t, string(got) == "before"+string(v))
				sum += ref.Stored
			}
			require.Equal(t, m.Data, sum)
			require.Equal(t, m.Data, r.Data())
			n, total := r.Values()
			require.Equal(t, m.Values, n)
			require.Equal(t, m.Bytes, total)
			require.NoError(t, r.Verify(context.Background()))
		}
	}
}

// A head stays in the table and comes first.
func TestHeadsComeFirst(t *testing.T) {
	fs := vfs.NewMem()
	m, refs := write(t, fs, "b", block.CodecS2, text(5000))
	r, err := open(t, fs, "b", m, false)
	require.NoError(t, err)
	ref := refs[0]
	ref.Head, ref.File = bytes.Repeat([]byte{7}, blob.MaxHeadLen), 3
	ref, err = blob.DecodeRef(ref.Append(nil))
	require.NoError(t, err)
	require.Equal(t, 3, ref.File)
	got, err := r.Append(nil, &ref)
	require.NoError(t, err)
	require.Equal(t, append(bytes.Repeat([]byte{7}, blob.MaxHeadLen), text(5000)...), got)
	require.Equal(t, len(got), ref.ValueLen())
}

func TestCopiesAreTheValues(t *testing.T) {
	fs := vfs.NewMem()
	values := samples()
	for _, from := range codecs {
		for _, to := range codecs {
			m, refs := write(t, fs, fmt.Sprint(from, to), from, values...)
			r, err := open(t, fs, fmt.Sprint(from, to), m, false)
			require.NoError(t, err)
			name := fmt.Sprint("copy", from, to)
			f, err := fs.Create(name)
			require.NoError(t, err)
			w := blob.NewWriter(f, blob.WriterOptions{UID: uid, Codec: to})
			var copies []blob.Ref
			for i := range refs {
				ref, err := w.Copy(r, &refs[i])
				require.NoError(t, err)
				copies = append(copies, ref)
			}
			m, err = w.Finish()
			require.NoError(t, err)
			require.NoError(t, f.Close())
			r, err = open(t, fs, name, m, false)
			require.NoError(t, err)
			require.NoError(t, r.Verify(context.Background()))
			for i, v := range values {
				got, err := r.Append(nil, &copies[i])
				require.NoError(t, err)
				require.True(t, bytes.Equal(v, got))
			}
		}
	}
}

func TestTheFormatDoesNotChange(t *testing.T) {
	fs := vfs.NewMem()
	m, refs := write(t, fs, "b", block.CodecNone, text(300), []byte("short"), noise(70))
	golden.Assert(t, "testdata/blob.hex", []byte(hex.Dump(content(t, fs, "b", m.Size))))
	var b bytes.Buffer
	for i := range refs {
		refs[i].File = i * 100
		fmt.Fprintf(&b, "%x\n", refs[i].Append(nil))
	}
	golden.Assert(t, "testdata/refs.txt", b.Bytes())
}

func content(t testing.TB, fs vfs.FS, name string, size int64) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.ReadOnly)
	require.NoError(t, err)
	defer f.Close()
	p := make([]byte, size)
	_, err = f.ReadAt(p, 0)
	require.NoError(t, err)
	return p
}

func put(t testing.TB, fs vfs.FS, name string, p []byte) {
	t.Helper()
	f, err := fs.Create(name)
	require.NoError(t, err)
	_, err = f.WriteAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// Whatever byte changes, Verify finds it, and no value that is read is another one.
func TestEveryChangedByteIsFound(t *testing.T) {
	values := [][]byte{text(200), noise(30), text(90)}
	for _, c := range codecs {
		fs := vfs.NewMem()
		m, refs := write(t, fs, "b", c, values...)
		p := content(t, fs, "b", m.Size)
		for i := range p {
			p[i] ^= 0x20
			name := fmt.Sprint(i)
			put(t, fs, name, p)
			p[i] ^= 0x20
			r, err := open(t, fs, name, m, false)
			if err == nil {
				err = r.Verify(context.Background())
				damage, eerr := r.Examine(context.Background())
				require.NoError(t, eerr)
				require.NotEmpty(t, damage)
				for j := range refs {
					if got, err := r.Append(nil, &refs[j]); err == nil {
						require.Equal(t, values[j], got, "byte %d", i)
					}
				}
			}
			require.True(t, errors.Is(err, blob.ErrCorrupt) || errors.Is(err, blob.ErrTooNew), "byte %d: %v", i, err)
			require.NoError(t, fs.Remove(name))
		}
		for n := range p {
			put(t, fs, "cut", p[:n])
			_, err := open(t, fs, "cut", m, false)
			require.ErrorIs(t, err, blob.ErrCorrupt)
			require.NoError(t, fs.Remove("cut"))
		}
	}
}

func TestExamineListsEveryDamagedValue(t *testing.T) {
	fs := vfs.NewMem()
	m, refs := write(t, fs, "b", block.CodecNone, text(200), text(300), text(400), text(3*blob.ChunkBytes), text(500))
	p := content(t, fs, "b", m.Size)
	for _, i := range []int{0, 2, 3} {
		p[refs[i].Offset+50] ^= 1
	}
	put(t, fs, "damaged", p)
	r, err := open(t, fs, "damaged", m, false)
	require.NoError(t, err)
	damage, err := r.Examine(context.Background())
	require.NoError(t, err)
	require.Len(t, damage, 3)
	var c *blob.CorruptionError
	require.ErrorAs(t, damage[1], &c)
	require.Equal(t, refs[2].Offset, c.Offset)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = r.Examine(ctx)
	require.ErrorIs(t, err, context.Canceled)

	whole, gotUID, err := blob.OpenDamaged(mustOpen(t, fs, "damaged"), blob.DamagedOptions{Name: "damaged"})
	require.NoError(t, err)
	require.Equal(t, uid, gotUID)
	got, err := whole.Append(nil, &refs[4])
	require.NoError(t, err)
	require.Equal(t, text(500), got)
	require.NoError(t, whole.Close())
}

func mustOpen(t testing.TB, fs vfs.FS, name string) vfs.File {
	f, err := fs.Open(name, vfs.ReadOnly)
	require.NoError(t, err)
	return f
}

// Values are found by footer alone, by header alone, and by an identity that is known.
func TestDamagedFramesStillTellValues(t *testing.T) {
	fs := vfs.NewMem()
	m, refs := write(t, fs, "b", block.CodecNone, text(200))
	p := content(t, fs, "b", m.Size)
	for name, change := range map[string]func([]byte){
		"header": func(p []byte) { p[20] ^= 1 },
		"footer": func(p []byte) { p[len(p)-30] ^= 1 },
		"both":   func(p []byte) { p[20] ^= 1; p[len(p)-30] ^= 1 },
	} {
		q := bytes.Clone(p)
		change(q)
		put(t, fs, name, q)
		want := fileid.UID{}
		if name == "both" {
			f := mustOpen(t, fs, name)
			_, _, err := blob.OpenDamaged(f, blob.DamagedOptions{UID: want, Name: name})
			require.ErrorIs(t, err, blob.ErrCorrupt)
			require.NoError(t, f.Close())
			want = uid
		}
		r, _, err := blob.OpenDamaged(mustOpen(t, fs, name), blob.DamagedOptions{UID: want, Name: name})
		require.NoError(t, err, name)
		got, err := r.Append(nil, &refs[0])
		require.NoError(t, err)
		require.Equal(t, text(200), got)
		require.NoError(t, r.Close())
	}
}

func TestForeignAndLaterFilesAreRefused(t *testing.T) {
	fs := vfs.NewMem()
	m, _ := write(t, fs, "b", block.CodecNone, text(200))
	f := mustOpen(t, fs, "b")
	_, err := blob.Open(f, blob.ReaderOptions{UID: fileid.UID{9}, Size: m.Size, Name: "b"})
	require.ErrorIs(t, err, blob.ErrForeign)
	require.ErrorIs(t, err, blob.ErrCorrupt)
	require.NoError(t, f.Close())
	p := content(t, fs, "b", m.Size)
	p[m.Size-88+72]++
	put(t, fs, "damaged", p)
	_, err = open(t, fs, "damaged", m, false)
	require.ErrorContains(t, err, "checksum", "damage is not a later version")
	sum := fileid.NewSeed(fileid.KindBlob, uid).Checksum(m.Size-88, p[m.Size-88:m.Size-12])
	binary.LittleEndian.PutUint32(p[m.Size-12:], sum)
	put(t, fs, "later", p)
	_, err = open(t, fs, "later", m, false)
	require.ErrorIs(t, err, blob.ErrTooNew)
}

func TestInvalidValuesAndOrder(t *testing.T) {
	fs := vfs.NewMem()
	f, err := fs.Create("b")
	require.NoError(t, err)
	w := blob.NewWriter(f, blob.WriterOptions{UID: uid})
	_, err = w.Finish()
	require.ErrorIs(t, err, blob.ErrInvalidValue, "no values")
	w = blob.NewWriter(f, blob.WriterOptions{UID: uid})
	_, err = w.Add(nil)
	require.ErrorIs(t, err, blob.ErrInvalidValue)
	_, err = w.Add([]byte{1})
	require.ErrorIs(t, err, blob.ErrInvalidValue, "it sticks")
	w = blob.NewWriter(f, blob.WriterOptions{UID: uid})
	w.Abort()
	_, err = w.Finish()
	require.ErrorIs(t, err, blob.ErrFinished)
	require.NoError(t, f.Close())
}

func TestReferencesThatAreNone(t *testing.T) {
	good := blob.Ref{File: 5, Offset: 80, Stored: 108, Length: 100}
	whole := good.Append(nil)
	for n := range whole {
		_, err := blob.DecodeRef(whole[:n])
		require.ErrorIs(t, err, blob.ErrMalformedRef)
	}
	_, err := blob.DecodeRef(append(bytes.Clone(whole), 0))
	require.ErrorIs(t, err, blob.ErrMalformedRef)
	for name, bad := range map[string]blob.Ref{
		"before the values":    {Offset: 79, Stored: 108, Length: 100},
		"beyond any file":      {Offset: 1<<62 + 1, Stored: 108, Length: 100},
		"too long":             {Offset: 80, Stored: keys.MaxValueLen + 100, Length: keys.MaxValueLen + 1},
		"too many bytes":       {Offset: 80, Stored: 121, Length: 100},
		"too few bytes":        {Offset: 80, Stored: 8, Length: 100},
		"too few for a chain":  {Offset: 80, Stored: 25, Length: 2*blob.ChunkBytes + 1},
		"no value":             {Offset: 80, Stored: 9},
		"too many values":      {Ordinal: 1 << 61, Offset: 80, Stored: 108, Length: 100},
		"too many blob files":  {File: blob.MaxFiles, Offset: 80, Stored: 108, Length: 100},
		"a head too long":      {Head: make([]byte, 256), Offset: 80, Stored: 108, Length: 100},
		"too long with a head": {Head: make([]byte, 2), Offset: 80, Stored: keys.MaxValueLen, Length: keys.MaxValueLen - 1},
	} {
		_, err := blob.DecodeRef(bad.Append(nil))
		require.ErrorIs(t, err, blob.ErrMalformedRef, name)
	}
}

// A read takes the memory of the value and no more, and none where there is room; writing and
// copying take a few chunks.
func TestMemoryStaysNearTheValue(t *testing.T) {
	const n = 32 << 20
	fs := vfs.NewOS()
	name := t.TempDir() + "/b"
	value := text(n)
	wrote := allocated(func() { write(t, fs, name, block.CodecS2, value) })
	require.Less(t, wrote, uint64(n/2))
	size, err := fs.Size(name)
	require.NoError(t, err)
	r, err := open(t, fs, name, blob.Meta{Size: size}, true)
	require.NoError(t, err)
	ref := blob.Ref{Offset: 80, Stored: r.Data(), Length: n}
	var got []byte
	read := allocated(func() { got, err = r.Append(nil, &ref) })
	require.NoError(t, err)
	require.True(t, bytes.Equal(value, got))
	require.Less(t, read, uint64(n+8<<20))
	again := allocated(func() { got, err = r.Append(got[:0], &ref) })
	require.NoError(t, err)
	require.Less(t, again, uint64(8<<20))
}

// allocated returns how many bytes f has allocated.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestReadsDoNotAllocate(t *testing.T) {
	for _, c := range []block.Codec{block.CodecNone, block.CodecS2} {
		fs := vfs.NewMem()
		m, refs := write(t, fs, "b", c, text(5000))
		r, err := open(t, fs, "b", m, false)
		require.NoError(t, err)
		n := testing.AllocsPerRun(100, func() {
			var dst [8192]byte
			_, _ = r.Append(dst[:0], &refs[0])
		})
		require.Less(t, n, 2.0, "pools of a race build forget")
	}
}

// The cache holds short values, verified once; an ordinal that is wrong finds no other.
func TestShortValuesAreCached(t *testing.T) {
	c, err := cache.New(1 << 20)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	mem := vfs.NewMem()
	m, refs := write(t, mem, "b", block.CodecS2, text(5000), text(5000), text(40_000))
	reads := mem
	f, err := reads.Open("b", vfs.ReadOnly)
	require.NoError(t, err)
	r, err := blob.Open(f, blob.ReaderOptions{UID: uid, Size: m.Size, Name: "b", Cache: c})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	wrong := refs[1]
	wrong.Ordinal = 0
	for range 3 {
		for i := range refs {
			got, err := r.Append([]byte("x"), &refs[i])
			require.NoError(t, err)
			require.Equal(t, "x"+string(text(int(refs[i].Length))), string(got))
		}
		got, err := r.Append(nil, &wrong)
		require.NoError(t, err)
		require.Equal(t, text(5000), got)
	}
	require.GreaterOrEqual(t, c.Metrics().BlockBytes, int64(10_000))
	require.Less(t, c.Metrics().BlockBytes, int64(40_000))
	// What is cached needs no file.
	p := content(t, mem, "b", m.Size)
	w, err := mem.Open("b", vfs.ReadWrite)
	require.NoError(t, err)
	_, err = w.WriteAt(make([]byte, len(p)), 0)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	got, err := r.Append(nil, &refs[0])
	require.NoError(t, err)
	require.Equal(t, text(5000), got)
	_, err = r.Append(nil, &refs[2])
	require.ErrorIs(t, err, blob.ErrCorrupt)
}
