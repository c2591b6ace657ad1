package blob_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/blob"
	"github.com/loamdb/loam/sstable/block"
)

// ring has the key of encrypted files.
const ring = sealtest.Ring(9)

func encrypted(c block.Codec) blob.WriterOptions {
	return blob.WriterOptions{UID: uid, Salt: salt(), Codec: c, NewCipher: ring.New}
}

// options open an encrypted file.
func options(name string, m blob.Meta) blob.ReaderOptions {
	return blob.ReaderOptions{UID: uid, Size: m.Size, Digest: m.Digest, Name: name, OpenCipher: ring.Open, KeyID: seal.KeyID(ring)}
}

// requireForged: the error says that an encrypted file was changed.
func requireForged(t testing.TB, err error, what string, args ...any) {
	t.Helper()
	what = fmt.Sprintf(what, args...)
	require.ErrorIs(t, err, blob.ErrCorrupt, what)
	require.ErrorIs(t, err, seal.ErrAuth, what)
	var c *blob.CorruptionError
	require.ErrorAs(t, err, &c, what)
	require.NotEmpty(t, c.File, what)
}

func TestEncryptedValuesComeBack(t *testing.T) {
	for _, c := range codecs {
		fs := vfs.NewMem()
		values := samples()
		m, refs := writeWith(t, fs, "b", encrypted(c), values...)
		for _, mapped := range []bool{false, true} {
			o := options("b", m)
			o.Mapped = mapped
			r, err := openWith(t, fs, o)
			require.NoError(t, err)
			for i, v := range values {
				ref, err := blob.DecodeRef(refs[i].Append(nil))
				require.NoError(t, err)
				for range 2 {
					got, err := r.Append([]byte("before"), &ref)
					require.NoError(t, err)
					require.True(t, string(got) == "before"+string(v))
				}
			}
			require.NoError(t, r.Verify(context.Background()))
		}
	}
}

// Values move between files that are encrypted and files that are not.
func TestCopiesOfEncryptedValues(t *testing.T) {
	fs := vfs.NewMem()
	values := samples()
	plain, plainRefs := write(t, fs, "plain", block.CodecS2, values...)
	r, err := open(t, fs, "plain", plain, false)
	require.NoError(t, err)
	copyTo := func(name string, r *blob.Reader, refs []blob.Ref, o blob.WriterOptions) (blob.Meta, []blob.Ref) {
		f, err := fs.Create(name)
		require.NoError(t, err)
		w := blob.NewWriter(f, o)
		var out []blob.Ref
		for i := range refs {
			ref, err := w.Copy(r, &refs[i])
			require.NoError(t, err)
			out = append(out, ref)
		}
		m, err := w.Finish()
		require.NoError(t, err)
		require.NoError(t, f.Close())
		return m, out
	}
	m, refs := copyTo("sealed", r, plainRefs, encrypted(block.CodecS2))
	sealed, err := openWith(t, fs, options("sealed", m))
	require.NoError(t, err)
	back, backRefs := copyTo("back", sealed, refs, blob.WriterOptions{UID: uid, Salt: salt(), Codec: block.CodecS2})
	require.Equal(t, plain, back)
	require.Equal(t, plainRefs, backRefs)
}

func TestTheEncryptedFormatDoesNotChange(t *testing.T) {
	fs := vfs.NewMem()
	m, _ := writeWith(t, fs, "b", encrypted(block.CodecNone), text(300), []byte("short"), noise(70))
	golden.Assert(t, "testdata/encrypted.hex", []byte(hex.Dump(content(t, fs, "b", m.Size))))
}

// R34: whatever bit changes, Verify says so, and no value that is read is another one.
func TestEveryChangedBitOfAnEncryptedFileIsFound(t *testing.T) {
	step := 5
	if invariants.Enabled {
		step = 41
	}
	values := [][]byte{text(200), noise(30), text(90)}
	for _, c := range codecs {
		fs := vfs.NewMem()
		m, refs := writeWith(t, fs, "b", encrypted(c), values...)
		p := content(t, fs, "b", m.Size)
		for bit := int(c); bit < 8*len(p); bit += step {
			p[bit/8] ^= 1 << (bit % 8)
			put(t, fs, "x", p)
			p[bit/8] ^= 1 << (bit % 8)
			r, err := openWith(t, fs, options("x", m))
			if err == nil {
				err = r.Verify(context.Background())
				damage, eerr := r.Examine(context.Background())
				require.NoError(t, eerr)
				require.NotEmpty(t, damage)
				for j := range refs {
					if got, err := r.Append(nil, &refs[j]); err == nil {
						require.Equal(t, values[j], got, "bit %d", bit)
					}
				}
			}
			requireForged(t, err, "%v, bit %d", c, bit)
			require.NoError(t, fs.Remove("x"))
		}
		for n := 0; n < len(p); n += 1 + step {
			put(t, fs, "cut", p[:n])
			_, err := openWith(t, fs, options("cut", m))
			requireForged(t, err, "%d bytes", n)
			o := options("cut", m)
			o.Size = int64(n) // the length that is expected agrees
			_, err = openWith(t, fs, o)
			requireForged(t, err, "%d bytes", n)
			require.NoError(t, fs.Remove("cut"))
		}
	}
}

// The lengths of a chain are in clear: a changed one does not pass either.
func TestChangedLengthsOfAnEncryptedChainAreFound(t *testing.T) {
	fs := vfs.NewMem()
	m, refs := writeWith(t, fs, "b", encrypted(block.CodecS2), text(blob.ChunkBytes+100))
	p := content(t, fs, "b", m.Size)
	first := int64(p[80]) | int64(p[81])<<8 | int64(p[82])<<16
	for _, at := range []int64{80, 84 + first} {
		for bit := range 32 {
			p[at+int64(bit/8)] ^= 1 << (bit % 8)
			put(t, fs, "x", p)
			r, err := openWith(t, fs, options("x", m))
			require.NoError(t, err)
			_, err = r.Append(nil, &refs[0])
			requireForged(t, err, "length at %d, bit %d", at, bit)
			requireForged(t, r.Verify(context.Background()), "length at %d, bit %d", at, bit)
			p[at+int64(bit/8)] ^= 1 << (bit % 8)
			require.NoError(t, fs.Remove("x"))
		}
	}
}

// V3, trap 82: values exchanged within an encrypted file, or with another one of the same content
// and key, do not pass.
func TestExchangedValuesOfEncryptedFilesAreFound(t *testing.T) {
	fs := vfs.NewMem()
	values := [][]byte{noise(100), noise(101)[:100], noise(102)[:100]}
	m, refs := writeWith(t, fs, "b", encrypted(block.CodecNone), values...)
	o := encrypted(block.CodecNone)
	o.Salt = seal.Salt{42}
	om, _ := writeWith(t, fs, "salt", o, values...)
	o = encrypted(block.CodecNone)
	o.UID = fileid.UID{42}
	_, _ = writeWith(t, fs, "uid", o, values...)
	p := content(t, fs, "b", m.Size)
	for _, from := range []string{"b", "salt", "uid"} {
		q := content(t, fs, from, om.Size)
		for i := range refs {
			for j := range refs {
				if from == "b" && i == j {
					continue
				}
				x := bytes.Clone(p)
				copy(x[refs[i].Offset:][:refs[i].Stored], q[refs[j].Offset:][:refs[j].Stored])
				put(t, fs, "x", x)
				r, err := openWith(t, fs, options("x", m))
				require.NoError(t, err)
				_, err = r.Append(nil, &refs[i])
				requireForged(t, err, "%s: value %d at %d", from, j, i)
				var d *blob.CorruptionError
				require.ErrorAs(t, err, &d)
				require.Equal(t, blob.CorruptionError{File: "x", Offset: refs[i].Offset, Err: d.Err}, *d)
				requireForged(t, r.Verify(context.Background()), "%s: value %d at %d", from, j, i)
				require.NoError(t, fs.Remove("x"))
			}
		}
		x := append(bytes.Clone(q[:80]), p[80:]...)
		if from != "b" {
			put(t, fs, "x", x)
			_, err := openWith(t, fs, options("x", m))
			requireForged(t, err, "header of %s", from)
			require.NoError(t, fs.Remove("x"))
		}
	}
}

func TestAPlainFileInPlaceOfAnEncryptedOneIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	m, _ := write(t, fs, "b", block.CodecNone, text(300))
	_, err := openWith(t, fs, options("b", m))
	requireForged(t, err, "plain")
	_, _, err = blob.OpenDamaged(mustOpen(t, fs, "b"), blob.DamagedOptions{Name: "b", KeyID: seal.KeyID(ring), OpenCipher: ring.Open})
	requireForged(t, err, "plain, damaged")

	// A block with the right checksum, in the place of one with a tag.
	em, refs := writeWith(t, fs, "e", encrypted(block.CodecNone), text(300), noise(300))
	p := content(t, fs, "e", em.Size)
	plain, err := block.Seal(nil, block.CodecNone, &block.Guard{Seed: fileid.NewSeed(fileid.KindBlob, uid)}, refs[0].Offset, text(312))
	require.NoError(t, err)
	require.Len(t, plain, int(refs[0].Stored))
	copy(p[refs[0].Offset:], plain)
	put(t, fs, "x", p)
	r, err := openWith(t, fs, options("x", em))
	require.NoError(t, err)
	ref := refs[0]
	_, err = r.Append(nil, &ref)
	requireForged(t, err, "a plain block")
	ref.Length = 312
	_, err = r.Append(nil, &ref)
	requireForged(t, err, "a plain block of its length")
	got, err := r.Append(nil, &refs[1])
	require.NoError(t, err)
	require.Equal(t, noise(300), got)
}

func TestKeysOfEncryptedFiles(t *testing.T) {
	fs := vfs.NewMem()
	m, refs := writeWith(t, fs, "b", encrypted(block.CodecNone), text(300))
	o := options("b", m)
	o.OpenCipher, o.KeyID = nil, 0
	_, err := openWith(t, fs, o)
	require.ErrorIs(t, err, blob.ErrSealed)
	require.NotErrorIs(t, err, blob.ErrCorrupt)
	_, _, err = blob.OpenDamaged(mustOpen(t, fs, "b"), blob.DamagedOptions{Name: "b"})
	require.ErrorIs(t, err, blob.ErrSealed)
	o.OpenCipher = sealtest.Ring(8).Open
	_, err = openWith(t, fs, o)
	require.ErrorIs(t, err, sealtest.ErrNoKey, "the keyring's error")
	o.OpenCipher, o.KeyID = ring.Open, 8
	_, err = openWith(t, fs, o)
	requireForged(t, err, "another key than the manifest names")
	o.KeyID = 0
	r, err := openWith(t, fs, o)
	require.NoError(t, err)
	got, err := r.Append(nil, &refs[0])
	require.NoError(t, err)
	require.Equal(t, text(300), got)

	f, err := fs.Create("new")
	require.NoError(t, err)
	wo := encrypted(block.CodecNone)
	wo.NewCipher = sealtest.Ring(0).New
	_, err = blob.NewWriter(f, wo).Add([]byte("value"))
	require.ErrorContains(t, err, "no key id")
	require.NoError(t, f.Close())
}

// Values of an encrypted file whose frame is damaged are read, but where the salt is.
func TestDamagedFramesStillTellEncryptedValues(t *testing.T) {
	fs := vfs.NewMem()
	m, refs := writeWith(t, fs, "b", encrypted(block.CodecNone), text(200))
	p := content(t, fs, "b", m.Size)
	known := blob.DamagedOptions{UID: uid, KeyID: seal.KeyID(ring)}
	for name, c := range map[string]struct {
		at   int64
		o    blob.DamagedOptions
		read bool
	}{
		"magic": {3, known, true}, "version": {8, known, true}, "UID": {20, known, true}, "key": {64, known, true},
		"salt": {40, known, false}, "checksum": {77, blob.DamagedOptions{}, true}, "footer": {m.Size - 30, blob.DamagedOptions{}, true},
		"key, unknown": {64, blob.DamagedOptions{}, false}, "UID, unknown": {20, blob.DamagedOptions{}, false},
	} {
		q := bytes.Clone(p)
		q[c.at] ^= 1
		put(t, fs, name, q)
		c.o.Name, c.o.OpenCipher = name, ring.Open
		r, got, err := blob.OpenDamaged(mustOpen(t, fs, name), c.o)
		if err == nil {
			require.True(t, got == uid || !c.read, name)
			var v []byte
			if v, err = r.Append(nil, &refs[0]); err == nil {
				require.Equal(t, text(200), v)
			} else {
				requireForged(t, err, name)
			}
			require.NoError(t, r.Close())
		}
		require.Equal(t, c.read, err == nil, "%s: %v", name, err)
	}
}

func TestNothingOfAnEncryptedFileIsInClear(t *testing.T) {
	fs := vfs.NewMem()
	m, _ := writeWith(t, fs, "b", encrypted(block.CodecNone), text(300), noise(100), []byte("short"))
	p := content(t, fs, "b", m.Size)
	for _, s := range []string{"value", "short", string(noise(100)[:8]), "loam", "BLOB", string(uid[:])} {
		require.NotContains(t, string(p[80:]), s)
	}
}

// What the cache holds is plain, verified once, and costs no cipher.
func TestShortEncryptedValuesAreCached(t *testing.T) {
	c, err := cache.New(1 << 20)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	fs := vfs.NewMem()
	m, refs := writeWith(t, fs, "b", encrypted(block.CodecS2), text(5000))
	o := options("b", m)
	o.Cache = c
	f := mustOpen(t, fs, "b")
	r, err := blob.Open(f, o)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	for range 3 {
		got, err := r.Append(nil, &refs[0])
		require.NoError(t, err)
		require.Equal(t, text(5000), got)
	}
	w, err := fs.Open("b", vfs.ReadWrite)
	require.NoError(t, err)
	_, err = w.WriteAt(make([]byte, m.Size), 0)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	got, err := r.Append(nil, &refs[0])
	require.NoError(t, err)
	require.Equal(t, text(5000), got)
}

func TestReadsOfEncryptedValuesDoNotAllocate(t *testing.T) {
	for _, c := range []block.Codec{block.CodecNone, block.CodecS2} {
		fs := vfs.NewMem()
		m, refs := writeWith(t, fs, "b", encrypted(c), text(5000))
		r, err := openWith(t, fs, options("b", m))
		require.NoError(t, err)
		n := testing.AllocsPerRun(100, func() {
			var dst [8192]byte
			_, _ = r.Append(dst[:0], &refs[0])
		})
		require.Less(t, n, 3.0, "pools of a race build forget")
	}
}

// Any bytes are an encrypted blob file or are refused; with a cipher that takes any tag the
// fuzzer gets behind it.
func FuzzEncryptedFile(f *testing.F) {
	for _, c := range codecs {
		fs := vfs.NewMem()
		m, refs := writeWith(f, fs, "b", encrypted(c), text(300), []byte("x"), noise(60))
		f.Add(content(f, fs, "b", m.Size), refs[0].Append(nil), false)
		o := encrypted(c)
		o.NewCipher = sealtest.Clear(ring).New
		m, refs = writeWith(f, fs, "c", o, text(300), []byte("x"), noise(60))
		f.Add(content(f, fs, "c", m.Size), refs[0].Append(nil), true)
	}
	f.Fuzz(func(t *testing.T, p, reference []byte, clear bool) {
		fs := vfs.NewMem()
		put(t, fs, "b", p)
		open := ring.Open
		if clear {
			open = sealtest.Clear(ring).Open
		}
		refused := func(err error) {
			if err != nil && !errors.Is(err, blob.ErrCorrupt) && !errors.Is(err, blob.ErrTooNew) && !errors.Is(err, sealtest.ErrNoKey) {
				t.Fatal(err)
			}
		}
		ref, rerr := blob.DecodeRef(reference)
		bounded := rerr == nil && ref.Length <= 4<<20
		r, got, err := blob.OpenDamaged(mustOpen(t, fs, "b"), blob.DamagedOptions{Name: "b", OpenCipher: open})
		refused(err)
		if err != nil {
			return
		}
		if bounded {
			_, err = r.Append(nil, &ref)
			refused(err)
		}
		s, err := blob.Open(mustOpen(t, fs, "b"), blob.ReaderOptions{UID: got, Size: int64(len(p)), Name: "b", OpenCipher: open})
		refused(err)
		if err != nil {
			return
		}
		_, err = s.Examine(context.Background())
		require.NoError(t, err)
		refused(s.Verify(context.Background()))
		if bounded {
			_, err = s.Append(nil, &ref)
			refused(err)
		}
	})
}
